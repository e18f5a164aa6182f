"""The private CA and the server certificate: kept, renewed, and good for exactly the names asked for."""

import datetime
import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from copilot.local.certificates import SERVER_LIFE, Certificates, ensure

NOW = datetime.datetime(2030, 1, 1, tzinfo=datetime.UTC)
NAMES = ("copilot.internal", "localhost", "127.0.0.1", "::1")


def verify(files: Certificates, name: str, at: datetime.datetime = NOW) -> None:
    """As a strict client does (RFC 5280); raises VerificationError."""
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
    certificate = x509.load_pem_x509_certificate(files.cert_file.read_bytes())
    subject: x509.DNSName | x509.IPAddress = (
        x509.IPAddress(ipaddress.ip_address(name)) if name[0] in "1:" else x509.DNSName(name)
    )
    PolicyBuilder().store(Store([authority])).time(at).build_server_verifier(subject).verify(certificate, [])


@pytest.mark.parametrize("name", NAMES)
def test_a_client_that_trusts_the_authority_accepts_every_name(tmp_path: Path, name: str) -> None:
    verify(ensure(tmp_path, NAMES, now=NOW), name)


def test_a_client_refuses_a_name_that_was_not_asked_for(tmp_path: Path) -> None:
    with pytest.raises(VerificationError):
        verify(ensure(tmp_path, NAMES, now=NOW), "elsewhere.example")


def test_a_second_call_changes_nothing(tmp_path: Path) -> None:
    files = ensure(tmp_path, NAMES, now=NOW)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert ensure(tmp_path, reversed(NAMES), now=NOW + datetime.timedelta(days=1)) == files
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_new_names_renew_the_certificate_under_the_same_authority(tmp_path: Path) -> None:
    authority = ensure(tmp_path, NAMES, now=NOW).ca_file.read_bytes()
    files = ensure(tmp_path, [*NAMES, "vm-7.example"], now=NOW)
    assert files.ca_file.read_bytes() == authority
    verify(files, "vm-7.example")


@pytest.mark.parametrize(("days_left", "renewed"), [(31, False), (29, True)])
def test_it_is_renewed_when_less_than_thirty_days_are_left(
    tmp_path: Path, days_left: int, renewed: bool
) -> None:
    before = ensure(tmp_path, NAMES, now=NOW).cert_file.read_bytes()
    later = NOW + SERVER_LIFE - datetime.timedelta(days=days_left)
    files = ensure(tmp_path, NAMES, now=later)
    assert (files.cert_file.read_bytes() != before) is renewed
    verify(files, "localhost", later + datetime.timedelta(days=days_left - 1))


def test_a_new_authority_makes_a_new_server_certificate(tmp_path: Path) -> None:
    (ensure(tmp_path, NAMES, now=NOW).ca_file.parent / "ca.key").unlink()
    verify(ensure(tmp_path, NAMES, now=NOW), "localhost")


def test_the_keys_are_ours_alone_and_the_authority_is_for_everyone(tmp_path: Path) -> None:
    files = ensure(tmp_path / "tls", NAMES, now=NOW)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.ca_file.parent.iterdir()}
    assert modes == {"ca.key": 0o600, "ca.pem": 0o644, "server.key": 0o600, "server.pem": 0o644}
