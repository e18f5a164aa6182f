"""The codec: value encoding, tolerance to old peers, and errors that name the fault."""

from __future__ import annotations

import contextlib
import string
from dataclasses import MISSING, fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import ProtocolError
from copilot.protocol import codec
from copilot.protocol.commands import (
    ADDRESS,
    COMMANDS,
    FILES,
    FLAG,
    JOB_ID,
    NAME,
    NUMBER,
    SECRET_NAME,
    SHA256,
    SIZE,
    WHOLE,
    WORDS,
    GetJob,
    Job,
    JobDone,
    JobInput,
    Redirect,
    RunJob,
    StoreJobOutputDir,
    WantGetJob,
)
from copilot.protocol.envelope import Element
from copilot.protocol.rules import RULES

XML_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
NAMES = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=20).filter(
    lambda text: text not in (".", "..")
)
JOB_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
BY_KIND = {
    id(WHOLE): st.integers(),
    id(SIZE): st.integers(min_value=0),
    id(SHA256): st.from_regex(r"[0-9a-f]{64}", fullmatch=True),
    id(NUMBER): st.floats(allow_nan=False),
    id(FLAG): st.booleans(),
    id(WORDS): st.lists(NAMES).map(tuple),
    id(FILES): st.lists(NAMES).map(tuple),
    id(JOB_ID): JOB_IDS,
    id(NAME): NAMES,
    id(SECRET_NAME): JOB_IDS,
    id(ADDRESS): XML_TEXT.map(lambda text: text.replace(";", ":")),
}


def values_of(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any legal value of a command or part."""
    arguments: dict[str, st.SearchStrategy[Any]] = {}
    for item in fields(kind):
        meta = item.metadata
        if meta.get("raw"):
            arguments[item.name] = st.builds(
                Element, st.just("info"), st.just({"command": "_BASE64:cG9uZw=="})
            )
        elif meta.get("child"):
            part = values_of(meta["child"])
            arguments[item.name] = st.lists(part, max_size=3).map(tuple) if meta["many"] else part
        else:
            value = BY_KIND.get(id(meta["kind"]), XML_TEXT)
            optional = item.default is None and item.default is not MISSING
            arguments[item.name] = st.none() | value if optional else value
    return st.builds(kind, **arguments)


@given(
    command=st.one_of([values_of(kind) for kind in COMMANDS.values()]), features=st.lists(NAMES, max_size=3)
)
def test_what_is_encoded_is_decoded_the_same(command: Any, features: list[str]) -> None:
    decoded, announced = codec.decode(codec.encode(command, tuple(features)))
    assert decoded == command
    assert announced == (frozenset(features) if features else None)


@given(XML_TEXT)
def test_a_value_survives_line_breaks_and_both_prefixes(text: str) -> None:
    value = codec.encode_value(text)
    assert not any(space in value for space in " \n\t")
    broken = value[:8] + "\n".join(value[8:][at : at + 5] for at in range(0, len(value), 5)) + "\n "
    assert codec.decode_value(broken) == text
    assert codec.decode_value("_" + broken) == text


def test_text_that_is_no_utf8_is_written_all_the_same() -> None:
    assert codec.decode_value(codec.encode_value("a\udc80b")) == "a?b"


def test_a_value_without_prefix_is_read_as_it_is() -> None:
    assert codec.decode_value("2 + 2") == "2 + 2"


def test_an_empty_value_is_the_prefix_alone() -> None:
    assert codec.encode_value("") == "_BASE64:"
    assert codec.decode_value("_BASE64:") == ""


@pytest.mark.parametrize("value", ["_BASE64:%%%", "_BASE64:YQ", "__BASE64:/w==", "_BASE64:YQ==YQ==="])
def test_broken_base64_or_utf8_is_a_bad_value(value: str) -> None:
    with pytest.raises(ProtocolError) as error:
        codec.decode_value(value)
    assert error.value.code == "bad-value"


def info(command: str, **attributes: str) -> Element:
    return Element("info", {"command": codec.encode_value(command)} | attributes)


@pytest.mark.parametrize(
    ("element", "code"),
    [
        (Element("info", {}), "malformed"),
        (Element("query", {"command": "ping"}), "malformed"),
        (info("makeCoffee"), "unknown-command"),
        (info("getJob", agentHost="h"), "missing-attribute"),
        (info("runJob"), "missing-attribute"),
        (info("redirect", referral="a@b"), "missing-attribute"),
        (info("jobDone", jobID="j", exitCode="three", state="done"), "bad-value"),
        (info("jobDone", jobID="../etc/passwd", exitCode="3", state="done"), "bad-value"),
        (info("jobDone", jobID="j", exitCode="3", state="done", outputSize="-1"), "bad-value"),
        (info("getJob", agentHost="h", jdl="x" * 400_000), "too-large"),
    ],
)
def test_what_is_wrong_has_a_code(element: Element, code: str) -> None:
    with pytest.raises(ProtocolError) as error:
        codec.decode(element)
    assert error.value.code == code


def run_job(**job: str) -> Element:
    attributes = {"id": "j1", "command": "run.sh"} | job
    return Element("info", {"command": "runJob"}, (Element("job", attributes),))


@pytest.mark.parametrize("name", ["../run.sh", "/bin/sh", "a//b", "", "a\nb", "a\\b"])
@pytest.mark.parametrize("attribute", ["command", "validation"])
def test_a_file_name_that_leaves_the_job_directory_is_refused(attribute: str, name: str) -> None:
    with pytest.raises(ProtocolError) as error:
        codec.decode(run_job(**{attribute: name}))
    assert error.value.code == "bad-value"


def test_input_files_are_joined_by_three_hashes() -> None:
    command, _ = codec.decode(run_job(inputFiles="a.sh###data/b.root"))
    assert isinstance(command, RunJob)
    assert command.job.input_files == ("a.sh", "data/b.root")


def test_old_spellings_are_read() -> None:
    done, _ = codec.decode(info("jobDone", jobId="j", exitCode="0", state="ready"))
    assert done == JobDone(job_id="j", exit_code=0, state="ready")
    stored, _ = codec.decode(info("storeJobOutputDir", jobID="j", outputChirpUrl="host;9094"))
    assert isinstance(stored, StoreJobOutputDir)
    assert stored.output_chirp_url == "host:9094"
    run, _ = codec.decode(run_job(validationScript="check.sh"))
    assert isinstance(run, RunJob)
    assert run.job.validation == "check.sh"


def test_unknown_attributes_and_children_are_ignored() -> None:
    element = info("getJob", agentHost="h", jdl="[]", colour="blue")
    command, features = codec.decode(Element("info", element.attributes, (Element("extra"),)))
    assert command == GetJob(agent_host="h", jdl="[]")
    assert features is None


def test_two_jobs_where_one_is_expected_are_malformed() -> None:
    element = run_job()
    with pytest.raises(ProtocolError, match="one <job> expected"):
        codec.decode(Element("info", element.attributes, element.children * 2))


def test_a_redirect_keeps_what_it_carries_to_the_letter() -> None:
    inner = Element("info", {"command": "__BASE64:d2FudF9nZXRKb2I=", "agentHost": "plain"})
    encoded = codec.encode(Redirect(referral="sm@localhost", info=inner))
    assert encoded.children == (inner,)


def nested(depth: int) -> Element:
    element = Element("info", {"command": "pong"})
    for _ in range(depth):
        element = Element("info", {"command": "pong"}, (element,))
    return element


def test_deep_nesting_is_malformed() -> None:
    codec.decode(nested(codec.MAX_DEPTH))
    with pytest.raises(ProtocolError, match="nested"):
        codec.decode(nested(codec.MAX_DEPTH + 1))


def test_text_is_parsed_without_entities_or_dtds() -> None:
    assert codec.parse(b"<info command='pong'><a:x xmlns:a='y'/></info>") == Element(
        "info", {"command": "pong"}, (Element("x"),)
    )
    for document in (
        b"<info",
        b"<!DOCTYPE info [<!ENTITY a 'b'>]><info command='&a;'/>",
        b"<a>" * 9 + b"</a>" * 9,
    ):
        with pytest.raises(ProtocolError):
            codec.parse(document)
    with pytest.raises(ProtocolError) as error:
        codec.parse(b" " * 600_000)
    assert error.value.code == "too-large"


@given(
    st.recursive(
        st.builds(
            Element,
            st.sampled_from(["info", "job", "input"]),
            st.dictionaries(
                st.sampled_from(["command", "id", "name", "jobID", "exitCode", "features", "jdl"]),
                st.text(max_size=30),
            ),
        ),
        lambda inner: st.builds(
            Element,
            st.just("info"),
            st.dictionaries(
                st.sampled_from(["command", "referral"]), st.sampled_from([*COMMANDS, "_BASE64:AA", "x"])
            ),
            st.lists(inner, max_size=3).map(tuple),
        ),
        max_leaves=6,
    )
)
def test_nothing_but_a_protocol_error_comes_out_of_rubbish(element: Element) -> None:
    with contextlib.suppress(ProtocolError):
        codec.decode(element)


BAD_VALUES = st.sampled_from(
    [
        "",
        "_BASE64:",
        "_BASE64:%",
        "_BASE64:YQ",
        "__BASE64:/w==",
        "-1",
        "nan",
        "1e999",
        "9" * 5000,
        "..",
        "a\nb",
        "\0",
    ]
)


@given(data=st.data(), command=st.one_of([values_of(kind) for kind in COMMANDS.values()]))
def test_a_good_command_with_a_fault_is_read_or_refused_and_what_is_read_can_be_written(
    data: st.DataObject, command: Any
) -> None:
    spoiled = data.draw(spoilt(codec.encode(command, ("storage",))))
    with contextlib.suppress(ProtocolError):
        read, _ = codec.decode(spoiled)
        assert codec.decode(codec.encode(read)) == (read, None) or "nan" in repr(read)


@st.composite
def spoilt(draw: st.DrawFn, element: Element) -> Element:
    """With an attribute changed or left out, or a child doubled, dropped, spoilt or put one level deeper."""
    attributes, children = dict(element.attributes), list(element.children)
    name = draw(st.sampled_from(sorted(attributes))) if attributes else "command"
    what = draw(st.sampled_from(["change", "drop", "cut", "add", "double", "lose", "spoil", "deeper"]))
    if what == "change":
        attributes[name] = draw(BAD_VALUES | XML_TEXT)
    elif what == "drop":
        attributes.pop(name, None)
    elif what == "cut":
        attributes[name] = attributes.get(name, "")[: draw(st.integers(0, 40))]
    elif what == "add":
        attributes[draw(st.sampled_from(["jobId", "validationScript", "x"]))] = draw(BAD_VALUES)
    elif children:
        at = draw(st.integers(0, len(children) - 1))
        wrapped = Element(children[at].tag, {}, (children[at],))
        children[at : at + 1] = {
            "double": [children[at]] * 2,
            "lose": [],
            "spoil": [draw(spoilt(children[at]))],
            "deeper": [wrapped],
        }[what]
    return Element(element.tag, attributes, tuple(children))


def test_every_command_has_a_rule_and_every_rule_a_command() -> None:
    assert set(COMMANDS) == set(RULES)


def test_a_full_run_job_is_one_element_per_file() -> None:
    inputs = (JobInput(name="a", url="https://x/a", size=1, sha256="0" * 64),)
    element = codec.encode(RunJob(job=Job(id="j", command="a", inputs=inputs), jm_job_data="claim"))
    assert [child.tag for child in element.children] == ["job"]
    assert [child.tag for child in element.children[0].children] == ["input"]
    assert codec.decode(codec.encode(WantGetJob(agent_host="h", jdl="")))[0] == WantGetJob(
        agent_host="h", jdl=""
    )
