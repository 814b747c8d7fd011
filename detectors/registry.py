"""The table of detectors and the one place that makes them. A detector is one file and its row here.

Called by `monitor.scoring`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from detectors.batch_accounts import BatchAccounts
from detectors.contract import BLOCK_OBSERVATIONS, KINDS, Detector, observations
from detectors.first_seen_rate import FirstSeenRate
from detectors.half_space_trees import HalfSpaceTrees
from detectors.observer import Observer
from detectors.outflow import Outflow
from detectors.panel import Panel
from detectors.provider_shift import ProviderShift
from detectors.scope_inputs import ScopeInputs
from detectors.shared_origin import SharedOrigin
from detectors.surprise import Surprise
from detectors.tail import TailBins
from detectors.young_address_payers import YoungAddressPayers

DAY_MS = 86_400_000


class Parts(NamedTuple):
    """What a detector may be made from."""

    tail_bins: TailBins
    young_address_ms: int


class Entry(NamedTuple):
    """One row of the table."""

    name: str
    make: Callable[[Parts], Detector]
    question: str


NAMES = Observer.INPUT_NAMES
SCOPE_INPUTS = ScopeInputs(NAMES)

DETECTORS: tuple[Entry, ...] = (
    Entry("surprise", lambda parts: Surprise(NAMES, parts.tail_bins), "Is it rare in a few respects at once?"),
    Entry("half_space_trees", lambda _: HalfSpaceTrees(NAMES), "Is it where few recent withdrawals were?"),
    Entry("young_address_payers", lambda parts: YoungAddressPayers(SCOPE_INPUTS, parts.young_address_ms), "Do many accounts pay one new address?"),
    Entry("first_seen_rate", lambda _: FirstSeenRate(SCOPE_INPUTS), "Do many withdrawals go to addresses that nobody paid before?"),
    Entry("shared_device", lambda _: SharedOrigin("device", SCOPE_INPUTS), "Is one device new to many accounts?"),
    Entry("shared_network", lambda _: SharedOrigin("network", SCOPE_INPUTS), "Is one network new to many accounts?"),
    Entry("shared_api_key", lambda _: SharedOrigin("api_key", SCOPE_INPUTS), "Is one API key new to many accounts?"),
    Entry("batch_accounts", lambda _: BatchAccounts(SCOPE_INPUTS), "Is one batch unlike the batches before?"),
    Entry("wallet_outflow", lambda _: Outflow("wallet", SCOPE_INPUTS), "Do many or very large payouts leave one wallet at once?"),
    Entry("asset_outflow", lambda _: Outflow("asset", SCOPE_INPUTS), "Do many or very large payouts leave in one asset at once?"),
    Entry("provider_shift", lambda _: ProviderShift(SCOPE_INPUTS), "Does one provider sign another kind of payouts than before?"),
)


def make(*, young_address_ms: int = 3 * DAY_MS, pairs_max: int = 6_000_000) -> Panel:
    """Observer and detectors as a fresh panel.

    Parameters
    ----------
    young_address_ms
        Age in ms below which an address is young, at most 21 days.
    pairs_max
        Pairs of account and address that are remembered; the longest unseen go first. At least 1,024.
    """
    parts = Parts(TailBins(len(NAMES)), young_address_ms)
    return Panel(Observer(parts.tail_bins, pairs_max), [entry.make(parts) for entry in DETECTORS])


def configure(panel: Panel, *, young_address_ms: int, pairs_max: int) -> None:
    """Give a panel other settings, as in `make`; they hold from the next observation on."""
    panel.observer.pairs_max = pairs_max
    for detector in panel.detectors:
        if isinstance(detector, YoungAddressPayers):
            detector.set_young_ms(young_address_ms)


def compile_kernels() -> None:
    """Compile all kernels, or load them from the cache: seconds that a service spends before it takes its first event."""
    panel = make()
    panel.reserve(dict.fromkeys(KINDS, 1))
    n = BLOCK_OBSERVATIONS
    panel.fold(observations(n, time_ms=np.arange(n), amount=1.0, amount_base=1.0, wallet=0, provider=0))
    panel.learn(np.ones(n, np.bool_))
