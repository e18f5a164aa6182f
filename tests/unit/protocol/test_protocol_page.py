"""The protocol page says what the code does: its examples decode, its tables and numbers are those of the code."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from lxml import etree

from copilot import hostload, job
from copilot.agent import (
    delivery,
    exclusive,
    goodbye,
    leases,
    processes,
    referral,
    sandbox,
    search,
    showing,
    slots,
)
from copilot.agent import logic as agent_logic
from copilot.agent.config import AgentConfig
from copilot.client import remote
from copilot.enrol import joining
from copilot.heartbeat import logic as heartbeat_logic
from copilot.jobmanager import late, orders, submissions, watching
from copilot.jobmanager import logic as manager_logic
from copilot.jobmanager.config import ManagerConfig
from copilot.log import limit
from copilot.monitor import paths
from copilot.monitor.config import MonitorConfig
from copilot.protocol import acks, claim, codec, endpoint, rules, session
from copilot.protocol.commands import COMMANDS, SealedSecret, Secret
from copilot.protocol.crypto import keys, tickets, v2
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.rules import RULES, Role, Rule
from copilot.protocol.selftest import SelfTest
from copilot.runtime import secret
from copilot.storagemanager import report
from copilot.store import rules as store_rules
from copilot.store import watched
from copilot.transport import desk, stanza

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "protocol.md").read_text()
LETTERS = {
    "A": Role.AGENT,
    "J": Role.JOB_MANAGER,
    "S": Role.STORAGE_MANAGER,
    "M": Role.MONITOR,
    "K": Role.KEY_MANAGER,
    "U": Role.SUBMITTER,
    "any": rules.ANY,
}
UNITS = {"s": 1, "min": 60, "h": 3600, "days": 86400, "bytes": 1, "KiB": 2**10, "GiB": 2**30}
NUMBERED = (
    acks,
    claim,
    codec,
    endpoint,
    store_rules,
    tickets,
    stanza,
    job,
    limit,
    desk,
    secret,
    delivery,
    agent_logic,
    sandbox,
    search,
    referral,
    leases,
    exclusive,
    goodbye,
    processes,
    report,
    rules,
    session,
    keys,
    v2,
    slots,
    manager_logic,
    late,
    orders,
    submissions,
    watching,
    remote,
    heartbeat_logic,
    joining,
    hostload,
    paths,
    showing,
    watched,
)
NEVER_UNNAMED = {"SECONDS_BETWEEN_ERRORS", "MAX_DECODED_BYTES", "MAX_STANZA_BYTES", "REQUEST_MEMORY"}

Row = list[str]


def section(heading: str, text: str = PAGE) -> str:
    """What stands below a heading, up to the next one of the same or a higher level."""
    level = len(heading) - len(heading.lstrip("#"))
    parts = re.split(rf"^{re.escape(heading)}$", text, flags=re.MULTILINE)
    assert len(parts) == 2, f"{heading!r} stands {len(parts) - 1} times on the page"
    return re.split(rf"^#{{1,{level}}} ", parts[1], flags=re.MULTILINE)[0]


def tables(text: str) -> dict[str, list[Row]]:
    """The tables of a part of the page by the first word of their heads, each a list of rows."""
    found: dict[str, list[Row]] = {}
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        head, _, *rows = [
            [cell.strip() for cell in line.strip("|").split(" | ")] for line in block.splitlines()
        ]
        assert head[0] not in found
        assert all(len(row) == len(head) for row in rows), head
        found[head[0]] = rows
    return found


def examples(text: str) -> list[Envelope]:
    """The stanzas in fenced blocks, as a transport hands them over."""
    stream = "<stream xmlns='jabber:client'>{}</stream>"
    blocks = re.findall(r"^```xml\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    messages = [ElementTree.fromstring(stream.format(block))[0] for block in blocks]
    return [stanza.decode(message, own=message.get("to", ""), now=0.0) for message in messages]


def example(name: str) -> Envelope:
    """The one example of a command."""
    (only,) = examples(command_section(name))
    return only


def info_of(name: str) -> Element:
    """The `<info>` in the example of a command, which shows the element carriage."""
    envelope = example(name)
    assert envelope.body is None
    assert envelope.element is not None
    return envelope.element


def command_section(name: str) -> str:
    """What the page says of one command."""
    return section(f"### `{name}`", section("## 2. Commands"))


def plain(cell: str) -> str:
    """A cell without its mark-up: code, or a link to it."""
    match = re.fullmatch(r"\[?`([^`]+)`(?:\]\(#\w+\))?", cell)
    assert match, cell
    return match[1]


def amount(text: str) -> float:
    """A number with its unit, if that is one of ours ("10 min")."""
    number, _, unit = text.replace(",", "").partition(" ")
    return float(number) * UNITS[unit or "s"]


def roles(cell: str) -> Role:
    """The components that a cell names by their letters."""
    return functools.reduce(Role.__or__, (LETTERS[letter] for letter in cell.split(", ")))


def parts(kind: type[Any], tag: str) -> Iterator[tuple[str, type[Any]]]:
    """The elements of a command by tag, outer ones first, each with its data class."""
    yield f"`<{tag}>`", kind
    for item in fields(kind):
        child = item.metadata.get("child")
        if child is not None:
            yield from parts(child, child.TAG)


def in_example(info: Element, kind: type[Any]) -> Iterator[tuple[str, Element]]:
    """As `parts`, with the elements of an example; of several children of one kind the first."""
    yield f"`<{info.tag}>`", info
    for item in fields(kind):
        child = item.metadata.get("child")
        if child is not None:
            found = next((element for element in info.children if element.tag == child.TAG), None)
            if found is None:  # in clear nobody says secrets, and what is sealed is long
                assert child in (Secret, SealedSecret)
                continue
            yield from in_example(found, child)


# -- the list of commands


def test_the_page_has_every_command_and_no_other() -> None:
    headings = re.findall(r"^### `(.+)`$", section("## 2. Commands"), flags=re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


def waits(acked: str) -> float:
    """How long an acknowledgement may wait for a message to ride on."""
    times = {
        "wait for a ride": rules.ACK_WAITS,
        "wait shortly": rules.ACK_WAITS_SHORTLY,
        "wait for the next request": rules.ACK_NEEDS_NO_MESSAGE,
    }
    return sum(time for words, time in times.items() if words in acked)


def test_the_table_of_rules_is_that_of_the_code() -> None:
    written = {
        plain(name): Rule(
            roles(sender),
            roles(receiver),
            resend={"yes": True, "no": False}[resent],
            void_after=None if void == "none" else amount(void),
            noack=acked == "never",
            orders={"yes": True, "no": False}[order],
            ack_waits=waits(acked),
            in_rooms=name in section("### Chat rooms"),
        )
        for name, sender, receiver, acked, resent, void, order, _ in tables(section("## 1. The envelope"))[
            "Command"
        ]
    }
    assert written == RULES


def test_a_command_is_in_use_if_some_component_names_it() -> None:
    words = ROOT / "copilot" / "protocol" / "commands.py"
    source = "\n".join(path.read_text() for path in (ROOT / "copilot").rglob("*.py") if path != words)
    for name, *_, use in tables(section("## 1. The envelope"))["Command"]:
        named = re.search(rf"\b{COMMANDS[plain(name)].__name__}\b", source)
        assert {"yes": True, "not yet": False}[use] is (named is not None), name


def test_the_picture_shows_who_says_what_to_whom() -> None:
    picture = section("## A job's life")
    said = re.findall(r"^ +(\w)->>(\w): (\w+)", picture, flags=re.MULTILINE)
    said = [(sender, receiver, name) for sender, receiver, name in said if name in COMMANDS]
    unusual = {"cancelJob", "tailJob", "jobOutput", "wantJobOutput", "haveJobOutput", "wantJobs", "haveJobs"}
    assert {name for *_, name in said} == {
        name for name in COMMANDS if re.search("[jJ]ob|Upload", name)
    } - unusual
    for sender, receiver, name in said:
        assert LETTERS[sender] & RULES[name].sender, name
        assert LETTERS[receiver] & RULES[name].receiver, name


# -- the examples


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_decodes_to_it_and_encodes_to_the_same(name: str) -> None:
    info = info_of(name)
    command, features = codec.decode(info)
    assert isinstance(command, COMMANDS[name])
    assert codec.encode(command, tuple(sorted(features or ()))) == info
    assert (features is None) is RULES[name].noack


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_of_a_command_is_what_a_transport_writes(name: str) -> None:
    shown = example(name)
    assert "/" in shown.sender
    assert shown.noack is RULES[name].noack
    written = stanza.encode(replace(shown, sender=""))
    stream = ElementTree.fromstring(f"<stream xmlns='jabber:client'>{written}</stream>")
    assert replace(stanza.decode(stream[0], own=shown.sender, now=0.0), sender=shown.sender) == shown


@pytest.mark.parametrize("name", COMMANDS)
def test_every_value_of_an_example_is_base64(name: str) -> None:
    todo = [info_of(name)]
    while todo:
        element = todo.pop()
        todo.extend(element.children)
        assert all(value.startswith(codec.PREFIX) for value in element.attributes.values())


def test_both_carriages_are_shown_saying_the_same() -> None:
    body, element = examples(section("### Two carriages"))
    assert body.element is None
    assert body.body is not None
    assert element.body is None
    assert body.body == element.element
    command, _ = codec.decode(body.body)
    assert f"`{command.NAME}`" in section("### Two carriages")


def test_the_self_test_that_is_shown_is_the_one_that_is_sent() -> None:
    (shown,) = examples(section("### The self-test at log-in"))
    test = SelfTest()
    test.begin(shown.sender)
    assert test.outgoing() == [replace(shown, sender="")]
    assert test.is_answer(shown)
    assert not test.hear(shown)
    assert test.hear(replace(shown, body=None, noack=False))


def test_acknowledgements_are_shown_in_both_carriages() -> None:
    body, element = examples(section("### Acknowledgements"))
    assert (body.ack_carriage, len(body.acks)) == ("body", 1)
    assert element.ack_carriage == "element"
    assert len(element.acks) > 1


def test_no_example_stands_outside_these() -> None:
    assert len(examples(PAGE)) == len(COMMANDS) + 5


# -- the tables of attributes


@pytest.mark.parametrize("name", COMMANDS)
def test_the_attributes_of_a_command_are_those_of_its_data_class(name: str) -> None:
    written = tables(command_section(name))
    written.pop("Code", None)
    assert {
        (where, plain(attribute), needed == "yes")
        for where, rows in written.items()
        for attribute, needed, *_ in rows
    } == {
        (where, label(item.metadata), item.default is MISSING)
        for where, kind in parts(COMMANDS[name], "info")
        for item in fields(kind)
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_the_values_listed_beside_an_example_are_its_values(name: str) -> None:
    written = tables(command_section(name))
    for where, element in in_example(info_of(name), COMMANDS[name]):
        values = {key: codec.decode_value(value) for key, value in element.attributes.items()}
        values.pop("command" if where == "`<info>`" else "", None)
        values.pop("features", None)
        listed = {
            plain(row[0]): row[2] for row in written.get(where, []) if row[2] not in ("left out", "below")
        }
        assert listed.keys() == values.keys()
        for key, cell in listed.items():
            assert re.fullmatch(shown(cell), values[key]), (where, key)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "tests" / "wire" / "2011").glob("*.xml")), ids=lambda path: path.stem
)
def test_nothing_that_peers_of_2011_say_is_called_ours(path: Path) -> None:
    for info in etree.fromstring(path.read_bytes()).iter("info"):
        name = codec.decode_value(str(info.get("command")))
        for where, rows in tables(command_section(name)).items():
            said = {key for item in info.iter() if where == f"`<{item.tag!s}>`" for key in item.attrib}
            assert not said & {plain(row[0]) for row in rows if row[1] == "ours"}


def label(metadata: Mapping[str, Any]) -> str:
    """How the page calls a field: the attribute's name, or the child's tag."""
    if "attribute" in metadata:
        return str(metadata["attribute"])
    return "<info>" if metadata.get("raw") else f"<{metadata['child'].TAG}>"


def shown(cell: str) -> str:
    """A pattern for the value that a cell shows, in which '…' stands for what was left out."""
    text = "" if cell == "empty" else plain(cell)
    assert len(text) > 5 or "…" not in text
    return re.escape(text).replace("…", ".+")


# -- numbers and words


def settings() -> dict[str, object]:
    """The defaults of the settings by key."""
    found: dict[str, object] = {}
    for cls in (ManagerConfig, AgentConfig, MonitorConfig):
        defaults = {item.name: item.default for item in fields(cls)}
        for item in cls.declared():
            found[item.keys(cls.program)[0]] = defaults[item.field]
    return found


def numbers(text: str = PAGE) -> list[tuple[str, str]]:
    """All pairs of a number and the name beside it: "10 s (`FIRST_RESEND`)"."""
    return re.findall(r"([\d,]+(?: [A-Za-z]+)?) \(`([a-z.]*[A-Z][A-Z0-9_]+)`\)", " ".join(text.split()))


def test_the_numbers_are_those_of_the_code() -> None:
    assert len(numbers()) == len(re.findall(r"\(`[a-z.]*[A-Z][A-Z0-9_]+`\)", PAGE))
    for written, name in numbers():
        module, _, constant = name.rpartition(".")
        values = {
            getattr(item, constant)
            for item in NUMBERED
            if hasattr(item, constant) and item.__name__.endswith(module)
        }
        values |= {settings()[name]} if name in settings() else set()
        assert values == {amount(written)}, name


def test_every_number_of_the_acknowledgements_is_in_the_table_of_rules() -> None:
    constants = {
        name for name, value in vars(acks).items() if name.isupper() and isinstance(value, int | float)
    }
    assert (constants | NEVER_UNNAMED) <= {name for _, name in numbers(section("### Rules"))}


def test_the_codes_of_errors_are_those_of_the_code() -> None:
    written = {plain(row[0]) for row in tables(command_section("error"))["Code"]}
    source = "\n".join(path.read_text() for path in (ROOT / "copilot").rglob("*.py"))
    assert written == set(re.findall(r"""(?:(?:ProtocolError|_Refused)\(\s*|\bcode=)"([a-z-]+)\"""", source))


def test_the_features_in_use_are_those_of_the_code() -> None:
    words = {plain(row[0]): row[1] for row in tables(section("## 4. Features"))["Feature"]}
    features = {value for name, value in vars(rules).items() if name.startswith("FEATURE_")}
    assert {word for word, today in words.items() if today == "yes"} == features
    assert set(words.values()) <= {"yes", "reserved"}


def test_sections_that_the_code_refers_to_are_there() -> None:
    source = "\n".join(path.read_text() for path in (ROOT / "copilot").rglob("*.py"))
    references = re.findall(r'protocol page, section (\d)(?:, "([^"]+)")?', source)
    assert references
    for number, row in references:
        (heading,) = re.findall(rf"^## {number}\. .+$", PAGE, flags=re.MULTILINE)
        assert not row or any(cells[0] == row for cells in tables(section(heading))["Rule"])
