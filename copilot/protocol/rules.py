"""The rules of the conversation as one table (protocol page, section 1): who says what to whom, and for how long.

`resend`: sent again until it is acknowledged or void. `void_after`: seconds after which a message means nothing
any more; None: the sender says when (the attempt, the dispatch limit). Whether the *sender of a message about a
job* holds that job is for the claim to tell (`claim.py`), not for this table.
"""

from __future__ import annotations

import enum
import functools
import operator

from copilot.records import dataclass

MINUTE = 60.0
ACK_WAITS_SHORTLY = 0.1  # s; for the next job, which comes at once if there is one
ACK_WAITS = 1.0  # s; well below the time that a job has to be confirmed
ACK_NEEDS_NO_MESSAGE = (
    15 * MINUTE
)  # s; of what nobody says again: it goes with the next request, which comes before that
DAY = 24 * 3600.0
# Attributes of `submitJob` that no service may leave out of account, with the names of what they do: who submits asks first.
TAKES = ("after", "array", "cores", "gpus", "hold")
MOST_LISTED = 50  # jobs in one list: of these, a message stays below 64 KiB
SMALL_INPUTS = 8 * 1024  # bytes; the inputs of a job go with it as long as they are no more together

STATUS_COMPONENTS = ("systemLoad", "diskUsage", "memoryUsage", "runningProcesses")
FEATURE_CANCEL = "cancel"  # a running job can be stopped (section 4)
FEATURE_DIRECT = "direct"  # one manager instance is asked and told everything, by its full JID (section 4)
FEATURE_DRAIN = "drain"  # an agent can be asked to leave, and says goodbye (section 4)
FEATURE_LEASE = "lease"  # jobs are held by leases that the agent renews (section 4)
FEATURE_OUTPUT = "output"  # an agent shows what a running job has printed (section 4)
FEATURE_PUSH = "push"  # an agent that found no job is given one as soon as there is one (section 4)
FEATURE_RESOURCES = "resources"  # an agent says what it has free, jobs what they take of it (section 4)
FEATURE_SLOTS = "slots"  # an agent says how many jobs it can take (section 4)
FEATURE_STORAGE = "storage"  # files as URLs with size and SHA-256 (section 4)
# All that our components can do.
FEATURES = (
    FEATURE_CANCEL,
    FEATURE_DIRECT,
    FEATURE_DRAIN,
    FEATURE_LEASE,
    FEATURE_OUTPUT,
    FEATURE_PUSH,
    FEATURE_RESOURCES,
    FEATURE_SLOTS,
    FEATURE_STORAGE,
)
# The same for a manager that is not job manager and storage manager at once.
FEATURES_APART = tuple(word for word in FEATURES if word != FEATURE_DIRECT)


class Role(enum.Flag):
    """What a component is; a manager may be two at once."""

    AGENT = enum.auto()
    JOB_MANAGER = enum.auto()
    STORAGE_MANAGER = enum.auto()
    MONITOR = enum.auto()
    KEY_MANAGER = enum.auto()
    HEARTBEAT = enum.auto()
    SUBMITTER = enum.auto()


ANY = functools.reduce(operator.or_, Role)
MANAGER = Role.JOB_MANAGER | Role.STORAGE_MANAGER


@dataclass(frozen=True, slots=True)
class Rule:
    """One row. `orders`: it makes an agent do something, so only those may say it whom the agent trusts. `ack_waits`: so
    many seconds its acknowledgement may wait for a message on which it can ride. `in_rooms`: it may come through a
    chat room, where senders have nicks; nothing else may, for all who are in a room share its bare JID."""

    sender: Role
    receiver: Role
    resend: bool = False
    void_after: float | None = MINUTE
    noack: bool = False
    orders: bool = False
    ack_waits: float = 0.0
    in_rooms: bool = False


RULES: dict[str, Rule] = {
    "want_getJob": Rule(Role.AGENT, Role.JOB_MANAGER),
    "have_getJob": Rule(Role.JOB_MANAGER, Role.AGENT, orders=True),
    "getJob": Rule(Role.AGENT, Role.JOB_MANAGER, resend=True, void_after=10 * MINUTE),
    "runJob": Rule(
        Role.JOB_MANAGER, Role.AGENT, resend=True, void_after=None, orders=True, ack_waits=ACK_WAITS
    ),
    "want_getJobOutputDir": Rule(Role.AGENT, Role.STORAGE_MANAGER),
    "have_getJobOutputDir": Rule(MANAGER, Role.AGENT, orders=True),
    "getJobOutputDir": Rule(Role.AGENT, Role.STORAGE_MANAGER, resend=True, void_after=None),
    "storeJobOutputDir": Rule(MANAGER, Role.AGENT, resend=True, void_after=None, orders=True),
    "jobDone": Rule(
        Role.AGENT, Role.STORAGE_MANAGER, resend=True, void_after=7 * DAY, ack_waits=ACK_WAITS_SHORTLY
    ),
    "renewLease": Rule(Role.AGENT, Role.JOB_MANAGER, resend=True),
    "leaseLost": Rule(Role.JOB_MANAGER, Role.AGENT, orders=True),
    "cancelJob": Rule(Role.JOB_MANAGER, Role.AGENT, orders=True),
    "tailJob": Rule(Role.JOB_MANAGER, Role.AGENT, noack=True, orders=True),
    "jobOutput": Rule(Role.AGENT, Role.JOB_MANAGER, noack=True),
    "drain": Rule(Role.JOB_MANAGER, Role.AGENT, orders=True),
    "leaving": Rule(Role.AGENT, Role.JOB_MANAGER, resend=True),
    "wantUpload": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True, void_after=10 * MINUTE),
    "haveUpload": Rule(Role.JOB_MANAGER, Role.SUBMITTER, resend=True),
    "submitJob": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True, void_after=DAY),
    "wantJobState": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True),
    "stopJob": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True, void_after=10 * MINUTE),
    "wantJobs": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True),
    "haveJobs": Rule(Role.JOB_MANAGER, Role.SUBMITTER, noack=True),
    "operate": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True, void_after=10 * MINUTE),
    "operated": Rule(Role.JOB_MANAGER, Role.SUBMITTER, noack=True),
    "haveJobState": Rule(Role.JOB_MANAGER, Role.SUBMITTER, noack=True),
    "wantJobOutput": Rule(Role.SUBMITTER, Role.JOB_MANAGER, resend=True),
    "haveJobOutput": Rule(Role.JOB_MANAGER, Role.SUBMITTER, noack=True),
    "enrol": Rule(Role.AGENT, Role.JOB_MANAGER, resend=True, void_after=2 * MINUTE),
    "enrolled": Rule(Role.JOB_MANAGER, Role.AGENT, resend=True, orders=True),
    "redirect": Rule(MANAGER, Role.AGENT, orders=True),
    "sleep": Rule(Role.JOB_MANAGER, Role.AGENT, orders=True, ack_waits=ACK_NEEDS_NO_MESSAGE),
    "error": Rule(ANY, ANY, noack=True, orders=True),
    "newKeys": Rule(Role.JOB_MANAGER, Role.AGENT, resend=True, void_after=10 * MINUTE, orders=True),
    "security_error": Rule(MANAGER | Role.KEY_MANAGER, ANY, noack=True, orders=True),
    "reportEvent": Rule(ANY, Role.MONITOR, noack=True),
    "reportEventDuration": Rule(ANY, Role.MONITOR, noack=True),
    "reportEventValue": Rule(ANY, Role.MONITOR, noack=True),
    "Heartbeat:getStatus": Rule(ANY, ANY, ack_waits=ACK_WAITS, in_rooms=True),
    "haveStatus": Rule(ANY, ANY, noack=True, in_rooms=True),
    "Heartbeat:ping": Rule(ANY, ANY, in_rooms=True),
    "pong": Rule(ANY, ANY, noack=True, in_rooms=True),
    "getTicket": Rule(ANY, Role.KEY_MANAGER, resend=True, void_after=10 * MINUTE),
    "storeTicket": Rule(Role.KEY_MANAGER, ANY),  # what it is good for says its signature
}
