from __future__ import annotations

from tools.pack import parts

LOCK = """# made by
always==1 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
early==2 ; python_full_version < '3.11.3' \\
    --hash=sha256:cc
old==3 ; python_version < '3.11' \\
    --hash=sha256:dd
here==4 ; python_version < '3.13' and platform_machine == 'x86_64' \\
    --hash=sha256:ee
elsewhere==5 ; sys_platform == 'win32' \\
    --hash=sha256:ff
"""


def names(python: str, machine: str = "x86_64") -> list[str]:
    return [line.split("==")[0] for line in parts.wanted(LOCK, python, machine).splitlines()]


def test_what_any_release_of_a_python_needs_is_taken_whichever_packs() -> None:
    assert names("3.11") == ["always", "early", "here"]
    assert names("3.12") == ["always", "here"]
    assert names("3.13") == ["always"]
    assert names("3.12", "aarch64") == ["always"]


def test_hashes_stay_and_conditions_go() -> None:
    assert parts.wanted(LOCK, "3.11", "x86_64").splitlines()[:2] == [
        "always==1 --hash=sha256:aa --hash=sha256:bb",
        "early==2 --hash=sha256:cc",
    ]
