"""Files that tell of installed programs: what they may say, and probes, which are real processes."""

from __future__ import annotations

import logging
import os
import pwd
import time
from collections.abc import Mapping
from pathlib import Path

import psutil
import pytest

from copilot.agent.isolation.base import Account
from copilot.agent.programs import MOST_OUTPUT, installed, read_programs
from copilot.errors import ConfigError

SAMPLES = Path(__file__).parents[3] / "etc" / "copilot" / "executables.d"


def found(directory: Path, text: str, account: Account | None = None) -> Mapping[str, tuple[str, ...]]:
    (directory / "one.toml").write_text(text)
    return installed([directory], account)


def living(process: psutil.Process) -> bool:
    return psutil.pid_exists(process.pid) and process.status() != psutil.STATUS_ZOMBIE


def probe(script: str, *, pattern: str = "version (.*)", limit: float = 10) -> str:
    command = f'["/bin/sh", "-c", """{script}"""]'
    return f"[[program]]\nname = 'p'\n[program.probe]\ncommand = {command}\npattern = '{pattern}'\nlimit = {limit}\n"


def test_the_samples_are_read_and_what_is_installed_is_found() -> None:
    programs = installed([SAMPLES])
    assert programs.keys() == {"bash"}
    assert programs["bash"][0].startswith("5.")
    assert [one.name for one in read_programs((SAMPLES / "gromacs.toml").read_bytes())] == ["gromacs"]


def test_versions_of_several_files_and_directories_come_together(tmp_path: Path) -> None:
    for name, text in (
        ("a.toml", 'name = "x"\nversion = "4.9"'),
        ("below/b.toml", 'name = "x"\nversions = ["4.10", "4.9"]'),
        ("c.toml", f'name = "y"\nversion = "1"\nfile = "{tmp_path}"'),
        ("d.toml", 'name = "z"\nversion = "1"\nfile = "/not/there"'),
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"[[program]]\n{text}\n")
    assert installed([tmp_path, tmp_path / "missing"]) == {"x": ("4.9", "4.10"), "y": ("1",)}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[program", "expected TOML in UTF-8"),
        ("x = 1", r"expected tables \[\[program\]\] and nothing else, found x"),
        ("[program]\nname = 'a'", r"expected tables \[\[program\]\] and nothing else, found program"),
        ("[[program]]\nversion = '1'", "name 'None': expected 1 to 64"),
        ("[[program]]\nname = 'a b'\nversion = '1'", "name 'a b': expected 1 to 64"),
        ("[[program]]\nname = 'a'", "a: expected one of version, versions and probe, found none"),
        ("[[program]]\nname = 'a'\nversion = '1'\nprobe = {}", "found version and probe"),
        ("[[program]]\nname = 'a'\nversion = 4.1", "a: version: expected texts like"),
        ("[[program]]\nname = 'a'\nversions = ['1', '2/3']", "a: versions: expected texts like"),
        ("[[program]]\nname = 'a'\nversoin = '1'", "a: 'versoin' is not known; expected file, name"),
        (
            "[[program]]\nname = 'a'\nversion = '1'\nfile = 'bin/a'",
            "a: file 'bin/a': expected an absolute path",
        ),
        (
            "[[program]]\nname = 'a'\nprobe = {command = 'a -v'}",
            "a: probe: command: expected a list of words",
        ),
        (
            "[[program]]\nname = 'a'\nprobe = {command = ['a'], pattern = '('}",
            "a: probe: pattern: expected a regular",
        ),
        (
            "[[program]]\nname = 'a'\nprobe = {command = ['a'], pattern = 'v'}",
            "a: probe: pattern: expected a group",
        ),
        (
            "[[program]]\nname = 'a'\nprobe = {command = ['a'], pattern = '(v)', limit = 61}",
            "a: probe: limit: expected seconds",
        ),
        ("#" + "x" * 70_000, "expected at most 65536 bytes"),
    ],
)
def test_a_file_that_cannot_be_read_says_why_and_costs_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        read_programs(text.encode())
    (tmp_path / "two.toml").write_text("[[program]]\nname = 'good'\nversion = '1'")
    assert found(tmp_path, text) == {"good": ("1",)}
    assert "one.toml: nothing in it is announced" in caplog.text


@pytest.mark.parametrize(
    ("script", "versions"),
    [
        ("echo version 4.10", {"p": ("4.10",)}),
        ("echo version 4.10 >&2; exit 3", {"p": ("4.10",)}),
        ("echo none", {}),
        ("echo version 4.10/5", {}),
    ],
)
def test_a_probe_tells_the_version(tmp_path: Path, script: str, versions: dict[str, tuple[str, ...]]) -> None:
    assert found(tmp_path, probe(script)) == versions


def test_a_probe_that_hangs_is_ended_with_all_that_it_has_started(tmp_path: Path) -> None:
    begun = time.monotonic()
    assert found(tmp_path, probe(f"echo $$ >{tmp_path}/pid; sleep 600 & sleep 600", limit=1.0)) == {}
    assert time.monotonic() - begun < 100  # it would go on for 600 s
    group = int((tmp_path / "pid").read_text())
    assert not [one for one in psutil.process_iter() if living(one) and os.getpgid(one.pid) == group]


def test_a_probe_that_never_ends_its_speech_is_cut_off(tmp_path: Path) -> None:
    assert found(tmp_path, probe("yes; echo version 1")) == {}
    assert found(tmp_path, probe(f"echo version 1; head -c {2 * MOST_OUTPUT} /dev/zero")) == {"p": ("1",)}


def test_a_probe_that_is_not_there_is_no_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = '[[program]]\nname = "a"\nprobe = {command = ["not-there-at-all"], pattern = "(.)"}'
    with caplog.at_level(logging.INFO):
        assert found(tmp_path, text) == {}
    assert [record.levelno for record in caplog.records] == [logging.INFO]


def test_a_probe_sees_no_setting_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGENT_JABBER_PASSWORD", "secret")
    assert found(tmp_path, probe("env | grep -c AGENT; echo version 1", pattern="^0\\nversion (1)")) == {
        "p": ("1",)
    }


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can")
def test_a_probe_runs_as_the_user_of_payloads(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = Account(uid=nobody.pw_uid, gid=nobody.pw_gid)
    groups = f"{nobody.pw_uid}-{nobody.pw_gid}-{nobody.pw_gid}"
    assert found(tmp_path, probe("echo version $(id -u)-$(id -g)-$(id -G)"), account) == {"p": (groups,)}
