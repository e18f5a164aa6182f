"""How a component declares its settings: a frozen data class whose fields carry key, doc, kind and default.

    @settings
    class AgentConfig(Settings):
        slots: int = setting("AGENT_SLOTS", "how many jobs run at the same time", whole(1), default="1")

A field bears its key's name in lower case without the component's own prefix. A key that begins with `*` has the
prefix of the component: `*_JABBER_PORT` is `AGENT_JABBER_PORT` to the agent and `JM_JABBER_PORT` to the job manager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import field, fields
from types import EllipsisType
from typing import Any, ClassVar, TypeVar, dataclass_transform, overload

from copilot.config.kinds import Kind
from copilot.config.secret import FILE_SUFFIX
from copilot.records import dataclass

T = TypeVar("T")
C = TypeVar("C", bound="Settings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A command, as far as its configuration goes.

    Of `copilot-<name>.conf` and the files of the programs in `else_files_of`, the first that has any key is read.
    Keys are looked up under each of `prefixes` in turn; those of what all programs of an installation share then also
    under each of `shared_with`.
    """

    name: str
    prefixes: tuple[str, ...]
    shared_with: tuple[str, ...] = ()
    else_files_of: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Names of its configuration files, its own first."""
        return tuple(f"copilot-{name}.conf" for name in (self.name, *self.else_files_of))


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one key. `default` is written as a person would write it.

    `unset` says what holds without a value where there is no default. `own`: never taken from another
    component's key. `shared`: the same for all programs of an installation. `reload`: taken over by a running daemon that is told
    to read its configuration again (`cli/reloading.py`).
    """

    field: str
    key: str
    doc: str
    kind: Kind[Any]
    default: str | None
    derive: Callable[[Any], Any] | None
    unset: str
    required: bool
    secret: bool
    own: bool
    shared: bool
    reload: bool

    @property
    def absence(self) -> str:
        """What holds without a value, in words; begins with `required` where a value may be needed."""
        return "required" if self.required else self.unset or f"default: {self.default}"

    def keys(self, program: Program) -> tuple[str, ...]:
        """The keys under which a program looks it up, first one first."""
        if not self.key.startswith("*"):
            return (self.key,)
        prefixes = program.prefixes[:1] if self.own else program.prefixes
        return tuple(
            self.key.replace("*", prefix)
            for prefix in prefixes + (program.shared_with if self.shared else ())
        )

    def all_keys(self, program: Program) -> tuple[str, ...]:
        """Also those that name a file with the secret."""
        keys = self.keys(program)
        return (*keys, *(key + FILE_SUFFIX for key in keys)) if self.secret else keys


@overload
def setting(key: str, doc: str, kind: Kind[T], *, secret: bool = ...) -> T: ...
@overload
def setting(
    key: str,
    doc: str,
    kind: Kind[T],
    *,
    default: str,
    own: bool = ...,
    shared: bool = ...,
    reload: bool = ...,
) -> T: ...
@overload
def setting(
    key: str,
    doc: str,
    kind: Kind[T],
    *,
    default: None,
    unset: str,
    secret: bool = ...,
    own: bool = ...,
    shared: bool = ...,
    reload: bool = ...,
) -> T | None: ...
@overload
def setting(
    key: str,
    doc: str,
    kind: Kind[Any],
    *,
    default: None,
    unset: str,
    derive: Callable[[Any], T],
    own: bool = ...,
    reload: bool = ...,
) -> T: ...
def setting(
    key: str,
    doc: str,
    kind: Kind[Any],
    *,
    default: str | EllipsisType | None = ...,
    unset: str = "",
    derive: Callable[[Any], Any] | None = None,
    secret: bool = False,
    own: bool = False,
    shared: bool = False,
    reload: bool = False,
) -> Any:
    """A field of a `Settings` class.

    Without `default` the key is required. With `default=None`, `unset` says in words what holds then, and `derive`
    computes it from the rest of the settings. Secrets stay out of `repr`, of errors and of what is shown.
    """
    facts = {
        "key": key,
        "doc": doc,
        "kind": kind,
        "default": None if isinstance(default, EllipsisType) else default,
        "derive": derive,
        "unset": unset,
        "required": isinstance(default, EllipsisType),
        "secret": secret,
        "own": own,
        "shared": shared,
        "reload": reload,
    }
    if isinstance(default, EllipsisType):
        return field(repr=not secret, metadata=facts)
    return field(repr=not secret, metadata=facts, default=None if default is None else kind.convert(default))


def other_settings(*prefixes: str, default_factory: Callable[[], Mapping[str, str]] = dict) -> Any:
    """A field that takes all keys with one of these prefixes as they were written: somebody else knows what they mean.

    They may hold secrets, so they stay out of `repr` and of what is shown.
    """
    return field(repr=False, default_factory=default_factory, metadata={"prefixes": prefixes})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(setting, other_settings))
def settings(cls: type[T]) -> type[T]:
    """Make a frozen, keyword-only data class of a class of settings."""
    return dataclass(frozen=True, kw_only=True)(cls)


@settings
class Settings:
    """Base of all classes of settings."""

    program: ClassVar[Program]

    def __post_init__(self) -> None:
        for item in self.declared():
            if item.derive is not None and getattr(self, item.field) is None:
                object.__setattr__(self, item.field, item.derive(self))

    @classmethod
    def declared(cls) -> tuple[Setting, ...]:
        """All settings, in the order in which people should read them."""
        return tuple(
            Setting(field=item.name, **item.metadata) for item in fields(cls) if "key" in item.metadata
        )

    @classmethod
    def prefixes(cls) -> Mapping[str, tuple[str, ...]]:
        """The fields that are `other_settings`, and the prefixes of their keys."""
        return {item.name: item.metadata["prefixes"] for item in fields(cls) if "prefixes" in item.metadata}

    @classmethod
    def secrets(cls) -> frozenset[str]:
        """The keys whose values are secrets."""
        return frozenset(key for item in cls.declared() if item.secret for key in item.keys(cls.program))

    @classmethod
    def key(cls, name: str) -> str:
        """The key of the field `name`, with this component's own prefix."""
        return next(item for item in cls.declared() if item.field == name).keys(cls.program)[0]

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:  # noqa: ARG003 - the base has no rules
        """Rules that concern several settings: yields the field at fault and what is wrong with it.

        `values` are by field name; one that could not be read is not among them, one without value is None.
        """
        yield from ()
