"""What hosts say in the words of our agents is read as HTCondor's own parser reads it, or left to that."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from copilot.matching.classads import read_literals
from copilot.matching.host import requirements_of
from copilot.matching.plainads import MOST_BRACKETS, MOST_CHARACTERS, read_plain_ad
from copilot.protocol.jdl import host_jdl
from tests.unit.matching.test_host import FACTS

NAMES = ("a", "b", "cores", "memory", "tags", "requirements", "parent", "true", "is", "other", "my", "sealed")
LITERALS = st.one_of(
    st.integers(min_value=-(2**65), max_value=2**65).map(str),
    st.floats().map(repr),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.sampled_from(
        ["true", "false", "TRUE", "undefined", "error", "{}", "{ }", "-0", "007", "-0.0", "1.", ".5"]
    ),
    st.text(max_size=12).map(lambda text: f'"{text}"'),
    st.text(alphabet='ab"\\;\n {}[]()/*\x00\ud800é', max_size=12).map(lambda text: f'"{text}"'),
    st.lists(st.text(alphabet='ab"\\, é', max_size=4), max_size=3).map(
        lambda items: "{ " + ", ".join(f'"{item}"' for item in items) + " }"
    ),
    st.sampled_from(['( other.Type == "Job" )', "( 1 )", "1 + 1", 'strcat("a", "b")', "a", "[ x = 1 ]", ""]),
)
LINES = st.tuples(
    st.sampled_from(["", "   ", "\t"]) | st.just("  "),
    st.sampled_from([*NAMES, "Cores", "Memory", "A", "Requirements", "x y", "1a", "é"]),
    st.sampled_from([" = ", "=", " == ", " =  "]) | st.just(" = "),
    LITERALS,
).map("".join)
ADS = st.lists(LINES, max_size=5).map(lambda lines: "[\n" + ";\n".join(lines) + "\n]")


def by_classads(jdl: str) -> Mapping[str, object]:
    return read_literals(jdl, NAMES)


@given(ADS)
@example("[\n  a = 1;\n  A = true\n]")
@example('[\n  a = "x;\n  b = y"\n]')
@example('[\n  a = 1;\n  a = ( other.Type == "Job" )\n]')
@example('[\n  Requirements = 1;\n  Requirements = ( other.Type == "Job" )\n]')
@example('[\n  a = "' + "(" * 51 + '"\n]')
@example("[\n  a = 1;\n]")
@example("[\n]")
@example("[\n\n]")
@example("")
def test_whatever_is_read_is_what_classads_read(jdl: str) -> None:
    found = read_plain_ad(jdl, NAMES)
    if found is not None:
        assert repr(sorted(found.items())) == repr(
            sorted(by_classads(jdl).items())
        )  # repr: 1 is not true, and -0.0 is not 0


TEXT = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters='\\"'), max_size=9)


@given(
    st.dictionaries(
        st.sampled_from(["a", "B", "Tags", "My", "Other", "Sealed"]),
        st.one_of(
            st.booleans(),
            st.integers(min_value=1 - 10**18, max_value=10**18 - 1),
            TEXT,
            st.lists(TEXT, max_size=4),
        ),
    )
)
def test_what_our_agents_say_is_read_and_as_classads_read_it(extra: dict[str, int | str | list[str]]) -> None:
    jdl = host_jdl(FACTS, extra)
    found = read_plain_ad(jdl, NAMES)
    assert found is not None or sum(map(jdl.count, "([{")) > MOST_BRACKETS
    if found is not None:
        assert found == by_classads(jdl)


def test_a_host_of_our_agents_is_read_without_classads() -> None:
    jdl = host_jdl(FACTS, {"Tags": ["gpu", "a b"], "Rate": 2.5, "Fast": True, "None": []})
    found = read_plain_ad(jdl, ("cores", "fast", "none", "platform", "rate", "requirements", "tags", "x"))
    assert found is not None
    assert found["cores"] == 4
    assert (found["tags"], found["rate"], found["fast"], found["none"]) == (("gpu", "a b"), 2.5, True, ())
    assert found["platform"] == "Linux-x86_64"
    assert found.keys() == {"cores", "fast", "none", "platform", "rate", "tags"}


@pytest.mark.parametrize(
    "jdl",
    [
        "[ Cores = 4 ]",
        "[\n  Cores = 4;\n  Memory = 2 * 1000\n]",
        '[\n  Uname = "6\\0121"\n]',
        '[\n  Uname = "é"\n]',
        "[\n  Cores = 4\n] ",
        f'[\n  a = "{"x" * MOST_CHARACTERS}"\n]',
        "no ad at all",
    ],
)
def test_what_is_said_in_other_words_is_left_to_classads(jdl: str) -> None:
    assert read_plain_ad(jdl, NAMES) is None


@pytest.mark.parametrize(
    ("jdl", "expected"),
    [
        (host_jdl(FACTS), ""),
        (host_jdl(FACTS, requirements="other.Cores >= 2"), '(other.Type == "Job") && (other.Cores >= 2)'),
        (host_jdl(FACTS).replace("Memory", "requirement\u017f = other.Cores >= 2;\n  Memory", 1), ""),
    ],
)
def test_what_a_host_asks_of_jobs_is_seen(jdl: str, expected: str) -> None:
    assert requirements_of(jdl) == expected
