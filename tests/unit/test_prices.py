"""Which prices count when feeds disagree about the time. What jumps, and what that means for coverage, is in `test_coverage.py`."""

import pytest

from tests.unit.test_coverage import funded, told


def test_what_waits_keeps_no_price_out_that_is_near_the_one_that_counts() -> None:
    story = funded()
    known_at_ms = story.now_ms
    told(story, "tick", "tick", "prices price=2000")
    story.tell(f"prices price=1001 occurred_at_ms={known_at_ms + 1_500}")  # newer than the one that counts, older than the one that waits
    marks = story.engine.state.marks
    assert (marks.prices.newest["BTC"].text, marks.prices.jumped) == ("1001", {})


@pytest.mark.parametrize("ahead_ms", [1_000, 540_000])
def test_a_feed_whose_clock_is_ahead_keeps_no_price_out(ahead_ms: int) -> None:
    story = funded()
    for price, after in (("5000", "1000"), ("1002", "1002")):
        story.tell(f"prices price={price} price_source=ahead occurred_at_ms={story.now_ms + ahead_ms}")
        marks = story.engine.state.marks
        assert marks.prices.newest["BTC"].text == after
        assert (marks.prices.jumped.get("BTC") or marks.prices.newest["BTC"]).at_ms == story.now_ms
        story.tell("prices price=1001")
        assert (marks.prices.newest["BTC"].text, marks.price_standing("BTC", story.now_ms)) == ("1001", "fresh")
