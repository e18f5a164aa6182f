"""How requests are written and answers read."""

from __future__ import annotations

from contextlib import suppress
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import NoSpace, TransferError, TransferRefused, TransferUnavailable
from copilot.files.chirp.protocol import (
    MAX_LINE,
    NotChirp,
    ServerError,
    Stat,
    check_rights,
    check_subject,
    encode_path,
    meaning,
    parse_number,
    request,
)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", "/"),
        ("/", "/"),
        ("job/in.tgz", "/job/in.tgz"),
        ("/job/in.tgz", "/job/in.tgz"),
        ("a b%c", "/a%20b%25c"),
        ("ü", "/%C3%BC"),
        ("<'\">|&;$`", "/%3C%27%22%3E%7C%26%3B%24%60"),
    ],
)
def test_paths_are_absolute_and_percent_encoded(path: str, expected: str) -> None:
    assert encode_path(path) == expected


@pytest.mark.parametrize(
    "path",
    ["..", "a/../b", "a//b", "a\nunlink /b", "a\x00", "//a", ".__acl", "a/.__acl", "a\\b", "\udc80", "./a"],
)
def test_paths_that_could_mean_something_else_are_refused(path: str) -> None:
    with pytest.raises(TransferRefused):
        encode_path(path)


@given(st.text())
def test_an_encoded_path_is_one_word_that_decodes_to_the_same_bytes(path: str) -> None:
    try:
        encoded = encode_path(path)
    except TransferRefused:
        return
    assert encoded.isascii()
    assert not set(encoded) & set(" \t\r\n\"'\\<>")
    assert unquote_to_bytes(encoded) == b"/" + path.removeprefix("/").encode()


def test_a_request_longer_than_the_servers_line_is_refused() -> None:
    assert len(request("stat", "/" + "x" * (MAX_LINE - 8))) == MAX_LINE - 1
    with pytest.raises(TransferRefused, match="use shorter names"):
        request("stat", "/" + "x" * (MAX_LINE - 7))


@pytest.mark.parametrize(
    "line", [b"", b" 1", b"1 ", b"+1", b"1.0", b"0x1", b"yes", b"9" * 19, b"\xd9\xa1", b"--1"]
)
def test_only_plain_numbers_are_numbers(line: bytes) -> None:
    with pytest.raises(NotChirp):
        parse_number(line)


def test_facts_are_thirteen_numbers() -> None:
    stat = Stat.parse(b"65024 2155554 33152 1 65534 65534 0 5 4096 8 11 12 13")
    assert stat == Stat(mode=33152, size=5, modified=12)
    assert not stat.is_directory
    assert Stat.parse(b"1 1 16832 1 1 1 0 0 0 0 0 0 0").is_directory


@given(st.binary(max_size=200))
def test_facts_that_are_none_are_not_chirp(line: bytes) -> None:
    with suppress(NotChirp):
        assert Stat.parse(line).size >= 0


@pytest.mark.parametrize("text", ["unix:alice", "hostname:*.cern.ch", "address:10.*", "ticket:" + "a" * 32])
def test_subjects_name_a_method_and_a_name(text: str) -> None:
    assert check_subject(text) == text


@pytest.mark.parametrize(
    "text", ["", "alice", "unix:", "unix:a b", "unix:a\nsetacl", ":x", "unix:" + "a" * 300]
)
def test_subjects_that_could_be_two_words_are_refused(text: str) -> None:
    with pytest.raises(TransferRefused):
        check_subject(text)


def test_rights_are_letters_and_no_rights_have_a_letter_of_their_own() -> None:
    assert [check_rights(text) for text in ("rwl", "v(rwl)", "rwldpaxv", "")] == [
        "rwl",
        "v(rwl)",
        "rwldpaxv",
        "n",
    ]
    for text in ("z", "rw l", "none", "v(", "rwl\n"):
        with pytest.raises(TransferRefused):
            check_rights(text)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (-2, TransferRefused, "no right"),
        (-3, TransferRefused, "no such file"),
        (-4, TransferRefused, "already"),
        (-6, NoSpace, "disk is full"),
        (-11, TransferUnavailable, "try again later"),
        (-127, TransferUnavailable, "error -127"),
        (-99999, TransferUnavailable, "error -99999"),
    ],
)
def test_error_numbers_become_errors_of_ours(code: int, kind: type[TransferError], text: str) -> None:
    error = meaning(ServerError(code), "chirp://host:9094/x")
    assert type(error) is kind
    assert str(error).startswith("chirp://host:9094/x: ")
    assert text in str(error)
