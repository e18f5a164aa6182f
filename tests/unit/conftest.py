"""What all unit tests begin with."""

from collections import OrderedDict

import pytest

from copilot.log import limit


@pytest.fixture(autouse=True)
def _nothing_was_logged_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another test has logged holds no line back here."""
    monkeypatch.setattr(limit._process_wide, "_seen", OrderedDict())
