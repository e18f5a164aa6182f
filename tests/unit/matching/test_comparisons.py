"""Comparisons of whole numbers are read and judged as HTCondor's own evaluator judges them, or left to that."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copilot.errors import BadRequirements
from copilot.matching.classads import holds, make_scope, parse
from copilot.matching.comparisons import MOST, all_true, attributes_of, comparisons_of
from copilot.matching.needs import with_needs
from copilot.matching.requirements import check_requirements, for_sealed_hosts, normal_requirements

NAMES = ["Memory", "Cores", "MaxCores", "max_memory", "True", "is", "parent", "other", "error", "A1"]
NAME = st.sampled_from(NAMES)
NUMBER = st.one_of(
    st.integers(min_value=-3, max_value=5).map(str),
    st.integers(min_value=0, max_value=2**65).map(str),
    st.sampled_from(["00", "07", "1.0", "1e3", "true", '"5"', "other.Cores"]),
)
SIGN = st.sampled_from([">=", "<=", "==", "!=", ">", "<", "=?=", "=!=", "+", "||"])
PLAIN = st.tuples(NAME, SIGN, NUMBER).map(lambda part: f"other.{part[0]} {part[1]} {part[2]}")
AT_LEAST = st.tuples(NAME, NAME, NAME, SIGN, NUMBER).map(
    lambda part: (
        f"ifThenElse(isUndefined(other.{part[0]}), other.{part[1]}, other.{part[2]}) {part[3]} {part[4]}"
    )
)
OURS = st.tuples(NAME, NAME, NUMBER).map(
    lambda part: f"ifThenElse(isUndefined(other.{part[0]}), other.{part[1]}, other.{part[0]}) >= {part[2]}"
)
WORD = st.sampled_from(["gpu", "GPU", "", "a b&&", "é", "a\\\\", "(x) && y"])
MEMBER = st.tuples(WORD, NAME).map(lambda part: f'member("{part[0]}", other.{part[1]})')
IDENTICAL = st.tuples(
    NAME, st.sampled_from(["=?=", "=!="]), st.sampled_from(["true", "false", "1", '"x"'])
).map(lambda part: f"other.{part[0]} {part[1]} {part[2]}")
ALL = st.lists(st.one_of(PLAIN, OURS, AT_LEAST, MEMBER, IDENTICAL), min_size=1, max_size=4).map(" && ".join)
TEXT = st.one_of(
    ALL, st.tuples(ALL, ALL).map(lambda both: f"({both[0]}) && {both[1]}"), ALL.map(lambda text: f"({text})")
)
SAID = st.dictionaries(
    NAME.map(str.lower),
    st.one_of(
        st.integers(min_value=-2, max_value=5),
        st.integers(min_value=-(2**63), max_value=2**63 - 1),
        st.sampled_from(
            [True, False, 1.0, 4.5, "5", "x", (), ("a",), ("Gpu", ""), ("É", "gpu"), ("a b&&", "a\\")]
        ),
    ),
)


@given(TEXT, SAID)
@example("other.Memory >= 1500 && other.Cores >= 2", {"memory": 1500, "cores": 2})
@example("other.Memory != 1 && other.Cores < 2", {"cores": 1})
@example("(other.Memory >= 1) && other.Cores >= 2", {"memory": 1, "cores": 2})
@example("other.Memory >= 2 && other.Cores >= 2", {"memory": 1, "cores": "x"})
@example('member("gpu", other.Memory) && other.Cores =!= false', {"memory": ("x", "GPU")})
@example(
    '(member("(x) && y", other.Memory)) && other.Cores =?= true', {"memory": ("x", "GPU"), "cores": True}
)
@example('member("gpu", other.Memory)', {"memory": 0})
def test_whatever_is_judged_is_judged_as_classads_do(text: str, said: dict[str, int | str]) -> None:
    compared = comparisons_of(text)
    if compared is None:
        return
    checked = check_requirements(text)
    assert (checked.text, checked.attributes) == (text, attributes_of(compared))
    tree = parse(text)
    assert tree is not None
    true = all_true(compared, said)
    assert true in (None, holds(tree, make_scope(said)))
    only_numbers = not any(word in text for word in ("member", "=?=", "=!="))
    if only_numbers and all(type(value) is int for value in said.values()):
        assert true is not None


@pytest.mark.parametrize(
    "text",
    [
        normal_requirements("Memory>=1500&&TARGET.Cores >= 2"),
        with_needs("Memory >= 100", memory=2**30, disk=2**31, cores=4, gpus=1),
        with_needs("", memory=2**30, disk=None, cores=4),
        with_needs('member("gpu", Tags)', memory=None, disk=None, network=True, image="docker://x"),
        for_sealed_hosts("Memory > 1"),
    ],
)
def test_what_most_jobs_require_is_read(text: str) -> None:
    assert comparisons_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Memory >= 1",
        "other.Memory >= 1 ",
        "other.Memory >=1",
        "other.true >= 1",
        "other.Memory >= 1 || other.Cores >= 1",
        " && ".join(["other.Memory >= 1"] * (MOST + 1)),
        f"other.{'a' * 1000} >= 1",
        "(other.Memory >= 1) && ",
        "(other.Memory >= 1)",
    ],
)
def test_all_else_is_left_to_classads(text: str) -> None:
    assert not comparisons_of(text)


def test_a_fault_behind_comparisons_is_told_as_ever() -> None:
    with pytest.raises(BadRequirements, match="character 19"):
        normal_requirements("other.Memory >= 1 other.Cores >= 2")
