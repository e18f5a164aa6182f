"""Isolation by bubblewrap: namespaces of the payload's own, in which there is only what it needs.

bwrap(1) needs no privilege where user namespaces are allowed. Where the agent is root, bwrap arranges the rest as root, too (it
alone reaches a work directory that is root's), and setpriv(1) makes the first process another user's before anything of the
payload runs: in a user namespace it would stay root's equal on the files of the host.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import field
from pathlib import Path

from copilot.agent.isolation.base import INSIDE, Account, Allowed, Launch, Place
from copilot.agent.isolation.first import first_command
from copilot.records import dataclass

NAME = "bubblewrap"
PROGRAM = "bwrap"
CHANGER = "setpriv"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/cvmfs")
# What resolvers and programs that count processors read outside of these.
MORE_OF_SYSTEM = ("/run/systemd/resolve", "/sys/devices/system/cpu", "/sys/devices/system/node")
ALWAYS_HIDDEN = (Path("/etc/copilot"),)
TEMPORARY_BYTES = 64 * 1024 * 1024  # of /tmp and of /dev/shm each; they are memory
_LAST = ("--remount-ro", "/", "--chdir", "/", "--")
_TO_CHANGE = ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP")  # what setpriv needs, and gives up
_SMALLEST = "4096"  # bytes of a file system that nobody shall write to


@dataclass(frozen=True, slots=True, kw_only=True)
class Bubblewrap:
    """`program` is bwrap's path. `hidden`: files and directories of the agent, wherever they are; `shown`: directories that
    payloads may read besides the system's. `account`: whose name payloads run under if the agent is root; `changer` is the path of
    setpriv then. `filter`: a seccomp program,
    empty for none. `network`: whether a namespace of its own can be had for it. `counts_processes`: the kernel
    counts the processes of each user namespace by themselves (since Linux 5.14)."""

    program: str
    account: Account | None = None
    changer: str = CHANGER
    hidden: tuple[Path, ...] = ()
    shown: tuple[str, ...] = ()
    filter: bytes = b""
    network: bool = True
    counts_processes: bool = False
    temporary_bytes: int = TEMPORARY_BYTES
    _host: tuple[str, ...] = field(init=False)
    _closing: int = field(init=False)  # where in it nothing can be added to /dev any more
    _filter_file: int | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_host", tuple(self._of_host()))
        object.__setattr__(self, "_closing", self._host.index("--remount-ro"))
        if self.filter:
            file = os.memfd_create("copilot-seccomp", os.MFD_CLOEXEC)
            os.write(file, self.filter)
            object.__setattr__(self, "_filter_file", file)

    @property
    def level(self) -> str:
        """As in the JDL."""
        return "+".join([NAME, *(["net"] if self.network else []), *(["seccomp"] if self.filter else [])])

    def inside(self, place: Place) -> Place:
        """As in `Place`."""
        return place.inside()

    @contextmanager
    def launch(self, argv: Sequence[str], place: Place, allowed: Allowed) -> Iterator[Launch]:
        """bwrap with all that the payload may see."""
        shared = [] if allowed.network or not self.network else ["--unshare-net"]
        with ExitStack() as opened:
            filtered: list[str] = []
            descriptors: list[int] = []
            if self._filter_file is not None:
                # Opened anew: each bwrap reads it from its beginning.
                again = os.open(f"/proc/self/fd/{self._filter_file}", os.O_RDONLY | os.O_CLOEXEC)
                opened.callback(os.close, again)
                filtered, descriptors = ["--seccomp", str(again)], [again]
            first = first_command(argv, INSIDE / "payload", needs=allowed.needs, preamble=allowed.preamble)
            yield Launch(
                argv=[
                    self.program,
                    *self._host[: self._closing],
                    *(word for path in allowed.devices for word in ("--dev-bind", str(path), str(path))),
                    *self._host[self._closing :],
                    *shared,
                    *filtered,
                    *self._own(place),
                    *_LAST,
                    *self._as(first),
                ],
                cwd=Path("/"),
                descriptors=tuple(descriptors),
                contained=True,
            )

    def forgets(self, allowed: Allowed) -> bool:
        """By the network, a descriptor can be handed to somebody outside (abstract Unix sockets)."""
        return self.network and not allowed.network

    def _own(self, place: Place) -> Iterator[str]:
        """The attempt's own directories."""
        seen = self.inside(place)
        for path, there in ((place.payload, seen.payload), (place.temporary, seen.temporary)):
            yield from ("--bind", str(path), str(there))
        yield from ("--bind-try", str(place.wrapper), str(seen.wrapper))
        for path, there in zip(place.streams, seen.streams, strict=True):
            yield from ("--ro-bind", str(path), str(there))
        if place.secrets is not None:
            yield from ("--ro-bind", str(place.secrets), str(seen.secrets))

    def _as(self, argv: Sequence[str]) -> Sequence[str]:
        """`argv` under the name of the account."""
        if self.account is None:
            return argv
        ids = (f"--reuid={self.account.uid}", f"--regid={self.account.gid}", "--clear-groups")
        rights = ("--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--pdeathsig=KILL")
        return [self.changer, *ids, *rights, *argv]

    def _of_host(self) -> Iterator[str]:
        """What is the same for every job."""
        yield from ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")
        yield from ("--die-with-parent", "--new-session", "--as-pid-1", "--cap-drop", "ALL")
        if self.account is None:
            yield "--unshare-user"
        else:
            for capability in _TO_CHANGE:
                yield from ("--cap-add", capability)
        size = ("--size", str(self.temporary_bytes), "--perms", "1777", "--tmpfs")
        yield from (
            "--proc",
            "/proc",
            "--dev",
            "/dev",
            *size,
            "/dev/shm",  # noqa: S108 - of the sandbox
            "--remount-ro",
            "/dev",
            *size,
            "/tmp",  # noqa: S108
        )
        yield from ("--perms", "0755", "--dir", str(INSIDE))
        seen, made = list[Path](), set[Path]()
        for path in map(Path, (*SYSTEM, *MORE_OF_SYSTEM, *self.shown)):
            if str(path) in SYSTEM and path.is_symlink():
                yield from ("--symlink", os.readlink(path), str(path))  # noqa: PTH115 - as it is written
            elif path.exists():
                for above in reversed(
                    path.parents[:-1]
                ):  # bwrap itself would make them for the agent's user alone
                    if above not in made:
                        yield from ("--perms", "0755", "--dir", str(above))
                        made.add(above)
                yield from ("--ro-bind", str(path), str(path))
                seen.append(path)
        for path in dict.fromkeys(self._hidden_in(seen)):
            yield from _covered(path)

    def _hidden_in(self, seen: Sequence[Path]) -> Iterator[Path]:
        """Where what is hidden would be seen: also by a way that leads over a symlink."""
        for hidden in (*ALWAYS_HIDDEN, *self.hidden):
            path = hidden.resolve()
            for one in seen:
                if path.is_relative_to(root := one.resolve()):
                    yield one / path.relative_to(root)


def _covered(path: Path) -> Iterator[str]:
    """Nothing is seen at `path`."""
    if path.is_dir():
        size = ("--size", _SMALLEST, "--perms", "0555")
        yield from (*size, "--tmpfs", str(path), "--remount-ro", str(path))
    elif path.exists():
        yield from ("--ro-bind", "/dev/null", str(path))
