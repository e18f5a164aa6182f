"""The right that `copilot audit acl` shows, on a real Redis 7: programs add to the trail, and do nothing else to it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import redis

from copilot.errors import StoreError
from copilot.job import Cause, Outcome
from copilot.store.base import Parking
from copilot.store.controls import Gate
from copilot.store.keys import rights
from copilot.store.redis import RedisStore
from tests.contract.store_fixtures import server_in_new_directory, spec

PASSWORD = "not-a-secret"


@contextlib.asynccontextmanager
async def restricted() -> AsyncIterator[tuple[RedisStore, redis.Redis, RedisStore]]:
    """The queue as a program sees it, a client with its rights, and the queue as an operator with all rights sees it."""
    with server_in_new_directory("redis-server") as server:
        with server.client() as admin:
            admin.execute_command(*rights("copilot").replace("PASSWORD", PASSWORD).split(" "))
        _, _, path = server.url.partition("://")
        url = f"unix://copilot:{PASSWORD}@{path}"
        program, operator = RedisStore.from_url(url), RedisStore.from_url(server.url)
        with redis.Redis(unix_socket_path=path, username="copilot", password=PASSWORD) as client:
            try:
                yield program, client, operator
            finally:
                await program.close()
                await operator.close()


async def test_a_program_may_all_that_it_needs_and_add_to_the_trail_alone() -> None:
    async with restricted() as (program, client, operator):
        await program.check()
        await program.submit([spec(number) for number in range(4)])
        (given,) = await program.claim(
            agent="a@x.org",
            request="1",
            dispatch_limit=60,
            park=Parking(jid="a@x.org/1"),
            host="[ Cores = 4 ]",
        )
        await program.confirm(given.spec.id, 1, max_run_time=60)
        await program.finish(given.spec.id, 1, Outcome(cause=Cause.OK, exit_code=0))
        await program.publish(given.spec.id)
        await program.dispatch(dispatch_limit=60)
        await program.hold("job-3", reason="why")
        await program.cancel("job-3")
        await program.pause(Gate.INTAKE)
        await program.reap()
        assert await program.password("u@x.org") == ""
        assert [one.verb for one in await operator.audit()] == ["hold", "cancel", "pause"]

        trail = "copilot:audit"
        for command in (
            ("XRANGE", trail, "-", "+"),
            ("XTRIM", trail, "MAXLEN", "0"),
            ("XDEL", trail, "0-1"),
            ("DEL", trail),
            ("UNLINK", trail),
            ("EXPIRE", trail, "1"),
            ("SET", trail, "x"),
            ("RENAME", trail, "copilot:job:x"),
            ("RENAME", "copilot:job:job-1", trail),
            ("COPY", "copilot:job:job-1", trail, "REPLACE"),
            ("FLUSHDB",),
            ("EVAL", "return redis.call('DEL', ARGV[1])", "0", trail),
            ("HSET", "copilot:passwords", "u@x.org", "x"),
        ):
            with pytest.raises(redis.ResponseError, match=r"(?i)permission|can't access"):
                client.execute_command(*command)  # type: ignore[no-untyped-call]
        with pytest.raises(StoreError, match="refused a command"):
            await program.cut_audit((await operator.audit())[-1].id)
        assert len(await operator.audit()) == 3
        assert await operator.cut_audit((await operator.audit())[-1].id) == 3
