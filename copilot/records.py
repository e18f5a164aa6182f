"""`dataclass` of the standard library, where the class is frozen: the same to use, and made in an eighth of the time (decision 24).

A program of ours has some 300 such classes. For each the standard library compiles six functions, which was a third of the time that
every program took to start. Here one is compiled, `__init__`, when the first instance is made; the others are closures over the names of
the fields. What is not frozen is made by the standard library.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from types import MemberDescriptorType, MethodType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(cls=None, /, *, frozen=False, slots=False, kw_only=False):
        """As `dataclasses.dataclass`, with the parameters that we use."""

        def make(cls):
            if not frozen:
                return dataclasses.dataclass(cls, slots=slots, kw_only=kw_only)
            return _frozen(cls, slots=slots, kw_only=kw_only)

        return make if cls is None else make(cls)


__all__ = ["dataclass"]

_FACTORY = object()  # the default of a parameter whose field has a factory


def _frozen(cls: type, *, slots: bool, kw_only: bool) -> Any:
    own = vars(cls)
    has_eq, has_repr, has_state = "__eq__" in own, "__repr__" in own, "__getstate__" in own
    has_hash = own.get("__hash__") is not None
    if cls.__doc__ is None:
        cls.__doc__ = cls.__name__  # or else the standard library works out a signature for it
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    fields = dataclasses.fields(made)
    made.__init__ = _Unmade(made, fields)
    made.__setattr__, made.__delattr__ = _immutable(made, frozenset(field.name for field in fields))
    compared = _values([field.name for field in fields if field.compare])
    if not has_eq:
        made.__eq__ = _equal(compared)
    if not has_hash:
        made.__hash__ = _hash(
            _values([field.name for field in fields if (field.compare if field.hash is None else field.hash)])
        )
    if not has_repr:
        made.__repr__ = _repr([field.name for field in fields if field.repr])
    if slots and not has_state:
        made.__getstate__, made.__setstate__ = _state([field.name for field in fields])
    return made


class _Unmade:
    """`__init__` until somebody looks at it: most classes that a program loads have no instance while it runs."""

    def __init__(self, made: Any, fields: Sequence[Field[Any]]) -> None:
        self._made = made
        self._fields = fields

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        init = self._made.__init__ = _init(self._made, self._fields)
        return init if instance is None else MethodType(init, instance)


def _init(made: Any, fields: Sequence[Field[Any]]) -> Any:
    """The one function that is compiled, in the module of the class, so that its annotations mean what they mean there."""
    given: dict[str, Any] = {"_FACTORY": _FACTORY, "_set": object.__setattr__}
    parameters: list[str] = []
    by_name: list[str] = []
    body: list[str] = []
    for field in fields:
        name = value = field.name
        text = name
        if field.default is not MISSING:
            given[f"_default_{name}"] = field.default
            text = f"{name}=_default_{name}"
        elif field.default_factory is not MISSING:
            given[f"_make_{name}"] = field.default_factory
            text = f"{name}=_FACTORY"
            value = f"_make_{name}() if {name} is _FACTORY else {name}"
        if field.init:
            (by_name if field.kw_only else parameters).append(text)
        elif field.default_factory is not MISSING:
            value = f"_make_{name}()"
        elif field.default is not MISSING:
            value = f"_default_{name}"
        else:
            continue  # `__post_init__` sets it
        slot = getattr(made, name, None)
        if isinstance(slot, MemberDescriptorType):
            given[f"_set_{name}"] = slot.__set__
            body.append(f"_set_{name}(self, {value})")
        else:
            body.append(f"_set(self, {name!r}, {value})")
    if hasattr(made, "__post_init__"):
        body.append("self.__post_init__()")
    signature = ", ".join(["self", *parameters, *(["*", *by_name] if by_name else [])])
    source = f"def _create({', '.join(given)}):\n def __init__({signature}):\n  " + "\n  ".join(
        body or ["pass"]
    )
    places: dict[str, Any] = {}
    exec(f"{source}\n return __init__", vars(sys.modules[made.__module__]), places)  # noqa: S102  # as the standard library
    init: Any = places["_create"](**given)
    init.__qualname__ = f"{made.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in fields if field.init} | {"return": None}
    return init


def _values(names: Sequence[str]) -> Callable[[Any], Any]:
    """Of these fields, as one value that can be compared and hashed."""
    return attrgetter(*names) if names else lambda _: ()


def _immutable(made: Any, names: frozenset[str]) -> tuple[Callable[..., None], Callable[..., None]]:
    def assign(self: Any, name: str, value: Any) -> None:
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(made, self).__setattr__(name, value)

    def delete(self: Any, name: str) -> None:
        if type(self) is made or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(made, self).__delattr__(name)

    return assign, delete


def _equal(values: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    def equal(self: Any, other: Any) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return equal


def _hash(values: Callable[[Any], Any]) -> Callable[[Any], int]:
    def hashed(self: Any) -> int:
        return hash(values(self))

    return hashed


def _repr(names: Sequence[str]) -> Callable[[Any], str]:
    def shown(self: Any) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{self.__class__.__qualname__}({values})"

    return shown


def _state(names: Sequence[str]) -> tuple[Callable[[Any], Any], Callable[[Any, Any], None]]:
    """For `copy` and `pickle`, which would assign to fields."""

    def state(self: Any) -> list[Any]:
        return [getattr(self, name) for name in names]

    def restore(self: Any, state: Sequence[Any]) -> None:
        for name, value in zip(names, state, strict=True):
            object.__setattr__(self, name, value)

    return state, restore
