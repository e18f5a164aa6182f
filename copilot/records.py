"""`dataclass` of the standard library, where the class is frozen: the same to use, and made in a fifteenth of the time (decision 24).

A program of ours has some 300 such classes. For each the standard library compiles six functions, which was a third of the time that
every program took to start. Here one is compiled, `__init__`, when there are some instances; the others are closures over the names of
the fields. What is not frozen is made by the standard library. Of its marks `ClassVar` is known here, `InitVar` and `KW_ONLY` are not.
"""

from __future__ import annotations

import dataclasses
import sys
from abc import update_abstractmethods
from collections.abc import Callable, Mapping, Sequence
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

UNCOMPILED = (
    4  # instances of a class before its `__init__` is compiled, which takes as long as some twenty of them
)
_FACTORY = object()  # the default of a parameter whose field has a factory


@dataclasses.dataclass(init=False, repr=False, eq=False)  # so that nothing is compiled for it
class _Model:
    """Has what the standard library notes of each class and each field; ours have the same, and pass for its own."""

    field: None


_PARAMETERS = vars(_Model)["__dataclass_params__"]
_PARAMETERS.init = _PARAMETERS.repr = _PARAMETERS.eq = _PARAMETERS.frozen = True
_KIND = vars(_Model)["__dataclass_fields__"]["field"]._field_type  # noqa: SLF001  # what `dataclasses.fields` looks for


def _frozen(cls: type, *, slots: bool, kw_only: bool) -> Any:
    own = vars(cls)
    by_name = _fields(cls, kw_only=kw_only)
    fields = tuple(by_name.values())
    added: dict[str, Any] = {
        "__dataclass_params__": _PARAMETERS,
        "__dataclass_fields__": by_name,
        "__setattr__": _assign,
        "__delattr__": _delete,
    }
    if own.get("__doc__") is None:
        added["__doc__"] = cls.__name__  # the standard library works out a signature for it
    if "__match_args__" not in own:
        added["__match_args__"] = tuple([field.name for field in fields if field.init and not field.kw_only])
    if "__eq__" not in own:
        added["__eq__"] = _equal(_values([field.name for field in fields if field.compare]))
    if own.get("__hash__") is None:
        hashed = [field.name for field in fields if (field.compare if field.hash is None else field.hash)]
        added["__hash__"] = _hash(_values(hashed))
    if "__repr__" not in own:
        added["__repr__"] = _repr([field.name for field in fields if field.repr])
    if slots and "__getstate__" not in own:
        added["__getstate__"], added["__setstate__"] = _state([field.name for field in fields])
    made: Any = _with_slots(cls, added, fields) if slots else _changed(cls, added, fields)
    if "__init__" not in own:
        made.__init__ = _Unmade(made, fields)
    return made


def _fields(cls: type, *, kw_only: bool) -> dict[str, Field[Any]]:
    """By their names, those of parents first. Raises as the standard library does, where we do."""
    found: dict[str, Field[Any]] = {}
    for parent in cls.__mro__[-2:0:-1]:
        of_parent = vars(parent).get("__dataclass_fields__")
        if of_parent is not None:
            if not vars(parent)["__dataclass_params__"].frozen:
                raise TypeError("cannot inherit frozen dataclass from a non-frozen one")
            found.update((name, field) for name, field in of_parent.items() if field._field_type is _KIND)  # noqa: SLF001  # no ClassVar of a parent
    for name, text in vars(cls).get("__annotations__", {}).items():
        if str(text).startswith(("ClassVar", "typing.ClassVar")):
            continue
        default = getattr(cls, name, MISSING)
        if isinstance(default, MemberDescriptorType):  # of a parent with slots
            default = MISSING
        field: Any = default if isinstance(default, Field) else dataclasses.field(default=default)
        if field.default.__class__.__hash__ is None:
            raise ValueError(f"mutable default {type(field.default)} for field {name}: use default_factory")
        field.name, field.type, field._field_type = name, text, _KIND  # noqa: SLF001  # there is no public way to make a field
        if field.kw_only is MISSING:
            field.kw_only = kw_only
        found[name] = field
    return found


def _changed(cls: type, added: Mapping[str, Any], fields: Sequence[Field[Any]]) -> type:
    """The same class, with what it has to have."""
    for name, value in added.items():
        setattr(cls, name, value)
    for field in fields:
        if isinstance(vars(cls).get(field.name), Field):
            if field.default is MISSING:
                delattr(cls, field.name)
            else:
                setattr(cls, field.name, field.default)
    update_abstractmethods(cls)
    return cls


def _with_slots(cls: type, added: Mapping[str, Any], fields: Sequence[Field[Any]]) -> type:
    """The class made once more: no class gets slots afterwards."""
    names = [field.name for field in fields]
    left_out = {*names, "__dict__", "__weakref__"}
    own = {name: value for name, value in vars(cls).items() if name not in left_out}
    inherited = {slot for parent in cls.__mro__[1:-1] for slot in vars(parent).get("__slots__", ())}
    own |= added
    own["__slots__"] = tuple([name for name in names if name not in inherited])
    own["__qualname__"] = cls.__qualname__
    return type(cls)(cls.__name__, cls.__bases__, own)


class _Unmade:
    """`__init__` until there are some instances: most classes that a program loads have none while it runs, or one or two."""

    def __init__(self, made: Any, fields: Sequence[Field[Any]]) -> None:
        self._made = made
        self._fields = fields
        self._left = UNCOMPILED

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if self._left > 0 and isinstance(instance, self._made):  # or else somebody looks at it
            return MethodType(self._set, instance)
        init = self._made.__init__ = _init(self._made, self._fields)
        return init if instance is None else MethodType(init, instance)

    def _set(self, instance: Any, /, *args: Any, **given: Any) -> None:
        """What the compiled one does, field by field; that one does it where parameters have no names, or not all and only they are there."""
        asked = {field.name for field in self._fields if field.init}
        values = {field.name: field.default for field in self._fields if field.default is not MISSING} | given
        made: dict[str, Any] = {
            field.name: field.default_factory
            for field in self._fields
            if field.default_factory is not MISSING and field.name not in given
        }
        self._left -= 1
        if args or not given.keys() <= asked <= values.keys() | made.keys():
            self._left = 0
            self._made.__init__(instance, *args, **given)
            return
        for name, value in values.items():
            object.__setattr__(instance, name, value)
        for name, make in made.items():
            object.__setattr__(instance, name, make())
        if hasattr(instance, "__post_init__"):
            instance.__post_init__()


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


def _assign(self: Any, name: str, value: Any) -> None:
    """`__setattr__` of all. A subclass that is no dataclass may have attributes of its own, as with the standard library."""
    if "__dataclass_fields__" in vars(type(self)) or name in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _delete(self: Any, name: str) -> None:
    """`__delattr__` of all."""
    if "__dataclass_fields__" in vars(type(self)) or name in self.__dataclass_fields__:
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


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
