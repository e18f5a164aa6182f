"""What of this machine is for jobs: what the operator says, and else what is found here."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from copilot.agent.capacity import Capacity
from copilot.agent.config import AgentConfig
from copilot.agent.gpus import ROOT, find_gpus
from copilot.errors import ConfigError
from copilot.host import KIBIBYTE, MEBIBYTE, HostFacts

log = logging.getLogger("copilot.agent")

MOST_SLOTS = 1024
LEAST_DISK = 64  # MiB for each job; a disk on which less is free is full, which may pass, and says nothing of what jobs can have


def capacity_of(config: AgentConfig, host: HostFacts, cpus: Collection[int], root: Path = ROOT) -> Capacity:
    """What this agent has for jobs on that host. `cpus`: the cores that this process may use; `root` is where /dev and /proc are.

    Raises `ConfigError` where jobs cannot be bound to cores.
    """
    # Whoever has set AGENT_SLOTS alone meant so many jobs at a time, on however many cores.
    cores = config.cores or max(len(cpus), config.slots or 0)
    if config.bind and cores > len(cpus):
        raise ConfigError(
            f"AGENT_BIND is on, and AGENT_CORES or AGENT_SLOTS is {cores}: expected at most the {len(cpus)} cores that this process "
            "may use, for each job gets its own; set AGENT_CORES to that, or AGENT_BIND to 0"
        )
    if config.cores is not None and cores > len(cpus):
        log.warning(
            "AGENT_CORES is %d, and this process may use %d cores: jobs have to share them", cores, len(cpus)
        )
    memory = (config.memory or host.memory_mb * MEBIBYTE) // MEBIBYTE
    jobs = config.slots or min(cores, MOST_SLOTS)
    return Capacity(
        cores=cores,
        jobs=jobs,
        most=config.max_cores,
        gpus=find_gpus(root) if config.gpus is None else config.gpus,
        cpus=tuple(sorted(cpus)[:cores]) if config.bind else (),
        memory=memory if config.memory else max(memory, (config.max_memory or 0) // MEBIBYTE),
        disk=_disk(config, host.local_disk_kb * KIBIBYTE // MEBIBYTE, min(cores, jobs)),
    )


def _disk(config: AgentConfig, free: int, places: int) -> int | None:
    """What jobs have of the disk together, in MiB; None: nobody knows, so whatever is free when they need it."""
    if config.disk:
        return config.disk // MEBIBYTE
    if config.max_disk:
        return max(free, config.max_disk // MEBIBYTE)
    if free < places * LEAST_DISK:
        log.warning(
            "%d MiB are free below %s: the disk is full, so no job is held to a share of it, and jobs are handed back while less than 1 MiB "
            "is free. Free space, or set AGENT_WORK_DIR to another disk, or AGENT_DISK to what jobs may use of this one",
            free,
            config.work_dir,
        )
        return None
    return free
