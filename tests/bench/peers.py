"""Runs the peers on the same records as ours: starts each as a process, waits for its verdicts, counts them, ends it.

The clock runs from the first record that the peer decodes to the broker's time stamp of the last verdict.
"""

import asyncio
import contextlib
import signal
import sys
import tempfile
from typing import NamedTuple

import msgspec

from tests.bench.figures import Results
from tests.bench.topic_io import TopicReader, make_topics, produce
from tests.bench.traffic import CYCLE_RECORDS, Record, Traffic

SECONDS_MAX = 600.0


class Peer(NamedTuple):
    """One way to run a peer: its module, what it does, how many processes share the partitions, and which input it gets."""

    name: str
    module: str
    work: str
    processes: int
    input: str
    ratio_asked_for: str = ""


MANY = "peers.withdrawals"
FEW = "peers-few.withdrawals"
PEERS = (
    Peer("plain Faust + river + Table", "tests.bench.peer_faust", "requested", 1, FEW, ">= 20 ×"),
    Peer("hand-written aiokafka loop", "tests.bench.peer_loop", "requested", 1, MANY, ">= 2 ×"),
    Peer("hand-written aiokafka loop, two processes", "tests.bench.peer_loop", "requested", 2, MANY),
    Peer("hand-written aiokafka loop, every record scored", "tests.bench.peer_loop", "every-record", 1, MANY, ">= 2 ×"),
    Peer("consume and decode, nothing else", "tests.bench.peer_loop", "none", 1, MANY),
)


class Input(NamedTuple):
    """What is in an input topic of the peers: records, and the withdrawals that ask for a verdict."""

    records: int
    requested: int


class _Said(msgspec.Struct):
    withdrawal_id: str


async def fill_inputs(bootstrap: str, traffic: Traffic, records_many: int, records_few: int, time_ms: int) -> dict[str, Input]:
    """Make and fill the peers' input topics: only `withdrawals` records, as peers read nothing else."""
    await make_topics(bootstrap, {MANY: traffic.partitions, FEW: traffic.partitions})
    inputs = {}
    for topic, wanted in ((MANY, records_many), (FEW, records_few)):
        slots = wanted // CYCLE_RECORDS
        records: list[Record] = []
        for slot in range(slots):
            records.extend(record for record in traffic.slot(time_ms - (slots - slot) * 1_000) if record.topic == "withdrawals")
        records.extend(traffic.drain(time_ms))
        records.extend(traffic.last(time_ms))
        await produce(bootstrap, topic.removesuffix("withdrawals"), records)
        inputs[topic] = Input(len(records), sum(record.requested is not None for record in records))
    return inputs


async def run_peer(bootstrap: str, peer: Peer, given: Input, partitions: int, repeat: int, results: Results) -> None:
    """One repeat of one peer; its rate goes to `results`, with the comparison of verdicts and withdrawals."""
    group = f"{peer.name}-{repeat}".replace(" ", "-").replace(",", "").replace("+", "and")
    output = f"{group}.verdicts"
    await make_topics(bootstrap, {output: partitions})
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for share in range(peer.processes):
            command = [sys.executable, "-m", peer.module, "--bootstrap", bootstrap, "--group", group, "--input", peer.input, "--output", output]
            command += ["--work", peer.work]
            command += ["--data", folder] if peer.module.endswith("faust") else ["--share", f"{share}/{peer.processes}"]
            command += ["--partitions", str(partitions)]
            if peer.work == "none":
                command += ["--records", str(given.records)]
            processes.append(await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE))
        try:
            async with asyncio.timeout(SECONDS_MAX):
                began = min([await _said(process, "first") for process in processes])
                if peer.work == "none":
                    ended = await _said(processes[0], "last")
                else:
                    expected = given.records if peer.work == "every-record" else given.requested
                    ended = await _verdicts_in(bootstrap, output, expected, given.requested, f"{peer.name}, repeat {repeat}", results)
        finally:
            await _end(processes)
    results.sample(peer.name, "records/s", given.records / (ended - began))


async def _said(process: asyncio.subprocess.Process, word: str) -> float:
    """The time in s that a peer prints after `word`."""
    assert process.stdout is not None
    while line := await process.stdout.readline():
        if line.startswith(word.encode()):
            return float(line.split()[1])
    raise RuntimeError(f"the peer ended (code {await process.wait()}) before it said {word}")


async def _verdicts_in(bootstrap: str, output: str, expected: int, withdrawals: int, name: str, results: Results) -> float:
    """Wait for the expected number of verdicts, then read them: the time in s of the last one's append."""
    async with TopicReader(bootstrap) as reader:
        await reader.wait_for(output, expected)
        decode = msgspec.json.Decoder(_Said).decode
        seen, ids, ended = 0, set(), 0
        async for record in reader.read(output):
            seen += 1
            ids.add(decode(record.value).withdrawal_id)
            ended = max(ended, record.timestamp)
    same = seen == expected and len(ids) == withdrawals
    results.check(name, same, f"{seen} verdicts for {len(ids)} withdrawals, expected {expected} for {withdrawals}")
    return ended / 1_000


async def _end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
    for process in processes:
        try:
            await asyncio.wait_for(process.wait(), 10)
        except TimeoutError:
            process.kill()
            await process.wait()
