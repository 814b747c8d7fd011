"""How many requests come in, and from which kinds of accounts, at any time: hours, days, pay days, and episodes on top.

Pure arithmetic over the tables of `world`. Called by `exchange` before each request.
"""

import bisect
import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from streams.simulation.episodes import Episode
from streams.simulation.world import ACCOUNT_KINDS, HOURS, PAY_DAY, WEEK, AccountKind

HOUR_MS = 3_600_000
STEPS_PER_EPISODE = 40
"""An episode's strength changes in so many steps."""
SHOCK_DEMAND = 2.0
"""Requests beside the usual while prices jump, as a multiple (assumed)."""
PAY_DAY_OF_MONTH = 25


class Plan(NamedTuple):
    """What holds until `until_ms`. `bounds` are cumulative requests a second: first by kind of account, then by running episode."""

    until_ms: int
    requests_per_second: float
    kind_bounds: tuple[float, ...]
    bounds: tuple[float, ...]
    crowds: tuple[Episode, ...]
    processors: tuple[tuple[Episode, float], ...]
    troubles: tuple[tuple[Episode, float], ...]
    amount_factor: float

    def crowd(self, drawn: float) -> Episode | None:
        """Whose request it is, drawn uniformly below `requests_per_second`: an episode's, or None for everyday business."""
        return None if drawn < self.kind_bounds[-1] else self.crowds[min(bisect.bisect(self.bounds, drawn), len(self.crowds) - 1)]


def _extra(episode: Episode) -> float:
    """Requests that an episode adds at full strength, as a multiple of the usual."""
    if episode.kind == "bad_news_run":
        return episode.factor - 1.0
    if episode.kind in {"airdrop", "new_customers"}:
        return episode.factor
    return SHOCK_DEMAND if episode.kind == "price_shock" else 0.0


def pay_day_factor(kind: AccountKind, day: dt.date) -> float:
    """Requests of this kind on that day, times the usual, for pay days."""
    on_the_day, day_after = PAY_DAY[kind.profile]
    tomorrow = day + dt.timedelta(days=1)
    if day.day == PAY_DAY_OF_MONTH or tomorrow.day == 1:
        return on_the_day
    return day_after if day.day in {PAY_DAY_OF_MONTH + 1, 1} else 1.0


def usual_share(kind: AccountKind, at_ms: int) -> float:
    """The kind's requests at that time, as a share of all requests of an average hour."""
    hours = at_ms // HOUR_MS + kind.utc_offset_hours
    day = dt.date(1970, 1, 1) + dt.timedelta(days=hours // 24)
    return kind.share_of_requests * HOURS[kind.profile][hours % 24] * WEEK[kind.profile][day.weekday()] * pay_day_factor(kind, day)


class Demand:
    """The plan of each time, made anew when an hour or a step of an episode ends."""

    def __init__(self, start_ms: int, requests_per_second: float, episodes: Sequence[Episode]) -> None:
        self._start_ms = start_ms
        self._requests_per_second = requests_per_second
        self._episodes = tuple(episodes)
        self._plan = self._at(start_ms)

    def at(self, at_ms: int) -> Plan:
        """The plan that holds at that time, which never goes back."""
        if at_ms >= self._plan.until_ms:
            self._plan = self._at(at_ms)
        return self._plan

    def _until_ms(self, at_ms: int) -> int:
        until_ms = (at_ms // HOUR_MS + 1) * HOUR_MS
        for episode in self._episodes:
            begin_ms = self._start_ms + round(episode.start_seconds * 1_000)
            step_ms = max(1, round(episode.seconds * 1_000 / STEPS_PER_EPISODE))
            if at_ms < begin_ms:
                until_ms = min(until_ms, begin_ms)
            elif at_ms < begin_ms + STEPS_PER_EPISODE * step_ms:
                until_ms = min(until_ms, begin_ms + ((at_ms - begin_ms) // step_ms + 1) * step_ms)
        return until_ms

    def _at(self, at_ms: int) -> Plan:
        until_ms = self._until_ms(at_ms)
        middle_seconds = ((at_ms + until_ms) / 2 - self._start_ms) / 1_000
        running = [(episode, strength) for episode in self._episodes if (strength := episode.strength(middle_seconds)) > 0.0]
        total, kind_bounds = 0.0, []
        for kind in ACCOUNT_KINDS:
            total += self._requests_per_second * usual_share(kind, at_ms)
            kind_bounds.append(total)
        usual = total
        crowds, bounds, amount_factor = [], [], 1.0
        for episode, strength in running:
            if episode.kind == "amount_shock":
                amount_factor *= episode.factor
            elif (extra := _extra(episode)) > 0.0:
                total += usual * extra * strength
                crowds.append(episode)
                bounds.append(total)
        processors = tuple((episode, episode.factor * strength) for episode, strength in running if episode.kind == "new_processor")
        troubles = tuple((episode, episode.factor * strength) for episode, strength in running if episode.kind == "node_trouble")
        return Plan(until_ms, total, tuple(kind_bounds), tuple(bounds), tuple(crowds), processors, troubles, amount_factor)
