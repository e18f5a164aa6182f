"""`copilot agents explain`: why agents get no jobs."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from copilot.cli.agents import checked
from copilot.cli.codes import ExitCode
from copilot.cli.looking import look
from copilot.cli.options import AsJson, ConfigOption, Watch
from copilot.cli.output import Shown
from copilot.client.explaining.agents import AgentCode, AgentReason, explain_agent
from copilot.store.base import Store


def explain_agents(
    jids: Annotated[list[str], typer.Argument(metavar="JID...", help="Jabber IDs of agents.")],
    config: ConfigOption = None,
    as_json: AsJson = False,
    watch: Watch = None,
) -> None:
    """Say why agents get no jobs: what keeps them, or what they lack of what the jobs that wait require."""
    agents = [checked(jid) for jid in dict.fromkeys(jids)]

    found: list[AgentReason] = []

    async def find(store: Store) -> Shown:
        found[:] = [await explain_agent(store, agent) for agent in agents]
        data: Any = [reason.data() for reason in found]
        return Shown(
            data=data[0] if len(data) == 1 else data,
            lines=lambda _: [line for reason in found for line in reason.lines()],
        )

    look(config, find, as_json=as_json, watch=watch)
    if any(reason.code is AgentCode.UNKNOWN for reason in found):
        raise typer.Exit(ExitCode.NO)
