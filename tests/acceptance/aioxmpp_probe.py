"""Asks a component what it is and how it fares, with aioxmpp. Runs in an environment of its own, without Co-Pilot.

Reads one JSON object from standard input: `jid`, `password`, `host`, `port` of an account, and `peers`, the full JIDs to ask.
The last question is asked `flood` times at once. Prints a JSON list, for each of them an object with all answers; an error stands there as its condition.
"""

import asyncio
import json
import sys
from typing import Any

import aioxmpp
import aioxmpp.adhoc.xso as adhoc_xso
import aioxmpp.connector
import aioxmpp.ping
import aioxmpp.version

COMMANDS = "http://jabber.org/protocol/commands"
LIMIT_S = 30.0


async def said(question: Any) -> Any:
    """The answer, or the condition of the error."""
    try:
        return await question
    except aioxmpp.errors.XMPPError as error:
        return error.condition.value[1]


async def command(client: Any, peer: Any, **attributes: Any) -> str:
    """One raw command; the condition of what it is refused with, or its status."""
    request = adhoc_xso.Command(attributes.pop("node", "status"))
    for name, value in attributes.items():
        setattr(request, name, value)
    answer = await said(client.send(aioxmpp.IQ(type_=aioxmpp.IQType.SET, to=peer, payload=request)))
    return answer if isinstance(answer, str) else answer.status.value


async def ask(client: Any, peer: Any, flood: int) -> dict[str, Any]:
    """All questions, one after the other, and a flood of the last."""
    disco, adhoc = client.summon(aioxmpp.DiscoClient), client.summon(aioxmpp.AdHocClient)
    answers: dict[str, Any] = {}
    info = await disco.query_info(peer)
    answers["identities"] = [[one.category, one.type_, one.name] for one in info.identities]
    answers["features"] = sorted(info.features)
    answers["supports"] = await adhoc.supports_commands(peer)
    version = await aioxmpp.version.query_version(client.stream, peer)
    answers["version"] = [version.name, version.version, version.os]
    await aioxmpp.ping.ping(client, peer)
    answers["commands"] = [[str(one.jid), one.node] for one in await adhoc.get_commands(peer)]
    node = await said(disco.query_info(peer, node="status"))
    answers["node"] = node if isinstance(node, str) else sorted(node.features)
    session = await said(adhoc.execute(peer, "status"))
    if isinstance(session, str):
        answers["status"] = session
    else:
        form = session.first_payload
        answers["status"] = {field.var: field.values[0] for field in form.fields}
        answers["form"] = [form.type_.value, session.status.value]
    answers["unknown"] = await command(client, peer, node="reboot")
    answers["next"] = await command(client, peer, action=adhoc_xso.ActionType.NEXT)
    answers["session"] = await command(client, peer, sessionid="stolen")
    said_then = await asyncio.gather(*(command(client, peer) for _ in range(flood)))
    answers["flood"] = {word: said_then.count(word) for word in sorted(set(said_then))}
    await aioxmpp.ping.ping(client, peer)
    return answers


async def main() -> None:
    """Log in, ask, print."""
    given = json.load(sys.stdin)
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(given["jid"]), aioxmpp.make_security_layer(given["password"], no_verify=True)
    )
    client.override_peer = [(given["host"], given["port"], aioxmpp.connector.STARTTLSConnector())]
    async with client.connected():
        questions = (ask(client, aioxmpp.JID.fromstr(peer), given["flood"]) for peer in given["peers"])
        answers = [await asyncio.wait_for(question, LIMIT_S) for question in questions]
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
