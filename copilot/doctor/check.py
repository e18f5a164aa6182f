"""One check, and how all of them are made."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar

from copilot.doctor.findings import Finding, Result, fault, skipped
from copilot.doctor.patient import Patient
from copilot.errors import CopilotError
from copilot.records import dataclass

LIMIT = 5.0  # s for one check

T = TypeVar("T")


class NotHere(CopilotError):
    """There is nothing to look at on this machine; the text says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """`about`: what it looks at, in a few words. Checks of one `chain` are made one after the other, for they would disturb each
    other; all else at the same time. Raises `CopilotError` for what it cannot look at."""

    name: str
    about: str
    run: Callable[[Patient], Awaitable[Sequence[Finding]]]
    chain: str = ""
    limit: float = LIMIT


async def check_up(checks: Sequence[Check], patient: Patient) -> AsyncIterator[Result]:
    """Make these checks; results come in their order, each as soon as it is there."""
    chains: dict[str, list[Check]] = {}
    for check in checks:
        chains.setdefault(check.chain or f"alone:{check.name}", []).append(check)
    results = {check.name: asyncio.get_running_loop().create_future() for check in checks}

    async def follow(chain: Sequence[Check]) -> None:
        for check in chain:
            try:
                results[check.name].set_result(await _made(check, patient))
            except Exception as error:  # noqa: BLE001  # whoever waits for the result has to hear of it
                results[check.name].set_exception(error)

    tasks = [asyncio.create_task(follow(chain)) for chain in chains.values()]
    try:
        for check in checks:
            yield await results[check.name]
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await patient.close()


async def _made(check: Check, patient: Patient) -> Result:
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        async with asyncio.timeout(check.limit):
            findings = await check.run(patient)
    except TimeoutError:
        findings = [
            fault(
                f"nothing came of it within {check.limit:g} s",
                expected="an answer",
                cure="see whether the machine that it is about is up and not overloaded, and make the check again",
            )
        ]
    except NotHere as error:
        findings = skipped(str(error))
    except CopilotError as error:
        findings = [fault(str(error), expected=check.about, cure="as it says")]
    except Exception as error:  # one check that we have written badly must not hide the others
        findings = [
            fault(
                f"the check itself failed: {type(error).__name__}",
                expected="a finding",
                cure="report it, with what `copilot doctor --debug` says",
            )
        ]
        if patient.raises:
            raise
    return Result(check=check.name, findings=findings, seconds=loop.time() - began)


async def in_thread(work: Callable[[], T]) -> T:
    """What `work`, which blocks, comes back with. Nobody waits for a thread that hangs (a dead network disk)."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(result: T | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # T may be None

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except BaseException as caught:  # noqa: BLE001  # whoever waits has to hear of it
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(tell, result, error)

    threading.Thread(target=run, daemon=True, name="doctor").start()
    return await done
