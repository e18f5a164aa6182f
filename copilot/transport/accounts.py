"""Accounts of our XMPP server, made and removed from the session of one of its admins (XEP-0133 over XEP-0050)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import SubElement

from copilot.errors import AccountRefused, RoomRefused
from copilot.transport.rooms import Ask

ADMIN = "http://jabber.org/protocol/admin"
_COMMANDS = "http://jabber.org/protocol/commands"
_DATA = "jabber:x:data"
# What it answers when it is to remove an account that is not there: ejabberd; Prosody has no complaint.
NO_ACCOUNT = frozenset({"item-not-found"})
# What a server answers to somebody who is no admin of it and asks for a form, or if it knows no such command.
NO_ADMIN = frozenset({"forbidden", "not-allowed", "not-authorized", "item-not-found", "service-unavailable"})


class AccountService(Protocol):
    """What an admin can have done. Everything may be repeated, and raises `AccountRefused`; nothing is known to have happened
    then."""

    async def put(self, jid: str, password: str) -> None:
        """There is an account with this bare JID and password."""
        ...

    async def remove(self, jid: str) -> None:
        """There is no account with this bare JID, and all its sessions have ended."""
        ...


class XmppAccounts:
    """An AccountService over iq stanzas, the same for Prosody (mod_admin_adhoc) and ejabberd (mod_configure)."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def put(self, jid: str, password: str) -> None:
        """See `AccountService.put`. It is made, or, if it is there, given this password."""
        twice = {"password": [password], "password-verify": [password]}
        try:
            await self._command("add-user", jid, {"accountjid": [jid], **twice})
        except AccountRefused as refused:
            if refused.no_admin or refused.condition == "timeout":
                raise
            await self._command("change-user-password", jid, {"accountjid": [jid], "password": [password]})

    async def remove(self, jid: str) -> None:
        """See `AccountService.remove`."""
        try:
            await self._command("delete-user", jid, {"accountjids": [jid]})
        except AccountRefused as refused:
            if refused.no_admin or refused.condition not in NO_ACCOUNT:
                raise

    async def _command(self, name: str, jid: str, values: Mapping[str, Sequence[str]]) -> None:
        """Ask for the form of a command, then send it filled in."""
        domain, node = jid.partition("@")[2], f"{ADMIN}#{name}"
        try:
            form = await self._said(domain, jid, Xml(f"{{{_COMMANDS}}}command", node=node, action="execute"))
        except AccountRefused as refused:
            refused.no_admin = refused.condition in NO_ADMIN
            raise
        session = form.get("sessionid", "")
        filled = Xml(f"{{{_COMMANDS}}}command", node=node, sessionid=session)
        data = SubElement(filled, f"{{{_DATA}}}x", type="submit")
        for variable, words in {"FORM_TYPE": [ADMIN], **values}.items():
            field = SubElement(data, f"{{{_DATA}}}field", var=variable)
            for word in words:
                SubElement(field, f"{{{_DATA}}}value").text = word
        answer = await self._said(domain, jid, filled)
        for note in answer.iter(f"{{{_COMMANDS}}}note"):
            if note.get("type") == "error":
                raise AccountRefused(
                    "refused", f"{domain} refused to change the account {jid}: {_text(note)}"
                )
        if answer.get("status") != "completed":
            raise AccountRefused("refused", f"{domain} did not complete a change of the account {jid}")

    async def _said(self, domain: str, jid: str, command: Xml) -> Xml:
        try:
            answer = await self._ask("set", domain, command)
        except RoomRefused as refused:
            text = f"the account {jid} could not be changed: {refused}"
            raise AccountRefused(refused.condition, text) from refused
        found = answer.find(f"{{{_COMMANDS}}}command")
        if found is None:
            raise AccountRefused("refused", f"{domain} answered without a command about the account {jid}")
        return found


def _text(note: Xml) -> str:
    return " ".join("".join(note.itertext()).split())[:200]
