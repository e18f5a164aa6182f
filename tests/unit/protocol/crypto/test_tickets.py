"""Tickets: who may talk to whom until when, and what is no ticket."""

from __future__ import annotations

import base64
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol.crypto.tickets import EARLY, NO_TICKET, Ticket, issue, read
from tests.unit.protocol.crypto.vectors import VECTORS, key

OF_2011 = VECTORS["ticket"]["value"]
KM = [key("km").public_key()]
TICKET = Ticket(component="*", valid_from=1_000, valid_to=2_000, requester="agent@example.org/node7")
AGENT, MANAGER = "agent@example.org/other", "jm@example.org/one"


def test_a_ticket_of_2011_is_read_and_made_to_the_byte() -> None:
    ticket = read(OF_2011, KM)
    assert ticket == Ticket(
        component="*", valid_from=1_700_000_000, valid_to=2_900_000_000, requester="agent@localhost"
    )
    assert issue(ticket, key("km")) == OF_2011


NAMES = st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=20)
TIMES = st.integers(0, 2**40)


@given(NAMES, TIMES, TIMES, NAMES)
def test_what_is_issued_is_read(component: str, valid_from: int, valid_to: int, requester: str) -> None:
    ticket = Ticket(component=component, valid_from=valid_from, valid_to=valid_to, requester=requester)
    assert read(issue(ticket, key("km")), KM) == ticket


@pytest.mark.parametrize("name", ["a###b", "a\nb"])
def test_a_name_that_could_be_read_otherwise_gets_no_ticket(name: str) -> None:
    with pytest.raises(ValueError, match="cannot name"):
        issue(replace(TICKET, requester=name), key("km"))


GOOD = issue(TICKET, key("km"))
SIGNATURE, _, DATA = GOOD.partition("###")
BAD = {
    "nothing": "",
    "no ticket": NO_TICKET,
    "a signature alone": SIGNATURE,
    "data alone": f"###{DATA}",
    "of another key": issue(TICKET, key("jm")),
    "a later end": f"{SIGNATURE}###{base64.encodebytes(b'*###1000###9000###agent@example.org/node7').decode()}",
    "without the newline": GOOD.rstrip("\n"),
    "longer than any": GOOD + " " * 5000,
    "no ASCII": f"{SIGNATURE}###ä",
    "no base64": f"%%###{DATA}",
}


@pytest.mark.parametrize("name", BAD)
def test_what_the_key_manager_has_not_signed_is_no_ticket(name: str) -> None:
    assert read(BAD[name], KM) is None


def _signed(data: str) -> str:
    """Signed by the key manager, whatever it is."""
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA1

    text = base64.encodebytes(data.encode("latin-1"))
    signature = key("km").sign(text, PKCS1v15(), SHA1())
    return f"{base64.encodebytes(signature).decode()}###{text.decode()}"


@pytest.mark.parametrize("data", ["", "*###1###2", "*###a###b###c", "*###1###2###a###b", "*###1###2###\xff"])
def test_signed_nonsense_is_no_ticket(data: str) -> None:
    assert read(_signed(data), KM) is None


def test_without_a_key_manager_there_is_no_ticket() -> None:
    assert read(GOOD, []) is None
    assert read(GOOD, [key("jm").public_key(), *KM]) == TICKET, "an older key of the key manager counts, too"


def test_a_ticket_is_good_for_its_account_its_time_and_its_component() -> None:
    assert TICKET.refusal(AGENT, MANAGER, 1_500) is None
    assert TICKET.refusal(AGENT, MANAGER, 1_000 - EARLY) is None
    assert TICKET.refusal(AGENT, MANAGER, 2_000) is None
    ours = replace(TICKET, component="JM@example.org")
    assert ours.refusal(AGENT, MANAGER, 1_500) is None
    assert ours.refusal(AGENT, "sm@example.org/x", 1_500) == "a ticket for another component"
    assert TICKET.refusal("b@example.org/node7", MANAGER, 1_500) == "another account's ticket"
    assert TICKET.refusal(AGENT, MANAGER, 999 - EARLY) == "a ticket that is not valid yet"
    assert TICKET.refusal(AGENT, MANAGER, 2_001) == "a ticket that has expired"
