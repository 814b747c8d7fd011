"""Payers to young addresses are counted exactly, up to eight: a plain count over the whole past agrees."""

import random

import numpy as np
import pytest

from detectors.contract import observations
from detectors.words import DAY_MS, HOUR_MS
from detectors.young_address_payers import YoungAddressPayers

NOTHING = np.zeros((1, 17))


def pay(detector: YoungAddressPayers, time_ms: int, account: int, address: int) -> tuple[int, float]:
    """One payment: the count and the address's age in ms."""
    scores = detector.fold(observations(1, time_ms=time_ms, account=account, address=address, amount=1.0), NOTHING)
    return int(scores.value[0]), float(scores.parts[0, 1])


def fresh() -> YoungAddressPayers:
    detector = YoungAddressPayers(3 * DAY_MS)
    detector.reserve({"account": 30, "address": 4})
    return detector


@pytest.mark.parametrize("seed", range(5))
def test_counts_equal_a_plain_count(seed: int) -> None:
    chance = random.Random(seed)
    detector = fresh()
    now_ms = 1_700_000_000_000
    past: dict[int, list[tuple[int, int]]] = {}
    highest = 0
    for _ in range(2_000):
        now_ms += int(chance.expovariate(1 / (10 * 60_000)))
        account, address = chance.randrange(chance.choice((3, 30))), chance.randrange(4)
        payments = past.setdefault(address, [])
        payments.append((now_ms, account))
        age_ms = now_ms - payments[0][0]
        payers = {payer for time_ms, payer in payments if now_ms - time_ms < DAY_MS}
        expected = (min(len(payers), 8), float(age_ms)) if age_ms < 3 * DAY_MS else (0, -1.0)
        assert pay(detector, now_ms, account, address) == expected
        highest = max(highest, expected[0])
        if age_ms > 4 * DAY_MS:
            detector.forget("address", np.array([address], np.int32))
            past[address] = []
    assert highest == 8


def test_warming_until_the_stream_is_as_old_as_an_address_is_young() -> None:
    detector = fresh()
    scores = detector.fold(observations(4, time_ms=[0, 1, 3 * DAY_MS - 1, 3 * DAY_MS], amount=1.0), NOTHING)
    assert scores.ready.tolist() == [False, False, False, True]


def test_a_late_event_sees_the_others_and_shortens_nothing() -> None:
    detector = fresh()
    now_ms = 10 * DAY_MS
    for account in range(8):
        pay(detector, now_ms + account, account, 0)
    assert pay(detector, now_ms - 30 * DAY_MS, 20, 0) == (8, 0.0)
    assert pay(detector, now_ms + HOUR_MS, 1, 0) == (8, HOUR_MS)
    assert pay(detector, now_ms + DAY_MS + HOUR_MS - 1, 0, 0) == (2, DAY_MS + HOUR_MS - 1)


def test_a_row_given_to_another_account_is_another_payer() -> None:
    detector = fresh()
    assert pay(detector, 0, 5, 0)[0] == 1
    detector.forget("account", np.array([5], np.int32))
    assert pay(detector, 1, 5, 0)[0] == 2


def test_ages_that_times_can_not_hold_are_refused() -> None:
    for young_ms in (0, 22 * DAY_MS):
        with pytest.raises(ValueError, match="young_address_ms"):
            YoungAddressPayers(young_ms)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ((5, 2 * HOUR_MS), "5 distinct payers in 24 h, address first seen 2 h ago"),
        ((8, 59_000), "8 or more distinct payers in 24 h, address first seen 59 s ago"),
        ((1, 2 * DAY_MS + 1), "1 distinct payer in 24 h, address first seen 2 d ago"),
        ((0, -1), "the address isn't young"),
    ],
)
def test_words(parts: tuple[int, int], words: str) -> None:
    assert fresh().explain(np.array(parts, np.float64)) == words
