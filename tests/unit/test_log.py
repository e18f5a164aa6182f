"""The log: the report's lines, the logger files of 2011, and nothing that a peer could forge."""

import io
import logging
import logging.handlers
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import ConfigError
from copilot.log import ALERT, EMERGENCY, NOTICE, LineFormatter, RateLimiter, printable, rate_limited, set_up

LINE = re.compile(
    r"\[(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}\] \[info\] (.*)\n\Z"
)
OF_2011 = """\
dispatchers = file

[file]
class = Log::Dispatch::File
min_level = debug
filename = {file}
mode = append
format = [%d] [%p] %m

[screen]
class = Log::Dispatch::Screen
min_level = debug
stderr = 1
format = [%d] [%p] %m

"""
log = logging.getLogger("copilot.test")


class HandClock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("copilot")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
            handler.close()
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


def dispatch_file(directory: Path, text: str) -> Path:
    file = directory / "logger"
    file.write_text(text)
    return file


def captured(limiter: RateLimiter, *calls: tuple[str, float], clock: HandClock) -> list[str]:
    """What is logged if each key is used at its time."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter("%m"))
    logger = logging.Logger("own")
    logger.addHandler(handler)
    for key, moment in calls:
        clock.now = moment
        rate_limited(logger, key, logging.INFO, "from %s", key, limiter=limiter)
    return stream.getvalue().splitlines()


class TestLines:
    def test_they_look_as_in_the_report(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None)
        log.info("The component does not need to be waken up.")
        out, err = capsys.readouterr()
        assert out == ""
        match = LINE.match(err)
        assert match
        assert match[2] == "The component does not need to be waken up."

    def test_their_date_is_that_of_the_report_in_local_time(self) -> None:
        program = (
            "import logging; from copilot.log import LineFormatter\n"
            "record = logging.makeLogRecord({'created': 1301066337.5, 'levelno': 20, 'msg': 'text'})\n"
            "print(LineFormatter().format(record))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={"TZ": "CET-1", "LC_ALL": "de_DE.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        assert done.stdout == "[Fri Mar 25 16:18:57 2011] [info] text\n"

    @pytest.mark.parametrize(
        ("layout", "line"),
        [
            ("%p%%: 5 % of %z, %m%n", "info%: 5 % of %z, 100 %s"),
            ("${priority} ${package} ${message}", "info copilot.x 100 %s"),
            ("no conversion", "no conversion"),
            ("", ""),
        ],
    )
    def test_what_is_no_conversion_stands_as_it_is(self, layout: str, line: str) -> None:
        record = logging.makeLogRecord({"levelno": 20, "name": "copilot.x", "msg": "100 %s"})
        assert LineFormatter(layout).format(record) == line

    def test_levels_have_the_names_of_log_dispatch(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None, level=logging.DEBUG)
        levels = (
            logging.DEBUG,
            logging.INFO,
            NOTICE,
            logging.WARNING,
            logging.ERROR,
            logging.CRITICAL,
            ALERT,
            EMERGENCY,
        )
        for level in levels:
            log.log(level, "x")
        names = re.findall(r"\] \[(\w+)\] x", capsys.readouterr().err)
        assert names == ["debug", "info", "notice", "warning", "error", "critical", "alert", "emergency"]

    def test_nobody_can_forge_a_line(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None)
        log.info("from %s", "x\n[Fri Mar 25 16:18:57 2011] [info] forged\x1b[2K\r\u2028\u202e")
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith(r"from x\n[Fri Mar 25 16:18:57 2011] [info] forged\x1b[2K\r\u2028\u202e")

    def test_a_traceback_cannot_forge_one_either(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None)
        try:
            raise ValueError("x\n[Fri Mar 25 16:18:57 2011] [info] forged")
        except ValueError:
            log.exception("failed")
        lines = capsys.readouterr().err.splitlines()
        assert [line.startswith("[") for line in lines] == [True] + [False] * (len(lines) - 1)
        assert len(lines) > 3

    @given(text=st.text())
    def test_whatever_the_text_it_is_one_visible_line(self, text: str) -> None:
        assert printable(text).isprintable()

    def test_visible_text_is_left_alone(self) -> None:
        assert printable("Größe 5 µs → ok") == "Größe 5 µs → ok"


class TestSetUp:
    def test_debug_is_silent_unless_asked_for(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None)
        log.debug("quiet")
        set_up(None, level=logging.DEBUG)
        log.debug("loud")
        assert capsys.readouterr().err.endswith("[debug] loud\n")

    def test_libraries_are_heard_only_from_warning_up(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None, level=logging.DEBUG)
        logging.getLogger("slixmpp").info("chatter")
        logging.getLogger("slixmpp").warning("trouble")
        assert "chatter" not in (err := capsys.readouterr().err)
        assert "[warning] trouble" in err

    def test_doing_it_twice_does_not_double_the_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        set_up(None)
        set_up(None)
        log.info("once")
        assert capsys.readouterr().err.count("once") == 1


class TestFilesOf2011:
    def test_the_agents_file_of_2011_is_read(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "agent.log"
        out.write_text("before\n")
        assert set_up(dispatch_file(tmp_path, OF_2011.format(file=out))) == ()
        log.debug("Got ACK")
        assert re.fullmatch(r"before\n\[.{24}\] \[debug\] Got ACK\n", out.read_text())
        assert capsys.readouterr().err == ""

    def test_the_dotted_form_and_both_ways_out(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "jm.log"
        text = (
            "# where it goes\ndispatchers = file screen\nformat = ${priority}: ${message}%n\n"
            f"file.class = Log::Dispatch::File\nfile.min_level = debug\nfile.filename = {out}\nfile.mode append\n"
            "file.format = [%p] %m at %P%n\n"
            "screen.class = Log::Dispatch::Screen\nscreen.min_level = warn\nscreen.max_level = error\nscreen.stderr = 0\n"
        )
        assert set_up(dispatch_file(tmp_path, text)) == ()
        log.info("one")
        log.warning("two %%")
        log.critical("three")
        assert out.read_text().splitlines() == [
            "[info] one at copilot.test",
            "[warning] two %% at copilot.test",
            "[critical] three at copilot.test",
        ]
        assert capsys.readouterr().out == "warning: two %%\n"

    def test_a_file_in_mode_write_begins_anew(self, tmp_path: Path) -> None:
        out = tmp_path / "agent.log"
        out.write_text("before\n")
        set_up(dispatch_file(tmp_path, OF_2011.format(file=out).replace("append", "write")))
        assert out.read_text() == ""

    def test_a_file_moved_away_by_logrotate_is_opened_anew(self, tmp_path: Path) -> None:
        out = tmp_path / "agent.log"
        set_up(dispatch_file(tmp_path, OF_2011.format(file=out)))
        log.info("old")
        out.rename(tmp_path / "agent.log.1")
        log.info("new")
        assert out.read_text().endswith("new\n")
        assert "old" not in out.read_text()

    def test_what_we_do_not_know_is_a_warning_and_no_crash(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = (
            "dispatchers = screen mail nobody\nscreen.class = Log::Dispatch::Screen\nscreen.min_level = loud\n"
            "screen.colour = red\nscreen.autoflush = 1\nmail.class = Log::Dispatch::Email\n!!!\n"
        )
        file = dispatch_file(tmp_path, text)
        warnings = set_up(file)
        log.info("still here")
        assert "still here" in capsys.readouterr().err
        classes = "expected Log::Dispatch::File or Log::Dispatch::Screen"
        levels = "debug, info, notice, warning, error, critical, alert, emergency"
        assert set(warnings) == {
            f"{file}:7: expected `name = value` or `[dispatcher]`; the line is ignored",
            f"{file}:4: screen.colour: not supported; the line is ignored",
            f"{file}:3: screen.min_level: expected one of {levels}, found 'loud'",
            f"{file}:6: mail.class: {classes}, found 'Log::Dispatch::Email'; this dispatcher is left out",
            f"{file}: nobody.class: {classes}, found ''; this dispatcher is left out",
        }

    @pytest.mark.parametrize(
        "text", ["", "dispatchers =\n", "dispatchers = file\nfile.class = Log::Dispatch::File\n"]
    )
    def test_a_file_without_a_way_out_leaves_stderr(
        self, tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        warnings = set_up(dispatch_file(tmp_path, text))
        log.info("here")
        assert capsys.readouterr().err.endswith("[info] here\n")
        assert (
            warnings[-1] == f"{tmp_path}/logger: names no dispatcher that can be used; the log goes to stderr"
        )

    @given(
        text=st.text(
            alphabet=st.sampled_from("dispatchers=file.class Log::Dispatch::Screen[]\n\\#%"), max_size=200
        )
    )
    def test_no_file_makes_a_crash(self, text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
        set_up(dispatch_file(tmp_path_factory.getbasetemp(), text))

    def test_a_log_file_that_cannot_be_written_is_an_error_of_configuration(self, tmp_path: Path) -> None:
        out = tmp_path / "nowhere" / "agent.log"
        file = dispatch_file(tmp_path, OF_2011.format(file=out))
        with pytest.raises(ConfigError) as caught:
            set_up(file)
        assert str(caught.value).startswith(
            f"{file}:6: filename: '{out}' cannot be written: No such file or directory"
        )

    def test_a_logger_file_that_is_missing_is_an_error_of_configuration(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="the logger file cannot be read: No such file"):
            set_up(tmp_path / "nowhere")

    @pytest.mark.parametrize("name", ["agent", "jobmanager", "monitor", "storagemanager"])
    def test_the_samples_are_understood(self, name: str) -> None:
        assert set_up(Path(__file__).parents[2] / "etc" / "copilot" / "loggerConf" / name) == ()


class TestRateLimit:
    def test_a_message_comes_once_a_minute_for_each_key(self) -> None:
        clock = HandClock()
        lines = captured(
            RateLimiter(clock), ("a", 0), ("a", 1), ("b", 2), ("a", 59.9), ("a", 60), clock=clock
        )
        assert lines == ["from a", "from b", "from a (2 more like it were not logged)"]

    def test_it_counts_anew_after_each_line(self) -> None:
        clock = HandClock()
        lines = captured(RateLimiter(clock), ("a", 0), ("a", 60), ("a", 70), ("a", 120), clock=clock)
        assert lines == ["from a", "from a", "from a (1 more like it were not logged)"]

    def test_many_keys_do_not_fill_the_memory(self) -> None:
        clock = HandClock()
        limiter = RateLimiter(clock, max_keys=2)
        lines = captured(limiter, ("a", 0), ("b", 1), ("c", 2), ("b", 3), ("c", 4), ("a", 5), clock=clock)
        assert lines == ["from a", "from b", "from c", "from a"]

    def test_a_level_that_is_off_uses_nothing_up(self) -> None:
        clock = HandClock()
        limiter = RateLimiter(clock)
        logger = logging.Logger("quiet", level=logging.ERROR)
        rate_limited(logger, "a", logging.INFO, "x", limiter=limiter)
        assert limiter.take(("quiet", "a")) == 0


def test_ever_new_keys_do_not_fill_the_log_and_errors_are_written_all_the_same() -> None:
    clock = HandClock()
    limiter = RateLimiter(clock, most_lines=2)
    calls = [(f"{number}", number * 0.1) for number in range(10)]
    lines = captured(limiter, *calls, ("late", 60.0), clock=clock)
    assert lines[:2] == ["from 0", "from 1"]
    assert "is not, until it has passed" in lines[2]
    assert lines[3:] == ["from late"]
    logger = logging.Logger("own")
    logger.addHandler(handler := logging.handlers.BufferingHandler(10))
    for number in range(5):
        rate_limited(logger, f"e{number}", logging.ERROR, "x", limiter=limiter)
    assert len(handler.buffer) == 5
