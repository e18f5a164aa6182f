"""A program that the tests need and that is not here: no reason to fail on a laptop, but on CI, where it must be."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip the test; fail it where `CI` is set. `reason` says what is missing and how to get it."""
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
