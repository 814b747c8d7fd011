"""Readers drop what isn't higher: prefixes and repeats in any cut, journals apart."""

import random

import pytest

from streams.positions import PositionReader

Headers = list[tuple[str, bytes]]


def headers(offset: int, index: int, journal: str = "j") -> Headers:
    return [("journal_id", journal.encode()), ("offset", str(offset).encode()), ("index", str(index).encode())]


def test_each_position_is_new_once_whatever_prefixes_come_again() -> None:
    positions = [(offset, index) for offset in range(0, 60, 3) for index in range(3)]
    for seed in range(200):
        draw = random.Random(seed)
        stream = []
        written = 0
        while written < len(positions):  # writers start again somewhere in what is there and stop anywhere
            first = draw.randrange(written + 1)
            written = max(written, draw.randrange(first, len(positions)) + 1)
            stream += positions[first:written]
        reader = PositionReader()
        assert [position for position in stream if reader.is_new(0, headers(*position))] == positions, f"seed {seed}"


def test_partitions_and_journals_are_apart() -> None:
    reader = PositionReader()
    assert reader.is_new(0, headers(5, 0)) and reader.is_new(1, headers(5, 0)) and reader.is_new(0, headers(0, 0, "other"))
    assert not reader.is_new(0, headers(4, 9)) and not reader.is_new(0, headers(5, 0))


@pytest.mark.parametrize("strange", [[], [("offset", b"1")], [("journal_id", b"j"), ("offset", b"x"), ("index", b"0")]])
def test_a_record_without_a_position_is_not_ours(strange: Headers) -> None:
    assert not PositionReader().is_new(0, strange)
