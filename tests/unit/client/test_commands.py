"""Commands that people give by their XMPP client, from the stanza to the trail, over a queue in memory."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element as Xml

import pytest

from copilot.client.commands import OF_OPERATORS, OF_PEOPLE, PeoplesCommands
from copilot.job import JobSpec, State
from copilot.protocol.people import People
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore
from copilot.transport.adhoc import COMMANDS, FORMS, MOST_LINES, Answered, Command, result
from copilot.transport.questions import INFO, ITEMS, Ordered, Questions
from tests.unit.transport.wire import iq

OWN = "jm@x.org/one"
OPERATOR, SUBMITTER, STRANGER, AGENT = "olga@x.org/p", "sam@x.org/p", "eve@x.org/p", "a@x.org/p"
PEOPLES = [one.node for one in OF_PEOPLE]


class Site:
    """A manager's questions, and who may give commands."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.standing = {
            "olga@x.org": Standing.OPERATOR,
            "sam@x.org": Standing.SUBMITTER,
            "a@x.org": Standing.AGENT,
        }
        self.commands = PeoplesCommands(self.store, self.standing.get)
        self.questions = Questions(
            kind="bot",
            name="n",
            version="1",
            features=(),
            allow=People.of(),
            has_status=True,
            new_id=lambda: "i",
            commands=self.commands,
        )

    async def ready(self) -> Site:
        for jid, standing in self.standing.items():
            await self.store.put_account(Account(jid=jid, standing=standing))
        jobs = [
            JobSpec(id="his", command="x", owner="sam@x.org"),
            JobSpec(id="other", command="x", owner="o"),
        ]
        await self.store.submit(jobs)
        return self

    async def say(self, sender: str, content: str = "", **attributes: str) -> Xml:
        """What a command is answered, carried out or not."""
        written = "".join(f" {name}='{value}'" for name, value in attributes.items())
        asked = iq("set", sender, f"<command xmlns='{COMMANDS}'{written}>{content}</command>")
        answer = self.questions.answer(asked, OWN)
        if isinstance(answer, Ordered):
            said = await self.commands.run(answer.command.node, answer.asked.sender, answer.said)
            answer = self.questions.ordered(answer, said)
        assert isinstance(answer, str)
        return ElementTree.fromstring(answer)

    async def give(self, sender: str, node: str, **fields: str) -> list[str]:
        """Both steps; the lines of the answer."""
        first = (await self.say(sender, node=node))[0]
        if first.get("status") == "executing":
            first = (
                await self.say(sender, filled(**fields), node=node, sessionid=first.attrib["sessionid"])
            )[0]
        assert first.get("status") == "completed"
        return [value.text or "" for value in first.iter(f"{{{FORMS}}}value")]

    async def audited(self) -> list[tuple[str, ...]]:
        told = await self.store.audit()
        return [
            (one.who, one.standing, one.place, one.verb, one.target, one.result)
            for one in told
            if one.via == "xmpp"
        ]


def filled(**fields: str) -> str:
    shown = "".join(
        f"<field var='{name}'>{''.join(f'<value>{line}</value>' for line in text.split(','))}</field>"
        for name, text in fields.items()
    )
    return f"<x xmlns='{FORMS}' type='submit'>{shown}</x>"


def condition(stanza: Xml) -> tuple[str, ...]:
    assert stanza.get("type") == "error", ElementTree.tostring(stanza)
    return tuple(child.tag.rpartition("}")[2] for child in stanza[0])


async def test_an_operator_gives_all_of_them_and_is_on_the_trail() -> None:
    site = await Site().ready()
    assert "waiting: 2" in await site.give(OPERATOR, "queue")
    assert await site.give(OPERATOR, "list", state="waiting") == [
        "2 jobs are waiting:",
        "his  sam@x.org",
        "other  o",
    ]
    told = await site.give(OPERATOR, "explain", job="his")
    assert told[0].startswith("his: no-agent-online: ")
    assert told[1].startswith("Next: ")
    assert await site.give(OPERATOR, "hold", jobs="his, other,", reason="I look") == [
        "his: held; release lets it go on",
        "other: held; release lets it go on",
    ]
    await site.give(OPERATOR, "release", jobs="his")
    await site.give(OPERATOR, "cancel", jobs="other")
    await site.give(OPERATOR, "retry", jobs="other")
    for verb in ("drain", "quarantine", "release-agent"):
        await site.give(OPERATOR, verb, agents="a@x.org")
    olga = ("olga@x.org", "operator", OPERATOR)
    assert await site.audited() == [
        (*olga, "hold", "his", "changed held"),
        (*olga, "hold", "other", "changed held"),
        (*olga, "release", "his", "changed waiting"),
        (*olga, "cancel", "other", "changed cancelled"),
        (*olga, "retry", "other", "unchanged cancelled"),
        (*olga, "drain", "a@x.org", "changed"),
        (*olga, "quarantine", "a@x.org", "changed"),
        (*olga, "release-agent", "a@x.org", "changed"),
    ]


async def test_a_submitter_has_those_of_jobs_for_his_own() -> None:
    site = await Site().ready()
    assert await site.give(SUBMITTER, "hold", jobs="his,other") == [
        "his: held; release lets it go on",
        "other: is not known, or is not yours",
    ]
    assert await site.give(SUBMITTER, "explain", job="other") == ["other: is not known, or is not yours"]
    for node in ("list", "queue", "drain"):
        assert condition(await site.say(SUBMITTER, node=node)) == ("item-not-found",) or condition(
            await site.say(SUBMITTER, node=node)
        ) == ("forbidden",)
    assert [one[3:] for one in await site.audited()] == [
        ("hold", "his", "changed held"),
        ("hold", "other", "refused"),
    ]


@pytest.mark.parametrize(
    "sender", [STRANGER, AGENT, "olga@x.org.evil/p", "olga@y.org/p", "x@x.org/olga@x.org"]
)
async def test_others_are_not_told_that_there_are_any(sender: str) -> None:
    site = await Site().ready()
    answer = site.questions.answer(iq("get", sender, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>"), OWN)
    assert isinstance(answer, str)
    assert list(ElementTree.fromstring(answer)[0]) == []
    for node in ("hold", "queue", "nothing"):
        assert condition(await site.say(sender, node=node)) == ("forbidden",)
    assert await site.audited() == []


async def test_an_array_is_one_line_of_a_list() -> None:
    site = await Site().ready()
    await site.store.submit([JobSpec(id="sim", command="x", owner="o", array=100_000)])
    await site.store.cancel("sim.7")
    assert await site.give(OPERATOR, "list", state="waiting") == [
        "100,001 jobs are waiting:",
        "his  sam@x.org",
        "other  o",
        "sim[100000]  o  waiting=99999  cancelled=1",
    ]


async def test_each_is_listed_and_described_for_who_may_give_it() -> None:
    site = Site()
    for sender, nodes in ((OPERATOR, [*(one.node for one in OF_OPERATORS), *PEOPLES]), (SUBMITTER, PEOPLES)):
        answer = site.questions.answer(iq("get", sender, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>"), OWN)
        assert isinstance(answer, str)
        assert [item.get("node") for item in ElementTree.fromstring(answer)[0]] == nodes
        for node in nodes:
            told = site.questions.answer(iq("get", sender, f"<query xmlns='{INFO}' node='{node}'/>"), OWN)
            assert isinstance(told, str)
            assert "command-node" in told


async def test_who_was_revoked_between_the_steps_gets_nothing_done() -> None:
    site = await Site().ready()
    session = (await site.say(OPERATOR, node="hold"))[0].attrib["sessionid"]
    await site.store.revoke("olga@x.org")  # our cache does not know yet
    answer = await site.say(OPERATOR, filled(jobs="his"), node="hold", sessionid=session)
    assert "may not do that" in ElementTree.tostring(answer, "unicode")
    record = await site.store.get("his")
    assert record is not None
    assert record.state is State.WAITING


async def test_who_signs_what_he_says_gives_none_in_clear() -> None:
    site = await Site().ready()
    key = "A" * 43 + "="
    await site.store.put_account(Account(jid="olga@x.org", standing=Standing.OPERATOR, key=key))
    assert "nothing in clear is heard" in (await site.give(OPERATOR, "hold", jobs="his"))[0]
    assert await site.audited() == []


async def test_a_session_is_of_one_person_and_one_command() -> None:
    site = await Site().ready()
    session = (await site.say(OPERATOR, node="hold"))[0].attrib["sessionid"]
    for sender, node, given in (
        (SUBMITTER, "hold", session),
        ("olga@x.org/other", "hold", session),
        (OPERATOR, "cancel", session),
        (OPERATOR, "hold", "made-up"),
        (OPERATOR, "hold", session[:-1] + ("0" if session[-1] != "0" else "1")),
        (OPERATOR, "hold", "ü" * 48),
    ):
        answer = await site.say(sender, filled(jobs="his"), node=node, sessionid=given)
        assert condition(answer) == ("bad-request", "bad-sessionid")
    assert await site.audited() == []


async def test_a_session_can_be_cancelled() -> None:
    site = await Site().ready()
    session = (await site.say(OPERATOR, node="hold"))[0].attrib["sessionid"]
    answer = await site.say(OPERATOR, node="hold", sessionid=session, action="cancel")
    assert answer[0].get("status") == "canceled"


@pytest.mark.parametrize(
    "content",
    [
        "",
        f"<x xmlns='{FORMS}' type='cancel'/>",
        f"<x xmlns='{FORMS}' type='submit'/>",
        filled(jobs=" , "),
        filled(other="x"),
        filled(jobs=",".join("x" * 100)),
        filled(jobs="x" * 2000),
        filled(jobs="a").replace("</x>", "<field var='jobs'><value>b</value></field></x>"),
        filled(**{f"f{number}": "x" for number in range(30)}),
    ],
)
async def test_forms_that_say_nothing_of_use_are_refused(content: str) -> None:
    site = await Site().ready()
    session = (await site.say(OPERATOR, node="hold"))[0].attrib["sessionid"]
    answer = await site.say(OPERATOR, content, node="hold", sessionid=session)
    assert condition(answer) == ("bad-request", "bad-payload")


async def test_bad_names_are_told_in_words_and_states_are_those_of_the_list() -> None:
    site = await Site().ready()
    assert "expected" in (await site.give(OPERATOR, "hold", jobs="a b"))[0]
    assert "expected" in (await site.give(OPERATOR, "drain", agents="nobody"))[0]
    session = (await site.say(OPERATOR, node="list"))[0].attrib["sessionid"]
    answer = await site.say(OPERATOR, filled(state="lost"), node="list", sessionid=session)
    assert condition(answer) == ("bad-request", "bad-payload")


async def test_reload_is_there_if_the_component_can() -> None:
    site = await Site().ready()
    assert "reload" not in site.commands.of(OPERATOR)

    async def again() -> str:
        return "2 settings were read again"

    able = PeoplesCommands(site.store, site.standing.get, reload=again)
    assert await able.run("reload", OPERATOR, {}) == Answered(lines=["2 settings were read again"])
    assert not (await able.run("reload", SUBMITTER, {})).ok


def test_what_others_have_written_is_text_in_the_answer_and_its_length_is_bounded() -> None:
    evil = "</value><evil/>\x00\u202e&"
    told = result(Command(node="n", name="n"), "s", Answered(lines=[evil] * 500))
    parsed = ElementTree.fromstring(told)
    assert not [one for one in parsed.iter() if one.tag.endswith("evil")]
    assert len(list(parsed.iter(f"{{{FORMS}}}value"))) == MOST_LINES + 1
