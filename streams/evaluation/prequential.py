"""The prequential loop: score a run, judge it, then learn; labels come when they are due, never earlier.

Knows no file and no figure. Called by `streams.evaluation.study`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from detectors.contract import BLOCK_OBSERVATIONS, Bools, Floats, Ints, Run, Scores
from streams.evaluation.labelled import Labelled
from streams.evaluation.labels import Labels, TrackedQuantile

Progress = Callable[[int, float], None]
PROGRESS_EVERY_BLOCKS = 8


class Engine(Protocol):
    """What is measured; `detectors.panel.Panel` is one."""

    room: int

    @property
    def ordinal(self) -> int:
        """Ordinal of the next observation."""

    def reserve(self, rows: Mapping[str, int]) -> None:
        """Grow tables."""

    def fold(self, run: Run) -> tuple[Floats, dict[str, Scores]]:
        """Inputs and scores of a run."""

    def learn(self, teach: Bools) -> None:
        """End a full block."""

    def label(self, ordinals: Ints, fraud: Bools) -> object:
        """Take labels of earlier observations."""


class Watcher(Protocol):
    """Who sees the same inputs and the same labels at the same times."""

    def score(self, start: int, inputs: Floats) -> None:
        """Score these events, the first of which is number `start`, each before learning from it."""

    def label(self, places: Ints, frauds: Bools) -> None:
        """Take labels of earlier events."""


class Judged(NamedTuple):
    """What came of one pass.

    Attributes
    ----------
    scores : float64 [n]
        The ranking score of each event, as it was before the event was learned from.
    alerts : bool [n]
        Whether it exceeded the tracked quantile.
    values, p_values, ready : by detector, [n]
    labels_told : labels that were delivered
    scoring_us, labelling_us : CPU per event and per label, of this thread
    """

    scores: Floats
    alerts: Bools
    values: dict[str, Floats]
    p_values: dict[str, Floats]
    ready: dict[str, Bools]
    labels_told: int
    scoring_us: float
    labelling_us: float


def prequential(
    data: Labelled,
    engine: Engine,
    rank: Callable[[dict[str, Scores]], Floats],
    labels: Labels,
    *,
    alert_share: float,
    hold: bool = False,
    watchers: Sequence[Watcher] = (),
    progress: Progress | None = None,
) -> Judged:
    """Go through all events once.

    Before each run (at most 256 events, a block of the detectors) the labels that fell due before its first event are delivered, in order of
    their due times; what falls due inside a run waits for the next one. With `hold`, alerted events teach nothing.
    """
    n = len(data.run)
    times = data.times_ms
    engine.reserve(data.rows)
    first_ordinal = engine.ordinal
    quantile = TrackedQuantile(alert_share)
    kept = _Kept(n)
    teach = np.ones(BLOCK_OBSERVATIONS, np.bool_)
    scoring_s = labelling_s = 0.0
    start = 0
    while start < n:
        due = labels.due(int(times[start]))
        if len(due):
            begin = time.thread_time()
            engine.label(due + first_ordinal, data.frauds[due])
            labelling_s += time.thread_time() - begin
            for watcher in watchers:
                watcher.label(due, data.frauds[due])
        place = BLOCK_OBSERVATIONS - engine.room
        run = data.run[start : start + engine.room]
        begin = time.thread_time()
        inputs, scores = engine.fold(run)
        scoring_s += time.thread_time() - begin
        alerts = kept.take(start, rank(scores), scores, quantile)
        labels.alerted(start, alerts)
        for watcher in watchers:
            watcher.score(start, inputs)
        teach[place : place + len(run)] = ~alerts if hold else True
        start += len(run)
        if engine.room == 0:
            begin = time.thread_time()
            engine.learn(teach)
            scoring_s += time.thread_time() - begin
        if progress is not None and (start // BLOCK_OBSERVATIONS) % PROGRESS_EVERY_BLOCKS == 0:
            progress(start, start / n)
    told = labels.delivered
    return kept.judged(told, scoring_s / n * 1e6, labelling_s / max(told, 1) * 1e6)


class _Kept:
    """Scores of all events, filled run by run."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._scores: Floats = np.zeros(n)
        self._alerts: Bools = np.zeros(n, np.bool_)
        self._values: dict[str, Floats] = {}
        self._p_values: dict[str, Floats] = {}
        self._ready: dict[str, Bools] = {}

    def take(self, start: int, ranked: Floats, scores: dict[str, Scores], quantile: TrackedQuantile) -> Bools:
        """Keep one run's scores; which of them alert."""
        alerts = quantile.judge(ranked)
        end = start + len(ranked)
        self._scores[start:end] = ranked
        self._alerts[start:end] = alerts
        for name, score in scores.items():
            if name not in self._values:
                self._values[name], self._p_values[name] = np.zeros(self._n), np.ones(self._n)
                self._ready[name] = np.zeros(self._n, np.bool_)
            self._values[name][start:end] = score.value
            self._p_values[name][start:end] = score.p_value
            self._ready[name][start:end] = score.ready
        return alerts

    def judged(self, told: int, scoring_us: float, labelling_us: float) -> Judged:
        return Judged(self._scores, self._alerts, self._values, self._p_values, self._ready, told, scoring_us, labelling_us)
