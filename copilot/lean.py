"""Doing with less memory: an agent lives in memory that is others'."""

from __future__ import annotations

import ctypes
import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_M_ARENA_MAX = -8  # malloc.h of glibc


@contextmanager
def without(*modules: str) -> Iterator[None]:
    """Have these count as not installed meanwhile (`sys.modules`: None means ModuleNotFoundError), unless they are loaded."""
    hidden = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextmanager
def without_authorities() -> Iterator[None]:
    """Have TLS contexts that are made meanwhile trust nobody, instead of all authorities of the system: 3 MB each."""
    load = ssl.SSLContext.load_default_certs
    ssl.SSLContext.load_default_certs = lambda *_: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        ssl.SSLContext.load_default_certs = load  # type: ignore[method-assign]


def share_one_heap() -> None:
    """Have all threads to come take memory from one heap (mallopt(3)); each would keep some of what went through its own.

    That was 3 MB after files by HTTP. Where the C library has no such thing, nothing happens.
    """
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
