"""Descriptions of jobs as operators' tools of 2011 write them (protocol page, section 2).

    chirpUrl::::inputDir::::inputFiles::::command::::arguments::::environment::::packages

Trailing fields may be missing; `inputFiles` is joined by `###`, `packages` by blanks.
"""

from __future__ import annotations

from copilot.config.kinds import HOST, PORT
from copilot.errors import BadName
from copilot.job import InputFile, JobSpec, check_job_id, check_relative_name

SEPARATOR = "::::"
FILE_SEPARATOR = "###"
FIELDS = 7


def parse(job: str, description: bytes, *, server: str = "", port: int) -> JobSpec:
    """The job that a description means. `server` (host:port) where it names none, `port` where it names but a host.

    Its inputs lie where the tool put them, so their size and hash are not known. Raises `BadName`.
    """
    fields = _fields(job, description)
    url, directory, files, command, arguments, environment, packages = fields
    if not command:
        raise BadName(f"job {job}: its description names no command (the fourth of {FIELDS} fields)")
    return JobSpec(
        id=check_job_id(job, submitted=True),
        command=check_relative_name(command),
        arguments=arguments,
        environment=environment,
        packages=tuple(packages.split()),
        inputs=_inputs(command, files),
        chirp_server=_server(job, url, port) if url else _default(job, server),
        input_dir="/" + "/".join(part for part in directory.split("/") if part not in ("", ".")),
    )


def _fields(job: str, description: bytes) -> list[str]:
    try:
        text = description.decode().rstrip("\r\n")  # as `redis-cli -x` leaves them
    except UnicodeDecodeError as error:
        raise BadName(f"job {job}: byte {error.start + 1} of its description is not UTF-8") from error
    fields = text.split(SEPARATOR)
    if len(fields) > FIELDS:
        raise BadName(
            f"job {job}: its description has {len(fields)} fields joined by {SEPARATOR!r}, expected {FIELDS} at most"
        )
    return fields + [""] * (FIELDS - len(fields))


def _inputs(command: str, files: str) -> tuple[InputFile, ...]:
    """The command is among them: the agent has it from nowhere else."""
    names = dict.fromkeys([command, *filter(None, files.split(FILE_SEPARATOR))])
    return tuple(InputFile(name=name, size=0, sha256="") for name in names)


def _server(job: str, url: str, port: int) -> str:
    """host:port of `host`, `host:port`, `host;port` or `chirp://host:port`; an IPv6 address stands in brackets."""
    address = url.removeprefix("chirp://").rstrip("/").replace(";", ":")
    host, colon, given = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, given = address, str(port)
    try:
        checked = HOST.convert(host.removeprefix("[").removesuffix("]"))
        number = PORT.convert(given)
    except ValueError:
        raise BadName(
            f"job {job}: Chirp server {url[:140]!r}: expected host, host:port or host;port"
        ) from None
    return f"[{checked}]:{number}" if ":" in checked else f"{checked}:{number}"


def _default(job: str, server: str) -> str:
    if not server:
        raise BadName(
            f"job {job}: its description names no Chirp server (the first of {FIELDS} fields), nor does the "
            "configuration of the job manager"
        )
    return server
