"""The filter of system calls, worked out as the kernel does."""

from __future__ import annotations

import errno
import struct

import pytest

from copilot.agent.isolation.seccomp import AARCH64, FORBIDDEN, I386, MISSING, X86_64, assemble

ALLOWED = 0


def asked(number: int, *arguments: int, architecture: int = X86_64) -> int:
    """The error that a call gets, 0 for none."""
    padded = (*arguments, *[0] * 6)[:6]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *padded)
    program = list(struct.iter_unpack("<HBBI", assemble((X86_64, I386, AARCH64))))
    at, accumulator = 0, 0
    while True:
        code, if_true, if_false, operand = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, operand)
        elif code == 0x54:
            accumulator &= operand
        elif code == 0x15:
            at += if_true if accumulator == operand else if_false
        elif code == 0x35:
            at += if_true if accumulator >= operand else if_false
        elif code == 0x05:
            at += operand
        else:
            assert code == 0x06
            return ALLOWED if operand == 0x7FFF0000 else operand & 0xFFFF


@pytest.mark.parametrize("column", [0, 1, 2])
def test_what_is_forbidden_is_refused_and_what_is_missing_is_missing(column: int) -> None:
    architecture = (X86_64, I386, AARCH64)[column]
    for calls, error in ((FORBIDDEN, errno.EPERM), (MISSING, errno.ENOSYS)):
        for name, numbers in calls.items():
            if (number := numbers[column]) is not None:
                assert asked(number, architecture=architecture) == error, name


def test_usual_calls_pass() -> None:
    usual = (0, 1, 2, 3, 9, 16, 41, 42, 57, 59, 61, 101, 202, 231, 257, 318, 334)
    assert [asked(number) for number in usual] == [ALLOWED] * len(usual)


@pytest.mark.parametrize(
    ("number", "architecture"), [(56, X86_64), (272, X86_64), (120, I386), (220, AARCH64)]
)
def test_processes_yes_but_no_user_namespaces(number: int, architecture: int) -> None:
    assert asked(number, 0x01200011, architecture=architecture) == ALLOWED
    assert asked(number, 0x11200011, architecture=architecture) == errno.EPERM


def test_nobody_types_for_others() -> None:
    assert asked(16, 0, 0x5401) == ALLOWED
    assert {asked(16, 0, 0x5412), asked(16, 0, 0x541C)} == {errno.EPERM}


def test_numbers_that_go_round_the_list_do_not() -> None:
    assert asked(0x40000000 + 165) == errno.ENOSYS
    assert asked(165, architecture=0xC0000032) == errno.ENOSYS
