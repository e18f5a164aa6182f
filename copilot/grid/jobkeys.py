"""What may be said of a job in a job file: one table of keys, for all that read job files.

Sizes are bytes or words like 2GiB, times seconds or words like 1h30m.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Any

from copilot.config.kinds import SIZE, duration
from copilot.errors import BadName
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """`read` gives the value as `read_keys` has it, or raises `ValueError`; `expects` completes "expected …"."""

    read: Callable[[Any], Any]
    expects: str
    meaning: str


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise ValueError
        return value

    return read


def _least(low: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or value < low:
            raise ValueError
        return value

    return read


def _size(value: Any) -> int:
    return SIZE.convert(value) if isinstance(value, str) else int(_least(1)(value))


_TIME = duration(0)


def _time(value: Any) -> float:
    if isinstance(value, str):
        return _TIME.convert(value)
    if type(value) not in (int, float):
        raise ValueError
    return float(value) if type(value) is float else value


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(word, str) for word in value):
        raise ValueError
    return tuple(value)


def _texts(value: Any) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(x, str) for pair in value.items() for x in pair):
        raise ValueError
    return value


def _inputs(value: Any) -> dict[str, str]:
    if not isinstance(value, list):
        return _texts(value)
    return {PurePosixPath(name).name: name for name in _words(value)}


def _arguments(value: Any) -> str:
    return value if isinstance(value, str) else shlex.join(_words(value))


def _cores(value: Any) -> tuple[int, int | None]:
    """At least, and at most if that is more."""
    if type(value) is int:
        return value, None
    if not isinstance(value, str):
        raise ValueError
    low, dash, high = value.partition("-")
    return (int(low), int(high)) if dash else (int(low), None)


TEXT = "text"
SIZE_EXPECTED = "a number of bytes, or a size like 500MiB or 2GiB"
TIME_EXPECTED = "a number of seconds, or a time like 90s or 1h30m"
WORDS_EXPECTED = "a list of texts"
_text, _whole, _flag = _exactly(str), _exactly(int), _exactly(bool)

KEYS: Mapping[str, Key] = {
    "command": Key(read=_text, expects=TEXT, meaning="file that is executed"),
    "id": Key(read=_text, expects=TEXT, meaning="of the job; else the name of the job file, or a new one"),
    "arguments": Key(
        read=_arguments, expects="text, or a list of texts", meaning="quoted as for a shell, or one by one"
    ),
    "environment": Key(read=_texts, expects="an object of texts", meaning="variables"),
    "packages": Key(read=_words, expects=WORDS_EXPECTED, meaning="software packages that it needs"),
    "inputs": Key(
        read=_inputs,
        expects="an object of texts, or a list of texts",
        meaning="further files: name in the job's directory, and where it lies; in a list under their own names",
    ),
    "validation": Key(read=_text, expects=TEXT, meaning="script that checks the result"),
    "priority": Key(read=_whole, expects="a whole number", meaning="higher goes first"),
    "max_run_time": Key(read=_time, expects=TIME_EXPECTED, meaning="longest run"),
    "walltime": Key(read=_time, expects=TIME_EXPECTED, meaning="the same"),
    "max_attempts": Key(
        read=_whole, expects="a whole number", meaning="until failures of the infrastructure end the job"
    ),
    "max_user_attempts": Key(read=_whole, expects="a whole number", meaning="until its own do"),
    "retries": Key(read=_least(0), expects="a whole number from 0", meaning="the same, less one"),
    "exclusive": Key(
        read=_flag, expects="true or false", meaning="never two attempts at once, rather stopped than doubled"
    ),
    "requirements": Key(read=_text, expects=TEXT, meaning="what the agent's host must be like"),
    "rank": Key(
        read=_text,
        expects=TEXT,
        meaning="which of the hosts that meet this it prefers: those with the highest value",
    ),
    "cores": Key(
        read=_cores,
        expects='a whole number, or "2-8" for at least and at most',
        meaning="that it needs, and that it can use",
    ),
    "max_cores": Key(read=_least(1), expects="a whole number from 1", meaning="that it can use"),
    "gpus": Key(read=_least(0), expects="a whole number from 0", meaning="that it needs for itself"),
    "memory": Key(read=_size, expects=SIZE_EXPECTED, meaning="most of all that runs of it"),
    "cpu_time": Key(read=_time, expects=TIME_EXPECTED, meaning="most of all that runs of it"),
    "processes": Key(read=_whole, expects="a whole number", meaning="most at a time, threads too"),
    "open_files": Key(read=_whole, expects="a whole number", meaning="most of each process"),
    "file_size": Key(read=_size, expects=SIZE_EXPECTED, meaning="largest file that it writes"),
    "disk": Key(read=_size, expects=SIZE_EXPECTED, meaning="most that its directory may take"),
    "network": Key(read=_flag, expects="true or false", meaning="it needs the network"),
    "image": Key(read=_text, expects=TEXT, meaning="container image that it runs in"),
    "project": Key(read=_text, expects=TEXT, meaning="for whose work it is"),
    "tags": Key(read=_words, expects=WORDS_EXPECTED, meaning="words by which people find it"),
    "after": Key(read=_words, expects=WORDS_EXPECTED, meaning="jobs that must be done before"),
    "after_any": Key(read=_words, expects=WORDS_EXPECTED, meaning="jobs that must be over before"),
    "hold": Key(read=_flag, expects="true or false", meaning="it is held until somebody releases it"),
    "array": Key(
        read=_least(1),
        expects="a whole number from 1",
        meaning="so many alike, elements of one array; each has its number as `{index}` in arguments and COPILOT_ARRAY_INDEX",
    ),
    "owner": Key(read=_text, expects=TEXT, meaning="whose it is; else who submits it"),
}


def read_keys(said: Mapping[Any, Any]) -> dict[str, Any]:
    """The same with every value as it is meant: `walltime` and `retries` under the names of the job's own fields, `cores` as two
    numbers. Raises `BadName`, which names the key."""
    values = {key: _read(key, value) for key, value in said.items()}
    for one, other in (("walltime", "max_run_time"), ("retries", "max_user_attempts")):
        if one in values:
            if other in values:
                raise BadName(f"{one} and {other} mean the same: leave one out")
            values[other] = values.pop(one) + (1 if one == "retries" else 0)
    if "cores" in values:
        values["cores"], most = values["cores"]
        if most is not None and values.setdefault("max_cores", most) != most:
            raise BadName(f"cores: at most {most}, but max_cores is {values['max_cores']}: leave one out")
    return values


def _read(key: Any, value: Any) -> Any:
    if key not in KEYS:
        near = get_close_matches(str(key), KEYS, n=1)
        meant = f"did you mean {near[0]}? " if near else ""
        raise BadName(f"{str(key)[:60]!r}: no such key; {meant}There are {', '.join(KEYS)}")
    try:
        return KEYS[key].read(value)
    except ValueError:
        raise BadName(f"{key}: expected {KEYS[key].expects}") from None
