"""Gives commands to a component with aioxmpp. Runs in an environment of its own, without Co-Pilot.

Reads one JSON object from standard input: `jid`, `password`, `host`, `port` of an account, `peer`, the full JID of the component, and
`orders`: a list of [node, {field: [values]}]. Prints a JSON list: the nodes that are offered, then for each order the lines of the
answer, or the condition of an error.
"""

import asyncio
import json
import sys
from typing import Any

import aioxmpp
import aioxmpp.adhoc.xso as adhoc_xso
import aioxmpp.connector
import aioxmpp.forms

LIMIT_S = 30.0


async def give(adhoc: Any, peer: Any, node: str, fields: dict[str, list[str]]) -> Any:
    """One command, as a client for people does it: the form is filled in and sent back."""
    try:
        session = await adhoc.execute(peer, node)
        if session.status == adhoc_xso.CommandStatus.EXECUTING:
            form = aioxmpp.forms.Data(type_=aioxmpp.forms.DataType.SUBMIT)
            asked = {field.var: field for field in session.first_payload.fields}
            for name, values in fields.items():
                form.fields.append(aioxmpp.forms.Field(var=name, type_=asked[name].type_, values=values))
            await session.proceed(action=adhoc_xso.ActionType.COMPLETE, payload=form)
    except aioxmpp.errors.XMPPError as error:
        return error.condition.value[1]
    return [value for field in session.first_payload.fields for value in field.values]


async def main() -> None:
    """Log in, give them, print."""
    given = json.load(sys.stdin)
    client = aioxmpp.PresenceManagedClient(
        aioxmpp.JID.fromstr(given["jid"]), aioxmpp.make_security_layer(given["password"], no_verify=True)
    )
    client.override_peer = [(given["host"], given["port"], aioxmpp.connector.STARTTLSConnector())]
    peer = aioxmpp.JID.fromstr(given["peer"])
    adhoc = client.summon(aioxmpp.AdHocClient)
    async with client.connected():
        answers: list[Any] = [sorted(one.node for one in await adhoc.get_commands(peer))]
        for node, fields in given["orders"]:
            answers.append(await asyncio.wait_for(give(adhoc, peer, node, fields), LIMIT_S))
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
