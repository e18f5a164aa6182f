"""A manager in a simulation."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

from copilot.jobmanager.logic import JobManager, JobManagerSettings
from copilot.jobmanager.referral import StorageReferral
from copilot.protocol.commands import RunJob
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked
from copilot.protocol.rules import FEATURES, FEATURES_APART, Role
from copilot.runtime.component import Action, Actions, Component, Event, Gone
from copilot.storagemanager.logic import StorageManager
from tests.integration.simulation.lines import STORE
from tests.integration.simulation.node import Node
from tests.integration.simulation.queue import Queue

if TYPE_CHECKING:
    from tests.integration.simulation.world import World

SERVICE = "jm@x"
STORAGE = "sm@x"  # where managers are apart


class ManagerNode(Node):
    """A job manager and a storage manager on one session, or the one of them to which the account belongs."""

    def __init__(self, world: World, machine: str, jid: str) -> None:
        queue: Any = Queue(world, machine)
        random = world.random.random
        settings = JobManagerSettings(max_run_time=3600.0, lease=world.weather.lease)
        jobs = JobManager(queue, world.claims, settings, urls=None, random=random)
        storage = StorageManager(queue, world.claims, world.outputs, random=random)
        self._parts: tuple[Component, ...] = (jobs, storage)
        role = Role.JOB_MANAGER | Role.STORAGE_MANAGER
        if world.weather.apart and bare(jid) == SERVICE:
            self._parts = (jobs, StorageReferral(STORAGE))
        elif world.weather.apart:
            self._parts, role = (storage,), Role.STORAGE_MANAGER
        features = FEATURES_APART if world.weather.apart else FEATURES
        super().__init__(world, machine, jid, self, world.endpoint(role, jid, features=features))

    def hear_of_end(self, jid: str) -> None:
        """The server says that this session has ended."""
        if self._alive and self.online:
            self._handle(Gone(jid=jid))

    @property
    def serves(self) -> bool:
        """Whether it can take renewals."""
        gives_jobs = isinstance(self._parts[0], JobManager)
        return gives_jobs and self.online and self._world.lines.carry(self.machine, STORE)

    def handle(self, event: Event, now: float) -> Coroutine[Any, Any, Actions]:
        """As `copilot.runtime.compose.Parts`, one after the other."""
        if isinstance(event, Acked) and isinstance(event.command, RunJob):
            self._world.check_journaled(event.command)
        return _one_after_the_other([part.handle(event, now) for part in self._parts])

    def wakeup(self) -> float | None:
        return min((when for part in self._parts if (when := part.wakeup()) is not None), default=None)


async def _one_after_the_other(results: list[Actions | Awaitable[Actions]]) -> Actions:
    """All to their end, also when one fails: what that raised comes last."""
    done: list[Action] = []
    failure: Exception | None = None
    try:
        for result in results:
            try:
                done.extend(await result if isinstance(result, Awaitable) else result)
            except Exception as error:  # noqa: BLE001  # raised below
                failure = failure or error
    finally:
        for result in results:
            if isinstance(result, Coroutine):
                result.close()  # one that its instance did not live to begin
    if failure is not None:
        raise failure
    return done
