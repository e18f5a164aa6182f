"""`copilot-heartbeat`: asks components how they fare (report, section 4.5.4)."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import secrets
import sys
from collections.abc import Sequence
from typing import Any

from copilot.cli import daemon
from copilot.cli.known import known_keys
from copilot.config import load
from copilot.errors import CopilotError
from copilot.heartbeat.asking import RESOURCE, Answer, Asker, Target, chosen, is_full_jid
from copilot.heartbeat.config import HeartbeatConfig
from copilot.heartbeat.rooms import Rooms
from copilot.heartbeat.status import STATUSES, Row, read
from copilot.log import set_up
from copilot.protocol.commands import Command, GetStatus, HaveStatus, Ping
from copilot.protocol.rules import Role
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport

PROGRAM = "copilot-heartbeat"
COMMANDS = {
    "list": "nicks of the components that answer",
    "ping": "how long each component takes to answer",
    "systemLoad": "load in the last 1, 5 and 15 minutes",
    "diskUsage": "physical disks: used, available, size (MB)",
    "memoryUsage": "memory and swap: used, available (MB)",
    "runningProcesses": "the biggest processes: %CPU, %memory, resident MB, CPU seconds, name",
}
# Flags that override settings. No password: the command line is for all to see.
OVERRIDES = (
    "chat_room",
    "chat_server",
    "chat_owner",
    "jabber_server",
    "jabber_port",
    "jabber_domain",
    "jabber_id",
    "jabber_tls",
    "jabber_ca_file",
)
GAP = 6  # blanks after the widest value of a column, as in listing 4.19 of the report
SESSION_LIMIT = 30.0  # s
LONGEST = 3600.0  # s that may be asked for
SILENT = 1  # exit code: somebody did not answer
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0: all answered; 1: some did not, or the server cannot be used; 2: used wrongly."""
    options = _parser().parse_args(arguments)
    given = {HeartbeatConfig.key(name): getattr(options, name) for name in OVERRIDES}
    environ = {**os.environ, **{key: value for key, value in given.items() if value is not None}}
    try:
        config, warnings = load(HeartbeatConfig, options.config, environ, known=known_keys)
        for warning in (*set_up(config.logger_config_file, level=logging.WARNING), *warnings):
            print(f"{PROGRAM}: warning: {warning}", file=sys.stderr)
        return asyncio.run(_run(config, options))
    except CopilotError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [OPTIONS] [COMMAND] [JIDs]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Asks the components in the heartbeat's chat rooms how they fare.",
        epilog="commands:\n"
        + "".join(f"  {name:<18}{text}\n" for name, text in COMMANDS.items())
        + "\nJIDs are full JIDs, room JIDs or nicks; without any everybody is asked. Those that stay silent are named on\n"
        "the error output, and the exit code is 1. The password stands in HB_JABBER_PASSWORD: in the environment, or in\n"
        "copilot-heartbeat.conf or Copilot.conf.",
    )
    parser.add_argument(
        "command", nargs="?", choices=COMMANDS, default="list", metavar="COMMAND", help="default: list"
    )
    parser.add_argument("jids", nargs="*", metavar="JIDs", help="whom to ask")
    daemon.add_common_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="print a JSON array, one object for each component"
    )
    parser.add_argument(
        "--watch",
        nargs="?",
        type=_seconds,
        const=5.0,
        metavar="SECONDS",
        help="ask again and again (every 5 s)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=10.0,
        metavar="SECONDS",
        help="who is silent for so long is (default: 10)",
    )
    docs = {item.field: f"{item.doc} (setting: {item.key})" for item in HeartbeatConfig.declared()}
    for name in OVERRIDES:
        text = docs[name].replace("*_", "HB_")
        parser.add_argument(f"--{name.replace('_', '-')}", dest=name, metavar="VALUE", help=text)
    return parser


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST:
        raise argparse.ArgumentTypeError(f"{text!r}: expected seconds, above 0 and up to {LONGEST:.0f}")
    return seconds


async def _run(config: HeartbeatConfig, options: argparse.Namespace) -> int:
    rooms = Rooms(name=config.chat_room, server=config.chat_server, shards=1)
    endpoint = daemon.endpoint(Role.HEARTBEAT, features=())
    asker = Asker(_transport(config), endpoint, rooms, owner=config.chat_owner)
    async with asker.session(SESSION_LIMIT):
        while True:
            targets = await _targets(asker, options.jids, config.chat_server)
            answers = await asker.ask(targets, _question(options.command), options.timeout)
            silent = _show(options.command, answers, as_json=options.json)
            if options.watch is None:
                return SILENT if silent else 0
            await asyncio.sleep(options.watch)  # as it was asked for
            if not options.json:
                print()


async def _targets(asker: Asker, words: Sequence[str], service: str) -> list[Target]:
    if words and all(is_full_jid(word, service) for word in words):
        return chosen(words, (), service)
    await asker.enter()
    components = await asker.components()
    return chosen(words, components, service) if words else components


def _transport(config: HeartbeatConfig) -> XmppTransport:
    return XmppTransport(
        XmppSettings(
            jid=config.jid,
            password=config.jabber_password,
            resource=config.jabber_resource or f"{RESOURCE}{secrets.token_hex(8)}",
            host=config.jabber_server,
            port=config.jabber_port,
            tls=config.jabber_tls.value,
            ca_file=config.jabber_ca_file,
            priority=-1,  # the account may be the job manager's, whose messages are not for us
            name="Co-Pilot heartbeat",
        )
    )


def _question(command: str) -> Command:
    return GetStatus(component=command) if command in STATUSES else Ping()


# -- what is shown


def _show(command: str, answers: Sequence[Answer], *, as_json: bool) -> bool:
    """Print what was said; returns whether somebody was silent."""
    told = [(answer, _rows(command, answer)) for answer in answers]
    if as_json:
        print(json.dumps([_object(command, answer, rows) for answer, rows in told]), flush=True)
    else:
        lines = [(answer.target.nick, *row) for answer, rows in told for row in rows or ()]
        print(_table(("Room nick", *_columns(command)), lines), flush=True)
    silent = [answer.target for answer, rows in told if rows is None]
    for target in silent:
        print(f"{PROGRAM}: no answer from {target.nick} ({target.address})", file=sys.stderr)
    return bool(silent)


def _columns(command: str) -> tuple[str, ...]:
    if command in STATUSES:
        return STATUSES[command].columns
    return ("Answer ms",) if command == "ping" else ()


def _rows(command: str, answer: Answer) -> list[Row] | None:
    """None: no answer, or none that can be read."""
    if answer.command is None:
        return None
    if command not in STATUSES:
        return [(f"{answer.seconds * 1000:.1f}",)] if command == "ping" else [()]
    if not isinstance(answer.command, HaveStatus) or answer.command.component != command:
        return None
    try:
        return read(STATUSES[command], answer.command.status)
    except ValueError as error:
        print(f"{PROGRAM}: {answer.target.nick} answers what cannot be read: {error}", file=sys.stderr)
        return None


def _object(command: str, answer: Answer, rows: list[Row] | None) -> dict[str, Any]:
    target = answer.target
    said: dict[str, Any] = {
        "nick": target.nick,
        "jid": target.address,
        "room": target.room,
        "answered": rows is not None,
    }
    if rows is not None and command in STATUSES:
        said["rows"] = [_values(command, row) for row in rows]
    elif rows is not None:
        said["milliseconds"] = round(answer.seconds * 1000, 1)
    return said


def _values(command: str, row: Row) -> dict[str, float | str]:
    status = STATUSES[command]
    numbers = len(row) - status.texts
    return {
        name: float(value) if place < numbers else value
        for place, (name, value) in enumerate(zip(status.columns, row, strict=True))
    }


def _table(head: Row, lines: Sequence[Row]) -> str:
    """Columns as wide as their widest value and a gap; nothing behind the last one."""
    widths = [max(len(row[place]) for row in (head, *lines)) + GAP for place in range(len(head))]
    rows = (
        "".join(f"{value:<{width}}" for value, width in zip(row, widths, strict=True))
        for row in (head, *lines)
    )
    return "\n".join(row.rstrip() for row in rows)


if __name__ == "__main__":
    sys.exit(main())
