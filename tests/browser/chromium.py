"""Finds the Chromium of this machine, or that which `make servers` unpacked, and starts it.

async with chromium.opened(tmp_path) as browser:
    look = await Look.open(browser, "http://127.0.0.1:8095/")
    await look.shows(board)
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

from playwright.async_api import Browser, async_playwright

from copilot.errors import ServerMissing
from copilot.local import provision
from tests.missing import missing

PROGRAM = "chromium"
ARGUMENTS = (
    "--no-sandbox",  # tests run as root in containers; all that is looked at is our own
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
FONTS = Template("""<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig>
  <dir>/usr/share/fonts</dir>
  <dir>$root/usr/share/fonts</dir>
  <cachedir>$cache</cachedir>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
  <match target="pattern"><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
</fontconfig>
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chromium:
    """A program and the environment that it needs."""

    program: Path
    environment: dict[str, str]


@asynccontextmanager
async def opened(scratch: Path) -> AsyncIterator[Browser]:
    """A headless Chromium with a fresh profile. Missing, the test is skipped on a laptop and fails where `CI` is set."""
    try:
        found = find(scratch)
    except ServerMissing as error:
        missing(str(error))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=found.program, args=ARGUMENTS, env=dict(found.environment)
        )
        yield browser
        await browser.close()


def find(scratch: Path) -> Chromium:
    """The Chromium to test with; `scratch` is for what it keeps. Raises `ServerMissing`, which says how to get it."""
    installed = provision.require(PROGRAM)
    program, environment = installed.program, installed.environment()
    if installed.root != provision.SYSTEM:
        # What lies in usr/bin is a script that knows its installed place only.
        program = installed.root / "usr" / "lib" / "chromium" / "chromium"
        libraries = [environment["LD_LIBRARY_PATH"], *_apart(installed.root)]
        environment["LD_LIBRARY_PATH"] = os.pathsep.join(libraries)
    fonts = scratch / "fonts.conf"
    fonts.write_text(FONTS.substitute(root=installed.root, cache=scratch / "fonts"))
    home = {"HOME": str(scratch), "FONTCONFIG_FILE": str(fonts), "TZ": "UTC"}
    return Chromium(program=program, environment=environment | home)


def _apart(root: Path) -> list[str]:
    """Directories of libraries that are found by a path in the library that needs them, which is not ours."""
    return [str(place) for place in root.glob("usr/lib/*-linux-*/pulseaudio")]
