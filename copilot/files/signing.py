"""URLs of the file area that are signed, expire, and allow one thing: read this input, write this output.

    https://host:port[/prefix]/<path in the area>?e=<expiry>&s=<signature>           GET
    https://host:port[/prefix]/<path in the area>?e=<expiry>&m=<max size>&s=<…>      PUT, an output
    https://host:port[/prefix]/<path in the area>?e=<…>&h=<SHA-256>&m=<size>&s=<…>   PUT, an input that is known already
    https://host:port[/prefix]/.results/<job>.tgz?e=<expiry>&s=<…>                   GET, the output of a finished job

The signature is HMAC-SHA-256 (RFC 2104) in base64url without padding, over the lines
`copilot-file-v1`, method, path, expiry (seconds since the epoch) and maximum size (bytes; empty for GET); for an input
`copilot-input-v1` in place of the first line, and one more: the SHA-256 in hex, which the contents must have.
The path is the decoded one below the base URL, so neither a proxy that strips a prefix nor one that
escapes characters differently breaks it. A base `file:///dir` gives plain URLs for shared file systems.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, urlsplit

from copilot.clock import Clock
from copilot.errors import ConfigError
from copilot.files.area import input_name, output_name, result_name
from copilot.files.base import FileFacts
from copilot.records import dataclass

MIN_SECRET_BYTES = 32  # the length of the hash; a shorter key is weaker than the signature looks
_PREFIX = "copilot-file-v1"
_INPUT_PREFIX = "copilot-input-v1"
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
_FIELDS = {"GET": ({"e", "s"},), "PUT": ({"e", "m", "s"}, {"e", "h", "m", "s"})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What a valid signature allows: to write at most `max_size` bytes, or (None) to read. `sha256`: to write an input
    whose contents have this, in hex."""

    max_size: int | None
    sha256: str | None = None


class UrlSigner:
    """Makes the URLs that a job's agent gets. Raises `ConfigError` for a useless base URL or secret."""

    def __init__(self, base_url: str, secret: bytes, clock: Clock) -> None:
        parts = urlsplit(base_url)
        usable = parts.scheme == "file" or (parts.scheme in ("http", "https") and parts.hostname)
        if not usable or parts.query or parts.fragment or "@" in parts.netloc:
            raise ConfigError(
                "base URL of the file area: expected https://host:port[/prefix] or file:///directory, without "
                "user name, query or fragment; correct the setting"
            )
        self._base = base_url.rstrip("/")
        self._plain = parts.scheme == "file"
        self._secret = secret if self._plain else _checked(secret)
        self._clock = clock

    def input_url(self, job: str, name: str, expires_in: float) -> str:
        """Where an agent reads this input for the next `expires_in` seconds. Raises `BadName`."""
        return self._url("GET", input_name(job, name), expires_in, None)

    def output_url(self, job: str, attempt: int, expires_in: float, max_size: int) -> str:
        """Where an agent writes the output of this attempt, at most `max_size` bytes. Raises `BadName`."""
        return self._url("PUT", output_name(job, attempt), expires_in, max_size)

    @property
    def takes_uploads(self) -> bool:
        """Whether people from afar can send and fetch files; not where a shared file system takes the server's place."""
        return not self._plain

    def upload_url(self, job: str, name: str, expires_in: float, facts: FileFacts) -> str:
        """Where somebody from afar writes this input, which must look so. Raises `BadName`."""
        return self._url("PUT", input_name(job, name), expires_in, facts.size, facts.sha256)

    def result_url(self, job: str, expires_in: float) -> str:
        """Where the output of this finished job is read. Raises `BadName`."""
        return self._url("GET", result_name(job), expires_in, None)

    def _url(self, method: str, path: str, expires_in: float, max_size: int | None, sha256: str = "") -> str:
        where = f"{self._base}/{quote(path)}"
        if self._plain:
            return where
        expiry = str(int(self._clock.wall() + expires_in))
        limit = "" if max_size is None else str(max_size)
        size = f"&m={limit}" if limit else ""
        digest = f"&h={sha256}" if sha256 else ""
        signature = _signature(self._secret, method, path, expiry, limit, sha256)
        return f"{where}?e={expiry}{digest}{size}&s={signature}"


class Verifier:
    """Checks what `UrlSigner` made with any of `secrets`: the current one and, for a while, the previous."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = [_checked(secret) for secret in secrets]

    def check(self, method: str, path: str, query: str, now: float) -> Permission | None:
        """What this request may do, None if nothing.

        `path` is the decoded one below the base URL, without its first slash; `query` as it stood in the
        URL; `now` in seconds since the epoch.
        """
        pairs = parse_qsl(query, keep_blank_values=True)
        fields = dict(pairs)
        if len(pairs) != len(fields) or fields.keys() not in _FIELDS.get(method, ()):
            return None
        expiry, limit, digest, signature = fields["e"], fields.get("m", ""), fields.get("h", ""), fields["s"]
        if (
            not _NUMBER.fullmatch(expiry)
            or ("m" in fields and not _NUMBER.fullmatch(limit))
            or ("h" in fields and not _SHA256.fullmatch(digest))
            or not signature.isascii()
        ):
            return None
        genuine = [
            hmac.compare_digest(_signature(secret, method, path, expiry, limit, digest), signature)
            for secret in self._secrets
        ]
        if not any(genuine) or now >= int(expiry):
            return None
        return Permission(max_size=int(limit) if limit else None, sha256=digest or None)


def _signature(secret: bytes, method: str, path: str, expiry: str, limit: str, sha256: str = "") -> str:
    # A line break inside `path` cannot shift the lines: those after it hold hexadecimal digits alone.
    # What came from the wire may hold lone surrogates; they must fail the comparison, not the program.
    lines = (_INPUT_PREFIX, method, path, expiry, limit, sha256)
    plain = (_PREFIX, method, path, expiry, limit)
    text = "\n".join(lines if sha256 else plain).encode("utf-8", "surrogatepass")
    return base64.urlsafe_b64encode(hmac.digest(secret, text, hashlib.sha256)).rstrip(b"=").decode("ascii")


def _checked(secret: bytes) -> bytes:
    if len(secret) < MIN_SECRET_BYTES:
        raise ConfigError(
            f"the secret that signs file URLs has {len(secret)} bytes; expected at least {MIN_SECRET_BYTES} random "
            "ones; remove its file to have a new one made"
        )
    return secret
