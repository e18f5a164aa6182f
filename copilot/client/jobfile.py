"""Job files of people who submit: TOML, YAML or JSON with the keys of `copilot.grid.jobkeys`, over files on this machine."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

from copilot.client.submission import Submission
from copilot.errors import BadName
from copilot.grid.jobfile import MAX_BYTES
from copilot.grid.jobkeys import read_keys
from copilot.job import DEFAULT_MAX_ATTEMPTS, LIMITS, Limits


def load_job_file(path: Path) -> dict[str, Any]:
    """What it says, every value as it is meant. Raises `BadName`, which names file and key."""
    reader = READERS.get(path.suffix)
    if reader is None:
        raise BadName(f"{path}: expected a job file called …{', …'.join(READERS)}")
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadName(f"{path}: {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise BadName(f"{path}: more than {MAX_BYTES} bytes: put large texts into an input file")
    try:
        said = reader(text.decode())
    except UnicodeDecodeError as error:
        raise BadName(f"{path}: not UTF-8: {error}") from error
    except (ValueError, RecursionError) as error:
        raise BadName(f"{path}: not {path.suffix[1:].upper()}: {_one_line(error)}") from error
    if not isinstance(said, dict):
        raise BadName(f'{path}: expected keys and values, like command: "run.sh"')
    try:
        return read_keys(said)
    except BadName as error:
        raise BadName(f"{path}: {error}") from None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _json(text: str) -> Any:
    def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for name, value in pairs:
            if name in said:
                raise ValueError(f"{name!r} is said twice")
            said[name] = value
        return said

    return json.loads(text, object_pairs_hook=once)


def _yaml(text: str) -> Any:
    import yaml  # who has no YAML does without it

    class Loader(yaml.SafeLoader):
        """Plain data alone, and each key once."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
            """As the parent's; a key that comes twice is a mistake."""
            names = [self.construct_object(key, deep=True) for key, _ in node.value]
            for name in names:
                if names.count(name) > 1:
                    raise ValueError(f"{name!r} is said twice")
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # noqa: S506  # it is a SafeLoader
    except yaml.YAMLError as error:
        raise ValueError(error) from error


READERS: Mapping[str, Callable[[str], Any]] = {
    ".toml": tomllib.loads,
    ".yaml": _yaml,
    ".yml": _yaml,
    ".json": _json,
}


def submission(said: Mapping[str, Any], directory: Path, *, job: str, owner: str) -> Submission:
    """The job that the keys describe, files relative to `directory`; `job` and `owner` where they say nothing. Raises `BadName`."""
    if not said.get("command"):
        raise BadName("command: missing; expected the file that is executed")

    def here(name: str) -> Path:
        return directory / Path(name).expanduser()

    validation = said.get("validation")
    return Submission(
        id=said.get("id", job),
        command=here(said["command"]),
        arguments=said.get("arguments", ""),
        environment=said.get("environment", {}),
        packages=said.get("packages", ()),
        inputs={name: here(path) for name, path in said.get("inputs", {}).items()},
        validation=None if validation is None else here(validation),
        priority=said.get("priority", 0),
        max_attempts=said.get("max_attempts", DEFAULT_MAX_ATTEMPTS),
        max_user_attempts=said.get("max_user_attempts", 1),
        max_run_time=said.get("max_run_time"),
        owner=said.get("owner", owner),
        exclusive=said.get("exclusive", False),
        requirements=said.get("requirements", ""),
        project=said.get("project", ""),
        limits=Limits(**{name: said.get(name) for name in LIMITS}),
        network=said.get("network", False),
        image=said.get("image", ""),
        cores=said.get("cores", 1),
        max_cores=said.get("max_cores"),
        gpus=said.get("gpus", 0),
        tags=said.get("tags", ()),
        after=said.get("after", ()),
        after_any=said.get("after_any", ()),
        array=said.get("array", 0),
        rank=said.get("rank", ""),
        hold=said.get("hold", False),
    )
