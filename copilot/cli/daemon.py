"""What the daemons' commands share: options, settings, log, signals, and how errors become exit codes.

No rich and no Typer here: an agent is light.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import logging
import os
import random
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import copilot
from copilot.cli import collecting
from copilot.cli.directories import make_directory
from copilot.cli.identity import become_configured_user
from copilot.cli.known import known_keys
from copilot.cli.privacy import forget_secrets, keep_to_itself
from copilot.cli.reloading import Reloading, deaf_until_ready, on_hangup
from copilot.config import DIRECTORY_KEY, Settings, keep_resource, load
from copilot.config.groups import LimitSettings, LoggerSettings, RoomSettings
from copilot.config.kinds import LogFormat
from copilot.errors import CopilotError
from copilot.log import JSON_FORMAT, REPORT_FORMAT, prepare, set_up
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.limits import Rate, Throttle, Tier
from copilot.protocol.people import Includes, People
from copilot.protocol.rules import FEATURES, Role
from copilot.protocol.security import Security
from copilot.records import dataclass
from copilot.runtime.loop import Loop
from copilot.runtime.signals import on_stop
from copilot.runtime.systemd import READY, Supervisor
from copilot.transport.adhoc import Commands
from copilot.transport.base import Status
from copilot.transport.settings import XmppSettings, trusting_anew
from copilot.transport.xmpp import XmppTransport

log = logging.getLogger("copilot")

C = TypeVar("C", bound=LoggerSettings)
INTERRUPTED = 130
GARBAGE_AFTER = 10_000  # new objects; a message makes some hundreds, and nearly none of them in a circle


class Entrance(Protocol):
    """What a daemon does before it reads its settings."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Options of its own."""
        ...

    def find(self, chosen: argparse.Namespace) -> Path | None:
        """Where the settings are, as for `--config`. Raises `CopilotError`."""
        ...


@dataclass(frozen=True, slots=True)
class Option:
    """An option that sets a setting, and goes before all else. `flag` is its name where that is not the setting's; `many`: it may be
    given several times. `convert` makes of what was given what the setting takes; `what` is its help."""

    field: str
    flag: str = ""
    metavar: str = ""
    convert: Callable[[str], str] = str
    many: bool = False
    what: str = ""


def main(
    settings: type[C],
    what: str,
    run: Callable[[C, Reloading[C]], Coroutine[Any, Any, int]],
    arguments: Sequence[str] | None = None,
    *,
    options: Sequence[Option] = (),
    entrance: Entrance | None = None,
) -> int:
    """Read the options and settings of a daemon, run it, and return its exit code (2: a setting is wrong).

    `options` set fields of `settings`; `entrance` may say where the settings are. What `run` can change while it runs it says
    to the `Reloading` that it gets.
    """
    collecting.none_at_the_end()
    program = f"copilot-{settings.program.name}"
    chosen = _options(program, what, settings, options, arguments, entrance)
    own = {(key := settings.key(one.field)): one.flag or f"--{_long(key)}" for one in options}
    given = {key: value for key in own if (value := getattr(chosen, key)) is not None}
    environ = {**os.environ, **given}
    try:
        become_configured_user()
        keep_to_itself()
        if entrance is not None:
            set_up(None, level=chosen.log_level, program=program)
            chosen.config = entrance.find(chosen)
        config, warnings = load(settings, chosen.config, environ, known=known_keys)
        if chosen.config is not None:  # who asks later where the settings stand gets the same answer
            os.environ[DIRECTORY_KEY] = str(chosen.config.absolute())
        forget_secrets(settings.secrets())
        unread = _log_as(config, chosen.log_level)()
        for warning in (*unread, *warnings):
            log.warning("%s", warning)
        deaf_until_ready()

        def read() -> C:
            # Passwords that came by the environment are in `environ` alone by now.
            again, more = load(settings, chosen.config, environ, known=known_keys)
            for warning in more:
                log.warning("%s", warning)
            return again

        reloading = Reloading(config, read)
        reloading.on(
            "logger_config_file",
            "log_format",
            prepare=lambda new: _log_again(new, chosen.log_level),
        )
        if isinstance(config, RoomSettings):
            reloading.on(prepare=_trusting_anew)
        return asyncio.run(run(config, reloading))
    except CopilotError as error:
        text = str(error)
        for key in given:  # by an option, which goes the same way
            text = text.replace(f"environment: {key}: ", f"option {own[key]} ({key}): ")
        print(f"{program}: {text}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _log_as(config: LoggerSettings, level: int, *, again: bool = False) -> Callable[[], tuple[str, ...]]:
    """What sends the log where the settings say, and returns warnings. Raises `ConfigError`."""
    layout = JSON_FORMAT if config.log_format is LogFormat.JSON else REPORT_FORMAT
    program = f"copilot-{config.program.name}"
    return prepare(config.logger_config_file, level=level, layout=layout, program=program, again=again)


def _trusting_anew(config: Settings) -> Callable[[], None]:
    """Authorities for the XMPP server: the file may be new where its name is not."""
    assert isinstance(config, RoomSettings)
    return trusting_anew(config.jabber_ca_file)


def _log_again(config: LoggerSettings, level: int) -> Callable[[], None]:
    """The same, in a program that logs already."""
    put = _log_as(config, level, again=True)

    def put_and_warn() -> None:
        for warning in put():
            log.warning("%s", warning)

    return put_and_warn


class _Set(argparse.Action):
    """Puts what was given, as the setting takes it, where the setting's key says."""

    def __init__(self, option: Option, **rest: Any) -> None:
        super().__init__(**rest)
        self._option = option

    def __call__(
        self,
        parser: argparse.ArgumentParser,  # noqa: ARG002 - as argparse has it
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,  # noqa: ARG002
    ) -> None:
        value = self._option.convert(values)
        before = getattr(namespace, self.dest) if self._option.many else None
        setattr(namespace, self.dest, value if before is None else f"{before} {value}")


def _long(key: str) -> str:
    """The long name of the option for a setting, without hyphens in front."""
    return key.partition("_")[2].lower().replace("_", "-")


def _add_option(parser: argparse.ArgumentParser, settings: type[LoggerSettings], option: Option) -> None:
    key = settings.key(option.field)
    name = _long(key)
    declared = next(item for item in settings.declared() if item.field == option.field)
    text = option.what or f"{declared.doc}: {declared.kind.expects}"
    parser.add_argument(
        option.flag or f"--{name}",
        *([] if option.what or not option.flag or option.flag.startswith("--") else [f"--{name}"]),
        dest=key,
        action=_Set,
        option=option,
        metavar=option.metavar or name.rpartition("-")[2].upper(),
        help=f"{text} (setting: {key})".replace("%", "%%"),
    )


def _options(
    program: str,
    what: str,
    settings: type[LoggerSettings],
    options: Sequence[Option],
    arguments: Sequence[str] | None,
    entrance: Entrance | None,
) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=program,
        description=what,
        epilog="Every setting of the configuration file can be overridden by an environment variable of the same "
        f"name. 'copilot config show {program.removeprefix('copilot-')}' lists them with what holds now, "
        "'copilot config init DIRECTORY' writes commented samples.",
    )
    add_common_options(parser)
    if entrance is not None:
        entrance.add_options(parser)
    parser.add_argument(
        "--debug",
        dest="log_level",
        action="store_const",
        const=logging.DEBUG,
        default=logging.INFO,
        help="log every message, too (without a logger configuration file)",
    )
    for option in options:
        _add_option(parser, settings, option)
    return parser.parse_args(arguments)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Those of every program: `--version` and `--config`."""
    parser.add_argument("--version", action="version", version=f"{parser.prog} {copilot.__version__}")
    parser.add_argument(
        "--config",
        type=Path,
        metavar="PATH",
        help="configuration file or directory (default: $COPILOT_CONFIG, else /etc/copilot)",
    )


def endpoint(
    role: Role,
    trusts: Callable[[str], bool] = lambda _: True,
    *,
    features: Sequence[str] = FEATURES,
    throttle: Throttle | None = None,
    permits: Callable[[str, str], bool] = lambda _, __: True,
    security: Security | None = None,
) -> Endpoint:
    """The protocol's end of a program."""
    return Endpoint(
        role,
        new_id=lambda: str(uuid.uuid4()),
        random=random.random,
        features=features,
        trusts=trusts,
        throttle=throttle,
        permits=permits,
        security=security,
    )


def throttle(
    config: LimitSettings, *services: str | None, known: Callable[[str], bool] | None = None
) -> Throttle:
    """The limits of a program that everybody may speak to. `services`: bare JIDs that have none, besides its own account;
    `known` says who is no stranger (None: the accounts of its own domain)."""
    free = {bare(jid) for jid in (config.jid, *services) if jid is not None}
    is_known = known or People.of(config.jabber_domain).include

    def tier(account: str) -> Tier:
        if account in free:
            return Tier.SERVICE
        return Tier.KNOWN if is_known(account) else Tier.STRANGER

    return Throttle(tier, _rate(config))


def throttle_again(throttle: Throttle, config: LimitSettings) -> None:
    """Other limits, for those who speak from now on and those who have spoken before."""
    throttle.change(_rate(config))


def _rate(config: LimitSettings) -> Rate:
    return Rate(per_second=config.rate_limit, burst=config.rate_burst)


def transport(
    config: RoomSettings,
    kept_in: Path,
    name: str,
    features: Sequence[str] = FEATURES,
    *,
    status: Status | None = None,
    askers: Includes,
    commands: Commands | None = None,
    end: Endpoint | None = None,
) -> XmppTransport:
    """The XMPP session of a daemon; without a configured resource it has one of its own, kept in `kept_in`. `status` is told
    to `askers`; whoever is over the limits of `end` is not read."""
    make_directory(kept_in)
    resource = config.jabber_resource or keep_resource(kept_in, config.program.name).name
    return XmppTransport(
        XmppSettings(
            jid=config.jid,
            password=config.jabber_password,
            resource=resource,
            host=config.jabber_server,
            port=config.jabber_port,
            tls=config.jabber_tls.value,
            ca_file=config.jabber_ca_file,
            name=name,
            features=tuple(features),
            allow=askers,
        ),
        status=status,
        commands=commands,
        lets=(lambda _: True) if end is None else (lambda sender: end.lets(sender, time.monotonic())),
        lost=(lambda: None) if end is None else end.lost,
    )


async def turn(loop: Loop, reloading: Reloading[Any] | None = None) -> int:
    """Run a loop until it leaves; SIGTERM and Ctrl-C ask it to, SIGHUP has the settings read again, and systemd hears how it fares."""
    gc.freeze()  # what is here now stays to the end, and nobody needs to look again whether it is garbage
    gc.set_threshold(GARBAGE_AFTER)
    supervisor = Supervisor()
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_stop(loop.stop))
        if reloading is not None:
            reloading.complete()
            stack.enter_context(on_hangup(partial(reloading.reload_and_log, supervisor)))
        async with supervisor.watching():
            return await loop.run(lambda: supervisor.tell(READY))
