from __future__ import annotations

import io
import json
import platform
import zipfile

from tools.pack import parts
from tools.pack.onefile import archive
from tools.pack.unpacking import MANIFEST

EACH = {
    "3.11": {"both.py": b"1", "fast.so": b"for 3.11"},
    "3.12": {"both.py": b"1", "fast.so": b"for 3.12", "lxml/includes/x.h": b""},
}


def opened(data: bytes) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(data))


def test_the_same_content_gives_the_same_bytes() -> None:
    turned = {python: dict(reversed(list(files.items()))) for python, files in EACH.items()}
    assert archive(EACH, "x86_64") == archive(turned, "x86_64")


def test_what_is_alike_for_all_pythons_is_in_it_once_and_headers_are_not() -> None:
    names = opened(archive(EACH, "x86_64")).namelist()
    assert sorted(names) == ["__main__.py", "all/both.py", "cp311/fast.so", "cp312/fast.so", MANIFEST]


def test_other_content_has_another_name() -> None:
    other = {**EACH, "3.12": {**EACH["3.12"], "fast.so": b"newer"}}
    contents = {
        json.loads(opened(archive(each, "x86_64")).read(MANIFEST))["content"] for each in (EACH, other)
    }
    assert len(contents) == 2


def test_it_starts_as_a_program() -> None:
    assert archive(EACH, platform.machine()).startswith(b"#!/usr/bin/env python3\nPK")


def test_tags_are_those_of_wheels() -> None:
    assert parts.tag("3.13") == "cp313"
