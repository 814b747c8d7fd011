"""What is done about an entry that the fold can't take: folded again, then kept from the detectors, then left to a person.

Counts and words, no loop. Called by `streams.core`.
"""

from collections import Counter
from typing import Literal, NamedTuple

import structlog

from streams.control import ControlReader
from streams.health import Condition, Health

log = structlog.stdlib.get_logger(__name__)

FAILURES_MAX = 3
Next = Literal["again", "quarantine", "refuse"]


class Refused(NamedTuple):
    """The entry that waits for a person, and how it was quarantined when it was refused."""

    journal_id: str
    offset: int
    scope: str | None


class FoldFailures:
    """Failures by journal offset since the worker started. `careful_until`: below it entries are folded one by one, so that the one at fault is known."""

    def __init__(self, control: ControlReader, health: Health) -> None:
        self._control = control
        self._health = health
        self._counts: Counter[int] = Counter()
        self.careful_until = 0
        self.refused: Refused | None = None

    def failed(self, journal_id: str, offset: int, batch_end: int, error: BaseException) -> Next:
        """The fold failed at `offset`, in a batch that ends before `batch_end`: what is done next."""
        self._counts[offset] += 1
        self.careful_until = max(self.careful_until, batch_end)
        log.error("the fold failed: its state is thrown away", journal_offset=offset, failures=self._counts[offset], exc_info=error)
        if self._counts[offset] < FAILURES_MAX:
            return "quarantine" if self._counts[offset] == FAILURES_MAX - 1 else "again"
        self.refused = Refused(journal_id, offset, self._control.quarantines(journal_id).get(offset))
        self._health.set(
            Condition.ENTRY_REFUSED,
            f"The core can't fold the journal entry at offset {offset} ({type(error).__name__}: {error}); a person may leave it out: "
            f"`withdrawal-monitor core quarantine {offset} --scope entry --reason …`.",
        )
        return "refuse"

    def retried(self) -> None:
        """The journal was taken over again and is folded anew: what was refused is tried once more."""
        self.refused = None
        self._health.clear(Condition.ENTRY_REFUSED)

    def decided(self) -> bool:
        """Whether a person has quarantined the refused entry since; forgets the refusal if so."""
        if self.refused is None:
            return False
        scope = self._control.quarantines(self.refused.journal_id).get(self.refused.offset)
        if scope == self.refused.scope:
            return False
        log.info("a person quarantined the refused entry: going on", journal_offset=self.refused.offset, scope=scope)
        self._counts.clear()
        self.retried()
        return True
