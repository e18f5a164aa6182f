"""Submitting from afar, over a network that loses, doubles and reorders, while instances and the program itself die."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from copilot.client.desk import Desk
from copilot.client.operating import Verb
from copilot.client.remote import PATIENCE, Remote, Submitted, at_rest, described
from copilot.client.submission import Submission
from copilot.errors import (
    BadName,
    JobExists,
    RemoteRefused,
    TransferRefused,
    TransportError,
    UnknownJob,
)
from copilot.files.base import FileFacts
from copilot.job import Cause, JobSpec, Outcome, Output, State
from copilot.jobmanager.submissions import Submissions, SubmissionSettings
from copilot.protocol.commands import HaveJobState, SubmitJob
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.rules import FEATURES, Role
from copilot.roles import Account, Standing
from copilot.runtime.loop import Loop
from copilot.store.memory import MemoryStore
from copilot.transport.base import Connected
from copilot.transport.memory import Faults, MemoryNetwork, MemoryTransport
from tests.unit.virtual_time import LoopClock, run

MANAGER, ADA, BOB, AGENT = "jm@x", "ada@x", "bob@x", "agent@x"
CLOCK = LoopClock()


class Area:
    """The file server and its area; both ends of it."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}
        self.refused = 0  # so many uploads from now on
        self.uploads = 0

    # -- what the manager knows of it

    def upload_url(self, job: str, name: str, size: int, sha256: str, expires_in: float) -> str:
        return f"put:{job}/{name}#{sha256}"

    def result_url(self, job: str, expires_in: float) -> str | None:
        return f"get:{job}"

    async def missing(self, spec: JobSpec) -> frozenset[str]:
        names = ((one.name, f"{spec.id}/{spec.staged_name(one.name)}") for one in spec.inputs)
        return frozenset(name for name, place in names if place not in self.there)

    async def keep(self, spec: JobSpec, contents: Mapping[str, bytes]) -> None:
        for name, data in contents.items():
            self.there[f"{spec.id}/{spec.staged_name(name)}"] = data

    async def drop(self, job: str, staged: str) -> None:
        raise AssertionError("nobody overtakes anybody here")

    # -- what the laptop does with it

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        await asyncio.sleep(1)
        if self.refused:
            self.refused -= 1
            raise TransferRefused("403")
        self.uploads += 1
        place, _, sha256 = url.removeprefix("put:").partition("#")
        data = path.read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256 == facts.sha256
        self.there[place] = data

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        path.write_text(url)
        return FileFacts(size or 0, sha256 or "")

    async def close(self) -> None:
        pass


class World:
    """A service, its network, and people with laptops."""

    def __init__(self, random: Random | None = None, **faults: float) -> None:
        self.random = random or Random(1)
        self.store = MemoryStore(clock=CLOCK)
        self.area = Area()
        self.network = MemoryNetwork(Faults(random=self.random, **faults))
        self._ids = itertools.count(1)
        self._managers: dict[str, asyncio.Task[int]] = {}
        self.endpoints: list[Endpoint] = []

    async def __aenter__(self) -> World:
        for jid in (ADA, BOB):
            account = Account(jid=jid, standing=Standing.SUBMITTER)
            await self.store.put_account(account, password="a long password")
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self._managers):
            await self.kill(name)

    def endpoint(self, role: Role) -> Endpoint:
        endpoint = Endpoint(
            role,
            new_id=lambda: f"m{next(self._ids)}",
            random=self.random.random,
            features=FEATURES,
        )
        self.endpoints.append(endpoint)
        return endpoint

    def start(self, name: str, settings: SubmissionSettings | None = None) -> None:
        """An instance of the job manager."""
        part = Submissions(
            self.store,
            self.area,
            settings or SubmissionSettings(),
            wall=CLOCK.wall,
            desk=Desk(self.store),
        )
        transport = MemoryTransport(self.network, f"{MANAGER}/{name}")
        loop = Loop(part, self.endpoint(Role.JOB_MANAGER), transport, clock=CLOCK)
        self._managers[name] = asyncio.ensure_future(loop.run())

    async def kill(self, name: str) -> None:
        task = self._managers.pop(name)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    @contextlib.asynccontextmanager
    async def laptop(self, jid: str = ADA) -> AsyncIterator[Remote]:
        transport = MemoryTransport(self.network, f"{jid}/{next(self._ids)}")
        endpoint = self.endpoint(Role.SUBMITTER)
        remote = Remote(transport, endpoint, self.area, MANAGER, clock=CLOCK.monotonic)
        async with remote.session(30):
            yield remote

    async def work(self) -> None:
        """An agent and a storage manager that do what there is to do."""
        for number in itertools.count():
            await asyncio.sleep(5)
            for one in await self.store.claim(agent=AGENT, request=f"r{number}", dispatch_limit=600):
                await asyncio.sleep(self.random.random() * 100)
                output = Output(size=7, sha256="0" * 64)
                await self.store.finish(
                    one.spec.id, one.attempt, Outcome(cause=Cause.OK, exit_code=0, output=output)
                )
                await asyncio.sleep(2 + self.random.random() * 10)
                await self.store.publish(one.spec.id)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[SubmitJob, Mapping[str, Path]]:
    """A job with a small and a large file."""
    place = tmp_path_factory.mktemp("laptop")
    (place / "run.sh").write_text("exit 0")
    (place / "big").write_bytes(b"x" * 20_000)
    submission = Submission(id="j", command=place / "run.sh", inputs={"data/big": place / "big"})
    return asyncio.run(described(submission, watch=True))


Job = tuple[SubmitJob, Mapping[str, Path]]


async def to_the_end(remote: Remote, submitted: Submitted) -> list[tuple[str, bool | None]]:
    """What is told of job j."""
    return [(state.state, state.published) async for state in remote.follow("j", submitted.state)]


def test_a_job_takes_few_messages_and_its_states_are_told(job: Job, tmp_path: Path) -> None:
    async def story() -> None:
        async with World() as world:
            world.start("one")
            working = asyncio.ensure_future(world.work())
            async with world.laptop() as remote:
                submitted = await remote.submit(*job)
                assert submitted.known is None
                assert await to_the_end(remote, submitted) == [
                    ("waiting", None),
                    ("running", None),
                    ("done", False),
                    ("done", True),
                ]
                facts = await remote.fetch("j", tmp_path / "out.tgz")
            working.cancel()
            assert facts == FileFacts(7, "0" * 64)
            assert (tmp_path / "out.tgz").read_text() == "get:j"
            manager, laptop = (endpoint.counts.sent for endpoint in world.endpoints)
            questions = laptop.pop("wantJobState")
            assert questions <= 4  # 15, 30 and 60 s without news, and for the URL
            assert laptop == {"wantUpload": 1, "submitJob": 1, "ack": 1}
            assert manager.pop("ack") <= 2 + questions
            assert manager == {"haveUpload": 1, "haveJobState": 4 + questions}
            spec = await world.store.get("j")
            assert spec
            assert (spec.spec.owner, len(world.area.there), world.area.uploads) == (ADA, 2, 1)

    run(story())


BAD_NETWORK = {
    "loss": st.floats(0.0, 0.4),
    "double": st.floats(0.0, 0.4),
    "jitter": st.floats(0.0, 10.0),
    "seed": st.integers(0, 2**32),
    "deaths": st.lists(st.floats(0.0, 60.0), max_size=3),
    "kills": st.lists(st.floats(0.0, 40.0), max_size=3),
}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(**BAD_NETWORK)
def test_whatever_gets_lost_and_whoever_dies_it_is_one_job_and_its_end_is_told(
    job: Job, loss: float, double: float, jitter: float, seed: int, deaths: list[float], kills: list[float]
) -> None:
    async def story() -> None:
        async with World(Random(seed), loss=loss, double=double, delay=0.01, jitter=jitter) as world:
            names = ["one", "two"]
            for name in names:
                world.start(name)
            working = asyncio.ensure_future(world.work())
            dying = asyncio.ensure_future(_die(world, names, deaths))
            told: list[tuple[str, bool | None]] = []
            for alive in [*kills, None]:
                with contextlib.suppress(TimeoutError, TransportError):
                    async with asyncio.timeout(alive), world.laptop() as remote:
                        told = await to_the_end(remote, await remote.submit(*job))
            while not told:
                with contextlib.suppress(TransportError):  # nobody answered for two minutes: once more
                    async with world.laptop() as remote:
                        told = await to_the_end(remote, await remote.submit(*job))
            assert told[-1] == ("done", True)
            record = await world.store.get("j")
            assert record
            assert (record.attempt, sum((await world.store.counts()).values())) == (1, 1)
            working.cancel()
            dying.cancel()

    run(story())


async def _die(world: World, names: list[str], deaths: list[float]) -> None:
    """Instances die, and others begin."""
    for number, after in enumerate(deaths):
        await asyncio.sleep(after)
        await world.kill(names[number % 2])
        await asyncio.sleep(world.random.random() * 30)
        names[number % 2] = f"{names[number % 2]}+"
        world.start(names[number % 2])


def test_another_instance_takes_the_job_when_the_one_that_gave_the_urls_is_gone(job: Job) -> None:
    async def story() -> None:
        async with World() as world:

            class Dying(Area):
                async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
                    await world.kill("one")
                    await super().put(path, url, facts=facts)
                    world.start("two")

            world.area = Dying()
            world.start("one")
            async with world.laptop() as remote:
                assert (await remote.submit(*job)).state.state == "waiting"

    run(story())


def test_urls_that_are_refused_are_asked_for_anew_some_times(job: Job) -> None:
    async def story(refused: int) -> str:
        async with World() as world:
            world.start("one")
            world.area.refused = refused
            async with world.laptop() as remote:
                return (await remote.submit(*job)).state.state

    assert run(story(2)) == "waiting"
    with pytest.raises(TransferRefused):
        run(story(3))


def test_the_program_started_again_takes_up_where_it_was(job: Job) -> None:
    async def story() -> None:
        async with World() as world:
            world.start("one")
            async with world.laptop() as remote:
                await remote.submit(*job)
            async with world.laptop() as remote:
                again = await remote.submit(*job)
            assert (again.known, again.state.state, world.area.uploads) == ("waiting", "waiting", 1)
            assert await world.store.waiting() == 1

    run(story())


def test_nobody_there_is_an_error_with_what_to_do(job: Job) -> None:
    async def story() -> float:
        async with World() as world, world.laptop() as remote:
            began = CLOCK.monotonic()
            with pytest.raises(TransportError, match=r"jm@x has not answered within 120 s.*--id"):
                await remote.submit(*job)
            return CLOCK.monotonic() - began

    assert run(story()) == pytest.approx(PATIENCE, abs=1)


def test_a_job_is_stopped_by_its_owner_and_unknown_to_others(job: Job) -> None:
    async def story() -> None:
        async with World() as world:
            world.start("one")
            async with world.laptop() as ada, world.laptop(BOB) as bob:
                await ada.submit(*job)
                for unknown in (bob.state("j"), bob.stop("j"), ada.state("k"), ada.stop("k")):
                    with pytest.raises(UnknownJob, match=r"no job [jk] of yours"):
                        await unknown
                    await asyncio.sleep(1)  # one error a second is told
                with pytest.raises(JobExists):
                    await bob.submit(*job)
                stopped = await ada.stop("j", "wrong")
                assert (stopped.state, stopped.changed, stopped.reason) == ("cancelled", True, "ada@x: wrong")

    run(story())


def test_a_wish_is_answered_also_when_messages_get_lost_and_a_service_that_knows_of_none_says_so(
    job: Job,
) -> None:
    async def story() -> None:
        async with World(Random(5), loss=0.3) as world:
            world.start("one")
            async with world.laptop() as ada:
                await ada.submit(*job)
                for wish, text in ((Verb.HOLD, "held"), (Verb.RELEASE, "released")):
                    said = await ada.operate(wish, "j")
                    assert said.ok
                    assert text in said.text or "already" in said.text
                assert (await ada.operate(Verb.RETRY, "j")).text == "waits already"
                assert [job.id for job in (await ada.jobs()).jobs] == ["j"]
                assert (await ada.jobs([State.DONE, State.FAILED])).jobs == ()
                with pytest.raises(BadName, match="expected the id"):
                    await ada.operate(Verb.HOLD, "j]")

    run(story())


@pytest.mark.parametrize(
    ("settings", "jid", "error", "text"),
    [
        (SubmissionSettings(max_input=10), ADA, BadName, "at most 10 are taken"),
        (SubmissionSettings(), "eve@x", RemoteRefused, "may not submit"),
    ],
)
def test_a_refusal_is_an_error_with_its_reason(
    job: Job, settings: SubmissionSettings, jid: str, error: type[Exception], text: str
) -> None:
    async def story() -> None:
        async with World() as world:
            world.start("one", settings)
            async with world.laptop(jid) as remote:
                with pytest.raises(error, match=text):
                    await remote.submit(*job)

    run(story())


def test_a_service_that_would_run_it_at_once_or_with_less_gets_no_job_that_is_held_waits_or_needs_more(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the version before says nothing of what it takes."""
    monkeypatch.setattr("copilot.jobmanager.submissions.TAKES", ())

    async def story() -> None:
        async with World() as world:
            world.start("one")
            for options, named in (
                ({"hold": True}, "--hold"),
                ({"after": ("a",), "hold": True}, "--after and --hold"),
                ({"cores": 4, "gpus": 1}, "--cores and --gpus"),
                ({"array": 3}, "--array"),
            ):
                async with world.laptop() as remote:
                    with pytest.raises(
                        RemoteRefused, match=f"knows nothing of {named}; nothing was submitted"
                    ):
                        await remote.submit(replace(job[0], **options), job[1])  # type: ignore[arg-type]
            assert await world.store.get("j") is None
            async with world.laptop() as remote:
                await remote.submit(*job)

    run(story())


def test_what_somebody_else_says_is_not_believed() -> None:
    async def story() -> None:
        async with World() as world, world.laptop() as remote:
            asking = asyncio.ensure_future(remote.state("j"))
            (jid,) = world.network._sessions[ADA]
            liar, endpoint = MemoryTransport(world.network, "eve@x/1"), world.endpoint(Role.JOB_MANAGER)
            assert isinstance(await liar.next_event(), Connected)
            endpoint.online(liar.jid)
            endpoint.send(jid, HaveJobState(job_id="j", state="done"), CLOCK.monotonic())
            for envelope in endpoint.outgoing(CLOCK.monotonic()):
                assert liar.send(envelope)
            await asyncio.sleep(1)
            assert not asking.done()
            world.start("one")
            with pytest.raises(UnknownJob):
                await asking

    run(story())


@pytest.mark.parametrize(
    ("state", "rests"),
    [
        (HaveJobState(job_id="j", state="running"), False),
        (HaveJobState(job_id="j", state="done", published=False, output_size=1), False),
        (HaveJobState(job_id="j", state="done", published=True, output_size=1), True),
        (HaveJobState(job_id="j", state="failed", published=False), True),
    ],
)
def test_a_job_rests_when_it_is_over_and_its_output_where_it_belongs(
    state: HaveJobState, rests: bool
) -> None:
    assert at_rest(state) is rests
