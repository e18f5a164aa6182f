"""What all unit tests begin with."""

import pytest

from copilot.log import limit


@pytest.fixture(autouse=True)
def _nothing_was_logged_before() -> None:
    """What another test has logged holds no line back here."""
    limit.process_wide.forget()
