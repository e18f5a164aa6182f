"""The sample configurations in etc/ are the texts that the private servers of the tests run on."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[3] / "etc"
NAMES = ["prosody/prosody.cfg.lua", "ejabberd/ejabberd.yml"]


def template(name: str) -> str:
    """What a private server's configuration is made from, as it is installed with the package."""
    return resources.files("copilot.local").joinpath("templates", Path(name).name).read_text()


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_is_the_template_with_values_filled_in(name: str) -> None:
    parts = re.split(r"\$[a-z_]+", template(name))
    sample = (SAMPLES / name).read_text()
    filled = re.fullmatch("(.*)".join(map(re.escape, parts)), sample)
    assert filled, f"etc/{name} and copilot/local/templates differ beyond the values: change both alike"
    assert all(filled.groups())


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_names_no_machine_of_ours(name: str) -> None:
    domains = re.findall(r'"(?:[a-z]+[@.])?([a-z]+\.[a-z]+)"', (SAMPLES / name).read_text())
    assert set(domains) == {"example.org"}
