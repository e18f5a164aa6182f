"""The table of keys is the whole truth: the page in the docs and the scripts say the same."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

from copilot.store import explaining, rules, trial, usage
from copilot.store.keys import (
    APART,
    FIELDS,
    OLD_TABLE,
    TABLE,
    Key,
    Keys,
    digest,
    old_description,
    old_rejected,
    old_taking,
)
from copilot.store.loader import SHARED
from copilot.store.rules import EVENTS_KEPT, REQUEST_MEMORY

PAGE = Path(__file__).parents[3] / "docs" / "store-keys.md"
SCRIPTS = {
    path.name.removesuffix(".lua"): path.read_text("utf-8")
    for path in (resources.files("copilot.store") / "scripts").iterdir()
}
PRELUDE = "".join(SCRIPTS[name] for name in SHARED)


def rows(first_heading: str) -> list[list[str]]:
    """The rows of the table in `docs/store-keys.md` whose first column has this heading."""
    table = PAGE.read_text("utf-8").partition(f"| {first_heading} |")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()[2:]]


def test_the_page_lists_every_key() -> None:
    expected = [[f"`{key.name}{key.suffix}`", key.kind, key.meaning, key.life] for key in (*TABLE, *APART)]
    assert rows("Key") == expected


def test_the_page_lists_the_keys_of_the_old_format() -> None:
    expected = [[f"`{key.name}`", key.kind, key.meaning, key.life] for key in OLD_TABLE]
    assert rows("Key of old tools") == expected
    names = {"<list>", old_description("<id>"), old_taking("<list>"), old_rejected("<list>")}
    assert {key.name for key in OLD_TABLE} == names


def test_the_page_lists_every_field_of_a_job() -> None:
    assert rows("Field") == [[f"`{field.name}`", field.meaning] for field in FIELDS]


def word(key: Key) -> str:
    """What the scripts call it."""
    return key.word.rstrip(":").replace("-", "_").upper()


def test_the_prelude_names_the_keys_in_the_order_of_the_table() -> None:
    names = re.search(r"^local ([^=]+) = unpack\(KEYS\)$", PRELUDE, re.MULTILINE)
    assert names
    assert re.findall(r"\w+", names[1]) == [word(key) for key in TABLE]


def test_the_numbers_in_scripts_and_page_are_those_of_the_rules() -> None:
    assert f"local EVENTS_KEPT = {EVENTS_KEPT}\n" in PRELUDE
    assert f"{EVENTS_KEPT:,}" in next(key.life for key in TABLE if key.name == "events")
    minutes = next(key.life for key in TABLE if key.name == "request:")
    assert minutes == f"{REQUEST_MEMORY / 60:g} minutes"


def numbers(script: str) -> dict[str, float]:
    return {
        name: float(text) for name, text in re.findall(r"^local ([A-Z_]+) = (\d+)$", script, re.MULTILINE)
    }


def test_both_versions_count_with_the_same_numbers() -> None:
    shared = numbers(PRELUDE) | numbers(SCRIPTS["dispatch"])
    of_trials = {name: value for name, value in vars(trial).items() if name.isupper()}
    of_trials |= {name: vars(usage)[name] for name in numbers(SCRIPTS["usage"])}
    assert {name: shared[name] for name in of_trials} == of_trials
    others, known = shared.keys() - of_trials, vars(explaining) | vars(rules)
    assert {name: shared[name] for name in others} == {name: known[name] for name in others}


def test_every_script_touches_just_what_its_header_says() -> None:
    names = {word(key): key.word + key.suffix for key in (*TABLE, *APART)}
    names |= {key.name.rpartition(":")[2].upper(): key.name for key in OLD_TABLE}
    helpers = dict(re.findall(r"^local function (\w+)\((?s:.*?)\n(?s:(.*?))^end$", PRELUDE, re.MULTILINE))
    for name, text in SCRIPTS.items():
        if name in SHARED:
            continue
        header, code = re.match(r"((?:--.*\n)+)((?s:.*))", text).groups()  # type: ignore[union-attr]
        for _ in helpers:  # a helper may call a helper
            code += "".join(
                body for called, body in helpers.items() if f"{called}(" in code and body not in code
            )
        touched = {key for name, key in names.items() if re.search(rf"\b{name}\b", code)}
        said = re.search(r"-- Touches(?: \(reads\))?: ([^.]*)\.$", header, re.MULTILINE)
        assert said, name
        assert set(re.split(r",(?:\n--)? ", said[1])) == touched, name


def test_keys_stand_below_their_prefix() -> None:
    keys = Keys("x:")
    assert keys.all[0] == "x:job:"
    assert (keys.job("1"), keys.queue("any"), keys.events) == ("x:job:1", "x:queue:any", "x:events")
    assert {keys.job(""), keys.queue(""), keys.events} <= set(keys.all)


def test_what_comes_from_the_wire_gets_into_a_key_as_a_digest_only() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", digest("a@b", "\n*:"))
    assert len({digest("a", "bc"), digest("ab", "c"), digest("a", "b"), digest("b", "a")}) == 4
