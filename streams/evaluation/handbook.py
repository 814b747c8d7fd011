"""The protocol of the fraud-detection handbook: test weeks without the cards already known as defrauded.

Pure functions over arrays. Source: "Reproducible Machine Learning for Credit Card Fraud Detection: Practical Handbook" (2022). Called by
`streams.evaluation.study`.
"""

from typing import NamedTuple

import numpy as np

from detectors.contract import Bools, Floats, Ints
from streams.evaluation.metrics import Ranking, card_precision

DAY_MS = 86_400_000


class Protocol(NamedTuple):
    """When is tested. Days are counted from 1970; `last_day` is the last day that may be tested."""

    first_day: int
    last_day: int
    test_days: int
    delay_ms: int
    known_days: int

    @property
    def starts(self) -> list[int]:
        """First days of the tests; a test that isn't over by `last_day` isn't made."""
        return list(range(self.first_day, self.last_day + 2 - self.test_days, self.test_days))


class Week(NamedTuple):
    """One test: what was tested, and its figures. `cards_removed` counts cards that were known as defrauded on some day of it."""

    first_day: int
    events: int
    frauds: int
    cards_removed: int
    roc_auc: float
    average_precision: float
    card_precision_100: float


class Tested(NamedTuple):
    """Which events one test has: their places, their days, and how many cards were left out."""

    first_day: int
    places: Ints
    days: Ints
    cards_removed: int


def split(protocol: Protocol, times_ms: Ints, cards: Ints, frauds: Bools) -> list[Tested]:
    """The events of each test, in order of time.

    On each day of a test the cards with a known fraud are left out. Known is a fraud whose label is older than the delay as the day begins; frauds
    more than the delay and `known_days` before the test aren't looked at (the handbook's models know no more than their week of training).
    `times_ms` must not fall.
    """
    made = []
    for first in protocol.starts:
        known_from = np.searchsorted(times_ms, (first - protocol.known_days) * DAY_MS - protocol.delay_ms)
        places, days = [], []
        removed: set[int] = set()
        for day in range(first, first + protocol.test_days):
            known_to = np.searchsorted(times_ms, day * DAY_MS - protocol.delay_ms)
            known = np.unique(cards[known_from:known_to][frauds[known_from:known_to]])
            begin, end = np.searchsorted(times_ms, [day * DAY_MS, (day + 1) * DAY_MS])
            kept = begin + np.flatnonzero(~np.isin(cards[begin:end], known))
            removed.update(known.tolist())
            places.append(kept)
            days.append(np.full(len(kept), day))
        made.append(Tested(first, np.concatenate(places), np.concatenate(days), len(removed)))
    return made


def weeks(tested: list[Tested], scores: Floats, frauds: Bools, cards: Ints) -> list[Week]:
    """Figures of each test for one ranking of all events. A compromised card found on one day of a test doesn't count on its later days."""
    shown = []
    for test in tested:
        at = test.places
        figures = Ranking(scores[at], frauds[at], np.zeros(len(at))).figures()
        daily = card_precision(scores[at], frauds[at], cards[at], test.days, drop_found=True)
        mean = float(np.mean(daily)) if daily else float("nan")
        shown.append(Week(test.first_day, len(at), int(frauds[at].sum()), test.cards_removed, figures.roc_auc, figures.average_precision, mean))
    return shown
