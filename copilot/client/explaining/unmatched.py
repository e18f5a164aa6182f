"""Why no agent that is there will do for a job: what it requires that none has, how large it is, what agents ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from copilot.client.explaining.knowing import Known
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import count
from copilot.host import KIBIBYTE, MEBIBYTE
from copilot.job import one_line, sized
from copilot.matching.host import requirements_of
from copilot.matching.parts import Part, Tried, plain
from copilot.store.explaining import Machine

LONGEST_TEXT = 120  # characters of requirements in a sentence
_UNITS: Mapping[str, int] = {"memory": MEBIBYTE, "disk": KIBIBYTE}


def no_match(known: Known, tried: Tried, there: Sequence[Machine]) -> Reason:
    record, _ = known.found
    unmet = [part for part in tried.parts if part.met == 0]
    own = [part for part in unmet if not part.size]
    sizes = [part for part in unmet if part.size]
    closest = None if tried.closest is None else there[tried.closest].agent
    facts: dict[str, Any] = {
        "agents_online": tried.hosts,
        "agents_matching": 0,
        "requirements": record.spec.requirements,
        "parts": [_part_facts(part) for part in tried.parts],
        "closest": None
        if closest is None
        else {"agent": closest, "lacks": [part.text for part in tried.lacks]},
    }
    online = f"{count(tried.hosts, 'agent')} online"
    code = Code.NO_MATCH
    if any(part.sealed for part in own):
        code = Code.SECRETS
        text = f"has secrets, which go to agents in a sealed session alone: {online}, none speaks in one"
        helps = "have the agents use secure mode v2 (docs/howto-keys.md)"
    elif own:
        text = f"needs {_and([_clipped(part.plain) for part in own])}: {online}, {'; '.join(_best(part) for part in own[:3])}"
        helps = "start an agent that has it, or cancel the job and submit it with other --requirements; `copilot agents list` shows who is there"
    elif sizes:
        code = Code.TOO_BIG
        text = f"needs {_and([_size(part) for part in sizes])} for one job: {online}, {'; '.join(_largest(part) for part in sizes)}"
        helps = "start a larger agent, or cancel the job and submit it with less"
    elif tried.apart is not None:
        one, other = tried.apart
        text = (
            f"needs {_clipped(one.plain)} and {_clipped(other.plain)} of one agent: {online}, {one.met} "
            f"{'has' if one.met == 1 else 'have'} the former, {other.met} the latter, none both"
        )
        helps = "start an agent that has both, or cancel the job and submit it with other --requirements"
    else:
        met = [f"{part.met} of {_clipped(part.plain)}" for part in tried.parts]
        text = f"no agent meets all of its requirements: {online}; so many meet {', '.join(met[:4])}"
        helps = "start an agent that has all, or cancel the job and submit it with other --requirements"
    return Reason(job=known.job, code=code, text=text, next=helps, facts=facts)


def not_wanted(known: Known, meet: Sequence[Machine], online: int) -> Reason:
    one = meet[0]
    wants = plain(requirements_of(one.host))
    return Reason(
        job=known.job,
        code=Code.REFUSED_BY_AGENTS,
        text=f"{count(len(meet), 'agent')} meet{'s' if len(meet) == 1 else ''} its requirements, and want{'s' if len(meet) == 1 else ''} other jobs: "
        f"{one_line(one.agent)} takes those of which this is true: {_clipped(wants)}",
        next="submit it with what they ask for (--project, --tag, fewer cores …), or start an agent that takes all jobs",
        facts={
            "agents_online": online,
            "agents_matching": len(meet),
            "wanted": [
                {"agent": each.agent, "requirements": requirements_of(each.host)} for each in meet[:20]
            ],
        },
    )


def _part_facts(part: Part) -> dict[str, Any]:
    return {
        "part": part.text,
        "met": part.met,
        "best": part.best,
        "said": [{"value": value, "agents": number} for value, number in part.said],
    }


def _best(part: Part) -> str:
    if part.best is not None:
        return f"best has {_number(part.best)}"
    if part.said:
        return f"they have {', '.join(f'{one_line(value)} ({number})' for value, number in part.said)}"
    return "none says anything of it" if part.text.count("other.") == 1 else "none does"


def _size(part: Part) -> str:
    name, _, value = part.plain.removeprefix("Max").partition(" >= ")
    unit = _UNITS.get(name.lower())
    return (
        f"{sized(int(value) * unit)} of {name.lower()}"
        if unit and value.isdigit()
        else f"{value} {name.lower()}"
    )


def _largest(part: Part) -> str:
    name = part.plain.removeprefix("Max").partition(" ")[0].lower()
    if not isinstance(part.best, int | float):
        return f"none says how much {name} it has"
    unit = _UNITS.get(name)
    return f"the largest has {sized(int(part.best) * unit) if unit else _number(part.best)}"


def _and(texts: Sequence[str]) -> str:
    shown = [one for one in texts[:3] if one]
    return " and ".join(shown) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clipped(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"
