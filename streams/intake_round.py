"""What the intake's loop keeps of a partition that it reads, and what one round of it writes.

Values only; awaits nothing and asks nobody. Called by `streams.intake`.
"""

import time
from collections import Counter

from aiokafka import TopicPartition

from monitor.contracts.dead_letters import DeadLetter
from monitor.intake import Taken
from monitor.reasons import Reason
from streams.alignment import Run
from streams.metrics import Metrics
from streams.openings import Opening, Resume


class Source:
    """One partition of an input topic while this worker reads it. `next` is behind the consumer's position by what was fetched and not taken."""

    __slots__ = ("acknowledged", "committed", "name", "next", "number", "polled_ms", "rewound", "topic")

    def __init__(self, topic: str, number: int, opening: Opening, committed: Resume) -> None:
        self.topic = topic
        self.number = number
        self.name = f"{topic}/{number}"
        self.next = opening.position
        self.rewound = opening.rewound
        self.acknowledged: int | None = None
        self.committed = committed
        self.polled_ms = 0


class Round:
    """What one round writes: dead letters first, then journal entries; then the positions may be committed."""

    __slots__ = ("began_s", "dead_letters", "entries", "positions", "records", "rejected", "value_bytes")

    def __init__(self) -> None:
        self.entries: list[bytes] = []
        self.dead_letters: list[tuple[str, DeadLetter]] = []
        self.positions: dict[TopicPartition, int] = {}
        self.records: Counter[str] = Counter()
        self.value_bytes: Counter[str] = Counter()
        self.rejected: dict[str, Counter[Reason]] = {}
        self.began_s = time.monotonic()

    def add(self, topic: str, run: Run, result: Taken) -> None:
        """What the next run of records became."""
        self.entries += result.entries
        self.positions[run.partition] = result.next_offset
        self.records[topic] += len(run.records)
        self.value_bytes[topic] += run.value_bytes
        if result.rejected:
            self.dead_letters += ((topic, letter) for letter in result.dead_letters)
            self.rejected.setdefault(topic, Counter()).update(result.rejected)

    def count(self, metrics: Metrics) -> None:
        """Say what was read: once a topic, since runs can be short."""
        for topic, records in self.records.items():
            metrics.intake_round(topic, records, self.rejected.get(topic, {}), self.value_bytes[topic])
