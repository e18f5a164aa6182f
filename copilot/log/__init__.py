"""The log: the report's lines on stderr, or where a Log::Dispatch file of 2011 sends them."""

from copilot.log.limit import RateLimiter, rate_limited
from copilot.log.lines import ALERT, EMERGENCY, NOTICE, LineFormatter, printable
from copilot.log.setup import set_up

__all__ = [
    "ALERT",
    "EMERGENCY",
    "NOTICE",
    "LineFormatter",
    "RateLimiter",
    "printable",
    "rate_limited",
    "set_up",
]
