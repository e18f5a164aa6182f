from __future__ import annotations

from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import BadName, ConfigError
from copilot.files.base import FileFacts
from copilot.files.signing import Permission, UrlSigner, Verifier
from tests.unit.files.serving import SECRET

OLD_SECRET = b"the secret of the week before it"
NOW = 1_700_000_000.0


class FixedClock:
    def monotonic(self) -> float:
        return 0.0

    def wall(self) -> float:
        return NOW


def signer(base: str = "https://host:8443", secret: bytes = SECRET) -> UrlSigner:
    return UrlSigner(base, secret, FixedClock())


def check(url: str, method: str, now: float = NOW, *, base: str = "/") -> Permission | None:
    parts = urlsplit(url)
    path = unquote(parts.path).removeprefix(base)
    return Verifier([SECRET, OLD_SECRET]).check(method, path, parts.query, now)


def test_a_signed_url_is_what_it_was_when_others_began_to_rely_on_it() -> None:
    assert signer().output_url("j", 2, 60, 1000) == (
        "https://host:8443/j.a2/j.a2.tgz?e=1700000060&m=1000&s=VzjM1v4wjK6BBhnING9xTgNVTIFxXTm_WCBNZfxGNKA"
    )
    assert (
        signer().input_url("j", "a b", 60)
        == "https://host:8443/j.a0/a%20b?e=1700000060&s=JBEWdLcg37ldb0gCNM6qVX9rIluj2amg85B7DtUNDVU"
    )


def test_a_url_allows_what_it_was_made_for() -> None:
    assert check(signer().input_url("j", "in", 60), "GET") == Permission(max_size=None)
    assert check(signer().output_url("j", 1, 60, 10), "PUT") == Permission(max_size=10)
    assert check(signer().output_url("j", 1, 60, 0), "PUT") == Permission(max_size=0)


def test_a_url_for_a_file_that_is_known_is_good_for_that_file_alone() -> None:
    facts = FileFacts(10, "0a" * 32)
    url = signer().upload_url("j", "staged/in", 60, facts)
    assert check(url, "PUT") == Permission(max_size=10, sha256=facts.sha256)
    assert check(url, "GET") is None
    for old, new in (
        ("h=0a", "h=0b"),
        ("m=10", "m=11"),
        (f"h={facts.sha256}&", ""),
        ("h=0a", "h=0A"),
        ("&m=10", ""),
    ):
        assert check(url.replace(old, new), "PUT") is None
    assert check(url, "PUT", NOW + 60) is None


def test_a_url_for_one_kind_of_file_is_none_for_another() -> None:
    output = signer().output_url("j", 1, 60, 10)
    assert check(f"{output}&h={'0' * 64}", "PUT") is None
    result = signer().result_url("j", 60)
    assert result.startswith("https://host:8443/.results/j.tgz?")
    assert check(result, "GET") == Permission(max_size=None)
    assert check(result.replace("j.tgz", "k.tgz"), "GET") is None
    assert (signer().takes_uploads, signer("file:///dir").takes_uploads) == (True, False)


def test_the_prefix_of_the_base_is_not_signed() -> None:
    assert check(signer("https://host/files/").input_url("j", "in", 60), "GET", base="/files/") is not None


def test_the_previous_secret_is_good_a_foreign_one_is_not() -> None:
    assert check(signer(secret=OLD_SECRET).input_url("j", "in", 60), "GET") is not None
    assert check(signer(secret=b"x" * 32).input_url("j", "in", 60), "GET") is None


def test_a_url_ends_with_its_last_second() -> None:
    url = signer().input_url("j", "in", 60)
    assert check(url, "GET", NOW + 59.9) is not None
    assert check(url, "GET", NOW + 60) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda url: url.replace("e=17", "e=27"),
        lambda url: url.replace("m=10", "m=99"),
        lambda url: url.replace("&m=10", ""),
        lambda url: url.replace("&m=10", "&m="),
        lambda url: url.replace("j/j.tgz", "j.a2/j.a2.tgz"),
        lambda url: url + "x",
        lambda url: url[:-1],
        lambda url: url + "&m=99",
        lambda url: url + "&x=1",
        lambda url: url.replace("m=10", "m=1_0"),
        lambda url: url.replace("m=10", "m=\u0661\u0660"),
        lambda url: url.partition("?")[0],
        lambda url: url.partition("s=")[0] + "s=\u00e9",
    ],
)
def test_any_change_makes_a_url_void(change) -> None:  # type: ignore[no-untyped-def]
    url = signer().output_url("j", 1, 60, 10)
    assert check(change(url), "PUT") is None


def test_a_url_for_reading_does_not_write_and_the_reverse() -> None:
    assert check(signer().input_url("j", "in", 60), "PUT") is None
    assert check(signer().output_url("j", 1, 60, 10), "GET") is None


@given(method=st.sampled_from(["GET", "PUT"]), path=st.text(), query=st.text())
def test_nothing_from_the_wire_passes_or_raises(method: str, path: str, query: str) -> None:
    assert Verifier([SECRET]).check(method, path, query, NOW) is None
    assert Verifier([SECRET]).check(method, path + "\udc80", f"e=9999999999&s={query}", NOW) is None


@given(name=st.text(min_size=1, max_size=40))
def test_every_allowed_name_comes_back_from_its_url(name: str) -> None:
    try:
        url = signer().input_url("j", name, 60)
    except (BadName, UnicodeEncodeError):
        return
    assert unquote(urlsplit(url).path) == f"/j.a0/{name}"
    assert set(parse_qs(urlsplit(url).query)) == {"e", "s"}
    assert check(url, "GET") is not None


def test_a_shared_directory_gets_plain_urls() -> None:
    plain = UrlSigner("file:///shared/area/", b"", FixedClock())
    assert plain.input_url("j", "a b", 60) == "file:///shared/area/j.a0/a%20b"
    assert plain.output_url("j", 1, 60, 10) == "file:///shared/area/j/j.tgz"


@pytest.mark.parametrize(
    "base",
    [
        "",
        "host:80",
        "https://",
        "ftp://host",
        "https://user:secret@host",
        "https://host/?x=secret",
        "https://host/#x",
    ],
)
def test_a_useless_base_is_refused_without_showing_it(base: str) -> None:
    with pytest.raises(ConfigError) as caught:
        signer(base)
    assert "secret@" not in str(caught.value)


def test_a_short_secret_is_refused_without_showing_it() -> None:
    for attempt in (lambda: signer(secret=b"short"), lambda: Verifier([SECRET, b"short"])):
        with pytest.raises(ConfigError, match="5 bytes; expected at least 32") as caught:
            attempt()
        assert "short" not in str(caught.value)


@pytest.mark.parametrize(("job", "attempt"), [("../j", 1), ("j.a1", 1), ("j", 0)])
def test_bad_names_get_no_url(job: str, attempt: int) -> None:
    with pytest.raises(BadName):
        signer().output_url(job, attempt, 60, 10)
