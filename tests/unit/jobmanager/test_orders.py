"""What an agent is given, by how it speaks."""

from __future__ import annotations

import pytest

from copilot.jobmanager.orders import Asker
from copilot.store.base import Parking


@pytest.mark.parametrize(("session", "sealed"), [("", False), ("v1:d3JhcHBlZA==", False), ("v2:a:b:c", True)])
def test_who_was_parked_in_a_session_that_proves_nobody_gets_no_secrets(session: str, sealed: bool) -> None:
    """As when it asks: suite v1 goes with `Received.sealed` False."""
    asker = Asker.parked(Parking(jid="agent@x/a", session=session))
    assert (asker.sealed, asker.session) == (sealed, session)
