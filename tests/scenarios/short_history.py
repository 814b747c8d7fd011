"""A short history for the tests of scenarios: minutes at a busy exchange, folded once per test run and forked; scenarios as text."""

from functools import cache

from streams.scenario_ground import Ground, History, make_ground
from streams.scenario_result import Result
from streams.scenario_run import Live, Loop, run
from streams.settings import Settings
from streams.simulation.phases import Scenario
from streams.simulation.scenario import read

START_MS = 1_767_571_200_000
HEAD = """
id = "test"
name = "Test"
date = "2026-01-05"
classes = ["test"]
cause = "undecided"
teaches = "Nothing."
tail_seconds = 30.0
"""
COMMON = 'at_seconds = 0.0\nconfidence = "assumed"\n'


@cache
def ground(seed: int = 1) -> Ground:
    """Half an hour at 10 records a second, of 200 accounts."""
    return make_ground(Settings(), History(start_ms=START_MS, days=30 / 1_440, records_per_second=10.0, accounts=200), seed)


def told(*phases: str, head: str = HEAD) -> Scenario:
    """A scenario of these phases; each is its lines, without name, time and confidence where it doesn't say them."""
    return read(text(*phases, head=head).encode(), "test.toml")


def text(*phases: str, head: str = HEAD) -> str:
    """The same as a file's text."""
    parts = [head]
    for number, phase in enumerate(phases, start=1):
        common = "".join(f"{line}\n" for line in COMMON.splitlines() if f"\n{line.split(' ')[0]} =" not in f"\n{phase}")
        parts.append(f'[[phases]]\nname = "phase {number}"\n{common}{phase}\n')
    return "\n".join(parts)


def played(*phases: str, obey: bool = True, seed: int = 1) -> Live:
    """The phases, played over the short history."""
    return Loop(ground(seed), told(*phases), obey=obey).run()


def result(*phases: str, hold: bool = True, seed: int = 1) -> Result:
    """The same, summed up."""
    return run(ground(seed), told(*phases), hold=hold)
