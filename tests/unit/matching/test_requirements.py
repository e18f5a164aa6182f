"""Expressions on hosts: what they may say, how they are written, and where a fault is."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import BadRequirements
from copilot.matching import classads
from copilot.matching.matcher import matches
from copilot.matching.requirements import (
    FUNCTIONS,
    MAX_ATTRIBUTES,
    MAX_BYTES,
    MAX_CALLS,
    MAX_DEPTH,
    MAX_JOINED,
    normal_requirements,
    read_requirements,
)

ARGUMENTS = {  # of functions that take something else than one number
    "identicalmember": "other.X, {1}",
    "ifthenelse": "other.X > 1, 1, 2",
    "max": "{1, 2}",
    "member": "other.X, {1}",
    "min": "{1, 2}",
    "size": '"abc"',
    "strcat": '"a", "b"',
    "strcmp": '"a", "b"',
    "stricmp": '"a", "b"',
    "substr": '"abc", 1',
    "tolower": '"A"',
    "toupper": '"a"',
} | {f"version{name}": '"1.10", "1.9"' for name in ("cmp", "eq", "ge", "gt", "le", "lt")}


@pytest.mark.parametrize(
    ("said", "meant", "attributes"),
    [
        ("other.Memory>=2000&&other.Cores >= 4", "other.Memory >= 2000 && other.Cores >= 4", "cores memory"),
        (" TARGET.Memory\n>= 2000 ", "other.Memory >= 2000", "memory"),
        ("Memory >= 2000", "other.Memory >= 2000", "memory"),
        ('member( "gpu",other.Tags )', 'member("gpu", other.Tags)', "tags"),
        ("Tags is undefined || !(-Cores<3)", "other.Tags =?= undefined || !(-other.Cores < 3)", "cores tags"),
        ("Cores isnt 4", "other.Cores =!= 4", "cores"),
        ("X > 1 ? Y : true", "other.X > 1 ? other.Y : true", "x y"),
        (
            'member(Platform, {"a\\"b", "c"}) == TRUE',
            'member(other.Platform, {"a\\"b", "c"}) == true',
            "platform",
        ),
        ("size({}) < Cores + .5e3 * 2", "size({}) < other.Cores + .5e3 * 2", "cores"),
    ],
)
def test_what_means_the_same_is_written_in_one_way(said: str, meant: str, attributes: str) -> None:
    read = read_requirements(said)
    assert (read.text, read.attributes) == (meant, tuple(attributes.split()))
    assert read_requirements(read.text) == read


@pytest.mark.parametrize(
    ("text", "place", "expected"),
    [
        ("other.Memory >=", "", r"a value \(.*\) at the end"),
        ("other.", "", "an attribute at the end"),
        ("", "", r"a value \(.*\) at the end"),
        ("(Memory > 1", "character 1,", r"'\)' to close it"),
        ("member(Tags, {1)", "character 16,", "'}'"),
        ("Memory Cores", "character 8,", "a sign like && or >="),
        ("Memory == == 3", "character 11,", "a value"),
        ("Memory = 3", "character 8,", "a sign like && or >="),
        ('Platform == "Linux', "character 13,", 'a "string"'),
        ("Memory > 3; Cores > 1", "character 11,", "a sign like && or >="),
        ("Memory > 1.5e", "character 10,", "a number"),
        ("my.Memory > 3", "character 1,", "an attribute of the host"),
        ("other.Tags[1]", "character 11,", "a sign"),
        ("other.3", "character 6,", "an attribute|'.'"),
        ("other Memory", "character 7,", "'.' and an attribute after 'other'"),
        ("time() > Memory", "character 1,", "one of the functions bool, ceiling"),
        ('regexp("a", Platform)', "character 1,", "one of the functions"),
        ("(Memory, Cores)", "character 8,", "a sign"),
        ("[ a = 1 ].a == Cores", "character 1,", "a number"),
        ("Memory ? 3", "", "'\\?' and ':'"),
        ("3 > 2", "", "at least one attribute"),
        ("(" * (MAX_DEPTH + 1) + "Memory", f"character {MAX_DEPTH + 1},", "at most 50 brackets"),
        ("!" * (MAX_DEPTH + 1) + "Memory", f"character {MAX_DEPTH + 1},", "a value"),
        ("Memory > 3" + " " * MAX_BYTES, "", f"at most {MAX_BYTES} bytes"),
    ],
)
def test_a_fault_is_named_with_its_place_and_what_was_expected(text: str, place: str, expected: str) -> None:
    with pytest.raises(BadRequirements, match=expected) as caught:
        read_requirements(text)
    assert place in str(caught.value)
    assert len(str(caught.value)) < 500


def test_nothing_but_blanks_is_no_requirement() -> None:
    assert normal_requirements(" \n") == ""
    assert normal_requirements("Cores>1") == "other.Cores > 1"


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_that_is_allowed_is_known_to_the_parser(name: str) -> None:
    text = f"{name}({ARGUMENTS.get(name, 'other.X')}) =!= other.X"
    tree = classads.parse(read_requirements(text).text)
    scope = classads.make_scope({"x": 1.5})
    assert classads.holds(tree, scope) in (True, False)
    known = classads.parse(f"{name}({ARGUMENTS.get(name, 'other.X')}) =?= error")
    assert not classads.holds(known, scope)


@given(st.text(st.sampled_from('ab1.(){},"\\ <>=!&|?:+-*/%[];'), max_size=40))
def test_what_is_read_is_also_read_by_the_parser_or_refused(text: str) -> None:
    try:
        read = read_requirements(text)
    except BadRequirements:
        return
    assert classads.parse(read.text) is not None
    assert read_requirements(read.text).text == read.text


@pytest.mark.parametrize(
    "shape",
    ["other.a || {}", "!{}other.a", "({}other.a", "-other.a{}", "{}", '"{}', "member({}", "other.a ? {}"],
)
def test_long_input_in_any_shape_ends_no_process(shape: str) -> None:
    text = f"text = {shape!r}.format({(MAX_BYTES // 16)!r} * {'|| other.abcdefg '!r})[:{MAX_BYTES}]"
    code = (
        f"{text}\nfrom copilot.matching.matcher import matches\nprint(matches(text, '[ a = true ]'), "
        "matches('other.a', text))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_an_expression_may_name_only_so_many_attributes() -> None:
    names = [f"other.A{number}" for number in range(MAX_ATTRIBUTES + 1)]
    assert len(read_requirements(" && ".join(names[1:])).attributes) == MAX_ATTRIBUTES
    with pytest.raises(BadRequirements, match=f"{MAX_ATTRIBUTES + 1} attributes.*at most {MAX_ATTRIBUTES}"):
        read_requirements(" && ".join(names))


def test_what_grows_over_the_limit_when_it_is_written_in_full_is_refused() -> None:
    with pytest.raises(BadRequirements, match=f"at most {MAX_ATTRIBUTES} and {MAX_BYTES}"):
        read_requirements("+".join("x" * (MAX_BYTES // 4)))


HOST = f'[ A = "{"x" * 16_000}" ]'  # a text of the length that a host may say


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"size(strcat({','.join('A' * (MAX_JOINED + 1))})) > 1", "attributes inside strcat"),
        ("size(" + "strcat(A, " * 40 + "A" + ")" * 41 + " > 1", "attributes inside strcat"),
        (
            "size(strcat(toupper(A), " + "{" + ",".join("A" * MAX_JOINED) + "})) > 1",
            "attributes inside strcat",
        ),
        ("==".join(["toupper(" * 33 + "A" + ")" * 33] * 2), "calls of functions"),
        (" && ".join(['!member("x", A)'] * (MAX_CALLS + 1)), "calls of functions"),
    ],
)
def test_what_would_take_long_to_work_out_is_refused(text: str, expected: str) -> None:
    with pytest.raises(BadRequirements, match=expected):
        read_requirements(text)


@pytest.mark.parametrize(
    "text",
    [
        "toupper(" * 45 + f"strcat({','.join('A' * MAX_JOINED)})" + ")" * 45 + " == A",
        f"strcat({','.join('A' * MAX_JOINED)}) == " + " || ".join(["toupper(A)"] * (MAX_CALLS - 1)),
        "size({" + ",".join("A" * 1500) + "}) > 1",
        " || ".join("A" * 1300),
    ],
)
def test_what_is_allowed_is_worked_out_soon(text: str) -> None:
    assert matches("size(A) == 16000", HOST)
    began = time.process_time()
    matches(text, HOST)
    assert time.process_time() - began < 0.3  # 10 ms where nothing else runs and nobody measures coverage


def test_what_is_no_utf_8_is_refused() -> None:
    with pytest.raises(BadRequirements):
        read_requirements('other.X == "\ud800"')
