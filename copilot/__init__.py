"""Co-Pilot: a broker for pilot jobs over XMPP.

For programs in Python: `Client`, `Executor`, the `Result` of a job, and the errors of `copilot.errors`. They are loaded when
they are first asked for: an agent never does.
"""

from importlib import import_module

__version__ = "0.2.0"

# Named in full in __init__.pyi: what checks types reads that.
_LAZY = {
    "Client": "copilot.python",
    "Executor": "copilot.python",
    "Options": "copilot.python",
    "Result": "copilot.client.result",
    "CopilotError": "copilot.errors",
    "ExecutorBroken": "copilot.errors",
    "JobFailed": "copilot.errors",
    "NotPicklable": "copilot.errors",
    "State": "copilot.job",
}


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
