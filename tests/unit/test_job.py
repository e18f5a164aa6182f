"""Descriptions of jobs: what ids and names may be, the limits, JSON, and that a job within them fits on the wire."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import BadName
from copilot.files.signing import MIN_SECRET_BYTES, UrlSigner
from copilot.job import (
    MAX_INPUT_FILES,
    MAX_INPUT_NAME_BYTES,
    MAX_NAME_BYTES,
    MAX_TEXT_BYTES,
    Cause,
    InputFile,
    JobSpec,
    State,
    alias,
    check_job_id,
    check_relative_name,
    split_alias,
    split_element,
)
from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.protocol import codec
from copilot.protocol.claim import SECRET_BYTES, Claims
from copilot.protocol.commands import GetJob
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Received
from copilot.runtime.component import Send
from copilot.store.memory import MemoryStore
from copilot.transport.stanza import MAX_STANZA_BYTES, encode_bounded

LONE_SURROGATE = "\udcff"  # what Python makes of the byte 255 in an argument or a file name
LONG_BASE_URL = f"https://{'h' * 63}.{'d' * 63}.example.org:65535/{'p' * 60}"
SHA256 = "f" * 64
JOB_IDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


def is_a_name(text: str) -> bool:
    try:
        return bool(check_relative_name(text))
    except BadName:
        return False


def no_file_is_a_directory(inputs: tuple[InputFile, ...]) -> bool:
    return not any(one.name.startswith(f"{other.name}/") for one in inputs for other in inputs)


NAMES = TEXTS.filter(is_a_name)
INPUTS = st.builds(InputFile, name=NAMES, size=st.integers(0, 2**63), sha256=st.just(SHA256))
SPECS = st.builds(
    JobSpec,
    id=JOB_IDS,
    command=NAMES,
    arguments=TEXTS,
    environment=TEXTS,
    packages=st.lists(TEXTS, max_size=3).map(tuple),
    inputs=st.lists(INPUTS, max_size=3).map(tuple).filter(no_file_is_a_directory),
    validation=st.none() | NAMES,
    priority=st.integers(-1000, 1000),
    owner=st.text(max_size=20),
    max_attempts=st.integers(1, 100),
    max_user_attempts=st.integers(1, 100),
    max_run_time=st.none() | st.floats(0, allow_infinity=False),
    chirp_server=st.none() | TEXTS,
    exclusive=st.booleans(),
    requirements=TEXTS,
)


class FixedClock:
    """A clock that stands, late enough for a long expiry."""

    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 99_999_999_999.0


@pytest.mark.parametrize("text", ["j", "0", "a.b_c-d", "x" * 128, "j.a", "j.a1b"])
def test_a_job_id_may_be(text: str) -> None:
    assert check_job_id(text, submitted=True) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "-j", "_j", "a/b", "a b", "j\n", "ä", "x" * 129, "\x00", LONE_SURROGATE]
)
def test_a_job_id_may_not_be(text: str) -> None:
    with pytest.raises(BadName, match="expected 1 to 128 letters"):
        check_job_id(text)


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True), st.integers(0, 10**6))
def test_an_alias_names_job_and_attempt_again(job: str, attempt: int) -> None:
    try:
        check_job_id(job, submitted=True)
    except BadName:
        return
    assert split_alias(alias(job, attempt)) == (job, attempt)


def test_the_first_attempt_bears_the_name_of_its_job() -> None:
    assert [alias("j", attempt) for attempt in (1, 2, 10)] == ["j", "j.a2", "j.a10"]


def test_the_alias_of_a_second_attempt_is_an_id_that_nobody_submits() -> None:
    assert check_job_id("j.a2") == "j.a2"
    assert check_job_id(alias("j" * 128, 2))
    with pytest.raises(BadName, match=r"\.a<digits>"):
        check_job_id("j.a2", submitted=True)


@pytest.mark.parametrize(
    "text", ["a", "a/b c", "ä/日本", ".hidden", "a..b", "...", "x" * MAX_NAME_BYTES, "d/" * 31 + "f"]
)
def test_a_file_name_may_be(text: str) -> None:
    assert check_relative_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "./a", "a\\b", "a\nb", "\x7f"),
        *("ä" * 128, "x" * (MAX_NAME_BYTES + 1), "d/" * 32 + "f", f"a/{LONE_SURROGATE}"),
    ],
)
def test_a_file_name_may_not_be(text: str) -> None:
    with pytest.raises(BadName):
        check_relative_name(text)


@pytest.mark.parametrize(
    "fields",
    [
        {"command": LONE_SURROGATE},
        {"validation": f"a{LONE_SURROGATE}"},
        {"arguments": LONE_SURROGATE},
        {"environment": f"export A='{LONE_SURROGATE}'"},
        {"packages": ("p", LONE_SURROGATE)},
        {"chirp_server": LONE_SURROGATE},
    ],
)
def test_text_that_is_no_utf8_is_refused_with_a_word_about_it(fields: dict[str, Any]) -> None:
    with pytest.raises(BadName, match="is not UTF-8"):
        JobSpec(**{"id": "j", "command": "c", **fields})


@pytest.mark.parametrize(
    "fields",
    [
        {"arguments": "x" * (MAX_TEXT_BYTES + 1)},
        {"environment": "ä" * (MAX_TEXT_BYTES // 2 + 1)},
        {"packages": ("p",) * (MAX_TEXT_BYTES // 2 + 1)},
        {"packages": ("",) * (MAX_TEXT_BYTES + 2)},
        {"chirp_server": "x" * (MAX_TEXT_BYTES + 1)},
        {"arguments": "x" * (MAX_TEXT_BYTES // 2), "environment": "x" * (MAX_TEXT_BYTES // 2 + 1)},
        {"command": "/".join(["x" * 200] * 11)},
        {"validation": "/".join(["x" * 200] * 11)},
        {"inputs": tuple(InputFile(name=f"{n}", size=0, sha256=SHA256) for n in range(MAX_INPUT_FILES + 1))},
        {"inputs": tuple(InputFile(name=f"{n}" * 220, size=0, sha256=SHA256) for n in range(10))},
    ],
)
def test_what_is_too_large_for_a_message_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(BadName, match="are allowed"):
        JobSpec(**{"id": "j", "command": "c", **fields})


def test_a_file_cannot_be_the_directory_of_another() -> None:
    inputs = tuple(InputFile(name=name, size=0, sha256=SHA256) for name in ("b", "a", "ab", "b/c/a"))
    with pytest.raises(BadName, match="input 'b' is a file and the directory of 'b/c/a'"):
        JobSpec(id="j", command="c", inputs=inputs)


@given(spec=SPECS)
def test_a_description_comes_back_from_json_as_it_was(spec: JobSpec) -> None:
    text = spec.to_json()
    assert "\n" not in text
    assert JobSpec.from_json(text) == JobSpec.from_json(text.encode()) == spec


def test_json_holds_what_differs_from_the_defaults_and_may_hold_what_a_later_version_adds() -> None:
    text = JobSpec(id="j", command="c").to_json()
    assert json.loads(text) == {"id": "j", "command": "c"}
    assert JobSpec.from_json('{"id": "j", "command": "c", "colour": "red"}').to_json() == text


def test_a_description_from_json_is_checked_again() -> None:
    with pytest.raises(BadName):
        JobSpec.from_json('{"id": "j", "command": "../c"}')


def test_what_is_final_and_what_another_host_may_do_better() -> None:
    assert [state for state in State if state.final] == [State.DONE, State.FAILED, State.CANCELLED]
    assert {cause for cause in Cause if cause.retryable} == {
        cause for cause in Cause if cause.name.startswith("INFRA_")
    }


def input_names(character: str) -> tuple[str, ...]:
    """As many and as long as they may be, beside a command of one letter."""
    share = MAX_INPUT_NAME_BYTES // MAX_INPUT_FILES
    names = [f"{n:02d}{character * (share - 2)}" for n in range(MAX_INPUT_FILES)]
    return (*names[:-1], names[-1][:-1])


@pytest.mark.parametrize("character", ["x", " "])  # a blank has three bytes in a URL
async def test_a_job_at_all_its_limits_fits_into_a_message(character: str) -> None:
    spec = JobSpec(
        id="j" * 128,
        command="c",
        arguments="x" * (MAX_TEXT_BYTES - 255),
        chirp_server="h" * 255,
        inputs=tuple(InputFile(name=name, size=10**15, sha256=SHA256) for name in input_names(character)),
        max_run_time=1234567.25,
    )
    agent = f"{'a' * 200}@example.org/{'r' * 36}"
    store = MemoryStore()
    await store.submit([spec])
    manager = JobManager(
        store,
        Claims("jm@example.org", [b"s" * SECRET_BYTES]),
        JobManagerSettings(),
        urls=UrlSigner(LONG_BASE_URL, b"s" * MIN_SECRET_BYTES, FixedClock()),
        random=lambda: 0.5,
    )
    request = Received(
        command=GetJob(agent_host="h", jdl="[]"),
        sender=agent,
        id="m1",
        features=frozenset({"storage"}),
        element=True,
        wants_ack=True,
    )
    answer = manager.handle(request, 0.0)
    assert isinstance(answer, Awaitable)
    (action,) = await answer
    assert isinstance(action, Send)
    info = codec.encode(action.command, ("storage", "redirect", "secret"))
    message = encode_bounded(
        Envelope(to=agent, id="m" * 36, element=info, acks=("m" * 36,)), MAX_STANZA_BYTES
    )
    assert len(message) > MAX_STANZA_BYTES * 0.8  # the limits are no tighter than they must be


@pytest.mark.parametrize("directory", ["/", "/data", "data/7", "/data/ä b/7"])
def test_inputs_may_lie_in_a_directory_of_a_server(directory: str) -> None:
    spec = JobSpec(id="j", command="run.sh", input_dir=directory)
    assert JobSpec.from_json(spec.to_json()) == spec


@pytest.mark.parametrize(
    "directory",
    ["", "//", "/..", "/data/../..", "data/", "/data\n", "/a\\b", f"/{LONE_SURROGATE}", "/" + "x" * 256],
)
def test_a_directory_of_a_server_is_below_its_root(directory: str) -> None:
    with pytest.raises(BadName):
        JobSpec(id="j", command="run.sh", input_dir=directory)


def test_the_directory_counts_among_the_texts() -> None:
    with pytest.raises(BadName, match="Chirp server and directory"):
        JobSpec(id="j", command="run.sh", arguments="x" * (MAX_TEXT_BYTES - 4), input_dir="/data")


def test_an_element_of_an_array_is_a_job_with_a_number() -> None:
    array = JobSpec(id="sim", command="c", array=12)
    one = array.element(11)
    assert (array.is_array, one.is_array, one.id, one.index, one.array) == (True, False, "sim.11", 11, 12)
    assert (array.submitted_as, one.submitted_as) == ("sim", "sim")
    assert JobSpec.from_json(one.to_json()) == one
    assert split_element("a.b.7") == ("a.b", 7)
    assert [split_element(text) for text in ("sim", "sim.07", "sim.x", ".7", "sim.1234567")] == [None] * 5


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"array": 1_000_001}, "expected 1 to 1000000 elements"),
        ({"array": -1}, "expected 1 to 1000000 elements"),
        ({"array": 5, "index": 5}, "expected an id that ends in it"),
        ({"array": 5, "index": 1}, "expected an id that ends in it"),
        ({"index": 1}, "expected 1 to 1000000 elements"),
        ({"id": "s" * 125, "array": 100_000}, "job id"),
    ],
)
def test_arrays_that_cannot_be_are_refused(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BadName, match=why):
        JobSpec(**{"id": "sim", "command": "c", **fields})
