"""Writes the golden replay's input again. Run by hand when the simulator changes on purpose: `PYTHONPATH=. python tests/golden/make_golden.py`."""

from pathlib import Path

from streams.simulate import Traffic, write_file
from streams.simulation.exchange import ExchangeParameters
from streams.simulation.scenario import load

INPUT = Path(__file__).parent / "dmm-bitcoin-2024.jsonl.gz"
# 13:24:30 in Japan, so that the wallet is frozen about when the outflow was noticed, at 13:26.
PARAMETERS = ExchangeParameters(start_ms=1_717_129_470_000, seconds=110.0, requests_per_second=3.0, accounts=60, seed=11)
INCIDENT_AFTER_SECONDS = 60.0

if __name__ == "__main__":
    write_file(Traffic(PARAMETERS, load("dmm-bitcoin-2024"), INCIDENT_AFTER_SECONDS), INPUT)
