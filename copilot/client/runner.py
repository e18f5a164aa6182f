"""Runs one call of a function on an agent. It goes there as a file, together with cloudpickle, and needs nothing else.

It is kept to what Python 3.6 reads, so that a Python that is too old can say so. In the directory of the job:

    call      a line of JSON: `python`, the version that is needed, and `many`: call it once for each of a list of arguments;
              then a pickle of initializer, its arguments, function, arguments, arguments by name
    result    a line of JSON: `kind`, one of those below, and `text`; then a pickle of what was returned or raised

The exit code tells only whether there is a result: that a function has raised is one.
"""

import json
import os
import pickle
import sys
import traceback
from typing import Any, Dict, Tuple  # noqa: UP035  # older Pythons have no other

CALL, RESULT = "call", "result"
RETURNED = "returned"
RAISED = "raised"
NOT_BEGUN = "not-begun"  # the call could not be unpickled: the pickle is of why
NOT_INITIALIZED = "not-initialized"  # the initializer has raised
NOT_PICKLABLE = "not-picklable"  # what was returned: the pickle is of why
NO_PICKLE = "no-pickle"  # what was raised could not be pickled: `text` is all there is
WRONG_PYTHON = "wrong-python"
LONGEST_TEXT = 60000  # characters of a traceback

Told = Tuple[Dict[str, str], bytes]  # noqa: UP006


def main() -> int:
    """Run the call that lies in this directory; the exit code."""
    here = os.getcwd()  # noqa: PTH109  # the call may go elsewhere
    with open(CALL, "rb") as file:  # noqa: PTH123
        wanted = json.loads(file.readline().decode())
        data = file.read()
    fault = _fault(wanted["python"])
    if fault:
        sys.stderr.write(fault + "\n")
        _leave(here, ({"kind": WRONG_PYTHON, "text": fault}, b""))
        return 3
    sys.path.insert(1, here)  # modules that came as inputs
    _leave(here, run(data, many=wanted.get("many", False)))
    return 0


def run(data: bytes, many: bool) -> Told:  # older Pythons
    """The call, to its end."""
    kind = NOT_BEGUN
    try:
        initializer, initargs, function, args, kwargs = pickle.loads(data)  # noqa: S301  # that is what the owner of the job asks for
        if initializer is not None:
            kind = NOT_INITIALIZED
            initializer(*initargs)
        kind = RAISED
        value = [function(*one) for one in args] if many else function(*args, **kwargs)
        kind = NOT_PICKLABLE
        return {"kind": RETURNED, "text": ""}, _pickled(value)
    except BaseException as error:  # noqa: BLE001  # also who leaves by sys.exit: as in a process pool
        return _raised(kind, error)


def _raised(kind: str, error: BaseException) -> Told:
    frames = error.__traceback__ and error.__traceback__.tb_next  # without ours
    text = "".join(traceback.format_exception(type(error), error, frames))[-LONGEST_TEXT:]
    sys.stderr.write(text)
    try:
        return {"kind": kind, "text": text}, _pickled(error)
    except BaseException:  # noqa: BLE001
        return {"kind": NO_PICKLE, "text": text}, b""


def _pickled(value: Any) -> bytes:
    """Plain pickle is enough, and quicker, where nothing has come by value."""
    if "cloudpickle" not in sys.modules:
        try:
            return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except Exception:  # noqa: BLE001, S110  # the other one takes more, and says why if it does not
            pass
    import cloudpickle

    data = cloudpickle.dumps(value)
    assert isinstance(data, bytes)
    return data


def _fault(wanted: Any) -> str:
    if list(sys.version_info[:2]) == list(wanted):
        return ""
    return (
        "Python {}.{} is needed, that of the program which has made this call, and python3 of this host ({}) is {}.{}: name another "
        "one by python=, or hosts that have it by requirements="
    ).format(wanted[0], wanted[1], sys.executable, *sys.version_info[:2])


def _leave(here: str, told: Told) -> None:
    head, body = told
    part = os.path.join(here, RESULT + ".part")  # noqa: PTH118
    with open(part, "wb") as file:  # noqa: PTH123
        file.write(json.dumps(head).encode() + b"\n" + body)
    os.replace(part, os.path.join(here, RESULT))  # noqa: PTH105, PTH118


if __name__ == "__main__":
    sys.exit(main())
