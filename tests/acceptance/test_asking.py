"""What agents and managers say of themselves to a client that is none of ours, in a library that we do not use: aioxmpp."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import copilot
from bench import virtual
from copilot.errors import CopilotError
from copilot.local.ejabberd import Ejabberd
from copilot.local.process import give, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.protocol.rules import FEATURES
from copilot.roles import Account, Standing
from copilot.store.redis import RedisStore
from tests.acceptance.running import LIMIT_S, run, script, service, started, until
from tests.missing import missing

HERE = Path(__file__).parent
AIOXMPP = HERE / "requirements" / "aioxmpp.txt"
HOST = "localhost"
FLOOD = 80  # what else is asked comes on top; over 100 at once an agent does not read (cli/agent.py, OTHERS)


@pytest.fixture(scope="module", name="library")
def library_fixture() -> Path:
    """The Python that has aioxmpp."""
    try:
        return virtual.make(AIOXMPP, virtual.in_cache(AIOXMPP))
    except CopilotError as error:
        missing(str(error))


class Site:
    """A manager with a job at an agent, and people who ask: the operator, whom the settings name, and a stranger."""

    def __init__(self, place: Path, xmpp: Prosody | Ejabberd, redis: Redis) -> None:
        self.place, self.xmpp, self._redis = place, xmpp, redis
        self.etc = place / "etc"
        self.etc.mkdir()
        self.password = uuid.uuid4().hex
        self.accounts = {
            kind: f"{kind}-{uuid.uuid4().hex}" for kind in ("jm", "agent", "operator", "stranger", "boss")
        }
        user = unprivileged_user()
        for name in ("done", "state", "work", "files"):
            (place / name).mkdir(mode=0o755)
            give(place / name, user)

    def jid(self, kind: str) -> str:
        return f"{self.accounts[kind]}@{self.xmpp.domain}"

    async def register(self) -> None:
        for account in self.accounts.values():
            await self.xmpp.register(account, self.password)

    def configure(self) -> None:
        ca_file = self.place / "ca.pem"
        ca_file.write_bytes(self.xmpp.ca_file.read_bytes())
        shared = {"HB_ALLOW": self.jid("operator"), "JM_JABBER_ADDRESS": self.jid("jm")}
        for kind, prefix, name in (("jm", "JM", "jobmanager-generic"), ("agent", "AGENT", "agent")):
            own = {
                f"{prefix}_JABBER_SERVER": HOST,
                f"{prefix}_JABBER_PORT": self.xmpp.port,
                f"{prefix}_JABBER_DOMAIN": self.xmpp.domain,
                f"{prefix}_JABBER_ID": self.accounts[kind],
                f"{prefix}_JABBER_PASSWORD": self.password,
                f"{prefix}_JABBER_RESOURCE": "one",
                f"{prefix}_JABBER_CA_FILE": ca_file,
            }
            text = "".join(f"{key} {value}\n" for key, value in (own | shared | self._rest(kind)).items())
            (self.etc / f"copilot-{name}.conf").write_text(text)

    def _rest(self, kind: str) -> dict[str, object]:
        if kind == "agent":
            return {"AGENT_WORK_DIR": self.place / "work"}
        return {
            "JM_REDIS_SERVER": HOST,
            "JM_REDIS_PORT": self._redis.port,
            "JM_REDIS_PASSWORD": self._redis.password,
            "JM_FILES_URL": f"https://{HOST}:1/",  # small files go with the messages
            "JM_FILES_DIR": self.place / "files",
            "JM_DONE_JOB_DIR": self.place / "done",
            "JM_STATE_DIR": self.place / "state",
        }

    @contextmanager
    def running(self) -> Iterator[None]:
        """Both programs are ready, and a job is being executed."""
        with self._component("copilot-jobmanager-generic"), self._component("copilot-agent"):
            begun, end = self.place / "work" / "begun", self.place / "work" / "end"
            job = script(self.place / "job.sh", f"touch {begun}\nwhile [ ! -e {end} ]; do sleep 0.05; done")
            done = run("copilot-job-submit", "--config", self.etc, "--command", job, **service())
            assert done.returncode == 0, done.stderr
            until(begun.exists, "the job has begun")
            yield
            end.touch()
            until(lambda: list((self.place / "done").glob("*/*.tgz")), "the job is done")

    @contextmanager
    def _component(self, name: str) -> Iterator[None]:
        output = self.place / f"{name}.out"
        variables = {**service(), "AGENT_SLOTS": "2"}  # the tests' own says 1
        with started(name, "--config", self.etc, output=output, **variables) as process:
            until(lambda: "Ready as" in output.read_text() or process.poll() is not None, name)
            assert process.poll() is None, output.read_text()
            yield
            process.terminate()
            assert process.wait(LIMIT_S) == 0


def ask(library: Path, site: Site, who: str, *kinds: str) -> list[dict[str, Any]]:
    """What these components answer to `who`."""
    given = {
        "jid": site.jid(who),
        "password": site.password,
        "host": HOST,
        "port": site.xmpp.port,
        "peers": [f"{site.jid(kind)}/one" for kind in kinds],
        "flood": FLOOD,
    }
    done = subprocess.run(
        [library, "-W", "ignore", HERE / "aioxmpp_probe.py"],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[dict[str, Any]] = json.loads(done.stdout)
    return answers


def order(library: Path, site: Site, who: str, *orders: tuple[str, dict[str, list[str]]]) -> list[Any]:
    """What the manager offers to `who`, and what these commands are answered."""
    account = {"jid": site.jid(who), "password": site.password, "host": HOST, "port": site.xmpp.port}
    done = subprocess.run(
        [library, "-W", "ignore", HERE / "aioxmpp_commands.py"],
        input=json.dumps({**account, "peer": f"{site.jid('jm')}/one", "orders": orders}),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers: list[Any] = json.loads(done.stdout)
    return answers


def check_commands(library: Path, site: Site) -> None:
    """Somebody with an operator's account looks after jobs by his client; a stranger does not."""
    job = script(site.place / "short.sh", "true")
    submit = ("copilot-job-submit", "--config", site.etc, "--command", job, "--id", "mine")
    done = run(*submit, "--requirements", "Slots == 90", **service())
    assert done.returncode == 0, done.stderr
    jobs, agent = {"jobs": ["mine"], "reason": ["I look"]}, {"agents": ["nobody@localhost"]}
    orders: tuple[tuple[str, dict[str, list[str]]], ...] = (
        ("queue", {}),
        ("list", {"state": ["waiting"]}),
        ("explain", {"job": ["mine"]}),
        ("hold", jobs),
        ("release", jobs),
        ("cancel", jobs),
        ("retry", jobs),
        ("drain", agent),
        ("reload", {}),
    )
    offered, queue, listed, why, *_, drained, reloaded = told = order(library, site, "boss", *orders)
    assert {node for node, _ in orders} < set(offered)
    assert {"waiting: 1", "running: 1"} < set(queue)
    assert listed[0] == "1 job is waiting:"
    assert why[0].startswith("mine: ")
    assert why[1].startswith("Next: ")
    assert told[4:7] == [
        ["mine: held; release lets it go on"],
        ["mine: released; it waits at its old place"],
        ["mine: cancelled"],
    ]
    assert drained == ["nobody@localhost: will be told to leave when it has finished what it runs"]
    assert reloaded == ["The configuration was read again. No setting was taken over."]
    trail = run("copilot", "audit", "--json", "--who", site.jid("boss"), "--config", site.etc, **service())
    entries = [json.loads(line) for line in trail.stdout.splitlines()]
    assert [one["verb"] for one in entries] == ["hold", "release", "cancel", "retry", "drain"]
    assert {(one["via"], one["standing"], one["place"].partition("/")[0]) for one in entries} == {
        ("xmpp", "operator", site.jid("boss"))
    }
    assert order(library, site, "stranger", ("hold", jobs)) == [[], "forbidden"]


def check_identity(answers: dict[str, Any], name: str) -> None:
    """What everybody is told."""
    assert answers["identities"] == [["client", "bot", name]]
    assert answers["version"] == [name, copilot.__version__, None]
    assert answers["supports"]
    assert {f"urn:copilot:1#{word}" for word in FEATURES} < set(answers["features"])
    assert {"urn:xmpp:ping", "jabber:iq:version", "http://jabber.org/protocol/disco#info"} < set(
        answers["features"]
    )


def check_common(answers: dict[str, Any], program: str, jid: str, *, bodies: bool) -> None:
    """What the command tells of every component."""
    status = answers["status"]
    assert answers["form"] == ["result", "completed"]
    assert answers["commands"] == [[jid, "status"]]
    assert status["FORM_TYPE"] == "urn:copilot:1:status"
    assert (status["program"], status["version"], status["jid"]) == (program, copilot.__version__, jid)
    assert status["features"].split() == sorted(FEATURES)
    assert status["server-carriage"] == ("body, element" if bodies else "element")
    assert int(status["messages-received"]) > 0
    assert (answers["unknown"], answers["next"], answers["session"]) == (
        "item-not-found",
        "bad-request",
        "bad-request",
    )
    assert sum(answers["flood"].values()) == FLOOD
    assert set(answers["flood"]) <= {"completed", "resource-constraint"}


@pytest.mark.timeout(240)  # the first time the library has to be fetched
@pytest.mark.parametrize("server", ["prosody", "ejabberd"])
async def test_components_say_what_they_are_and_how_they_fare_to_whom_they_should(
    place: Path,
    redis_server: Redis,
    redis_url: str,
    library: Path,
    server: str,
    request: pytest.FixtureRequest,
) -> None:
    xmpp: Prosody | Ejabberd = request.getfixturevalue(server)
    site = Site(place, xmpp, redis_server)
    await site.register()
    site.configure()
    store = RedisStore.from_url(redis_url)
    await store.put_account(Account(jid=site.jid("boss"), standing=Standing.OPERATOR))
    await store.close()
    with site.running():
        check_commands(library, site)
        agent, manager = ask(library, site, "operator", "agent", "jm")
        (stranger,) = ask(library, site, "stranger", "agent")

    bodies = server == "prosody"
    check_identity(agent, "Co-Pilot agent")
    check_identity(manager, "Co-Pilot job manager, storage manager")
    check_common(agent, "copilot-agent", f"{site.jid('agent')}/one", bodies=bodies)
    check_common(manager, "copilot-jobmanager-generic", f"{site.jid('jm')}/one", bodies=bodies)
    told = agent["status"]
    assert (told["role"], told["slots"], told["jobs-held"], told["jobs-running"]) == ("agent", "2", "1", "1")
    told = manager["status"]
    assert told["role"] == "job manager, storage manager"
    assert (told["store"], told["queue-running"], told["queue-waiting"], told["claims"]) == (
        "up",
        "1",
        "0",
        "1",
    )

    check_identity(stranger, "Co-Pilot agent")
    assert stranger["commands"] == []
    assert stranger["node"] == "item-not-found"
    assert {stranger[what] for what in ("status", "unknown", "next", "session")} == {"forbidden"}
    assert stranger["flood"] == {"forbidden": FLOOD}
