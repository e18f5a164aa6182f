"""Who may do what: the standing of an account, and the one table that says which commands it may give (decision 17).

`copilot.protocol.rules.Role` is what a *program* is; the standing here is what its *account* may do. Nobody is asked
for more than this table before a component's logic sees a command; whether an agent has *that job* is for the claim
to tell, whether a submitter owns *that job* for the logic that looks it up.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from copilot.records import dataclass


class Standing(enum.StrEnum):
    """What an account is."""

    AGENT = "agent"  # takes jobs
    BUNDLE = "bundle"  # lets a new agent in, and does nothing else
    SUBMITTER = "submitter"  # gives jobs in the name of its projects, and looks after them
    OPERATOR = "operator"  # looks after everybody's jobs and agents
    ADMIN = "admin"  # as an operator; accounts are let in and out where the queue is, not by messages
    SERVICE = "service"  # another component: a manager, a monitor, a key manager


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One account. Times in seconds since the epoch by the store's clock.

    `key` is its Ed25519 public key (32 bytes in base64, RFC 8032), "" for one that signs nothing. `bundle` is the id of
    the bundle by which it came, or that it is for.
    """

    jid: str  # bare, lower case
    standing: Standing
    projects: frozenset[str] = frozenset()
    key: str = ""
    bundle: str = ""
    created: float = 0.0
    expires: float | None = None
    revoked: bool = False

    def counts(self, now: float) -> bool:
        """Whether it may do anything at all."""
        return not self.revoked and (self.expires is None or now < self.expires)


_AGENTS = frozenset({Standing.AGENT})
_GIVERS = frozenset({Standing.SUBMITTER, Standing.OPERATOR, Standing.ADMIN})
_SERVICES = frozenset({Standing.SERVICE})
_KNOWN = frozenset(Standing) - {Standing.BUNDLE}

# Every command that a manager, a monitor or a key manager may hear. What is not here is allowed to nobody.
MAY_SAY: Mapping[str, frozenset[Standing]] = {
    "want_getJob": _AGENTS,
    "getJob": _AGENTS,
    "want_getJobOutputDir": _AGENTS,
    "getJobOutputDir": _AGENTS,
    "jobDone": _AGENTS,
    "renewLease": _AGENTS,
    "leaving": _AGENTS,
    "jobOutput": _AGENTS,
    "enrol": frozenset({Standing.BUNDLE}),
    "wantUpload": _GIVERS,
    "submitJob": _GIVERS,
    "wantJobState": _GIVERS,
    "stopJob": _GIVERS,
    "operate": _GIVERS,
    "wantJobs": _GIVERS,
    "wantJobOutput": _GIVERS,
    "getTicket": _KNOWN,
    "storeTicket": _SERVICES,
    "error": _KNOWN,
    "security_error": _KNOWN,
    "reportEvent": _KNOWN,
    "reportEventDuration": _KNOWN,
    "reportEventValue": _KNOWN,
    "Heartbeat:getStatus": _KNOWN,  # and then HB_ALLOW
    "haveStatus": _KNOWN,
    "Heartbeat:ping": _KNOWN,
    "pong": _KNOWN,
}


def may_say(standing: Standing | None, command: str) -> bool:
    """Whether an account of this standing (None: nobody that we know) may give `command`."""
    return standing is not None and standing in MAY_SAY.get(command, frozenset())


LOOKS_AFTER_ALL = frozenset({Standing.OPERATOR, Standing.ADMIN})


def looks_after(account: Account, owner: str, project: str) -> bool:
    """Whether this account may look after a job: its own, those of its projects, or all."""
    mine = owner == account.jid or (bool(project) and project in account.projects)
    return account.standing in LOOKS_AFTER_ALL or (account.standing is Standing.SUBMITTER and mine)
