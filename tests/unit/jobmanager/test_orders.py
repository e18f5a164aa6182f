"""What an agent is given, by how it speaks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.job import JobSpec
from copilot.jobmanager.orders import Asker, Orders
from copilot.protocol.claim import Claims
from copilot.store.base import Claimed, Parking


@pytest.mark.parametrize(("session", "sealed"), [("", False), ("v1:d3JhcHBlZA==", False), ("v2:a:b:c", True)])
def test_who_was_parked_in_a_session_that_proves_nobody_gets_no_secrets(session: str, sealed: bool) -> None:
    """As when it asks: suite v1 goes with `Received.sealed` False."""
    asker = Asker.parked(Parking(jid="agent@x/a", session=session))
    assert (asker.sealed, asker.session) == (sealed, session)


def test_an_element_of_an_array_is_told_which_one_it_is_and_finds_the_inputs_of_its_array() -> None:
    orders = Orders(
        Claims("here", [b"k" * 32]),
        urls=None,
        contents=None,
        url_lifetime=60.0,
        chirp="c.example:9094",
        max_run_time=60.0,
        require_file=None,
    )
    spec = JobSpec(
        id="sim", command="c", arguments="in{index} {{index}} {n}", environment="export A=1", array=20
    )
    item = Claimed(spec=spec.element(7), attempt=2, submitted=1.0, claimed=2.0)
    job = orders.run_job(item, Asker(jid="a@x/1", features=None)).job  # an agent of 2011
    assert job.arguments == "in7 {7} {n}"
    assert job.environment.splitlines() == [
        "export A=1",
        "export COPILOT_ARRAY_ID=sim",
        "export COPILOT_ARRAY_INDEX=7",
        "export COPILOT_ARRAY_SIZE=20",
    ]
    assert (job.id, job.input_dir, job.output_dir) == ("sim.7.a2", "/sim.a0", "sim.7.a2")
    plain = orders.run_job(
        replace(item, spec=JobSpec(id="j", command="c", arguments="{index}")),
        Asker(jid="a@x/1", features=None),
    ).job
    assert (plain.arguments, plain.environment) == ("{index}", "")
