"""Calls of functions as files: what is sent to an agent, and what comes back.

A result is unpickled, so who made it can run code here: calls go only to agents whose hosts are trusted with that.
"""

from __future__ import annotations

import io
import linecache
import marshal
import pickle
import re
import shlex
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import metadata
from importlib.util import MAGIC_NUMBER, source_hash
from pathlib import Path
from typing import Any

from copilot.client import runner
from copilot.errors import ExecutorBroken, JobFailed, NotPicklable

PYTHON = "python3"
RUNNER = "copilot-call"  # what the file is called in the job's directory
# A frame of a traceback that is not followed by its line.
_FRAME = re.compile(r'^(  File "([^"\n]+)", line ([0-9]{1,7}), in [^\n]*)$(?!\n    )', re.MULTILINE)
_HEAD = re.compile(rb"([a-z-]{1,20}) ([0-9]{1,9})\Z")
UNCHECKED = 0b01  # a .pyc whose source is not looked at
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same contents make the same bytes, so agents keep them


class RemoteTraceback(Exception):  # what concurrent.futures calls its own
    """Where a call has raised on its agent: the cause of what it has raised here. `tb` is that as text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.tb = text

    def __str__(self) -> str:
        return f'\n"""\n{self.tb}"""'


class InitializerFailed(ExecutorBroken):
    """The initializer has raised on an agent; that is the cause."""


def packed(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    *,
    initializer: Callable[..., object] | None = None,
    initargs: Sequence[Any] = (),
    many: bool = False,
) -> bytes:
    """A call as the runner reads it. `many`: `args` holds the arguments of many calls.

    Raises what pickling raises: PicklingError or TypeError, most often.
    """
    from copilot.client.pickler import dumps  # who makes no calls does without

    python, count = "{}.{}".format(*sys.version_info[:2]), runner.MANY if many else "one"
    body = dumps((initializer, tuple(initargs), function, args, kwargs))
    return f"{python} {count}\n".encode() + body


def unpacked(data: bytes) -> Any:
    """What the call has returned. Raises what it has raised, with a `RemoteTraceback` as its cause, `NotPicklable` if that cannot be
    made an object here, `InitializerFailed`, `JobFailed` if there was no Python that fits."""
    kind, text, body = _parted(data)
    if kind == runner.WRONG_PYTHON:
        raise JobFailed(text)
    text = _with_lines(text)
    if kind == runner.NO_PICKLE:
        raise NotPicklable(f"what the call has raised cannot be pickled: {_last(text)}") from RemoteTraceback(
            text
        )
    try:
        value = pickle.loads(body)  # noqa: S301  # see the head of this file
    except (Exception, SystemExit) as error:  # noqa: BLE001  # anything may come of what an agent sends
        what = "returned" if kind == runner.RETURNED else f"raised ({_last(text)})"
        cause = error if kind == runner.RETURNED else RemoteTraceback(text)
        raise NotPicklable(
            f"what the call has {what} cannot be unpickled here: {type(error).__name__}: {error}"
        ) from cause
    if kind == runner.RETURNED:
        return value
    if not isinstance(value, BaseException):
        raise NotPicklable(f"what the call has raised is no exception: {type(value).__name__}")
    value.__cause__ = RemoteTraceback(text)
    if kind == runner.NOT_INITIALIZED:
        raise InitializerFailed(f"the initializer has failed on its agent: {_last(text)}") from value
    raise value


def _parted(data: bytes) -> tuple[str, str, bytes]:
    """Kind, text and pickle of a result. Raises `NotPicklable`."""
    line, _, rest = data.partition(b"\n")
    found = _HEAD.match(line)
    if not found:
        raise NotPicklable("the agent's result of a call is none: something else wrote the file 'result'")
    size = int(found[2])
    return found[1].decode(), rest[:size].decode(errors="replace"), rest[size:]


def _with_lines(text: str) -> str:
    """A traceback with the lines of those of our files that its host does not have."""
    ours = {getattr(module, "__file__", None) for module in list(sys.modules.values())}

    def completed(found: re.Match[str]) -> str:
        name, number = found[2], int(found[3])
        line = linecache.getline(name, number).strip() if name in ours else ""
        return f"{found[1]}\n    {line}" if line else found[1]

    return _FRAME.sub(completed, text)


def _last(text: str) -> str:
    """The line of a traceback that says what it is about."""
    return (text.strip().splitlines() or ["nothing is known of it"])[-1]


@cache
def runner_file(python: str = PYTHON) -> bytes:
    """The program that runs a call: text for a shell that starts `python`, then an archive that it reads."""
    import cloudpickle

    package = Path(cloudpickle.__file__).parent
    files = {"__main__.py": Path(runner.__file__).read_bytes()}
    for path in sorted(
        package.glob("*.py")
    ):  # compiled, as the same Python reads it: so it need not be for each call
        files[f"cloudpickle/{path.name}c"] = _compiled(f"cloudpickle/{path.name}", path.read_bytes())
    files["cloudpickle/LICENSE"] = _licence()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as target:
        for name, data in files.items():
            target.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED, compresslevel=9)
    return _START.format(python=shlex.quote(python)).encode() + archive.getvalue()


def _licence() -> bytes:
    """Its terms go with it."""
    found = [file for file in metadata.files("cloudpickle") or () if file.name.startswith("LICENSE")]
    return b"".join(file.read_binary() for file in found)


def _compiled(name: str, source: bytes) -> bytes:
    """The contents of a .pyc that is taken as it is (PEP 552)."""
    code = compile(source, name, "exec", dont_inherit=True)
    return b"".join((MAGIC_NUMBER, UNCHECKED.to_bytes(4, "little"), source_hash(source), marshal.dumps(code)))


_START = """\
#!/bin/sh
# One call of a Python function, by copilot.Executor. The rest of this file is an archive that Python reads.
python={python}
if command -v "$python" >/dev/null 2>&1; then exec "$python" "$PWD/copilot-call"; fi
echo "copilot-call: $python is not on this host, or not in its PATH ($PATH)" >&2
exit 127
"""
