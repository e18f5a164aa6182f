"""Our `dataclass` beside that of the standard library: whoever uses a class sees no difference."""

from __future__ import annotations

import abc
import copy
import dataclasses
import inspect
import pickle
import typing
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from copilot.records import UNCOMPILED, dataclass

Item = typing.TypeVar("Item")
ways = pytest.mark.parametrize("way", [dataclass, dataclasses.dataclass], ids=["ours", "standard"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """Where something is."""

    x: int
    y: int = 0
    names: list[str] = field(default_factory=list)
    secret: str = field(default="", repr=False)
    seen: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Point):
    """A point with a name."""

    name: str


@dataclass(frozen=True, slots=True)
class Pair:
    """Two, in their order."""

    left: int
    right: tuple[int, ...] = ()


def made(way: Callable[..., Any], **options: bool) -> Any:
    """A class with something of everything."""

    class Thing:
        first: int
        second: str = "b"
        third: list[int] = field(default_factory=list)
        fourth: int = field(default=4, repr=False)
        fifth: float = field(default=5.0, compare=False)
        sixth: int = field(init=False, default=6)
        seventh: int = field(init=False)
        _kind: typing.ClassVar[str] = "thing"

        def __post_init__(self) -> None:
            object.__setattr__(self, "seventh", self.first * 7)

    return way(**options)(Thing)


@ways
@pytest.mark.parametrize("slots", [True, False])
@pytest.mark.parametrize("kw_only", [True, False])
class TestBothWays:
    def test_what_it_is_made_of(self, way: Any, slots: bool, kw_only: bool) -> None:
        thing = made(way, frozen=True, slots=slots, kw_only=kw_only)
        one, other = thing(first=1), thing(first=1, fifth=9.0)
        assert repr(one).endswith("Thing(first=1, second='b', third=[], fifth=5.0, sixth=6, seventh=7)")
        assert one == other
        assert one != thing(first=2)
        assert one != (1, "b", [], 4, 6, 7)
        assert one.third is not other.third
        assert asdict(replace(one, first=3)) == asdict(one) | {"first": 3, "seventh": 21}
        assert [item.name for item in fields(thing)] == [
            "first", "second", "third", "fourth", "fifth", "sixth", "seventh",
        ]  # fmt: skip
        assert thing.__match_args__ == (() if kw_only else ("first", "second", "third", "fourth", "fifth"))

    def test_what_is_refused(self, way: Any, slots: bool, kw_only: bool) -> None:
        thing = made(way, frozen=True, slots=slots, kw_only=kw_only)
        with pytest.raises(TypeError, match=r"Thing.__init__\(\) missing 1 required .*'first'"):
            thing()
        with pytest.raises(TypeError, match="unexpected keyword argument 'other'"):
            thing(first=1, other=2)
        with pytest.raises(TypeError, match="positional argument" if kw_only else "unhashable"):
            hash(thing(1))
        one = thing(first=1)
        with pytest.raises(FrozenInstanceError, match="cannot assign to field 'first'"):
            one.first = 2
        with pytest.raises(FrozenInstanceError, match="cannot delete field 'first'"):
            del one.first
        with pytest.raises(
            (FrozenInstanceError, TypeError)
        ):  # the latter from the standard library, if it has slots
            one.nothing = 2


def test_they_are_hashed_by_what_they_are() -> None:
    assert {Pair(1, (2,)), Pair(1, (2,)), Pair(1)} == {Pair(1), Pair(1, (2,))}
    assert hash(Pair(1)) == hash(Pair(1, ()))


def test_one_inherits_fields() -> None:
    place = Place(x=1, name="here", secret="s")
    assert repr(place) == "Place(x=1, y=0, names=[], seen=0.0, name='here')"
    assert place != Point(x=1, secret="s")
    with pytest.raises(FrozenInstanceError):
        place.x = 2  # type: ignore[misc]


@pytest.mark.parametrize("one", [Point(x=1, names=["a"]), Place(x=1, name="here"), Pair(1, (2,))])
def test_they_can_be_copied_and_pickled(one: Any) -> None:
    assert pickle.loads(pickle.dumps(one)) == copy.copy(one) == copy.deepcopy(one) == one


def test_they_can_be_matched() -> None:
    match Pair(1, (2,)):
        case Pair(left, (right,)):
            assert (left, right) == (1, 2)
        case _:
            pytest.fail("does not match")


def test_annotations_mean_what_they_mean_in_the_module_of_the_class() -> None:
    hints = typing.get_type_hints(Point.__init__)
    assert hints["names"] == list[str]
    assert hints["return"] is type(None)


def test_what_a_class_defines_itself_stays() -> None:
    @dataclass(frozen=True, slots=True)
    class Word:
        text: str

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Word) and other.text.lower() == self.text.lower()

        def __hash__(self) -> int:
            return hash(self.text.lower())

        def __repr__(self) -> str:
            return "***"

    assert Word("A") == Word("a")
    assert {Word("A")} == {Word("a")}
    assert repr(Word("A")) == "***"


@pytest.mark.parametrize("slots", [True, False])
def test_the_first_instances_are_as_the_later_ones(slots: bool) -> None:
    def all_ways(thing: Any) -> list[Any]:
        return [thing(first=1), thing(first=1, second="c", third=[3], fourth=0, fifth=1.0)]

    thing = made(dataclass, frozen=True, slots=slots, kw_only=True)
    first = all_ways(thing)
    assert not inspect.isfunction(vars(thing)["__init__"])
    list(map(all_ways, [thing] * UNCOMPILED))
    assert inspect.isfunction(vars(thing)["__init__"])
    assert first == all_ways(thing)
    assert [asdict(one) for one in first] == [asdict(one) for one in all_ways(thing)]
    for wrong in (
        {},
        {"first": 1, "sixth": 6},
        {"first": 1, "other": 2},
    ):  # each by a class that has no instance yet
        with pytest.raises(TypeError) as before:
            made(dataclass, frozen=True, slots=slots, kw_only=True)(**wrong)
        with pytest.raises(TypeError) as after:
            thing(**wrong)
        assert str(before.value) == str(after.value)


def test_what_is_not_frozen_is_made_by_the_standard_library() -> None:
    @dataclass(slots=True)
    class Count:
        number: int = 0

    count = Count()
    count.number += 1
    assert count == Count(1)


def test_a_class_without_instances_has_nothing_compiled_and_looks_like_one_that_has() -> None:
    @dataclass(frozen=True, kw_only=True)
    class First:
        left: int
        right: list[int] = field(default_factory=list)

    class Second(First):
        """With a way of its own to be made, by a parent of which there is no instance yet."""

        def __init__(self) -> None:
            super().__init__(left=5)

    assert not inspect.isfunction(vars(First)["__init__"])
    assert Second() == Second()
    assert not inspect.isfunction(vars(First)["__init__"])  # for two of them that would take longer
    assert all(First(left=number).right == [] for number in range(UNCOMPILED))
    assert inspect.isfunction(vars(First)["__init__"])
    assert Second() == Second()

    @dataclass(frozen=True)
    class Third:
        left: int = 3

    assert str(inspect.signature(Third)) == "(left: 'int' = 3) -> None"
    assert Third.__init__ is Third.__init__


@ways
def test_what_a_class_has_of_its_own_is_left(way: Any) -> None:
    class Own:
        """Said here."""

        text: str
        __match_args__ = ("other",)

        def __init__(self) -> None:
            object.__setattr__(self, "text", "own")

    own = way(frozen=True, slots=True)(Own)
    assert own().text == "own"
    assert (own.__doc__, own.__match_args__, own.__qualname__) == ("Said here.", ("other",), Own.__qualname__)
    assert own.__module__ == __name__


@ways
def test_what_each_field_and_the_class_are_noted_as(way: Any) -> None:
    thing = made(way, frozen=True, slots=True, kw_only=True)
    expected = made(dataclasses.dataclass, frozen=True, slots=True, kw_only=True)
    noted = [
        {name: getattr(one, name) for name in dir(one) if not name.startswith("__")} for one in fields(thing)
    ]
    assert noted == [
        {name: getattr(one, name) for name in dir(one) if not name.startswith("__")}
        for one in fields(expected)
    ]
    assert thing.__slots__ == expected.__slots__
    for name in ("init", "repr", "eq", "order", "unsafe_hash", "frozen"):
        assert getattr(thing.__dataclass_params__, name) == getattr(expected.__dataclass_params__, name)


@ways
@pytest.mark.parametrize("slots", [True, False])
def test_what_the_standard_library_refuses_is_refused(way: Any, slots: bool) -> None:
    class List:
        items: list[int] = []  # noqa: RUF012  # the fault that is to be refused

    with pytest.raises(ValueError, match=r"mutable default .* use default_factory"):
        way(frozen=True, slots=slots)(List)

    @dataclass
    class Loose:
        one: int

    with pytest.raises(TypeError, match="cannot inherit frozen dataclass from a non-frozen one"):
        way(frozen=True, slots=slots)(type("Under", (Loose,), {}))
    with pytest.raises(TypeError, match="cannot inherit non-frozen dataclass from a frozen one"):
        dataclass(type("Over", (made(way, frozen=True, slots=slots, kw_only=True),), {}))


@pytest.mark.parametrize(
    ("way", "slots"), [(dataclass, True), (dataclass, False), (dataclasses.dataclass, False)]
)  # with slots the standard library's refuses all
def test_a_class_below_that_is_no_dataclass_has_attributes_of_its_own(way: Any, slots: bool) -> None:
    parent = made(way, frozen=True, slots=slots, kw_only=True)
    one = type("Below", (parent,), {})(first=1)
    one.more = 5
    del one.more
    assert not hasattr(one, "more")
    with pytest.raises(FrozenInstanceError):
        one.first = 2
    with pytest.raises(FrozenInstanceError):
        del one.first


@ways
@pytest.mark.parametrize("other", [dataclass, dataclasses.dataclass])
def test_either_may_be_the_parent_of_the_other(way: Any, other: Any) -> None:
    parent = made(way, frozen=True, slots=True, kw_only=True)

    class Child(parent):  # type: ignore[misc, valid-type]  # mypy knows no parent that a test chooses
        second: str = "c"
        last: int = 8

    child = other(frozen=True, slots=True, kw_only=True)(Child)
    assert child.__slots__ == ("last",)
    assert child(first=1) == child(first=1) != parent(first=1)
    assert (child(first=1).second, parent(first=1).second, child(first=1).seventh) == ("c", "b", 7)


@ways
def test_generic_and_abstract_classes(way: Any) -> None:
    class Box(typing.Generic[Item]):
        item: Item

    box = way(frozen=True, slots=True)(Box)
    assert box(3) == box(item=3)
    assert typing.get_args(box[int]) == (int,)

    class Shape(abc.ABC):
        size: int

        @abc.abstractmethod
        def area(self) -> int: ...

    shape = way(frozen=True, slots=True)(Shape)
    with pytest.raises(TypeError, match="abstract"):
        shape(1)
    assert type("Square", (shape,), {"area": lambda self: self.size**2})(3).area() == 9
