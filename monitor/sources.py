"""Which records of each input source have had their effect: each one exactly once, or in a declared gap. Never a silent drop.

Pure state: entries in, judgements out. Knows nothing of what the records say. Called by `monitor.engine`.
"""

import enum
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Literal

import msgspec

from monitor.contracts.journal import ProgressEntry, SourceAcceptedEntry, SourceOpenedEntry
from monitor.intake import embedded_value

SourceState = Literal["open", "hole", "replaced"]
NEVER_OPENED = -1
DAY_MS = 86_400_000
DAYS_KEPT = 7
SILENCE_MIN_MS = 600_000
"""Less than that is nobody's business, however busy the source usually is: it would be told before the people who deploy have come back."""
MAY_FALL_SILENT = ("withdrawals", "outflows", "balances", "prices")


class Source(msgspec.Struct):
    """What is known of one partition of one input topic.

    `next` is the offset of the first record that has not had its effect; `seen_ms` the newest clock of any entry of the source,
    `progress_ms` the newest clock at which its reader stood at its end with nothing missing; `event_ms` the newest clock of a record,
    `gap_ms` the longest time between two records today and `gaps` that of each of the days before, a week at most.
    """

    next: int
    log_end: int
    state: SourceState = "open"
    seen_ms: int = 0
    progress_ms: int = -1
    blind: bool = False
    hole_announced: int = -1
    rewound: bool = False
    last_sha256: str | None = None
    event_ms: int = -1
    gap_ms: int = 0
    day: int = -1
    gaps: tuple[int, ...] = ()
    silent: bool = False


class Judgement(enum.Enum):
    """What becomes of an entry that stands for a source record."""

    ACCEPTED = "accepted"
    REPEAT = "repeat"
    HOLE = "hole"
    STOPPED = "stopped"


ACCEPTED, REPEAT, HOLE, STOPPED = Judgement
"""The members by names of their own: looking a member up in its class takes ten times as long, and this is asked of every entry."""


class Notice(msgspec.Struct, frozen=True):
    """Something about a source that people or intake must know. `severe` wakes people."""

    what: Literal["source-opened", "gap", "hole", "replaced", "source-accepted", "blind", "sighted", "silent"]
    source: str
    detail: str
    severe: bool = False
    first_offset: int | None = None
    last_offset: int | None = None
    expected_offset: int | None = None


class Sources:
    """The sources by name, "topic/partition".

    For an entry that was read from `start` to `offset`: offset < next is a repeat; start <= next <= offset is accepted and
    next becomes offset + 1; start > next is a hole, which is announced once and stops the source until it is read again.
    """

    def __init__(self) -> None:
        self.by_name: dict[str, Source] = {}
        self.last_entry: dict[str, bytes] = {}
        self.repeats = 0
        self.holes = 0
        self.gaps = 0

    def judge(self, name: str, start: int, offset: int, clock_ms: int) -> Judgement:
        """Decide about one entry and move `next` on if it is accepted."""
        source = self.by_name.get(name)
        if source is None or source.next == NEVER_OPENED:
            source = self.by_name[name] = Source(next=0, log_end=0)
        if source.state == "replaced":
            return STOPPED
        if offset < source.next:
            self.repeats += 1
            return REPEAT
        if start > source.next:
            return HOLE
        source.next = offset + 1
        quiet_ms = clock_ms - source.event_ms
        if quiet_ms > 0:
            if quiet_ms > source.gap_ms and source.event_ms >= 0:
                source.gap_ms = quiet_ms
            source.event_ms = clock_ms
            source.seen_ms = max(source.seen_ms, clock_ms)  # never before event_ms, so nothing is missed where that stays
        if source.state == "hole":
            source.state = "open"
        return ACCEPTED

    def remember(self, name: str, entry: bytes) -> None:
        """Keep the last accepted entry of a source, so that a replaced log is told by its content."""
        self.last_entry[name] = entry

    def remember_digest(self, name: str, sha256_hex: str | None) -> None:
        """The same for a record that was rejected, of which the journal has the digest only."""
        self.last_entry.pop(name, None)
        self.by_name[name].last_sha256 = sha256_hex

    def hole(self, name: str) -> Notice | None:
        """Announce a hole that `judge` found; None when this one was announced before."""
        source = self.by_name[name]
        source.state = "hole"
        if source.hole_announced == source.next:
            return None
        self.holes += 1
        source.hole_announced = source.next
        source.rewound = False
        return Notice(
            "hole", name, f"offset {source.next} of {name} is missing in the journal; intake is asked to read it again", expected_offset=source.next
        )

    def open(self, entry: SourceOpenedEntry) -> list[Notice]:
        """A reader took the source over. It may tell of a gap, a hole, or another log under the same name."""
        name = entry.source
        source = self.by_name.get(name)
        if source is None or source.next == NEVER_OPENED:
            self.by_name[name] = Source(next=entry.position, log_end=entry.log_end, seen_ms=entry.clock_ms)
            return [Notice("source-opened", name, f"first seen at offset {entry.position}", first_offset=entry.position)]
        if source.state == "replaced":
            return []
        if entry.log_end < source.next and entry.clock_ms < source.seen_ms:
            # It looked at the log before what was heard since. A worker that was stopped and woke up, not another log.
            detail = f"{entry.writer} told of {name} as it was before what was heard since: not taken for its present state"
            return [Notice("source-opened", name, detail, first_offset=entry.position)]
        source.seen_ms = max(source.seen_ms, entry.clock_ms)
        source.log_end = entry.log_end
        replaced = self._replaced(name, source, entry)
        if replaced is not None:
            source.state = "replaced"
            return [replaced]
        notices = []
        if entry.log_start > source.next:
            first, last = source.next, entry.log_start - 1
            self.gaps += 1
            source.next = entry.log_start
            source.state = "open"
            self.last_entry.pop(name, None)
            source.last_sha256 = None
            notices.append(
                Notice(
                    "gap",
                    name,
                    f"records {first} to {last} of {name} were deleted before they were read",
                    severe=True,
                    first_offset=first,
                    last_offset=last,
                )
            )
        notices.append(Notice("source-opened", name, f"{entry.why} at offset {entry.position} by {entry.writer}", first_offset=entry.position))
        if entry.position > source.next:
            notices.extend(self._beyond(name, source, entry))
        return notices

    def _beyond(self, name: str, source: Source, entry: SourceOpenedEntry) -> list[Notice]:
        """The reader starts beyond what had its effect: one rewind is asked for; if that didn't help, people are."""
        announced = self.hole(name)
        if announced is not None:
            return [announced]
        if entry.why == "rewound" and not source.rewound:
            source.rewound = True
            detail = f"{name} was read again from offset {entry.position}, but offset {source.next} is still missing; a person must look"
            return [Notice("hole", name, detail, severe=True)]
        return []

    def _replaced(self, name: str, source: Source, entry: SourceOpenedEntry) -> Notice | None:
        if entry.log_end < source.next:
            detail = f"{name} ends at offset {entry.log_end}, but {source.next} records of it had their effect"
        elif entry.position == source.next and entry.previous_sha256 is not None and self._differs(name, source, entry.previous_sha256):
            detail = f"the record at offset {source.next - 1} of {name} isn't the one that had its effect"
        else:
            return None
        detail += ": another log under the same name. Nothing of it is accepted until a person says so"
        return Notice("replaced", name, detail, severe=True, first_offset=entry.log_end)

    def _differs(self, name: str, source: Source, digest: str) -> bool:
        known = self._last_digest(name, source)
        return known is not None and known != digest

    def _last_digest(self, name: str, source: Source) -> str | None:
        entry = self.last_entry.get(name)
        return source.last_sha256 if entry is None else sha256(embedded_value(entry)).hexdigest()

    def accept(self, entry: SourceAcceptedEntry) -> Notice:
        """A person takes the source as it is, from `position` on."""
        source = self.by_name.setdefault(entry.source, Source(next=entry.position, log_end=entry.position))
        first = source.next
        source.next = entry.position
        source.state = "open"
        source.hole_announced = -1
        source.last_sha256 = None
        self.last_entry.pop(entry.source, None)
        detail = f"{entry.actor} accepted {entry.source} from offset {entry.position}: {entry.reason}"
        return Notice("source-accepted", entry.source, detail, first_offset=first, expected_offset=entry.position)

    def progress(self, entry: ProgressEntry) -> None:
        """The reader stands at the end of its source. It proves absence only where nothing before its position is missing."""
        source = self.by_name.get(entry.source)
        if source is None or source.state != "open":
            return
        source.seen_ms = max(source.seen_ms, entry.clock_ms)
        source.log_end = max(source.log_end, entry.log_end)
        if entry.position == source.next:
            source.progress_ms = max(source.progress_ms, entry.clock_ms)

    def proven_until_ms(self, topic: str, partitions: int) -> int:
        """Up to which clock every record of the topic is known to have had its effect; -1 when a partition was never seen at its end."""
        newest = [self.by_name.get(f"{topic}/{number}") for number in range(partitions)]
        return min((source.progress_ms if source is not None and source.state == "open" else -1 for source in newest), default=-1)

    def look(self, now_ms: int, blind_after_ms: int, expected: Mapping[str, int]) -> Iterator[Notice]:
        """On a Tick: sources that gave no sign for too long are blind; those that do again are sighted."""
        for topic in sorted(expected):
            for number in range(expected[topic]):
                name = f"{topic}/{number}"
                source = self.by_name.get(name)
                if source is None:
                    # Never opened: the wait counts from the first look, so that a young deployment isn't called blind at once.
                    self.by_name[name] = Source(next=NEVER_OPENED, log_end=0, seen_ms=now_ms)
                    continue
                silent = now_ms - source.seen_ms > blind_after_ms
                if silent and not source.blind:
                    source.blind = True
                    detail = f"nothing was heard of {name} for {(now_ms - source.seen_ms) // 1000} s; until it is, rule outflow_without_request is suspended"
                    yield Notice("blind", name, detail)
                elif source.blind and not silent:
                    source.blind = False
                    yield Notice("sighted", name, f"{name} is read again")

    def silences(self, now_ms: int, factor: int, expected: Mapping[str, int]) -> Iterator[Notice]:
        """On a Tick: sources that are read to their end and had no record for `factor` times their longest gap of the last days.

        WARMING until two days have ended: a night is the longest gap of most sources.
        """
        for topic in MAY_FALL_SILENT:
            for number in range(expected.get(topic, 0)):
                name = f"{topic}/{number}"
                source = self.by_name.get(name)
                if source is None or source.event_ms < 0:
                    continue
                self._turn_day(source, now_ms // DAY_MS)
                quiet_ms = now_ms - source.event_ms
                is_read = source.state == "open" and not source.blind and source.progress_ms > source.event_ms
                usual_ms = max(source.gaps) if source.gaps else 0
                silent = is_read and len(source.gaps) >= 2 and quiet_ms > max(SILENCE_MIN_MS, factor * usual_ms)
                if silent and not source.silent:
                    yield Notice("silent", name, f"{name} had no record for {quiet_ms // 1000} s; its longest gap of late was {usual_ms // 1000} s")
                source.silent = silent

    def _turn_day(self, source: Source, day: int) -> None:
        """Past midnight (UTC) today's longest gap joins those of the days before; the day a source was first seen isn't whole and is left out."""
        if source.day < 0:
            source.day = day
        elif day > source.day:
            source.gaps = (*source.gaps, source.gap_ms)[-DAYS_KEPT:]
            source.day, source.gap_ms = day, 0

    def state(self) -> dict[str, Source]:
        """The sources for a snapshot: copies, with the digests of their last records."""
        copies = {}
        for name, source in self.by_name.items():
            copy = msgspec.structs.replace(source)
            copy.last_sha256 = self._last_digest(name, source)
            copies[name] = copy
        return copies

    def restore(self, sources: dict[str, Source]) -> None:
        """Take over what `state` gave."""
        self.by_name = sources
        self.last_entry = {}
