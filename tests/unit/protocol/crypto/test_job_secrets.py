"""Secrets of jobs: for the service, the job and the name that they were sealed for, and for nobody else."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from copilot.errors import BadName, SealError
from copilot.job import MAX_SECRETS, NEEDS_SEALED, JobSecret, JobSpec
from copilot.protocol.crypto.job_secrets import opened, seal
from copilot.protocol.crypto.keys import kid
from tests.sealing import service

VALUE = b"canary-0\n\xff"
KEYS = service().opening
SECRET = seal(VALUE, job="j1", name="token", key=KEYS[0].public_key())


def spec(**fields: object) -> JobSpec:
    return JobSpec(id="j1", command="run.sh", **{"requirements": NEEDS_SEALED, **fields})  # type: ignore[arg-type]


def test_the_service_opens_it_also_after_its_key_was_changed() -> None:
    assert opened(SECRET, job="j1", keys=KEYS) == VALUE
    assert opened(SECRET, job="j1", keys=(*service(1).opening, *KEYS)) == VALUE


def test_each_time_it_looks_different_and_nothing_of_it_can_be_read() -> None:
    again = seal(VALUE, job="j1", name="token", key=KEYS[0].public_key())
    assert again != SECRET
    assert "canary" not in SECRET.sealed
    assert SECRET.sealed not in repr(spec(secrets=(SECRET,)))


@pytest.mark.parametrize(
    ("secret", "job"),
    [
        (SECRET, "j2"),
        (replace(SECRET, name="other"), "j1"),
        (replace(SECRET, sealed=SECRET.sealed[:-8] + "AAAAAAA="), "j1"),
        (replace(SECRET, sealed=SECRET.sealed.replace("v1:", "v2:", 1)), "j1"),
        (replace(SECRET, sealed="v1:a:b"), "j1"),
        (replace(SECRET, sealed=f"v1:{kid(KEYS[0].public_key())}:AAAA:AAAA"), "j1"),
        (replace(SECRET, sealed=""), "j1"),
    ],
)
def test_of_another_job_or_name_or_changed_it_is_not_opened(secret: JobSecret, job: str) -> None:
    with pytest.raises(SealError, match=r"secret (token|other): "):
        opened(secret, job=job, keys=KEYS)


def test_without_the_key_it_says_which_one_is_missing() -> None:
    with pytest.raises(
        SealError, match=f"the key {kid(KEYS[0].public_key())}, which this service does not have"
    ):
        opened(SECRET, job="j1", keys=service(1).opening)


def test_a_specification_holds_them_as_they_were_sealed() -> None:
    one = spec(secrets=(SECRET,))
    assert JobSpec.from_json(one.to_json()) == one
    assert "secrets" not in json.loads(spec().to_json())


def test_the_same_job_once_more_has_the_secrets_that_are_on_the_queue() -> None:
    again = spec(secrets=(seal(VALUE, job="j1", name="token", key=KEYS[0].public_key()),))
    known = spec(secrets=(SECRET,))
    assert again != known
    assert again.with_secrets_of(known) == known
    assert spec().with_secrets_of(known) == spec()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"requirements": ""}, "must require"),
        ({"requirements": f"{NEEDS_SEALED} || other.Cores > 1"}, "must require"),
        ({"secrets": (SECRET, SECRET)}, "with names of their own"),
        ({"secrets": tuple(replace(SECRET, name=f"n{n}") for n in range(MAX_SECRETS + 1))}, "at most"),
        ({"secrets": (replace(SECRET, sealed="x" * 40_000),)}, "characters are allowed"),
    ],
)
def test_what_no_job_may_have_is_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(BadName, match=said):
        spec(**{"secrets": (SECRET,), **fields})


@pytest.mark.parametrize("name", ["", ".x", "a/b", "..", "a b", "x" * 65, "a\n"])
def test_a_name_is_that_of_a_file(name: str) -> None:
    with pytest.raises(BadName, match="expected a name"):
        JobSecret(name=name, sealed="")
