"""How simulated agents of 2011 put their outputs: by Chirp, all over one connection that is known by its address."""

from __future__ import annotations

import socket

FILE_MODE = 0o644
LINES_OF_LOGIN = 5  # yes, yes, yes, and as whom we are known


class Uploads:
    """A connection to a Chirp server. It blocks for a moment."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=30.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answers = self._socket.makefile("rb")
        self._socket.sendall(b"address\n")
        said = [self._answers.readline() for _ in range(LINES_OF_LOGIN)]
        if said[0] != b"yes\n":
            raise OSError(f"the Chirp server does not let us in: {said!r}")

    def put(self, path: str, data: bytes) -> None:
        """Store `data` at `path`. Raises OSError."""
        self._socket.sendall(b"putfile /%s %d %d\n" % (path.encode(), FILE_MODE, len(data)))
        self._expect(b"0\n", path)
        self._socket.sendall(data)
        self._expect(b"%d\n" % len(data), path)

    def close(self) -> None:
        """End the connection."""
        self._answers.close()
        self._socket.close()

    def _expect(self, answer: bytes, path: str) -> None:
        said = self._answers.readline()
        if said != answer:
            raise OSError(f"{path} cannot be stored: the Chirp server says {said!r}")
