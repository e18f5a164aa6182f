"""Groups of commands whose modules are imported only when one of their commands is asked for.

To import them all takes most of a second, which nobody wants to wait for who asks one short question.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

import typer
import typer.main
from typer.core import TyperGroup

from copilot.cli.spelling import spelt
from copilot.records import dataclass


@dataclass(frozen=True, slots=True)
class At:
    """Where a command is: `module:name` below `copilot.cli`, a function or a `typer.Typer` of its own.

    `settings`: of its context, as in `typer.Typer.command`.
    """

    place: str
    hidden: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def load(self, name: str) -> Any:
        """The command, called `name`."""
        module, _, attribute = self.place.partition(":")
        found = getattr(importlib.import_module(f"copilot.cli.{module}"), attribute)
        if isinstance(found, typer.Typer):
            command: Any = typer.main.get_group(found)
            command.hidden = self.hidden
        else:
            alone = typer.Typer(add_completion=False)
            alone.command(name, hidden=self.hidden, context_settings=dict(self.settings))(found)
            command = typer.main.get_command(alone)
        command.name = name
        return command


class _Commands(Mapping[str, Any]):
    """As a group keeps them: by name, in the order of help. Only what is looked up is loaded."""

    def __init__(self, places: Mapping[str, At | typer.Typer]) -> None:
        self._places = dict(places)
        self._loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._loaded:
            place = self._places[name]
            command: Any = place.load(name) if isinstance(place, At) else typer.main.get_group(place)
            command.name = name
            self._loaded[name] = command
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def group(places: Mapping[str, At | typer.Typer], **about: Any) -> typer.Typer:
    """A group of these commands. `about`: as of `typer.Typer`."""

    class Group(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            super().__init__(**attributes)
            self.commands: Any = _Commands(places)

        def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  # as of the base
            """Names, without a look at the commands."""
            return list(self.commands)

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            """Options as people spell them."""
            return super().parse_args(ctx, spelt(args) if ctx.parent is None else args)

    return typer.Typer(cls=Group, no_args_is_help=True, **about)
