"""The secure mode of a program, wired: key files, suites, and what may be heard in clear.

What knows cryptography is imported only where it is used: an agent without secure mode stays light.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from copilot.clock import SystemClock
from copilot.config.groups import SecureSettings
from copilot.errors import ConfigError
from copilot.job import JobSecret
from copilot.protocol.security import Openings, Security, Suite
from copilot.records import dataclass
from copilot.roles import Account, Standing
from copilot.runtime.component import Component, Performer

if TYPE_CHECKING:
    from copilot.runtime.keyring import FileRing

log = logging.getLogger("copilot.security")

OURS, OF_2011 = "v2", "v1"
ON = "Secure mode is on: everything is sealed from end to end, and nothing else is heard."
OFF = "The security module does not need to be waken up."  # as in the report
HEARS_BOTH = "Secure mode is off; who speaks sealed is answered so, with the keys in %s."


class ServiceSecurity:
    """That of a service. In secure mode its key file is made on the first start; else it is used as soon as there is one."""

    def __init__(
        self,
        config: SecureSettings,
        account: Callable[[str], Account | None] = lambda _: None,
        *,
        gives_tickets: bool = False,
    ) -> None:
        """`account(bare JID)` is a record that counts now; `gives_tickets`: it is the key manager. Raises `ConfigError` if a key
        file cannot be used."""
        self._config = config
        self._gives_tickets = gives_tickets
        self._account = account
        self._clock = SystemClock()
        self.openings = Openings()
        self.ring: FileRing | None = None
        suites = self._suites() if config.secure_mode or config.key_file.exists() else ()
        self.security = Security(
            suites, strict=config.secure_mode, later=self._later, sealed_alone=self._has_key
        )
        log.info(ON if config.secure_mode else OFF)
        if suites and not config.secure_mode:
            log.info(HEARS_BOTH, config.key_file)

    def signers(self, jid: str) -> Sequence[str]:
        """The keys under which an account (bare JID) may open sessions: that of its record, else those of a service."""
        from copilot.protocol.session import ANY_KEY

        account = self._account(jid)
        if account is not None and account.standing is Standing.BUNDLE:
            return ANY_KEY
        if account is not None and account.key:
            return (account.key,)
        if self.ring is None:
            return ()
        self.ring.refresh()  # a service may have come since
        return self.ring.signers(jid)

    def _has_key(self, jid: str) -> bool:
        account = self._account(jid)
        return account is not None and bool(account.key)

    def open_secret(self, secret: JobSecret, job: str) -> bytes:
        """A secret of a job that was sealed for this service. Raises `SealError`."""
        from copilot.protocol.crypto.job_secrets import opened

        return opened(secret, job=job, keys=() if self.ring is None else self.ring.private.opening)

    def _suites(self) -> list[Suite]:
        from copilot.protocol.crypto.keys import service_keys
        from copilot.runtime.keyring import FileRing

        config = self._config
        make = service_keys if config.secure_mode else None
        self.ring = FileRing(config.key_file, config.public_keys_file, now=self._clock.monotonic, make=make)
        suites: list[Suite] = []
        if OURS in config.secure_suites:  # first: who speaks both is answered in it
            suites.append(self._v2(self.ring))
        if OF_2011 in config.secure_suites:
            from copilot.cli.securing_v1 import answering

            suites.append(answering(config, self.ring, self.signers, gives_tickets=self._gives_tickets))
        return suites

    def _v2(self, ring: FileRing) -> Suite:
        from copilot.protocol.session import V2

        config = self._config
        if not ring.private.opening or not ring.private.signing:
            raise ConfigError(
                f"the key file {config.key_file}: suite v2 needs a key that opens and one that signs; "
                "`copilot keys generate service FILE` makes both"
            )
        return V2(config.jid, ring, signers=self.signers, wall=self._clock.wall, openings=self.openings)

    def _later(self) -> list[Suite]:
        if not self._config.key_file.exists():
            return []
        try:
            suites = self._suites()
        except ConfigError as error:
            log.error("%s", error)
            return []
        log.info(HEARS_BOTH, self._config.key_file)
        return suites


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSecurity:
    """That of who opens sessions. `ring` is None in suite v1; `keeper` gets tickets there, if there is a key manager."""

    security: Security
    ring: FileRing | None
    keeper: Component | None = None


def agent_security(
    config: SecureSettings, service: str, *, credential: str | None = None
) -> AgentSecurity | None:
    """That of who opens sessions and answers none: an agent, a submitter; None without secure mode. `service` is the bare JID of
    whom it speaks to first; `credential` is what a key manager wants to see, None for who does not speak v1. Raises `ConfigError` if there are no keys: it does not begin to speak in clear for that."""
    if not config.secure_mode:
        log.info(OFF)
        return None
    if config.secure_suites == (OF_2011,) and credential is not None:
        from copilot.cli.securing_v1 import opening

        suite, keeper = opening(config, service, credential)
        log.info(ON)
        return AgentSecurity(security=Security([suite], strict=True), ring=None, keeper=keeper)
    if config.secure_suites != (OURS,):
        expected = (
            "v2" if credential is None else "v2 or v1, and one of them alone: who opens sessions speaks one"
        )
        raise ConfigError(f"{config.key('secure_suites')}: expected {expected}")
    from copilot.protocol.session import V2
    from copilot.runtime.keyring import LEARNED, FileRing

    clock, key_file = SystemClock(), config.key_file
    if not key_file.exists():
        raise ConfigError(
            f"the key file {key_file} is not there: enrol this machine with a bundle, or make a key by "
            "`copilot keys generate agent FILE` and have it registered"
        )
    learned = key_file.with_name(LEARNED)
    ring = FileRing(key_file, config.public_keys_file, now=clock.monotonic, learned=learned)
    if ring.signing() is None:
        raise ConfigError(f"the key file {key_file} has no key that signs")
    if not ring.pinned(service):
        raise ConfigError(
            f"{config.public_keys_file} has no key of {service}, without which nothing can be said to it"
        )
    log.info(ON)
    security = Security([V2(config.jid, ring, wall=clock.wall)], strict=True)
    return AgentSecurity(security=security, ring=ring)


def learning(secure: AgentSecurity | None) -> tuple[list[Component], dict[type, Performer]]:
    """The part of an agent that hears of new keys of its manager, and who keeps them; in suite v1 the one that gets tickets;
    nothing without secure mode."""
    if secure is None or secure.ring is None:
        return [] if secure is None or secure.keeper is None else [secure.keeper], {}
    from copilot.runtime.newkeys import KeepKeys, KeyLearner

    learner = KeyLearner(secure.ring)
    return [learner], {KeepKeys: learner}
