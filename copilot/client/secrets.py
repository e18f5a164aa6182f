"""The secrets of a job, from files of who submits it: sealed here, for the service alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from copilot.client.submission import Submission
from copilot.errors import BadName, ConfigError
from copilot.job import MAX_SECRETS, MAX_SECRETS_BYTES, JobSecret, check_secret_name
from copilot.protocol.envelope import bare
from copilot.records import dataclass


def named(items: Sequence[str]) -> dict[str, Path]:
    """`NAME=FILE` of an option, the files by their names. Raises `BadName`."""
    found: dict[str, Path] = {}
    for item in items:
        name, equals, path = item.partition("=")
        if not equals or not path:
            raise BadName(
                "--secret: expected NAME=FILE, the file that holds it; a secret itself is never an argument"
            )
        if found.setdefault(check_secret_name(name), Path(path)) != Path(path):
            raise BadName(f"--secret {name}: two different files have that name")
    return found


def with_secrets(
    submissions: Sequence[Submission], files: Mapping[str, Path], keys: Path | None, service: str | None
) -> list[Submission]:
    """The same jobs with these secrets, sealed for each of them for the newest key of `service` (JID; None: the only one) in
    the file of public keys. Raises `BadName`, `ConfigError`."""
    if not files:
        return list(submissions)
    values = {name: _read(name, path) for name, path in files.items()}
    if len(values) > MAX_SECRETS or sum(map(len, values.values())) > MAX_SECRETS_BYTES:
        raise BadName(
            f"--secret: at most {MAX_SECRETS} secrets and {MAX_SECRETS_BYTES} bytes of them are allowed for a job"
        )
    sealer = _sealer(values, keys, service)
    return [replace(one, sealer=sealer) for one in submissions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """For whom secrets are sealed: as `with_secrets` takes it."""

    file: Path | None = None
    service: str | None = None

    def with_secrets(self, submissions: Sequence[Submission], files: Mapping[str, Path]) -> list[Submission]:
        """See the function of that name."""
        for name in files:
            check_secret_name(name)
        return with_secrets(submissions, files, self.file, self.service)


def _sealer(
    values: Mapping[str, bytes], keys: Path | None, service: str | None
) -> Callable[[str], tuple[JobSecret, ...]]:
    from copilot.protocol.crypto.job_secrets import seal  # who has no secrets does without cryptography
    from copilot.runtime.keys import load_public_keys

    if keys is None or not keys.exists():
        raise ConfigError(
            "--secret: the service's public key is not known here: write it to the file that …_PUBLIC_KEYS_FILE names (`copilot "
            "keys show KEY_FILE --jid JID` prints it on the service's machine)"
        )
    known = load_public_keys(keys)
    names = [name for name in known if service is None or bare(name) == bare(service)]
    opening = [key for name in names for key in known[name].opening]
    if not opening or (service is None and len({bare(name) for name in names}) > 1):
        raise ConfigError(f"{keys}: expected a key of {service or 'one service'} that opens (RSA)")

    def sealed(job: str) -> tuple[JobSecret, ...]:
        return tuple(seal(value, job=job, name=name, key=opening[0]) for name, value in values.items())

    return sealed


def _read(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            value = file.read(MAX_SECRETS_BYTES + 1)
    except OSError as error:
        raise BadName(f"--secret {name}: {path} cannot be read: {error.strerror}") from None
    if not value:
        raise BadName(f"--secret {name}: {path} is empty")
    return value
