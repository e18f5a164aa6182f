"""fileserver: does the file server answer as agents reach it, and does it believe what managers sign?

A URL for a file that nobody has is signed with the managers' secret: the server says that there is no such file if it believes
the signature, and that the URL is not valid if it does not.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

from copilot.config.groups import ComponentSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.account import authority
from copilot.doctor.xmpp.certificate import DAY, SOON
from copilot.errors import ConfigError
from copilot.files.signing import UrlSigner
from copilot.records import dataclass
from copilot.runtime.secret import load_secrets
from copilot.transport.settings import tls_context

LIMIT = 4.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What it said: HTTP status, its clock as it stands in `Date`, and ours (s since the epoch); `signed`: whether the URL was;
    `expires`: its certificate (s since the epoch); `not_by`: the file of authorities that did not sign its certificate, though one of the system's did."""

    status: int
    date: str
    ours: float
    signed: bool
    not_by: str = ""
    expires: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswered:
    """What went wrong; `certificate`: because of it."""

    why: str
    certificate: bool = False


def address(patient: Patient) -> str | None:
    """Where the file server is, if anybody knows."""
    manager = patient.manager
    return patient.files_url or (None if manager is None else manager.files_url)


async def ask(patient: Patient) -> Answered | Unanswered | None:
    """None: there is none, or nobody knows where."""
    url = address(patient)
    if url is None or not url.startswith(("http:", "https:")):
        return None
    return await patient.once("fileserver", lambda: _ask(patient, url))


async def _ask(patient: Patient, url: str) -> Answered | Unanswered:
    pinned = _trusted(patient)
    answered = await _get(patient, url, pinned)
    if isinstance(answered, Unanswered) and answered.certificate and pinned and patient.agent is None:
        # What agents trust stands in their settings: it may be the system's authorities.
        again = await _get(patient, url, None)
        return again if isinstance(again, Unanswered) else replace(again, not_by=str(pinned))
    return answered


async def _get(patient: Patient, url: str, trusted: Path | None) -> Answered | Unanswered:
    import aiohttp

    signed = _signed(patient, url)
    context = tls_context(trusted) if url.startswith("https:") else True
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=LIMIT / 2)) as client,
            client.get(signed or f"{url.rstrip('/')}/doctor", ssl=context, allow_redirects=False) as answer,
        ):
            return Answered(
                status=answer.status,
                date=answer.headers.get("Date", ""),
                ours=patient.clock.wall(),
                signed=signed is not None,
                expires=await _expiry(url, trusted) if url.startswith("https:") else None,
            )
    except aiohttp.ClientConnectorCertificateError as error:
        why = getattr(error.certificate_error, "verify_message", str(error.certificate_error))
        return Unanswered(why=str(why), certificate=True)
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return Unanswered(why=str(error) or type(error).__name__)


async def _expiry(url: str, trusted: Path | None) -> float | None:
    """Until when its certificate is good, s since the epoch. Raises OSError, TimeoutError."""
    parts = urlsplit(url)
    async with asyncio.timeout(LIMIT / 2):
        _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=tls_context(trusted))
    try:
        found = (writer.get_extra_info("peercert") or {}).get("notAfter")
    finally:
        writer.transport.abort()
    return ssl.cert_time_to_seconds(found) if isinstance(found, str) else None


def _trusted(patient: Patient) -> Path | None:
    """As agents do: an authority for file servers, else that of the XMPP server."""
    for config in (patient.agent, *patient.all(ComponentSettings)):
        if config is None:
            continue
        own: Path | None = getattr(config, "files_ca_file", None)
        if (found := own or authority(patient, config)) is not None:
            return found
    return None


def _signed(patient: Patient, url: str) -> str | None:
    """A URL for an input of a job that is not there; None where the secret is not."""
    manager = patient.manager
    if manager is None or not manager.secret_file.is_file():  # else reading it would make it
        return None
    try:
        signer = UrlSigner(url, load_secrets(manager.secret_file, patient.clock.wall())[0], patient.clock)
    except ConfigError:
        return None  # the check of secrets says why
    return signer.input_url(f"doctor-{secrets.token_hex(8)}", "none", 60.0)


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    url = address(patient)
    if url is None and patient.manager is not None:
        return skipped("files go by Chirp: *_FILES_URL is not set")
    if url is None:
        return skipped("an agent learns where files are with its first job; name it: --files-url https://…")
    answered = await ask(patient)
    if answered is None:
        return skipped(f"{url} is a shared file system")
    return judge(answered, url, patient.clock.wall())


def judge(answered: Answered | Unanswered, url: str, now: float = 0.0) -> list[Finding]:
    """From what it said, or did not; `now` in s since the epoch."""
    host = urlsplit(url).hostname or ""
    if isinstance(answered, Unanswered):
        if answered.certificate:
            return [
                fault(
                    f"{url}: its certificate is refused: {answered.why}",
                    expected=f"one for {host} that agents trust (AGENT_FILES_CA_FILE, else AGENT_JABBER_CA_FILE)",
                    cure="give copilot-fileserver another certificate (*_FILES_CERT_FILE), or agents its authority "
                    "(AGENT_FILES_CA_FILE)",
                )
            ]
        return [
            fault(
                f"{url}: {answered.why}",
                expected="that it answers under the address that agents are told",
                cure="start copilot-fileserver, open its port (*_FILES_LISTEN) in the firewall; or correct *_FILES_URL",
            )
        ]
    if answered.not_by and answered.status in (403, 404):
        return [
            warning(
                f"{url}: its certificate is trusted by this system, and not by {answered.not_by}",
                expected="agents with AGENT_JABBER_CA_FILE trust that alone, for files as well",
                cure="set AGENT_FILES_CA_FILE of the agents to the authorities of their system, or to the one that signed it",
            )
        ]
    if answered.expires is not None and answered.expires - now < SOON:
        return [
            warning(
                f"{url}: its certificate expires in {(answered.expires - now) / DAY:.1f} days; then no file comes or goes",
                expected=f"more than {SOON / DAY:.0f} days",
                cure="renew it (*_FILES_CERT_FILE), and start copilot-fileserver again",
            )
        ]
    if answered.signed and answered.status == 404:
        return ok(f"{url} answers, and believes what managers sign")
    if answered.status == 403 and answered.signed:
        return [
            fault(
                f"{url} does not believe what the managers sign",
                expected="the same secret, and clocks that agree",
                cure="let managers and copilot-fileserver read the same file (*_SECRET_FILE), and start them again; see the "
                "check clock",
            )
        ]
    if answered.status == 403:
        return ok(f"{url} answers")
    return [
        fault(
            f"{url} answers {answered.status}: that is not our file server",
            expected="copilot-fileserver",
            cure="correct *_FILES_URL, with the prefix of a reverse proxy, if there is one",
        )
    ]


CHECK = Check(name="fileserver", about="the file server answers, and believes what managers sign", run=run)
