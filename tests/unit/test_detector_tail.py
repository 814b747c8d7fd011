"""Tail bins and calibration equal their plain twins bit for bit, and their shares are what they say."""

import numpy as np
import pytest

from detectors.contract import Bools, Floats
from detectors.tail import Calibration, TailBins
from detectors.tail_kernel import CELLS, INCREMENT_MAX, SEEN_MIN
from tests.unit.detector_twins import CalibrationTwin, TailTwin

BLOCK = 256


def blocks(seed: int, count: int, columns: int) -> list[tuple[Floats, Bools]]:
    rng = np.random.default_rng(seed)
    return [(rng.beta(1.0, 8.0, (BLOCK, columns)), rng.random(BLOCK) < 0.9) for _ in range(count)]


def test_tail_bins_equal_the_twin() -> None:
    bins, twin = TailBins(3, 2), TailTwin(3, 2)
    for inputs, teach in blocks(1, 27, 3):
        bins.learn(inputs, teach)
        twin.learn(inputs.tolist(), teach.tolist())
        assert bins.bins.tolist() == twin.bins
    assert bins.arrays()["cells"].tolist() == twin.cells
    assert len(np.unique(bins.bins)) > 20


def test_calibration_equals_the_twin() -> None:
    calibration, twin = Calibration(2.0), CalibrationTwin(2.0)
    for inputs, teach in blocks(2, 12, 1):
        scores = -5.0 * np.log(inputs[:, 0])
        calibration.learn(scores, teach)
        twin.learn(scores.tolist(), teach.tolist())
        assert calibration.p_values.tolist() == twin.p_values
    assert calibration.ready and calibration.p_values.min() == 1.0 / (12 * BLOCK + 1)


def test_bins_say_how_rare_a_value_was() -> None:
    bins = TailBins(1, 1)
    rng = np.random.default_rng(3)
    for _ in range(400):
        bins.learn(rng.random((BLOCK, 1)), np.ones(BLOCK, np.bool_))
    for cell, share in ((CELLS - 1, 1 / 512), (CELLS - 5, 5 / 512), (CELLS * 3 // 4, 1 / 4)):
        assert bins.bins[0, cell] == pytest.approx(16 + 6 * -np.log10(2 * share), abs=1.1)
    assert bins.bins[0, 0] < bins.bins[0, CELLS // 4] < 16


def test_nothing_is_rarer_than_what_was_seen() -> None:
    bins = TailBins(1, 1)
    for _ in range(SEEN_MIN // BLOCK):
        bins.learn(np.full((BLOCK, 1), 0.1), np.ones(BLOCK, np.bool_))
    assert (bins.bins[0, -1] - 16) / 6 <= np.log10(SEEN_MIN)
    assert not TailBins(1, 1).ready and bins.ready


def test_the_recent_past_weighs_more_and_weights_stay_bounded() -> None:
    bins = TailBins(1, 1)
    everything = np.ones(BLOCK, np.bool_)
    old, new = np.full((BLOCK, 1), 0.2), np.full((BLOCK, 1), 0.8)
    for _ in range(400):
        bins.learn(old, everything)
    for _ in range(400):
        bins.learn(new, everything)
    cells = bins.arrays()["cells"][0]
    assert cells[int(0.8 * CELLS)] / cells[int(0.2 * CELLS)] == pytest.approx(2 ** (400 * BLOCK / 100_000), rel=1e-9)
    bins.arrays()["numbers"][0] = INCREMENT_MAX * 0.9999
    before = cells[int(0.8 * CELLS)] / cells[int(0.2 * CELLS)]
    bins.learn(old, np.zeros(BLOCK, np.bool_))
    assert cells[int(0.8 * CELLS)] / cells[int(0.2 * CELLS)] == before
    bins.learn(old, everything)
    assert bins.arrays()["numbers"][0] < 2.0


def test_p_values_are_shares_of_the_past() -> None:
    calibration = Calibration(1.0)
    rng = np.random.default_rng(4)
    for _ in range(200):
        calibration.learn(-np.log(rng.random(BLOCK)), np.ones(BLOCK, np.bool_))
    for score, share in ((1.0, np.exp(-1.0)), (3.0, np.exp(-3.0)), (5.0, np.exp(-5.0))):
        assert calibration.p_values[int(512 * score / (score + 1.0))] == pytest.approx(share, rel=0.15)
    assert calibration.p_values[-1] == pytest.approx(1.0 / (200 * BLOCK + 1))


def test_what_is_held_neither_fills_nor_leaves_the_tail() -> None:
    """An attack of 100 blocks keeps its p-value small; single held scores stay part of the past."""
    calibration = Calibration(1.0)
    ordinary = np.full(BLOCK, 0.5)
    for _ in range(40):
        calibration.learn(ordinary, np.ones(BLOCK, np.bool_))
    one_held = np.where(np.arange(BLOCK) == 7, 9.0, ordinary)
    calibration.learn(one_held, one_held < 5.0)
    assert calibration.p_values[int(512 * 0.9)] > 0.99 / (41 * BLOCK + 1)
    half_held = np.where(np.arange(BLOCK) % 2 == 0, 9.0, ordinary)
    for _ in range(100):
        calibration.learn(half_held, half_held < 5.0)
    assert calibration.p_values[int(512 * 0.9)] < 0.01
