"""The handbook's protocol on a stream small enough to count by hand."""

import numpy as np
import pytest

from streams.evaluation.handbook import DAY_MS, Protocol, split, weeks

# Two tests of two days from day 20 on, labels 3 days late, frauds of 2 days before that are looked at.
PROTOCOL = Protocol(first_day=20, last_day=23, test_days=2, delay_ms=3 * DAY_MS, known_days=2)
STORY = """
    day   card  fraud  score  tested
    14.9  5     yes    .1     no, too early; and too long ago for the first test to know it
    15.0  1     yes    .1     no; known on day 20: older than 3 days, not older than 5
    16.9  2     yes    .1     no; known on day 20
    17.0  3     yes    .1     no; known on day 21, not on day 20
    20.0  1     no     .9     no, known
    20.1  2     yes    .9     no, known
    20.2  3     yes    .8     yes
    20.3  4     no     .7     yes
    20.4  5     no     .2     yes
    20.5  7     yes    .75    yes
    21.0  3     yes    .9     no, known by now
    21.5  4     yes    .6     yes
    21.6  7     yes    .65    yes, but found the day before
    21.9  5     no     .1     yes
    22.0  1     no     .1     yes: the second test knows frauds from day 17.0 on
    22.1  3     yes    .9     no, known
    23.9  6     yes    .3     yes
    24.0  6     yes    .9     no, after the last day
"""


def story() -> list[list[str]]:
    return [line.split()[:5] for line in STORY.strip().splitlines()[1:]]


def columns() -> tuple[np.ndarray, ...]:
    rows = story()
    times = np.array([round(float(row[0]) * DAY_MS) for row in rows])
    cards = np.array([int(row[1]) for row in rows])
    frauds = np.array([row[2] == "yes" for row in rows])
    return times, cards, frauds, np.array([float(row[3]) for row in rows])


def test_known_cards_are_left_out_day_by_day() -> None:
    times, cards, frauds, _ = columns()
    tested = {place for test in split(PROTOCOL, times, cards, frauds) for place in test.places.tolist()}
    assert tested == {place for place, row in enumerate(story()) if row[4].startswith("yes")}


def test_figures_of_each_test() -> None:
    times, cards, frauds, scores = columns()
    first, second = weeks(split(PROTOCOL, times, cards, frauds), scores, frauds, cards)
    assert (first.first_day, first.events, first.frauds, first.cards_removed) == (20, 7, 4, 3)
    # Best first: frauds .8 and .75 (cards 3 and 7), honest .7, frauds .65 and .6 (cards 7 and 4), honest, honest.
    assert first.average_precision == pytest.approx((1.0 + 1.0 + 3 / 4 + 4 / 5) / 4)
    assert first.roc_auc == pytest.approx(10 / 12)
    assert first.card_precision_100 == pytest.approx((0.02 + 0.01) / 2)
    assert (second.first_day, second.events, second.frauds, second.cards_removed) == (22, 2, 1, 1)
    assert second.card_precision_100 == pytest.approx((0.0 + 0.01) / 2)


def test_a_test_that_is_not_over_is_not_made() -> None:
    assert PROTOCOL.starts == [20, 22]
    assert PROTOCOL._replace(last_day=22).starts == [20]
    assert PROTOCOL._replace(last_day=20).starts == []
