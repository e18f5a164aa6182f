"""One message of the secure mode of 2011 with its test keys (tests/wire/secure/vectors.json)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa

VECTORS: dict[str, Any] = json.loads(
    (Path(__file__).parents[3] / "wire" / "secure" / "vectors.json").read_text()
)
SECRET = bytes.fromhex(VECTORS["session_key_raw_hex"])


@functools.cache
def key(name: str) -> rsa.RSAPrivateKey:
    """The private test key of `jm` or `km`."""
    numbers = {part: int(text, 16) for part, text in VECTORS[f"rsa_test_key_{name}_numbers_hex"].items()}
    public = rsa.RSAPublicNumbers(numbers["e"], numbers["n"])
    parts = {part: numbers[part] for part in ("p", "q", "d", "dmp1", "dmq1", "iqmp")}
    return rsa.RSAPrivateNumbers(public_numbers=public, **parts).private_key()
