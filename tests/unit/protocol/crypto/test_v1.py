"""Suite v1 against what the programs of 2011 made, and against OpenSSL's own command."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path
from xml.etree.ElementTree import fromstring

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import SealError
from copilot.protocol import codec
from copilot.protocol.commands import WantGetJob
from copilot.protocol.crypto import v1
from copilot.protocol.envelope import Element
from tests.patience import PATIENCE_S
from tests.unit.protocol.crypto.vectors import SECRET, VECTORS, key

CASES = VECTORS["cases"]
FIXED = VECTORS["fixed_salt_case"]


def body(stanza: str) -> dict[str, str]:
    """The decoded attributes of `<body>`."""
    [found] = fromstring(stanza)
    return {name: codec.decode_value(value) for name, value in found.items()}


def run(words: list[str], data: bytes) -> bytes:
    return subprocess.run(words, input=data, capture_output=True, check=True, timeout=PATIENCE_S).stdout


def test_key_and_iv_come_of_the_pass_phrase_as_in_2011() -> None:
    made = v1.derived(SECRET, FIXED["salt"].encode())
    assert [part.hex() for part in made] == [FIXED["derived_key_hex"], FIXED["derived_iv_hex"]]


def test_with_a_fixed_salt_the_bytes_are_those_of_2011() -> None:
    sealed = v1.encrypt(FIXED["plaintext"].encode(), SECRET, FIXED["salt"].encode())
    assert sealed.hex() == FIXED["ciphertext_hex"]
    assert v1.decrypt(sealed, SECRET) == (FIXED["plaintext"].encode(), False)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_a_message_of_2011_is_opened_from_its_stanza(case: dict[str, str]) -> None:
    attributes = body(case["stanza_as_sent"])
    secret = v1.unwrap(attributes["session_key"], [key("km"), key("jm")])
    assert secret == SECRET
    info = v1.opened(attributes["info"], secret)
    assert {name: codec.decode_value(value) for name, value in info.attributes.items()} == case[
        "info_hash_in"
    ]
    command, _ = codec.decode(info)
    assert isinstance(command, WantGetJob)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_we_seal_are_the_bytes_that_2011_made(case: dict[str, str]) -> None:
    sealed = v1.seal(case["info_xml"].encode(), SECRET, bytes.fromhex(case["salt_hex"]))
    assert sealed == case["body_info_value_before_wire_base64"]


def test_openssl_finds_in_the_wrapped_key_what_2011_put_into_it(tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_bytes(key("jm").private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    words = ["openssl", "pkeyutl", "-decrypt", "-inkey", str(file), "-pkeyopt", "rsa_padding_mode:oaep"]
    plain = run(words, base64.b64decode(v1.wrap(SECRET, key("jm").public_key())))
    assert plain == VECTORS["session_key_rsa_plaintext"].encode()


def test_openssl_opens_what_we_seal_and_the_other_way_round() -> None:
    phrase = "a pass phrase for the command line"
    words = ["openssl", "enc", "-aes-256-cbc", "-md", "md5", "-pass", f"pass:{phrase}"]
    ours = v1.encrypt(b"x" * 33, phrase.encode())
    assert run([*words, "-d"], ours) == b"x" * 33
    assert v1.decrypt(run(words, b"y" * 48), phrase.encode()) == (b"y" * 48, False)


def test_a_second_sealing_of_the_same_looks_different() -> None:
    assert v1.seal(b"<info/>", SECRET) != v1.seal(b"<info/>", SECRET)
    assert v1.new_secret() != v1.new_secret()


@given(st.binary(max_size=100), st.binary(min_size=32, max_size=32))
def test_whatever_is_sealed_is_opened(plain: bytes, secret: bytes) -> None:
    assert v1.decrypt(v1.encrypt(plain, secret), secret) == (plain, False)


VALUES = st.text(st.characters(codec="utf-8"), max_size=40).map(codec.encode_value)


@given(st.dictionaries(st.sampled_from(["command", "jdl", "jobID"]), VALUES))
def test_an_info_comes_back_as_it_was(attributes: dict[str, str]) -> None:
    info = Element("info", attributes, (Element("job", attributes),))
    assert v1.opened(v1.seal(v1.written(info), SECRET), SECRET) == info


def test_a_session_key_of_another_service_opens_nothing() -> None:
    wrapped = v1.wrap(SECRET, key("km").public_key())
    assert v1.unwrap(wrapped, [key("jm")]) != SECRET
    assert v1.unwrap(wrapped, []) != SECRET
    assert v1.unwrap(wrapped, [key("jm"), key("km")]) == SECRET


def _spoiled() -> dict[str, str]:
    good = v1.encrypt(base64.encodebytes(b"<info command='x'/>" * 4), SECRET)
    text = {
        "nothing": b"",
        "no header": good[16:],
        "a header alone": good[:16],
        "half a block": good[:-7],
        "the last block missing": good[:-16],
        "another last byte": good[:-1] + bytes([good[-1] ^ 1]),
        "a block from elsewhere before the last": good[:-32] + good[16:32] + good[-16:],
        "another salt": good[:8] + b"12345678" + good[16:],
        "another key": v1.encrypt(base64.encodebytes(b"<info command='x'/>"), v1.new_secret()),
        "no base64 inside": v1.encrypt(b"<info command='x'/>", SECRET),
        "no XML inside": v1.encrypt(base64.encodebytes(b"<info"), SECRET),
        "two roots": v1.encrypt(base64.encodebytes(b"<info/><info/>"), SECRET),
        "a document type": v1.encrypt(base64.encodebytes(b"<!DOCTYPE info><info/>"), SECRET),
        "entities": v1.encrypt(base64.encodebytes(b"<!DOCTYPE i [<!ENTITY a 'b'>]><info a='&a;'/>"), SECRET),
        "too deep": v1.encrypt(base64.encodebytes(b"<info>" * 9 + b"</info>" * 9), SECRET),
        "too much": v1.encrypt(base64.encodebytes(b"<info a='" + b"a" * 600_000 + b"'/>"), SECRET),
    }
    return {name: base64.b64encode(data).decode() for name, data in text.items()} | {
        "no base64": "%%%%",
        "no ASCII": "äöü",
    }


SPOILED = _spoiled()


@pytest.mark.parametrize("name", SPOILED)
def test_all_that_cannot_be_opened_gives_one_and_the_same_error(name: str) -> None:
    with pytest.raises(SealError) as caught:
        v1.opened(SPOILED[name], SECRET)
    assert str(caught.value) == v1.UNREADABLE
    assert caught.value.__context__ is None, "nothing of the cause goes along"


@given(st.binary(min_size=16, max_size=48), st.integers(0, 255))
def test_no_block_of_an_attackers_choice_before_the_last_shows_whether_the_padding_is_right(
    block: bytes, last: int
) -> None:
    """The classic attack: a block of his own before one that he wants to read."""
    good = v1.encrypt(base64.encodebytes(b"<info command='x'/>"), SECRET)
    forged = block[:15] + bytes([last])
    text = base64.b64encode(good[:16] + forged + good[16:32]).decode()
    with pytest.raises(SealError) as caught:
        v1.opened(text, SECRET)
    assert str(caught.value) == v1.UNREADABLE


@pytest.mark.parametrize("text", ["", "%%%", "äöü", "AAAA", base64.b64encode(bytes(256)).decode()])
def test_a_session_key_that_cannot_be_opened_is_no_error_of_its_own(text: str) -> None:
    secret = v1.unwrap(text, [key("jm")])
    assert len(secret) == v1.SECRET_BYTES
    with pytest.raises(SealError, match=v1.UNREADABLE):
        v1.opened(CASES[0]["body_info_value_before_wire_base64"], secret)


def test_a_key_of_another_length_is_none() -> None:
    short = rsa_sealed(key("jm").public_key(), base64.b64encode(b"short"))
    assert v1.unwrap(short, [key("jm")]) != b"short"


def rsa_sealed(public: rsa.RSAPublicKey, plain: bytes) -> str:
    return base64.b64encode(public.encrypt(plain, v1._OAEP)).decode()
