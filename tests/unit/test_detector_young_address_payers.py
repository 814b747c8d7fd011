"""Payers to young addresses: first-time payers are counted exactly in windows that slide event by event; what a person reads of it."""

import random

import numpy as np
import pytest

from detectors.contract import observations
from detectors.scope_inputs import ScopeInputs
from detectors.words import DAY_MS, HOUR_MS
from detectors.young_address_payers import YoungAddressPayers

INPUTS = ScopeInputs(("new_pair", "account_p_value"))
START_MS = 1_700_000_000_000
ACCOUNTS, EXPECTED, AGE, IN_DAY = 1, 2, -2, -1


def fresh() -> YoungAddressPayers:
    detector = YoungAddressPayers(INPUTS, 3 * DAY_MS)
    detector.reserve({"account": 30, "address": 4})
    return detector


@pytest.mark.parametrize("seed", range(3))
def test_counts_equal_a_plain_count(seed: int) -> None:
    chance = random.Random(seed)
    detector, now_ms, shown = fresh(), START_MS, set()
    past: dict[int, list[tuple[int, bool]]] = {}
    for _ in range(20):
        rows = []
        for _ in range(256):
            now_ms += int(chance.expovariate(1 / (5 * 60_000)))
            rows.append((now_ms, chance.randrange(4), chance.random() < 0.5))
        run = observations(256, time_ms=[row[0] for row in rows], address=[row[1] for row in rows], amount=1.0)
        inputs = np.array([[0.99999 if row[2] else 0.5, 1.0] for row in rows])
        scores = detector.fold(run, inputs)
        for i, (time_ms, address, first) in enumerate(rows):
            payments = past.setdefault(address, [])
            payments.append((time_ms, first))
            age_ms = time_ms - payments[0][0]
            window_ms = DAY_MS if scores.parts[i, IN_DAY] else HOUR_MS
            payers = sum(new for paid_ms, new in payments if time_ms - paid_ms < window_ms)
            assert scores.parts[i, ACCOUNTS] == (payers if age_ms < 3 * DAY_MS else 0)
            assert scores.parts[i, AGE] == age_ms
            shown.add((window_ms, payers))
        detector.learn(run, inputs, np.ones(256, np.bool_))
        if chance.random() < 0.5:
            detector.forget("address", np.array([1], np.int32))
            past.pop(1, None)
    assert len(shown) > 50


def test_warming_until_the_stream_is_as_old_as_an_address_is_young() -> None:
    detector, ready = fresh(), []
    for block in range(12):
        run = observations(256, time_ms=START_MS + block * DAY_MS // 2 + np.arange(256), address=0, amount=1.0)
        scores = detector.fold(run, np.full((256, 2), 0.9))
        assert scores.ready.all() == scores.ready.any()
        assert scores.ready.all() or (scores.p_value == 1.0).all()
        ready.append(bool(scores.ready[0]))
        detector.learn(run, np.full((256, 2), 0.9), np.ones(256, np.bool_))
    assert ready == [False] * 8 + [True] * 4


def test_ages_that_are_no_youth_are_refused() -> None:
    for young_ms in (0, 22 * DAY_MS):
        with pytest.raises(ValueError, match="young_address_ms"):
            YoungAddressPayers(INPUTS, young_ms)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        (
            (1, 14, 1, 14, 55.0, 1.5, 0, 0, 120_000, 1),
            "14 accounts paid it for the first time in 24 h, address first seen 2 min ago; their withdrawals are together 1 in 9,800",
        ),
        ((0, 1, 1, 1, 3.0, 1.5, 0, 0, 59_000, 0), "1 account paid it for the first time in 1 h, address first seen 59 s ago"),
        ((0, 0, 0, 0, 0.0, 0.0, 0, 0, 4 * DAY_MS, 0), "the address isn't young, or has no first-time payers in 24 h"),
    ],
)
def test_words(parts: tuple[float, ...], words: str) -> None:
    assert fresh().explain(np.array(parts, np.float64)) == words
