"""Which decisions have been taken: a decision that its actor signed is taken once, whatever becomes of it and whoever sends it again.

Pure state of `monitor.decided`, the only caller. Bounded without forgetting what still counts: a decision is valid for a while, its id is kept
for longer, and where no more fit nothing new is taken. No person takes more than a share, nor do the machines together.
"""

import msgspec

from monitor.clock import Clock
from monitor.contracts.feedback import Feedback

AHEAD_MS = 60_000
"""A person's clock may be so far ahead of the monitor's."""
SHARE = 8
"""One person's share of the table is an eighth, and that of all machines together: who fills it blocks nobody else."""
MACHINES = "machines"


class TakenDecision(msgspec.Struct, frozen=True):
    """One decision that was taken, and when."""

    event_id: str
    actor: str
    occurred_at_ms: int
    taken_at_ms: int


class DecisionIds:
    """Decisions by their event id, in the order in which they were taken.

    `forgotten_ms` is when the newest was made that is forgotten: nothing from before then is taken, whatever its validity is made.
    """

    def __init__(self) -> None:
        self.by_id: dict[str, TakenDecision] = {}
        self.by_actor: dict[str, int] = {}
        self.forgotten_ms = -1

    def restore(self, taken: list[TakenDecision], forgotten_ms: int) -> None:
        """What was snapshotted."""
        self.forgotten_ms = forgotten_ms
        for each in taken:
            self._put(each)

    def take(self, decision: Feedback, by: str, clock: Clock, valid_ms: int, limit: int) -> str | None:
        """Take a decision, whose signature is its actor's, and which counts among those `by` somebody; why it isn't taken.

        How old it is is told by the owner's Ticks: one intake's clock that is ahead makes nobody's decision too old.
        """
        now_ms = clock.tick_ms or clock.now_ms
        self._forget(now_ms - valid_ms - AHEAD_MS)
        made_ms, known, share = decision.occurred_at_ms, self.by_id.get(decision.event_id), max(1, limit // SHARE)
        if known is not None:
            return f"a decision with that event_id was taken {(clock.now_ms - known.taken_at_ms) // 1_000} s before"
        if made_ms > clock.now_ms + AHEAD_MS:
            return f"it was made {(made_ms - clock.now_ms) // 1_000} s from now"
        if made_ms < now_ms - valid_ms or made_ms <= self.forgotten_ms:
            return f"it was made {(now_ms - made_ms) // 1_000} s before, and a decision is valid for {valid_ms // 1_000} s"
        if len(self.by_id) >= limit:
            return f"{limit} decisions were taken within {(valid_ms + AHEAD_MS) // 1_000} s"
        if self.by_actor.get(by, 0) >= share:
            return f"{share} decisions by {by} were taken within {(valid_ms + AHEAD_MS) // 1_000} s"
        self._put(TakenDecision(decision.event_id, by, made_ms, clock.now_ms))
        return None

    def _put(self, taken: TakenDecision) -> None:
        self.by_id[taken.event_id] = taken
        self.by_actor[taken.actor] = self.by_actor.get(taken.actor, 0) + 1

    def _forget(self, before_ms: int) -> None:
        """Those that were taken before, and so made no later than they are valid for."""
        while self.by_id:
            oldest = next(iter(self.by_id.values()))
            if oldest.taken_at_ms >= before_ms:
                return
            del self.by_id[oldest.event_id]
            self.forgotten_ms = max(self.forgotten_ms, oldest.occurred_at_ms)
            self.by_actor[oldest.actor] -= 1
            if not self.by_actor[oldest.actor]:
                del self.by_actor[oldest.actor]
