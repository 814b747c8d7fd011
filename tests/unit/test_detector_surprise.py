"""The surprise detector's score is the sum of its five largest parts, equal to a plain twin, and its words can be checked."""

import numpy as np
import pytest

from detectors.contract import BLOCK_OBSERVATIONS, observations
from detectors.surprise import MIDDLE, Surprise
from detectors.tail import TailBins
from tests.unit.detector_twins import CalibrationTwin, TailTwin, five_largest

NAMES = ("a", "b", "c", "d", "e", "amount_z", "g")
RUN = observations(BLOCK_OBSERVATIONS, amount=1.0, amount_base=1.0)


def test_scores_equal_the_twin() -> None:
    detector = Surprise(NAMES, TailBins(len(NAMES)))
    bins, calibration = TailTwin(len(NAMES)), CalibrationTwin(MIDDLE)
    rng = np.random.default_rng(5)
    ready = 0
    for _ in range(18):
        inputs = rng.beta(1.0, 8.0, (BLOCK_OBSERVATIONS, len(NAMES)))
        teach = rng.random(BLOCK_OBSERVATIONS) < 0.9
        scores = detector.fold(RUN, inputs)
        parts = [bins.surprises(row) for row in inputs.tolist()]
        values = [five_largest(row) for row in parts]
        assert scores.parts.tolist() == parts and scores.value.tolist() == values
        assert scores.p_value.tolist() == [calibration.p_value(value) for value in values]
        ready += int(scores.ready.all())
        detector.learn(RUN, inputs, teach)
        if bins.seen >= 1024:
            calibration.learn(values, teach.tolist())
        bins.learn(inputs.tolist(), teach.tolist())
    assert ready == 5  # five blocks of 90 % teach 1,024; eight more make 2,000 scores


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ([0, 0, 0, 0, 0, 4.97, 0], "amount z 1 in 93,000"),
        ([3, 0.5, 1, 2, 0, 4.3, 0], "amount z 1 in 20,000; a 1 in 1,000; d 1 in 100"),
        ([0] * 7, "nothing unusual"),
    ],
)
def test_words(parts: list[float], words: str) -> None:
    assert Surprise(NAMES, TailBins(7)).explain(np.array(parts, np.float64)) == words
