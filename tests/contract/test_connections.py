"""What all connections to Redis promise: those of redis-py, and the one of a command that somebody types."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from copilot.errors import ConfigError, StoreUnavailable
from copilot.store.connections import Connections, NoRedisThere, Refusal
from copilot.store.pools import Pools, to_server
from copilot.store.redis import RedisStore
from copilot.store.single import Address, SingleConnection
from tests.contract import store_fixtures
from tests.contract.store_fixtures import RedisServer, assert_cancelling_ends, server_in_new_directory
from tests.patience import PATIENCE_S

shared_server = store_fixtures.shared_server

LONG = "ü" * 300_000  # comes in many pieces
Open = Callable[..., Connections]


def _pools(path: str, password: str = "") -> Pools:
    return to_server(
        f"unix://{path}?password={password}" if password else f"unix://{path}", timeout=PATIENCE_S
    )


def _single(path: str, password: str = "") -> SingleConnection:
    return SingleConnection(Address(path=path, password=password), timeout=PATIENCE_S)


@pytest.fixture(params=[_pools, _single], ids=["pools", "single"])
def opened(request: pytest.FixtureRequest) -> Open:
    """Each kind in turn."""
    made: Open = request.param
    return made


@pytest.fixture
def path(shared_server: Callable[[str], RedisServer]) -> str:
    """The socket of a server that all share."""
    return f"{shared_server('redis-server').directory}/s"


@pytest.fixture
async def connections(opened: Open, path: str) -> AsyncIterator[Connections]:
    made = opened(path)
    yield made
    await made.close()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    with server_in_new_directory("redis-server") as server:
        yield server


async def test_answers_come_in_the_order_of_the_commands_as_redis_gives_them(
    connections: Connections,
) -> None:
    await connections.ask([("DEL", "c:list", "c:hash", "c:long")])
    commands = [
        ("SET", "c:long", LONG),
        ("RPUSH", "c:list", "one", 2, 0.5, "zwölf"),
        ("HSET", "c:hash", "name", "value"),
        ("LRANGE", "c:list", 0, -1),
        ("HGETALL", "c:hash"),
        ("GET", "c:nobody"),
        ("CONFIG GET", "maxmemory-policy"),
        ("EVAL", "return {1, 'x', false, {'y'}}", 0),
        ("GET", "c:long"),
    ]
    assert await connections.ask(commands) == [
        "OK",
        4,
        1,
        ["one", "2", "0.5", "zwölf"],
        ["name", "value"],
        None,
        ["maxmemory-policy", "noeviction"],
        [1, "x", None, ["y"]],
        LONG,
    ]


async def test_a_refusal_stands_in_the_place_of_an_answer(connections: Connections) -> None:
    before, missing, wrong, after = await connections.ask(
        [("PING",), ("EVALSHA", "0" * 40, 0), ("NO-SUCH-COMMAND",), ("PING",)]
    )
    assert before == after == "PONG"
    assert isinstance(missing, Refusal)
    assert missing.word == "NOSCRIPT"
    assert isinstance(wrong, Refusal)
    assert "unknown command" in str(wrong)


async def test_what_others_have_written_comes_as_bytes(connections: Connections) -> None:
    assert await connections.ask([("SET", "c:bytes", b"\xff\x00")]) == ["OK"]
    assert await connections.ask([("GET", "c:bytes")], raw=True) == [b"\xff\x00"]
    with pytest.raises(UnicodeDecodeError):
        await connections.ask([("GET", "c:bytes")])
    assert await connections.ask([("PING",)]) == ["PONG"]


async def test_nobody_stands_behind_what_waits(connections: Connections) -> None:
    waiting = asyncio.create_task(connections.ask([("BLPOP", "c:wanted", 0)], waits=True))
    async with asyncio.timeout(PATIENCE_S):
        while not waiting.done():
            assert len(await connections.ask([("RPUSH", "c:wanted", "x")])) == 1
    assert await waiting == [["c:wanted", "x"]]
    await connections.ask([("DEL", "c:wanted")])


async def test_who_listens_is_told(connections: Connections) -> None:
    async with contextlib.aclosing(connections.listen("c:told")) as heard, asyncio.timeout(PATIENCE_S):
        assert await anext(heard) is None
        await connections.ask([("PUBLISH", "c:told", "one"), ("PUBLISH", "c:told", "zwei")])
        assert [await anext(heard), await anext(heard)] == ["one", "zwei"]


async def test_many_may_ask_at_once(connections: Connections) -> None:
    answers = await asyncio.gather(*(connections.ask([("ECHO", str(number))]) for number in range(40)))
    assert answers == [[str(number)] for number in range(40)]


async def test_who_is_cancelled_in_the_middle_leaves_no_answer_to_the_next_one(
    connections: Connections,
) -> None:
    await assert_cancelling_ends(lambda: connections.ask([("ECHO", "of the one before")] * 3))
    assert await connections.ask([("ECHO", "mine")]) == ["mine"]


async def test_a_server_that_goes_is_an_error_once_and_found_again(
    opened: Open, own_server: RedisServer
) -> None:
    made = opened(f"{own_server.directory}/s")
    assert await made.ask([("PING",)]) == ["PONG"]
    own_server.kill()
    with pytest.raises(OSError, match=r".+"):
        await made.ask([("PING",)])
    own_server.start()
    assert await made.ask([("PING",)]) == ["PONG"]
    own_server.kill()
    own_server.start()  # it was away while nobody asked
    for _ in range(3):  # the event loop hears of it
        await asyncio.sleep(0)
    assert await made.ask([("PING",)]) == ["PONG"]
    async with contextlib.aclosing(made.listen("c:x")) as heard:
        await anext(heard)
        own_server.kill()
        with pytest.raises(OSError, match=r".+"):
            await anext(heard)
    await made.close()


async def test_who_has_no_right_password_is_told_so(opened: Open, path: str) -> None:
    with server_in_new_directory("redis-server", requirepass="right") as server:
        place = f"{server.directory}/s"
        made = opened(place, "right")
        assert await made.ask([("PING",)]) == ["PONG"]
        await made.close()
        for password in ("wr0ng", ""):
            store = RedisStore(opened(place, password))
            with pytest.raises(ConfigError, match="Redis refuses us") as caught:
                await store.counts()
            assert "wr0ng" not in str(caught.value)
            await store.close()
    store = RedisStore(opened(path, "none is set there"))
    with pytest.raises(ConfigError, match="Redis refuses us"):
        await store.counts()
    await store.close()


async def test_a_server_that_takes_no_more_connections_is_away(opened: Open, own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("maxclients", "1")
        store = RedisStore(opened(f"{own_server.directory}/s"))
        with pytest.raises(StoreUnavailable, match="trying again helps"):
            await store.counts()
        client.config_set("maxclients", "100")
        assert sum((await store.counts()).values()) == 0
        await store.close()


async def test_what_speaks_another_language_is_no_redis(opened: Open, tmp_path: Path) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    place = str(tmp_path / "s")
    async with await asyncio.start_unix_server(answer, place):
        made = opened(place)
        with pytest.raises(NoRedisThere):
            await made.ask([("PING",)])
        await made.close()


async def test_what_is_not_there_is_told(opened: Open, tmp_path: Path) -> None:
    made = opened(str(tmp_path / "nobody"))
    with pytest.raises(OSError, match="nobody"):
        await made.ask([("PING",)])
    await made.close()
    await made.close()


async def test_a_single_connection_finds_a_server_by_its_port(own_server: RedisServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with own_server.client() as client:
        client.config_set("bind", "127.0.0.1")
        client.config_set("port", port)
    made = SingleConnection(Address(host="127.0.0.1", port=port), timeout=PATIENCE_S)
    assert await made.ask([("PING",)]) == ["PONG"]
    await made.close()
