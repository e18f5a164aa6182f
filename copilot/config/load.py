"""From files and environment to a component's settings; every problem is reported, not only the first."""

from __future__ import annotations

import difflib
import fnmatch
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from copilot.config.secret import FILE_SUFFIX, Unreadable, credential, read_secret
from copilot.config.setting import Setting, Settings
from copilot.config.source import Entry, Source, read_source, sets_anything
from copilot.errors import ConfigError
from copilot.records import dataclass

DEFAULT_DIRECTORY = Path("/etc/copilot")
DIRECTORY_KEY = "COPILOT_CONFIG"
COMMON_FILE = "Copilot.conf"
_MAX_SHOWN = 80  # characters of a wrong value in an error

C = TypeVar("C", bound=Settings)
KnownKeys = Callable[[], Collection[str]]


@dataclass(frozen=True, slots=True)
class Loaded(Generic[C]):
    """A component's settings, what was written for each (by field name), and what a person should look at."""

    config: C
    entries: Mapping[str, Entry]
    warnings: tuple[str, ...]


def load(
    cls: type[C], path: Path | None, environ: Mapping[str, str], *, known: KnownKeys | None = None
) -> tuple[C, tuple[str, ...]]:
    """The settings of a component, and warnings, one line each. See `resolve`."""
    loaded = resolve(cls, path, environ, known=known)
    return loaded.config, loaded.warnings


def resolve(
    cls: type[C], path: Path | None, environ: Mapping[str, str], *, known: KnownKeys | None = None
) -> Loaded[C]:
    """Read the settings of a component.

    `path` is a directory, or the component's file itself (with `Copilot.conf` beside it); None: what `COPILOT_CONFIG`
    names, else `/etc/copilot`. `known` gives the keys of all components, and prefixes ending in `*`: a key outside of
    them is a warning. It is called only if there are keys that are not the component's own. Raises one `ConfigError` with a line for each problem.
    """
    sources, own = _read(cls, locate(path, environ))
    faults = [fault for source in sources for fault in source.faults]
    warnings = [warning for source in sources for warning in source.warnings]
    warnings += [line for source in sources if known for line in _unknown(cls, source, known)]
    written = {key: entry for source in sources for key, entry in source.entries.items()}
    reader = _Reader(cls, written, environ, own)
    values = reader.values()
    faults += reader.faults
    warnings += reader.warnings
    faults += [reader.fault(name, text) for name, text in cls.check(values)]
    if faults:
        if not written:
            place = locate(path, environ)
            faults.append(
                f"nothing is set in {place}: name the directory of your settings by --config or {DIRECTORY_KEY}; `copilot up` prints that of its own"
            )
        # A misspelt key is the likeliest reason why another one is missing.
        raise ConfigError("\n".join([*faults, *(f"warning: {warning}" for warning in warnings)]))
    return Loaded(cls(**values), reader.entries, tuple(warnings))


def locate(path: Path | None, environ: Mapping[str, str]) -> Path:
    """The directory or file to read. Raises `ConfigError` if one that was named cannot be used."""
    named = environ.get(DIRECTORY_KEY)
    place = path or (Path(named) if named else DEFAULT_DIRECTORY)
    if place != DEFAULT_DIRECTORY and not os.access(place, os.X_OK if place.is_dir() else os.R_OK):
        source = "--config" if path else f"environment: {DIRECTORY_KEY}"
        raise ConfigError(
            f"{source}: expected a directory or file that exists and can be read, found {str(place)!r}"
        )
    return place


def _read(cls: type[Settings], place: Path) -> tuple[list[Source], str]:
    """The sources in the order in which they override each other, and the file to name for what is missing."""
    file_named = place.exists() and not place.is_dir()
    directory = place.parent if file_named else place
    candidates = [place] if file_named else [directory / name for name in cls.program.files]
    common = read_source(directory / COMMON_FILE)
    chosen = next(filter(sets_anything, map(read_source, candidates)), None)
    blamed = chosen.path if chosen else candidates[0]
    note = "" if blamed.exists() else " (no such file)"
    return [source for source in (common, chosen) if source], f"{blamed}{note}"


def _unknown(cls: type[Settings], source: Source, known: KnownKeys) -> Iterator[str]:
    own = {key for item in cls.declared() for key in item.all_keys(cls.program)}
    for key, entry in source.entries.items():
        if key in own or any(fnmatch.fnmatchcase(key, pattern) for pattern in known()):
            continue
        near = difflib.get_close_matches(key.upper(), known(), n=1)
        yield f"{entry.origin}: {key}: no component knows this key" + (
            f"; did you mean {near[0]}?" if near else ""
        )


class _Reader:
    """Turns what was written into values; gathers faults with the place where each value came from."""

    def __init__(
        self, cls: type[Settings], written: Mapping[str, Entry], environ: Mapping[str, str], own: str
    ) -> None:
        self._cls = cls
        self._declared = {item.field: item for item in cls.declared()}
        self._written = written
        self._environ = environ
        self._own = own
        self.entries: dict[str, Entry] = {}
        self.faults: list[str] = []
        self.warnings: list[str] = []

    def values(self) -> dict[str, Any]:
        """Values by field name; those at fault are left out."""
        values: dict[str, Any] = {
            name: self._others(prefixes) for name, prefixes in self._cls.prefixes().items()
        }
        for name, item in self._declared.items():
            try:
                entry = self._find_secret(item) if item.secret else self._find(item)
            except Unreadable as error:
                self.faults.append(str(error))
                continue
            if entry is not None:
                self.entries[name] = entry
            text = entry.value if entry else item.default
            if text is None and item.required:
                self.faults.append(self.fault(name, f"missing; expected {item.kind.expects} ({item.doc})"))
                continue
            try:
                values[name] = None if text is None else item.kind.convert(text)
            except ValueError:
                found = "something else" if item.secret else repr(text)[:_MAX_SHOWN]
                self.faults.append(self.fault(name, f"expected {item.kind.expects}, found {found}"))
        return values

    def fault(self, name: str, text: str) -> str:
        """One line: where the value stands or should stand, the key, and what is wrong."""
        key = self._cls.key(name)
        entry = self.entries.get(name) or self._at(key) or Entry(key, "", self._own)
        return f"{entry.origin}: {entry.key}: {text}"

    def _others(self, prefixes: tuple[str, ...]) -> dict[str, str]:
        """What was written under keys that are somebody else's."""
        keys = {*self._written, *self._environ}
        found = {key: self._at(key) for key in sorted(keys) if key.startswith(prefixes)}
        return {key: entry.value for key, entry in found.items() if entry is not None and entry.value}

    def _at(self, key: str) -> Entry | None:
        if key in self._environ:
            return Entry(key, self._environ[key], "environment")
        return self._written.get(key)

    def _find(self, item: Setting) -> Entry | None:
        for key in item.keys(self._cls.program):
            entry = self._at(key)
            if entry is not None and entry.value:
                return entry
        return None

    def _find_secret(self, item: Setting) -> Entry | None:
        """As `_find`; the environment goes before credentials, those before files, and a value before a file of its own."""
        for key in item.keys(self._cls.program):
            for source in (self._environ, None):
                for name in (key, key + FILE_SUFFIX):
                    entry = self._at(name) if source is None or name in source else None
                    if entry is not None and entry.value:
                        return entry if name == key else self._held(key, Path(entry.value), entry.origin)
                if source is not None and (path := credential(key, self._environ)) is not None:
                    return self._held(key, path, "credential")
        return None

    def _held(self, key: str, path: Path, origin: str) -> Entry:
        """The secret in a file. Raises `Unreadable`."""
        try:
            text, is_open = read_secret(path)
        except Unreadable as error:
            raise Unreadable(f"{origin}: {key}{FILE_SUFFIX}: {error}") from None
        if is_open:
            self.warnings.append(
                f"{path}: holds a password and is open to every user of this machine; do `chmod o= {path}`"
            )
        return Entry(key, text, str(path))
