"""The files of the page."""

from __future__ import annotations

import re

from copilot.monitor.dashboard import assets

LARGEST = 200_000  # bytes of all files together


def test_the_page_is_light() -> None:
    assert sum(len(asset.body) for asset in assets.load().values()) < LARGEST


def test_the_page_asks_for_nothing_that_is_not_here() -> None:
    found = assets.load()
    for path, asset in found.items():
        text = asset.body.decode()
        outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", re.sub(r"http://www\.w3\.org/\S+", "", text)))
        assert outside == set(), path
        if path == "/":
            named = set(re.findall(r'(?:src|href)="(/static/[^"]+)"', text))
            assert named <= found.keys()
        for name in re.findall(r'from "\./([^"]+)"', text):
            assert f"/static/{name}" in found, path


def test_no_file_makes_markup_from_text_and_the_page_has_no_script_or_style_in_it() -> None:
    found = assets.load()
    for path, asset in found.items():
        text = asset.body.decode()
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text
        ), path
    page = found["/"].body.decode()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
