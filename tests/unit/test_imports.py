"""What a light program must not import: an agent runs on other people's machines, in memory that is theirs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import copilot

ROOT = Path(__file__).parents[2]
LARGEST_AGENT_MIB = 38  # 32 of Python 3.11, asyncio and slixmpp, and some room for other versions
HEAVY = (
    "aiodns",
    "aiohttp",
    "classad2",
    "cloudpickle",
    "cryptography",
    "fsspec",
    "lxml",
    "prometheus_client",
    "pygments",
    "redis",
    "rich",
    "typer",
)


def loaded_by(module: str) -> set[str]:
    """Names of the top-level modules that are there after `module` was imported."""
    text = f"import sys, {module}; print(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["copilot.cli.agent", "copilot.cli.daemon"])
def test_an_agent_starts_without_what_only_managers_and_commands_need(module: str) -> None:
    loaded = loaded_by(module)
    assert "slixmpp" in loaded  # or we looked at the wrong thing
    assert loaded.isdisjoint(HEAVY)


def test_the_package_itself_loads_nothing_of_what_it_offers_to_programs() -> None:
    assert loaded_by("copilot").isdisjoint({*HEAVY, "asyncio", "slixmpp"})
    text = "import copilot, sys; copilot.Client, copilot.Executor, copilot.Result; print('cloudpickle' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"  # the first call loads it
    with pytest.raises(AttributeError, match="no attribute 'Cleint'"):
        _ = copilot.Cleint  # type: ignore[attr-defined]


def test_what_checks_types_reads_the_names_that_programs_find() -> None:
    stub = (ROOT / "copilot" / "__init__.pyi").read_text()
    named = dict(
        reversed(one) for one in re.findall(r"^from ([\w.]+) import (\w+) as \2$", stub, re.MULTILINE)
    )
    assert named == copilot._LAZY  # type: ignore[attr-defined]
    assert all(getattr(copilot, name).__name__ == name for name in named)


def test_a_daemon_loads_the_settings_of_others_only_for_a_key_that_is_not_its_own(tmp_path: Path) -> None:
    own, others = tmp_path / "own.conf", tmp_path / "others.conf"
    own.write_text("AGENT_SLOTS 0\n")  # refused, after it was read
    others.write_text("AGENT_SLOTS 0\nJM_LEASE 60\n")
    text = (
        "import sys; from copilot.cli import agent; print(agent.main(['--config', sys.argv[1]]));"
        "print('copilot.jobmanager.config' in sys.modules)"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", text, path], check=True, capture_output=True, text=True
        ).stdout.split()
        for path in (own, others)
    ]
    assert [loaded for _, loaded in said] == ["False", "True"]


@pytest.mark.parametrize("command", ["joblist", "explain", "agents", "overviews", "submitting"])
def test_a_command_that_is_typed_asks_redis_without_redis_py(command: str) -> None:
    loaded = loaded_by(f"copilot.cli.{command}")
    assert "hiredis" in loaded  # or we looked at the wrong thing
    assert loaded.isdisjoint({"redis", "email", "zipfile", "slixmpp", "aiohttp", "cryptography"})


def test_what_a_short_command_does_needs_neither_rich_nor_classads() -> None:
    """A table is shown, and hosts in our agents' words are asked for what most jobs require."""
    text = """
import sys
from copilot.cli import explain, joblist
from copilot.cli.output import print_lines
from copilot.cli.tables import Table
from copilot.matching.parts import Hosts
from copilot.store.loader import load

needs = 'other.Memory >= 1500 && member("gpu", other.Tags)'
hosts = ['[\\n  Memory = 2000;\\n  Tags = { "GPU" }\\n]', '[\\n  Memory = 2000\\n]']
assert Hosts(hosts, [needs]).attempt(needs).meet == {0}
print_lines(Table(columns=joblist.COLUMNS, rows=[["x"] * len(joblist.COLUMNS)]).lines)
load("machines")
heavy = {"rich", "classad2", "importlib.resources", "tempfile"}
print(*(heavy & sys.modules.keys()))
"""
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    head, row, loaded = done.stdout.split("\n")[:3]
    assert (head.split()[0], row.split()[0], loaded) == ("ID", "x", "")


DRAWN = {"rich", "pickle", "random"}  # Rich and what it brings
OF_OTHERS = {
    "copilot.cli.agents",
    "copilot.cli.storage",
    "copilot.client.agents",
    "copilot.files.staging",
    "copilot.protocol",
}


@pytest.mark.parametrize(
    ("command", "unwanted"),
    [
        (
            "joblist",
            {
                *DRAWN,
                *OF_OTHERS,
                "copilot.files.area",
                "copilot.client.explain",
                "copilot.cli.live",
            },
        ),
        ("explain", {*DRAWN, *OF_OTHERS, "copilot.client.explaining.agents", "copilot.cli.live"}),
        ("explain_agents", {*DRAWN, "copilot.files.area", "copilot.client.explain"}),
        ("overviews", {*DRAWN, "copilot.files.area", "copilot.client.explain"}),
    ],
)
def test_a_command_that_is_typed_loads_nothing_of_what_others_do(command: str, unwanted: set[str]) -> None:
    text = f"import sys, copilot.cli.{command}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "copilot.store.single" in loaded  # or we looked at the wrong thing
    assert sorted(loaded & unwanted) == []


def test_the_version_is_told_without_a_loop() -> None:
    text = (
        "import sys; from copilot.cli.start import main; sys.argv = ['copilot', '--version']\n"
        "try: main()\nexcept SystemExit as end: print(end.code, *sorted({'asyncio', 'rich'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [f"copilot {copilot.__version__}", "0"]


def test_files_by_http_come_without_another_resolver_of_names() -> None:
    loaded = loaded_by("copilot.files.http")
    assert "aiohttp" in loaded
    assert "aiodns" not in loaded


def test_an_agent_stays_small(record_property: Callable[[str, object], None]) -> None:
    text = (
        "import sys, copilot.cli.agent; assert 'copilot.store' not in sys.modules; "  # the queue is managers'
        "print(open('/proc/self/status').read())"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True, env=bare)
    (resident,) = re.findall(r"VmRSS:\s+(\d+) kB", done.stdout)
    record_property("agent_resident_mib", round(int(resident) / 1024))  # in the report of --junit-xml
    assert int(resident) / 1024 < LARGEST_AGENT_MIB


def test_imports_only_go_down() -> None:
    checker = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [checker, "--no-cache"],
        cwd=ROOT,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
