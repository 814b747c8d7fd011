"""river's online models beside ours: the same inputs, the same labels at the same times.

Only measured, never used live. Called by `streams.evaluation.study`; river is imported when peers are made.
"""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from detectors.contract import Bools, Floats, Ints

if TYPE_CHECKING:
    from collections.abc import Callable


class Peer(NamedTuple):
    """One of river's models; `learns_labels` tells a classifier from an anomaly detector."""

    name: str
    model: Any
    learns_labels: bool


def make_peers(seed: int) -> list[Peer]:
    """The half-space trees with river's defaults and with more and longer memory, LODA, and the two best online forests, ten trees each."""
    from river import anomaly, forest

    return [
        Peer("river HalfSpaceTrees 10×8, window 250", anomaly.HalfSpaceTrees(seed=seed), learns_labels=False),
        Peer(
            "river HalfSpaceTrees 25×8, window 1000", anomaly.HalfSpaceTrees(n_trees=25, height=8, window_size=1000, seed=seed), learns_labels=False
        ),
        Peer("river LODA", anomaly.LODA(seed=seed), learns_labels=False),
        Peer("river ARF, 10 trees", forest.ARFClassifier(n_models=10, seed=seed), learns_labels=True),
        Peer("river AMF, 10 trees", forest.AMFClassifier(n_estimators=10, seed=seed), learns_labels=True),
    ]


class Peers:
    """Keeps the peers' scores of the first `last` events, and what they cost.

    Anomaly detectors learn from every event after they scored it; classifiers from the labels, when these are told. A score that isn't finite
    counts as 0.

    `input_names` are those of the first columns of the inputs; further columns aren't shown to the peers.

    Attributes
    ----------
    scores : by name, float64 [last]
    cpu_s : by name, CPU seconds of this thread, labels included
    """

    def __init__(self, peers: Sequence[Peer], input_names: Sequence[str], last: int) -> None:
        self.last = last
        self.scores: dict[str, Floats] = {peer.name: np.zeros(last) for peer in peers}
        self.cpu_s: dict[str, float] = dict.fromkeys(self.scores, 0.0)
        self._peers = peers
        self._names = tuple(input_names)
        self._done = False
        self._inputs: Floats = np.zeros((last, len(self._names)))

    def score(self, start: int, inputs: Floats) -> None:
        """Score these events, each before learning from it; events after the last one are left out."""
        inputs = inputs[: max(0, self.last - start), : len(self._names)]
        if not len(inputs):
            self._done = True
            return
        end = start + len(inputs)
        self._inputs[start:end] = inputs
        rows = self._rows(slice(start, end))
        for peer in self._peers:
            begin = time.thread_time()
            scored = _classified(peer.model, rows) if peer.learns_labels else _scored(peer.model, rows)
            self.cpu_s[peer.name] += time.thread_time() - begin
            self.scores[peer.name][start:end] = scored

    def label(self, places: Ints, frauds: Bools) -> None:
        """Take labels of earlier events, as long as there are events to score."""
        if self._done:
            return
        rows = self._rows(places)
        truths = frauds.tolist()
        for peer in self._peers:
            if peer.learns_labels:
                learn: Callable[[dict[str, float], bool], None] = peer.model.learn_one
                begin = time.thread_time()
                for row, truth in zip(rows, truths, strict=True):
                    learn(row, truth)
                self.cpu_s[peer.name] += time.thread_time() - begin

    def _rows(self, at: "slice | Ints") -> list[dict[str, float]]:
        return [dict(zip(self._names, row, strict=True)) for row in self._inputs[at].tolist()]


def _scored(model: Any, rows: list[dict[str, float]]) -> list[float]:
    scores = []
    for row in rows:
        score = model.score_one(row)
        scores.append(score if math.isfinite(score) else 0.0)
        model.learn_one(row)
    return scores


def _classified(model: Any, rows: list[dict[str, float]]) -> list[float]:
    scores = []
    for row in rows:
        score = model.predict_proba_one(row).get(True, 0.0)
        scores.append(score if math.isfinite(score) else 0.0)
    return scores
