"""`copilot-agent --join`: exchanges a bundle for an account of the agent's own (decision 17)."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from copilot.cli import daemon
from copilot.cli.directories import make_directory
from copilot.clock import SystemClock
from copilot.enrol.bundle import BundleFile, read_bundle, when
from copilot.enrol.credentials import (
    CONFIGURATION,
    KEY,
    SERVICE_KEYS,
    belongs_elsewhere,
    configuration_text,
    write_private,
)
from copilot.enrol.joining import INTERRUPTED, JOIN_WITHIN, Joining
from copilot.enrol.names import agent_jid
from copilot.errors import BundleRefused, CertificateRefused, ConfigError, JoinFailed, LoginRefused
from copilot.protocol.commands import SecurityError
from copilot.protocol.crypto import v2
from copilot.protocol.crypto.identity import account_password
from copilot.protocol.crypto.keys import PublicKeys, agent_keys, kid, read_public
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.rules import FEATURES, Role
from copilot.protocol.security import Security
from copilot.protocol.session import V2, Pinned
from copilot.runtime.component import Actions, Event, Leave, Online, Stopping
from copilot.runtime.keys import load_keys
from copilot.runtime.loop import Loop
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport

log = logging.getLogger("copilot.agent")


async def join(bundle_file: Path, directory: Path) -> Path:
    """The configuration of the agent in `directory` (absolute), which is in afterwards.

    Raises `ConfigError`, `BundleRefused`, `CertificateRefused` or `JoinFailed`.
    """
    make_directory(directory)
    configuration = directory / CONFIGURATION
    if configuration.exists():
        _check_service(configuration, bundle_file)
        log.info(
            "this agent is in already; its credentials are in %s, and the bundle is not needed", directory
        )
        return configuration
    return await _Joiner(read_bundle(bundle_file), bundle_file, directory).join()


def _check_service(configuration: Path, bundle_file: Path) -> None:
    """Raises `ConfigError` if the agent has come in at another service. A bundle that is gone does not matter."""
    try:
        bundle = read_bundle(bundle_file)
    except ConfigError:
        return
    other = belongs_elsewhere(configuration, bundle)
    if other is not None:
        text = f"belongs to an agent of {other}, and bundle {bundle_file} is of {bundle.manager}"
        raise ConfigError(f"{configuration.parent} {text}: take another directory with --dir")


class _Joiner:
    def __init__(self, bundle: BundleFile, file: Path, directory: Path) -> None:
        self._bundle = bundle
        self._file = file
        self._directory = directory
        self._tried_before = (directory / KEY).exists()
        self._key = load_keys(directory / KEY, agent_keys).signing[0]
        self._password = account_password(self._key, bundle.domain)
        self._public = v2.public_form(self._key)
        self._ca_file = self._write_ca()

    async def join(self) -> Path:
        bundle = self._bundle
        try:
            jid = await self._ask()
        except CertificateRefused:
            raise
        except LoginRefused as error:
            jid = agent_jid(self._public, bundle.domain)
            if not (self._tried_before and await self._is_in(jid)):
                raise BundleRefused(self._gone()) from error
        settings = {**bundle.settings, **self._secure()}
        write_private(self._directory / SERVICE_KEYS, bundle.public_keys)
        text = configuration_text(bundle, self._directory, jid, self._password, settings)
        write_private(self._directory / CONFIGURATION, text)
        log.info("this agent is %s now; its credentials are in %s", jid, self._directory / CONFIGURATION)
        return self._directory / CONFIGURATION

    def _secure(self) -> dict[str, str]:
        return {
            "AGENT_SECURE_MODE": "1",
            "AGENT_KEY_FILE": str(self._directory / KEY),
            "AGENT_PUBLIC_KEYS_FILE": str(self._directory / SERVICE_KEYS),
        }

    async def _ask(self) -> str:
        """The bare JID that the manager has given us. Raises `LoginRefused`, `BundleRefused`, `JoinFailed`."""
        bundle = self._bundle
        now = SystemClock().monotonic()
        joining = Joining(bundle, key=self._public, password=self._password, now=now)
        endpoint = Endpoint(
            Role.AGENT,
            new_id=lambda: str(uuid.uuid4()),
            random=random.random,
            features=FEATURES,
            trusts=joining.trusts,
            security=self._security(),
        )
        transport = XmppTransport(self._settings(bundle.account, bundle.password))
        code = await daemon.turn(Loop(joining, endpoint, transport))
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if joining.refused is not None:
            raise self._refused(joining)
        if joining.jid is None:
            raise JoinFailed(
                f"{bundle.manager} has not let us in within {JOIN_WITHIN:.0f} s: can {bundle.server}:{bundle.port} be reached, and is "
                "a job manager up that can make accounts? Trying again helps then"
            )
        if joining.jid != agent_jid(self._public, bundle.domain):
            raise JoinFailed(f"{bundle.manager} has given us the account of another key; nothing was kept")
        return joining.jid

    def _security(self) -> Security:
        ring = _Ring(self._key, self._pinned())
        suite = V2(self._bundle.account, ring, wall=SystemClock().wall, shows_key=True)
        return Security([suite], strict=True)

    def _pinned(self) -> dict[str, list[Pinned]]:
        try:
            known = read_public(self._bundle.public_keys)
        except ValueError as error:
            raise ConfigError(f"bundle {self._file}: BUNDLE_PUBLIC_KEYS: {error}") from error
        if not known.get(self._bundle.manager, PublicKeys()).opening:
            raise ConfigError(
                f"bundle {self._file}: BUNDLE_PUBLIC_KEYS: there is none of {self._bundle.manager}"
            )
        return {jid: [Pinned(kid(key), key) for key in keys.opening] for jid, keys in known.items()}

    def _settings(self, jid: str, password: str) -> XmppSettings:
        bundle = self._bundle
        return XmppSettings(
            jid=jid, password=password, host=bundle.server, port=bundle.port, ca_file=self._ca_file
        )

    def _write_ca(self) -> Path | None:
        if self._bundle.ca is None:
            return None
        path = self._directory / "ca.pem"
        write_private(path, self._bundle.ca)
        return path

    async def _is_in(self, jid: str) -> bool:
        """Whether the account is ours already: we may have been interrupted when the answer was under way."""
        looker = _Looker()
        endpoint = Endpoint(Role.AGENT, new_id=lambda: str(uuid.uuid4()), random=random.random)
        try:
            await daemon.turn(Loop(looker, endpoint, XmppTransport(self._settings(jid, self._password))))
        except LoginRefused:
            return False
        return looker.seen

    def _gone(self) -> str:
        expires = self._bundle.expires
        if expires is not None and expires <= time.time():
            return f"bundle {self._file} has expired ({when(expires)}): ask for another one"
        return (
            f"bundle {self._file} lets nobody in any more: it was used up or revoked, or the server is another one; ask for "
            "another one"
        )

    def _refused(self, joining: Joining) -> BundleRefused | JoinFailed:
        error = joining.refused
        assert error is not None
        if isinstance(error, SecurityError):
            return BundleRefused(
                f"bundle {self._file} is not of the service that answers as {self._bundle.manager}, or that has other keys by "
                "now: ask for another one"
            )
        text = f"bundle {self._file}: {self._bundle.manager} does not let us in: {error.error_string}"
        if error.code in ("no-accounts", "queue-full"):
            return JoinFailed(text)
        return BundleRefused(text)


class _Ring:
    """The keys of an agent that comes in."""

    def __init__(self, key: v2.SigningKey, pinned: dict[str, list[Pinned]]) -> None:
        self._key = key
        self._pinned = pinned

    def signing(self) -> v2.SigningKey:
        return self._key

    def opening(self, kid: str) -> None:  # as KeyRing has it
        """We open nothing that others have begun."""

    def pinned(self, jid: str) -> Sequence[Pinned]:
        return self._pinned.get(jid, [])


class _Looker:
    """A component that leaves as soon as it is in."""

    def __init__(self) -> None:
        self.seen = False

    def handle(self, event: Event, now: float) -> Actions:  # noqa: ARG002  # as Component has it
        self.seen = self.seen or isinstance(event, Online)
        return [Leave()] if isinstance(event, Online | Stopping) else []

    def wakeup(self) -> None:
        """It waits for its session alone."""
