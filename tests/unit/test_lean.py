"""Libraries are loaded without what they would load besides, and nobody else notices."""

from __future__ import annotations

import importlib
import ssl
import subprocess
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


def test_threads_take_memory_from_one_heap() -> None:
    text = (
        "import ctypes, re, threading\n"
        "from copilot import lean\n"
        "lean.share_one_heap()\n"
        "malloc = ctypes.CDLL(None).malloc\n"
        "threads = [threading.Thread(target=malloc, args=(1000,)) for _ in range(4)]\n"
        "[thread.start() for thread in threads], [thread.join() for thread in threads]\n"
        "stream = ctypes.c_void_p.in_dll(ctypes.CDLL(None), 'stdout')\n"
        "ctypes.CDLL(None).malloc_info(0, stream)\n"
        "ctypes.CDLL(None).fflush(stream)\n"
    )
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout.count("<heap nr=") == 1


def test_contexts_made_meanwhile_trust_nobody_and_later_ones_the_system() -> None:
    later = ssl.create_default_context().cert_store_stats()
    with lean.without_authorities():
        context = ssl.create_default_context()
        assert context.cert_store_stats()["x509_ca"] == 0
        assert context.verify_mode is ssl.CERT_REQUIRED
    assert ssl.create_default_context().cert_store_stats() == later
