"""What it means to us that Redis says no, or nothing: errors of `copilot.errors`, with what to do about them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any

from copilot.errors import ConfigError, StoreError, StoreUnavailable
from copilot.store.connections import NoPrimary, NoRedisThere, Refusal

# Passing refusals, by the word that Redis begins them with (inside a script's error it may stand anywhere).
_REFUSALS = {
    "OOM": "its memory is full: raise maxmemory or remove old jobs",
    "READONLY": "it is a read-only replica: wait for the failover, or name the primary in the configuration",
    "MISCONF": "it cannot write to its disk: look at its log and make room",
    "NOREPLICAS": "too few replicas are connected: start them or lower min-replicas-to-write",
    "MASTERDOWN": "it is a replica without its primary: wait for the failover, or start the primary",
    "UNBLOCKED": "it has just become a replica: wait for the failover",
    "BUSY": "a script of somebody has run for long: wait, or end it with SCRIPT KILL",
}
_REFUSAL = re.compile(r"\b(" + "|".join(_REFUSALS) + r")\b")
UNAUTHENTICATED = "unauthenticated"  # a long command without a password (Redis 7)
_NO_ENTRY = frozenset({"NOAUTH", "NOPERM", "WRONGPASS"})
_NOT_NOW = re.compile(r"\b(LOADING|max number of clients)\b")


class RefusedForGood(StoreError):
    """Redis did not take a command, for a reason that will not pass by itself."""


class NoScript(Exception):
    """Redis has not seen this script since it was started."""


def taken(answer: Any) -> Any:
    """The answer, if it is one. Raises `Refusal`."""
    if isinstance(answer, Refusal):
        raise answer
    return answer


@contextlib.contextmanager
def our_errors(limit: float) -> Iterator[None]:
    """Turn what connections raise into errors of ours. `limit`: how long the answer may take, in seconds."""
    try:
        yield
    except TimeoutError as error:
        raise StoreUnavailable(
            f"Redis did not answer within {limit:g} s: look whether it runs and can be reached; trying again helps then"
        ) from error
    except NoRedisThere as error:
        raise ConfigError(
            f"what answers there is no Redis ({error}): look at REDIS_SERVER and REDIS_PORT"
        ) from error
    except NoPrimary as error:
        raise StoreUnavailable(
            f"no sentinel names a primary of {error} (REDIS_SENTINELS, REDIS_SENTINEL_SERVICE): look whether they run, "
            "know it, and take REDIS_SENTINEL_PASSWORD; during a failover wait for its end"
        ) from error
    except OSError as error:
        raise _away(error) from error
    except Refusal as error:
        raise _refused(error) from error


def _refused(refusal: Refusal) -> Exception:
    """What a refusal is to us."""
    if refusal.word == "NOSCRIPT":
        return NoScript()
    if refusal.word in _NO_ENTRY or UNAUTHENTICATED in str(refusal):
        return ConfigError(
            f"Redis refuses us ({refusal}): look at user name, password and rights of its account"
        )
    if _NOT_NOW.search(str(refusal)):
        return _away(refusal)
    word = refusal.word if refusal.word in _REFUSALS else next(iter(_REFUSAL.findall(str(refusal))), None)
    if word:
        return StoreUnavailable(f"Redis takes nothing now, {_REFUSALS[word]} ({refusal})")
    return RefusedForGood(
        f"Redis refused a command ({refusal}): look whether managers of a newer version have taken the queue over, and stop this "
        "one then; or whether another program writes below our key prefix"
    )


def _away(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"Redis does not answer ({error}): look whether it runs and can be reached; trying again helps then"
    )
