"""What facts mean: the cases that no server of the tests can be made to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from copilot.agent.isolation.base import ToolWish
from copilot.agent.limits.base import NoLimits
from copilot.agent.limits.cgroup import find_tree
from copilot.agent.limits.keeping import LimitsWish
from copilot.doctor import chirp, clock, disk, fileserver, images, installed, limits, versions
from copilot.doctor.findings import Finding, Verdict
from copilot.doctor.redis import memory, packing, replicas, saving, version
from copilot.doctor.xmpp import bare_jid, nagle, rate, rooms, stanza
from copilot.heartbeat.rooms import Rooms
from copilot.store.examining import Examined
from copilot.transport.rooms import MUC

OK, WARNING, FAULT, SKIPPED = Verdict.OK, Verdict.WARNING, Verdict.FAULT, Verdict.SKIPPED
INFO = {"redis_version": "7.0.15", "maxmemory_policy": "noeviction", "maxmemory": 1000, "used_memory": 1}


def only(findings: list[Finding]) -> tuple[Verdict, str]:
    (finding,) = findings
    assert (finding.verdict in (OK, SKIPPED)) == (not finding.cure)
    return finding.verdict, finding.seen


def redis(config: dict[str, str] | None = None, **info: Any) -> Examined:
    return Examined(info=INFO | info, config=config or {}, wall=0.0, ours=0.0, write=0.001)


def test_a_redis_that_is_too_old_or_a_cluster() -> None:
    """`redis-version`."""
    assert only(version.judge(redis()))[0] is OK
    assert "Redis 6.0.16: expected 6.2" in only(version.judge(redis(redis_version="6.0.16")))[1]
    assert "Cluster" in only(version.judge(redis(redis_mode="cluster")))[1]
    # That is another check's affair.
    assert only(version.judge(redis(maxmemory_policy="allkeys-lru")))[0] is OK


def test_an_append_only_file_that_cannot_be_written() -> None:
    found = saving.judge(redis({"dir": "/data"}, aof_last_write_status="err", rdb_last_bgsave_status="err"))
    assert [one.verdict for one in found] == [FAULT, FAULT]
    assert "/data" in found[0].cure


def test_a_failover_that_would_lose_what_was_not_copied() -> None:
    assert only(replicas.judge(redis(connected_slaves=2), wanted=1))[0] is OK
    assert only(replicas.judge(redis(connected_slaves=1), wanted=2))[0] is FAULT


def test_redis_memory_and_packing_that_the_server_does_not_tell() -> None:
    assert only(memory.judge(redis(used_memory=900)))[0] is WARNING
    assert only(packing.judge(redis()))[0] is SKIPPED
    assert only(packing.judge(redis({"hash-max-listpack-value": "4096"})))[0] is OK


def test_libraries_that_are_too_old() -> None:
    """`installed`."""
    wanted = ["slixmpp<2,>=1.17", "redis[hiredis]>=6", "pytest>=8.2; extra == 'test'", "lxml>=5"]
    good = {"slixmpp": "1.17.0", "redis": "8.1.0", "lxml": "6.1"}
    assert only(installed.judge((3, 12), wanted, good))[0] is OK
    for change, seen in (({"slixmpp": "1.8.6"}, "slixmpp 1.8.6"), ({"slixmpp": "2.0"}, "slixmpp 2.0")):
        assert only(installed.judge((3, 12), wanted, good | change)) == (FAULT, seen)
    without = {name: one for name, one in good.items() if name != "lxml"}
    assert only(installed.judge((3, 12), wanted, without)) == (FAULT, "lxml is not installed")
    assert only(installed.judge((3, 10), wanted, good)) == (FAULT, "Python 3.10")


def test_no_control_groups(tmp_path: Path) -> None:
    """`limits`."""
    (tmp_path / "self").mkdir()
    for name in ("cgroup", "mounts", "mountinfo"):
        (tmp_path / "self" / name).write_text("")
    with pytest.raises(NoLimits) as refused:
        find_tree(tmp_path)
    assert only(limits.judge("", str(refused.value), LimitsWish.AUTO))[0] is WARNING
    assert only(limits.judge("", str(refused.value), LimitsWish.CGROUP))[0] is FAULT
    assert only(limits.judge("cgroup2", "", LimitsWish.CGROUP)) == (OK, "cgroup2")


@pytest.mark.parametrize(
    ("version_", "verdict"),
    [("0.1.0", OK), ("0.2.7", WARNING), ("0.3.0", FAULT), ("1.1.0", FAULT), ("?", FAULT)],
)
def test_versions_that_follow_each_other_work_together(version_: str, verdict: Verdict) -> None:
    assert only(versions.judge({"jm@x/one": version_}, "0.1.0"))[0] is verdict


def test_a_clock_that_is_told_in_whole_seconds_is_not_behind() -> None:
    assert only(clock.judge({"Redis": 0.1}))[0] is OK
    assert only(clock.judge({"Redis": -3.0})) == (
        WARNING,
        "the clock of Redis is 3 s behind that of this machine",
    )
    assert only(clock.judge({}))[0] is SKIPPED
    assert [clock._whole(ahead) for ahead in (-0.9, -3.0, 2.0)] == [0.0, -2.0, 2.0]


def test_a_slow_server_is_a_fault_and_a_slow_line_of_a_manager_a_warning() -> None:
    def judged(read: int, seconds: float, *, manager: bool) -> Verdict:
        return only(rate.judge(rate.Speed(read=read, seconds=seconds, whole=True), "x@y", manager=manager))[0]

    assert judged(250_000, 0.1, manager=False) is OK
    assert judged(250_000, 10.0, manager=False) is FAULT
    assert judged(800_000, 0.8, manager=True) is WARNING
    assert judged(800_000, 0.1, manager=True) is OK


def test_what_no_server_of_ours_does() -> None:
    reached = bare_jid.Reached(sessions=1)
    assert only(bare_jid.judge(reached, "jm@x"))[0] is FAULT
    assert "was slow" not in only(stanza.judge(stanza.Largest(came=0)))[1]
    assert only(nagle.judge([]))[0] is SKIPPED
    far = [nagle.Round(answer=0.08, message=0.085)] * 3  # a server that is far away
    assert only(nagle.judge(far))[0] is OK


def test_a_room_that_lacks_several_things_is_told_each() -> None:
    lounge = Rooms(name="lounge", server="rooms.x", shards=1)
    bare_room = rooms.Facts(service=frozenset({MUC}), room=frozenset({"muc_open", "muc_hidden"}))
    assert len(rooms.judge(bare_room, lounge)) == len(rooms.NEEDED)
    silent = rooms.Facts(service=frozenset({MUC}), why="forbidden")
    assert only(rooms.judge(silent, lounge))[0] is OK


def test_a_file_server_that_is_another_program() -> None:
    answered = fileserver.Answered(status=200, date="", ours=0.0, signed=True)
    assert "answers 200: that is not our file server" in only(fileserver.judge(answered, "http://x"))[1]


def test_a_file_server_whose_certificate_only_the_system_trusts() -> None:
    answered = fileserver.Answered(status=404, date="", ours=0.0, signed=True, not_by="/etc/ca.pem")
    assert only(fileserver.judge(answered, "https://x"))[0] is WARNING


def test_a_ticket_of_chirp_has_its_rights_elsewhere() -> None:
    assert only(chirp.judge(chirp.Rights(who="ticket:abc", root={}), ()))[0] is OK
    agents = ("hostname:*",)
    rights = chirp.Rights(who="hostname:jm.x", root={"hostname:*": "rwlda"})
    assert {one.verdict for one in chirp.judge(rights, agents)} == {FAULT}


def test_a_directory_that_is_nearly_full() -> None:
    place = disk.Place(
        path=Path("/x"), what="x", there=True, writable=True, mode=0o700, free=10**9, inodes=None, noexec=True
    )
    assert only(disk.judge([place]))[0] is WARNING


def test_no_tool_for_images_is_no_fault_unless_one_is_named() -> None:
    assert only(images.judge("", "none works", ToolWish.AUTO))[0] is OK
    assert only(images.judge("", "none works", ToolWish.PODMAN))[0] is FAULT
