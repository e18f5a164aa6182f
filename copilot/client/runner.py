"""Runs one call of a function on an agent. It goes there as a file, together with cloudpickle, and needs nothing else.

It is kept to what Python 3.6 reads, so that a Python that is too old can say so. In the directory of the job:

    call      a line: the version of Python that is needed, like `3.11`, and `one` or `many`: call it once for each of a list of
              arguments; then a pickle of initializer, its arguments, function, arguments, arguments by name
    result    a line: its kind, one of those below, and the number of bytes of the text that follows; after that text a pickle of
              what was returned or raised

Each import counts: it is loaded for every call.

The exit code tells only whether there is a result: that a function has raised is one.
"""

import os
import pickle
import sys

CALL, RESULT = "call", "result"
MANY = "many"
RETURNED = "returned"
RAISED = "raised"
NOT_BEGUN = "not-begun"  # the call could not be unpickled: the pickle is of why
NOT_INITIALIZED = "not-initialized"  # the initializer has raised
NOT_PICKLABLE = "not-picklable"  # what was returned: the pickle is of why
NO_PICKLE = "no-pickle"  # what was raised could not be pickled: `text` is all there is
WRONG_PYTHON = "wrong-python"
LONGEST_TEXT = 60000  # characters of a traceback


def main() -> int:
    """Run the call that lies in this directory; the exit code."""
    here = os.getcwd()  # the call may go elsewhere
    with open(CALL, "rb") as file:
        wanted, count = file.readline().decode().split()
        data = file.read()
    fault = _fault(wanted)
    if fault:
        sys.stderr.write(fault + "\n")
        _leave(here, WRONG_PYTHON, fault, b"")
        return 3
    sys.path.insert(1, here)  # modules that came as inputs
    _leave(here, *run(data, count == MANY))
    return 0


def run(data: bytes, many: bool) -> "tuple[str, str, bytes]":
    """The call, to its end: kind, text and pickle of its result."""
    kind = NOT_BEGUN
    try:
        initializer, initargs, function, args, kwargs = pickle.loads(data)  # of the job's owner
        if initializer is not None:
            kind = NOT_INITIALIZED
            initializer(*initargs)
        kind = RAISED
        value = [function(*one) for one in args] if many else function(*args, **kwargs)
        kind = NOT_PICKLABLE
        return RETURNED, "", _pickled(value)
    except BaseException as error:  # noqa: BLE001  # also who leaves by sys.exit: as in a process pool
        return _raised(kind, error)


def _raised(kind: str, error: BaseException) -> "tuple[str, str, bytes]":
    import traceback

    frames = error.__traceback__ and error.__traceback__.tb_next  # without ours
    text = "".join(traceback.format_exception(type(error), error, frames))[-LONGEST_TEXT:]
    sys.stderr.write(text)
    try:
        return kind, text, _pickled(error)
    except BaseException:  # noqa: BLE001
        return NO_PICKLE, text, b""


def _pickled(value: object) -> bytes:
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


def _fault(wanted: str) -> str:
    found = "{}.{}".format(*sys.version_info[:2])
    if found == wanted:
        return ""
    return (
        "Python {} is needed, that of the program which has made this call, and this host has {} ({}): name another one by python=, "
        "or hosts that have it by requirements="
    ).format(wanted, found, sys.executable)


def _leave(here: str, kind: str, text: str, body: bytes) -> None:
    said = text.encode("utf-8", "backslashreplace")
    part = os.path.join(here, RESULT + ".part")
    with open(part, "wb") as file:
        file.write("{} {}\n".format(kind, len(said)).encode() + said + body)
    os.replace(part, os.path.join(here, RESULT))


if __name__ == "__main__":
    sys.exit(main())
