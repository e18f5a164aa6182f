"""What a component tells of itself."""

from __future__ import annotations

from collections.abc import Mapping

import copilot
from copilot.protocol.rules import Role
from copilot.runtime.status import ComponentStatus, role_in_words
from tests.unit.protocol.wire import endpoint


async def more() -> Mapping[str, str]:
    return {"slots": "2"}


async def test_it_tells_who_it_is_for_how_long_and_what_it_has_said() -> None:
    end, moments = endpoint(Role.AGENT, "a@x/r"), iter([100.0, 161.9])
    end.counts.received["runJob"] += 3
    end.counts.dropped["void"] += 1
    status = ComponentStatus("copilot-agent", end, ("slots", "lease"), lambda: next(moments), more)
    told = await status()
    assert list(told)[:8] == [
        "program",
        "version",
        "role",
        "jid",
        "uptime-seconds",
        "features",
        "server-carriage",
        "slots",
    ]
    assert told["version"] == copilot.__version__
    assert (told["role"], told["jid"], told["uptime-seconds"]) == ("agent", end.jid, "61")
    assert (told["features"], told["slots"]) == ("lease slots", "2")
    assert (told["messages-received"], told["messages-dropped"], told["messages-sent"]) == ("3", "1", "0")
    assert told["server-carriage"] == "body, element"


def test_a_component_may_have_several_parts() -> None:
    assert role_in_words(Role.JOB_MANAGER | Role.STORAGE_MANAGER) == "job manager, storage manager"
    assert role_in_words(Role.MONITOR) == "monitor"
