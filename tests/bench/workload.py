"""The configuration and the size of a benchmark run: one TOML for the workers, and the same policy for the fold without a broker.

Every rule is on and may hold. Used by all measurements of ours.
"""

from pathlib import Path
from typing import NamedTuple

from streams.configuration import configure
from streams.settings import Settings
from tests.bench.traffic import LAYERS, MARKETS

PARTITIONS = 4
ADDRESSES_PER_ACCOUNT = 1.5
WITHDRAWAL_INTERVAL_MS = 1_500
"""Event time between requests in records produced beforehand: 100,000 accounts ask about once in 1.7 days each, not all in one minute."""


class Size(NamedTuple):
    """How much a run does."""

    accounts: int
    records: int
    slow_records: int
    repeats: int
    seconds: float

    @property
    def addresses(self) -> int:
        """One account in two has a second address."""
        return int(self.accounts * ADDRESSES_PER_ACCOUNT)


def configuration(bootstrap: str, prefix: str, folder: Path) -> str:
    """The workers' TOML. Snapshots go to `folder`; the broker is one node."""
    assets = "\n".join(f"{market.asset} = {{ decimals = {market.decimals} }}" for market in MARKETS)
    layers = "\n".join(f'[[policy.layers]]\nlayer_id = "{layer_id}"\nunit = "{unit}"' for layer_id, unit, _ in LAYERS)
    return f"""
[kafka]
bootstrap_servers = "{bootstrap}"
topic_prefix = "{prefix}"
replication_factor = 1
min_insync_replicas = 1
partitions = {PARTITIONS}

[core]
snapshot_url = "file://{folder}/snapshots"

[web]
port = 0

[policy]
base_currency = "JPY"
mode = "enforce"

[policy.assets]
JPY = {{ decimals = 0 }}
{assets}

{layers}
"""


def settings(file: Path) -> Settings:
    """The settings as the workers read them, defaults and all."""
    return configure(file).settings
