"""Words of rarities are short and never fail, however rare a thing is."""

import pytest

from detectors.words import one_in


@pytest.mark.parametrize(
    ("decades", "words"),
    [(0.0, "1 in 1"), (4.97, "1 in 93,000"), (8.99, "1 in 980,000,000"), (9.0, "1 in 10^9"), (308.7, "1 in 10^308"), (1e6, "1 in 10^1000000")],
)
def test_one_in(decades: float, words: str) -> None:
    assert one_in(decades) == words
