"""The first process of a payload's namespace: a few lines of shell that start the payload and tell truthfully how it ended.

bubblewrap's own first process makes 128 + n of signal n, which a payload may as well exit with. A shell does the same, but it
also names the signal on its standard error, which here is a socket of the agent (`Report`). It reaps orphans, takes no
signal from inside, and when it ends, the kernel ends all the rest before anybody sees that it has ended.
"""

from __future__ import annotations

import os
import shlex
import signal
import socket
from collections.abc import Sequence
from pathlib import Path

from copilot.records import dataclass

SHELL = "/bin/sh"
CANNOT_BEGIN = 125  # exit code
_BEGUN = "begun"
_REPORT_BYTES = 4096
# Its standard input is where it reports. The memory of the payload is taken before that of the agent (proc(5)).
_SCRIPT = """\
{opening}
exec 3>&2 2>&0 </dev/null
echo 500 >/proc/self/oom_score_adj
{preamble}
cd {directory} || exit {cannot}
for needed in {needed}; do
    [ -f "$needed" ] && [ -x "$needed" ] || {{ echo "$needed: missing or not executable" >&2; exit {cannot}; }}
done
echo {begun} >&2
(exec "$@" 2>&3 3>&-)
exit $?
"""
# These end a shell's child without a word (dash, bash, busybox).
_SILENT = frozenset({signal.SIGINT, signal.SIGPIPE, signal.SIGTERM})


def first_command(
    argv: Sequence[str],
    directory: Path,
    *,
    needs: Sequence[str] = (),
    preamble: str = "",
    opening: str = "",
) -> list[str]:
    """The words that start `argv` in `directory` below the first process. Without the programs `needs` it does not begin, and
    `preamble` is shell text that goes before it; `opening` is what goes before all else, where the report does not come as
    standard input for instance."""
    script = _SCRIPT.format(
        opening=opening,
        preamble=preamble,
        directory=shlex.quote(str(directory)),
        needed=shlex.join([argv[0], *needs]),
        cannot=CANNOT_BEGIN,
        begun=_BEGUN,
    )
    return [SHELL, "-c", script, "sh", *argv]


@dataclass(frozen=True, slots=True)
class Report:
    """The end of a socket at which the first process reports, and ours. Close it."""

    descriptor: int
    _ours: socket.socket

    @classmethod
    def open(cls) -> Report:
        """An empty one. The payload may write there, too, but what was said it cannot take back: a socket is not opened by
        /proc/PID/fd, and what is in it is ours."""
        ours, its = socket.socketpair()
        ours.setblocking(False)
        return cls(its.detach(), ours)

    def close(self) -> None:
        """Nothing can be read any more."""
        os.close(self.descriptor)
        self._ours.close()

    def read(self, code: int) -> End:
        """What an exit of the first process with `code` means. Once."""
        try:
            text = self._ours.recv(_REPORT_BYTES).decode(errors="replace")
        except BlockingIOError:
            text = ""
        before, begun, after = text.partition(f"{_BEGUN}\n")
        if not begun:
            return End(code=code, signal=None, began=False, said=before.strip())
        said = after.strip()
        number = code - 128
        if said and number > 0 and number not in _SILENT:
            return End(code=None, signal=number, began=True, said=said)
        return End(code=code, signal=None, began=True, said=said)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the payload ended: by `code` or by `signal`. Not `began`: it was never started, and `said` is why."""

    code: int | None
    signal: int | None
    began: bool
    said: str
