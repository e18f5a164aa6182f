"""What one schedule is like: everything that is drawn before it begins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """One schedule. Shares are 0 … 1, times in s; deaths, outages and the like are how often in a schedule.

    `splits` keep some agents and some managers from hearing each other, `store_splits` some managers from the store, and
    `server_outages` everybody from the XMPP server, each for up to `longest_split`. `apart`: as many storage managers
    again, on an account of their own, to which the job managers redirect. `sealed`: all are in secure mode.
    """

    seed: int
    loss: float = 0.0
    double: float = 0.0
    jitter: float = 0.0
    store_away: float = 0.0
    upload_fails: float = 0.0
    journal_fails: float = 0.0
    cuts: int = 0
    splits: int = 0
    store_splits: int = 0
    server_outages: int = 0
    longest_split: float = 3600.0
    manager_deaths: int = 0
    agent_deaths: int = 0
    departures: int = 0
    grace: float = 40.0
    jumps: int = 0
    agents: int = 1
    slots: int = 1
    managers: int = 1
    jobs: int = 1
    longest_job: float = 30.0
    lease: float = 900.0
    apart: bool = False
    sealed: bool = False
