"""A core on a Kafka of one process: a story whose outputs are published, and which decides what the command line writes to `feedback`.

For the tests of the commands for people. Time is the story's.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiokafka import TopicPartition

from monitor.contracts.topics import INPUT_BY_NAME, OUTPUTS
from streams import decisions
from streams.cli.app import run
from streams.cli.given import Given
from streams.journal_file import line_of
from streams.signing_keys import pem_text
from tests.unit.kafka_fake import Acknowledged, Cluster, FakeKafka, Producer
from tests.unit.story import Story
from tests.unit.test_decided import ALL, KEYS

PARTITIONS = dict.fromkeys((*INPUT_BY_NAME, "journal", "control", *(topic.name for topic in OUTPUTS)), 1)


class Stage(Story):
    """`tell` is what happens; `run` is the command line; `answers` says whether the core lives."""

    def __init__(self, directory: Path, patch: pytest.MonkeyPatch, **changes: Any) -> None:
        self.cluster = Cluster(PARTITIONS)
        self.entries: list[bytes] = []
        self.answers = True
        self.directory = directory
        for name, key in KEYS.items():
            (directory / f"{name}.pem").write_text(pem_text(key))
            (directory / f"{name}.pem").chmod(0o600)
        super().__init__(**{"actors": ALL} | changes)
        patch.setattr(Given, "kafka", lambda _: StageKafka(self))
        patch.setattr(decisions, "clock_ms", lambda: self.now_ms)

    def feed(self, entry: bytes) -> list[dict[str, object]]:
        """Fold an entry and publish what it causes."""
        self.entries.append(entry)
        records = self.engine.fold(self.offset, [entry])
        self.offset += 1
        for record in records:
            facts = {"journal_id": self.engine.journal_id, "offset": record.offset, "index": record.index}
            self.publish(record.topic, record.key, record.value, facts)
        return [{"topic": record.topic, **json.loads(record.value)} for record in records]

    def publish(self, topic: str, key: bytes | None, value: bytes, facts: dict[str, Any]) -> None:
        """Append one record to an output topic."""
        self.cluster.append(topic, value, key, headers=[(name, str(fact).encode()) for name, fact in facts.items()])

    def decide(self, value: bytes) -> None:
        """Take a decision as intake and core would."""
        self.now_ms += 1_000
        if self.answers:
            self.feed(self.writer.event("feedback", json.loads(value), self.now_ms))

    def sent(self) -> list[dict[str, Any]]:
        """What stands on `feedback`."""
        return [json.loads(record.value or b"") for record in self.cluster.logs[TopicPartition("feedback", 0)]]

    def run(self, *words: str) -> int:
        """The command line; its exit code."""
        self.cluster.changed = asyncio.Event()  # an event belongs to one loop, and each command has its own
        return run(words)

    def say(self, actor: str, *words: str) -> int:
        """`decide` by one person."""
        more: Sequence[str] = () if "--reason" in words else ("--reason", "looked at it")
        return self.run("decide", *words, "--actor", actor, "--key-file", str(self.directory / f"{actor}.pem"), *more)

    def approve(self, actor: str, *words: str) -> int:
        """`decide approve` by one person, of what was sent last."""
        return self.say(actor, "approve", self.sent()[-1]["event_id"], *words)

    def journal_file(self) -> str:
        """The journal so far, as `journal export` writes it."""
        path = self.directory / "journal.jsonl"
        path.write_bytes(b"".join(line_of(offset, entry) for offset, entry in enumerate(self.entries)))
        return str(path)


class StageKafka(FakeKafka):
    """Its producer hands decisions to the stage."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.cluster)
        self.stage = stage

    def producer(self, compression: str | None = None) -> "StageProducer":
        return StageProducer(self.stage)


class StageProducer(Producer):
    """Writes, and lets the core decide."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.cluster, 1_000)
        self.stage = stage

    async def send_and_wait(self, topic: str, *, value: bytes, key: bytes | None = None, partition: int = 0) -> Acknowledged:
        done = await super().send_and_wait(topic, value=value, key=key, partition=partition)
        self.stage.decide(value)
        return done
