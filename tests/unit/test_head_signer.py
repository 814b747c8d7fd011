"""Heads are sent with a signature that verifies, everything else as it was; an unsigned core sends them bare."""

import base64
from hashlib import sha256
from typing import Any

import pytest
from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from monitor.contracts.topics import OUTPUTS
from monitor.engine import Engine
from monitor.outbox import OutputRecord
from monitor.published_heads import PublishedHeads
from streams.audit import head_copy, is_head
from streams.head_signer import HeadSigner
from streams.metrics import Metrics
from streams.rounds import OutputWriter
from tests.simulation.journals import honest, journal
from tests.unit.kafka_fake import Cluster, FakeKafka, Record
from tests.unit.trail_stage import BLOCK, KEY, public


@pytest.fixture(scope="module")
def folded() -> tuple[str, list[OutputRecord]]:
    lines = journal(honest(seconds=20, rate=8, seed=9, accounts=20))
    journal_id = sha256(lines[0]).hexdigest()
    return journal_id, Engine(journal_id).fold(0, lines)


async def sent(journal_id: str, outputs: list[OutputRecord], signer: HeadSigner | None) -> list[Record]:
    """What stands in `audit` after a round."""
    cluster = Cluster({topic.name: 1 for topic in OUTPUTS})
    kafka: Any = FakeKafka(cluster)
    control: Any = None  # asked for rewinds only, after a write
    partitions = {topic.name: 1 for topic in OUTPUTS}
    writer = OutputWriter(kafka, kafka.producer(), control, Metrics(CollectorRegistry()), partitions, signer)
    await writer.fill(journal_id, outputs).deliver()
    return cluster.logs[TopicPartition("audit", 0)]


async def test_heads_are_signed_and_nothing_else_is(folded: tuple[str, list[OutputRecord]]) -> None:
    journal_id, outputs = folded
    records = await sent(journal_id, outputs, HeadSigner("night", KEY))
    signed = [record for record in records if "signature" in dict(record.headers)]
    assert signed == [record for record in records if is_head(record)] != []
    assert len(signed) < len(records)
    assert all(len(base64.b64decode(dict(record.headers)["signature"])) == 64 for record in signed)
    heads = PublishedHeads({"night": public(KEY)})
    for record in signed:
        copy = head_copy(record)
        assert copy is not None and heads.add(copy) is None
    assert heads.copies == {"signed": len(signed)}
    assert heads.end == len(signed) * BLOCK


async def test_without_a_key_heads_go_out_bare_and_their_values_are_the_same(folded: tuple[str, list[OutputRecord]]) -> None:
    bare, signed = await sent(*folded, None), await sent(*folded, HeadSigner("night", KEY))
    assert [record.value for record in bare] == [record.value for record in signed]
    assert {name for record in bare for name, _ in record.headers} == {"journal_id", "offset", "index"}
