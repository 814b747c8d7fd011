"""One monitor on one broker under a prefix of its own: its topics, its workers, and the question whether all is done and right.

Made fresh for each test by `conftest`; says what is to be true at the end in one place, `assert_promises`.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from tests.integration import witnesses
from tests.integration.exchange import Message
from tests.integration.kafka_broker import RECORD_BYTES_MAX, free_port
from tests.integration.traffic import Traffic, produce
from tests.integration.witnesses import SourceWitness, Stored
from tests.integration.worker_process import TOP, WorkerFailedError, WorkerProcess

INPUTS = (
    "withdrawals", "outflows", "account-events", "wallet-events", "postings", "holdings", "balances", "prices", "reserves", "providers", "feedback",
)  # fmt: skip
PARTITIONS = dict.fromkeys(INPUTS, 2) | {
    "retries": 1, "journal": 1, "control": 1, "dead-letter": 1,
    "verdicts": 3, "marks": 1, "coverage": 1, "incidents": 1, "alerts": 1, "audit": 1,
}  # fmt: skip
PROGRAM = ("-c", "from streams.cli import main; main()")
SETTLE_SECONDS_MAX = 150
POLL_SECONDS = 0.25
LIMITS = {"accounts": 20_000, "addresses": 20_000, "pairs": 40_000}


class Reachable(Protocol):
    """A broker, as far as a deployment needs it."""

    @property
    def bootstrap_servers(self) -> str: ...


class Deployment:
    """The topics under `prefix`, and the workers that were started for them. Ends every worker when closed."""

    def __init__(self, broker: Reachable, prefix: str, directory: Path) -> None:
        self.broker = broker
        self.prefix = prefix
        self.directory = directory
        self.snapshots = directory / "snapshots"
        self.workers: list[WorkerProcess] = []
        self._stack = ExitStack()
        self.environment = {
            "KAFKA__TOPIC_PREFIX": prefix,
            "KAFKA__REPLICATION_FACTOR": "1",
            "KAFKA__MIN_INSYNC_REPLICAS": "1",
            "CORE__SNAPSHOT_URL": f"file://{self.snapshots}",
            "CORE__SNAPSHOT_INTERVAL_MS": "2000",
            "LOG__FORMAT": "json",
        } | {f"POLICY__LIMITS__{name.upper()}": str(value) for name, value in LIMITS.items()}

    def close(self) -> None:
        """End every worker."""
        self._stack.close()

    # Topics

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine of a Kafka client to its end."""
        return asyncio.run(coroutine)

    def make_topics(self, partitions: Mapping[str, int] = PARTITIONS, without: Sequence[str] = ()) -> None:
        """Make all topics, as an operator would before the first start."""
        self.run(self._make_topics({name: count for name, count in partitions.items() if name not in without}))

    async def _make_topics(self, partitions: Mapping[str, int]) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        await admin.start()
        try:
            configs = {"retention.ms": "-1", "max.message.bytes": str(RECORD_BYTES_MAX)}
            response = await admin.create_topics(
                [NewTopic(self.prefix + name, count, 1, topic_configs=configs) for name, count in partitions.items()]
            )
            failed = [row for row in response.topic_errors if row[1]]
            assert not failed, failed
        finally:
            await admin.close()

    def delete_topic(self, name: str) -> None:
        """Delete a topic and wait until the broker no longer lists it."""
        self.run(self._delete_topic(name))

    async def _delete_topic(self, name: str) -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_topics([self.prefix + name])
            while self.prefix + name in await admin.list_topics():  # noqa: ASYNC110  # the broker has no event to wait for
                await asyncio.sleep(POLL_SECONDS)
        finally:
            await admin.close()

    def delete_records(self, name: str, before: Mapping[int, int]) -> None:
        """Delete a topic's records before an offset, by partition."""
        self.run(self._delete_records(name, before))

    async def _delete_records(self, name: str, before: Mapping[int, int]) -> None:
        from aiokafka.admin import RecordsToDelete

        admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap_servers)
        await admin.start()
        try:
            await admin.delete_records({TopicPartition(self.prefix + name, number): RecordsToDelete(offset) for number, offset in before.items()})
        finally:
            await admin.close()

    def commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        """Set a group's positions, as kafka-consumer-groups.sh --reset-offsets does while no worker runs."""
        self.run(self._commit(group, offsets))

    async def _commit(self, group: str, offsets: Mapping[tuple[str, int], int]) -> None:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.bootstrap_servers, group_id=self.prefix + group, enable_auto_commit=False)
        await consumer.start()
        try:
            partitions = {TopicPartition(self.prefix + name, number): offset for (name, number), offset in offsets.items()}
            consumer.assign(list(partitions))
            await consumer.commit(partitions)
        finally:
            await consumer.stop()

    def read(self, name: str) -> list[Stored]:
        """Everything in a topic."""
        stored: list[Stored] = self.run(witnesses.read_topic(self.broker.bootstrap_servers, self.prefix + name, PARTITIONS[name]))
        return stored

    def ends(self, names: Sequence[str]) -> dict[str, int]:
        """Log ends by "topic/partition"."""
        ends: dict[str, int] = self.run(self._ends(names))
        return ends

    async def _ends(self, names: Sequence[str]) -> dict[str, int]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.bootstrap_servers)
        await consumer.start()
        try:
            partitions = {TopicPartition(self.prefix + name, number): f"{name}/{number}" for name in names for number in range(PARTITIONS[name])}
            consumer.assign(list(partitions))
            found = await consumer.end_offsets(list(partitions))
            return {partitions[partition]: end for partition, end in found.items()}
        finally:
            await consumer.stop()

    # Traffic

    def traffic(self, rate_per_second: int, seed: int = 1) -> Traffic:
        """Honest traffic for a `with` block."""
        return Traffic(self.broker.bootstrap_servers, self.prefix, PARTITIONS, rate_per_second=rate_per_second, seed=seed)

    def produce(self, messages: Sequence[Message]) -> None:
        """Write messages now."""
        self.run(produce(self.broker.bootstrap_servers, self.prefix, PARTITIONS, messages))

    # Workers

    def worker(
        self,
        role: str = "all",
        *,
        supervised: bool = False,
        program: Sequence[str] = PROGRAM,
        servers: str | None = None,
        **settings: str,
    ) -> WorkerProcess:
        """Start a worker. `settings` are environment names without their prefix, as CORE__TICK_INTERVAL_MS."""
        port = free_port()
        given = {**self.environment, "KAFKA__BOOTSTRAP_SERVERS": servers or self.broker.bootstrap_servers, "WEB__PORT": str(port), **settings}
        environment = {f"WITHDRAWAL_MONITOR__{name}": value for name, value in given.items()}
        log_file = self.directory / f"worker-{len(self.workers)}.log"
        worker = WorkerProcess([*program, "worker", "--role", role], environment, log_file, port, supervised=supervised)
        self.workers.append(worker)
        self._stack.enter_context(worker)
        return worker

    def owner(self, seconds: float = 60) -> WorkerProcess:
        """The worker that owns the core, once one does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for worker in self.workers:
                if worker.alive() and worker.owns_core():
                    return worker
            time.sleep(POLL_SECONDS)
        raise WorkerFailedError("nobody owns the core\n" + self.logs())

    def stop_all(self) -> list[int]:
        """SIGTERM to every worker that lives; their exit codes."""
        return [worker.stop() for worker in self.workers if worker.alive()]

    def logs(self) -> str:
        """The end of every worker's log."""
        return "\n".join(f"--- {worker.log_file.name}\n{worker.log()}" for worker in self.workers)

    def command(self, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        """Run one command of the command line to its end."""
        given = {**self.environment, "KAFKA__BOOTSTRAP_SERVERS": self.broker.bootstrap_servers, **settings}
        environment = {**os.environ, "PYTHONPATH": str(TOP), **{f"WITHDRAWAL_MONITOR__{name}": value for name, value in given.items()}}
        program = [sys.executable, *PROGRAM, *arguments]
        return subprocess.run(program, cwd=self.directory, env=environment, check=False, capture_output=True, text=True, timeout=120)

    # What was said

    def audits(self) -> list[dict[str, Any]]:
        """Records on `audit`, repeats dropped."""
        return self.outputs("audit")

    def outputs(self, topic: str) -> list[dict[str, Any]]:
        """An output topic's records of the journal that stands now, decoded, repeats dropped."""
        journal_id = sha256(self.read("journal")[0].value or b"").hexdigest()
        kept = witnesses.without_repeats(self.read(topic), journal_id)
        return [json.loads(output.value) for partition in sorted(kept) for output in kept[partition]]

    # The end

    def settle(self, seconds: float = SETTLE_SECONDS_MAX, ignoring: Sequence[str] = ()) -> int:
        """Wait until every record of the input topics had its effect and the core has told so; gives the journal offset up to which it did."""
        ends = {source: end for source, end in self.ends([*INPUTS, "retries"]).items() if source not in ignoring}
        try:
            until: int = self.run(asyncio.wait_for(self._read_until_done(ends), seconds))
            self.run(asyncio.wait_for(self._read_until_told(until), seconds))
        except TimeoutError:
            witness = SourceWitness()
            witness.read(record.value for record in self.read("journal"))
            missing = witness.missing(ends)
            raise WorkerFailedError(f"not settled: missing {missing}, holes {witness.holes}\n{self.logs()}") from None
        return until

    async def _read_until_done(self, ends: Mapping[str, int]) -> int:
        """Follow the journal until every source in it stands at its end; gives the offset behind the last entry read."""
        witness = SourceWitness()
        consumer, journal = await self._follow("journal", from_start=True)
        try:
            while witness.missing(ends):
                fetched = await consumer.getmany(journal, timeout_ms=500, max_records=20_000)
                witness.read(record.value for record in fetched.get(journal, ()))
        finally:
            await consumer.stop()
        return witness.journal_end

    async def _read_until_told(self, until: int) -> None:
        """Follow coverage, which comes with each Tick, until it was caused by an entry at `until` or later."""
        consumer, coverage = await self._follow("coverage", from_start=False)
        told = -1
        try:
            while told < until:
                fetched = await consumer.getmany(coverage, timeout_ms=500)
                told = max([told, *(int(dict(record.headers)["offset"]) for record in fetched.get(coverage, ()))])
        finally:
            await consumer.stop()

    async def _follow(self, name: str, *, from_start: bool) -> tuple[Any, TopicPartition]:
        consumer = AIOKafkaConsumer(bootstrap_servers=self.broker.bootstrap_servers, enable_auto_commit=False)
        await consumer.start()
        partition = TopicPartition(self.prefix + name, 0)
        consumer.assign([partition])
        start = (await consumer.beginning_offsets([partition]))[partition]
        end = (await consumer.end_offsets([partition]))[partition]
        consumer.seek(partition, start if from_start else max(start, end - 1))
        return consumer, partition

    def assert_promises(self, until: int, holes: set[tuple[str, int]] | None = None) -> SourceWitness:
        """Both witnesses agree: every input record once, and the published outputs are those of an offline fold. Workers must be stopped."""
        witness = self.assert_outputs(until)
        assert witness.holes == (holes or set())
        for name in (*INPUTS, "retries"):
            witness.assert_one_for_one(name, self.read(name))
        self.assert_one_first_verdict_each(witness)
        return witness

    def assert_one_first_verdict_each(self, witness: SourceWitness) -> None:
        """Every request that had its effect got one first verdict, and nobody got two: told from the topics at both ends of the way."""
        rejected = set(witness.rejected)
        requested = set()
        for record in self.read("withdrawals"):
            source = f"withdrawals/{record.partition}"
            gone = any(record.offset in gap for gap in witness.gaps.get(source, ()))
            if f"{source}@{record.offset}" not in rejected and not gone:
                event = json.loads(record.value or b"null")
                requested |= {event["withdrawal_id"]} if event["status"] == "requested" else set()
        first = Counter(verdict["withdrawal_id"] for verdict in self.outputs("verdicts") if verdict.get("version") == 1)
        assert requested <= set(first), f"without a verdict: {sorted(requested - set(first))[:5]}"
        assert {name: count for name, count in first.items() if name is not None and count > 1} == {}

    def assert_outputs(self, until: int) -> SourceWitness:
        """The second promise alone: what was published is what an offline fold of the journal gives."""
        stored = self.read("journal")
        assert [record.offset for record in stored] == list(range(len(stored)))
        journal = [record.value or b"" for record in stored]
        witness = SourceWitness()
        witness.read(journal)
        folded = witnesses.fold(journal, self.read("control"), PARTITIONS)
        journal_id = sha256(journal[0]).hexdigest()
        count = 0
        for topic in witnesses.OUTPUT_TOPICS:
            live = witnesses.without_repeats(self.read(topic), journal_id)
            count += witnesses.assert_same_outputs(topic, live, folded[topic], until)
        assert count > 0
        return witness
