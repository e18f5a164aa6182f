"""The settings of the queue lead to it, whatever characters user and password have: over TCP and over a Unix socket."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from copilot.cli.queue import open_briefly, open_store
from copilot.config import load
from copilot.errors import ConfigError
from copilot.job import State
from copilot.monitor.config import MonitorConfig
from tests.contract.store_fixtures import server_in_new_directory

USER, PASSWORD = "look:er", "100%41 b+c&d=e/f?g#h@é"
ACCOUNT = {
    "MON_JABBER_SERVER": "localhost",
    "MON_JABBER_DOMAIN": "x",
    "MON_JABBER_ID": "m",
    "MON_JABBER_PASSWORD": "p",
}


@pytest.mark.parametrize("way", ["socket", "port"])
@pytest.mark.parametrize("user", [USER, None])
async def test_a_user_and_a_password_open_the_queue(way: str, user: str | None, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
    with server_in_new_directory("redis-server", port=port, bind="127.0.0.1") as server:
        with server.client() as client:
            client.execute_command(
                "ACL", "SETUSER", user or "default", "on", "resetpass", f">{PASSWORD}", "~*", "&*", "+@all"
            )
            if user is not None:
                client.execute_command("ACL", "SETUSER", "default", "off")
        place = {"MON_REDIS_SOCKET": f"{server.directory}/s"}
        if way == "port":
            place = {"MON_REDIS_SERVER": "127.0.0.1", "MON_REDIS_PORT": port}
        environ = ACCOUNT | place | ({} if user is None else {"MON_REDIS_USER": user})
        right, _ = load(MonitorConfig, tmp_path, environ | {"MON_REDIS_PASSWORD": PASSWORD})
        wrong, _ = load(MonitorConfig, tmp_path, environ | {"MON_REDIS_PASSWORD": PASSWORD[:-1]})
        for opened in (open_store, open_briefly):
            store = opened(right)
            assert (await store.counts())[State.WAITING] == 0
            await store.close()
            store = opened(wrong)
            with pytest.raises(ConfigError, match="Redis refuses us"):
                await store.counts()
            await store.close()
