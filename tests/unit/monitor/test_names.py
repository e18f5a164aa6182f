"""Who may report under which name."""

from __future__ import annotations

import pytest

from copilot.monitor.names import Names
from copilot.monitor.paths import metric_path, safe_name
from copilot.protocol.people import People

ALPHA = "copilot.jobmanager.generic.alpha.job.succeeded"


def names(managers: tuple[str, ...] | None = None, allow: tuple[str, ...] = ("x.org",)) -> Names:
    return Names(allow=People.of(*allow), managers=managers, own="Mon@x.org")


def test_accounts_and_domains_are_let_in_and_nobody_else() -> None:
    one = names(allow=("x.org", "a@y.org"))
    assert one.may_report("agent@x.org/r")
    assert one.may_report("agent@X.ORG/r")
    assert not one.may_report("x.org")
    assert one.may_report("A@Y.org/r")
    assert not one.may_report("b@y.org/r")
    assert not one.may_report("agent@sub.x.org/r")
    assert not one.may_report("agent@x.org.evil.org/x@x.org")


def test_listed_managers_alone_have_managers_names() -> None:
    one = names(("jm@x.org",))
    assert one.may_write(ALPHA, "jm@x.org/alpha")
    assert one.may_write(ALPHA, "mon@x.org/m")
    assert not one.may_write(ALPHA, "agent-1@x.org/jm@x.org")
    assert one.may_write("copilot.agent.job.start", "agent-1@x.org/a")


def test_otherwise_a_managers_name_belongs_to_whom_uses_it_first() -> None:
    one = names()
    assert one.may_write(ALPHA, "jm@x.org/one")
    assert one.may_write(ALPHA, "jm@x.org/two")
    assert not one.may_write(ALPHA, "agent-1@x.org/a")
    assert one.may_write(ALPHA.replace("alpha", "beta"), "jm2@x.org/a")


@pytest.mark.parametrize(
    ("component", "event"),
    [
        ("jobmanager", "generic.alpha.job.succeeded"),
        ("jobmanager.generic", "alpha.job.failed"),
        (".jobmanager..generic.alpha", "x"),
    ],
)
def test_a_name_cut_elsewhere_is_the_same_name(component: str, event: str) -> None:
    one = names()
    assert one.may_write(ALPHA, "jm@x.org/one")
    assert not one.may_write(metric_path(safe_name(component), safe_name(event)), "agent-1@x.org/a")


@pytest.mark.parametrize(
    "path", ["copilot.monitor.updates", "copilot.Monitor.updates", "copilot.monitor.x.y"]
)
def test_the_monitors_name_is_its_own(path: str) -> None:
    assert not names().may_write(path, "jm@x.org/one")
    assert names().may_write(path, "mon@x.org/m")
