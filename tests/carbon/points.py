"""Prints all points that Whisper has, in Graphite's own environment: points.py <directory>. JSON: path → [[time, value], …]."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path

import whisper

found = {}
root = Path(sys.argv[1])
for file in root.rglob("*.wsp"):
    with contextlib.suppress(whisper.CorruptWhisperFile):  # Carbon is just making it
        (start, end, step), values = whisper.fetch(str(file), 0)
        path = ".".join(file.relative_to(root).with_suffix("").parts)
        times = range(start, end, step)
        found[path] = [[time, value] for time, value in zip(times, values, strict=True) if value is not None]
json.dump(found, sys.stdout)
