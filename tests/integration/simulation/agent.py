"""An agent in a simulation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from copilot.agent.capacity import Capacity
from copilot.agent.drain import Limits
from copilot.agent.effects import Assignment, Execute, Forget, Note, Pack, Remember, Stop, Upload
from copilot.agent.logic import Agent, AgentSettings
from copilot.errors import TransferUnavailable
from copilot.job import Cause, Outcome, Output
from copilot.protocol.rules import Role
from copilot.runtime.component import Action, Finished, Leave
from tests.integration.simulation.jobs import output_of, small_package_of
from tests.integration.simulation.manager import SERVICE
from tests.integration.simulation.node import LONGEST_STEP, Node

if TYPE_CHECKING:
    from tests.integration.simulation.world import World

LONGEST_UPLOAD = 3.0  # s


class AgentNode(Node):
    """An agent; its journal outlives it, and its jobs always succeed."""

    def __init__(self, world: World, jid: str, journal: dict[tuple[str, int], Note]) -> None:
        self.journal = journal
        settings = AgentSettings(
            manager=SERVICE,
            host=jid,
            capacity=Capacity.plain(world.weather.slots),
            referral_domains=("x",),
            limits=Limits(grace=world.weather.grace),
        )
        agent = Agent(
            settings,
            jdl=lambda: "[]",
            has_file=lambda _: True,
            random=world.random.random,
            wall=world.time.wall,
            phase=lambda _: "run",
            package=lambda assignment: small_package_of(*_attempt(assignment)),
            journal=tuple(journal.values()),
        )
        super().__init__(world, jid, jid, agent, world.endpoint(Role.AGENT, jid, trusts=agent.trusts))

    def _go(self) -> None:
        super()._go()
        self._world.session_ended(self.jid)

    def _act(self, action: Action) -> bool:
        if isinstance(action, Leave):
            self._world.time.later(0.0, lambda: self._world.replace_agent(self))  # when it has said all
            return True
        return super()._act(action)

    def _perform(self, effect: object) -> bool:
        match effect:
            case Remember(note=note):
                if self._world.happens(self._world.weather.journal_fails):
                    self._failed.append(Finished(effect=effect, result=OSError("disk full")))
                    return False
                self.journal[_attempt(note.assignment)] = note
                self._world.journaled.add(_attempt(note.assignment))
            case Execute(assignment=assignment):
                outcome = Outcome(cause=Cause.OK, exit_code=0, output=output_of(*_attempt(assignment)))
                self._later(self._world.weather.longest_job, effect, lambda: outcome)
            case Pack(assignment=assignment):
                self._later(LONGEST_UPLOAD, effect, lambda: output_of(*_attempt(assignment)))
            case Upload(assignment=assignment, output=output):
                self._later(LONGEST_UPLOAD, effect, lambda: self._upload(assignment, output))
            case Stop():
                pass  # it comes to its end all the same, which the agent must not mind
            case Forget(assignment=assignment):
                self._world.check_forgettable(*_attempt(assignment))
                del self.journal[_attempt(assignment)]
                self._later(LONGEST_STEP, effect, lambda: None)
            case _:
                raise AssertionError(f"unexpected {effect}")
        return True

    def _upload(self, assignment: Assignment, output: Output) -> None:
        if self._world.happens(self._world.weather.upload_fails):
            raise TransferUnavailable("the file server is away")
        self._world.outputs.put(assignment, output)


def _attempt(assignment: Assignment) -> tuple[str, int]:
    assert assignment.job.attempt is not None
    return assignment.id, assignment.job.attempt
