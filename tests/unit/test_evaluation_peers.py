"""river's models beside ours: the same inputs, scored before they learn, labels when they are told."""

import json
import pathlib

import numpy as np
import pytest

from detectors.contract import Floats
from streams.evaluation.metrics import Ranking
from streams.evaluation.peers import Peer, Peers, make_peers
from tests.unit.test_cli_evaluate import COLUMNS, Captured, evaluated, stream, written

NAMES = ("a", "b")


class Model:
    """Notes the order of what happens to it."""

    def __init__(self, score: float = 0.25) -> None:
        self.seen: list[tuple[str, float, bool | None]] = []
        self.score = score

    def score_one(self, row: dict[str, float]) -> float:
        assert tuple(row) == NAMES
        self.seen.append(("score", row["a"], None))
        return self.score

    def predict_proba_one(self, row: dict[str, float]) -> dict[bool, float]:
        self.seen.append(("score", row["a"], None))
        return {True: self.score} if len(self.seen) > 1 else {}

    def learn_one(self, row: dict[str, float], truth: bool | None = None) -> None:
        self.seen.append(("learn", row["a"], truth))


def inputs(*values: float) -> Floats:
    return np.array([[value, 0.5, 9.0] for value in values])


def test_a_detector_learns_after_each_score_and_from_no_label() -> None:
    model = Model()
    peers = Peers([Peer("m", model, learns_labels=False)], NAMES, 3)
    peers.score(0, inputs(0.1, 0.2))
    peers.label(np.array([0]), np.array([True]))
    peers.score(2, inputs(0.3, 0.4))
    assert model.seen == [(what, value, None) for value in (0.1, 0.2, 0.3) for what in ("score", "learn")]
    assert peers.scores["m"].tolist() == [0.25] * 3


def test_a_classifier_learns_labels_only() -> None:
    model = Model()
    peers = Peers([Peer("m", model, learns_labels=True)], NAMES, 3)
    peers.score(0, inputs(0.1, 0.2))
    peers.label(np.array([1, 0]), np.array([True, False]))
    peers.score(2, inputs(0.3))
    peers.score(3, inputs(0.4))
    peers.label(np.array([2]), np.array([True]))
    assert model.seen == [("score", 0.1, None), ("score", 0.2, None), ("learn", 0.2, True), ("learn", 0.1, False), ("score", 0.3, None)]
    assert peers.scores["m"].tolist() == [0.0, 0.25, 0.25]


def test_a_score_that_is_not_finite_counts_as_nothing() -> None:
    peers = Peers([Peer("m", Model(float("nan")), learns_labels=False)], NAMES, 1)
    peers.score(0, inputs(0.1))
    assert peers.scores["m"].tolist() == [0.0]


def test_rivers_models_run_on_300_events() -> None:
    """Frauds lie where nothing else does: every one of river's models ranks them above chance, and costs something."""
    chance = np.random.default_rng(5)
    frauds = np.arange(300) % 20 == 19
    columns = np.clip(chance.normal(0.3, 0.05, (300, 2)) + 0.6 * frauds[:, None], 0.0, 0.99)
    peers = Peers(make_peers(1), NAMES, 300)
    for start in range(0, 300, 50):
        peers.score(start, columns[start : start + 50])
        told = np.arange(start, start + 50)
        peers.label(told, frauds[told])
    assert len(peers.scores) == 5
    late = slice(100, None)
    for name, scores in peers.scores.items():
        if "window" not in name:  # half-space trees know nothing before their first window is over
            assert Ranking(scores[late], frauds[late], np.ones(200)).figures().roc_auc > 0.9, name
        assert peers.cpu_s[name] > 0.0


def test_peers_stand_beside_ours_on_the_same_events(tmp_path: pathlib.Path, capsys: Captured) -> None:
    path = written(stream(1_500), tmp_path / "data.parquet")
    result = json.loads(
        evaluated(capsys, path, "--columns", COLUMNS, "--json", "--peers", "--peer-events", "300", "--warm-up", "1d", "--bootstrap", "10")
    )
    rows = {row["name"]: row for row in result["rows"]}
    assert rows["lanes"]["events"] == result["counted"]
    beside = [row for row in result["rows"] if row["group"] == "peer"] + [rows["lanes, peers' events"]]
    assert len(beside) == 6
    assert {row["events"] for row in beside} == {300}
    assert len({row["frauds"] for row in beside}) == 1
    assert all(row["cpu_us"] > 0.0 and row["low"] is not None for row in beside)


def test_peers_are_repeatable() -> None:
    columns = np.random.default_rng(6).random((120, 2))
    runs = []
    for _ in range(2):
        peers = Peers(make_peers(3), NAMES, 120)
        peers.score(0, columns[:60])
        peers.label(np.arange(60), columns[:60, 0] > 0.9)
        peers.score(60, columns[60:])
        runs.append(peers.scores)
    for name, scores in runs[0].items():
        assert scores.tolist() == pytest.approx(runs[1][name].tolist()), name
