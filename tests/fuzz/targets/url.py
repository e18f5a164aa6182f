"""What a peer asks of the file server: without the secret nothing is allowed, and names stay names."""

from __future__ import annotations

from copilot.errors import BadName
from copilot.files.area import split_input_name, split_output_name
from copilot.files.signing import Verifier

MOST = 4096
VERIFIER = Verifier([b"s" * 32])


def run(data: bytes) -> None:
    """Path and query, with a `?` between them."""
    path, _, query = data.decode(errors="surrogateescape").partition("?")
    for method in ("GET", "PUT"):
        assert VERIFIER.check(method, path, query, 1e9) is None
    for split in (split_input_name, split_output_name):
        try:
            job, name = split(path)
        except BadName:
            continue
        assert ".." not in (job, name)
        assert "/" not in job
        assert "\0" not in f"{job}{name}"
