"""Settings of the job manager, and of the commands that work on its queue and files (report, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from copilot.config.groups import (
    FileServerSettings,
    LoggerSettings,
    QueueSettings,
    RetentionSettings,
    StagingSettings,
)
from copilot.config.kinds import JID, PATH
from copilot.config.manager import ManagerSettings
from copilot.config.setting import Program, setting, settings


@settings
class ManagerConfig(ManagerSettings):
    """What `copilot-jobmanager-generic` reads. Times in seconds, sizes in bytes."""

    program: ClassVar[Program] = Program(name="jobmanager-generic", prefixes=("JM",))


@settings
class SubmitConfig(StagingSettings, QueueSettings):
    """What `copilot-job-submit` reads; its options may say where files go."""

    program: ClassVar[Program] = Program(
        name="job-submit", prefixes=("JM",), else_files_of=("jobmanager-generic",)
    )

    jm_jabber_address: str | None = setting(
        "JM_JABBER_ADDRESS",
        "Jabber ID of the job manager, for whom secrets of jobs are sealed",
        JID,
        default=None,
        unset="the only service in *_PUBLIC_KEYS_FILE",
    )
    public_keys_file: Path | None = setting(
        "*_PUBLIC_KEYS_FILE",
        "public keys of services: a line with the Jabber ID of one, then its keys in PEM form, and so on",
        PATH,
        default=None,
        unset="jobs have no secrets",
    )


@settings
class CleanConfig(RetentionSettings, StagingSettings, QueueSettings):
    """What `copilot clean` reads of the managers' settings, the job manager's first."""

    program: ClassVar[Program] = Program(
        name="jobmanager-generic", prefixes=("JM", "SM"), else_files_of=("storagemanager",)
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        yield from cls.missing_directory(values)


@settings
class FileServerConfig(FileServerSettings, LoggerSettings):
    """What `copilot-fileserver` reads of the manager's settings, the job manager's first."""

    program: ClassVar[Program] = Program(
        name="fileserver", prefixes=("JM", "SM"), else_files_of=("jobmanager-generic", "storagemanager")
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        yield from cls.missing_directory(values)
