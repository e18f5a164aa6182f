"""A filter of system calls (seccomp(2)): what no payload needs and what has often been the way out of a sandbox.

Namespaces and missing rights forbid most of it anyway; the filter keeps the kernel's code behind these calls out of reach. A
payload may trace its own processes: it sees no others. User namespaces of its own would give a payload rights over new mounts,
so it gets none; `clone3` hides its flags from filters and is said to be missing, whereupon the C library uses `clone`.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from collections.abc import Iterator

X86_64, I386, AARCH64 = 0xC000003E, 0x40000003, 0xC00000B7  # linux/audit.h
# Number of each call on x86-64, i386 and aarch64 (asm/unistd_64.h, asm/unistd_32.h, asm-generic/unistd.h).
FORBIDDEN: dict[str, tuple[int | None, int | None, int | None]] = {
    "mount": (165, 21, 40),
    "umount": (None, 22, None),
    "umount2": (166, 52, 39),
    "pivot_root": (155, 217, 41),
    "chroot": (161, 61, 51),
    "setns": (308, 346, 268),
    "fsopen": (430, 430, 430),
    "fsconfig": (431, 431, 431),
    "fsmount": (432, 432, 432),
    "fspick": (433, 433, 433),
    "move_mount": (429, 429, 429),
    "open_tree": (428, 428, 428),
    "mount_setattr": (442, 442, 442),
    "bpf": (321, 357, 280),
    "keyctl": (250, 288, 219),
    "add_key": (248, 286, 217),
    "request_key": (249, 287, 218),
    "userfaultfd": (323, 374, 282),
    "perf_event_open": (298, 336, 241),
    "fanotify_init": (300, 338, 262),
    "open_by_handle_at": (304, 342, 265),
    "name_to_handle_at": (303, 341, 264),
    "pidfd_getfd": (438, 438, 438),
    "process_madvise": (440, 440, 440),
    "kexec_load": (246, 283, 104),
    "kexec_file_load": (320, None, 294),
    "init_module": (175, 128, 105),
    "finit_module": (313, 350, 273),
    "delete_module": (176, 129, 106),
    "reboot": (169, 88, 142),
    "swapon": (167, 87, 224),
    "swapoff": (168, 115, 225),
    "acct": (163, 51, 89),
    "quotactl": (179, 131, 60),
    "quotactl_fd": (443, 443, 443),
    "settimeofday": (164, 79, 170),
    "clock_settime": (227, 264, 112),
    "lookup_dcookie": (212, 253, 18),
    "nfsservctl": (180, 169, 42),
    "syslog": (103, 103, 116),
    "vhangup": (153, 111, 58),
    "iopl": (172, 110, None),
    "ioperm": (173, 101, None),
    "uselib": (134, 86, None),
    "vm86": (None, 166, None),
    "vm86old": (None, 113, None),
}
# Who finds these missing has another way.
MISSING = {
    "clone3": (435, 435, 435),
    "io_uring_setup": (425, 425, 425),
    "io_uring_enter": (426, 426, 426),
    "io_uring_register": (427, 427, 427),
}
_CLONE, _UNSHARE, _IOCTL = (56, 120, 220), (272, 310, 97), (16, 54, 29)
_NEW_USER = 0x10000000  # CLONE_NEWUSER
_TYPES_FOR_OTHERS = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_X32 = 0x40000000  # calls of the x32 kind, which nobody has; their numbers would go round the list

# linux/filter.h, linux/seccomp.h: struct seccomp_data begins with number, architecture, instruction pointer, arguments.
_LOAD, _AND, _EQUAL, _AT_LEAST, _GO, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x05, 0x06
_NUMBER, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def native_filter() -> bytes:
    """The program for this machine, as `bwrap --seccomp` reads it; empty where we know too little of the architecture."""
    if sys.byteorder != "little":
        return b""
    kinds = {"x86_64": (X86_64, I386), "aarch64": (AARCH64,)}.get(os.uname().machine, ())
    return assemble(kinds) if kinds else b""


def assemble(architectures: tuple[int, ...]) -> bytes:
    """The program for calls of these architectures; those of others are said to be missing."""
    program: list[Instruction] = []
    for architecture in architectures:
        part = list(_part(architecture))
        program += [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_GO, 0, 0, len(part)), *part]
    program.append(_error(errno.ENOSYS))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _part(architecture: int) -> Iterator[Instruction]:
    column = (X86_64, I386, AARCH64).index(architecture)
    yield (_LOAD, 0, 0, _NUMBER)
    if architecture == X86_64:
        yield (_AT_LEAST, 0, 1, _X32)
        yield _error(errno.ENOSYS)
    for calls, code in ((FORBIDDEN, errno.EPERM), (MISSING, errno.ENOSYS)):
        for numbers in calls.values():
            number = numbers[column]
            if number is not None:
                yield (_EQUAL, 0, 1, number)
                yield _error(code)
    for number in (_CLONE[column], _UNSHARE[column]):
        yield (_EQUAL, 0, 5, number)
        yield (_LOAD, 0, 0, _FIRST)
        yield (_AND, 0, 0, _NEW_USER)
        yield (_EQUAL, 1, 0, 0)
        yield _error(errno.EPERM)
        yield (_RETURN, 0, 0, _ALLOW)
    yield (_EQUAL, 0, 4, _IOCTL[column])
    yield (_LOAD, 0, 0, _SECOND)
    yield (_EQUAL, 1, 0, _TYPES_FOR_OTHERS[0])
    yield (_EQUAL, 0, 1, _TYPES_FOR_OTHERS[1])
    yield _error(errno.EPERM)
    yield (_RETURN, 0, 0, _ALLOW)


def _error(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERROR | code)
