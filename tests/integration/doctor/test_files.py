"""The doctor and file servers: HTTP and Chirp, good ones and broken ones."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.clock import SystemClock
from copilot.doctor.findings import Verdict
from copilot.files.area import FileArea
from copilot.files.chirp.server import ChirpServer
from copilot.files.server import FileServer
from copilot.files.signing import Verifier
from copilot.local import certificates
from copilot.local.certificates import Certificates
from copilot.local.chirp import ACL, Chirp
from copilot.runtime.secret import load_secrets
from tests.integration.doctor.setups import PASSWORD, Setup

OK, WARNING = Verdict.OK, Verdict.WARNING


@pytest.fixture(name="setup")
def setup_fixture(tmp_path: Path) -> Setup:
    """A manager whose servers are not there, but for those that a test names."""
    setup = Setup(tmp_path)
    for name in ("files", "done"):
        (setup.state / name).mkdir(mode=0o700)
    setup.manager(
        JM_JABBER_SERVER="127.0.0.1",
        JM_JABBER_PORT=1,
        JM_JABBER_DOMAIN="copilot.internal",
        JM_JABBER_ID="jm",
        JM_JABBER_PASSWORD=PASSWORD,
        JM_REDIS_SERVER="127.0.0.1",
        JM_REDIS_PORT=1,
        JM_FILES_DIR=setup.state / "files",
        JM_DONE_JOB_DIR=setup.state / "done",
        JM_STATE_DIR=setup.state,
    )
    return setup


@contextlib.asynccontextmanager
async def serving(setup: Setup, secret: Path, tls: Certificates | None = None) -> AsyncIterator[int]:
    """The port of a file server that believes this secret."""
    area = FileArea(setup.state / "files")
    server = FileServer(area, Verifier(load_secrets(secret, 0.0)), clock=SystemClock())
    context = None
    if tls is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(tls.cert_file, tls.key_file)
    port = await server.start("127.0.0.1", 0, context)
    try:
        yield port
    finally:
        await server.stop()


async def test_a_file_server_that_believes_what_managers_sign_and_one_that_does_not(setup: Setup) -> None:
    secret = setup.state / "claim.secret"
    for held, kind, seen in (
        (secret, OK, "believes what managers sign"),
        (setup.state / "another.secret", Verdict.FAULT, "does not believe"),
    ):
        load_secrets(secret, 0.0)
        async with serving(setup, held) as port:
            setup.manager(JM_FILES_URL=f"http://127.0.0.1:{port}")
            (finding,) = (await setup.examined("fileserver"))["fileserver"].findings
            assert (finding.verdict, seen in finding.seen) == (kind, True), finding


async def test_a_file_server_with_a_certificate_of_another_authority(setup: Setup, tmp_path: Path) -> None:
    good = certificates.ensure(tmp_path / "good", ["127.0.0.1"])
    other = certificates.ensure(tmp_path / "other", ["127.0.0.1"])
    secret = setup.state / "claim.secret"
    load_secrets(secret, 0.0)
    async with serving(setup, secret, good) as port:
        setup.manager(JM_FILES_URL=f"https://127.0.0.1:{port}", JM_JABBER_CA_FILE=good.ca_file)
        assert (await setup.examined("fileserver"))["fileserver"].verdict is OK
        assert "expires in 5" in await setup.fault("fileserver", WARNING, ahead=359.5 * 86400)
        setup.manager(JM_JABBER_CA_FILE=other.ca_file)
        assert "certificate is refused" in await setup.fault("fileserver")


async def test_a_file_server_that_is_away(setup: Setup) -> None:
    setup.manager(JM_FILES_URL="http://127.0.0.1:1")
    assert "http://127.0.0.1:1" in await setup.fault("fileserver")


async def test_an_agent_is_told_where_the_file_server_is(setup: Setup) -> None:
    (setup.etc / "copilot-jobmanager-generic.conf").unlink()
    setup.agent(
        JM_JABBER_ADDRESS="jm@copilot.internal",
        AGENT_JABBER_SERVER="127.0.0.1",
        AGENT_JABBER_PORT=1,
        AGENT_JABBER_DOMAIN="copilot.internal",
        AGENT_JABBER_ID="pilot",
        AGENT_JABBER_PASSWORD=PASSWORD,
        AGENT_WORK_DIR=setup.state,
    )
    assert (await setup.examined("fileserver"))["fileserver"].verdict is Verdict.SKIPPED
    async with serving(setup, setup.state / "any.secret") as port:
        found = await setup.examined("fileserver", files_url=f"http://127.0.0.1:{port}")
    assert found["fileserver"].verdict is OK


async def test_chirp(setup: Setup, chirp_server: Chirp, open_directory: Path) -> None:
    asking = ChirpServer("127.0.0.1", chirp_server.port)
    who = await asking.whoami()
    await asking.close()
    own = Chirp(open_directory / "chirp", rights={who: "rwlda"})
    await own.start()
    setup.manager(JM_CHIRP_SERVER="127.0.0.1", JM_CHIRP_PORT=own.port)
    try:
        assert "strangers have none" in (await setup.examined("chirp"))["chirp"].findings[0].seen
        for rights, kind, text in (
            ({who: "rl"}, Verdict.FAULT, f"known as {who} and lack the rights wda"),
            ({who: "rwlda", "unix:*": "rwl"}, Verdict.FAULT, "everybody who is unix:* may write"),
            ({who: "rwlda", "address:10.*": "rl"}, WARNING, "everybody who is address:10.* may read"),
        ):
            (own.root / ACL).write_text("".join(f"{one} {letters}\n" for one, letters in rights.items()))
            assert text in await setup.fault("chirp", kind)
    finally:
        await own.stop()
    assert "chirp://127.0.0.1" in await setup.fault("chirp")  # it is gone


async def test_a_ticket_that_is_none(setup: Setup, chirp_server: Chirp, tmp_path: Path) -> None:
    ticket = tmp_path / "ticket"
    ticket.write_text("nonsense")
    ticket.chmod(0o600)
    setup.manager(JM_CHIRP_SERVER="127.0.0.1", JM_CHIRP_PORT=chirp_server.port, JM_CHIRP_TICKET_FILE=ticket)
    assert "not a Chirp ticket" in await setup.fault("chirp")
