"""Requirements of a job: what is read is written in one way, and worked out soon."""

from __future__ import annotations

import time

from copilot.errors import BadRequirements
from copilot.matching import classads
from copilot.matching.matcher import read_host
from copilot.matching.requirements import read_requirements

MOST = 20_000
LONGEST_S = 2.0  # of a process that is watched, on a machine with others
HOST = '[ A = "' + "x" * 8_000 + '"; B = 5; C = {"a", "b"}; D = 1.5; Memory = 2000 ]'


def run(data: bytes) -> None:
    """`data` is the text, in UTF-8 or not."""
    try:
        read = read_requirements.__wrapped__(data.decode(errors="surrogateescape"))
    except BadRequirements:
        return
    assert read_requirements.__wrapped__(read.text).text == read.text
    began = time.process_time()
    classads.holds(classads.parse(read.text), read_host(HOST, read.attributes).scope)
    assert time.process_time() - began < LONGEST_S
