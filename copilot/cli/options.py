"""Options that many commands have, and how they are spelt."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.spelling import LEAST_WATCH, WATCH
from copilot.client.filters import Filter, read_state, read_where
from copilot.client.here import owner_here
from copilot.config.kinds import duration
from copilot.errors import BadName

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Reason = Annotated[str, typer.Option(help="Why, for those who look later.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Watch = Annotated[
    float | None,
    typer.Option(
        "--watch",
        min=LEAST_WATCH,
        metavar="[SECONDS]",
        help=f"Show it again and again ({WATCH:g} s), until q or Ctrl-C.",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration directory or file; else $COPILOT_CONFIG, else /etc/copilot."
    ),
]
Remote = Annotated[
    bool,
    typer.Option(
        "--remote", "-r", help="By XMPP, with an account of your own, as `copilot-job-submit --remote`."
    ),
]

# Which jobs are meant, if not by their ids.
Owners = Annotated[
    list[str] | None,
    typer.Option("--owner", metavar="NAME", help="Jobs of this owner; me: yours. Repeatable."),
]
States = Annotated[
    list[str] | None, typer.Option("--state", metavar="STATE", help="Jobs in this state. Repeatable.")
]
Projects = Annotated[
    list[str] | None, typer.Option("--project", metavar="NAME", help="Jobs of this project. Repeatable.")
]
Tags = Annotated[
    list[str] | None, typer.Option("--tag", metavar="TAG", help="Jobs with this tag; repeated: with each.")
]
Agents = Annotated[
    list[str] | None, typer.Option("--agent", metavar="JID", help="Jobs that are or were last at this agent.")
]
WhereOption = Annotated[
    str | None,
    typer.Option(
        "--where", metavar="EXPRESSION", help="Jobs of which this is true: 'Priority > 3 && Age > 3600'."
    ),
]

_DURATION = duration(0)


def chosen(
    owners: Sequence[str] | None = None,
    states: Sequence[str] | None = None,
    projects: Sequence[str] | None = None,
    tags: Sequence[str] | None = None,
    agents: Sequence[str] | None = None,
    where: str | None = None,
) -> Filter:
    """What these options mean together. Raises `BadName`."""
    return Filter(
        owners=tuple(owner_here() if owner == "me" else owner for owner in owners or ()),
        states=tuple(dict.fromkeys(map(read_state, states or ()))),
        projects=tuple(projects or ()),
        tags=tuple(tags or ()),
        agents=tuple(agents or ()),
        where=None if where is None else read_where(where),
    )


def read_duration(text: str, option: str) -> float:
    """Seconds. Raises `BadName`."""
    try:
        return _DURATION.convert(text)
    except ValueError:
        raise BadName(f"{option} {text[:40]!r}: expected {_DURATION.expects}") from None


def who() -> str:
    """Who types, for those who look later."""
    return f"{os.environ.get('SUDO_USER') or owner_here()}@{socket.gethostname()}"
