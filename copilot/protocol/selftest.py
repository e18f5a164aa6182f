"""The self-test at log-in: does this server deliver the report's body carriage? (protocol page, section 1)

ejabberd rebuilds stanzas from its schema and drops what stands in `<body>`; Prosody passes it. Nothing else tells, so
we send ourselves one message in that carriage with each session and look at what comes back.
"""

from __future__ import annotations

from copilot.protocol.envelope import Element, Envelope, bare

# Always the same: the answer may come after the session broke, to the next one or to another instance of our account.
SELF_TEST_ID = "self-test"
CONTENT = Element("info")


class SelfTest:
    """What the server did with the last self-test that came back; until one has, it is taken to pass bodies."""

    def __init__(self) -> None:
        self.stripped = False
        self._jid = ""
        self._unsent: list[Envelope] = []

    def begin(self, jid: str) -> None:
        """A session is up under this full JID."""
        self._jid = jid
        self._unsent = [Envelope(to=jid, id=SELF_TEST_ID, body=CONTENT, noack=True)]

    def outgoing(self) -> list[Envelope]:
        """The message, once a session."""
        unsent, self._unsent = self._unsent, []
        return unsent

    def is_answer(self, envelope: Envelope) -> bool:
        """Is this the message come back? The server stamps the sender, so nobody else can send it."""
        return envelope.id == SELF_TEST_ID and bare(envelope.sender) == bare(self._jid)

    def hear(self, answer: Envelope) -> bool:
        """Take the message that came back; returns whether the server is now found to strip, and was not before."""
        before, self.stripped = self.stripped, answer.body != CONTENT or not answer.noack
        return self.stripped and not before
