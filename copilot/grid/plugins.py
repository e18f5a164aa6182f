"""Finds sources and finishers by the names of their entry points, and makes them with their own settings.

An entry point names a factory: `make(context: Context)` returns a `JobSource` or a `Finisher`. Whoever installs a
package with such an entry point runs its code in the managers: there is no sandbox.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from copilot.config.manager import ManagerSettings
from copilot.errors import ConfigError
from copilot.grid.base import Context, Finisher, JobSource
from copilot.store.base import Store

log = logging.getLogger("copilot.grid")

SOURCES = "copilot.sources"
FINISHERS = "copilot.finishers"

Factory = Callable[[Context], Any]


def make_sources(config: ManagerSettings, store: Store) -> Mapping[str, JobSource]:
    """The sources that the settings name. Raises `ConfigError`."""
    key = config.key("job_sources")
    return {name: _make(SOURCES, name, key, config, store) for name in config.job_sources}


def make_finisher(config: ManagerSettings, store: Store) -> Finisher:
    """The finisher that the settings name. Raises `ConfigError`."""
    finisher: Finisher = _make(FINISHERS, config.finisher, config.key("finisher"), config, store)
    return finisher


def _make(group: str, name: str, key: str, config: ManagerSettings, store: Store) -> Any:
    kind = group.removeprefix("copilot.").removesuffix("s")
    factory = _factory(group, name, key)
    context = Context(
        name=name,
        settings=_own_settings(f"{kind}_{name}", config.plug_ins),
        state_dir=config.state_dir / f"{kind}-{name}",
        manager=config,
        store=store,
    )
    try:
        context.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        return factory(context)
    except ConfigError:
        raise
    except Exception as error:
        log.exception("%s %s", kind, name)
        raise ConfigError(
            f"{key}: the {kind} {name!r} cannot be made: {type(error).__name__}: {error}; look at its own manual"
        ) from error


def _factory(group: str, name: str, key: str) -> Factory:
    known = {
        point.name: point for point in reversed(entry_points(group=group))
    }  # the first one on the path wins
    if name not in known:
        raise ConfigError(
            f"{key}: no {name!r} is installed (entry points {group}); known: {', '.join(sorted(known)) or 'none'}; "
            "install the package that has it, or name one of these"
        )
    return _loaded(known[name], key)


def _loaded(point: EntryPoint, key: str) -> Factory:
    try:
        factory: Factory = point.load()
    except Exception as error:  # code of somebody else
        raise ConfigError(
            f"{key}: {point.name!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}; known: "
            f"{', '.join(sorted(entry_points(group=point.group).names))}; mend its package or leave the name out"
        ) from error
    return factory


def _own_settings(name: str, written: Mapping[str, str]) -> Mapping[str, str]:
    prefix = re.sub("[^A-Z0-9]", "_", name.upper()) + "_"
    return {key.removeprefix(prefix): value for key, value in written.items() if key.startswith(prefix)}
