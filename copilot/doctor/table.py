"""All checks, in the order in which people should read what they found."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from copilot.doctor import (
    chirp,
    clock,
    configuration,
    disk,
    fileserver,
    images,
    installed,
    limits,
    openfiles,
    private,
    sandbox,
    versions,
)
from copilot.doctor.check import Check
from copilot.doctor.redis import eviction, latency, memory, packing, persistence, replicas, saving, version
from copilot.doctor.redis import reach as redis_reach
from copilot.doctor.xmpp import (
    admin,
    bare_jid,
    carriage,
    certificate,
    dns,
    login,
    nagle,
    offline,
    rate,
    reach,
    registration,
    rooms,
    stanza,
)
from copilot.errors import ConfigError

CHECKS: tuple[Check, ...] = tuple(
    module.CHECK
    for module in (
        configuration,
        installed,
        private,
        disk,
        openfiles,
        reach,
        dns,
        certificate,
        registration,
        login,
        rate,
        stanza,
        offline,
        bare_jid,
        nagle,
        carriage,
        rooms,
        admin,
        redis_reach,
        version,
        eviction,
        memory,
        persistence,
        saving,
        replicas,
        latency,
        packing,
        fileserver,
        chirp,
        clock,
        versions,
        sandbox,
        limits,
        images,
    )
)


def chosen(names: Sequence[str]) -> tuple[Check, ...]:
    """Those of these names, or those that begin so (`redis` means all of Redis); all if there are no names. Raises `ConfigError`."""
    if not names:
        return CHECKS
    for name in names:
        if not any(_means(name, check) for check in CHECKS):
            known = [check.name for check in CHECKS]
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; expected one of {', '.join(known)}"
            raise ConfigError(f"check {name[:60]!r}: there is none of that name{hint}")
    return tuple(check for check in CHECKS if any(_means(name, check) for name in names))


def _means(name: str, check: Check) -> bool:
    return check.name == name or check.name.startswith(f"{name}-")
