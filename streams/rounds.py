"""Rounds of the core: what one fold put out, as batches per output partition, acknowledged; and the rewinds that it asks for.

Nothing is decided here: outputs come from `monitor.engine`. Called by `streams.core`.
"""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from monitor.contracts.control import Quarantine, Rewind
from monitor.contracts.outputs import Audit
from monitor.contracts.topics import CONTROL, OUTPUTS
from monitor.outbox import OutputRecord
from streams.control import ControlReader
from streams.head_signer import HeadSigner
from streams.kafka import Kafka
from streams.metrics import Metrics
from streams.outputs import Headers, Row, Shipment, partition_of
from streams.positions import INDEX_HEADER, JOURNAL_ID_HEADER, OFFSET_HEADER

LATENCIES_PER_ROUND_MAX = 500  # verdicts whose latency is looked at: in a backlog a sample is enough
AUDIT = "audit"
VERDICTS = "verdicts"

_audit = msgspec.json.Decoder(Audit)


class VerdictTime(msgspec.Struct):
    """The one field of a verdict that latency needs; heartbeats have none."""

    occurred_at_ms: int | None = None


_verdict_time = msgspec.json.Decoder(VerdictTime)


class OutputWriter:
    """Writes outputs and control records with the owner's producer. `partitions` counts those of each output topic; `signer` signs heads."""

    def __init__(
        self, kafka: Kafka, producer: Any, control: ControlReader, metrics: Metrics, partitions: Mapping[str, int], signer: HeadSigner | None = None
    ) -> None:
        self._producer = producer
        self._control = control
        self._metrics = metrics
        self._signer = signer
        self._control_topic = kafka.names.full(CONTROL)
        self._topics = {topic.name: (kafka.names.full(topic.name), partitions[topic.name]) for topic in OUTPUTS}

    async def write(self, journal_id: str, outputs: Sequence[OutputRecord], entries: int, began_s: float) -> None:
        """Send all outputs of one fold and wait for their acknowledgement, then ask for the rewinds among them. Raises ProduceFailedError."""
        shipment = self.fill(journal_id, outputs)
        await shipment.deliver()
        now_s = time.time()
        latencies = [
            now_s - occurred / 1_000
            for output in [output for output in outputs if output.topic == VERDICTS][-LATENCIES_PER_ROUND_MAX:]
            if (occurred := _verdict_time.decode(output.value).occurred_at_ms) is not None
        ]
        self._metrics.verdict_latency(latencies)
        self._metrics.core_round(entries, Counter(output.topic for output in outputs), time.monotonic() - began_s)
        for output in outputs:
            if output.topic == AUDIT:
                await self._ask_rewind(journal_id, output)

    def fill(self, journal_id: str, outputs: Sequence[OutputRecord]) -> Shipment:
        """The outputs as batches; a record without a key goes to every partition of its topic."""
        rows: dict[tuple[str, int], list[Row]] = {}
        topics = self._topics
        journal_header = (JOURNAL_ID_HEADER, journal_id.encode())
        for output in outputs:
            topic, partitions = topics[output.topic]
            key = output.key
            headers: Headers = [journal_header, (OFFSET_HEADER, b"%d" % output.offset), (INDEX_HEADER, b"%d" % output.index)]
            if output.topic == AUDIT and self._signer is not None:
                headers += self._signer.headers(journal_id, output.value)
            row: Row = (key, output.value, headers)
            for partition in range(partitions) if key is None else (partition_of(key, partitions),):
                rows.setdefault((topic, partition), []).append(row)
        shipment = Shipment(self._producer, _clock_ms())
        for (topic, partition), of_partition in rows.items():
            shipment.add_rows(topic, partition, of_partition)
        return shipment

    async def quarantine(self, journal_id: str, offset: int, reason: str) -> None:
        """Keep one journal entry from the detectors. Raises ProduceFailedError."""
        record = Quarantine(journal_id=journal_id, offset=offset, scope="detectors", asked_by="core", asked_at_ms=_clock_ms(), reason=reason[:1024])
        await self._write_control(f"{journal_id}@{offset}", record)

    async def _ask_rewind(self, journal_id: str, output: OutputRecord) -> None:
        """A hole, or a source that a person accepted: intake is to read on from what the core expects. Once, also when it is folded again."""
        audit = _audit.decode(output.value)
        if audit.what not in {"hole", "source-accepted"} or audit.source is None or audit.expected_offset is None:
            return
        asked_by = f"core {journal_id[:16]}@{output.offset}"
        if (audit.source, audit.expected_offset, asked_by) in self._control.asked:
            return
        self._control.asked.add((audit.source, audit.expected_offset, asked_by))
        rewind = Rewind(source=audit.source, offset=audit.expected_offset, asked_by=asked_by, asked_at_ms=_clock_ms(), reason=audit.detail[:1024])
        await self._write_control(audit.source, rewind)

    async def _write_control(self, key: str, record: Rewind | Quarantine) -> None:
        shipment = Shipment(self._producer, _clock_ms())
        shipment.add(self._control_topic, 0, msgspec.json.encode(record), key.encode())
        await shipment.deliver()


def _clock_ms() -> int:
    return time.time_ns() // 1_000_000
