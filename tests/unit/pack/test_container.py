"""The container file, as far as it can be looked at without a registry to take its base from."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTAINERFILE = ROOT / "packaging" / "Containerfile"
HEALTHY = ROOT / "packaging" / "container" / "healthy"


def stages() -> list[list[tuple[str, str]]]:
    """Instructions and their arguments, by stage; what stands before the first FROM is not in it."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", CONTAINERFILE.read_text(), flags=re.MULTILINE))
    found: list[list[tuple[str, str]]] = []
    for line in filter(None, text.splitlines()):
        word, _, rest = line.partition(" ")
        if word == "FROM":
            found.append([])
        if found:
            found[-1].append((word, rest))
    return found


def test_what_it_copies_is_there_and_let_in() -> None:
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = [
        source
        for stage in stages()
        for word, rest in stage
        if word == "COPY" and "--from=" not in rest
        for source in rest.split()[:-1]
    ]
    assert len(copied) >= 6
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(source == one or source.startswith(f"{one}/") for one in let_in), source


def test_what_runs_is_nobody_special_and_has_nothing_that_builds() -> None:
    *_, last = stages()
    assert len(stages()) == 2
    words = dict(last)
    assert words["USER"] == "copilot"
    installed = [rest for word, rest in last if word == "RUN" and "apt-get" in rest]
    assert not any(re.search(r"pip|gcc|build-essential|-dev|setuptools|make", rest) for rest in installed)
    assert json.loads(words["CMD"])[0] == "copilot"
    assert 'CMD ["healthy"]' in words["HEALTHCHECK"]
    assert f"/opt/copilot/bin/{HEALTHY.name}" in CONTAINERFILE.read_text()


def test_packages_of_others_are_those_of_the_lock_file_by_their_hashes() -> None:
    build, _ = stages()
    installs = [rest for word, rest in build if word == "RUN" and "run.lock" in rest]
    assert all("--require-hashes" in rest and "--only-binary :all:" in rest for rest in installs)
    assert len(installs) == 1


@pytest.fixture
def metrics() -> Iterator[HTTPServer]:
    """A program's metrics; `session` says what they tell."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"# HELP copilot_session_up 1\ncopilot_session_up " + server.session)  # type: ignore[attr-defined]

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.session = b"1.0\n"  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def health(**variables: str) -> tuple[int, str]:
    done = subprocess.run([HEALTHY], env=variables, capture_output=True, text=True, check=False)
    assert not done.stderr
    return done.returncode, done.stdout.strip()


def test_a_container_is_well_while_its_program_has_a_session(metrics: HTTPServer) -> None:
    listen = f"0.0.0.0:{metrics.server_port}"
    assert health(JM_METRICS_LISTEN=listen) == (0, "well")
    metrics.session = b"0.0\n"  # type: ignore[attr-defined]
    assert health(JM_METRICS_LISTEN=listen) == (1, "no session with the XMPP server")


def test_a_container_is_not_well_if_its_program_does_not_answer(metrics: HTTPServer) -> None:
    port = metrics.server_port
    metrics.shutdown()
    metrics.server_close()
    code, said = health(AGENT_METRICS_LISTEN=f"127.0.0.1:{port}")
    assert (code, said.split(":")[0]) == (1, "no answer at 127.0.0.1")


def test_without_metrics_there_is_nothing_to_ask() -> None:
    assert health(AGENT_METRICS_LISTEN="") == (0, "well")
