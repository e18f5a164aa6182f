"""Wishes from afar for arrays and some of their elements."""

from __future__ import annotations

from copilot.actor import Via
from copilot.client.desk import Desk
from copilot.job import JobSpec, State
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore

ANN, OLE = "ann@x.org", "ole@x.org"


async def test_an_array_or_some_of_its_elements_can_be_meant_by_who_may() -> None:
    store = MemoryStore()
    await store.put_account(Account(jid=ANN, standing=Standing.SUBMITTER))
    await store.put_account(Account(jid=OLE, standing=Standing.OPERATOR))
    await store.submit(
        [JobSpec(id="sim", command="c", array=10, owner=ANN), JobSpec(id="other", command="c", array=3)]
    )
    desk = Desk(store)

    async def want(who: str, verb: str, *targets: str) -> list[tuple[bool, str]]:
        told = await desk.act(who, verb, targets, via=Via.XMPP, place="")
        return [(one.ok, one.text.partition(";")[0]) for one in told]

    assert await want(ANN, "hold", "sim[2:4]", "sim[-1]", "sim.0") == [
        (True, "2 of 2 elements held"),
        (True, "held"),
        (True, "held"),
    ]
    assert await want(ANN, "cancel", "other", "other[1]", "sim", "x[1]") == [
        (False, "is not known, or is not yours"),
        (False, "is not known, or is not yours"),
        (True, "10 of 10 elements cancelled, or about to be"),
        (False, "is not known, or is not yours"),
    ]
    assert await want(OLE, "cancel", "other[1:]", "x[:]") == [
        (True, "2 of 2 elements cancelled, or about to be"),
        (False, "is no array that is known: look for a typing error"),
    ]
    assert {state: number for state, number in (await store.counts()).items() if number} == {
        State.CANCELLED: 12,
        State.WAITING: 1,
    }
