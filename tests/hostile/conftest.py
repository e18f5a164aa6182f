"""Directories for whole systems, as in the acceptance tests."""

from __future__ import annotations

from tests.acceptance import conftest

ground, place, up = conftest.ground, conftest.place, conftest.up
