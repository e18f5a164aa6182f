"""Descriptions of jobs in the format of 2011."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import BadName
from copilot.grid.oldjob import parse
from copilot.job import InputFile, JobSpec

FULL = "chirp.example.org:9095::::/data/7::::in.dat###lib/run.sh::::lib/run.sh::::-v 'a b'::::export A=1::::VO_X@Root::v6 Geant4"


def parsed(text: str, **options: str) -> JobSpec:
    return parse("7", text.encode(), **{"server": "here:9094", "port": 9094, **options})  # type: ignore[arg-type]


def unknown(*names: str) -> tuple[InputFile, ...]:
    return tuple(InputFile(name=name, size=0, sha256="") for name in names)


def test_every_field_has_its_place() -> None:
    assert parsed(FULL) == JobSpec(
        id="7",
        command="lib/run.sh",
        arguments="-v 'a b'",
        environment="export A=1",
        packages=("VO_X@Root::v6", "Geant4"),
        inputs=unknown("lib/run.sh", "in.dat"),
        chirp_server="chirp.example.org:9095",
        input_dir="/data/7",
    )


@pytest.mark.parametrize("fields", range(4, 7))
def test_trailing_fields_may_be_missing(fields: int) -> None:
    spec = parsed("::::".join(FULL.split("::::")[:fields]))
    assert (spec.command, spec.packages) == ("lib/run.sh", ())


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("host", "host:9094"),
        ("host:1", "host:1"),
        ("host;1", "host:1"),
        ("chirp://host:1", "host:1"),
        ("chirp://host", "host:9094"),
        ("chirp://host:1/", "host:1"),
        ("192.0.2.1;1", "192.0.2.1:1"),
        ("[2001:db8::1]:1", "[2001:db8::1]:1"),
        ("chirp://[2001:db8::1]", "[2001:db8::1]:9094"),
        ("", "here:9094"),
    ],
)
def test_the_server_is_named_in_many_ways(url: str, server: str) -> None:
    assert parsed(f"{url}::::/d::::::::run.sh").chirp_server == server


@pytest.mark.parametrize(
    "url", ["host;", "host:0", "host:99999", "ho st", "http://host", "a@host", "host:1:2", "-"]
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(BadName, match="expected host, host:port or host;port"):
        parsed(f"{url}::::/d::::::::run.sh")


def test_a_job_without_any_server_is_refused() -> None:
    with pytest.raises(BadName, match="names no Chirp server"):
        parsed("::::/d::::::::run.sh", server="")


@pytest.mark.parametrize(
    ("directory", "expected"), [("", "/"), ("/", "/"), ("d", "/d"), ("/a//b/", "/a/b"), ("./a", "/a")]
)
def test_the_directory_is_below_the_root_of_the_server(directory: str, expected: str) -> None:
    assert parsed(f"c::::{directory}::::::::run.sh").input_dir == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "c::::/d::::in",
        "c::::/d::::in::::/bin/sh",
        "c::::/d::::in::::../run.sh",
        "c::::/d::::../in::::run.sh",
        "c::::/d/../..::::in::::run.sh",
        "c::::/d\n::::in::::run.sh",
        f"{FULL}::::more",
    ],
)
def test_what_may_not_be_is_refused(text: str) -> None:
    with pytest.raises(BadName):
        parsed(text)


def test_the_line_end_of_redis_cli_is_not_part_of_the_last_field() -> None:
    assert parsed("c::::/d::::::::run.sh\n").command == "run.sh"


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), st.text(max_size=20))
def test_no_description_does_harm(text: bytes, job: str) -> None:
    try:
        spec = parse(job, text, server="here:9094", port=9094)
    except BadName:
        return
    assert spec.input_dir is not None
    assert ".." not in spec.input_dir.split("/")
    assert spec.command in {item.name for item in spec.inputs}
