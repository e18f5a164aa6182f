"""`copilot-job-submit --remote`: submits by XMPP, follows the jobs, and fetches their outputs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import os
import secrets as random_words
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from copilot.cli import daemon
from copilot.cli.known import known_keys
from copilot.cli.securing import agent_security
from copilot.client.access import LARGEST_UNPACKED
from copilot.client.afar import submit_from_afar
from copilot.client.config import SubmitterConfig
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.operating import AgentVerb, Answer, Verb, answer
from copilot.client.remote import Remote, Submitted, element_counts
from copilot.client.secrets import with_secrets
from copilot.client.selection import Selection
from copilot.client.slices import counted
from copilot.client.submission import Submission
from copilot.config import load
from copilot.config.load import DIRECTORY_KEY
from copilot.errors import ConfigError, RemoteRefused, TransferRefused, UnknownJob
from copilot.files.base import FileFacts
from copilot.files.clients import Files
from copilot.files.unpack import Limits, extract
from copilot.job import State, element_id, one_line
from copilot.log import set_up
from copilot.protocol.commands import HaveJobState, Operated
from copilot.protocol.rules import FEATURE_STORAGE, Role
from copilot.records import dataclass
from copilot.runtime.signals import on_stop
from copilot.store.base import Changed
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport

PROGRAM = "copilot-job-submit"
INTERRUPTED = 130
SESSION_LIMIT = 30.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Screen:
    """What the user wants to see and to have."""

    as_json: bool
    wait: bool
    output_dir: Path | None
    unpack: bool

    @property
    def follows(self) -> bool:
        """Whether the end is waited for."""
        return self.wait or self.output_dir is not None


def submit(
    submissions: Sequence[Submission],
    place: Path | None,
    screen: Screen,
    *,
    secrets: Mapping[str, Path] | None = None,
) -> int:
    """The exit code. `secrets` are files by the names under which jobs have them. Raises `CopilotError`."""
    if screen.unpack and screen.output_dir is None:
        raise ConfigError("--unpack: where? Name a directory with --output-dir")
    if screen.output_dir is not None and not screen.output_dir.is_dir():
        raise ConfigError(f"--output-dir {screen.output_dir}: expected a directory that exists")
    with settings(place) as config:
        keys = config.public_keys_file
        submissions = with_secrets(submissions, secrets or {}, keys, config.jm_jabber_address)
        return asyncio.run(_run(submissions, config, screen))


@contextlib.contextmanager
def settings(place: Path | None) -> Iterator[SubmitterConfig]:
    """Those of who submits from afar, with warnings told; what stands in them instead of in files is in files while inside.

    Raises `ConfigError`.
    """
    config, warnings = read_settings(place)
    for warning in (*set_up(config.logger_config_file, level=logging.WARNING), *warnings):
        print(f"{PROGRAM}: warning: {warning}", file=sys.stderr)
    with own_files(config) as complete:
        yield complete


def read_settings(place: Path | None) -> tuple[SubmitterConfig, Sequence[str]]:
    """Those at `place`, or where they are looked for without one, and warnings. Raises `ConfigError`."""
    if place is None and not os.environ.get(DIRECTORY_KEY):
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "copilot"
        place = home if home.is_dir() else None
    config, warnings = load(SubmitterConfig, place, os.environ, known=known_keys)
    return config, warnings


@contextlib.contextmanager
def own_files(config: SubmitterConfig) -> Iterator[SubmitterConfig]:
    """What stands in the settings themselves is in files while inside."""
    with tempfile.TemporaryDirectory(prefix="copilot-") as own:
        yield _with_own_files(config, Path(own))


async def operate(
    config: SubmitterConfig, verb: Verb, targets: Sequence[Selection], reason: str
) -> list[Answer]:
    """What becomes of each wish for a job, an array or elements of one; one that is not known is one of the answers. Raises `CopilotError`."""
    async with session(config) as remote:
        return [await _operate(remote, verb, target, reason) for target in targets]


async def operate_agents(
    config: SubmitterConfig, verb: AgentVerb, agents: Sequence[str], reason: str
) -> list[Operated]:
    """What becomes of each wish. Raises `CopilotError`."""
    async with session(config) as remote:
        return [await remote.operate(verb, agent, reason) for agent in agents]


async def _operate(remote: Remote, verb: Verb, target: Selection, reason: str) -> Answer:
    if verb is Verb.CANCEL and target.job is not None:  # services of all versions know how
        try:
            state = await remote.stop(target.job, reason)
        except UnknownJob as error:
            return Answer(job=target.text, ok=False, changed=False, state=None, text=str(error))
        return answer(verb, target.text, Changed(changed=bool(state.changed), state=State(state.state)))
    said = await remote.operate(verb, target.text, reason)
    return Answer(job=target.text, ok=said.ok, changed=said.changed > 0, state=None, text=one_line(said.text))


async def look(config: SubmitterConfig, job: str) -> HaveJobState:
    """How a job stands. Raises `CopilotError`."""
    async with session(config) as remote:
        return await remote.state(job)


async def fetch(config: SubmitterConfig, job: str, package: Path) -> bool:
    """Have the packed output of a job that is over there; False if it has none. Raises `CopilotError`."""
    async with session(config) as remote:
        return await remote.fetch(job, package) is not None


async def explain(config: SubmitterConfig, jobs: Sequence[str]) -> list[Reason]:
    """Why these jobs of ours are where they are, as the job manager says it. Raises `CopilotError`."""
    found = []
    async with session(config) as remote:
        for job in jobs:
            try:
                said = await remote.explain(job)
            except UnknownJob as error:
                found.append(
                    Reason(job=job, code=Code.UNKNOWN, text=str(error), next="look for a typing error")
                )
                continue
            if said.why is None:
                raise RemoteRefused(
                    "no-reason",
                    "the job manager does not explain jobs: it is of an older version, or is asked by too many",
                )
            # A newer manager may have words of its own; what they say is told all the same.
            code = Code(said.why) if said.why in set(Code) else Code.UNKNOWN
            found.append(
                Reason(
                    job=job,
                    code=code,
                    text=one_line(said.why_text or ""),
                    next=one_line(said.why_next or ""),
                    facts={"state": said.state, "attempt": said.attempt, "agent": said.agent},
                )
            )
    return found


def facts(state: HaveJobState) -> Mapping[str, Any]:
    """Plain data, ready for JSON."""
    published = bool(state.published)
    return {**_facts(state, _code(state), None), "exit_code": state.exit_code, "published": published}


def lines(state: HaveJobState) -> Iterator[str]:
    """Text for a terminal; what agents and jobs have said moves no cursor."""
    yield f"job {state.job_id}: {state.state}"
    rows = (
        ("attempt", state.attempt or None),
        ("agent", state.agent),
        ("host", state.host),
        ("cause", state.cause),
        ("exit code", state.exit_code),
        ("reason", state.reason),
        ("output", None if state.output_size is None else f"{state.output_size} bytes"),
        ("elements", None if state.elements is None else counted(element_counts(state))),
    )
    for name, value in rows:
        if value not in (None, ""):
            yield f"  {name:<11}{one_line(str(value))}"


def _with_own_files(config: SubmitterConfig, place: Path) -> SubmitterConfig:
    """What stands in the settings themselves, in files as all others expect it."""
    if config.jabber_ca is not None:
        file = place / "ca.pem"
        file.write_text(config.jabber_ca)
        config = replace(config, jabber_ca_file=file, files_ca_file=config.files_ca_file or file)
    if config.own_key is not None:
        key = place / "own.key"
        key.touch(mode=0o600)
        key.write_bytes(_decoded(config, "own_key", config.own_key))
        config = replace(config, key_file=key)
    if config.service_keys is not None:
        public = place / "services.pub"
        public.write_bytes(_decoded(config, "service_keys", config.service_keys))
        config = replace(config, public_keys_file=public)
    return config


def _decoded(config: SubmitterConfig, name: str, text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ConfigError(f"{config.key(name)}: expected base64 of keys in PEM form") from None


@contextlib.asynccontextmanager
async def session(config: SubmitterConfig) -> AsyncIterator[Remote]:
    """Logged in while inside. Raises `TransportError`, and `ConfigError` if there are no keys for secure mode."""
    secure = agent_security(config, config.jm_jabber_address)
    transport = XmppTransport(
        XmppSettings(
            jid=config.jid,
            password=config.jabber_password,
            resource=config.jabber_resource or f"submit-{random_words.token_hex(8)}",
            host=config.jabber_server,
            port=config.jabber_port,
            tls=config.jabber_tls.value,
            ca_file=config.jabber_ca_file,
            priority=-1,  # what is for this account and not for us, is not for us
            name="Co-Pilot submitter",
        )
    )
    endpoint = daemon.endpoint(
        Role.SUBMITTER,
        features=(FEATURE_STORAGE,),
        security=None if secure is None else secure.security,
    )
    files = Files.standard(ca_file=config.files_ca_file)
    remote = Remote(transport, endpoint, files, config.jm_jabber_address)
    try:
        async with remote.session(SESSION_LIMIT):
            yield remote
    finally:
        await files.close()


async def _run(submissions: Sequence[Submission], config: SubmitterConfig, screen: Screen) -> int:
    this = asyncio.current_task()
    assert this is not None
    done: list[str] = []
    codes: list[int] = []
    try:
        with on_stop(this.cancel):
            async with session(config) as remote:
                submitted = await submit_from_afar(
                    remote, submissions, project=config.project or "", watch=screen.follows
                )
                done.extend(one.id for one in submissions)
                for one, there in zip(submissions, submitted, strict=True):
                    _tell_submitted(one.id, there, screen)
                for one, there in zip(submissions, submitted, strict=True) if screen.follows else ():
                    state = await _follow(remote, one.id, there.state, quiet=screen.as_json)
                    if one.array:
                        codes.append(_report_array(state, await _fetch_elements(remote, one, screen), screen))
                        continue
                    fetched = await _fetch(remote, one.id, state, screen)
                    codes.append(_report(state, fetched, screen))
    except asyncio.CancelledError:
        if not done:
            raise
        rest = "" if len(done) == 1 else " and those after it"
        verb = "goes" if len(done) == 1 else "go"
        print(f"{PROGRAM}: interrupted; job {done[len(codes)]}{rest} {verb} on", file=sys.stderr)
        return INTERRUPTED
    return next(filter(None, codes), 0)


def _tell_submitted(job: str, there: Submitted, screen: Screen) -> None:
    if there.known is not None:
        print(f"{PROGRAM}: job {job} was submitted before, and is {there.known}", file=sys.stderr)
    if not screen.follows:
        print(json.dumps({"id": job, "state": there.state.state}) if screen.as_json else job)


async def _follow(remote: Remote, job: str, state: HaveJobState, *, quiet: bool) -> HaveJobState:
    """How the job stands at its end."""
    console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
    with console.status(f"job {job}: waiting") as status:
        async for state in remote.follow(job, state):  # noqa: B020, PLR1704  # it begins with the one that is known
            console.print(f"job {job}: {_step(state)}", markup=False)
            status.update(f"job {job}: {state.state}")
    return state


def _step(state: HaveJobState) -> str:
    if state.published and state.output_size is not None:
        return "output stored"
    if state.state == State.RUNNING:
        return f"handed to agent {state.agent} (attempt {state.attempt})"
    if state.state == State.FAILED:
        return f"failed: {state.cause}: {state.reason}".removesuffix(": ")
    if state.state == State.CANCELLED:
        return f"cancelled: {state.reason}".removesuffix(": ")
    if state.state == State.WAITING:
        return f"attempt {state.attempt} is over, waiting again" if state.attempt else "waiting"
    return state.state


async def _fetch(remote: Remote, job: str, state: HaveJobState, screen: Screen) -> Path | None:
    """Where the output is now, on this machine; None if there is none, or if nobody wants it."""
    if screen.output_dir is None or state.output_size is None:
        return None
    if not screen.unpack:
        target = screen.output_dir / f"{job}.tgz"
        return None if await remote.fetch(job, target) is None else target
    with tempfile.TemporaryDirectory(prefix=".copilot-", dir=screen.output_dir) as place:
        package = Path(place) / f"{job}.tgz"
        facts: FileFacts | None = await remote.fetch(job, package)
        if facts is None:
            return None
        await asyncio.to_thread(extract, package, screen.output_dir, Limits(size=LARGEST_UNPACKED))
    return screen.output_dir / job


async def _fetch_elements(remote: Remote, array: Submission, screen: Screen) -> list[Path]:
    """Where the outputs of an array's elements are now, if somebody wants them; one that is not there is told, and passed over."""
    found: list[Path] = []
    for index in range(array.array if screen.output_dir is not None else 0):
        element = element_id(array.id, index)
        try:
            fetched = await _fetch(remote, element, await remote.state(element), screen)
        except (TransferRefused, UnknownJob) as error:
            print(f"{PROGRAM}: {error}", file=sys.stderr)
        else:
            found += [] if fetched is None else [fetched]
    return found


def _report_array(state: HaveJobState, fetched: Sequence[Path], screen: Screen) -> int:
    """The exit code: 0 if all elements are done, as for the machine of the queue."""
    if screen.as_json:
        print(json.dumps({**_facts(state, _code(state), None), "outputs": list(map(str, fetched))}))
    else:
        print(f"array {state.job_id}: {counted(element_counts(state))}")
        print("".join(f"{path}\n" for path in fetched), end="")
    return _code(state)


def _code(state: HaveJobState) -> int:
    """As a shell would say; an array has no exit code, and is 0 if all of it is done."""
    if state.elements is not None:
        return 0 if state.state == State.DONE else 1
    return 1 if state.exit_code is None else state.exit_code


def _report(state: HaveJobState, fetched: Path | None, screen: Screen) -> int:
    code = _code(state)
    if screen.as_json:
        print(json.dumps(_facts(state, code, fetched)))
    elif fetched is not None:
        print(fetched)
    elif state.output_size is None:
        print("no output was stored")
    elif screen.output_dir is None:
        print(f"output stored; `copilot jobs output --remote {state.job_id}` fetches it")
    return 1 if code == 0 and state.state != State.DONE else code


def _facts(state: HaveJobState, code: int, fetched: Path | None) -> Mapping[str, Any]:
    """As the form for the machine of the queue has it; `output` is where it was fetched to."""
    return {
        "id": state.job_id,
        "state": state.state,
        "exit_code": code,
        "cause": state.cause,
        "reason": state.reason or "",
        "attempt": state.attempt,
        "agent": state.agent,
        "host": state.host or "",
        "output": None if fetched is None else str(fetched),
        **({} if state.elements is None else {"counts": element_counts(state)}),
    }
