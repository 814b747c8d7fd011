"""Figures of a ranking against examples counted by hand and against plain loops that sum over pairs and thresholds."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.contract import Floats
from streams.evaluation.metrics import Figures, Ranking, bootstrap, card_precision

Events = list[tuple[int, bool, int]]
EVENTS = st.lists(st.tuples(st.integers(0, 6), st.booleans(), st.integers(1, 9)), min_size=1, max_size=40)


def ranking(events: Events) -> Ranking:
    scores, frauds, amounts = zip(*events, strict=True)
    return Ranking(np.array(scores, float), np.array(frauds, bool), np.array(amounts, float))


def slow_average_precision(events: Events) -> float:
    frauds = sum(fraud for _, fraud, _ in events)
    total = before = 0.0
    for limit in sorted({score for score, _, _ in events}, reverse=True):
        above = [fraud for score, fraud, _ in events if score >= limit]
        recall = sum(above) / frauds if frauds else math.nan
        total += (recall - before) * sum(above) / len(above)
        before = recall
    return total


def slow_roc_auc(events: Events) -> float:
    pairs = [(bad, good) for bad, is_bad, _ in events if is_bad for good, is_good_not, _ in events if not is_good_not]
    return sum(1.0 if bad > good else 0.5 if bad == good else 0.0 for bad, good in pairs) / len(pairs) if pairs else math.nan


def slow_at(events: Events, top: int) -> tuple[float, float]:
    """Expected frauds and their amount among the top, a tie at its edge in random order."""
    expected = amount = 0.0
    for score, fraud, size in events:
        higher = sum(other > score for other, _, _ in events)
        tied = sum(other == score for other, _, _ in events)
        chance = min(max((top - higher) / tied, 0.0), 1.0)
        expected += chance * fraud
        amount += chance * fraud * size
    return expected, amount


def test_by_hand() -> None:
    # From the top: fraud | honest | fraud | honest, amounts 10, 1, 30, 1.
    figures = ranking([(4, True, 10), (3, False, 1), (2, True, 30), (1, False, 1)]).figures((0.25, 0.5, 1.0))
    assert figures.average_precision == pytest.approx(1.0 * 0.5 + 2 / 3 * 0.5)
    assert figures.roc_auc == 0.75
    assert [at[1:] for at in figures.at] == [(1.0, 0.5, 0.25), (0.5, 0.5, 0.25), (0.5, 1.0, 1.0)]


def test_ties_are_one_threshold() -> None:
    for events in ([(1, True, 1), (1, False, 1)], [(1, False, 1), (1, True, 1)]):
        figures = ranking(events).figures((0.5,))
        assert figures.average_precision == 0.5
        assert figures.roc_auc == 0.5
        assert figures.at[0].precision == 0.5


@pytest.mark.parametrize(("fraud", "defined"), [(False, []), (True, ["average_precision"])])
def test_what_is_undefined_is_nan(fraud: bool, defined: list[str]) -> None:
    figures = ranking([(1, fraud, 1), (2, fraud, 1)]).figures((0.5,))
    assert [name for name in ("roc_auc", "average_precision") if not math.isnan(getattr(figures, name))] == defined
    assert math.isnan(figures.at[0].recall) is not fraud
    assert figures.at[0].precision == float(fraud)


@given(EVENTS, st.integers(0, 10))
def test_equal_to_plain_loops(events: Events, tenths: int) -> None:
    share = tenths / 10
    figures = ranking(events).figures((share,))
    assert figures.average_precision == pytest.approx(slow_average_precision(events), nan_ok=True)
    assert figures.roc_auc == pytest.approx(slow_roc_auc(events), nan_ok=True)
    top = max(1, round(share * len(events)))
    found, amount = slow_at(events, top)
    frauds, all_amount = sum(fraud for _, fraud, _ in events), sum(size for _, fraud, size in events if fraud)
    nothing = (math.nan, math.nan)
    assert figures.at[0].precision == pytest.approx(found / top)
    assert figures.at[0][2:] == pytest.approx((found / frauds, amount / all_amount) if frauds else nothing, nan_ok=True)


@given(EVENTS, st.data())
def test_a_weight_counts_an_event_so_often(events: Events, data: st.DataObject) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=len(events), max_size=len(events)).filter(any))
    weighted = ranking(events)
    repeated = ranking([event for event, count in zip(events, times, strict=True) for _ in range(count)])
    weights: Floats = np.array(times, float)[weighted.order]
    flat = [value for figures in (weighted.figures((0.3,), weights), repeated.figures((0.3,))) for value in (*figures[:2], *figures.at[0])]
    assert flat[: len(flat) // 2] == pytest.approx(flat[len(flat) // 2 :], nan_ok=True)


def stream(n: int, seed: int) -> tuple[Ranking, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    chance = np.random.default_rng(seed)
    frauds = chance.random(n) < 0.1
    return Ranking(chance.random(n) + 0.5 * frauds, frauds, chance.random(n)), np.sort(chance.integers(0, 30, n))


def test_bootstrap_has_a_seed_and_holds_the_figure() -> None:
    whole, days = stream(3_000, 1)
    first, again, other = (bootstrap(whole, days, (0.01,), 100, seed) for seed in (5, 5, 6))
    assert first == again
    assert first != other
    low, high = first
    figures = whole.figures((0.01,))
    assert low.average_precision < figures.average_precision < high.average_precision
    assert low.roc_auc < figures.roc_auc < high.roc_auc
    assert low.at[0].recall < figures.at[0].recall < high.at[0].recall


def test_bootstrap_equals_a_plain_loop() -> None:
    chance = np.random.default_rng(8)
    events = [(int(score), bool(fraud), int(size)) for score, fraud, size in zip(*chance.integers(0, [[9], [2], [9]], (3, 60)), strict=True)]
    days = chance.integers(0, 7, 60)
    draws = np.random.default_rng(4)
    resampled = []
    for _ in range(30):
        drawn = [int(day) for day in draws.integers(0, 7, 7)]
        copies = [event for day in drawn for event, its in zip(events, days.tolist(), strict=True) if its == day]
        resampled.append((slow_roc_auc(copies), slow_average_precision(copies)))
    low, high = bootstrap(ranking(events), days, (), 30, 4)
    assert [low[:2], high[:2]] == [pytest.approx(tuple(np.quantile(resampled, level, axis=0))) for level in (0.025, 0.975)]


def test_bootstrap_draws_whole_days() -> None:
    """All on one day: every resample is the whole."""
    whole, _ = stream(300, 2)
    low, high = bootstrap(whole, np.zeros(300, np.int64), (0.01,), 20, 1)
    assert isinstance(low, Figures)
    assert low == high
    assert low.average_precision == pytest.approx(whole.figures().average_precision)


def test_cards_by_hand() -> None:
    days = np.array([1, 1, 1, 1, 2, 2, 2])
    cards = np.array([7, 8, 9, 7, 7, 8, 9])
    scores = np.array([0.1, 0.5, 0.4, 0.9, 0.9, 0.5, 0.4])
    frauds = np.array([True, False, True, False, True, False, True])
    # Day 1, best first: 7 (its highest is .9, compromised), 8, 9 (compromised). Day 2: 7 (compromised), 8, 9 (compromised).
    assert card_precision(scores, frauds, cards, days, top=2, drop_found=False) == [0.5, 0.5]
    # 7 was found on day 1, so day 2 has 8 and 9, and 9 is compromised.
    assert card_precision(scores, frauds, cards, days, top=2, drop_found=True) == [0.5, 0.5]
    assert card_precision(scores, frauds, cards, days, top=1, drop_found=True) == [1.0, 0.0]
    assert card_precision(scores, frauds, cards, days, top=1, drop_found=False) == [1.0, 1.0]
    assert card_precision(scores, frauds, cards, days, top=100, drop_found=False) == [0.02, 0.02]


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.integers(0, 9), st.booleans()), min_size=1, max_size=40), st.booleans())
def test_cards_equal_a_plain_loop(events: list[tuple[int, int, int, bool]], drop_found: bool) -> None:
    found: set[int] = set()
    expected = []
    for today in sorted({day for day, _, _, _ in events}):
        of_day = [(card, score, fraud) for day, card, score, fraud in events if day == today and card not in (found if drop_found else ())]
        best = {card: max(score for other, score, _ in of_day if other == card) for card, _, _ in of_day}
        top = sorted(best, key=lambda card: (-best[card], card))[:2]
        caught = {card for card, _, fraud in of_day if fraud and card in top}
        found |= caught
        expected.append(len(caught) / 2)
    days, cards, scores, frauds = (np.array(column) for column in zip(*events, strict=True))
    assert card_precision(scores.astype(float), frauds, cards, days, top=2, drop_found=drop_found) == expected
