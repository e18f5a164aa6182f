"""Who has changed what: the audit trail (decision 22). Part of the port to the queue.

Every method by which somebody changes the queue stands in `OPERATIONS`. The store writes one entry for each call of it in the same
step as the change: who (`copilot.actor`), what, of what, why, and what came of it. A call that raises an error has changed nothing and
leaves no entry. What somebody with an account was not allowed is noted by who has refused it (`refused`). Nothing of ours ever takes entries away but `cut_audit`, which leaves one itself.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import asdict
from functools import wraps
from typing import Any, Protocol, TypeVar

from copilot.actor import Actor, Via, actor
from copilot.job import JobSpec, one_line
from copilot.records import dataclass
from copilot.roles import Account
from copilot.store.accounts import Bundle
from copilot.store.shares import Share

MOST_TARGETS = 20  # of one call that are named; the rest is counted
LONGEST_TARGET = 4000  # characters
CHANGED, UNCHANGED, REFUSED = "changed", "unchanged", "refused"
FIELDS = ("time", "who", "standing", "via", "place", "verb", "target", "reason", "result")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One change, one that changed nothing, or one that was refused. `time` in seconds since the epoch; `target`: ids of jobs, bare JIDs, or what else the
    verb is about; `result`: `changed` or `unchanged`, and of a job its state after it; or `refused`."""

    id: str
    time: float
    who: str
    standing: str
    via: str
    place: str
    verb: str
    target: str
    reason: str
    result: str

    def facts(self) -> dict[str, object]:
        """For programs, and for the file that an export writes."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A method by which somebody changes the queue: what it is called in the trail (`verb`; "": as its parameter `wish` says), which parameter says of what, which why. `by_hand`:
    what components, messages and programs do in the same way is not told."""

    verb: str
    target: str
    reason: str = ""
    by_hand: bool = False
    raises: bool = False  # if nothing is changed


# By the names of the methods. A new one belongs here, or into `tests/contract/test_audit.py` as no operator's.
OPERATIONS: Mapping[str, Operation] = {
    "submit": Operation(verb="submit", target="specs", by_hand=True),
    "cancel": Operation(verb="cancel", target="job", reason="reason"),
    "hold": Operation(verb="hold", target="job", reason="reason"),
    "release": Operation(verb="release", target="job", reason="reason"),
    "retry": Operation(verb="retry", target="job", reason="reason"),
    "operate_slice": Operation(verb="", target="array", reason="reason"),
    "remove": Operation(verb="remove", target="job"),
    "drain": Operation(verb="drain", target="agents"),
    "pardon": Operation(verb="release-agent", target="agent", reason="reason"),
    "set_aside": Operation(verb="quarantine", target="agent", reason="reason", raises=True),
    "pause": Operation(verb="pause", target="gate", reason="reason"),
    "resume": Operation(verb="resume", target="gate", reason="reason"),
    "set_share": Operation(verb="share", target="share"),
    "put_account": Operation(verb="account", target="account"),
    "revoke": Operation(verb="revoke", target="jid", reason="reason"),
    "expire": Operation(verb="expire", target="jid"),
    "add_bundle": Operation(verb="bundle", target="bundle", raises=True),
    "revoke_bundle": Operation(verb="revoke-bundle", target="ident"),
    "set_password": Operation(verb="password", target="jid"),
    "cut_audit": Operation(verb="cut-audit", target="through", reason="reason"),
}


class AuditTrail(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def audit(
        self, *, after: str = "0", count: int = 100, block: float = 0.0
    ) -> tuple[AuditEntry, ...]:
        """At most `count` (1 to 1000) entries with an id above `after` ("0": from the beginning, "$": only new ones), oldest first; waits
        up to `block` seconds for the first."""
        ...

    async def refused(self, verb: str, targets: Sequence[str], *, reason: str = "") -> None:
        """Note that the actor wanted this and was not allowed to. `targets`: ids of jobs, or bare JIDs."""
        ...

    async def cut_audit(self, through: str, *, reason: str = "") -> int:
        """Take away all entries up to and with that id, which somebody has exported, and leave one that says so. Returns how many."""
        ...

    async def set_password(self, jid: str, line: str) -> None:
        """What the dashboard checks the password of an account against (`copilot.monitor.dashboard.passwords`); "" for none."""
        ...

    async def password(self, jid: str) -> str:
        """The same, read; "" if there is none."""
        ...


_PENDING: ContextVar[list[str] | None] = ContextVar("copilot_audit_entry", default=None)
_Store = TypeVar("_Store", bound=type)
_Method = Callable[..., Awaitable[Any]]


def entry_of(operation: Operation, said: Mapping[str, Any], who: Actor) -> dict[str, str]:
    """The fields of an entry, without time and result."""
    part = said["part"].text if "part" in said else ""  # of an array
    return _fields(
        who,
        verb=operation.verb or said["wish"],
        target=_named(said[operation.target]) + part,
        reason=str(said[operation.reason]) if operation.reason else "",
    )


def refusal(verb: str, targets: Sequence[str], reason: str) -> dict[str, str]:
    """The fields of an entry about what the actor was not allowed, without its time."""
    return {**_fields(actor(), verb=verb, target=_named(targets), reason=reason), "result": REFUSED}


def _fields(who: Actor, *, verb: str, target: str, reason: str) -> dict[str, str]:
    return {
        "who": one_line(who.name),
        "standing": who.standing,
        "via": who.via.value,
        "place": one_line(who.place),
        "verb": one_line(verb),
        "target": one_line(target)[:LONGEST_TARGET],
        "reason": one_line(reason),
    }


def _named(what: object) -> str:
    if isinstance(what, str):
        return str(what)
    if isinstance(what, Sequence):
        more = f" and {len(what) - MOST_TARGETS} more" if len(what) > MOST_TARGETS else ""
        return " ".join(map(_named, what[:MOST_TARGETS])) + more
    match what:
        case Account():
            return f"{what.jid} ({what.standing})"
        case Share():
            limits = "".join(
                f", {name} {most}"
                for name, most in (("jobs", what.jobs), ("cores", what.cores))
                if most is not None
            )
            return f"{what.whose} (shares {what.shares}{limits})"
        case Bundle() | JobSpec():
            return what.id
        case _:
            raise TypeError(f"{type(what).__name__} has no name for the audit trail")


def audited(
    around: Callable[[Callable[[], Awaitable[Any]], Any, dict[str, str]], Awaitable[Any]],
) -> Callable[[_Store], _Store]:
    """Decorates a store: each of its `OPERATIONS` is called by `around`, which writes the entry."""

    def wrapped(method: _Method, operation: Operation) -> _Method:
        signature = inspect.signature(method)

        @wraps(method)
        async def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            who = actor()
            if operation.by_hand and who.via in (Via.SERVICE, Via.XMPP, Via.PYTHON):
                return await method(self, *args, **kwargs)
            said = signature.bind(self, *args, **kwargs)
            said.apply_defaults()
            entry = entry_of(operation, said.arguments, who)
            entry["whole"] = "1" if operation.raises else ""  # what changes nothing there is an error
            entry["now"] = "" if said.arguments.get("now") is None else repr(said.arguments["now"])
            return await around(lambda: method(self, *args, **kwargs), self, entry)

        return call

    def decorate(store: _Store) -> _Store:
        for name, operation in OPERATIONS.items():
            setattr(store, name, wrapped(getattr(store, name), operation))
        return store

    return decorate


async def with_entry(call: Callable[[], Awaitable[Any]], _: Any, entry: dict[str, str]) -> Any:
    """For Redis: the first script that changes something in this call writes the entry (`pending`)."""
    token = _PENDING.set([json.dumps(entry)])
    try:
        return await call()
    finally:
        _PENDING.reset(token)


def pending() -> str | None:
    """The entry that the script which is about to run has to write, as JSON; once."""
    entries = _PENDING.get()
    return entries.pop() if entries else None


def result_of(answer: object) -> str:
    """What came of a call, from its answer; `scripts/audit.lua` says the same."""
    if answer is None:
        return CHANGED
    if isinstance(answer, (bool, int)):
        return CHANGED if answer else UNCHANGED
    word = CHANGED if getattr(answer, "changed", False) else UNCHANGED
    state = getattr(answer, "state", None)
    return f"{word} {state}" if state else word


def check_through(text: str) -> tuple[int, int]:
    """Both numbers of the id of an entry. Raises `ValueError`."""
    first, _, second = text.partition("-")
    if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in (first, second)):
        raise ValueError(
            f"entry {text[:60]!r}: expected the id of an entry of the audit trail, like '1700000000000-0'"
        )
    return int(first), int(second)
