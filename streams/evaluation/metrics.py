"""Figures of a ranking: ROC-AUC, average precision, precision and recall at the top, compromised cards, bootstrap intervals.

Pure functions over arrays; knows no detector and no file. Called by `streams.evaluation.study` and `streams.evaluation.handbook`.
"""

from typing import NamedTuple

import numpy as np

from detectors.contract import Bools, Floats, Ints

INTERVAL = (0.025, 0.975)
CARDS = 100
"""Cards that people can look at in a day, as the fraud-detection handbook counts."""


class AtShare(NamedTuple):
    """The events of the highest scores, `share` of all: NaN where there is no fraud, or none with an amount.

    `precision`: share of frauds among them. `recall`: share of all frauds that is among them; `amount_recall` the same of their amounts.
    """

    share: float
    precision: float
    recall: float
    amount_recall: float


class Figures(NamedTuple):
    """Figures of one ranking; NaN where undefined: no fraud, or nothing else."""

    roc_auc: float
    average_precision: float
    at: tuple[AtShare, ...]


class Ranking:
    """Events sorted once by their score, so that every figure is a pass over sums.

    Events of equal scores are one threshold: no order among them is assumed, whatever order they came in.

    Parameters
    ----------
    scores : float64 [n]
        The higher the odder; finite.
    frauds : bool [n]
    amounts : float64 [n]

    Attributes
    ----------
    order : int64 [n]
        Places of the events, the highest score first.
    thresholds : float64 [k]
        The distinct scores, falling.
    """

    def __init__(self, scores: Floats, frauds: Bools, amounts: Floats) -> None:
        self.order: Ints = np.argsort(-scores, kind="stable")
        ranked = scores[self.order]
        self._last: Ints = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], np.ones(min(1, len(ranked)), np.bool_)))
        self._frauds: Floats = frauds[self.order].astype(np.float64)
        self._amounts: Floats = self._frauds * amounts[self.order]
        self.thresholds: Floats = ranked[self._last]

    def counts(self, weights: Floats | None = None) -> tuple[Floats, Floats, Floats]:
        """Per threshold, from the highest: events at or above it, frauds among them, and the frauds' amounts.

        `weights` [n] says how often each event counts, in the order `order`.
        """
        if weights is None:
            return (self._last + 1).astype(np.float64), np.cumsum(self._frauds)[self._last], np.cumsum(self._amounts)[self._last]
        summed = (np.cumsum(part)[self._last] for part in (weights, weights * self._frauds, weights * self._amounts))
        events, frauds, amounts = summed
        return events, frauds, amounts

    def figures(self, shares: tuple[float, ...] = (), weights: Floats | None = None) -> Figures:
        """All figures; `weights` as for `counts`."""
        events, frauds, amounts = self.counts(weights)
        return Figures(
            roc_auc(events, frauds),
            average_precision(events, frauds),
            tuple(at_share(share, events, frauds, amounts) for share in shares),
        )


def average_precision(events: Floats, frauds: Floats) -> float:
    """Sum over thresholds of precision times the step of recall; NaN without a fraud. Arguments as `Ranking.counts` gives them."""
    if not len(frauds) or frauds[-1] <= 0.0:
        return float("nan")
    steps = np.diff(frauds, prepend=0.0)
    found = steps > 0.0
    return float(np.sum(frauds[found] / events[found] * steps[found]) / frauds[-1])


def roc_auc(events: Floats, frauds: Floats) -> float:
    """How often a fraud scores above what is none, ties counted half; NaN without a fraud or without anything else."""
    honest = events - frauds
    if not len(frauds) or frauds[-1] <= 0.0 or honest[-1] <= 0.0:
        return float("nan")
    steps = np.diff(frauds, prepend=0.0)
    below = honest[-1] - honest + np.diff(honest, prepend=0.0) / 2.0
    return float(np.sum(steps * below) / (frauds[-1] * honest[-1]))


def at_share(share: float, events: Floats, frauds: Floats, amounts: Floats) -> AtShare:
    """The top `share` of the events, at least one; of a tie at its edge that part which fits, as if drawn at random."""
    if not len(events) or events[-1] <= 0.0:
        return AtShare(share, float("nan"), float("nan"), float("nan"))
    top = max(1.0, float(np.round(share * events[-1])))
    found = float(np.interp(top, np.append(0.0, events), np.append(0.0, frauds)))
    amount = float(np.interp(top, np.append(0.0, events), np.append(0.0, amounts)))
    return AtShare(share, found / top, _ratio(found, float(frauds[-1])), _ratio(amount, float(amounts[-1])))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else float("nan")


def card_precision(scores: Floats, frauds: Bools, cards: Ints, days: Ints, *, top: int = CARDS, drop_found: bool) -> list[float]:
    """Per day that occurs in `days`: the share of truly compromised ones among the `top` cards of the highest score that day.

    A card's score is its highest of the day, and it is compromised if a fraud of it is among that day's events. Of equal scores the smaller
    card comes first. With fewer cards than `top` the share is still of `top`. With `drop_found` a compromised card that was among the top
    doesn't count on later days: somebody has blocked it.
    """
    found: Ints = np.empty(0, np.int64)
    shares = []
    for day in np.unique(days):
        there = days == day
        if drop_found:
            there &= ~np.isin(cards, found)
        of_day, place = np.unique(cards[there], return_inverse=True)
        best = np.full(len(of_day), -np.inf)
        np.maximum.at(best, place, scores[there])
        compromised = np.zeros(len(of_day), np.bool_)
        np.logical_or.at(compromised, place, frauds[there])
        highest = np.argsort(-best, kind="stable")[:top]
        caught = of_day[highest][compromised[highest]]
        found = np.concatenate((found, caught))
        shares.append(len(caught) / top)
    return shares


def bootstrap(ranking: Ranking, days: Ints, shares: tuple[float, ...], resamples: int, seed: int) -> tuple[Figures, Figures]:
    """The 2.5 % and the 97.5 % quantile of each figure over resampled days.

    Days are drawn whole and with replacement, since events of one day hang together: attacks come in bursts. Resamples in which a figure is
    undefined don't count for it.
    """
    found, place = np.unique(days[ranking.order], return_inverse=True)
    chance = np.random.default_rng(seed)
    drawn = []
    for _ in range(resamples):
        times = np.bincount(chance.integers(0, len(found), len(found)), minlength=len(found)).astype(np.float64)
        drawn.append(_flat(ranking.figures(shares, times[place])))
    table = np.array(drawn).reshape(resamples, 2 + 3 * len(shares))
    low, high = (_quantiles(table, level) for level in INTERVAL)
    return _shaped(low, shares), _shaped(high, shares)


def _quantiles(table: Floats, level: float) -> list[float]:
    columns = (column[~np.isnan(column)] for column in table.T)
    return [float(np.quantile(column, level)) if len(column) else float("nan") for column in columns]


def _flat(figures: Figures) -> list[float]:
    return [figures.roc_auc, figures.average_precision, *(number for at in figures.at for number in at[1:])]


def _shaped(numbers: list[float], shares: tuple[float, ...]) -> Figures:
    at = tuple(AtShare(share, *numbers[2 + 3 * place : 5 + 3 * place]) for place, share in enumerate(shares))
    return Figures(numbers[0], numbers[1], at)
