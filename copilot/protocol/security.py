"""What stands between transport and endpoint in secure mode: sealed messages to plain ones, and back. No cryptography here.

A suite (`session.py` has `v2`) knows sessions and keys; `Security` knows which suite a message is of, and what may be heard and
said in clear.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec
from copilot.protocol.envelope import Envelope, bare
from copilot.records import dataclass

# What every peer is told, whatever is wrong: who tries things out learns nothing.
UNREADABLE = "the message cannot be opened, or its sender does not belong here"
IN_CLEAR = "in-clear"  # the reasons for which a message is dropped
NOT_OPENED = "not-opened"
NOT_SEALED = "not-sealed"  # one of ours: there is nobody for whom it could be sealed
HEARD_IN_CLEAR = "security_error"
MOST_SESSION = 2048  # characters of a session as its opener sent it
LOOK_AGAIN = 2.0  # s until it is looked again whether there are keys by now


def proves_sender(session: str) -> bool:
    """Whether who has opened this session (as in `Opened`) is known for sure: `v1` proves nobody."""
    return session.startswith("v2:")


class Unsaid(SealError):
    """Its receiver must not hear it, and misses nothing: there is nothing to tell anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A message in clear. `sealed`: it was not so on its way, and its sender is proven. `in_v1`: it was sealed in suite v1, which
    proves nobody. `session` is the session as its opener sent it, "" if we have
    opened it. `key` is the signing key under which it was opened, as in `copilot.roles.Account.key`. `only_enrols`: that key is
    not registered; who has it may ask to be let in, and nothing else."""

    envelope: Envelope
    sealed: bool = True
    session: str = ""
    key: str = ""
    only_enrols: bool = False
    in_v1: bool = False


@dataclass(slots=True)
class Openings:
    """Sessions that others have opened with us, for metrics: each that was `opened` has cost a signature and an RSA decryption. One
    that was `refused` may have."""

    opened: int = 0
    refused: int = 0


class Suite(Protocol):
    """One way of sealing. `now` is in seconds of a clock that never jumps."""

    name: str
    uses_body: bool  # whether it matters what the XMPP server does to bodies

    def recognises(self, envelope: Envelope) -> bool:
        """Whether a sealed message is of this suite."""
        ...

    def opened(self, envelope: Envelope, now: float) -> Opened:
        """Raises `SealError`; its text names the cause, for the log alone."""
        ...

    def sealed(self, envelope: Envelope, now: float) -> Envelope | None:
        """None: there is no session with its receiver, and none can be opened. Raises `SealError` if it must not be sent at all,
        `Unsaid` if nobody need know."""
        ...

    def in_clear(self, envelope: Envelope) -> Envelope | None:
        """What of a message in clear is heard all the same, where nothing else is; None: nothing."""
        ...

    def adopt(self, to: str, session: str, now: float) -> bool:
        """`to` (full JID) has opened this session, as in `Opened`, with us or with another instance: go on with it, unless it has
        spoken to us since in another one. False: it is not of this suite. Raises `SealError`."""
        ...


class Security:
    """The secure mode of one component."""

    def __init__(
        self,
        suites: Sequence[Suite],
        *,
        strict: bool,
        later: Callable[[], Sequence[Suite]] | None = None,
        sealed_alone: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`strict`: nothing in clear is heard but `security_error`, and nothing is said in clear. Else who speaks sealed is
        answered so, and `sealed_alone(bare JID)` says for whom it is strict all the same: who has a key of his own would else be
        whoever the XMPP server says. Without `suites`, `later` is asked for some when somebody speaks sealed."""
        self._suites = tuple(suites)
        self.strict = strict
        self._later = later
        self._sealed_alone = sealed_alone
        self._next_look = float("-inf")

    @property
    def uses_body(self) -> bool:
        """Whether it matters what the XMPP server does to bodies."""
        return not self.strict or any(suite.uses_body for suite in self._suites)

    def opened(self, envelope: Envelope, now: float) -> Opened:
        """The message as the endpoint hears it. Raises `SealError`."""
        if not envelope.is_sealed:
            if not self._strict_with(envelope.sender):
                return Opened(envelope=envelope, sealed=False)
            if _command(envelope) == HEARD_IN_CLEAR:
                return Opened(envelope=replace(envelope, acks=(), noack=True), sealed=False)
            for suite in self._suites:
                if (heard := suite.in_clear(envelope)) is not None:
                    return Opened(envelope=heard, sealed=False)
            raise SealError("it came in clear")
        for suite in self._all(now):
            if suite.recognises(envelope):
                return suite.opened(envelope, now)
        raise SealError("it is sealed in a way that is not used here, or we have no keys")

    def sealed(self, envelope: Envelope, now: float, *, session: str = "") -> Envelope:
        """As it goes out: sealed, or, to those who may have it so, in clear. With the `session` of its receiver (see `Opened`), who
        may have opened it with another instance, never in clear. Raises `SealError` if it cannot go out."""
        if session:
            self._adopt(envelope.to, session, now)
        for suite in self._suites:
            found = suite.sealed(envelope, now)
            if found is not None:
                return found
        if session or (self._strict_with(envelope.to) and _command(envelope) != HEARD_IN_CLEAR):
            raise SealError(f"there is no session with {envelope.to}, and we have no key of theirs")
        return envelope

    def _strict_with(self, jid: str) -> bool:
        return self.strict or self._sealed_alone(bare(jid))

    def _adopt(self, to: str, session: str, now: float) -> None:
        if len(session) > MOST_SESSION or not any(suite.adopt(to, session, now) for suite in self._all(now)):
            raise SealError(f"the session with {to} is of no suite that is used here")

    def _all(self, now: float) -> tuple[Suite, ...]:
        if not self._suites and self._later is not None and now >= self._next_look:
            self._next_look = now + LOOK_AGAIN
            self._suites = tuple(self._later())
        return self._suites


def _command(envelope: Envelope) -> str:
    info = envelope.element or envelope.body
    with contextlib.suppress(ProtocolError):
        return "" if info is None else codec.decode_value(info.attributes.get("command", ""))
    return ""
