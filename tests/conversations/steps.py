"""The steps of a conversation; README.md says how each is written."""

from __future__ import annotations

from tests.conversations import jobs, keys, talk
from tests.conversations.files import unpacked
from tests.conversations.script import Step
from tests.conversations.secure import Consumer, Provider
from tests.conversations.stage import Stage


async def play(stage: Stage, step: Step) -> None:
    """Do one step. Raises AssertionError if it does not go as the file says."""
    step = step.filled(stage.variables)
    done = await _program(stage, step) or await _words(stage, step) or await _job(stage, step)
    assert done or await _file(stage, step), "there is no such step"


async def _program(stage: Stage, step: Step) -> bool:
    match step.words:
        case ("peer", name):
            await stage.enter_peer(name, _kind(name))
        case ("peer", name, "secured"):
            await stage.enter_peer(name, _kind(name), keys.secured(stage, _kind(name)))
        case ("keys", *services):
            await keys.make(stage, services)
        case ("our", name):
            await stage.enter_ours(name, _kind(name), dict(step.values))
        case ("pass", seconds, name):
            await stage.ours[name].pass_time(float(seconds))
        case ("kill", name):
            await stage.ours.pop(name).kill()
            for peer in stage.peers.values():
                await peer.all_here()  # a word with the server: it has seen that the session is gone
        case ("log", name, text):
            await stage.ours[name].says(text)
        case _:
            return False
    return True


async def _words(stage: Stage, step: Step) -> bool:
    match step.words:
        case (name, "->", "again"):
            stage.peers[name].repeat()
        case (name, "->", "captured", command):
            talk.say_captured(stage, stage.peers[name], _kind(name), command, step.values)
        case (name, "->", command):
            talk.say(stage, stage.peers[name], command, step.values)
        case (name, "<-", "ack"):
            await stage.peers[name].acked()
        case (name, "<-", "copy"):
            await stage.peers[name].copied()
        case (name, "<-", "nothing"):
            await stage.peers[name].all_here()
            assert not stage.peers[name].left(), f"left: {stage.peers[name].left()}"
        case (name, "<-", "captured", command):
            await talk.hear_captured(stage, stage.peers[name], _kind(name), command, step.values)
        case (name, "<-", command):
            await talk.hear(stage, stage.peers[name], {"command": command, **step.values})
        case _:
            return _habit(stage, step)
    return True


def _habit(stage: Stage, step: Step) -> bool:
    match step.words:
        case (name, "ignores", *commands):
            stage.peers[name].ignore(set(commands))
        case (name, "heeds", *commands):
            stage.peers[name].heed(set(commands))
        case (name, "loses", "its", "acknowledgements"):
            stage.peers[name].silent = True
        case (name, "takes", "ticket", text):
            secured = stage.peers[name].secured
            assert isinstance(secured, Consumer)
            secured.ticket = text
        case (name, "was", "shown", text):
            secured = stage.peers[name].secured
            assert isinstance(secured, Provider)
            shown = {"a ticket" if "###" in ticket else ticket for ticket in secured.tickets}
            assert shown == {text}, f"shown: {secured.tickets}"
        case (name, "acknowledges", "again"):
            stage.peers[name].silent = False
        case _:
            return False
    return True


async def _job(stage: Stage, step: Step) -> bool:
    match step.words:
        case ("submit", job, text):
            await jobs.submit(stage, job, text, step.values)
        case ("redis", *command):
            await jobs.redis(stage, command)
        case ("record", job):
            await jobs.record(stage, job, step.values)
        case ("output", job):
            package = stage.directory / "done" / job / f"{job}.tgz"
            talk.compare(unpacked(package.read_bytes()), step.values, stage, exactly=True)
        case _:
            return False
    return True


async def _file(stage: Stage, step: Step) -> bool:
    match step.words:
        case ("chirp", "directory", path, rights):
            await stage.files.directory(path, rights)
        case ("chirp", "file", path, text):
            await stage.files.write(path, text)
        case ("chirp", "package", path):
            talk.compare(await stage.files.members(path), step.values, stage, exactly=True)
        case (_, "fetches", path, text):
            assert (found := await stage.files.fetch(path)) == text, f"found {found!r}"
        case (_, "uploads", path):
            await stage.files.upload(path, step.values)
        case (_, "cannot", "upload", path):
            assert not await stage.files.may_upload(path), "it could"
        case _:
            return False
    return True


def _kind(name: str) -> str:
    """`manager.one` and `manager.two` are both managers, of one account."""
    return name.partition(".")[0]
