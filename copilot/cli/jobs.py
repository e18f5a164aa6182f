"""`copilot jobs`: what people do with single jobs: look at them, cancel, hold, release, retry them."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from copilot.cli.ask import confirm
from copilot.cli.looking import load_queue, look, opened, unknown
from copilot.cli.options import (
    Agents,
    AsJson,
    ConfigOption,
    Owners,
    Projects,
    Reason,
    Remote,
    States,
    Tags,
    Watch,
    WhereOption,
    Yes,
    chosen,
)
from copilot.cli.output import Shown, print_json, progress
from copilot.client.filters import Filter, every
from copilot.client.operating import Answer, Verb, operate
from copilot.client.selection import Part, Selection, one_job, read_selection, resolve
from copilot.client.slices import PartAnswer, operate_part
from copilot.client.stopping import confirmed
from copilot.client.story import Story, facts, lines
from copilot.errors import ConfigError
from copilot.job import JobRecord, State, check_job_id
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store

Ids = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="ID...", help="Ids of jobs, elements of arrays like 'sim[10:20]'; or say which by options."
    ),
]

AT_ONCE = 64  # wishes on their way to the queue
TOLD_ONE_BY_ONE = 20  # of those that were not named; of more their number
_EVER_CLAIMED = (State.RUNNING, State.DONE, State.FAILED)  # states of elements that an agent had
# Of which states a wish can be, where nobody says.
_MEANT = {
    Verb.CANCEL: tuple(state for state in State if not state.final),
    Verb.HOLD: tuple(
        state for state in State if not state.final and state not in (State.RUNNING, State.HELD)
    ),
    Verb.RELEASE: (State.HELD,),
    Verb.RETRY: (State.FAILED, State.CANCELLED),
}


def cancel(  # noqa: PLR0917  # one parameter per option
    ids: Ids = None,
    owner: Owners = None,
    state: States = None,
    project: Projects = None,
    tag: Tags = None,
    agent: Agents = None,
    where: WhereOption = None,
    reason: Reason = "",
    wait: Annotated[
        bool | None,
        typer.Option(
            "--wait/--no-wait", help="Wait until agents have stopped those that run; so it is on a terminal."
        ),
    ] = None,
    yes: Yes = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """End jobs: those that run, when their agent has stopped them."""
    wanted = chosen(owner, state, project, tag, agent, where)
    waits = sys.stdout.isatty() if wait is None else wait
    _command(Verb.CANCEL, ids, wanted, reason, config, yes=yes, as_json=as_json, remote=remote, waits=waits)


def hold(  # noqa: PLR0917  # one parameter per option
    ids: Ids = None,
    owner: Owners = None,
    state: States = None,
    project: Projects = None,
    tag: Tags = None,
    agent: Agents = None,
    where: WhereOption = None,
    reason: Reason = "",
    yes: Yes = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Keep waiting jobs out of the queue."""
    wanted = chosen(owner, state, project, tag, agent, where)
    _command(Verb.HOLD, ids, wanted, reason, config, yes=yes, as_json=as_json, remote=remote)


def release(  # noqa: PLR0917  # one parameter per option
    ids: Ids = None,
    owner: Owners = None,
    state: States = None,
    project: Projects = None,
    tag: Tags = None,
    agent: Agents = None,
    where: WhereOption = None,
    reason: Reason = "",
    yes: Yes = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Let held jobs wait again, each at its old place."""
    wanted = chosen(owner, state, project, tag, agent, where)
    _command(Verb.RELEASE, ids, wanted, reason, config, yes=yes, as_json=as_json, remote=remote)


def retry(  # noqa: PLR0917  # one parameter per option
    ids: Ids = None,
    owner: Owners = None,
    state: States = None,
    project: Projects = None,
    tag: Tags = None,
    agent: Agents = None,
    where: WhereOption = None,
    reason: Reason = "",
    yes: Yes = False,
    config: ConfigOption = None,
    as_json: AsJson = False,
    remote: Remote = False,
) -> None:
    """Run jobs once more that failed or were cancelled, with all their attempts."""
    wanted = chosen(owner, state, project, tag, agent, where)
    _command(Verb.RETRY, ids, wanted, reason, config, yes=yes, as_json=as_json, remote=remote)


def show(
    job: Annotated[str, typer.Argument(metavar="ID", help="Id of the job.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
    remote: Remote = False,
) -> None:
    """Show a job and what became of each of its attempts, or how many elements of an array are in each state; with --remote, how it
    stands and how its last attempt ended."""
    selection = read_selection(job)
    if remote:
        check_job_id(job, submitted=True)
        from copilot.cli import from_afar

        with from_afar.settings(config) as settings:
            state = asyncio.run(from_afar.look(settings, job))
        print(json.dumps(from_afar.facts(state)) if as_json else "\n".join(from_afar.lines(state)))
        return

    async def find(store: Store) -> Shown:
        story = await read_story(store, await one_job(store, selection))
        return Shown(data=facts(story), lines=lambda _: lines(story))

    look(config, find, as_json=as_json, watch=watch)


def _command(
    verb: Verb,
    ids: Sequence[str] | None,
    wanted: Filter,
    reason: str,
    config: Path | None,
    *,
    yes: bool,
    as_json: bool,
    remote: bool,
    waits: bool = False,
) -> None:
    """Nothing is done if one of the ids cannot be one, or if somebody says no."""
    if remote and (wanted or not ids):
        raise ConfigError("--remote: name the jobs by their ids; `copilot jobs list --remote` shows yours")
    named = check_named(ids, wanted)
    if remote:
        done = _from_afar(verb, named, reason, config, yes=yes, as_json=as_json)
    else:
        how = {"yes": yes, "as_json": as_json, "waits": waits}
        done = asyncio.run(_operate(load_queue(config), verb, named, wanted, reason, **how))
    if not done:
        raise typer.Exit(1)


def _from_afar(
    verb: Verb, named: Sequence[Selection], reason: str, config: Path | None, *, yes: bool, as_json: bool
) -> bool:
    """Whether all is as wanted."""
    if parts := [one.text for one in named if isinstance(one.part, slice)]:
        confirm(f"{verb.capitalize()} {', '.join(parts)}?", yes=yes or not sys.stdin.isatty())
    from copilot.cli import from_afar

    with from_afar.settings(config) as settings:
        answers = asyncio.run(from_afar.operate(settings, verb, named, reason))
    if as_json:
        print_json([asdict(answer) for answer in answers])
    for answer in answers if not as_json else ():
        _say(answer)
    return all(answer.ok for answer in answers)


def check_named(ids: Sequence[str] | None, wanted: Filter) -> list[Selection]:
    """Jobs and elements by their ids, each once; none: `wanted` says which jobs. Raises `BadName`, and `ConfigError` if it is both or neither."""
    if ids and wanted:
        raise ConfigError(
            "name jobs by their ids or say which by options, not both; --where 'Id == \"…\"' does both"
        )
    if not ids and not wanted:
        raise ConfigError(
            "which jobs? Name their ids, or say which: --owner me, --tag x, --state held, --where 'Priority < 0'"
        )
    return [read_selection(job) for job in dict.fromkeys(ids or ())]


async def matching(store: Store, wanted: Filter) -> list[JobRecord]:
    """All jobs and arrays that are meant, in the order of their ids; no elements of arrays that are among them."""
    total = sum((await store.counts()).values())
    with progress("looking", total) as looked_at:
        async with aclosing(every(store, wanted, looked_at)) as jobs:
            found = {job.spec.id: job async for job in jobs}
    return [
        job
        for _, job in sorted(found.items())
        if wanted.where is not None or job.spec.index is None or job.spec.submitted_as not in found
    ]


async def _chosen(
    store: Store, verb: Verb, named: Sequence[Selection], wanted: Filter
) -> tuple[list[str], list[Part], Filter]:
    """Jobs one by one, and parts of arrays; and which states of theirs are meant. Raises as `resolve`."""
    if named:
        found = await asyncio.gather(*(resolve(store, selection) for selection in named))
        jobs = [one for one in found if isinstance(one, str)]
        return jobs, [one for one in found if not isinstance(one, str)], wanted
    wanted = wanted if wanted.states else wanted.of_states(_MEANT[verb])
    records = await matching(store, wanted)
    arrays = [job.spec.id for job in records if job.spec.is_array]
    parts = await asyncio.gather(*(resolve(store, read_selection(array)) for array in arrays))
    jobs = [job.spec.id for job in records if not job.spec.is_array]
    if wanted.where is not None and parts:  # it was true of what stands for elements that no agent ever had
        wanted = wanted.of_states([state for state in wanted.states if state not in _EVER_CLAIMED])
    return jobs, [one for one in parts if not isinstance(one, str)], wanted


async def _operate(
    config: SubmitConfig,
    verb: Verb,
    selected: Sequence[Selection],
    wanted: Filter,
    reason: str,
    *,
    yes: bool,
    as_json: bool,
    waits: bool = False,
) -> bool:
    async with opened(config) as store:
        jobs, parts, wanted = await _chosen(store, verb, selected, wanted)
        if not jobs and not parts:
            print("[]" if as_json else f"no job is meant: {wanted.described()}")
            return True
        number = len(jobs) + sum(_meant_of(part, wanted.states) for part in parts)
        if not selected:
            confirm(f"{verb.capitalize()} {_jobs(number)} ({wanted.described()})?", yes=yes)
        elif _asks_for(verb, number, parts):
            confirm(f"{verb.capitalize()} {_jobs(number)}?", yes=yes)
        singles, of_parts = list[Answer](), list[PartAnswer]()
        told = not as_json and (bool(selected) or len(jobs) <= TOLD_ONE_BY_ONE)
        try:
            with progress(verb.value, number) as done:
                for part in parts:
                    of_parts.append(
                        await operate_part(store, verb, part, reason=reason, states=wanted.states, told=done)
                    )
                    if not as_json:
                        _say(of_parts[-1])
                at_once = 1 if selected else AT_ONCE
                await _one_by_one(store, verb, jobs, reason, singles, at_once=at_once, told=told, done=done)
            if waits:
                await _confirm(store, singles, told=told)
        finally:  # what was done before the queue went away is told all the same
            if as_json:
                print_json([*map(asdict, singles), *map(asdict, of_parts)])
            elif not told:
                _sum_up(singles)
    return all(answer.ok for answer in singles) and all(answer.ok for answer in of_parts)


def _meant_of(part: Part, states: Sequence[State]) -> int:
    """How many elements: of those in some states only what is in the array is known, and no more than that."""
    inside = sum(part.array.counts[state] for state in states) if states else part.array.spec.array
    return min(len(part.ids), inside)


async def _confirm(store: Store, answers: list[Answer], *, told: bool) -> None:
    """Wait until agents have stopped what runs; `answers` are then as it has ended."""
    before = list(answers)
    answers[:] = await confirmed(store, before)
    for answer in answers if told else ():
        if answer not in before:
            _say(answer)


def _asks_for(verb: Verb, number: int, parts: Sequence[Part]) -> bool:
    """Whether somebody at a terminal is asked about jobs that were named."""
    return number > 1 and (verb is Verb.CANCEL or bool(parts)) and sys.stdin.isatty()


async def _one_by_one(
    store: Store,
    verb: Verb,
    jobs: Sequence[str],
    reason: str,
    answers: list[Answer],
    *,
    at_once: int,
    told: bool,
    done: Callable[[int], None],
) -> None:
    """So many at once; `answers` gets what is answered, and `done` hears how many more that is."""
    for begin in range(0, len(jobs), at_once):
        some = jobs[begin : begin + at_once]
        new = await asyncio.gather(*(operate(store, verb, job, reason=reason) for job in some))
        answers += new
        done(len(new))
        for answer in new if told else ():
            _say(answer)


def _say(answer: Answer | PartAnswer) -> None:
    print(f"job {answer.job}: {answer.text}", file=sys.stdout if answer.ok else sys.stderr)


def _sum_up(answers: Sequence[Answer]) -> None:
    """Of many: how many were answered alike, and an example of what was refused."""
    for (ok, text), number in Counter((answer.ok, answer.text) for answer in answers).most_common():
        example = next(answer.job for answer in answers if (answer.ok, answer.text) == (ok, text))
        like = "" if ok else f", like {example}"
        print(f"{_jobs(number)}{like}: {text}", file=sys.stdout if ok else sys.stderr)


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number:,} jobs"


async def read_story(store: Store, job: str) -> Story:
    """All that the queue knows of a job. Raises `UnknownJob`, `StoreUnavailable`."""
    record = await store.get(job)
    if record is None:
        raise unknown(job)
    running = await store.cancelling(limit=1000) if record.state is State.RUNNING else ()
    return Story(
        record=record,
        attempts=await store.attempts(job),
        array=await store.array(job) if record.spec.is_array else None,
        cancelling=any(one.job == job and one.attempt == record.attempt for one in running),
    )
