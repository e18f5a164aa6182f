"""`copilot-job-submit`: every option, every exit code, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, packed, run, script, started, until
from tests.patience import PATIENCE_S

COMMANDS = (
    "copilot",
    "copilot-agent",
    "copilot-fileserver",
    "copilot-job-submit",
    "copilot-jobmanager-generic",
    "copilot-storagemanager",
)

UNWRITABLE = (
    1 if os.geteuid() == 0 else 2
)  # root may write everywhere, and learns only later that /proc takes nothing


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """One system for all; with several agents one of them is always about to ask."""
    up = Up(ground / "system")
    with up.running("--agents", 3):
        yield up


@pytest.fixture(scope="module")
def sum_(ground: Path) -> Path:
    return script(ground / "sum.sh", "echo $((2+2))")


# -- what reaches the job


def test_arguments_reach_the_command_as_a_shell_splits_them(system: Up, place: Path) -> None:
    show = script(place / "show.sh", 'for word; do echo "<$word>"; done')
    words = """one "two words" 'it is "quoted"' '' \\$HOME a\\ b"""
    record = system.job(show, "--arguments", words)
    assert packed(record)["stdout"].splitlines() == [
        "<one>",
        "<two words>",
        '<it is "quoted">',
        "<>",
        "<$HOME>",
        "<a b>",
    ]


def test_environment_reaches_the_command_literally(system: Up, place: Path) -> None:
    show = script(place / "show.sh", 'printf \'<%s>\\n\' "$PLAIN" "$ODD"')
    odd = '$(id) "it\'s" = `id` \\n'
    record = system.job(show, "--environment", "PLAIN=two words", "-e", f"ODD={odd}")
    assert packed(record)["stdout"] == f"<two words>\n<{odd}>\n"


def test_inputs_lie_beside_the_command_and_only_changed_ones_come_back(system: Up, place: Path) -> None:
    same, other = place / "same.dat", place / "with blank.dat"
    same.write_text("same")
    other.write_text("other")
    read = script(
        place / "read.sh", "cat same.dat data/other.dat; echo more >> data/other.dat; echo new > new.txt"
    )
    record = system.job(read, "--input", same, "-i", f"{other}=data/other.dat")
    assert packed(record) == {
        "stdout": "sameother",
        "stderr": "",
        "data/other.dat": "othermore\n",
        "new.txt": "new\n",
    }


@pytest.mark.parametrize(
    ("check", "state", "cause", "code"),
    [("grep -q 4 $COPILOT_STDOUT", "done", "ok", 0), ("echo wrong; exit 7", "failed", "user-validation", 1)],
)
def test_the_validation_script_decides_about_the_job(
    system: Up, sum_: Path, place: Path, check: str, state: str, cause: str, code: int
) -> None:
    ended = system.submit(sum_, "--validation", script(place / "check.sh", check), "--wait", "--json")
    record = json.loads(ended.stdout)
    assert (record["state"], record["cause"], ended.returncode) == (state, cause, code)
    assert packed(record)["validation.out"] == ("wrong\n" if code else "")


def test_a_job_is_stopped_when_its_longest_run_is_over(system: Up, place: Path) -> None:
    record = system.job(script(place / "long.sh", "echo begun; sleep 300"), "--max-run-time", 1)
    assert (record["state"], record["cause"]) == ("failed", "policy-run-time")
    assert record["exit_code"] == 128 + signal.SIGTERM
    assert packed(record)["stdout"] == "begun\n"


def test_a_job_runs_where_its_requirements_are_met(system: Up, sum_: Path) -> None:
    record = system.job(sum_, "--requirements", "Cores >= 1 && other.Memory > 1")
    assert packed(record)["stdout"] == "4\n"


def test_a_job_that_no_host_may_have_waits_and_keeps_no_other_from_running(system: Up, sum_: Path) -> None:
    nowhere = system.submit(sum_, "--requirements", "other.Cores > 100000", "--priority", 9).stdout.strip()
    assert packed(system.job(sum_))["stdout"] == "4\n"
    again = system.submit(sum_, "--requirements", "other.Cores>100000", "--priority", 9, "--id", nowhere)
    assert again.stderr == f"copilot-job-submit: job {nowhere} was submitted before, and is waiting\n"


def test_many_jobs_alike_have_numbers(system: Up, place: Path) -> None:
    show = script(place / "show.sh", 'echo "$COPILOT_NUMBER of $MANY"; exit $((COPILOT_NUMBER % 2 * 7))')
    ended = system.submit(show, "--id", "many", "--count", 3, "-e", "MANY=three", "--wait", "--json")
    records = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["id"] for one in records] == ["many-1", "many-2", "many-3"]
    assert [packed(one)["stdout"] for one in records] == [f"{number} of three\n" for number in (1, 2, 3)]
    assert ended.returncode == 7


# -- how it ends


@pytest.mark.parametrize(
    ("text", "code", "cause"),
    [
        ("#!/bin/sh\nexit 0\n", 0, "ok"),
        ("#!/bin/sh\nexit 3\n", 3, "user-exit"),
        ("#!/bin/sh\nkill -SEGV $$\n", 139, "user-signal"),
        ("#!/bin/sh\nexec /no/such/program\n", 127, "user-exit"),
        ("#!/no/such/interpreter\n", 127, "user-no-command"),
    ],
)
def test_with_wait_the_exit_code_is_that_of_the_job(
    system: Up, place: Path, text: str, code: int, cause: str
) -> None:
    command = place / "job.sh"
    command.write_text(text)
    ended = system.submit(command, "--wait", "--json")
    record = json.loads(ended.stdout)
    assert (ended.returncode, record["exit_code"], record["cause"]) == (code, code, cause)


def test_with_wait_the_steps_are_told_and_the_output_is_named(system: Up, sum_: Path) -> None:
    ended = system.submit(sum_, "--wait", "--id", "told")
    assert ended.stdout == f"{system.directory}/done/told/told.tgz\n"
    submitted, handed, *rest = ended.stderr.splitlines()
    assert submitted == "job told: submitted"
    assert re.fullmatch(r"job told: handed to agent agent-\d@copilot\.internal \(attempt 1\)", handed)
    assert rest == ["job told: running", "job told: done", "job told: output stored"]


def test_without_wait_only_the_id_is_printed(system: Up, sum_: Path) -> None:
    named = system.submit(sum_, "--id", "named-1.x")
    assert (named.returncode, named.stdout, named.stderr) == (0, "named-1.x\n", "")
    made = system.submit(sum_)
    assert made.stdout == f"{uuid.UUID(made.stdout.strip())}\n"
    assert json.loads(system.submit(sum_, "--id", "as-json", "--json").stdout) == {
        "id": "as-json",
        "state": "waiting",
    }


def test_the_same_command_again_is_told_what_became_of_the_job_and_changes_nothing(
    system: Up, sum_: Path
) -> None:
    first = system.submit(sum_, "--id", "twice", "--wait")
    again = system.submit(sum_, "--id", "twice")
    assert (again.returncode, again.stdout) == (0, "twice\n")
    assert again.stderr == "copilot-job-submit: job twice was submitted before, and is done\n"
    told = system.submit(sum_, "--id", "twice", "--json")
    assert json.loads(told.stdout) == {"id": "twice", "state": "done"}
    waited = system.submit(sum_, "--id", "twice", "--wait")
    assert (waited.returncode, waited.stdout) == (0, first.stdout)


def test_ctrl_c_ends_the_waiting_and_says_that_the_job_goes_on_and_it_does(system: Up, place: Path) -> None:
    flag, output = place / "flag", place / "out"
    waiting = script(place / "waiting.sh", f"until [ -e {flag} ]; do sleep 0.1; done")
    options = ("--config", system.etc, "--command", waiting, "--wait", "--id", "left-alone")
    with started("copilot-job-submit", *options, output=output) as submit:
        until(lambda: "running" in output.read_text(), "the job")
        submit.send_signal(signal.SIGINT)
        assert submit.wait(PATIENCE_S) == 130
    assert output.read_text().endswith("copilot-job-submit: interrupted; job left-alone goes on\n")
    flag.touch()
    until((system.directory / "done" / "left-alone" / "left-alone.tgz").exists, "the end of the job")


# -- what is wrong


@pytest.mark.parametrize(
    ("options", "variables", "code", "message"),
    [
        (("--command", "missing.sh"), {}, 2, "missing.sh: expected a file that exists"),
        (("--command", "."), {}, 2, "expected"),
        (("--input", "missing.dat"), {}, 2, "missing.dat: expected a file that exists"),
        (("--input", "sum.sh=../up.sh"), {}, 2, "file name '../up.sh'"),
        (("--input", "sum.sh=/etc/up.sh"), {}, 2, "file name '/etc/up.sh'"),
        (("--input", "other.sh=sum.sh"), {}, 2, "two different files would be 'sum.sh'"),
        (("--validation", "missing.sh"), {}, 2, "missing.sh: expected a file that exists"),
        (("--id", "../up"), {}, 2, "job id '../up'"),
        (("--id", "alias.a2"), {}, 2, "job id 'alias.a2'"),
        (
            ("--id", "taken", "--priority", "1"),
            {},
            1,
            "there is a job taken already, with a different description",
        ),
        (("--environment", "NOVALUE"), {}, 2, "--environment 'NOVALUE': expected NAME=VALUE"),
        (("--environment", "BAD-NAME=1"), {}, 2, "environment variable 'BAD-NAME'"),
        (
            ("--requirements", "other.Memory = 2000"),
            {},
            2,
            "character 14, at '= 2000': expected a sign like && or >=",
        ),
        (("--arguments", "x" * 20_000), {}, 2, "at most 16384 are allowed"),
        (("--chirp-dir", "no-such-directory"), {}, 2, "no-such-directory: expected the directory"),
        (("--chirp-dir", "/proc"), {}, UNWRITABLE, "/proc"),
        (("--config", "no-such-directory"), {}, 2, "no-such-directory"),
        ((), {"JM_REDIS_PORT": "1"}, 75, "Redis does not answer"),
        ((), {"JM_REDIS_PASSWORD": "wrong"}, 2, "Redis refuses us"),
        ((), {"JM_REDIS_PORT": "many"}, 2, "JM_REDIS_PORT"),
    ],
)
def test_an_error_is_one_clear_line_and_leaves_nothing_behind(
    system: Up,
    sum_: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    variables: dict[str, str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(sum_.parent)
    script(Path("other.sh"), "exit 1")
    if "taken" in options:
        assert system.submit(sum_, "--id", "taken").returncode == 0
    area = system.directory / "files"
    before = inputs(area)
    ended = system.submit(sum_, *options, **variables)
    assert (ended.returncode, ended.stdout) == (code, ""), ended.stderr
    assert message in ended.stderr
    assert ended.stderr.startswith("copilot-job-submit: ")
    assert ended.stderr.count("\n") == 1
    assert inputs(area) == before


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    explained, version = run(name, "--help"), run(name, "--version")
    assert (explained.returncode, explained.stderr) == (0, "")
    assert "usage" in explained.stdout.lower()
    assert (version.returncode, version.stdout.split()[0], version.stderr) == (0, name, "")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_refuses_an_unknown_option_without_a_traceback(name: str) -> None:
    refused = run(name, "--no-such-option")
    assert refused.returncode == 2
    assert "no-such-option" in refused.stderr
    assert "Traceback" not in refused.stderr


def inputs(area: Path) -> set[str]:
    """The jobs that have input files; outputs of jobs that still run beside the test are none of its business."""
    return {item.name for item in area.iterdir() if item.name.endswith(".a0")}
