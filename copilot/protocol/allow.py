"""Who may ask a component how it fares (`HB_ALLOW`): bare JIDs, and domains for all their accounts."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection

from copilot.protocol.envelope import bare


def allowed(jid: str, allow: Collection[str]) -> bool:
    """Whether the account of this JID, full or bare, is among them. A domain alone is nobody.

    Local and domain part are compared in lower case and as one form of Unicode, as servers do (RFC 7622, 3.2 and 3.3).
    """
    account = _folded(bare(jid))
    local, at, domain = account.partition("@")
    return bool(local and at and domain) and any(_folded(one) in (account, domain) for one in allow)


def _folded(jid: str) -> str:
    return unicodedata.normalize("NFC", jid.lower())
