"""What a name from the wire may become."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.monitor.paths import MOST_LENGTH, MOST_PART, MOST_PARTS, KnownPaths, metric_path, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("jobmanager.generic.default", "jobmanager.generic.default"),
        ("queued.Jobs", "queued.Jobs"),
        ("system.disk.available./dev/sda1", "system.disk.available._dev_sda1"),
        ("..", None),
        ("...a..b.", "a.b"),
        ("../../etc/passwd", "_._etc_passwd"),
        ("a b\nc;d=*{}[]~", "a_b_c_d_______"),
        ("größe", "gr__e"),
        ("x\0y", "x_y"),
        ("", None),
        ("x" * MOST_PART, "x" * MOST_PART),
        ("x" * (MOST_PART + 1), None),
    ],
)
def test_a_name_becomes_words_and_dots(name: str, safe: str | None) -> None:
    if safe is None:
        with pytest.raises(ValueError, match="expected words"):
            safe_name(name)
    else:
        assert safe_name(name) == safe


@given(component=st.text(max_size=400), event=st.text(max_size=400))
def test_whatever_comes_in_the_path_stays_below_ours(component: str, event: str) -> None:
    try:
        path = metric_path(safe_name(component), safe_name(event))
    except ValueError:
        return
    assert re.fullmatch(r"copilot(\.[A-Za-z0-9_-]{1,100}){2,}", path)
    assert len(path) <= MOST_LENGTH
    assert path.count(".") < MOST_PARTS


def test_a_path_has_a_greatest_length_and_depth() -> None:
    with pytest.raises(ValueError, match="expected at most 300 and 24"):
        metric_path("a", ".".join(["b"] * MOST_PARTS))
    with pytest.raises(ValueError, match="characters"):
        metric_path("a" * MOST_PART, ".".join(["b" * MOST_PART] * 2))


def test_paths_are_bounded_for_all_and_for_each_account() -> None:
    known = KnownPaths(100)
    assert known.admit(tuple(f"copilot.a.{n}" for n in range(10)), "a@x")
    assert not known.admit(("copilot.a.more",), "a@x")
    assert known.admit(("copilot.a.3",), "a@x")  # it is there already
    assert all(known.admit((f"copilot.b{n}.x",), f"b{n}@x") for n in range(90))
    assert not known.admit(("copilot.c.x",), "c@x")
    assert len(known) == 100
