"""What is tried. Each attack ends by itself after the time of the plan, and says what it has done."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import ssl
import tempfile
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from urllib.parse import quote, urlsplit

import aiohttp

from copilot.clock import SystemClock
from copilot.errors import BadRequirements, TransferCorrupt, TransferRefused
from copilot.files.signing import UrlSigner
from copilot.files.unpack import Limits, extract
from copilot.job import JobSpec
from copilot.matching.requirements import read_requirements
from copilot.protocol.claim import Claim, Claims
from copilot.protocol.commands import (
    GetJob,
    GetJobOutputDir,
    HeldJob,
    JobDone,
    Leaving,
    Ping,
    RenewLease,
    RunJob,
    StoreJobOutputDir,
    WantGetJob,
)
from copilot.roles import Account, Standing
from copilot.runtime.secret import load_secrets
from copilot.transport.base import Arrived, Disconnected
from tests.attack import shapes
from tests.attack.ground import Ground
from tests.attack.plan import Tried
from tests.hostile.strangers import MANAGER, Stranger, command_of, info_of, stranger

HOST = "127.0.0.1"
MOST_BUFFERED = 256 * 1024  # bytes that an attacker has on their way
BATCH = 50  # stanzas in one write
LATER_S = 0.01
EVIL = "evil.example.org"
EVIL_JDL = f'[ WNHost = "{EVIL}" ]'
PATIENCE_S = 4.0  # 2 MB at the rate of the sample configuration, and some
SLOWEST_S = 0.5  # for anything that must be refused at once
KNOWN_AFTER_S = 1.5  # managers look once a second for what is new
TAKE_S = 20.0  # for a job of its own to reach the attacker

Attack = Callable[[Ground, float], Awaitable[Tried]]


@contextlib.asynccontextmanager
async def sessions(ground: Ground, name: str, count: int) -> AsyncIterator[list[Stranger]]:
    """Of so many accounts; what they hear is thrown away."""
    async with contextlib.AsyncExitStack() as stack:
        made = [
            await stack.enter_async_context(stranger(ground.up, f"{name}-{number}"))
            for number in range(count)
        ]
        deaf = [asyncio.create_task(_throw_away(one)) for one in made]
        try:
            yield made
        finally:
            for task in deaf:
                task.cancel()
            await asyncio.gather(*deaf, return_exceptions=True)
            for one in made:
                _hang_up(one)


def _hang_up(one: Stranger) -> None:
    """Without waiting until the server has read all that was said."""
    if (connection := one._transport._connection) is not None:
        connection._end("that was enough")


async def _throw_away(one: Stranger) -> None:
    while True:
        await one._transport.next_event()


def _lag(one: Stranger) -> int:
    connection = one._transport._connection
    return 0 if connection is None or not connection.up else connection.buffered


async def _flood(ground: Ground, name: str, seconds: float, make: Callable[[int], str], tried: Tried) -> None:
    """As many stanzas as the server reads, from several accounts at the same time."""
    numbers = itertools.count()
    async with sessions(ground, name, ground.plan.senders) as made:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            free = [one for one in made if _lag(one) < MOST_BUFFERED and one._transport._connection]
            for one in free:
                one.write("".join(make(next(numbers)) for _ in range(BATCH)))
                tried.count += BATCH
            await asyncio.sleep(0 if free else LATER_S)
        tried.count -= sum(map(_lag, made)) // len(make(0))  # what has not left us


def _message(ident: object, info: str) -> str:
    return f"<message to='{MANAGER}' id='{ident}'><copilot xmlns='urn:copilot:1'>{info}</copilot></message>"


async def malformed(ground: Ground, seconds: float) -> Tried:
    """Stanzas that make no sense, ten thousand a second if the server takes them."""
    tried = Tried()
    infos = (
        "<info features='storage'/>",
        "<info command='makeCoffee' features='storage'/>",
        "<info command='_BASE64:%%%'/>",
        "<info command='getJob' jdl='_BASE64:/w=='/>",
        "<nothing/>",
        "<info command='jobDone' jobID='../..'/>",
        "<info><info><info><info><info><info/></info></info></info></info></info>",
    )
    await _flood(ground, "noise", seconds, lambda n: _message(n, infos[n % len(infos)]), tried)
    return tried


async def many_ids(ground: Ground, seconds: float) -> Tried:
    """Messages in order, each with an id, a job and a session that nobody has used before."""
    tried = Tried()

    def make(number: int) -> str:
        if number % 2:
            return _message(f"id-{number}", info_of(Ping()))
        return _message(f"id-{number}", info_of(GetJobOutputDir(job_id=f"job-{number}", jm_job_data="1.a.b")))

    await _flood(ground, "counter", seconds, make, tried)
    return tried


async def valid_requests(ground: Ground, seconds: float) -> Tried:
    """Requests that are in order, from one account, as fast as they go."""
    tried = Tried()
    want = info_of(WantGetJob(agent_host="h", jdl="[]"))
    get = info_of(GetJob(agent_host="h", jdl="[]", slots=64))
    async with sessions(ground, "greedy", 1) as (one,):
        until, numbers = time.monotonic() + seconds, itertools.count()
        while time.monotonic() < until:
            if _lag(one) < MOST_BUFFERED:
                one.write(
                    "".join(_message(f"v{next(numbers)}", get if n % 2 else want) for n in range(BATCH))
                )
                tried.count += BATCH
                await asyncio.sleep(0)
            else:
                await asyncio.sleep(LATER_S)
    return tried


async def forged_claims(ground: Ground, seconds: float) -> Tried:
    """Reports, renewals and farewells on jobs of others, with claims of every wrong kind."""
    tried = Tried()
    secrets = load_secrets(ground.root / "state" / "claim.secret", time.time())
    true, false = (Claims("copilot.internal", keys) for keys in (secrets, [b"x" * 32]))
    async with sessions(ground, "thief", 1) as (one,):
        account, until = one.jid.partition("/")[0], time.monotonic() + seconds
        while time.monotonic() < until:
            for job in ground.jobs[-8:]:
                while _lag(one) > MOST_BUFFERED:
                    await asyncio.sleep(LATER_S)
                record = await ground.store.get(job)
                if record is not None:
                    _steal(one, job, record.attempt, record.agent or "", account, true, false)
                    tried.count += 12
            await asyncio.sleep(0.05)
    return tried


def _steal(
    one: Stranger, job: str, attempt: int, owner: str, account: str, true: Claims, false: Claims
) -> None:
    kinds = (
        None,
        "startedAt=1300000000",
        false.sign(Claim(job=job, attempt=attempt, agent=account, started=1.0)),
        # What it could have overheard, if it could read the wire: it is another agent's.
        true.sign(Claim(job=job, attempt=attempt, agent=owner, started=1.0)),
        "1." + "A" * 4000,
    )
    for claim in kinds:
        one.tell(MANAGER, JobDone(job_id=job, exit_code=1, state="done", agent_host="h", jm_job_data=claim))
        one.tell(MANAGER, GetJobOutputDir(job_id=job, jm_job_data=claim))
    held = (HeldJob(id=job, attempt=attempt, phase="run"),)
    one.tell(MANAGER, RenewLease(held=held))
    one.tell(MANAGER, Leaving(held=held))


async def tricks(ground: Ground, seconds: float) -> Tried:
    """Paths, shell text, numbers without end and what else does harm, in every field of every command."""
    tried = Tried()
    async with sessions(ground, "tricky", ground.plan.senders) as made:
        until, turns = time.monotonic() + seconds, itertools.cycle(made)
        for number, info in enumerate(shapes.tricked()):
            one = next(turns)
            while _lag(one) > MOST_BUFFERED:
                await asyncio.sleep(LATER_S)
            one.write(_message(f"t{number}", info))
            tried.count += 1
            if not number % 20:
                await asyncio.sleep(0.02)  # so that most of them are read, and not only counted
            if time.monotonic() > until:
                break
    return tried


async def without_standing(ground: Ground, seconds: float) -> Tried:
    """Accounts that may do nothing, or no more than `enrol`: each command of the protocol, in order."""
    tried = Tried()
    kinds = {"bundle": Standing.BUNDLE, "revoked": Standing.AGENT}
    async with contextlib.AsyncExitStack() as stack:
        made = []
        for name, standing in kinds.items():
            jid = f"{name}@copilot.internal"
            await ground.store.put_account(Account(jid=jid, standing=standing, revoked=name == "revoked"))
            made.append(await stack.enter_async_context(stranger(ground.up, name)))
        await asyncio.sleep(KNOWN_AFTER_S)
        until = time.monotonic() + seconds
        for number, (info, one) in enumerate(itertools.cycle(itertools.product(shapes.honest(), made))):
            if time.monotonic() > until:
                break
            one.write(_message(f"u{number}", info))
            tried.count += 1
            await asyncio.sleep(LATER_S)
        for name, one in zip(kinds, made, strict=True):
            await _expect_no_service(name, one, tried)
            _hang_up(one)
    return tried


async def _expect_no_service(name: str, one: Stranger, tried: Tried) -> None:
    """Of all that it has said nothing may have been acknowledged."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while True:
                envelope = await one.hear()
                if envelope.acks:
                    tried.wrong.append(f"{name}: acknowledged: {' '.join(envelope.acks)[:80]}")
                tried.answers[
                    f"{name}: {getattr(command_of(envelope), 'code', None) or 'another answer'}"
                ] += 1


async def forged_seals(ground: Ground, seconds: float) -> Tried:
    """Openings of sealed sessions with keys and signatures out of thin air: what would cost most to find out."""
    tried = Tried()

    def make(number: int) -> str:
        key, sig, sealed = (
            b64encode(hashlib.shake_256(f"{number}{part}".encode()).digest(size)).decode()
            for part, size in (("key", 384), ("sig", 64), ("sealed", 200))
        )
        marks = f"suite='v2' kid='{number:016x}' session='{number:022}' time='{int(time.time())}'"
        return (
            f"<message to='{MANAGER}' id='s{number}'><copilot xmlns='urn:copilot:1' {marks} "
            f"key='{key}' sig='{sig}' sealed='{sealed}'/></message>"
        )

    await _flood(ground, "forger", seconds, make, tried)
    return tried


async def oversized(ground: Ground, seconds: float) -> Tried:
    """Stanzas of 2 MB, elements 20,000 deep, entities that grow, names without end."""
    tried = Tried()
    wide = " ".join(f"a{number}='1'" for number in range(20_000))
    growing = "<!DOCTYPE a [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]><message>&b;</message>"
    kinds = {
        "entities": growing,
        "800 kB": _message("big", f"<info command='getJob' jdl='{'x' * 800_000}'/>"),
        "20,000 deep": _message("deep", "<info>" * 20_000 + "</info>" * 20_000),
        "2 MB": _message("big", f"<info command='{'x' * 2_000_000}'/>"),
        "no end": "<message to='" + "y" * 1_500_000,
        "20,000 attributes": _message("wide", f"<info {wide}/>"),
    }
    until, least = time.monotonic() + seconds, min(len(kinds), ground.plan.archives)
    for name, text in itertools.cycle(kinds.items()):
        if time.monotonic() > until and tried.count >= least:
            return tried
        async with stranger(ground.up, f"giant-{tried.count % 5}") as one:
            one.write(text)
            one.tell(MANAGER, Ping(), ident="behind")
            tried.count += 1
            tried.answers[f"{name}: {await _outcome(one)}"] += 1
            _hang_up(one)
    return tried


async def _outcome(one: Stranger) -> str:
    """What becomes of a session."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while True:
                match await one._transport.next_event():
                    case Disconnected():
                        return "session ended"
                    case Arrived(envelope=envelope) if "behind" in envelope.acks:
                        return "no effect"
    return "never ends"


async def slow_lines(ground: Ground, seconds: float) -> Tried:
    """Connections to all ports that say a letter now and then, and never end a sentence."""
    tried = Tried()
    texts = {
        ground.xmpp_port: "<stream:stream to='copilot.internal' xmlns='jabber:client' x='" + "y" * 5000,
        ground.files_port: "\x16\x03\x01\x02\x00\x01" + "\0" * 5000,
        ground.dashboard_port: "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + "y" * 5000,
    }

    async def hold(port: int, text: str) -> None:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            tried.count += 1
            try:
                for letter in text:
                    writer.write(letter.encode("latin-1"))
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        if not await asyncio.wait_for(reader.read(100), 0.5):
                            break
            finally:
                writer.close()
        tried.answers["cut off"] += 1

    held = [
        asyncio.create_task(hold(port, text))
        for port, text in texts.items()
        for _ in range(ground.plan.lines // 3)
    ]
    await asyncio.wait(held, timeout=seconds)
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    return tried


async def connections(ground: Ground, seconds: float) -> Tried:
    """Connections to all ports, opened and dropped as fast as they go."""
    tried = Tried()
    ports = itertools.cycle((ground.xmpp_port, ground.files_port, ground.dashboard_port))

    async def knock() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                _, writer = await asyncio.open_connection(HOST, next(ports))
                tried.count += 1
                writer.transport.abort()
            except OSError:
                tried.answers["refused"] += 1
                await asyncio.sleep(LATER_S)

    await asyncio.gather(*(knock() for _ in range(20)))
    return tried


async def urls(ground: Ground, seconds: float) -> Tried:
    """Paths, methods and signatures at the file server that nobody has been given."""
    tried = Tried()
    port = ground.files_port
    secret = load_secrets(ground.root / "state" / "claim.secret", time.time())[0]
    genuine = UrlSigner(f"https://{HOST}:{port}", secret, SystemClock()).output_url("mine", 1, 60.0, 10)
    forged = UrlSigner(f"https://{HOST}:{port}", b"x" * 32, SystemClock()).output_url("mine", 1, 60.0, 10)
    query = urlsplit(genuine).query
    paths = [
        *(f"/{quote(trick.encode(errors='replace'), safe='/')}?{query}" for trick in shapes.TRICKS),
        *(f"/..%2f..%2f{name}?{query}" for name in ("etc/passwd", "state/claim.secret")),
        f"{urlsplit(genuine).path}?{query.replace('m=10', 'm=99999999999')}",
        f"{urlsplit(genuine).path}?{query}&e=99999999999",
        urlsplit(forged).path + "?" + urlsplit(forged).query,
        "/",
        "/" + "a" * 7000,
    ]
    context = ssl.create_default_context(cafile=ground.root / "prosody" / "tls" / "ca.pem")
    connector = aiohttp.TCPConnector(ssl=context, limit=20)
    until = time.monotonic() + seconds

    async def ask(session: aiohttp.ClientSession) -> None:
        for method, path in itertools.cycle(itertools.product(("GET", "PUT", "DELETE", "POST"), paths)):
            if time.monotonic() > until:
                return
            url = f"https://{HOST}:{port}{path}"
            tried.count += 1
            try:
                async with session.request(
                    method, aiohttp.client.URL(url, encoded=True), data=b"x" if method != "GET" else None
                ) as answer:
                    tried.answers[str(answer.status)] += 1
                    if answer.status < 400:
                        tried.wrong.append(f"{method} {path[:60]!r} was answered {answer.status}")
            except (aiohttp.ClientError, ValueError):
                tried.answers["broke off"] += 1

    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(ask(session) for _ in range(10)))
    return tried


async def ill_hosts(ground: Ground, seconds: float) -> Tried:
    """Hosts and requirements that crash or stall the library, if they reach it."""
    tried = Tried()
    until = time.monotonic() + seconds
    async with sessions(ground, "host", 1) as (one,):
        while time.monotonic() < until:
            for jdl in shapes.hosts():
                info = info_of(
                    GetJob(agent_host="h", jdl="-"), jdl="_BASE64:" + b64encode(jdl.encode()).decode()
                )
                one.write(_message(f"h{tried.count}", info))
                tried.count += 1
            for text in shapes.requirements():
                began = time.monotonic()
                tried.count += 1
                try:
                    await asyncio.to_thread(read_requirements, text)
                    tried.wrong.append(f"requirements {text[:40]!r} were taken")
                except BadRequirements:
                    tried.answers["refused at submit"] += 1
                if time.monotonic() - began > SLOWEST_S:
                    tried.answers["slow"] += 1
            await asyncio.sleep(0.2)
    return tried


async def ill_archives(ground: Ground, seconds: float) -> Tried:
    """An agent whose outputs are bombs, or lead elsewhere; then somebody looks at them."""
    tried = Tried()
    until = time.monotonic() + max(seconds, TAKE_S)
    async with stranger(ground.up, "packer") as one:
        for name, make in itertools.islice(shapes.archives().items(), ground.plan.archives):
            if time.monotonic() > until:
                break
            data = await asyncio.to_thread(make)
            job = f"evil-{len(tried.answers)}-{tried.count}"
            await ground.store.submit(
                [JobSpec(id=job, command="job.sh", owner="evil", requirements=f'other.WNHost == "{EVIL}"')]
            )
            tried.count += 1
            output = await _as_output(ground, one, job, data)
            if output is None:
                tried.answers[f"not taken: {name}"] += 1
                await ground.store.cancel(job)
                continue
            verdict = await asyncio.to_thread(_look, output)
            tried.answers[verdict] += 1
            if verdict == "unpacked":
                tried.wrong.append(f"the archive {name!r} was unpacked")
    return tried


async def _as_output(ground: Ground, one: Stranger, job: str, data: bytes) -> Path | None:
    """Have the job, deliver this as its output; where that lies in the end."""
    context = ssl.create_default_context(cafile=ground.root / "prosody" / "tls" / "ca.pem")
    try:
        async with asyncio.timeout(TAKE_S):
            one.tell(MANAGER, GetJob(agent_host=EVIL, jdl=EVIL_JDL))
            _, run = await one.answer(RunJob)
            assert isinstance(run, RunJob)
            one.tell(MANAGER, GetJobOutputDir(job_id=job, jm_job_data=run.jm_job_data))
            _, place = await one.answer(StoreJobOutputDir)
            assert isinstance(place, StoreJobOutputDir)
            async with (
                aiohttp.ClientSession() as session,
                session.put(place.output_url or "", data=data, ssl=context) as answer,
            ):
                assert answer.status == 201, answer.status
            report = JobDone(
                job_id=job,
                exit_code=0,
                state="done",
                agent_host=EVIL,
                cause="ok",
                jm_job_data=run.jm_job_data,
                output_size=len(data),
                output_sha256=hashlib.sha256(data).hexdigest(),
            )
            await one.acked(one.tell(MANAGER, report))
            output = ground.root / "done" / job / f"{job}.tgz"
            while not output.exists():
                await asyncio.sleep(LATER_S)
            return output
    except TimeoutError:
        return None


def _look(output: Path) -> str:
    """What becomes of whoever wants to see the files."""
    with tempfile.TemporaryDirectory() as place:
        inside = Path(place) / "a" / "b"
        inside.mkdir(parents=True)
        try:
            extract(output, inside, Limits(size=10_000_000))
        except (TransferRefused, TransferCorrupt):
            return "refused by who unpacks"
    return "unpacked"


ATTACKS: Sequence[tuple[str, Attack]] = (
    ("malformed stanzas", malformed),
    ("ever new ids", many_ids),
    ("valid requests, one account", valid_requests),
    ("forged claims, jobs of others", forged_claims),
    ("tricks in every field", tricks),
    ("accounts without standing", without_standing),
    ("forged seals", forged_seals),
    ("too large, too deep", oversized),
    ("slow lines on all ports", slow_lines),
    ("floods of connections", connections),
    ("URLs nobody was given", urls),
    ("hosts and requirements", ill_hosts),
    ("archives as outputs", ill_archives),
)
