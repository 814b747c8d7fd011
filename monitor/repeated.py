"""Requests that repeat an earlier one to the letter: same account, destination, asset and amount within a window, or one client key twice.

Pure facts over exact windows: two generations, each of a window's length, so that every request of the last window is there; bounded.
Called by `monitor.requests`.
"""

from itertools import islice

import msgspec

from monitor.entities import EVICTED_SHARE

KEPT = 4
"""Newest requests kept per key: more than that many repetitions say nothing new."""
HABIT_REPEATS = 20
"""So many repetitions in windows that are over make repeating this account's habit, as of traders that settle in equal lots."""
HABITS_MAX = 100_000


class Asked(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One request, as far as a repetition is compared with it."""

    at_ms: int
    withdrawal_id: str
    balance_before: str | None


class Repeated:
    """Requests by key, in a young and an old generation, and how often each account repeated itself in windows that are over."""

    def __init__(self) -> None:
        self.young: dict[str, tuple[Asked, ...]] = {}
        self.old: dict[str, tuple[Asked, ...]] = {}
        self.since_ms = -1
        self.windows = 0
        self.repeating: dict[str, int] = {}
        self.habits: dict[str, int] = {}

    def ask(self, key: str, asked: Asked, window_ms: int, limit: int) -> tuple[Asked, ...]:
        """Take one request; returns the earlier ones under the same key within the window, the oldest first."""
        if asked.at_ms >= self.since_ms + window_ms or len(self.young) * 2 >= limit:
            self._turn(asked.at_ms)
        young = self.young
        known = young.get(key)
        if known is None:
            known = self.old.get(key)
        if known is None:
            young[key] = (asked,)
            return ()
        young[key] = (*known, asked)[-KEPT:]
        since_ms = asked.at_ms - window_ms
        return tuple(each for each in known if each.at_ms >= since_ms and each.withdrawal_id != asked.withdrawal_id)

    def _turn(self, at_ms: int) -> None:
        self.windows += self.since_ms >= 0
        self.old, self.young, self.since_ms = self.young, {}, max(at_ms, self.since_ms)
        for account_id, times in self.repeating.items():
            self.habits[account_id] = self.habits.pop(account_id, 0) + times
        self.repeating = {}
        if len(self.habits) > HABITS_MAX:
            for account_id in list(islice(self.habits, len(self.habits) - HABITS_MAX + HABITS_MAX // EVICTED_SHARE)):
                del self.habits[account_id]

    def repeats(self, account_id: str) -> bool:
        """Count a repetition of an account; says whether repeating was its habit before, or too little was seen to tell."""
        self.repeating[account_id] = self.repeating.get(account_id, 0) + 1
        return self.windows == 0 or self.habits.get(account_id, 0) >= HABIT_REPEATS

    def __len__(self) -> int:
        return len(self.young) + len(self.old)
