"""What may come from the XMPP server, looked at as bytes before the parser reads them.

The parser would take a document type declaration and expand its entities, and it keeps a stanza in memory until that
ends, however long it takes. XMPP allows neither a declaration nor another encoding than UTF-8 (RFC 6120, sections
11.1 and 11.6), and until TLS has begun anybody on the way may speak for the server.
"""

from __future__ import annotations

import re

MAX_UNFINISHED_BYTES = 2 * 1024 * 1024  # of one stanza; decent servers pass on half of that at most
_MAX_PROLOG_BYTES = 256

_BEGUN = re.compile(
    rb"""\s*(?:<\?xml(?:\s+(?:version=(?:'1\.0'|"1\.0")|encoding=(?:'utf-8'|"utf-8")))*\s*\?>\s*)?<[a-z]""",
    re.IGNORECASE,
)
_MAY_BEGIN = re.compile(rb"\s*(?:<\?[^<>]*(?:\?>\s*<?)?|<?)")


class Gate:
    """Watches one stream, from its first byte on."""

    def __init__(self) -> None:
        self._prolog: bytes | None = b""  # None: over; from the root element on XML has no declarations
        self._unfinished = 0

    def complaint(self, data: bytes) -> str | None:
        """Why the next bytes must not be read; None if they may be."""
        self._unfinished += len(data)
        if self._unfinished > MAX_UNFINISHED_BYTES:
            return f"it sent more than {MAX_UNFINISHED_BYTES} bytes without ending a stanza"
        if self._prolog is None:
            return None
        self._prolog += data
        if _BEGUN.match(self._prolog):
            self._prolog = None
        elif len(self._prolog) > _MAX_PROLOG_BYTES or not _MAY_BEGIN.fullmatch(self._prolog):
            return f"it began with {self._prolog[:60]!r}, and XMPP allows no declarations and no encoding but UTF-8"
        return None

    def stanza_ended(self) -> None:
        """Count anew."""
        self._unfinished = 0
