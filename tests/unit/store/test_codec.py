"""Jobs, outcomes and events in Redis' fields read back as they were."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.job import Cause, Event, EventKind, JobSpec, Outcome, Output, State
from copilot.store import codec

FIELDS = {
    "spec": JobSpec(id="j", command="c").to_json(),
    "state": "waiting",
    "attempt": "0",
    "attempts_used": "0",
    "submitted": "1700000000.1234560",
    "first_event": "7-0",
}
text = st.text(st.characters(codec="utf-8"))


def test_a_new_job_has_no_more_than_it_needs() -> None:
    record = codec.record_from_fields(FIELDS)
    assert (record.spec.id, record.state, record.submitted) == ("j", State.WAITING, 1700000000.123456)
    assert (record.agent, record.claimed, record.finished, record.outcome) == (None, None, None, None)
    assert not record.published


@pytest.mark.parametrize("output", [None, Output(size=5, sha256="ab" * 32)])
@given(reason=text, host=text, cause=st.sampled_from(Cause), validate=st.none() | st.integers(0, 255))
def test_an_outcome_reads_back_as_it_was(
    output: Output | None, reason: str, host: str, cause: Cause, validate: int | None
) -> None:
    outcome = Outcome(
        cause=cause, exit_code=3, reason=reason, host=host, validate_exit_code=validate, output=output
    )
    fields = FIELDS | {"outcome": codec.outcome_to_json(outcome), "finished": "1.5"}
    if output:
        fields["output"] = codec.output_to_json(output)
    record = codec.record_from_fields(fields)
    assert record.outcome == outcome
    assert record.finished == 1.5


def test_no_output_is_an_empty_text() -> None:
    assert codec.output_to_json(None) == ""


def test_an_event_reads_back_as_it_was() -> None:
    fields = {
        "time": "1.25",
        "job": "j",
        "kind": "done",
        "attempt": "2",
        "agent": "a",
        "cause": "ok",
        "text": "t",
    }
    assert codec.event_from_fields("7-1", fields) == Event(
        id="7-1", time=1.25, job="j", kind=EventKind.DONE, attempt=2, agent="a", cause="ok", text="t"
    )
