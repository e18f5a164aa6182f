"""Libraries are loaded without what they would load besides, and nobody else notices."""

from __future__ import annotations

import importlib
import ssl
import sys

import pytest

from copilot import lean


def test_a_module_counts_as_not_installed_only_meanwhile() -> None:
    with lean.without("wave"), pytest.raises(ModuleNotFoundError):
        importlib.import_module("wave")
    assert importlib.import_module("wave").__name__ == "wave"


def test_what_is_loaded_already_stays() -> None:
    with lean.without("json"):
        assert importlib.import_module("json") is sys.modules["json"]
    assert "json" in sys.modules


def test_an_error_meanwhile_hides_nothing_for_good() -> None:
    with pytest.raises(RuntimeError), lean.without("wave"):
        raise RuntimeError
    assert importlib.import_module("wave").__name__ == "wave"


def test_contexts_made_meanwhile_trust_nobody_and_later_ones_the_system() -> None:
    later = ssl.create_default_context().cert_store_stats()
    with lean.without_authorities():
        context = ssl.create_default_context()
        assert context.cert_store_stats()["x509_ca"] == 0
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert ssl.create_default_context().cert_store_stats() == later
