"""A source that is read to its end and has nothing for far longer than its longest gap of the last days is silent: told once, after two whole days."""

from monitor.contracts.journal import ProgressEntry
from monitor.sources import DAY_MS, SILENCE_MIN_MS, Sources
from tests.simulation.journals import START_MS

HOUR_MS = 3_600_000
NAME = "outflows/0"


def silences(sources: Sources, now_ms: int) -> list[str]:
    sources.progress(ProgressEntry(clock_ms=now_ms, source=NAME, position=sources.by_name[NAME].next, log_end=0))
    return [notice.detail for notice in sources.silences(now_ms, 4, {"outflows": 1})]


def days(hours: int) -> tuple[Sources, int]:
    """A source that has a record an hour for so many hours, and the time of the last."""
    sources, at_ms = Sources(), START_MS
    for number in range(hours):
        at_ms = START_MS + number * HOUR_MS
        sources.judge(NAME, number, number, at_ms)
        assert silences(sources, at_ms + 1_000) == []
    return sources, at_ms


def test_silent_after_four_of_its_longest_gaps_and_told_once() -> None:
    sources, at_ms = days(60)
    assert silences(sources, at_ms + 4 * HOUR_MS) == []
    [detail] = silences(sources, at_ms + 4 * HOUR_MS + 1)
    assert detail == "outflows/0 had no record for 14400 s; its longest gap of late was 3600 s"
    assert silences(sources, at_ms + 5 * HOUR_MS) == []


def test_a_record_ends_it_and_the_next_silence_is_told_again() -> None:
    sources, at_ms = days(60)
    assert silences(sources, at_ms + 5 * HOUR_MS)
    sources.judge(NAME, 60, 60, at_ms + 5 * HOUR_MS)
    assert silences(sources, at_ms + 5 * HOUR_MS + 1) == []
    assert silences(sources, at_ms + 5 * HOUR_MS + DAY_MS) != []


def test_warming_before_two_days_have_ended() -> None:
    sources, at_ms = days(20)
    assert silences(sources, at_ms + 5 * HOUR_MS) == []


def test_a_source_whose_reader_is_behind_or_blind_is_not_called_silent() -> None:
    sources, at_ms = days(60)
    assert list(sources.silences(at_ms + DAY_MS, 4, {"outflows": 1})) != []
    sources, at_ms = days(60)
    sources.by_name[NAME].blind = True
    assert silences(sources, at_ms + DAY_MS) == []
    sources, at_ms = days(60)
    sources.by_name[NAME].progress_ms = at_ms - 1
    assert list(sources.silences(at_ms + DAY_MS, 4, {"outflows": 1})) == []


def test_minutes_are_nobodys_business() -> None:
    sources = Sources()
    for number in range(3 * DAY_MS // 60_000):
        sources.judge(NAME, number, number, START_MS + number * 60_000)
        list(sources.silences(START_MS + number * 60_000, 4, {"outflows": 1}))
    last_ms = START_MS + 3 * DAY_MS - 60_000
    assert silences(sources, last_ms + SILENCE_MIN_MS) == []
    assert silences(sources, last_ms + SILENCE_MIN_MS + 1) != []
