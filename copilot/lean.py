"""Loading a library without what it would load besides and we never use: an agent lives in memory that is others'."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Iterator
from contextlib import contextmanager


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
