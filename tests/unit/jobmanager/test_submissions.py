"""Jobs from afar: what the job manager makes of them, over the store in memory."""

from __future__ import annotations

import asyncio
import hashlib
from base64 import b64encode
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from copilot.client.desk import Desk
from copilot.client.remote import described
from copilot.client.submission import Submission
from copilot.errors import NoSpace, QueueFull
from copilot.job import Cause, InputFile, JobSpec, Limits, Outcome, Output, State
from copilot.jobmanager import watching
from copilot.jobmanager.one_at_a_time import MOST_WAITING, OneAtATime
from copilot.jobmanager.submissions import MOST_OPEN, Submissions, SubmissionSettings, staged_for
from copilot.protocol import codec
from copilot.protocol.commands import (
    Command,
    HaveJobState,
    HaveUpload,
    Operate,
    SentInput,
    StopJob,
    SubmitJob,
    WantJobs,
    WantJobState,
    WantUpload,
)
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.events import Received
from copilot.protocol.rules import SMALL_INPUTS, TAKES
from copilot.roles import MAY_SAY, Account, Standing
from copilot.runtime.component import Action, Event, Offline, Refuse, Send, Tick
from copilot.store.memory import MemoryStore
from copilot.transport import stanza

ADA, BOB, EVE, OPA, AGENT = "ada@x", "bob@x", "eve@x", "opa@x", "agent@x"
COMMANDS: tuple[Command, ...] = (
    WantUpload(job_id="j"),
    SubmitJob(job_id="j", command="run.sh"),
    WantJobState(job_id="j"),
    StopJob(job_id="j"),
)
WITHOUT_A_JOB = (Operate(wish="cancel", target="j"), WantJobs())


class Files:
    """Remembers what was written where."""

    def __init__(self) -> None:
        self.there: dict[str, bytes] = {}
        self.full = False

    def upload_url(self, job: str, name: str, size: int, sha256: str, expires_in: float) -> str:
        return f"put:{job}/{name}#{size}#{sha256}"

    def result_url(self, job: str, expires_in: float) -> str | None:
        return f"get:{job}"

    async def missing(self, spec: JobSpec) -> frozenset[str]:
        return frozenset(one.name for one in spec.inputs if self._place(spec, one.name) not in self.there)

    async def keep(self, spec: JobSpec, contents: Mapping[str, bytes]) -> None:
        if self.full:
            raise NoSpace("full")
        for name, data in contents.items():
            self.there[self._place(spec, name)] = data

    async def drop(self, job: str, staged: str) -> None:
        for place in [place for place in self.there if place.startswith(f"{job}/{staged}/")]:
            del self.there[place]

    def upload(self, url: str, data: bytes) -> None:
        place, size, sha256 = url.removeprefix("put:").split("#")
        assert (len(data), hashlib.sha256(data).hexdigest()) == (int(size), sha256)
        self.there[place] = data

    def _place(self, spec: JobSpec, name: str) -> str:
        return f"{spec.id}/{spec.staged_name(name)}"


def sent(name: str, data: bytes, *, inside: bool = False) -> SentInput:
    text = b64encode(data).decode() if inside else None
    return SentInput(name=name, size=len(data), sha256=hashlib.sha256(data).hexdigest(), data=text)


SMALL = SubmitJob(job_id="j", command="run.sh", inputs=(sent("run.sh", b"exit 0", inside=True),))
LARGE = SubmitJob(job_id="j", command="run.sh", inputs=(sent("run.sh", b"x" * 10_000),))


class World:
    """The part, its store and files, and the time. `again`: another instance takes over."""

    def __init__(self, settings: SubmissionSettings | None = None) -> None:
        self.now = 100.0
        self.store = MemoryStore(clock=self)
        self.files: Files | None = Files()
        self._settings = settings or SubmissionSettings()
        self.another()

    def another(self) -> None:
        self.part = Submissions(self.store, self.files, self._settings, wall=self.wall, desk=Desk(self.store))

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    async def account(self, jid: str, standing: Standing = Standing.SUBMITTER, *projects: str) -> None:
        await self.store.put_account(
            Account(jid=jid, standing=standing, projects=frozenset(projects)), password="a long password"
        )

    async def tell(self, event: Event) -> list[Action]:
        result = self.part.handle(event, self.now)
        return list(await result if isinstance(result, Awaitable) else result)

    async def hear(self, command: Command, sender: str = ADA) -> Any:
        """The one answer: a command, or a refusal."""
        received = Received(
            command=command,
            sender=f"{sender}/laptop",
            id="m",
            features=frozenset(),
            element=True,
            wants_ack=True,
        )
        (action,) = await self.tell(received)
        if isinstance(action, Send):
            assert action.to == f"{sender}/laptop"
            return action.command
        assert isinstance(action, Refuse)
        return action

    async def code(self, command: Command, sender: str = ADA) -> str:
        """Why it is refused."""
        answer = await self.hear(command, sender)
        assert isinstance(answer, Refuse), answer
        return answer.code

    async def record(self, job: str = "j") -> Any:
        record = await self.store.get(job)
        assert record is not None
        return record

    async def look(self) -> list[Any]:
        """What those who wait are told a second later."""
        self.now += watching.LOOK_EVERY
        return [action.command for action in await self.tell(Tick()) if isinstance(action, Send)]


@pytest.fixture
async def world() -> World:
    world = World()
    for jid in (ADA, BOB):
        await world.account(jid)
    await world.account(EVE, Standing.SUBMITTER, "atlas", "alice")
    await world.account(OPA, Standing.OPERATOR)
    await world.account(AGENT, Standing.AGENT)
    return world


async def uploaded(world: World, job: SubmitJob, data: bytes, sender: str = ADA) -> None:
    """Its one file is where it belongs."""
    have = await world.hear(WantUpload(job_id=job.job_id, inputs=job.inputs), sender)
    assert isinstance(have, HaveUpload)
    (upload,) = have.uploads
    assert world.files
    assert upload.url
    world.files.upload(upload.url, data)


# -- submitting


async def test_a_job_that_is_answered_is_on_the_queue_and_belongs_to_the_account(world: World) -> None:
    answer = await world.hear(SMALL)
    assert (answer.job_id, answer.state, answer.attempt) == ("j", "waiting", 0)
    spec = (await world.record()).spec
    assert (spec.owner, spec.command, spec.project) == (ADA, "run.sh", "")
    assert world.files
    assert world.files.there == {f"j/{spec.staged}/run.sh": b"exit 0"}


async def test_the_very_same_again_is_one_job_whoever_serves_it(world: World) -> None:
    await world.hear(SMALL)
    world.another()
    again = await world.hear(SMALL)
    assert (again.state, await world.store.waiting()) == ("waiting", 1)


async def test_a_large_file_goes_to_its_url_and_an_instance_that_knows_nothing_of_it_takes_the_job(
    world: World,
) -> None:
    assert await world.code(LARGE) == "input-missing"
    await uploaded(world, LARGE, b"x" * 10_000)
    world.another()
    have = await world.hear(WantUpload(job_id="j", inputs=LARGE.inputs))
    assert [upload.url for upload in have.uploads] == [None]
    assert (await world.hear(LARGE)).state == "waiting"


async def test_two_who_choose_one_id_have_places_of_their_own_and_the_second_is_refused(world: World) -> None:
    theirs = replace(LARGE, inputs=(sent("run.sh", b"y" * 10_000),))
    await uploaded(world, LARGE, b"x" * 10_000)
    await uploaded(world, theirs, b"y" * 10_000, BOB)
    assert (await world.hear(theirs, BOB)).state == "waiting"
    assert await world.code(LARGE) == "job-exists"
    spec = (await world.record()).spec
    assert world.files
    assert world.files.there[f"j/{spec.staged}/run.sh"] == b"y" * 10_000
    same = replace(theirs, job_id="j")
    assert await world.code(same) == "job-exists"  # the same files do not make it hers


async def test_who_is_overtaken_at_the_last_moment_leaves_nothing_behind(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = world.store.submit

    async def overtaken(specs: list[JobSpec], **rest: Any) -> None:
        monkeypatch.undo()
        await world.hear(SMALL, BOB)
        await submit(specs, **rest)

    monkeypatch.setattr(world.store, "submit", overtaken)
    assert await world.code(SMALL) == "job-exists"
    spec = (await world.record()).spec
    assert world.files
    assert (spec.owner, list(world.files.there)) == (BOB, [f"j/{spec.staged}/run.sh"])


async def test_an_id_of_ones_own_is_told_before_anything_is_uploaded(world: World) -> None:
    await world.hear(SMALL)
    assert await world.hear(WantUpload(job_id="j", inputs=SMALL.inputs)) == HaveUpload(
        job_id="j", state="waiting", takes=TAKES
    )
    assert (await world.hear(WantUpload(job_id="j", inputs=SMALL.inputs), BOB)).state is None  # no oracle


async def test_a_job_waits_for_others_of_its_owner_and_can_be_held(world: World) -> None:
    await world.hear(SMALL)
    second = replace(SMALL, job_id="second", after=("j",))
    assert (await world.hear(second)).state == "blocked"
    third = replace(SMALL, job_id="third", after_any=("j",), hold=True)
    assert (await world.hear(third)).state == "held"
    for other in ("j", "nobodys"):  # no oracle: what another one has is not known
        assert await world.code(replace(SMALL, job_id="fourth", after=(other,)), BOB) == "unknown-job"
    assert await world.store.get("fourth") is None


async def test_an_array_is_one_job_with_its_elements_counted_and_stopped_together(world: World) -> None:
    array = replace(SMALL, array=100, watch=60.0)
    answer = await world.hear(array)
    assert (answer.state, answer.elements) == ("waiting", ("waiting=100",))
    assert (await world.hear(array)).elements == ("waiting=100",)
    assert (await world.record("j.99")).spec.owner == ADA
    assert (await world.hear(WantJobState(job_id="j.7"))).elements is None
    assert await world.code(WantJobState(job_id="j.7"), BOB) == "unknown-job"
    assert await world.code(StopJob(job_id="j"), BOB) == "unknown-job"
    stopped = await world.hear(StopJob(job_id="j"))
    assert (stopped.state, stopped.changed, stopped.elements) == ("cancelled", True, ("cancelled=100",))
    assert [one.elements for one in await world.look()] == [("cancelled=100",)]


async def test_jobs_arrays_and_elements_are_held_released_and_tried_again_by_who_looks_after_them(
    world: World,
) -> None:
    await world.hear(replace(SMALL, array=100, hold=True))

    async def want(wish: str, target: str, sender: str = ADA) -> tuple[bool, int, str]:
        said = await world.hear(Operate(wish=wish, target=target, reason="why not"), sender)
        assert (said.wish, said.target) == (wish, target)
        return said.ok, said.changed, said.text

    assert await want("release", "j[:10:2]") == (True, 5, "5 of 5 elements released")
    assert await want("release", "j.1") == (True, 1, "released; it waits at its old place")
    assert await want("release", "j[1]") == (True, 0, "waits already")
    assert await want("cancel", "j[-2:]", OPA) == (True, 2, "2 of 2 elements cancelled, or about to be")
    assert await want("retry", "j[-1]") == (True, 1, "waits again, with all its attempts")
    assert await want("hold", "j") == (
        True,
        7,
        "7 of 100 elements held; release lets them go on; 93 elements are as they were",
    )
    (*_, last) = await world.store.audit()
    assert (last.who, last.via, last.verb, last.place) == (ADA, "xmpp", "hold", f"{ADA}/laptop")
    unknown = "is not known, or is not yours"
    assert await want("release", "j", BOB) == await want("release", "j[:5]", BOB) == (False, 0, unknown)
    assert await want("release", "k") == (False, 0, unknown)
    assert await want("hold", "j.98") == (
        False,
        0,
        "is over (cancelled): only a waiting job can be held",
    )


async def test_agents_are_looked_after_by_operators_alone(world: World) -> None:
    for sender, ok in ((OPA, True), (ADA, False)):
        for wish in ("quarantine", "release-agent", "drain"):
            said = await world.hear(Operate(wish=wish, target=AGENT), sender)
            assert (said.target, said.ok) == (AGENT, ok), said
    assert said.text == "only operators look after agents"
    (*_, last) = await world.store.audit()
    assert (last.who, last.verb, last.target, last.result) == (ADA, "drain", AGENT, "refused")


@pytest.mark.parametrize(
    ("wish", "target"),
    [("drain", "j"), ("", "j"), ("hold", ""), ("hold", "../j"), ("hold", "j[x]"), ("hold", "j[1:2:0]")],
)
async def test_a_wish_that_cannot_be_one_is_refused(world: World, wish: str, target: str) -> None:
    assert await world.code(Operate(wish=wish, target=target)) == "bad-job"


async def test_elements_count_as_jobs_of_their_owner(world: World) -> None:
    await world.hear(replace(SMALL, array=600))
    refused = await world.hear(replace(SMALL, job_id="second", array=600))
    assert (refused.code, refused.retry_after) == ("too-many-jobs", 60.0)
    refused = await world.hear(replace(SMALL, job_id="third", array=1001))
    assert (refused.code, "submit smaller arrays" in refused.text) == ("bad-job", True)
    assert (await world.hear(replace(SMALL, job_id="fourth", array=400))).state == "waiting"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"job_id": "j.a2"}, "bad-job"),
        ({"command": "other.sh"}, "bad-job"),
        ({"validation": "other.sh"}, "bad-job"),
        ({"priority": 1001}, "bad-job"),
        ({"max_attempts": 0}, "bad-job"),
        ({"max_retries": 100}, "bad-job"),
        ({"max_run_time": float("nan")}, "bad-job"),
        ({"max_run_time": 0.5}, "bad-job"),
        ({"requirements": "other.Memory ="}, "bad-job"),
        ({"arguments": "x" * 20_000}, "bad-job"),
        ({"project": "atlas"}, "not-allowed"),
        ({"inputs": (replace(sent("run.sh", b"1", inside=True), data="!"),)}, "bad-job"),
        ({"inputs": (replace(sent("run.sh", b"1", inside=True), size=2),)}, "bad-job"),
        ({"inputs": (sent("run.sh", b"1" * (SMALL_INPUTS + 1), inside=True),)}, "bad-job"),
        ({"inputs": tuple(sent(f"{n}", b"", inside=True) for n in range(33))}, "bad-job"),
        ({"inputs": (sent("run.sh", b""), sent(".__acl/x", b""))}, "bad-job"),
        ({"inputs": (sent("run.sh", b""), sent("run.sh", b"1"))}, "bad-job"),
        ({"inputs": (replace(sent("run.sh", b""), size=2**40),)}, "input-too-large"),
    ],
)
async def test_what_is_not_allowed_is_refused_and_leaves_nothing(
    world: World, change: dict[str, Any], code: str
) -> None:
    job = replace(SMALL, **change)
    assert await world.code(job) == code
    assert await world.store.get(job.job_id) is None


async def test_without_a_file_server_it_says_what_is_needed(world: World) -> None:
    world.files = None
    world.another()
    answer = await world.hear(SMALL)
    assert (answer.code, "JM_FILES_URL" in answer.text) == ("no-file-server", True)


async def test_a_full_disk_or_queue_is_told_with_the_time_to_try_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert world.files
    world.files.full = True
    full = await world.hear(SMALL)
    world.files.full = False

    async def no_room(specs: list[JobSpec], **rest: Any) -> None:
        raise QueueFull("full")

    with monkeypatch.context() as patch:
        patch.setattr(world.store, "submit", no_room)
        queue = await world.hear(SMALL)
    assert [(one.code, one.retry_after) for one in (full, queue)] == [
        ("files-away", 60.0),
        ("queue-full", 60.0),
    ]
    assert (await world.hear(SMALL)).state == "waiting"


async def test_an_account_has_so_many_jobs_on_the_queue_and_others_theirs() -> None:
    world = World(SubmissionSettings(max_jobs=1))
    for jid in (ADA, BOB):
        await world.account(jid)
    await world.hear(SMALL)
    refused = await world.hear(replace(SMALL, job_id="j2"))
    assert (refused.code, refused.retry_after) == ("too-many-jobs", 60.0)
    assert (await world.hear(SMALL)).state == "waiting"  # it is no new one
    assert (await world.hear(replace(SMALL, job_id="j3"), BOB)).state == "waiting"
    await world.store.cancel("j")
    assert (await world.hear(replace(SMALL, job_id="j2"))).state == "waiting"


async def test_there_is_an_end_to_uploads_that_nobody_submits(world: World) -> None:
    wants = [WantUpload(job_id=f"j{number}", inputs=LARGE.inputs) for number in range(MOST_OPEN + 1)]
    for want in wants[:-1]:
        assert isinstance(await world.hear(want), HaveUpload)
    assert isinstance(await world.hear(wants[0]), HaveUpload)  # the same again is none more
    refused = await world.hear(wants[-1])
    assert (refused.code, refused.retry_after) == ("too-many-uploads", 60)
    assert isinstance(await world.hear(wants[-1], BOB), HaveUpload)
    world.now += 3600
    assert isinstance(await world.hear(wants[-1]), HaveUpload)


async def test_a_project_is_one_of_the_accounts(world: World) -> None:
    assert await world.code(replace(SMALL, project="cms"), EVE) == "not-allowed"
    assert await world.code(WantUpload(job_id="j", project="cms"), EVE) == "not-allowed"
    await world.hear(replace(SMALL, project="atlas"), EVE)
    assert (await world.record()).spec.project == "atlas"
    await world.hear(replace(SMALL, job_id="none"), EVE)
    assert (await world.record("none")).spec.project == ""
    await world.account("uno@x", Standing.SUBMITTER, "lhcb")
    await world.hear(replace(SMALL, job_id="one"), "uno@x")
    assert (await world.record("one")).spec.project == "lhcb"


def test_no_other_submission_has_the_same_place() -> None:
    one = InputFile(name="a", size=1, sha256="0" * 64)
    two = replace(one, name="b")
    places = [
        staged_for(ADA, "j", [one, two]),
        staged_for(BOB, "j", [one, two]),
        staged_for(ADA, "k", [one, two]),
        staged_for(ADA, "j", [one]),
        staged_for(ADA, "j", [one, replace(two, size=2)]),
        staged_for(ADA, "j", [one, replace(two, sha256="1" * 64)]),
    ]
    assert len(set(places)) == len(places)
    assert staged_for(ADA, "j", [two, one]) == places[0]


# -- who may


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.NAME)
@pytest.mark.parametrize("standing", Standing)
async def test_each_standing_may_say_what_the_table_says(standing: Standing, command: Command) -> None:
    world = World()
    await world.account(ADA, standing)
    answer = await world.hear(command)
    refused = isinstance(answer, Refuse) and answer.code == "not-allowed"
    assert refused is (standing not in MAY_SAY[command.NAME])


@pytest.mark.parametrize("command", [*COMMANDS, *WITHOUT_A_JOB], ids=lambda command: command.NAME)
async def test_nobody_and_who_was_revoked_or_has_expired_may_nothing(world: World, command: Command) -> None:
    assert await world.code(command, "stranger@x") == "not-allowed"
    await world.store.revoke(ADA)
    assert await world.code(command) == "not-allowed"
    await world.store.expire(BOB, 50.0)
    assert await world.code(command, BOB) == "not-allowed"


@pytest.mark.parametrize("command", COMMANDS[2:], ids=lambda command: command.NAME)
async def test_the_jobs_of_others_are_as_unknown_as_those_that_there_are_not(
    world: World, command: Command
) -> None:
    nothing = await world.hear(command, BOB)
    await world.hear(SMALL)
    theirs = await world.hear(command, BOB)
    assert (theirs.code, theirs.text) == (nothing.code, nothing.text) == ("unknown-job", nothing.text)
    assert (await world.record()).state is State.WAITING
    assert (await world.hear(command, OPA)).job_id == "j"


async def test_who_shares_a_project_looks_after_its_jobs(world: World) -> None:
    await world.account(BOB, Standing.SUBMITTER, "atlas")
    await world.hear(replace(SMALL, project="atlas"), EVE)
    await world.hear(replace(SMALL, job_id="other", project="alice"), EVE)
    stopped = await world.hear(StopJob(job_id="j", reason="wrong"), BOB)
    assert (stopped.state, stopped.changed, stopped.reason) == ("cancelled", True, "bob@x: wrong")
    assert await world.code(StopJob(job_id="other"), BOB) == "unknown-job"
    (*_, tried) = await world.store.audit()
    assert (tried.who, tried.via, tried.verb, tried.target, tried.result) == (
        bare(BOB),
        "xmpp",
        "cancel",
        "other",
        "refused",
    )


# -- following


async def run_to_the_end(world: World) -> None:
    (claimed,) = await world.store.claim(agent=AGENT, request="r", dispatch_limit=60)
    outcome = Outcome(
        cause=Cause.USER_EXIT, exit_code=3, reason="no", host="h", output=Output(size=7, sha256="0" * 64)
    )
    assert await world.look() == [HaveJobState(job_id="j", state="running", attempt=1, agent=AGENT)]
    await world.store.finish("j", claimed.attempt, outcome)


async def test_who_waits_is_told_of_each_change_once_and_of_the_end_with_what_to_fetch(world: World) -> None:
    await world.hear(replace(SMALL, watch=60))
    assert await world.look() == []
    await run_to_the_end(world)
    (ended,) = await world.look()
    assert (ended.state, ended.exit_code, ended.published, ended.output_url) == ("failed", 3, False, None)
    await world.store.publish("j")
    (stored,) = await world.look()
    assert (stored.published, stored.output_url, stored.output_size) == (True, "get:j", 7)
    assert world.part.wakeup() is None


async def test_who_does_not_want_to_be_told_or_not_any_more_is_not(world: World) -> None:
    await world.hear(SMALL)
    assert world.part.wakeup() is None
    await world.hear(WantJobState(job_id="j", watch=5))
    world.now += 10
    assert (await world.look(), world.part.wakeup()) == ([], None)
    await world.hear(WantJobState(job_id="j", watch=1e9))
    await world.tell(Offline(reason=""))
    assert world.part.wakeup() is None


async def test_who_was_revoked_hears_no_more(world: World) -> None:
    await world.hear(replace(SMALL, watch=60))
    await world.store.revoke(ADA)
    await world.store.cancel("j")
    assert await world.look() == []
    assert world.part.wakeup() is None


async def test_there_is_an_end_to_those_who_are_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "MOST_WATCHED", 2)
    monkeypatch.setattr(watching, "LOOKED_AT_ONCE", 1)
    for number in range(3):
        await world.hear(replace(SMALL, job_id=f"j{number}", watch=60))
        await world.store.cancel(f"j{number}")
    told = [one.job_id for _ in range(3) for one in await world.look()]
    assert told == ["j1", "j2"]


async def test_what_it_may_use_and_needs_is_on_the_queue_as_its_submitter_said(
    world: World, tmp_path: Path
) -> None:
    script = tmp_path / "run.sh"
    script.write_bytes(b"exit 0")
    limits = Limits(memory=2**20, cpu_time=1.5, processes=3, open_files=16, file_size=5, disk=6)
    submission = Submission(
        id="j",
        command=script,
        limits=limits,
        network=True,
        image="docker://debian:12",
        cores=2,
        max_cores=4,
        gpus=1,
        tags=("night", "x"),
        rank="Memory*2",
    )
    job, _ = await described(submission, watch=False)
    job = replace(job, inputs=(sent("run.sh", b"exit 0", inside=True),))
    await world.hear(job)
    record = await world.record()
    spec = record.spec
    assert (spec.cores, spec.max_cores, spec.gpus, spec.tags) == (2, 4, 1, ("night", "x"))
    assert spec.rank == "other.Memory * 2"
    assert (record.spec.limits, record.spec.network, record.spec.image) == (
        limits,
        True,
        "docker://debian:12",
    )
    assert record.spec.requirements == job.requirements
    assert "other.Images" in job.requirements
    wrong: list[dict[str, Any]] = [
        {"memory": 0},
        {"image": "docker://-v"},
        {"rank": "Memory *"},
        {"rank": "x" * 20000},
    ]
    for fields in wrong:
        assert await world.code(replace(job, job_id="k", **fields)) == "bad-job"


async def test_who_asks_why_is_told_and_who_may_not_see_the_job_is_not(world: World) -> None:
    await world.hear(replace(SMALL, hold=True))
    said = await world.hear(WantJobState(job_id="j", explain=True))
    assert (said.why, said.why_text[:4], "release" in said.why_next) == ("held", "held", True)
    assert (await world.hear(WantJobState(job_id="j"))).why is None
    assert await world.code(WantJobState(job_id="j", explain=True), BOB) == "unknown-job"


async def test_ones_own_jobs_are_listed_arrays_as_one_and_an_operator_sees_all(world: World) -> None:
    await world.hear(replace(SMALL, job_id="low", priority=-5))
    await world.hear(replace(SMALL, job_id="many", array=100, cores=4))
    await world.hear(replace(SMALL, job_id="kept", hold=True))
    await world.hear(replace(SMALL, job_id="theirs"), BOB)
    await world.hear(StopJob(job_id="many.7", reason="not that one"))

    async def listed(sender: str = ADA, **words: Any) -> list[str]:
        said = await world.hear(WantJobs(**words), sender)
        return [f"{one.id} {one.state}" for one in said.jobs]

    assert await listed() == ["many waiting", "low waiting", "kept held"]
    assert await listed(BOB) == ["theirs waiting"]
    assert set(await listed(OPA)) == {"many waiting", "low waiting", "kept held", "theirs waiting"}
    assert await listed(states=("held", "cancelled")) == ["kept held", "many waiting"]
    assert await listed(limit=1) == ["many waiting"]
    said = await world.hear(WantJobs(limit=1))
    (many,) = said.jobs
    assert said.cut
    assert (many.owner, many.cores, set(many.elements)) == (ADA, 4, {"waiting=99", "cancelled=1"})
    assert await world.code(WantJobs(states=("lost",))) == "bad-job"


async def test_the_longest_list_fits_a_message(world: World) -> None:
    for number in range(60):
        job = replace(SMALL, job_id=f"{number:02}-{'x' * 60}")
        await world.hear(job)
        await world.hear(StopJob(job_id=job.job_id, reason="\u00e9" * 3000))
    said = await world.hear(WantJobs(states=("cancelled",), limit=1000))
    assert (len(said.jobs), said.cut) == (50, True)
    assert len(stanza.encode(Envelope(sender="", to=ADA, id="m", element=codec.encode(said)))) < 64 * 1024


async def test_one_question_is_answered_at_a_time_and_not_too_many_wait() -> None:
    going, most, done = 0, 0, asyncio.Event()

    async def ask(number: int) -> int:
        nonlocal going, most
        going += 1
        most = max(most, going)
        await done.wait()
        going -= 1
        return number

    slow = OneAtATime()
    tasks = [asyncio.create_task(slow.answer(partial(ask, number))) for number in range(MOST_WAITING + 3)]
    await asyncio.sleep(0)
    done.set()
    assert await asyncio.gather(*tasks) == [*range(MOST_WAITING + 1), None, None]
    assert most == 1
