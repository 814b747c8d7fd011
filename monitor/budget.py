"""What people are asked for, kept within what they can do: reviews a day and pages an hour, as token buckets in exact integers.

What is severe is outside every budget; what exceeds one is ranked, kept, counted and said. Called by `monitor.scoring` (reviews) and
`monitor.decisions` (pages, by a bucket of their own).
"""

from collections.abc import Iterable
from itertools import islice
from typing import Literal

import msgspec

from monitor.entities import EVICTED_SHARE
from monitor.policy import Budget

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
JOINED_MS = DAY_MS
"""A review that was asked for covers what else its account or address does for so long: one review per entity, not one per withdrawal."""
ASKED_MAX = 100_000
OVERFLOW_MAX = 200

Review = Literal["asked", "joined", "over_budget"]


class Bucket(msgspec.Struct):
    """A token bucket that saves at most one period's tokens. Its level is in tokens times milliseconds of the period: exact."""

    level: int = -1
    at_ms: int = 0

    def take(self, now_ms: int, capacity: int, period_ms: int) -> bool:
        """Take one token of `capacity` per period; False when there is none."""
        full = capacity * period_ms
        if self.level < 0:
            self.level, self.at_ms = full, now_ms
        if now_ms > self.at_ms:
            self.level = min(full, self.level + capacity * (now_ms - self.at_ms))
            self.at_ms = now_ms
        if self.level < period_ms:
            return False
        self.level -= period_ms
        return True


class Overflow(msgspec.Struct, frozen=True):
    """A review that nobody was asked for because the budget was spent; ranked by `p_value`, the least likely first."""

    withdrawal_id: str
    p_value: float
    at_ms: int


class Reviews:
    """Reviews asked for: the bucket, which entities one was asked for, and what went over."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.asked: dict[str, int] = {}
        self.overflow: list[Overflow] = []
        self.counts: dict[Review, int] = {"asked": 0, "joined": 0, "over_budget": 0}

    def ask(self, withdrawal_id: str, keys: tuple[str, ...], p_value: float, now_ms: int, budget: Budget) -> Review:
        """Ask for a review of a withdrawal, unless all entities that it is about have one; says what came of it."""
        if all(now_ms - self.asked.get(key, -JOINED_MS) < JOINED_MS for key in keys):
            review: Review = "joined"
        elif self.bucket.take(now_ms, budget.reviews_per_day, DAY_MS):
            review = "asked"
            self._remember(keys, now_ms)
        else:
            review = "over_budget"
            self._keep(Overflow(withdrawal_id, p_value, now_ms))
        self.counts[review] += 1
        return review

    def left(self, budget: Budget) -> float:
        """Reviews that can be asked for at once."""
        return float(budget.reviews_per_day) if self.bucket.level < 0 else self.bucket.level / DAY_MS

    def _remember(self, keys: tuple[str, ...], now_ms: int) -> None:
        for key in keys:
            self.asked.pop(key, None)
            self.asked[key] = now_ms
        if len(self.asked) > ASKED_MAX:
            for old in list(islice(self.asked, ASKED_MAX // EVICTED_SHARE)):
                del self.asked[old]

    def forget(self, keys: Iterable[str]) -> None:
        """These keys stand for other entities from now on."""
        for key in keys:
            self.asked.pop(key, None)

    def _keep(self, overflow: Overflow) -> None:
        """Rank it among those of the last day; the likeliest go when there are too many."""
        kept = [other for other in self.overflow if overflow.at_ms - other.at_ms < DAY_MS]
        kept.append(overflow)
        kept.sort(key=lambda one: (one.p_value, one.at_ms, one.withdrawal_id))
        self.overflow = kept[:OVERFLOW_MAX]

    def rank(self, withdrawal_id: str) -> int:
        """Place among what went over the budget in the last day, from 1 on; 0 if it isn't kept."""
        return next((place for place, one in enumerate(self.overflow, start=1) if one.withdrawal_id == withdrawal_id), 0)
