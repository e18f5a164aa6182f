"""`copilot config`: look at configuration files, show what holds, write samples. Starts nothing."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from copilot.cli.components import COMPONENTS, KNOWN_KEYS, component
from copilot.cli.samples import holds_secrets, sample_files
from copilot.config import Loaded, Setting, Settings, locate, resolve
from copilot.config.source import read_source, sets_anything
from copilot.errors import ConfigError

HIDDEN = "********"
NOT_SET = "(not set)"

app = typer.Typer(help="Look at configuration files, show what holds, write samples.", no_args_is_help=True)

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", help="Configuration directory or file; else $COPILOT_CONFIG, else /etc/copilot."
    ),
]


@app.command()
def check(
    components: Annotated[
        list[str] | None, typer.Argument(metavar="COMPONENT...", help="Default: those that have a file.")
    ] = None,
    config: ConfigOption = None,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on warnings, too.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A JSON list of what is wrong with each component.")
    ] = False,
) -> None:
    """Check the settings of components without starting them."""
    with _exit_on_error():
        chosen = [component(name) for name in components] if components else _present(config)
    failed = False
    said: set[str] = set()
    found = []
    for cls in chosen:
        name, faults, lines = f"copilot-{cls.program.name}", list[str](), list[str]()
        try:
            lines = _warnings(resolve(cls, config, os.environ, known=lambda: KNOWN_KEYS))
        except ConfigError as error:
            failed, faults = True, str(error).split("\n")
        found.append({"component": name, "ok": not faults, "faults": faults, "warnings": lines})
        if as_json:
            said.update(lines)
            continue
        _say(faults or lines, said)
        if not faults:
            print(f"{name}: ok")
    if as_json:
        print(json.dumps(found))
    if failed or (strict and said):
        raise typer.Exit(ConfigError.exit_code)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="COMPONENT", help="agent, jobmanager-generic, ...")],
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object by key.")] = False,
) -> None:
    """Show the settings that a component would start with, and where each comes from."""
    with _exit_on_error():
        cls = component(name)
        loaded = resolve(cls, config, os.environ, known=lambda: KNOWN_KEYS)
    _say(_warnings(loaded), set())
    rows = [_row(loaded, cls, item) for item in cls.declared()]
    if as_json:
        print(json.dumps({key: {"value": value, "origin": origin} for key, value, origin in rows}, indent=2))
        return
    key_width = max(len(key) for key, _, _ in rows)
    value_width = max(len(value or NOT_SET) for _, value, _ in rows)
    for key, value, origin in rows:
        print(f"{key:<{key_width}}  {value or NOT_SET:<{value_width}}  {origin}")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(help="Where to write the files; made if it does not exist.")],
) -> None:
    """Write sample files for all components, every key explained. Overwrites nothing."""
    files = sample_files()
    with _exit_on_error():
        present = [name for name in files if (directory / name).exists()]
        if present:
            raise ConfigError(f"{directory}: {', '.join(present)}: exists already; nothing was written")
        try:
            directory.mkdir(parents=True, exist_ok=True)
            for name, text in files.items():
                _write(directory / name, text)
        except OSError as error:
            raise ConfigError(
                f"{error.filename or directory}: cannot be written: {error.strerror}"
            ) from error
    print(f"{len(files)} files written to {directory}; fill in what is required, then run")
    print(f"    copilot config check --config {directory}")


@contextmanager
def _exit_on_error() -> Iterator[None]:
    try:
        yield
    except ConfigError as error:
        print(f"copilot: {error}", file=sys.stderr)
        raise typer.Exit(error.exit_code) from error


def _present(config: Path | None) -> list[type[Settings]]:
    """The components whose own file sets anything."""
    place = locate(config, os.environ)
    directory = place if place.is_dir() else place.parent
    files = {cls: directory / cls.program.files[0] for cls in COMPONENTS}
    if place != directory:
        files = {cls: file for cls, file in files.items() if file.name == place.name}
    chosen = [cls for cls, file in files.items() if sets_anything(read_source(file))]
    if not chosen:
        raise ConfigError(
            f"{place}: no settings of a component found here; name the component, or see `init`"
        )
    return chosen


def _warnings(loaded: Loaded[Any]) -> list[str]:
    return [f"warning: {warning}" for warning in loaded.warnings]


def _say(lines: list[str], said: set[str]) -> None:
    """Print each line once, however many components share the file that it is about."""
    for line in lines:
        if line not in said:
            said.add(line)
            print(line, file=sys.stderr)


def _row(loaded: Loaded[Any], cls: type[Settings], item: Setting) -> tuple[str, str | None, str]:
    """Key, value as a person would write it (None: there is none), and origin."""
    key = cls.key(item.field)
    entry = loaded.entries.get(item.field)
    if entry is not None:
        origin = entry.origin if entry.key == key else f"{entry.origin} ({entry.key})"
        return key, HIDDEN if item.secret else entry.value, origin
    value = getattr(loaded.config, item.field)
    if item.default is not None or value is None:
        return key, item.default, "default"
    return key, " ".join(value) if isinstance(value, tuple) else str(value), "default"


def _write(path: Path, text: str) -> None:
    """Make a file that is nobody else's business from its first moment if it may hold a password."""
    mode = 0o600 if holds_secrets(text) else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
