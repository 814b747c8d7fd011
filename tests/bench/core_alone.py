"""The core alone: journal bytes in, encoded outputs of all topics out, one process, no broker. Also memory per account.

The journal is made beforehand by the real intake from the benchmark's traffic. Run as a module by `run.py`, a process per figure;
prints one line of JSON.
"""

import argparse
import cProfile
import gc
import pstats
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from monitor import entries
from monitor.contracts.topics import INPUTS
from monitor.decode import IntakeLimits
from monitor.engine import Engine
from monitor.intake import Intake
from monitor.policy import Policy
from monitor.snapshot_file import pieces
from monitor.version import ENGINE_VERSION
from streams.frame import COLLECTION_THRESHOLDS
from streams.memory import map_large_tables
from tests.bench.traffic import CYCLE_RECORDS, Record, Traffic
from tests.bench.workload import ADDRESSES_PER_ACCOUNT, PARTITIONS, WITHDRAWAL_INTERVAL_MS, configuration, settings

ROUND_ENTRIES = 5_000
TERM = "bench"
TICK_ENTRIES = 50_000
"""A Tick and every source's progress per so many entries: a second's worth at the rate that is aimed at."""
START_MS = 1_790_000_000_000


class KafkaRecord(NamedTuple):
    """What the intake reads of a record."""

    offset: int
    timestamp: int
    key: bytes
    value: bytes
    headers: tuple[()] = ()


class Journal:
    """Writes journal entries as intake and the core's owner would, from records in order."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._intake = Intake(policy.assets, IntakeLimits(), policy.base_currency)
        self._next = {(topic.name, partition): 0 for topic in INPUTS for partition in range(PARTITIONS)}
        self._since_tick = 0

    def opening(self, clock_ms: int) -> list[bytes]:
        """The first entries: the term, and every source opened."""
        partitions = {topic.name: PARTITIONS for topic in INPUTS}
        first = entries.term(TERM, ENGINE_VERSION, self._policy, partitions, clock_ms)
        return [first, *(entries.source_opened(f"{topic}/{partition}", 0, 0, 0, "first", "bench", None, clock_ms) for topic, partition in self._next)]

    def round(self, records: Sequence[Record], clock_ms: int) -> list[bytes]:
        """The entries of one round of intake, source by source, as it reads them; a Tick where it is due."""
        parts: dict[tuple[str, int], list[KafkaRecord]] = {}
        for record in records:
            part = parts.setdefault((record.topic, record.partition), [])
            source = record.topic, record.partition
            part.append(KafkaRecord(self._next[source] + len(part), clock_ms, record.key, record.value))
        written: list[bytes] = []
        for (topic, partition), part in parts.items():
            taken = self._intake.take(topic, partition, part[0].offset, part, clock_ms)
            assert not taken.rejected, taken.dead_letters[0]
            written.extend(taken.entries)
            self._next[topic, partition] = taken.next_offset
        self._since_tick += len(written)
        if self._since_tick >= TICK_ENTRIES:
            self._since_tick = 0
            written.append(entries.tick(TERM, clock_ms))
            written.extend(entries.progress(f"{topic}/{partition}", end, end, clock_ms) for (topic, partition), end in self._next.items())
        return written


class Fold:
    """An engine being fed, and what it gave: counts and bytes by topic, first verdicts by kind, and the time that folding took."""

    def __init__(self, first: bytes) -> None:
        self.engine = Engine(sha256(first).hexdigest())
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.outputs: Counter[str] = Counter()
        self.output_bytes: Counter[str] = Counter()
        self.verdicts: Counter[str] = Counter()
        self._decode = msgspec.json.Decoder(SeenVerdict).decode

    def take(self, written: Sequence[bytes]) -> None:
        """Fold entries in rounds; only folding is timed, counting isn't."""
        for at in range(0, len(written), ROUND_ENTRIES):
            chunk = written[at : at + ROUND_ENTRIES]
            began, cpu_began = time.perf_counter(), time.process_time()
            outputs = self.engine.fold(self.engine.next_offset, chunk)
            self.seconds += time.perf_counter() - began
            self.cpu_seconds += time.process_time() - cpu_began
            for output in outputs:
                self.outputs[output.topic] += 1
                self.output_bytes[output.topic] += len(output.value)
                if output.topic == "verdicts" and (seen := self._decode(output.value)).version == 1:
                    self.verdicts[seen.verdict] += 1

    def forget_counts(self) -> None:
        """Start counting again after the warm-up."""
        self.seconds = self.cpu_seconds = 0.0
        for counter in (self.outputs, self.output_bytes, self.verdicts):
            counter.clear()


class SeenVerdict(msgspec.Struct):
    """What is looked at of a record on `verdicts`; a heartbeat has neither field."""

    verdict: str = ""
    version: int = 0


def bench_policy() -> Policy:
    """The policy that the workers of the other figures have."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bench.toml"
        file.write_text(configuration("127.0.0.1:1", "", Path(folder)), encoding="utf-8")
        return settings(file).policy


def rounds(traffic: Traffic, journal: Journal, accounts: Iterator[int | None], start_ms: int) -> Iterator[list[bytes]]:
    """Entries round by round: a slot for each of `accounts`, event time going on by the workload's interval."""
    records: list[Record] = []
    now_ms = start_ms
    for account in accounts:
        now_ms += WITHDRAWAL_INTERVAL_MS
        records.extend(traffic.slot(now_ms, account))
        if len(records) >= ROUND_ENTRIES:
            yield journal.round(records, now_ms)
            records.clear()
    yield journal.round(records, now_ms)


def warm(accounts: int, addresses: int, each: int) -> tuple[Traffic, Journal, Fold, int]:
    """Traffic, journal and fold that have seen every account below `accounts` `each` times, and the event time they have come to."""
    traffic, journal = Traffic(max(accounts, int(addresses / ADDRESSES_PER_ACCOUNT)), addresses, PARTITIONS), Journal(bench_policy())
    opening = journal.opening(START_MS)
    fold = Fold(opening[0])
    fold.take(opening + journal.round(traffic.setup(START_MS), START_MS))
    visits = (account for account in range(accounts) for _ in range(each))
    for written in rounds(traffic, journal, visits, START_MS):
        fold.take(written)
    return traffic, journal, fold, START_MS + accounts * each * WITHDRAWAL_INTERVAL_MS


def speed(accounts: int, records: int, profile: bool) -> dict[str, object]:
    """Entries per second of the fold over `records` records, every account known before."""
    traffic, journal, fold, now_ms = warm(accounts, int(accounts * ADDRESSES_PER_ACCOUNT), 1)
    fold.forget_counts()
    before = traffic.withdrawals
    slots = records // CYCLE_RECORDS
    written = [entry for part in rounds(traffic, journal, iter([None] * slots), now_ms) for entry in part]
    profiler = cProfile.Profile()
    if profile:
        profiler.enable()
    fold.take(written)
    if profile:
        profiler.disable()
        pstats.Stats(profiler, stream=sys.stderr).sort_stats("tottime").print_stats(45)
    return {
        "entries": len(written),
        "seconds": fold.seconds,
        "cpu_seconds": fold.cpu_seconds,
        "entry_bytes": sum(map(len, written)) / len(written),
        "requested": traffic.withdrawals - before,
        "verdicts": fold.verdicts,
        "outputs": fold.outputs,
        "output_bytes": fold.output_bytes,
    }


def memory(accounts: int) -> dict[str, object]:
    """RSS per account: the slope between `accounts` and three times as many, two requests and 1.5 addresses each.

    Tables of withdrawals and of event ids are bounded and full before the first reading: they don't grow with accounts.
    """
    traffic, journal, fold, now_ms = warm(accounts, int(3 * accounts * ADDRESSES_PER_ACCOUNT), 2)
    first = _memory(fold)
    visits = (account for account in range(accounts, 3 * accounts) for _ in range(2))
    for written in rounds(traffic, journal, visits, now_ms):
        fold.take(written)
    second = _memory(fold)
    more = 2 * accounts
    return {
        "accounts": accounts,
        "rss_bytes": [first.rss_bytes, second.rss_bytes],
        "bytes_per_account": (second.rss_bytes - first.rss_bytes) / more,
        "peak_bytes_per_account": (second.peak_bytes - first.peak_bytes) / more,
    }


class Memory(NamedTuple):
    """RSS between two rounds, and the highest that it ever was, a snapshot being encoded included."""

    rss_bytes: int
    peak_bytes: int


def _memory(fold: Fold) -> Memory:
    gc.collect()
    resident: int = psutil.Process().memory_info().rss
    for _ in pieces(fold.engine.freeze()):  # as a worker writes it
        pass
    return Memory(resident, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024)


if __name__ == "__main__":
    gc.set_threshold(*COLLECTION_THRESHOLDS)  # as in a worker
    parser = argparse.ArgumentParser()
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    map_large_tables()  # as the workers do
    outcome = memory(arguments.accounts) if arguments.memory else speed(arguments.accounts, arguments.records, arguments.profile)
    sys.stdout.buffer.write(msgspec.json.encode(outcome) + b"\n")
