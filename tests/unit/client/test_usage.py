"""What was used in a period: which days, and how they are summed up."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from copilot.cli.usage import lines
from copilot.client.usage import EPOCH, Period, hours, read_usage, today
from copilot.errors import BadName
from copilot.job import Cause, JobSpec, Outcome
from copilot.store.memory import MemoryStore
from copilot.store.usage import DAY, By, Sums

TODAY = date(2026, 3, 10)


@pytest.mark.parametrize(
    ("since", "until", "first", "last"),
    [
        (None, None, date(2026, 2, 9), TODAY),
        ("1d", None, TODAY, TODAY),
        ("2w", None, date(2026, 2, 25), TODAY),
        ("2026-03-01", "2026-03-05", date(2026, 3, 1), date(2026, 3, 5)),
        ("2020-01-01", None, TODAY - timedelta(days=400), TODAY),
        ("3d", "2030-01-01", date(2026, 3, 8), TODAY),
    ],
)
def test_a_period_is_read(since: str | None, until: str | None, first: date, last: date) -> None:
    assert Period.read(since, until, TODAY) == Period(first=first, last=last)


@pytest.mark.parametrize(
    ("since", "until", "text"),
    [
        ("yesterday", None, "--since 'yesterday': expected a day like 2026-01-31, or how long ago"),
        (None, "7d", "--until '7d': expected a day like 2026-01-31"),
        ("2026-03-05", "2026-03-01", "is after the last day"),
    ],
)
def test_what_is_no_period_is_refused(since: str | None, until: str | None, text: str) -> None:
    with pytest.raises(BadName, match=text):
        Period.read(since, until, TODAY)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0.000"), (36, "0.010"), (3600, "1.00"), (1e6, "278"), (1e8, "27778")]
)
def test_hours_have_as_many_digits_as_say_something(seconds: float, text: str) -> None:
    assert hours(seconds) == text


async def used(store: MemoryStore, job: str, owner: str, day: date, wall: float, cores: int = 1) -> None:
    now = (day - EPOCH).days * DAY + 40_000.0
    await store.submit([JobSpec(id=job, command="x", owner=owner, cores=cores)], now=now)
    await store.claim(agent="a@x", request=job, dispatch_limit=9, now=now)
    outcome = Outcome(cause=Cause.OK, exit_code=0, wall_time=wall)
    await store.finish(job, 1, outcome, now=now + wall)


async def test_days_are_summed_up_and_who_took_most_comes_first() -> None:
    store = MemoryStore()
    await used(store, "a", "ada", TODAY, 3600.0)
    await used(store, "b", "ada", TODAY - timedelta(days=70), 3600.0)
    await used(store, "c", "bob", TODAY, 2 * 3600.0)
    await used(store, "d", "", TODAY - timedelta(days=99), 5.0)
    found = await read_usage(store, By.OWNER, Period(first=TODAY - timedelta(days=80), last=TODAY))
    assert list(found.rows) == ["ada", "bob"]
    assert found.rows["ada"].wall == found.rows["bob"].cores == 7200.0
    assert found.total == found.rows["ada"] + found.rows["bob"]
    facts = found.facts()
    assert facts["total"] == {**facts["total"], "attempts": 3, "ok": 3, "failed": 0, "core_hours": 4.0}  # type: ignore[dict-item]
    shown = [str(line) for line in lines(found, 200)]
    assert shown[0].split()[:3] == ["OWNER", "ATTEMPTS", "OK"]
    assert [line.split()[0] for line in shown[1:4]] == ["ada", "bob", "total"]
    narrow = [str(line) for line in lines(found, 60)]
    assert max(map(len, narrow)) <= 60


async def test_nothing_is_told_as_such() -> None:
    found = await read_usage(MemoryStore(), By.AGENT, Period(first=today(), last=today()))
    assert found.total == Sums()
    assert "no attempt has ended" in str(next(iter(lines(found, None))))
    assert not found.incomplete
