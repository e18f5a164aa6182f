"""SIGHUP, and the command `reload` of XMPP clients: a daemon reads its configuration again and takes over what it can.

All or nothing: a file that cannot be read as at the start changes nothing. What has changed and is read at the start alone
is named in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import fields, replace
from functools import partial
from typing import Any, Generic, TypeVar

from copilot.config import Settings
from copilot.config.groups import RoomSettings
from copilot.errors import CopilotError
from copilot.protocol.people import Circle, People
from copilot.records import dataclass
from copilot.runtime.systemd import READY, RELOADING, Supervisor

log = logging.getLogger("copilot")

C = TypeVar("C", bound=Settings)
NOTHING_TAKEN = "The configuration was not taken over, nothing has changed: %s"


@dataclass(frozen=True, slots=True)
class _Taker(Generic[C]):
    """`prepare` raises `CopilotError` if the new values cannot be put to work; what it returns puts them to work, and cannot fail."""

    fields: frozenset[str]
    prepare: Callable[[C], Callable[[], object]]


class Reloading(Generic[C]):
    """The settings of one running daemon. `read` reads them as at the start, and raises `CopilotError`."""

    def __init__(self, config: C, read: Callable[[], C]) -> None:
        self._config = config
        self._read = read
        self._takers: list[_Taker[C]] = []

    def on(self, *names: str, prepare: Callable[[C], Callable[[], object]]) -> None:
        """These fields can be taken over while the daemon runs. `prepare` is called on every reload, for what is in the files that
        settings name may be new where the settings are not. It raises `CopilotError` if the new values cannot be put to work;
        what it returns puts them to work, and cannot fail."""
        self._takers.append(_Taker(frozenset(names), prepare))

    def take(self, *names: str, by: Callable[[C], object]) -> None:
        """As `on`, where nothing can go wrong."""
        self.on(*names, prepare=lambda new: partial(by, new))

    def complete(self) -> None:
        """What the settings promise is what is taken over; a mistake of ours is found at the first start."""
        promised = {item.field for item in self._config.declared() if item.reload}
        taken = self._taken()
        assert promised == taken, f"settings with reload: {sorted(promised)}; taken over: {sorted(taken)}"

    def reload(self) -> str:
        """Read the settings again; says in words what came of it. Raises `CopilotError`, and then nothing has changed."""
        new = self._read()
        changed = {
            item.name for item in fields(new) if getattr(new, item.name) != getattr(self._config, item.name)
        }
        taken = self._taken() & changed
        config = replace(self._config, **{name: getattr(new, name) for name in self._taken()})
        for put in [taker.prepare(config) for taker in self._takers]:
            put()
        self._config = config
        return self._in_words(taken, changed - taken)

    def _taken(self) -> set[str]:
        return set().union(*(taker.fields for taker in self._takers))

    def _in_words(self, taken: set[str], left: set[str]) -> str:
        said = [f"Taken over: {self._named(taken)}." if taken else "No setting was taken over."]
        if left:
            said.append(f"A restart is needed for: {self._named(left)}.")
        return "The configuration was read again. " + " ".join(said)

    def _named(self, names: set[str]) -> str:
        """Keys, never values: some are secrets."""
        keys = {item.field: self._config.key(item.field) for item in self._config.declared()}
        others = self._config.prefixes()
        return ", ".join(
            sorted(keys.get(name) or "/".join(f"{one}*" for one in others[name]) for name in names)
        )

    def reload_and_log(self, supervisor: Supervisor) -> None:
        """For a signal: systemd hears of it, and the log what came of it."""
        ready = supervisor.said_ready  # before that, READY=1 would say what is not so
        if ready:
            supervisor.tell(
                RELOADING, f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"
            )
        try:
            log.info("%s", self.reload())
        except CopilotError as error:
            log.error(NOTHING_TAKEN, error)
        finally:
            if ready:
                supervisor.tell(READY)

    async def asked(self) -> str:
        """For the command: what came of it, which is an answer, too, if it failed."""
        try:
            said = self.reload()
        except CopilotError as error:
            log.error(NOTHING_TAKEN, error)
            # What is wrong may name paths, and the answer goes to another machine.
            return "The configuration was not taken over, nothing has changed; what is wrong with it is in the component's log."
        log.info("%s", said)
        return said


def people_of(config: C, reloading: Reloading[C], name: str, who: Callable[[C], Collection[str]]) -> Circle:
    """Those whom a setting (the field `name`) means, as it says then. `who`: bare JIDs and domains."""
    circle = Circle(People.of(*who(config)))

    def change(new: C) -> None:
        circle.people = People.of(*who(new))

    reloading.take(name, by=change)
    return circle


def askers_of(config: RoomSettings, reloading: Reloading[Any]) -> Circle:
    """Who is told how the component fares, as the settings say then (HB_ALLOW)."""
    return people_of(config, reloading, "hb_allow", lambda new: new.askers)


def deaf_until_ready() -> None:
    """Until a daemon can read its configuration again, SIGHUP does nothing rather than end it. Not SIG_IGN, which payloads would
    inherit."""
    if not _has_terminal():
        signal.signal(signal.SIGHUP, lambda _, __: None)


@contextlib.contextmanager
def on_hangup(reload: Callable[[], None]) -> Iterator[None]:
    """While inside, SIGHUP calls `reload`. A program that was started in a terminal ends with it, as ever: then SIGHUP keeps its
    meaning."""
    if _has_terminal():
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, reload)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        deaf_until_ready()  # what comes now must not end it before it has stopped in order


def _has_terminal() -> bool:
    try:
        return sys.stdin is not None and os.isatty(sys.stdin.fileno())
    except (OSError, ValueError):  # closed, or none that is a file
        return False
