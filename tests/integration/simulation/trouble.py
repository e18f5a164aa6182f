"""What goes wrong in a schedule, and when: early more than late, and in the end everything is mended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from tests.integration.simulation.lines import STORE
from tests.integration.simulation.node import LONGEST_ABSENCE

if TYPE_CHECKING:
    from tests.integration.simulation.world import World

T = TypeVar("T")

TROUBLE_LASTS = 900.0  # s; later nothing new goes wrong, but messages still get lost
LONGEST_RETURN = 5.0  # s until all are back when the XMPP server is


def plan(world: World) -> None:
    """Put all that is to go wrong on the agenda."""
    weather = world.weather
    for what, times in (
        (_cut_somebody, weather.cuts),
        (_split, weather.splits),
        (_split_from_store, weather.store_splits),
        (_stop_server, weather.server_outages),
        (_replace_a_manager, weather.manager_deaths),
        (_restart_an_agent, weather.agent_deaths),
        (_stop_an_agent, weather.departures),
        (_jump, weather.jumps),
    ):
        for _ in range(times):
            world.soon(TROUBLE_LASTS * world.random.random(), lambda what=what: what(world))  # type: ignore[misc]


def _cut_somebody(world: World) -> None:
    node = world.random.choice(world.nodes)
    node.cut()
    world.soon(LONGEST_ABSENCE, node.connect)


def _split(world: World) -> None:
    """Some agents and some managers do not hear each other, or one side does not hear the other."""
    agents, managers = _some(world, world.agents), _some(world, world.managers)
    up = [(agent.machine, manager.machine) for agent in agents for manager in managers]
    _cut_lines(world, _one_way_or_both(world, up))


def _split_from_store(world: World) -> None:
    """Some managers cannot ask the store, or do not hear its answers."""
    _cut_lines(world, _one_way_or_both(world, [(one.machine, STORE) for one in _some(world, world.managers)]))


def _one_way_or_both(world: World, lines: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    back = [(receiver, sender) for sender, receiver in lines]
    return world.random.choice(([*lines, *back], list(lines), back))


def _cut_lines(world: World, lines: Sequence[tuple[str, str]]) -> None:
    def heal() -> None:
        world.lines.heal(lines)
        world.look_round()

    world.lines.cut(lines)
    world.look_round()
    world.time.later(_long(world), heal)


def _stop_server(world: World) -> None:
    world.server_goes()
    world.time.later(_long(world), lambda: world.server_returns(LONGEST_RETURN))


def _long(world: World) -> float:
    """Short ones as often as long ones: from a second on, each length as likely as twice that."""
    return math.pow(world.weather.longest_split, world.random.random())


def _replace_a_manager(world: World) -> None:
    world.replace_manager(world.random.choice(world.managers))


def _restart_an_agent(world: World) -> None:
    world.replace_agent(world.random.choice(world.agents))


def _stop_an_agent(world: World) -> None:
    world.random.choice(world.agents).stop()


def _jump(world: World) -> None:
    world.time.jump()


def _some(world: World, nodes: Sequence[T]) -> list[T]:
    """At least one of them."""
    return world.random.sample(nodes, world.random.randint(1, len(nodes)))
