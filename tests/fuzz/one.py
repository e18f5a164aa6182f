"""Fuzzes one target with atheris, which must be importable: python -m tests.fuzz.one TARGET [libFuzzer's options …]"""

from __future__ import annotations

import importlib
import sys

import atheris

NEEDED_FIRST = ("lxml.etree", "classad2", "aiohttp")  # in machine code, or of no interest


def main() -> None:
    """Never returns: libFuzzer ends the process."""
    name = sys.argv.pop(1)
    for one in NEEDED_FIRST:
        importlib.import_module(one)
    with atheris.instrument_imports(include=["copilot"]):
        target = importlib.import_module(f"tests.fuzz.targets.{name}")
    atheris.Setup([*sys.argv, f"-max_len={target.MOST}"], target.run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
