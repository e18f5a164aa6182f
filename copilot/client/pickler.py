"""cloudpickle, with the names of the files that functions come from: a traceback from an agent tells them."""

from __future__ import annotations

import io
from types import CodeType
from typing import Any

import cloudpickle
from cloudpickle import cloudpickle as inner

_PLACEHOLDER = "<dynamic-code>"  # what newer versions put there, so that the same function is the same bytes


def dumps(value: object) -> bytes:
    """`value`, and all that is defined in the program itself or registered to go by value. Raises what pickling raises."""
    with io.BytesIO() as file:
        _Pickler(file).dump(value)
        return file.getvalue()


def _code(code: CodeType) -> tuple[Any, ...]:
    make, arguments = inner._code_reduce(code)  # noqa: SLF001  # its table has no public way to it
    return make, tuple(
        code.co_filename if isinstance(one, str) and one == _PLACEHOLDER else one for one in arguments
    )


class _Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    dispatch_table = cloudpickle.Pickler.dispatch_table.new_child({CodeType: _code})
