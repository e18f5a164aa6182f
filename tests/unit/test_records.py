"""Our `dataclass` beside that of the standard library: whoever uses a class sees no difference."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import typing
from collections.abc import Callable
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from copilot.records import dataclass

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
    assert inspect.isfunction(vars(First)["__init__"])
    assert First(left=1).right == []

    @dataclass(frozen=True)
    class Third:
        left: int = 3

    assert str(inspect.signature(Third)) == "(left: 'int' = 3) -> None"
    assert Third.__init__ is Third.__init__
