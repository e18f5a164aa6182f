"""`copilot-heartbeat`: its options, and what it prints."""

from __future__ import annotations

import json

import pytest

from copilot.cli import heartbeat
from copilot.heartbeat.asking import Answer, Target
from copilot.protocol.commands import HaveStatus, Pong

NICKS = ("alpha", "e48b-42d9", "24af-ecf4")
LOADS = ("0.90 0.65 0.52", "1.51 1.23 1.13", "1.50 0.95 0.40")


def target(nick: str) -> Target:
    return Target(nick=nick, address=f"a@x/{nick}", room="lounge@conference.x")


def told(nick: str, component: str, status: str) -> Answer:
    return Answer(target=target(nick), command=HaveStatus(component=component, status=status), seconds=0.01)


def silent(nick: str) -> Answer:
    return Answer(target=target(nick), command=None, seconds=10.0)


def test_the_table_is_that_of_the_report(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [told(nick, "systemLoad", load) for nick, load in zip(NICKS, LOADS, strict=True)]
    assert not heartbeat._show("systemLoad", answers, as_json=False)
    assert capsys.readouterr().out == (
        "Room nick      1min      5min      15min\n"
        "alpha          0.90      0.65      0.52\n"
        "e48b-42d9      1.51      1.23      1.13\n"
        "24af-ecf4      1.50      0.95      0.40\n"
    )


def test_longer_nicks_widen_their_column_alone(capsys: pytest.CaptureFixture[str]) -> None:
    heartbeat._show("systemLoad", [told("e48b-42d9-25af-ecf4", "systemLoad", LOADS[0])], as_json=False)
    assert capsys.readouterr().out == (
        "Room nick                1min      5min      15min\n"
        "e48b-42d9-25af-ecf4      0.90      0.65      0.52\n"
    )


def test_several_rows_of_one_component_bear_its_nick_each(capsys: pytest.CaptureFixture[str]) -> None:
    heartbeat._show("memoryUsage", [told("alpha", "memoryUsage", "1 2 memory\n0 0 swap")], as_json=False)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [["alpha", "1", "2", "memory"], ["alpha", "0", "0", "swap"]]


def test_who_answers_is_listed_and_who_does_not_is_named_apart(capsys: pytest.CaptureFixture[str]) -> None:
    answered = Answer(target=target("alpha"), command=Pong(), seconds=0.0123)
    assert heartbeat._show("list", [answered, silent("beta")], as_json=False)
    printed = capsys.readouterr()
    assert printed.out == "Room nick\nalpha\n"
    assert printed.err == "copilot-heartbeat: no answer from beta (a@x/beta)\n"
    heartbeat._show("ping", [answered], as_json=False)
    assert capsys.readouterr().out == "Room nick      Answer ms\nalpha          12.3\n"


@pytest.mark.parametrize("answer", [told("alpha", "systemLoad", "high"), told("alpha", "diskUsage", "1 2 3")])
def test_an_answer_that_is_none_counts_as_silence(answer: Answer, capsys: pytest.CaptureFixture[str]) -> None:
    assert heartbeat._show("systemLoad", [answer], as_json=False)
    assert "no answer from alpha" in capsys.readouterr().err


def test_json_has_numbers_by_their_columns(capsys: pytest.CaptureFixture[str]) -> None:
    answers = [told("alpha", "diskUsage", "1 2 3 /dev/sda1 /mnt/my disk"), silent("beta")]
    assert heartbeat._show("diskUsage", answers, as_json=True)
    alpha, beta = json.loads(capsys.readouterr().out)
    assert alpha == {
        "nick": "alpha",
        "jid": "a@x/alpha",
        "room": "lounge@conference.x",
        "answered": True,
        "rows": [
            {
                "Used MB": 1,
                "Available MB": 2,
                "Size MB": 3,
                "Device": "/dev/sda1",
                "Mounted on": "/mnt/my disk",
            }
        ],
    }
    assert not beta["answered"]
    assert "rows" not in beta


def test_help_lists_the_commands_and_no_option_takes_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        heartbeat.main(["--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert all(f"\n  {command} " in text for command in heartbeat.COMMANDS)
    assert "--chat-room" in text
    assert "--jabber-password" not in text


def test_a_flag_overrides_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    code = heartbeat.main(["--config", "/nonexistent", "--chat-room", "a room", "list"])
    assert code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["mood"], ["--timeout", "0"], ["--watch", "soon", "ping"]])
def test_what_it_does_not_know_it_refuses(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        heartbeat.main(arguments)
    assert ended.value.code == 2


@pytest.mark.parametrize("text", ["0", "-1", "soon", "nan", "3601", "1e9"])
@pytest.mark.parametrize("option", ["--timeout", "--watch"])
def test_what_is_no_time_is_refused_and_says_what_is_expected(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        heartbeat.main(["ping", f"{option}={text}"])
    assert f"{option}: '{text}': expected seconds, above 0 and up to 3600" in capsys.readouterr().err
