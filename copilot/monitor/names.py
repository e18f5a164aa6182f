"""Who may report, and under which name: an agent must not be able to pose as a manager.

Paths below `copilot.jobmanager`, `copilot.storagemanager`, `copilot.monitor` and `copilot.total` are those of managers.
Where the accounts of managers are known (`MON_MANAGERS`), they alone may write there. Where they are not, as with a
configuration of 2011, `copilot.jobmanager.<type>.<instance>` belongs to the account that uses it first, until the monitor is
started again, and `copilot.monitor` to the monitor alone, as does `copilot.total`, where Carbon's aggregator writes. Paths
decide, not names of components, for a name may end anywhere in a path.
"""

from __future__ import annotations

from copilot.protocol.envelope import bare
from copilot.protocol.people import Includes, People

RESERVED = frozenset({"monitor", "total"})
MANAGERS = frozenset({"jobmanager", "storagemanager"}) | RESERVED
OWNED_PARTS = slice(1, 4)  # of a path: kind, type and instance
MOST_OWNED = 10_000  # instances; when there are more, new ones are nobody's to use


class Names:
    """The rule. Paths are those of `metric_path`."""

    def __init__(self, *, allow: Includes, managers: tuple[str, ...] | None, own: str) -> None:
        """`allow`: accounts (bare JIDs) and domains that may report at all; `managers`: those that are managers, None if
        that is not known; `own`: the monitor's own account, which always may."""
        self._allow = allow
        self._managers = None if managers is None else People.of(*managers)
        self._own = bare(own)
        self._owners: dict[str, str] = {}

    def may_report(self, jid: str) -> bool:
        """Whether anything is taken from it."""
        return self._allow.include(jid) or bare(jid) == self._own

    def may_write(self, path: str, jid: str) -> bool:
        """Whether this path is for it to write."""
        if not is_managers(path) or bare(jid) == self._own:
            return True
        if self._managers is not None:
            return self._managers.include(jid)
        kind, *_ = name = path.split(".")[OWNED_PARTS]
        owned = ".".join(name)
        if kind.lower() in RESERVED or (owned not in self._owners and len(self._owners) >= MOST_OWNED):
            return False
        return self._owners.setdefault(owned, bare(jid)) == bare(jid)


def is_managers(path: str) -> bool:
    """Whether a path is one of managers."""
    return path.split(".", 2)[1].lower() in MANAGERS
