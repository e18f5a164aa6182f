"""Keys as text and back; the file of public keys as programs of 2011 read it."""

from __future__ import annotations

import functools

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from copilot.protocol.crypto.keys import (
    PrivateKeys,
    PublicKeys,
    agent_keys,
    fingerprint,
    keys_of_2011,
    kid,
    kind,
    private_text,
    public_text,
    read_private,
    read_public,
    service_keys,
    use,
)
from tests.conversations.secure import read_public_keys
from tests.unit.protocol.crypto.vectors import VECTORS, key


@functools.cache
def service() -> PrivateKeys:
    return service_keys()


def kids(keys: PublicKeys) -> list[str]:
    return [kid(one) for one in keys.all]


def test_a_key_file_holds_what_was_made_the_newest_first() -> None:
    keys = PrivateKeys((key("jm"),), agent_keys().signing).with_new(service())
    read = read_private(private_text(keys))
    assert kids(read.public) == kids(keys.public)
    assert kids(read.public)[:1] == kids(service().public)[:1]
    assert [(kind(one), use(one)) for one in read.public.all] == [
        ("RSA-3072", "opens"),
        ("RSA-2048", "opens"),
        ("Ed25519", "signs"),
        ("Ed25519", "signs"),
    ]


def test_a_key_file_of_2011_is_one_of_ours() -> None:
    text = private_text(PrivateKeys((key("jm"),)))
    assert text.startswith("-----BEGIN RSA PRIVATE KEY-----\n")
    assert (
        read_private(f"# written by hand\n{text.rstrip()}").opening[0].private_numbers()
        == key("jm").private_numbers()
    )
    assert [kind(one) for one in keys_of_2011().public.all] == ["RSA-3072"]


def test_the_file_of_public_keys_of_2011_is_read() -> None:
    known = read_public(VECTORS["public_keys_file"])
    assert {jid: kids(keys) for jid, keys in known.items()} == {
        "jm@localhost": [kid(key("jm").public_key())],
        "km@localhost": [kid(key("km").public_key())],
    }


def test_ours_is_read_by_us_and_by_programs_of_2011() -> None:
    known = {"jm@example.org": service().public, "jm@example.org/One": service().public}
    text = public_text(known)
    assert {jid: kids(keys) for jid, keys in read_public(text).items()} == {
        "jm@example.org": kids(service().public),
        "jm@example.org/one": kids(service().public),
    }
    in_2011 = read_public_keys(text)
    assert in_2011.keys() == known.keys(), "letter by letter"
    assert kid(in_2011["jm@example.org"]) == kids(service().public)[0]


def test_a_jid_that_stands_there_twice_has_all_its_keys() -> None:
    text = public_text({"a@b": PublicKeys((key("jm").public_key(),))})
    other = public_text({"A@b": PublicKeys((key("km").public_key(),))})
    assert kids(read_public(f"{text}\n# a@comment\n{other}")["a@b"]) == [
        kid(key("jm").public_key()),
        kid(key("km").public_key()),
    ]


def test_a_key_is_dropped_by_its_name() -> None:
    keys = PrivateKeys((key("jm"), key("km")))
    assert kids(keys.without([kid(key("km").public_key())]).public) == [kid(key("jm").public_key())]
    assert fingerprint(key("km").public_key()).startswith(kid(key("km").public_key()))


def _pem(private: object, *, password: bytes | None = None) -> str:
    encryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption).decode()  # type: ignore[attr-defined]


BAD = {
    "nothing": ("", "no key"),
    "a public key": (VECTORS["rsa_public_key_jm_pem"], "cannot be read"),
    "another kind": (_pem(ec.generate_private_key(ec.SECP256R1())), "neither"),
    "a short one": (_pem(rsa.generate_private_key(65537, 1024)), "1024 bits"),
    "with a password": (_pem(Ed25519PrivateKey.generate(), password=b"x"), "password"),
    "broken": ("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "cannot be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_key_file_is_told_without_showing_it(name: str) -> None:
    text, expected = BAD[name]
    with pytest.raises(ValueError, match=expected) as caught:
        read_private(text)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert not text or text.splitlines()[1] not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a@b\n", "no key follows the line of a@b"),
        ("a@b\n-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "a key of a@b cannot be read"),
        (f"a@b\n{private_text(agent_keys())}", "a key of a@b cannot be read"),
    ],
)
def test_what_is_no_file_of_public_keys_is_told(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        read_public(text)
