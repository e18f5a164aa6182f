"""How an agent with a free slot finds a job: ask all managers, then the first that has one (report, section 2.2.1).

A state machine without I/O. One search goes on at a time:

    IDLE ──want_getJob──▶ ASKED ──have_getJob──▶ REQUESTED ──runJob──▶ IDLE
      ▲                     │                        │
      └───── no answer ─────┴── sleep, no answer ────┘

A `have_getJob` is taken at any time while a slot is free: a manager may answer late, when work arrives.

A manager that announces `direct` is asked without `want_getJob` from then on, by its instance's full JID; one that announces
`push`, too, gives work as soon as there is some, so it is asked again only to show that we are still there.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Collection

from copilot.agent.capacity import NOTHING, Room
from copilot.agent.referral import NotFollowed, Referral, Request, forward
from copilot.log import PeerRef
from copilot.matching.resources import Request as Needs
from copilot.protocol.commands import GetJob, HaveGetJob, Sleep, WantGetJob
from copilot.protocol.envelope import bare
from copilot.protocol.rules import FEATURE_DIRECT, FEATURE_PUSH, FEATURE_RESOURCES
from copilot.records import dataclass
from copilot.runtime.component import Actions, Send

log = logging.getLogger("copilot.agent")

FIRST_WAIT = 1.0  # s between the first two requests for work while there is none
RUN_JOB_WITHIN = 60.0  # s that a manager has to answer `getJob` before we ask anew
LONGEST_SLEEP = 3600.0  # s that a manager may send us to sleep for
SHOW_UP_EVERY = 600.0  # s until we ask again who gives us work by himself
TOLD_WITHIN = 1.0  # s until a manager is told of room that no report has told it of


class Asking(enum.Enum):
    """Where the search stands."""

    IDLE = enum.auto()
    ASKED = enum.auto()
    REQUESTED = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a message says of the jobs that we want: how many, and what we have free for them. None: nothing is said."""

    slots: int | None
    free: str | None


class Search:
    """The search of one agent. Its owner calls it only while a slot is free, but for what a session does."""

    def __init__(
        self,
        manager: str,
        *,
        host: str,
        agent_class: str | None,
        longest_wait: float,
        jdl: Callable[[], str],
        has_file: Callable[[str], bool],
        random: Callable[[], float],
    ) -> None:
        """`manager` is a bare JID, `longest_wait` in s; `agent_class` and the functions are those of `Agent`."""
        self._manager = manager
        self._host = host
        self._class = agent_class
        self.longest_wait = longest_wait  # may be changed while it runs
        self._jdl = jdl
        self._has_file = has_file
        self._random = random
        self._asking = Asking.IDLE
        self._request: Request | None = None  # the last one
        self._due: float | None = None  # None until the first session
        self._waits = 0
        self._ended = False
        self._instance: str | None = None  # full JID that we ask without further ado
        self._features: Collection[str] = ()  # of it
        self._reports: set[str] = set()  # jobs whose report asks for more and has not been answered
        self._promised = NOTHING  # what our manager may give us, for all it knows of us
        self._told_time: int | None = None  # s until we leave, as was said when we asked last
        self._asked = 0.0  # when we have asked last: from then on it remembers us for a while
        self._anew = False  # the host describes itself in other words than it has told
        self._unsuitable: set[str] = set()  # managers whose required file is missing, until the next round

    def wakeup(self) -> float | None:
        """When `tick` has something to do."""
        return self._due if self.requested or not self._ended else None

    @property
    def requested(self) -> bool:
        """Whether a job may be on its way to us."""
        return self._asking is Asking.REQUESTED

    def end(self, by: float) -> None:
        """Ask for nothing any more; what was asked for is waited for until `by`."""
        if self._due is not None and not self._ended:
            self._due = min(self._due, by)
        self._ended = True

    def concerns(self, jid: str) -> bool:
        """Whether our last request went to this bare JID."""
        return self._request is not None and jid == bare(self._request.to)

    def heard(self, sender: str, features: Collection[str]) -> None:
        """An instance of our manager has given us something, or would; we know now what it is able to do."""
        if bare(sender) != bare(self._manager):
            return
        self._instance = sender if FEATURE_DIRECT in features else None
        self._features = features

    def online(self, now: float) -> None:
        """The session is up: ask at once, unless a job was promised."""
        self._instance = None  # it may be gone
        self._promised = NOTHING
        if self._due is None:
            log.info("Component was waken up. Asking job manager for a job")
        if self._asking is not Asking.REQUESTED:
            self._due = now

    def offline(self) -> None:
        """The session is gone, and with it what is not sent again."""
        if self._asking is Asking.ASKED:
            self._asking = Asking.IDLE

    def describes_anew(self) -> None:
        """What `jdl` says is other than before: with the next tick, or when what is out is answered, our manager is told."""
        self._anew = True

    def due(self, now: float) -> bool:
        """Whether there is something to ask, or to end, now."""
        anew = self._anew and self._asking is Asking.IDLE
        return self._due is not None and (self._due <= now or anew)

    def tick(self, now: float, room: Room) -> Actions:
        """Ask for as many jobs as there is room for, when it is time: the instance that we know, or all managers."""
        if not self.due(now):
            return []
        if self._ended:
            self._asking = Asking.IDLE
            return []
        if self._instance is not None and self._asking is Asking.IDLE:
            return self._ask(self._instance, self._features, room, now)
        self._asking, self._due = Asking.ASKED, now + self._wait()
        self._unsuitable.clear()
        log.info("Asking %s for an address of the job manager", PeerRef(self._manager))
        self._anew = False
        want = WantGetJob(agent_host=self._host, jdl=self._jdl(), agent_class=self._class)
        self._request = Request(to=self._manager, command=want)
        return [Send(to=self._manager, command=want)]

    def offered(
        self, sender: str, features: Collection[str], offer: HaveGetJob, room: Room, now: float
    ) -> Actions:
        """Somebody has a job: ask that one for it, if the host has the file that it takes."""
        if self._asking is Asking.REQUESTED or sender in self._unsuitable:
            return []
        if offer.require_file is not None and not self._has_file(offer.require_file):
            log.info("%s requires %s, which this host does not have", PeerRef(sender), offer.require_file)
            self._unsuitable.add(sender)
            return []
        self.heard(sender, features)
        return self._ask(sender, features, room, now)

    def _ask(self, to: str, features: Collection[str], room: Room, now: float) -> Actions:
        self._asking, self._due = Asking.REQUESTED, now + RUN_JOB_WITHIN
        self._anew = False
        wish = self._wish(room, features, now)
        request = GetJob(
            agent_host=self._host,
            jdl=self._jdl(),
            agent_class=self._class,
            slots=wish.slots if to == self._instance else None,
            free=wish.free,
        )
        self._request = Request(to=to, command=request)
        return [Send(to=to, command=request, void_at=self._due)]

    def _wish(self, room: Room, features: Collection[str], now: float) -> Wish:
        """Words for it, which are on their way from now on."""
        understood = FEATURE_RESOURCES in features
        self._asked, self._promised = now, room
        self._told_time = room.free.time if understood else None
        return Wish(slots=room.jobs, free=room.free.text if understood else None)

    def redirected(self, sender: str, referral: Referral, now: float) -> Actions:
        """Say what is out to somebody else. Raises `NotFollowed`."""
        if self._request is None:
            raise NotFollowed(f"no {referral.command.NAME} of ours is out")
        old, new = self._request, self._request.redirected(sender, referral)
        if new is None:
            return []
        self._request = new
        if self._asking is not Asking.REQUESTED:
            return forward(old, new, referral)
        self._due = now + RUN_JOB_WITHIN
        return forward(old, new, referral, self._due)

    def told_to_sleep(self, sender: str, sleep: Sleep, now: float) -> None:
        """The manager says when to ask again. Ours never reboots its machine.

        Once one is asked for its job, the others have no say: theirs are answers to the round before.
        """
        if self._asking is not Asking.REQUESTED or self._was_asked(sender):
            self._pause(min(sleep.retry_after or 0.0, LONGEST_SLEEP), now)

    def not_served(self, to: str, now: float) -> None:
        """`getJob` to this JID came to nothing: ask all of them again, later."""
        if self._asking is Asking.REQUESTED and self._was_asked(to):
            self._instance = None
            self._pause(0.0, now)

    def found(self, needs: Needs, now: float) -> None:
        """There is a job that takes so much, and the search for the next one begins, unless it comes by itself."""
        self._asking, self._request, self._waits = Asking.IDLE, None, 0
        self._promised = self._promised.without(needs)
        self._due = self._show_up() if self.pushes and not self._anew else now

    def _show_up(self) -> float:
        return self._asked + SHOW_UP_EVERY * (0.8 + 0.4 * self._random())

    @property
    def direct(self) -> bool:
        """Whether we know an instance that we may ask for as many jobs as we like."""
        return self._instance is not None

    def refused(self) -> None:
        """We have not taken a job that was given to us: its manager thinks no more that we want any."""
        self._promised = NOTHING

    def told_time_for(self, run_time: float) -> bool:
        """Whether it could end in our life when we last said how long that is: then it was given to us a moment too late."""
        return self._told_time is not None and run_time <= self._told_time

    def unsuitable(self, now: float) -> None:
        """This host has not what our manager requires: ask all instances, as before we knew one."""
        self._instance, self._promised = None, NOTHING
        self._asking, self._request, self._due = Asking.IDLE, None, now + self._wait()

    @property
    def pushes(self) -> bool:
        """Whether our manager gives us work by itself, once it knows that we can take some."""
        return self._instance is not None and FEATURE_PUSH in self._features

    def ask_with(self, job: str, room: Room, now: float) -> Wish | None:
        """For what the report of this job is to ask; None while another request is out, for the manager would
        answer both."""
        if (
            not room.exceeds(self._promised)
            or self._anew  # a report does not tell it
            or self._reports
            or self._asking is not Asking.IDLE
            or self._instance is None
        ):
            return None
        self._reports.add(job)
        wish = self._wish(room, self._features, now)
        self._due = self._show_up()
        return wish

    def answered(self, job: str) -> None:
        """The report of this job is over."""
        self._reports.discard(job)

    def unanswered(self, job: str) -> None:
        """The report of this job came to nothing, and nobody has heard what it asks for."""
        if job in self._reports:
            self._reports.remove(job)
            self._promised = NOTHING

    def has_room(self, room: Room, now: float, *, busy: bool) -> None:
        """We want jobs for it. If our manager does not know that, it is told: at once, or when the next report asks, if
        there may be one soon because we are `busy`."""
        if self._due is None or self._asking is not Asking.IDLE or self._reports:
            return
        if self.pushes and room.exceeds(self._promised):
            self._due = min(self._due, now + (TOLD_WITHIN if busy else 0.0))

    def soon(self, now: float) -> None:
        """A slot has become free."""
        if self._asking is not Asking.REQUESTED:
            self._asking, self._due = Asking.IDLE, now
        self._waits = 0

    def not_before(self, when: float) -> None:
        """Say nothing until then."""
        if self._due is not None:
            self._due = max(self._due, when)

    def put_off(self, seconds: float, now: float) -> None:
        """Ask again when so much time has gone by: what was promised came to nothing."""
        self._promised = NOTHING
        if self._due is not None:
            self._due = now + seconds

    def _pause(self, least: float, now: float) -> None:
        if self._asking is Asking.REQUESTED:
            self._request = None
        if self._asking is not Asking.IDLE:
            self._asking = Asking.IDLE
            self._due = now if self._anew else now + max(self._wait(), least * (1.0 + 0.5 * self._random()))

    def _was_asked(self, jid: str) -> bool:
        """Whether our request went to this full JID, or to all instances of it."""
        if self._request is None:
            return False
        asked = self._request.to.lower()
        return asked in (jid.lower(), bare(jid))

    def _wait(self) -> float:
        """Longer each time that nothing came, with jitter, so that a fleet does not ask in step."""
        longest = min(self.longest_wait, FIRST_WAIT * 2.0**self._waits)
        self._waits = min(self._waits + 1, 30)
        return longest * (0.5 + 0.5 * self._random())
