"""The log: the report's lines or JSON on stderr, or where a Log::Dispatch file of 2011 sends them."""

from copilot.log.json_lines import JSON_FORMAT, JsonFormatter
from copilot.log.limit import RateLimiter, rate_limited
from copilot.log.lines import ALERT, EMERGENCY, NOTICE, REPORT_FORMAT, LineFormatter, printable
from copilot.log.outcome import in_words, level_of
from copilot.log.refs import JobRef, MessageRef, PeerRef
from copilot.log.setup import prepare, set_up

__all__ = [
    "ALERT",
    "EMERGENCY",
    "JSON_FORMAT",
    "NOTICE",
    "REPORT_FORMAT",
    "JobRef",
    "JsonFormatter",
    "LineFormatter",
    "MessageRef",
    "PeerRef",
    "RateLimiter",
    "in_words",
    "level_of",
    "prepare",
    "printable",
    "rate_limited",
    "set_up",
]
