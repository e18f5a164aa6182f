"""The host's ClassAd, read back by a strict little parser of what the report shows."""

from __future__ import annotations

import re

import pytest

from copilot.host import HostFacts
from copilot.protocol.jdl import host_jdl

REPORTS_HOST = HostFacts(
    hostname="cvmappi24.cern.ch",
    platform="Linux-i686",
    uname="2.6.26.8-0.1.smp.gcc3.4.x86.i686",
    memory_mb=1010,
    free_memory_mb=683,
    swap_mb=127,
    free_swap_mb=127,
    local_disk_kb=4257288,
    cores=2,
)

LISTING_2_4 = """[
  Requirements = ( other.Type == "Job" );
  Version = "0";
  Platform = "Linux-i686";
  LocalDiskSpace = 4257288;
  WNHost = "cvmappi24.cern.ch";
  Memory = 1010;
  Type = "machine";
  Uname = "2.6.26.8-0.1.smp.gcc3.4.x86.i686";
  FreeMemory = 683;
  Swap = 127;
  FreeSwap = 127"""

TOKEN = re.compile(
    r"""\s*(?:(?P<string>"(?:[^"\\\x00-\x1f\x7f]|\\["\\]|\\[0-3][0-7]{2})*")|(?P<real>-?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"""
    r"""|(?P<word>[A-Za-z_][A-Za-z0-9_]*)|(?P<mark>==|[][{}();=,.]))"""
)
ESCAPE = re.compile(r'\\(["\\]|[0-7]{3})')


def parse(text: str) -> dict[str, object]:
    """Names and values; the expression of `Requirements` as its tokens. Fails on anything unusual."""
    tokens, position = [], 0
    while position < len(text.rstrip()):
        match = TOKEN.match(text, position)
        assert match, f"no token at {text[position : position + 20]!r}"
        tokens.append((match.lastgroup, match.group(match.lastgroup or "")))
        position = match.end()
    assert tokens[0] == ("mark", "[")
    assert tokens[-1] == ("mark", "]")
    attributes: dict[str, object] = {}
    attribute: list[tuple[str | None, str]] = []
    for token in [*tokens[1:-1], ("mark", ";")]:
        if token != ("mark", ";"):
            attribute.append(token)
            continue
        (kind, name), equals, *value = attribute
        assert kind == "word"
        assert equals == ("mark", "=")
        assert name not in attributes
        attributes[name] = evaluate(value)
        attribute = []
    return attributes


def evaluate(tokens: list[tuple[str | None, str]]) -> object:
    match tokens:
        case [("string", text)]:
            return ESCAPE.sub(lambda m: m[1] if len(m[1]) == 1 else chr(int(m[1], 8)), text[1:-1])
        case [("real", text)]:
            return float(text) if "." in text or "e" in text else int(text)
        case [("word", "true" | "false" as text)]:
            return text == "true"
        case [("mark", "{"), *items, ("mark", "}")]:
            assert all(item == ("mark", ",") for item in items[1::2])
            return [evaluate([item]) for item in items[::2]]
    return [text for _, text in tokens]


def test_the_reports_host_gives_the_reports_listing_and_then_ours() -> None:
    assert host_jdl(REPORTS_HOST) == LISTING_2_4 + ";\n  Cores = 2\n]"


def test_extra_attributes_come_after_with_their_types() -> None:
    extra = {
        "Slots": 4,
        "Load": 0.25,
        "Tiny": 1e-9,
        "Idle": True,
        "Busy": False,
        "Tags": ["gpu", 'a "b"'],
        "None_": [],
    }
    found = parse(host_jdl(REPORTS_HOST, extra))
    assert list(found)[-8:] == ["Cores", *extra]
    assert {name: found[name] for name in extra} == extra
    assert found["Requirements"] == ["(", "other", ".", "Type", "==", '"Job"', ")"]


@pytest.mark.parametrize(
    "text",
    ['"]; Requirements = true; x = "', "back\\slash", 'end\\"', "line\nfeed\ttab\x7f", "Zürich 日本", ""],
)
def test_no_text_gets_out_of_its_string(text: str) -> None:
    found = parse(host_jdl(REPORTS_HOST, {"Site": text, "Tags": (text, text)}))
    assert found["Site"] == text
    assert found["Tags"] == [text, text]
    assert len(found) == 14


@pytest.mark.parametrize("name", ["", "a b", "1a", "a;b", "memory", "Requirements", "true", "ä", "x\n"])
def test_names_that_are_wrong_or_taken_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="JDL attribute"):
        host_jdl(REPORTS_HOST, {name: 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "a\0b"])
def test_values_that_classads_lack_are_refused(value: float | str) -> None:
    with pytest.raises(ValueError, match="JDL"):
        host_jdl(REPORTS_HOST, {"X": value})
