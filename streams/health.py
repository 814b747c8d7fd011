"""What is wrong with this worker, as named conditions, each with one sentence for people.

Decides nothing and knows no service: services set and clear their conditions; `streams.web` and the logs show them.
"""

import enum
from collections.abc import Mapping, Sequence

from monitor.gauges import SourceUse, TableUse

NAMED_MAX = 5
"""Sources named in one sentence."""


class Condition(enum.StrEnum):
    """All that can keep a worker from being ready. A new one is one line here."""

    STARTING = "starting"
    BROKER_UNREACHABLE = "broker_unreachable"
    TOPICS_WRONG = "topics_wrong"
    INTAKE_STOPPED = "intake_stopped"
    INTAKE_CRASHED = "intake_crashed"
    CORE_STOPPED = "core_stopped"
    CORE_CRASHED = "core_crashed"
    ENTRY_REFUSED = "entry_refused"
    PRODUCE_FAILED = "produce_failed"
    JOURNAL_REPLACED = "journal_replaced"
    SOURCE_STOPPED = "source_stopped"
    KEPT_OVER_LIMIT = "kept_over_limit"
    SNAPSHOT_STORE = "snapshot_store"
    SNAPSHOT_REFUSED = "snapshot_refused"


KEPT = ("incident", "mark")
"""Tables of which nothing goes that stands, whatever their limits."""
CRASHES = frozenset({Condition.INTAKE_CRASHED, Condition.CORE_CRASHED})
"""Conditions that only a restart mends: the process is not alive in the sense of /healthz."""


class Health:
    """The conditions that hold now. A fresh one holds STARTING, which the worker clears when its services run."""

    def __init__(self) -> None:
        self._sentences: dict[Condition, str] = {Condition.STARTING: "The worker is starting."}

    def set(self, condition: str, sentence: str) -> None:
        """Say that `condition` holds; `sentence` replaces what was said before. ValueError for a name that is not a Condition."""
        self._sentences[Condition(condition)] = sentence

    def clear(self, condition: str) -> None:
        """Say that `condition` no longer holds; no error if it didn't."""
        self._sentences.pop(Condition(condition), None)

    def ready(self) -> bool:
        """True while nothing is wrong."""
        return not self._sentences

    def alive(self) -> bool:
        """False once a service crashed in a way that only a restart mends."""
        return CRASHES.isdisjoint(self._sentences)

    def sentences(self) -> list[str]:
        """What is wrong, one sentence each, in the order of `Condition`."""
        return [self._sentences[condition] for condition in Condition if condition in self._sentences]

    def conditions(self) -> dict[str, str]:
        """What is wrong, name to sentence, in the order of `Condition`."""
        return {str(condition): self._sentences[condition] for condition in Condition if condition in self._sentences}


def tell_sources(health: Health, sources: Mapping[str, SourceUse]) -> None:
    """Set or clear SOURCE_STOPPED by how the core's sources stand; no sources where this worker doesn't own the core."""
    replaced = sorted(name for name, use in sources.items() if use.state == "replaced")
    skipped = sorted(name for name, use in sources.items() if use.state == "hole")
    said = []
    if replaced:
        said.append(f"Stopped until a person accepts them, because another log stands under their names: {_few(replaced)} (`sources accept`).")
    if skipped:
        said.append(f"Stopped at a hole until they are read again: {_few(skipped)} (`sources show`).")
    if said:
        health.set(Condition.SOURCE_STOPPED, " ".join(said))
    else:
        health.clear(Condition.SOURCE_STOPPED)


def tell_tables(health: Health, tables: Mapping[str, TableUse]) -> None:
    """Set or clear KEPT_OVER_LIMIT by what the core must keep beyond its limits; no tables where this worker doesn't own the core."""
    over = [
        f"{table.used:,} {name}s (policy.limits.{name}s is {table.limit:,})"
        for name in KEPT
        if (table := tables.get(name)) and table.used > table.limit
    ]
    if over:
        sentence = (
            f"More stands than the limits are made for, and is kept all the same: {' and '.join(over)}. Decide about them, or raise the limits."
        )
        health.set(Condition.KEPT_OVER_LIMIT, sentence)
    else:
        health.clear(Condition.KEPT_OVER_LIMIT)


def _few(names: Sequence[str]) -> str:
    rest = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {rest} more" if rest > 0 else "")
