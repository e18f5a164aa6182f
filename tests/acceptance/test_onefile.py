"""The agent as one file: a plain Python, no variable of ours, no package of ours, and nothing but the file and a bundle."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.local.process import identity, reachable, unprivileged_user
from tests.acceptance.running import LIMIT_S, Up, packed, run, script, stop, until
from tools.pack import onefile

USER = unprivileged_user()
VERSION = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"


@pytest.fixture
def system(up: Up) -> Iterator[Up]:
    with up.running("--agents", "0"):
        yield up


def pythons() -> Iterator[tuple[Path, str]]:
    """Those that the agent's user can start and that Co-Pilot is for, with their versions: never the one of an environment."""
    for path in (Path(sys._base_executable), Path("/usr/bin/python3")):  # type: ignore[attr-defined]
        if path.exists() and reachable(path, USER):
            version = subprocess.run(
                [path, "-c", VERSION], capture_output=True, text=True, check=True
            ).stdout.strip()
            if tuple(map(int, version.split("."))) >= (3, 11):
                yield path, version


@pytest.mark.timeout(180)  # the first time it fetches what it packs
def test_the_agent_as_one_file_comes_in_by_a_bundle_and_does_a_job(system: Up, place: Path) -> None:
    python, version = next(pythons(), (None, ""))
    if python is None:
        pytest.skip(f"no Python of 3.11 or newer that {USER} can start")
    program, bundle, home, output = (
        place / name for name in ("copilot-agent.pyz", "lab.conf", "home", "said")
    )
    onefile.write(program, onefile.make([version], level=1))
    made = run("copilot", "bundle", "create", "-o", bundle, "--config", system.etc)
    assert made.returncode == 0, made.stderr
    home.mkdir()
    if USER is not None:
        shutil.chown(bundle, USER)
        shutil.chown(home, USER)
    nothing = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AGENT_SANDBOX": "none", "AGENT_IMAGES": "none"}
    argv = [python, program, "--join", bundle, "--dir", home / "work"]
    with (
        output.open("wb") as file,
        subprocess.Popen(argv, env=nothing, cwd=home, stdout=file, stderr=file, **identity(USER)) as process,
    ):
        try:
            until(lambda: "Ready as" in output.read_text() or process.poll() is not None, "the agent's login")
            assert process.poll() is None, output.read_text()
            record = system.job(script(place / "sum.sh", "echo $((2+2))"))
            assert packed(record)["stdout"] == "4\n"
            mapped = Path(f"/proc/{process.pid}/maps").read_text()
            assert f"{home}/.cache/copilot-agent/" in mapped
            assert "site-packages" not in mapped, "all that is compiled comes out of the file"
            assert stop(process) == 0
        finally:
            process.kill()
            process.wait(LIMIT_S)
