"""`make bench`: every figure on Apache Kafka on loopback, repeated, with outputs compared to inputs. Exit code 1 if they differ.

Single figures: `python -m tests.bench --only core-alone --repeats 1 --records 100000`. Results go to out/bench/.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tests.bench import live, peers, report, whole_way
from tests.bench.figures import Results
from tests.bench.machine import machine
from tests.bench.topic_io import TopicReader
from tests.bench.traffic import CYCLE_RECORDS, Traffic
from tests.bench.workload import PARTITIONS, Size
from tests.integration.kafka_broker import KafkaBroker, missing_tools

OUT = Path(__file__).parents[2] / "out" / "bench"
FIGURES = ("core-alone", "memory", "attack", "peers", "end-to-end", "latency", "kill", "attack-live", "intake-alone")
"""In the order in which they are run; latency, kill, attack-live and intake-alone use the workers that end-to-end has warmed."""
ESCALATIONS_MAX = 5
TERMINATED = 128 + signal.SIGTERM
WHOLE_WAY = frozenset({"end-to-end", "latency", "kill", "attack-live", "intake-alone"})


def core_alone(size: Size, results: Results, profile: bool) -> None:
    """The core without a broker, each repeat in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.core_alone", "--accounts", str(size.accounts), "--records", str(size.records)]
    for repeat in range(size.repeats):
        outcome = _decode(subprocess.run(command + ["--profile"] * profile, check=True, stdout=subprocess.PIPE).stdout)
        results.sample("core alone", "entries/s", outcome["entries"] / outcome["seconds"], ">= 100,000")
        results.sample("core alone, by processor time", "entries/s", outcome["entries"] / outcome["cpu_seconds"], detail=True)
        decided = sum(outcome["verdicts"].values())
        detail = f"{decided} first verdicts for {outcome['requested']} withdrawals"
        results.check(f"core alone, repeat {repeat}", decided == outcome["requested"], detail)
        results.facts["core alone, outputs"] = ", ".join(f"{count:,} {topic}" for topic, count in outcome["outputs"].items())
        results.facts["core alone, verdicts"] = ", ".join(f"{count:,} {kind}" for kind, count in outcome["verdicts"].items())
        results.facts["journal entry"] = f"{outcome['entry_bytes']:.0f} bytes on average"


def memory(size: Size, results: Results) -> None:
    """Memory per account; the repeats run side by side, as no time is taken."""
    command = [sys.executable, "-m", "tests.bench.core_alone", "--memory", "--accounts", str(size.accounts)]
    for process in [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(size.repeats)]:
        said, _ = process.communicate()
        if process.returncode:
            raise RuntimeError(f"the memory figure's process ended with code {process.returncode}")
        outcome = _decode(said)
        results.sample("memory per account, 1.5 addresses each", "bytes", outcome["bytes_per_account"], "<= 1,024")
        results.sample("the same at the peak, a snapshot being encoded", "bytes", outcome["peak_bytes_per_account"], detail=True)
        results.facts["core's memory, engine alone"] = " and ".join(
            f"{rss / 1e6:,.0f} MB with {accounts:,} accounts"
            for rss, accounts in zip(outcome["rss_bytes"], (size.accounts, 3 * size.accounts), strict=True)
        )


def attack(size: Size, results: Results) -> None:
    """One attack of 110,000 HOLDs on the core alone: time, cost of a HOLD, how long one round makes its verdicts wait, and who is woken."""
    for repeat in range(size.repeats):
        outcome = _decode(subprocess.run([sys.executable, "-m", "tests.bench.attack"], check=True, stdout=subprocess.PIPE).stdout)
        results.sample("an attack of 110,000 HOLDs, folded", "seconds", outcome["seconds"], "<= 15")
        results.sample("a HOLD with mark, coverage and incident, by processor time", "us", outcome["microseconds_per_hold"], "<= 100")
        results.sample("the slowest round of 5,000 entries meanwhile", "seconds", outcome["round_seconds_max"], "<= 1")
        results.sample("freezing the state after it", "seconds", outcome["freeze_seconds"], detail=True)
        pages = {kind: count for kind, count in outcome["alerts"].items() if kind.startswith("page")}
        told = ", ".join(f"{count} {kind}" for kind, count in pages.items())
        # The reserve's lowest level pages by itself, once, unless a page of the incident came within the minute before.
        woken = pages.get("page opened") == 1 and pages.get("page escalated", 0) <= ESCALATIONS_MAX and pages.get("page level_crossed", 0) <= 1
        woken = woken and pages.keys() <= {"page opened", "page escalated", "page level_crossed"}
        one = outcome["marked_incidents"] == 1 and outcome["withdrawals"] == outcome["holds"]
        results.check(f"attack, repeat {repeat}", woken and one, f"{outcome['holds']:,} HOLDs in {outcome['marked_incidents']} incident(s); {told}")


def _decode(said: bytes) -> dict[str, Any]:
    outcome: dict[str, Any] = msgspec.json.decode(said)
    return outcome


async def run_peers(bootstrap: str, size: Size, results: Results) -> None:
    """Every peer, every repeat, on the same records."""
    traffic = Traffic(size.accounts, size.addresses, PARTITIONS, name="p")
    inputs = await peers.fill_inputs(bootstrap, traffic, size.records, size.slow_records, time.time_ns() // 1_000_000)
    for peer in peers.PEERS:
        for repeat in range(size.repeats):
            await peers.run_peer(bootstrap, peer, inputs[peer.input], PARTITIONS, repeat, results)


async def run_whole_way(bootstrap: str, folder: Path, size: Size, wanted: Sequence[str], results: Results) -> None:
    """The figures that need broker, intake and core, on one exchange."""
    exchange = whole_way.Exchange(bootstrap, folder, size)
    try:
        intake, core = await whole_way.end_to_end(exchange, results, races="end-to-end" in wanted)
        if {"latency", "kill", "attack-live"} & set(wanted):
            async with TopicReader(bootstrap) as reader:
                if "latency" in wanted:
                    await live.latency(exchange, reader, results)
                if "kill" in wanted:
                    core = await live.owner_killed(exchange, reader, results, core)
                if "attack-live" in wanted:
                    await live.under_attack(exchange, reader, results)
        await intake.stop()
        await core.stop()
        if "intake-alone" in wanted:
            await whole_way.intake_alone(exchange, results)
    finally:
        exchange.close()


def on_kafka(size: Size, wanted: Sequence[str], results: Results, folder: Path) -> None:
    """Start a broker of our own for all figures that need one."""
    broker = KafkaBroker(folder / "kafka")
    with (folder / "kafka" / "server.properties").open("a", encoding="utf-8") as properties:
        # The broker notes when it appended a record: the end of a run is read from the topic, no consumer takes part in the race.
        properties.write("log.message.timestamp.type=LogAppendTime\n")
    with broker:
        if "peers" in wanted:
            uvloop.run(run_peers(broker.bootstrap_servers, size, results))
        if WHOLE_WAY & set(wanted):
            uvloop.run(run_whole_way(broker.bootstrap_servers, folder, size, wanted, results))


def run(arguments: argparse.Namespace) -> int:
    """All that was asked for; 1 if an output differs from its input."""
    wanted = arguments.only or FIGURES
    size = Size(arguments.accounts, arguments.records, arguments.slow_records, arguments.repeats, arguments.seconds)
    results = Results(facts=machine())
    results.facts["traffic"] = (
        f"{size.accounts:,} accounts, {size.addresses:,} addresses, {PARTITIONS} partitions, {size.records:,} records a repeat "
        f"({size.slow_records:,} for Faust), life cycles of {CYCLE_RECORDS} records, one request in each, over 500 bytes a record"
    )
    results.facts["peers' work"] = (
        "decode and profile every record, river half-space trees 10×8 scored and learnt and a verdict encoded for every withdrawal requested, "
        "as we give one verdict per withdrawal; the row that scores every record does it for all five"
    )
    if "core-alone" in wanted:
        print("without a broker:", flush=True)
        core_alone(size, results, arguments.profile)
    if "memory" in wanted:
        memory(size, results)
    if "attack" in wanted:
        attack(size, results)
    if WHOLE_WAY & set(wanted) or "peers" in wanted:
        if lacking := missing_tools():
            print(f"Apache Kafka needs {' and '.join(lacking)}, which this machine doesn't have.", file=sys.stderr)
            return 2
        print("on Apache Kafka:", flush=True)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            on_kafka(size, wanted, results, Path(folder))
    print("\n" + report.write(results, arguments.out))
    return 1 if results.failed else 0


def main() -> int:
    """Parse the flags and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--only", choices=FIGURES, action="append", help="one figure; may be given several times")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--records", type=int, default=500_000, help="input records a repeat, for throughput")
    parser.add_argument("--slow-records", type=int, default=60_000, help="the same for plain Faust")
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="of live traffic a repeat, for latency")
    parser.add_argument("--profile", action="store_true", help="profile the fold in core-alone (its rate is then of no worth)")
    parser.add_argument("--out", type=Path, default=OUT)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # an end by signal ends broker and workers too
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
