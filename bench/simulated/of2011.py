"""A simulated agent of 2011: the report's rounds in the body carriage, each message acknowledged on receipt (section 2.2).

want_getJob → have_getJob → getJob → runJob → want_getJobOutputDir → have_getJobOutputDir → getJobOutputDir →
storeJobOutputDir → upload → jobDone, and nine acknowledgements. It writes as the captured stanzas do: bare `from`, values in
lines of 76 characters that end with a newline. A real one starts `chirp_put` for each upload; these share one connection.
"""

from __future__ import annotations

import io
import tarfile
from base64 import b64decode, encodebytes

from bench.simulated import wire
from bench.simulated.crowd import Agent, Crowd
from bench.simulated.ours import HOST, jdl
from bench.simulated.stream import Account, Server
from bench.simulated.uploads import Uploads
from bench.simulated.wire import encoded


def _package() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name in ("./stdout", "./stderr"):
            archive.addfile(tarfile.TarInfo(name))
    return packed.getvalue()


def _message(command: str, *fields: str, **values: str) -> bytes:
    """To be filled in with `from`, `to`, `id` and the `fields`."""
    known = {"command": command, "agentHost": HOST, **values}
    attributes = [f"{name}='_BASE64:{encodebytes(value.encode()).decode()}'" for name, value in known.items()]
    attributes += [f"{name}='_BASE64:%({name})s\n'" for name in fields]
    info = f"<body><info {' '.join(attributes)}/></body>"
    return f"<message from='%(from)s' to='%(to)s' id='%(id)s'>{info}</message>".encode()


PACKAGE = _package()
WANT = _message("want_getJob", jdl=jdl())
GET = _message("getJob", jdl=jdl())
WANT_PLACE = _message("want_getJobOutputDir", "jobID", "jmJobData", agentIP="todo")
GET_PLACE = _message("getJobOutputDir", "jobID", "jmJobData")
DONE = _message("jobDone", "jobID", "jmJobData", exitCode="0", state="ready")
ACKNOWLEDGE = b"<message from='%s' to='%s' ack='%s'/>"


class Of2011(Agent):
    """One agent; its jobs take no time."""

    def __init__(self, crowd: Crowd, server: Server, account: Account, uploads: Uploads) -> None:
        super().__init__(crowd, server, account)
        self._uploads = uploads
        self._job: dict[bytes, bytes] = {}  # the fields of messages about the one that it has
        self._waits_for = b""  # the command, as on the wire
        self._answers = {
            encoded("have_getJob"): self._offered,
            encoded("runJob"): self._run,
            encoded("have_getJobOutputDir"): self._place_offered,
            encoded("storeJobOutputDir"): self._placed,
        }

    def online(self) -> None:
        """It asks."""
        if not self.flight:
            self._want()

    def heard(self, head: bytes, body: bytes) -> None:
        """Everything is acknowledged at once, and only what it waits for counts."""
        ack = wire.ACK.search(head)
        if ack is not None:
            self.settled(ack[1])
        command, ident, sender = wire.COMMAND.search(body), wire.ID.search(head), wire.SENDER.search(head)
        if command is None or ident is None or sender is None:
            return
        self.books.heard[b64decode(command[1]).decode()] += 1
        self.say("ack", ACKNOWLEDGE % (self.full_jid, sender[1], ident[1]))
        if command[1] not in self._answers:
            self.books.errors[f"unexpected {b64decode(command[1]).decode()}"] += 1
        elif command[1] == self._waits_for:
            self._answers[command[1]](sender[1], body)

    def reported(self) -> None:
        """It asks for the next one."""
        self._want()

    def _want(self) -> None:
        self._ask("want_getJob", WANT, self.manager, answer="have_getJob")

    def _offered(self, sender: bytes, _: bytes) -> None:
        self._ask("getJob", GET, sender, answer="runJob")

    def _run(self, _: bytes, body: bytes) -> None:
        job, claim = wire.JOB.search(body), wire.CLAIM.search(body)
        assert job is not None
        assert claim is not None
        if self.books.give(job[1], claim[1]):
            self._job = {b"jobID": job[1].strip(), b"jmJobData": claim[1].strip()}
            self._ask("want_getJobOutputDir", WANT_PLACE, self.manager, answer="have_getJobOutputDir")

    def _place_offered(self, sender: bytes, _: bytes) -> None:
        self._ask("getJobOutputDir", GET_PLACE, sender, answer="storeJobOutputDir")

    def _placed(self, sender: bytes, _: bytes) -> None:
        job = b64decode(self._job[b"jobID"]).decode()
        self._uploads.put(f"{job}/{job}.tgz", PACKAGE)
        ident = self._ask("jobDone", DONE, sender, answer="")
        self.books.unconfirmed[ident] = self._job[b"jobID"]

    def _ask(self, name: str, text: bytes, to: bytes, *, answer: str) -> bytes:
        self._waits_for = encoded(answer)
        ident = self.crowd.new_id()
        self.insist(name, ident, text % {b"from": self.jid, b"to": to, b"id": ident, **self._job})
        return ident
