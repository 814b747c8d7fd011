"""One attack of 110,000 HOLDs folded by the core alone: how long it takes, what a HOLD costs, how long a round makes verdicts wait, who is woken.

Run as a module by `run.py`; prints one line of JSON.
"""

import argparse
import gc
import resource
import sys
import time
from collections import Counter
from hashlib import sha256

import msgspec

from monitor.contracts.outputs import Alert
from monitor.engine import Engine
from monitor.snapshot_file import encode
from streams.frame import COLLECTION_THRESHOLDS
from tests.simulation.attack import attack

TRANSFERS = 110_000
ROUND_ENTRIES = 5_000
WARM_ENTRIES = 1_000


def fold(transfers: int) -> dict[str, object]:
    """Fold the attack in rounds, with a snapshot frozen and encoded at its end."""
    journal = list(attack(transfers))
    Engine(sha256(journal[0]).hexdigest()).fold(0, journal[:WARM_ENTRIES])  # kernels are compiled before anything is timed
    engine = Engine(sha256(journal[0]).hexdigest())
    outputs: Counter[str] = Counter()
    alerts: Counter[str] = Counter()
    rounds: list[float] = []
    cpu_seconds = 0.0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for at in range(0, len(journal), ROUND_ENTRIES):
        began, cpu_began = time.perf_counter(), time.process_time()
        records = engine.fold(at, journal[at : at + ROUND_ENTRIES])
        cpu_seconds += time.process_time() - cpu_began
        rounds.append(time.perf_counter() - began)
        for record in records:
            outputs[record.topic] += 1
            if record.topic == "alerts":
                alert = msgspec.json.decode(record.value, type=Alert)
                alerts[f"{alert.kind} {alert.why}"] += 1
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    frozen = engine.freeze()
    freeze_seconds = time.perf_counter() - began
    state = engine.state
    return {
        "entries": len(journal),
        "seconds": sum(rounds),
        "cpu_seconds": cpu_seconds,
        "round_seconds_max": max(rounds),
        "microseconds_per_hold": cpu_seconds / transfers * 1e6,
        "freeze_seconds": freeze_seconds,
        "snapshot_bytes": len(encode(frozen)),
        "grown_bytes": (after - before) * 1_024,
        "holds": state.totals.verdicts.get("HOLD", 0),
        "marked_incidents": sum(incident.marks > 0 for incident in state.incidents.by_id.values()),
        "withdrawals": max(len(incident.withdrawals) for incident in state.incidents.by_id.values()),
        "alerts": alerts,
        "outputs": outputs,
    }


if __name__ == "__main__":
    gc.set_threshold(*COLLECTION_THRESHOLDS)  # as in a worker
    parser = argparse.ArgumentParser()
    parser.add_argument("--transfers", type=int, default=TRANSFERS)
    sys.stdout.buffer.write(msgspec.json.encode(fold(parser.parse_args().transfers)) + b"\n")
