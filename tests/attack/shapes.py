"""What attackers write: every field of every command with every trick, archives that mean ill, hosts and requirements."""

from __future__ import annotations

import gzip
import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

from copilot.protocol import codec
from copilot.protocol.commands import COMMANDS
from copilot.protocol.envelope import Element
from tests.hostile.strangers import text_of

CANARY = "canary-of-the-attack"  # a file of this name must be nowhere in the end
TRICKS = (
    f"../../../{CANARY}",
    f"/tmp/{CANARY}",
    f"a/../../{CANARY}",
    f"..\\{CANARY}",
    f"%2e%2e%2f{CANARY}",
    f"$(touch {CANARY})",
    f"; touch {CANARY}",
    f"-o{CANARY}",
    "a\nFLUSHALL\n",
    "a\0b",
    "\x1b[2J",
    "*",
    "",
    "x" * 5000,
    "9" * 400,
    "-1",
    "nan",
    "1e999",
    "\ud800",
)


def tricked() -> Iterator[str]:
    """The `<info>` of each command of the protocol with each trick in each of its fields."""
    for name, kind in COMMANDS.items():
        head = {
            "command": codec.encode_value(name),
            "features": codec.encode_value("storage lease push direct"),
        }
        for place in range(_places(kind)):
            for trick in TRICKS:
                yield text_of(_element("info", kind, dict(head), iter(range(1000)), place, trick))


def honest() -> list[str]:
    """The `<info>` of each command of the protocol but `enrol`, in order."""
    made = []
    for name, kind in COMMANDS.items():
        head = {
            "command": codec.encode_value(name),
            "features": codec.encode_value("storage lease push direct"),
        }
        if name != "enrol":
            made.append(text_of(_element("info", kind, head, iter(range(1000)), -1, "")))
    return made


def _places(kind: type[Any]) -> int:
    slots = codec._SLOTS[kind]
    return sum(1 if slot.child is None else _places(slot.child) for slot in slots if not slot.raw)


def _element(
    tag: str, kind: type[Any], head: dict[str, str], numbers: Iterator[int], place: int, trick: str
) -> Element:
    children = []
    for slot in codec._SLOTS[kind]:
        if slot.child is not None:
            children.append(_element(slot.child.TAG, slot.child, {}, numbers, place, trick))
        elif slot.attribute is not None:
            head[slot.attribute] = codec.encode_value(trick if next(numbers) == place else "1")
    return Element(tag, head, tuple(children))


def hosts() -> list[str]:
    """What a host can say of itself that is no honest ClassAd."""
    doubling = ";".join(['a0="xxxxxxxx"'] + [f"a{n}=strcat(a{n - 1},a{n - 1})" for n in range(1, 40)])
    return [
        "[" * 5000,
        "[ a = " + "(" * 49 + "1" + ")" * 49 + " ]",
        "[ a = " + "-" * 8000 + "1 ]",
        f"[ {doubling} ]",
        '[ a = "' + "x" * 16_000,
        "[ Memory = " + "9" * 8000 + " ]",
        "[ a = b; b = a ]",
        "[ a = {" + "{" * 3000 + " ]",
        "[ \0 ]",
        "x" * 60_000,
        '[ Memory = real("nan"); Cores = 1/0 ]',
    ]


def requirements() -> list[str]:
    """What a submitter can ask for that must be refused, or be worked out soon."""
    return [
        "size(" + "strcat(A," * 45 + "A" + ")" * 46 + " > 1",
        f"strcat({','.join(['A'] * 1500)}) == A",
        "(" * 5000 + "A" + ")" * 5000,
        "!" * 5000 + "A",
        " || ".join(["A"] * 5000),
        "?:" * 3000 + "A",
        'regexp("(a+)+$", A)',
        "eval(A)",
        "A" * 20_000,
        'A == "' + "x" * 20_000,
        "[a = 1].a == A",
        "\0",
        "A == " + "{" * 51 + "}" * 51,
        "MY.A",
        "A[0]",
    ]


def archives() -> dict[str, Callable[[], bytes]]:
    """Outputs that nobody should unpack, by what is wrong with them."""
    return {
        "way up": lambda: _packed([_file(f"../../{CANARY}")]),
        "bomb": lambda: gzip.compress(b"\0" * 200_000_000, 9),
        "bomb in a member": lambda: _packed([_file("zeros", 200_000_000)], zeros=True),
        "absolute": lambda: _packed([_file(f"/tmp/{CANARY}")]),
        "through a link": lambda: _packed([_link("out", "/tmp"), _file(f"out/{CANARY}")]),
        "link out": lambda: _packed([_link("out", "../../..")]),
        "hard link": lambda: _packed([_link("passwd", "/etc/passwd", tarfile.LNKTYPE)]),
        "device": lambda: _packed([_link("null", "", tarfile.CHRTYPE)]),
        "pipe": lambda: _packed([_link("pipe", "", tarfile.FIFOTYPE)]),
        "the same name twice": lambda: _packed([_file("a"), _file("a")]),
        "120,000 members": lambda: _packed([_file(f"{number}") for number in range(120_000)]),
        "a long name": lambda: _packed([_file("x/" * 5000 + "y")]),
        "a cursor": lambda: _packed([_file("\x1b[2J")]),
        "half": lambda: _packed([_file("a", 5000)])[:-300],
        "a sparse giant": _sparse,
    }


def _file(name: str, size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size
    return member


def _link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


class _Noise(io.RawIOBase):
    """So many bytes that are not all the same, or are."""

    def __init__(self, *, zeros: bool) -> None:
        self._zeros = zeros

    def read(self, size: int = -1) -> bytes:
        return bytes(size) if self._zeros else bytes(number * 7919 % 251 for number in range(size))


def _packed(members: list[tarfile.TarInfo], *, zeros: bool = False) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        for member in members:
            archive.addfile(member, _Noise(zeros=zeros) if member.size else None)
    return packed.getvalue()


def _sparse() -> bytes:
    """One that says of a file that it is a terabyte of nothing (GNU tar's old form)."""
    member = tarfile.TarInfo("sparse")
    member.type = tarfile.GNUTYPE_SPARSE
    member.size = 512
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[386:398] = b"00000000000\0"
    block[398:410] = b"00000001000\0"
    block[483:495] = b"17777777777\0"
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return gzip.compress(bytes(block) + bytes(512) + bytes(1024))
