"""A private certificate authority and a server certificate for machines that have none of their own.

The authority is made once and kept, for everyone who was told to trust it. The server certificate is made anew
when its names change or it is about to run out. Keys are EC P-256 and readable by us alone.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from copilot.local.writing import write_file
from copilot.records import dataclass

AUTHORITY_LIFE = datetime.timedelta(days=3650)
SERVER_LIFE = datetime.timedelta(days=365)
RENEW_BEFORE = datetime.timedelta(days=30)
BACKDATED = datetime.timedelta(hours=1)  # for peers whose clock is behind


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificates:
    """Three PEM files: whom to trust, and what the server shows and keeps."""

    ca_file: Path
    cert_file: Path
    key_file: Path


def ensure(directory: Path, names: Iterable[str], *, now: datetime.datetime | None = None) -> Certificates:
    """Make, keep or renew the certificates in `directory` for these host names and IP addresses.

    `now` must have a time zone. Raises OSError if the directory cannot be written.
    """
    now = now or datetime.datetime.now(datetime.UTC)
    wanted = tuple(sorted(set(names)))
    directory.mkdir(mode=0o755, parents=True, exist_ok=True)
    files = Certificates(
        ca_file=directory / "ca.pem", cert_file=directory / "server.pem", key_file=directory / "server.key"
    )
    authority_key = directory / "ca.key"
    if not (authority_key.exists() and _fresh(files.ca_file, now)):
        _make_authority(files.ca_file, authority_key, now)
    if not (files.key_file.exists() and _suits(files, wanted, now)):
        _make_server(files, authority_key, wanted, now)
    return files


def _make_authority(cert_file: Path, key_file: Path, now: datetime.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Co-Pilot private CA {x509.random_serial_number():x}"[:64])
    key_usage = _key_usage(signs_certificates=True)
    certificate = (
        _builder(name, name, key.public_key(), now, AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_key(key_file, key)
    write_file(cert_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _make_server(
    files: Certificates, authority_key: Path, names: tuple[str, ...], now: datetime.datetime
) -> None:
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
    signer = serialization.load_pem_private_key(authority_key.read_bytes(), password=None)
    if not isinstance(signer, ec.EllipticCurvePrivateKey):
        raise TypeError(
            f"{authority_key} holds a {type(signer).__name__}; remove it and {files.ca_file} to start anew"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
    issuer_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    certificate = (
        _builder(_name("Co-Pilot server"), authority.subject, key.public_key(), now, SERVER_LIFE)
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer_id, critical=False)
        .sign(signer, hashes.SHA256())
    )
    _write_key(files.key_file, key)
    write_file(files.cert_file, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: datetime.datetime,
    life: datetime.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + life)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _fresh(cert_file: Path, now: datetime.datetime) -> bool:
    if not cert_file.exists():
        return False
    certificate = x509.load_pem_x509_certificate(cert_file.read_bytes())
    return now < certificate.not_valid_after_utc - RENEW_BEFORE


def _suits(files: Certificates, names: tuple[str, ...], now: datetime.datetime) -> bool:
    if not _fresh(files.cert_file, now):
        return False
    certificate = x509.load_pem_x509_certificate(files.cert_file.read_bytes())
    authority = x509.load_pem_x509_certificate(files.ca_file.read_bytes())
    held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return certificate.issuer == authority.subject and set(held) == {_alternative(name) for name in names}


def _write_key(path: Path, key: ec.EllipticCurvePrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_file(path, pem, mode=0o600)
