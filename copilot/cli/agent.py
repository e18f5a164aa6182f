"""`copilot-agent`: takes jobs and runs them on this machine (report, section 4.3)."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import random
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from copilot import lean
from copilot.agent.announce import attributes_of, fitting, requirements_of_jobs
from copilot.agent.capacity import Capacity, for_one_job, in_words, said_of
from copilot.agent.config import AgentConfig
from copilot.agent.counts import AgentCounts
from copilot.agent.drain import Limits, lifetime_here
from copilot.agent.guard import start_guard
from copilot.agent.hardware import capacity_of
from copilot.agent.isolation.base import Network
from copilot.agent.isolation.choosing import SandboxContext, choose
from copilot.agent.isolation.images import ImageRules, choose_images
from copilot.agent.limits.keeping import keep, most_open_files
from copilot.agent.logic import Agent, AgentSettings
from copilot.agent.processes import become_subreaper
from copilot.agent.programs import DIRECTORY as EXECUTABLES
from copilot.agent.programs import installed
from copilot.agent.service import AgentService, ServiceSettings
from copilot.cli import daemon
from copilot.cli.daemon import Option
from copilot.cli.directories import make_directory
from copilot.cli.heartbeating import with_heartbeat
from copilot.cli.metrics import showing_metrics
from copilot.cli.reloading import Reloading, askers_of
from copilot.cli.reporting import reporters
from copilot.cli.securing import agent_security, learning
from copilot.clock import SystemClock
from copilot.config import COMMON_FILE, DIRECTORY_KEY
from copilot.config.load import locate
from copilot.config.secret import files_of_secrets
from copilot.enrol.credentials import CONFIGURATION
from copilot.errors import AgentRevoked, CertificateRefused, ConfigError, LoginRefused
from copilot.files.clients import Files
from copilot.host import KIBIBYTE, MEBIBYTE, read_host
from copilot.job import Limits as JobLimits
from copilot.protocol.jdl import Value, host_jdl
from copilot.protocol.limits import Rate, Throttle, Tier
from copilot.protocol.people import Includes
from copilot.protocol.rules import FEATURES, Role
from copilot.runtime.compose import Parts, Performers
from copilot.runtime.loop import Loop
from copilot.runtime.reports import Happened
from copilot.runtime.status import ComponentStatus

log = logging.getLogger("copilot.agent")

DEFAULT_DIRECTORY = ".copilot-agent"
OTHERS = Rate(per_second=10.0, burst=100.0)  # one who asks how it fares, or has no business here


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return daemon.main(
        AgentConfig,
        "Takes jobs from a Co-Pilot service and runs them on this machine.",
        run,
        arguments,
        options=(
            Option("cores", "-n"),
            Option("max_cores", "-s"),
            Option("slots"),
            Option("gpus"),
            Option(
                "projects",
                "-p",
                metavar="PROJECT",
                many=True,
                what="take jobs of this project alone; may be repeated",
            ),
            Option(
                "tags",
                "--tag",
                many=True,
                what="a word by which jobs may ask for this agent; may be repeated",
            ),
            Option("requirements"),
            Option("max_idle"),
            Option(
                "max_idle",
                "-q",
                metavar="MINUTES",
                convert=_minutes,
                what="leave after so many minutes without a job",
            ),
            Option("max_jobs"),
            Option("lifetime"),
            Option("work_dir", "-wd", convert=_absolute, metavar="DIR"),
        ),
        entrance=_Entrance(),
    )


def _minutes(text: str) -> str:
    return f"{text}m"


def _absolute(text: str) -> str:
    return str(Path(text).absolute())


class _Entrance:
    """`--join`: come in by a bundle first; `--dir`: go on as the agent that has come in there."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """As `Entrance.add_options`."""
        parser.add_argument(
            "--join",
            type=Path,
            metavar="BUNDLE",
            help="come in by this bundle first, unless this agent is in already (copilot bundle create makes bundles)",
        )
        parser.add_argument(
            "--dir",
            type=Path,
            metavar="DIR",
            help="work directory of an agent that comes in, or has come in, by a bundle; its credentials are there "
            f"(default with --join: $AGENT_WORK_DIR, else ~/{DEFAULT_DIRECTORY})",
        )

    def find(self, chosen: argparse.Namespace) -> Path | None:
        """As `Entrance.find`."""
        if chosen.join is None and chosen.dir is None:
            given: Path | None = chosen.config
            return given
        if chosen.config is not None:
            raise ConfigError(
                "--config: expected without --join and --dir, which have a configuration of their own"
            )
        named = chosen.AGENT_WORK_DIR or os.environ.get("AGENT_WORK_DIR")
        place = chosen.dir or (Path(named) if named else Path.home() / DEFAULT_DIRECTORY)
        directory = place.absolute()
        if chosen.join is None:
            if not (directory / CONFIGURATION).exists():
                raise ConfigError(f"--dir {directory}: no agent has come in there yet; --join BUNDLE does it")
            return directory / CONFIGURATION
        from copilot.cli.join import join  # it loads what is of no use afterwards

        return asyncio.run(join(chosen.join, directory))


async def run(config: AgentConfig, reloading: Reloading[AgentConfig]) -> int:
    """One agent, until it is asked to stop."""
    lean.share_one_heap()
    guard = start_guard(config.work_dir / "jobs")
    config = _with_own_authority(config)
    make_directory(config.work_dir)
    log.info("Waking the component up.")
    secure = agent_security(
        config, config.jm_jabber_address, credential=config.ticket_password or "No credential"
    )
    files = Files.standard(
        ca_file=config.files_ca_file,
        shared=() if config.shared_dir is None else (config.shared_dir,),
        chirp_ticket=config.chirp_ticket_file,
    )
    become_subreaper()
    counts = AgentCounts()
    capacity = capacity_of(config, read_host(config.work_dir), os.sched_getaffinity(0))
    log.info("Jobs have together: %s.", in_words(capacity))
    payloads = _payloads(config, capacity)
    service = AgentService(payloads, files, counts=counts)
    about_us = _Description(config, capacity, payloads)
    logic = _logic(config, service, counts, capacity, about_us)

    def describing_anew(new: AgentConfig) -> Callable[[], None]:
        put = about_us.prepare(new)
        return lambda: logic.describes_anew() if put() else None

    reloading.on(prepare=lambda _: files.trusting_anew())
    reloading.on("tags", "projects", "requirements", prepare=describing_anew)
    reloading.take(
        "request_interval",
        "drain_grace",
        "max_idle",
        "max_jobs",
        by=lambda new: logic.change(request_interval=new.request_interval, limits=_limits(new)),
    )
    counts.slots, counts.held = capacity.jobs, logic.phases
    counts.cores, counts.cores_used = capacity.cores, logic.cores_used
    askers = askers_of(config, reloading)
    endpoint = daemon.endpoint(
        Role.AGENT,
        trusts=logic.trusts,
        throttle=_throttle(askers, logic),
        security=None if secure is None else secure.security,
    )

    async def standing() -> Mapping[str, str]:
        return logic.standing().fields()

    status = ComponentStatus("copilot-agent", endpoint, FEATURES, SystemClock().monotonic, standing)
    transport = daemon.transport(
        config, config.work_dir, "Co-Pilot agent", status=status, askers=askers, end=endpoint
    )
    happened = Happened(events=counts.happened)
    learners, keepers = learning(secure)
    parts = Parts([logic, *learners, *reporters(config.mon_jabber_address, "agent", happened, group=True)])
    effects = Performers(keepers, service)
    component, performer = with_heartbeat(parts, config, transport, askers, performer=effects, agent=True)
    loop = Loop(
        component,
        endpoint,
        transport,
        performer=performer,
        announce_to=config.jm_jabber_address,
    )
    reloading.take(by=lambda _: loop.look())
    numbers = (counts, files.counts, loop.counts, endpoint.counts, transport.counts)
    try:
        async with showing_metrics(config, *numbers, directories={"work": config.work_dir}):
            return await daemon.turn(loop, reloading)
    except CertificateRefused:
        raise
    except LoginRefused as error:
        if not transport.counts.begun:
            raise
        raise AgentRevoked(
            f"{config.jid} was in and is not let in any more: it was revoked, has expired, or has another password now. Its jobs "
            "were stopped and go to other agents; to come in again it needs a new bundle (copilot-agent --join) and an empty "
            f"work directory. ({error})"
        ) from error
    finally:
        await files.close()
        service.close()
        guard.dismiss()


def _throttle(askers: Includes, logic: Agent) -> Throttle:
    """Nobody has to say much to an agent but those whom it obeys."""

    def tier(account: str) -> Tier:
        return (
            Tier.SERVICE
            if logic.trusts(account)
            else Tier.KNOWN
            if askers.include(account)
            else Tier.STRANGER
        )

    return Throttle(tier, OTHERS, stranger=OTHERS)


def _with_own_authority(config: AgentConfig) -> AgentConfig:
    """A certificate authority that stands in the settings becomes a file, as the rest expects it."""
    if config.jabber_ca is None:
        return config
    make_directory(config.work_dir)
    path = config.work_dir / "ca.pem"
    path.write_text(config.jabber_ca)
    return replace(config, jabber_ca_file=path, files_ca_file=config.files_ca_file or path)


def _payloads(config: AgentConfig, capacity: Capacity) -> ServiceSettings:
    """How they are run here. Raises `NoIsolation`, `NoLimits`."""
    isolation = choose(config.sandbox, _sandbox_context(config))
    log.info("Payloads run in this sandbox: %s.", isolation.level)
    if config.sandbox_network is Network.NEVER and "net" not in isolation.level.split("+"):
        log.warning(
            "AGENT_SANDBOX_NETWORK is never, but payloads have the network: this sandbox cannot keep them from it"
        )
    keeping = keep(config.limits, _most(config, capacity), config.max_files, _each(config, capacity))
    log.info("Their limits are kept by: %s.", keeping.level)
    images = choose_images(config.images, _sandbox_context(config), _image_rules(config))
    if images is not None:
        log.info("Jobs in container images run by: %s.", images.tool.level)
    return ServiceSettings(
        work_dir=config.work_dir,
        package_tool=config.package_tool,
        max_output=config.max_output,
        input_cache=config.input_cache,
        isolation=isolation,
        keeping=keeping,
        network=config.sandbox_network,
        images=images,
    )


def _most(config: AgentConfig, capacity: Capacity) -> JobLimits:
    """What any job may use here."""
    disk = config.max_disk or _bytes(capacity.disk)
    return JobLimits(
        memory=config.max_memory or _bytes(capacity.memory),
        cpu_time=config.max_cpu_time,
        processes=config.max_processes,
        open_files=config.max_open_files or most_open_files(),
        file_size=config.max_file_size or disk,
        disk=disk,
    )


def _each(config: AgentConfig, capacity: Capacity) -> JobLimits:
    """What a job that does not say what it needs may use for each of its cores."""
    return JobLimits(
        memory=None if config.max_memory else _bytes(capacity.share(capacity.memory, 1)),
        disk=None if config.max_disk else _bytes(capacity.share(capacity.disk, 1)),
    )


def _bytes(mebibytes: int | None) -> int | None:
    return None if mebibytes is None else mebibytes * MEBIBYTE


def _about(config: AgentConfig, capacity: Capacity, payloads: ServiceSettings) -> Mapping[str, Value]:
    """What the host's JDL says of what jobs can have, of the sandbox (how payloads are kept apart and limited), and of which kinds
    their container image may be."""
    isolation, keeping, images = payloads.isolation, payloads.keeping, payloads.images
    network = config.sandbox_network is not Network.NEVER or not isolation.level.startswith("bubblewrap")
    memory = for_one_job(keeping.most.memory, _bytes(capacity.memory))
    disk = for_one_job(keeping.most.disk, _bytes(capacity.disk))
    return {
        **said_of(capacity),
        "Sandbox": isolation.level,
        "Limits": keeping.level,
        "Network": network,
        "MaxMemory": (memory or 0) // MEBIBYTE,
        **({} if disk is None else {"MaxDisk": disk // KIBIBYTE}),  # else it is what is free at the moment
        **({} if images is None else {"Images": images.kinds}),
    }


class _Description:
    """Makes the JDL of this host, as it is then. Runs the probes of programs, once."""

    def __init__(self, config: AgentConfig, capacity: Capacity, payloads: ServiceSettings) -> None:
        self._place = config.work_dir
        self._about = _about(config, capacity, payloads)
        self._programs = installed(_program_directories(config), payloads.isolation.account)
        self._said: tuple[Mapping[str, Value], str] = ({}, "")
        self.prepare(config)()

    def prepare(self, config: AgentConfig) -> Callable[[], bool]:
        """Other tags, projects and requirements; called, it puts them to work and says whether anything is other than before. Programs that no
        longer fit beside them are not announced. Raises `BadRequirements`."""
        tags, projects = config.tags or (), config.projects or ()
        requirements = requirements_of_jobs(config.requirements or "", projects)
        rest = self._describe(attributes_of({}, tags, projects), requirements)
        announced = fitting(self._programs, len(rest.encode()))
        said = attributes_of(announced, tags, projects), requirements

        def put() -> bool:
            if said == self._said:
                return False
            for name, versions in announced.items():
                log.info("Program %s: %s.", name, ", ".join(versions))
            self._said = said
            return True

        return put

    def __call__(self) -> str:
        return self._describe(*self._said)

    def _describe(self, said: Mapping[str, Value], requirements: str) -> str:
        return host_jdl(read_host(self._place), {**self._about, **said}, requirements=requirements)


def _program_directories(config: AgentConfig) -> list[Path]:
    place = locate(None, os.environ)
    beside = (place if place.is_dir() else place.parent) / EXECUTABLES
    return [beside, *([] if config.programs_dir is None else [config.programs_dir])]


def _image_rules(config: AgentConfig) -> ImageRules:
    """What is allowed of images."""
    return ImageRules(
        directory=config.image_dir,
        registries=config.image_registries,
        pull=config.image_pull,
        limit=config.image_pull_limit,
    )


def _sandbox_context(config: AgentConfig) -> SandboxContext:
    """Payloads see neither what the agent reads and writes, nor anything of it in the places that they do see."""
    settings = os.environ.get(DIRECTORY_KEY)
    mine = (
        config.shared_dir,
        config.chirp_ticket_file,
        config.logger_config_file,
        config.key_file,
        settings and Path(settings),
        settings and Path(settings).parent / COMMON_FILE,  # where `settings` is a file
        *files_of_secrets(),
    )
    tool = shutil.which(config.package_tool[0]) if config.package_tool else None
    return SandboxContext(
        work_dir=config.work_dir.resolve(),
        hidden=tuple(path.resolve() for path in mine if path),
        shown=(*config.sandbox_paths, *([] if tool is None else [tool])),
        user=config.sandbox_user,
    )


def _limits(config: AgentConfig) -> Limits:
    """All but its life time."""
    return Limits(grace=config.drain_grace, max_idle=config.max_idle, max_jobs=config.max_jobs)


def _logic(
    config: AgentConfig,
    service: AgentService,
    counts: AgentCounts,
    capacity: Capacity,
    jdl: Callable[[], str],
) -> Agent:
    settings = AgentSettings(
        manager=config.jm_jabber_address,
        host=socket.gethostname(),
        agent_class=config.agent_class,
        capacity=capacity,
        request_interval=config.request_interval,
        referral_domains=config.referral_domains,
        limits=replace(
            _limits(config),
            lifetime=lifetime_here(config.lifetime, os.environ, SystemClock().wall()),
            born=SystemClock().monotonic(),
        ),
    )
    return Agent(
        settings,
        jdl=jdl,
        has_file=lambda path: Path(path).is_absolute() and Path(path).exists(),
        random=random.random,
        wall=SystemClock().wall,
        phase=service.phase,
        package=service.package,
        image_fault=service.image_fault,
        journal=service.recover(),
        counts=counts,
    )
