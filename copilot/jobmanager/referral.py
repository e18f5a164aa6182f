"""Sends agents elsewhere with their output: what a job manager does that takes none itself (report, 2.2.4).

The report wants agents to know one address only: so the manager of jobs answers requests for storage by `redirect`.
"""

from __future__ import annotations

from copilot.protocol.commands import GetJobOutputDir, JobDone, Redirect, WantGetJobOutputDir
from copilot.protocol.events import Received
from copilot.runtime.component import Action, Actions, Event, Send, Withhold


class StorageReferral:
    """Answers for the storage manager at another address, a bare JID; it needs to remember nothing."""

    def __init__(self, address: str) -> None:
        self._address = address

    def wakeup(self) -> None:
        """It never wants to be called."""

    def handle(self, event: Event, now: float) -> Actions:  # noqa: ARG002  # as the port has it
        """As `Component.handle`."""
        match event:
            case Received(command=WantGetJobOutputDir()):
                return [self._redirect(event)]
            case Received(command=GetJobOutputDir() | JobDone()):
                return [self._redirect(event), *_acknowledgement(event)]
        return []

    def _redirect(self, received: Received) -> Send:
        redirect = Redirect(referral=self._address, info=received.info)
        return Send(to=received.sender, command=redirect)


def _acknowledgement(received: Received) -> list[Action]:
    """None to an agent that takes ours for a promise: nothing is safe here (docs/decisions/0005).

    So it says the same again if the redirect is lost, and gets another one. To an agent of 2011 an acknowledgement
    says that its message has arrived, which every one must hear of (report, 2.1), and a copy would do harm: redirected
    as well, it would bring a second answer to `getJobOutputDir`, and so a second upload in the middle of the first. If
    the redirect is lost to it the attempt is, not the job: its run time ends, and the job is given out again.
    """
    return [] if received.features is None else [Withhold()]
