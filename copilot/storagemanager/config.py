"""Settings of the storage manager: those of the job manager, under names of its own (report, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from copilot.config.kinds import FLAG
from copilot.config.manager import ManagerSettings
from copilot.config.setting import Program, setting, settings


@settings
class StorageManagerConfig(ManagerSettings):
    """What `copilot-storagemanager` reads: `SM_` keys, and the `JM_` key where there is none."""

    program: ClassVar[Program] = Program(
        name="storagemanager", prefixes=("SM", "JM"), else_files_of=("jobmanager-generic",)
    )

    storage_only_mode_on: bool = setting(
        "*_STORAGE_ONLY_MODE_ON", "take outputs, give no jobs; always so here", FLAG, default="1", own=True
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        if values.get("storage_only_mode_on") is False:
            yield (
                "storage_only_mode_on",
                "expected 1: to give jobs, too, start copilot-jobmanager-generic instead",
            )
