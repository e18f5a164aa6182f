"""JSON lines: one object each whatever the text, with fields that nobody can forge; priorities for the journal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.job import Cause, Outcome, Output
from copilot.log import (
    JSON_FORMAT,
    NOTICE,
    JobRef,
    JsonFormatter,
    MessageRef,
    PeerRef,
    in_words,
    level_of,
    set_up,
)
from copilot.log.journal import JournalFormatter, is_journal
from copilot.log.lines import LineFormatter
from tests.unit.test_log import _logging_as_before, dispatch_file  # noqa: F401 - pytest finds the fixture here

ANYTHING = st.text(st.characters())  # half surrogate pairs included


def line(
    message: str, *args: object, level: int = logging.INFO, formatter: logging.Formatter | None = None
) -> str:
    """What becomes of a log call."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter or JsonFormatter("copilot-agent"))
    logger = logging.Logger("copilot.test")
    logger.addHandler(handler)
    logger.log(level, message, *args)
    return stream.getvalue()


def read(text: str) -> dict[str, Any]:
    assert text.isascii()
    assert text.count("\n") == 1
    found: dict[str, Any] = json.loads(text)
    return found


class TestFields:
    def test_those_that_every_line_has(self) -> None:
        told = read(line("a %s", "b", level=NOTICE))
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", told.pop("time"))
        assert told == {
            "level": "notice",
            "logger": "copilot.test",
            "program": "copilot-agent",
            "pid": os.getpid(),
            "message": "a b",
        }

    def test_time_is_in_utc_with_microseconds(self) -> None:
        record = logging.makeLogRecord({"created": 1301066337.0, "levelno": 20, "msg": "x"})
        assert json.loads(JsonFormatter("p").format(record))["time"] == "2011-03-25T15:18:57.000000Z"

    def test_what_a_line_is_about(self) -> None:
        told = read(line("%s: handed to %s in %s", JobRef("7", 2), PeerRef("a@x/b"), MessageRef("m1")))
        assert told["message"] == "job 7, attempt 2: handed to a@x/b in m1"
        assert (told["job"], told["attempt"], told["jid"], told["message_id"]) == ("7", 2, "a@x/b", "m1")

    def test_a_message_may_be_about_a_job(self) -> None:
        told = read(line("message %s", MessageRef("m1", "7", 2)))
        assert told["message"] == "message m1 about job 7, attempt 2"
        assert (told["job"], told["attempt"], told["message_id"]) == ("7", 2, "m1")

    def test_what_is_not_known_is_left_out(self) -> None:
        told = read(line("%s, message %s", JobRef("7"), MessageRef(None)))
        assert told["message"] == "job 7, message without an id"
        assert told.keys() & {"attempt", "message_id"} == set()

    def test_the_attempt_of_one_job_is_never_told_of_another(self) -> None:
        assert read(line("%s %s", JobRef("1"), JobRef("2", 3))).get("attempt") is None
        assert read(line("%s %s", JobRef("1"), MessageRef("m", "2", 3)))["message_id"] == "m"
        assert read(line("%s %s", JobRef("1"), MessageRef("m", "1", 3)))["attempt"] == 3

    def test_an_exception_is_a_field(self) -> None:
        try:
            raise ValueError("x\nforged")
        except ValueError as error:
            record = logging.makeLogRecord(
                {"levelno": 40, "msg": "failed", "exc_info": (ValueError, error, error.__traceback__)}
            )
        told = read(JsonFormatter("p").format(record) + "\n")
        assert told["message"] == "failed"
        assert told["exception"].startswith("Traceback (most recent call last):\n")
        assert told["exception"].splitlines()[-2:] == ["ValueError: x", "forged"]


class TestHostileText:
    def test_no_text_becomes_a_field(self) -> None:
        text = 'x", "job": "7", "attempt": 2}\n{"level": "error"}\x1b[2K\u2028'
        told = read(line("from %s", text))
        assert told["message"] == f"from {text}"
        assert "job" not in told

    def test_text_that_looks_like_a_job_is_text(self) -> None:
        assert "job" not in read(line("%s", "job 7, attempt 2: handed to a@x/b"))

    @given(text=ANYTHING, job=ANYTHING, peer=ANYTHING)
    def test_whatever_the_text_it_is_one_object(self, text: str, job: str, peer: str) -> None:
        told = read(line("%s %s %s", text, JobRef(job, 1), PeerRef(peer)))
        whole = {"message": f"{text} job {job}, attempt 1 {peer}", "job": job, "jid": peer}
        for name, value in whole.items():
            assert told[name] == value or any(0xD800 <= ord(char) < 0xE000 for char in value)
            told[name].encode()  # no half pairs are left
        assert told["attempt"] == 1

    @given(text=ANYTHING, job=ANYTHING)
    def test_in_the_reports_format_it_is_one_line_too(self, text: str, job: str) -> None:
        assert line("%s %s", text, JobRef(job), formatter=LineFormatter()).count("\n") == 1


class TestChoice:
    def test_by_the_setting(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert set_up(None, layout=JSON_FORMAT, program="copilot-agent") == ()
        logging.getLogger("copilot.x").warning("%s", JobRef("7"))
        set_up(None)
        logging.getLogger("copilot.x").warning("once")
        first, second = capsys.readouterr().err.splitlines()
        assert (json.loads(first)["job"], json.loads(first)["program"]) == ("7", "copilot-agent")
        assert second.endswith("[warning] once")

    def test_by_a_logger_file_for_one_way_out_alone(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "log.json"
        text = (
            "dispatchers = screen file\nscreen.class = Log::Dispatch::Screen\nfile.class = Log::Dispatch::File\n"
            f"file.filename = {out}\nfile.format = json\n"
        )
        assert set_up(dispatch_file(tmp_path, text), program="p") == ()
        logging.getLogger("copilot.x").info("both")
        assert capsys.readouterr().err.endswith("[info] both\n")
        assert json.loads(out.read_text())["message"] == "both"


class TestJournal:
    @pytest.mark.parametrize(
        ("level", "prefix"),
        [(logging.DEBUG, 7), (logging.INFO, 6), (NOTICE, 5), (30, 4), (40, 3), (50, 2), (60, 1), (70, 0)],
    )
    def test_each_line_has_its_priority(self, level: int, prefix: int) -> None:
        assert line("x", level=level, formatter=JournalFormatter(LineFormatter("%m"))) == f"<{prefix}>x\n"

    def test_lines_of_a_traceback_have_it_too(self) -> None:
        record = logging.makeLogRecord(
            {"levelno": 40, "msg": "x", "exc_info": (OSError, OSError("a\nb"), None)}
        )
        lines = JournalFormatter(LineFormatter("%m")).format(record).split("\n")
        assert len(lines) > 1
        assert all(one.startswith("<3>") for one in lines)

    def test_only_where_the_stream_is_the_journal(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with (tmp_path / "stream").open("w") as stream:
            status = os.fstat(stream.fileno())
            monkeypatch.delenv("JOURNAL_STREAM", raising=False)
            assert not is_journal(stream)
            monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
            assert is_journal(stream)
            monkeypatch.setattr("sys.stderr", stream)
            set_up(None, layout=JSON_FORMAT)
            logging.getLogger("copilot.x").error("x")
        assert not is_journal(stream)  # closed
        assert not is_journal(io.StringIO())
        assert (tmp_path / "stream").read_text().startswith('<3>{"time": ')


class TestOutcome:
    def test_in_words(self) -> None:
        good = Outcome(cause=Cause.OK, exit_code=0, output=Output(size=812, sha256=""))
        bad = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="the command exited with 3")
        assert in_words(good, 2.04) == "ok, exit code 0, after 2.0 s, 812 bytes of output"
        assert in_words(bad) == "user-exit, exit code 3: the command exited with 3"

    @pytest.mark.parametrize("cause", Cause)
    def test_what_did_not_end_well_is_a_warning_unless_somebody_wanted_it(self, cause: Cause) -> None:
        well = cause in (Cause.OK, Cause.CANCELLED)
        assert level_of(Outcome(cause=cause, exit_code=0)) == (logging.INFO if well else logging.WARNING)
