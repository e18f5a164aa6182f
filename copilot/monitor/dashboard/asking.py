"""What a URL below `/api/` asks of the board."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import parse_qsl

from copilot.errors import BadName
from copilot.job import State, check_job_id
from copilot.monitor.board import MOST_ROWS, Board
from copilot.monitor.dashboard.plain import job_facts

LONGEST_PLACE = 2048  # characters of `after`: a board's own words for where a page begins
LONGEST_SEARCH = 128  # characters
SHORTEST_SPAN, LONGEST_SPAN = 60, 86400  # s of history
USUAL_SPAN = 3600  # s
USUAL_ROWS = 50
FEW = 8  # parameters in one URL; more are nobody's honest question
JOB = "/api/job/"

Question = Callable[[Board, Mapping[str, str]], Awaitable[object]]


class Refusal(Exception):
    """A question that gets no answer: the HTTP status, and what to tell."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


async def ask(board: Board, path: str, query: str) -> object:
    """The data for one URL, percent signs resolved in `path` alone. Raises `Refusal`, or `StoreUnavailable` while the store is away."""
    try:
        if path.startswith(JOB):
            _parameters(query, ())
            return await _job(board, path.removeprefix(JOB))
        if path in _QUESTIONS:
            question, known = _QUESTIONS[path]
            return await question(board, _parameters(query, known))
    except (BadName, ValueError) as error:
        raise Refusal(400, str(error)) from error
    raise Refusal(404, f"there is nothing at {path[:80]}; ask {', '.join(_QUESTIONS)} or {JOB}<id>")


async def _history(board: Board, said: Mapping[str, str]) -> object:
    return board.history(_number(said, "span", USUAL_SPAN, SHORTEST_SPAN, LONGEST_SPAN))


async def _agents(board: Board, said: Mapping[str, str]) -> object:
    return await board.agents(
        after=_text(said, "after", LONGEST_PLACE),
        search=_text(said, "search", LONGEST_SEARCH),
        limit=_number(said, "limit", USUAL_ROWS, 1, MOST_ROWS),
    )


async def _jobs(board: Board, said: Mapping[str, str]) -> object:
    try:
        state = State(said.get("state", ""))
    except ValueError:
        raise Refusal(400, f"state: expected one of {', '.join(State)}") from None
    return await board.jobs(
        state,
        after=_text(said, "after", LONGEST_PLACE),
        limit=_number(said, "limit", USUAL_ROWS, 1, MOST_ROWS),
    )


async def _job(board: Board, job: str) -> object:
    view = await board.job(check_job_id(job))
    if view is None:
        raise Refusal(404, f"there is no job {job}, or it was cleaned away")
    return job_facts(view)


_QUESTIONS: Mapping[str, tuple[Question, tuple[str, ...]]] = {
    "/api/history": (_history, ("span",)),
    "/api/agents": (_agents, ("after", "search", "limit")),
    "/api/jobs": (_jobs, ("state", "after", "limit")),
}


def _parameters(query: str, known: tuple[str, ...]) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=FEW)
    except ValueError:
        raise Refusal(400, f"the query is not of the form name=value&…, at most {FEW} of them") from None
    expected = f"expected {', '.join(known)}, each once" if known else "expected no parameters"
    said = dict(pairs)
    if len(said) < len(pairs) or not said.keys() <= set(known):
        raise Refusal(400, f"unknown or repeated parameter; {expected}")
    return said


def _text(said: Mapping[str, str], name: str, longest: int) -> str:
    text = said.get(name, "")
    if len(text) > longest or not text.isprintable():
        raise Refusal(400, f"{name}: expected at most {longest} characters, without control characters")
    return text


def _number(said: Mapping[str, str], name: str, usual: int, low: int, high: int) -> int:
    text = said.get(name, str(usual))
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and low <= int(text) <= high):
        raise Refusal(400, f"{name}: expected a whole number from {low} to {high}")
    return int(text)
