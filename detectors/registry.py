"""The table of detectors and the one place that makes them. A detector is one file and its row here.

Called by `monitor.scoring`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from detectors.account_lane import AccountLane
from detectors.batch_accounts import BatchAccounts
from detectors.contract import BLOCK_OBSERVATIONS, KINDS, Detector, observations
from detectors.destination_lane import DestinationLane
from detectors.first_seen_rate import FirstSeenRate
from detectors.half_space_trees import HalfSpaceTrees
from detectors.lanes import Lanes
from detectors.lanes_kernel import MODEL_INPUTS
from detectors.observer import Observer
from detectors.outflow import Outflow
from detectors.panel import Panel
from detectors.provider_shift import ProviderShift
from detectors.scope_inputs import ScopeInputs
from detectors.shared_origin import SharedOrigin
from detectors.young_address_payers import YoungAddressPayers

DAY_MS = 86_400_000


class Parts(NamedTuple):
    """What a detector may be made from."""

    lanes: Lanes
    young_address_ms: int
    input_names: tuple[str, ...] = Observer.INPUT_NAMES


class Entry(NamedTuple):
    """One row of the table."""

    name: str
    make: Callable[[Parts], Detector]
    question: str


MODEL_NAMES = Observer.INPUT_NAMES[:MODEL_INPUTS]

DETECTORS: tuple[Entry, ...] = (
    Entry("account_lane", lambda parts: AccountLane(Observer.INPUT_NAMES, parts.lanes), "Is it as unlike this account as takeovers are?"),
    Entry("destination_lane", lambda parts: DestinationLane(parts.lanes), "Is its destination one that frauds were reported of?"),
    Entry(
        "young_address_payers",
        lambda parts: YoungAddressPayers(ScopeInputs(parts.input_names), parts.young_address_ms),
        "Do many accounts pay one new address?",
    ),
    Entry(
        "first_seen_rate", lambda parts: FirstSeenRate(ScopeInputs(parts.input_names)), "Do many withdrawals go to addresses that nobody paid before?"
    ),
    Entry("shared_device", lambda parts: SharedOrigin("device", ScopeInputs(parts.input_names)), "Is one device new to many accounts?"),
    Entry("shared_network", lambda parts: SharedOrigin("network", ScopeInputs(parts.input_names)), "Is one network new to many accounts?"),
    Entry("shared_api_key", lambda parts: SharedOrigin("api_key", ScopeInputs(parts.input_names)), "Is one API key new to many accounts?"),
    Entry("batch_accounts", lambda parts: BatchAccounts(ScopeInputs(parts.input_names)), "Is one batch unlike the batches before?"),
    Entry(
        "wallet_outflow", lambda parts: Outflow("wallet", ScopeInputs(parts.input_names)), "Do many or very large payouts leave one wallet at once?"
    ),
    Entry(
        "asset_outflow", lambda parts: Outflow("asset", ScopeInputs(parts.input_names)), "Do many or very large payouts leave in one asset at once?"
    ),
    Entry(
        "provider_shift", lambda parts: ProviderShift(ScopeInputs(parts.input_names)), "Does one provider sign another kind of payouts than before?"
    ),
    Entry(
        "half_space_trees",
        lambda parts: HalfSpaceTrees(MODEL_NAMES, parts.lanes.tail_bins, given=parts.input_names),
        "Is it where few recent withdrawals were?",
    ),
)


class UnknownDetectorError(ValueError):
    """A detector that a policy names and that isn't installed here."""


PlugIns = Callable[[str], Entry]
"""Finds the row of an installed detector that isn't ours, by name; raises UnknownDetectorError."""


def none_installed(name: str) -> Entry:
    """Find nothing: for those who have no plug-ins."""
    raise UnknownDetectorError(f"the detector {name}, which the policy names, is not installed here")


def make(
    *,
    young_address_ms: int = 3 * DAY_MS,
    pairs_max: int = 6_000_000,
    remembered_max: int = 1_000_000,
    run_age: bool = True,
    extra: Sequence[Entry] = (),
) -> Panel:
    """Observer and detectors as a fresh panel.

    Parameters
    ----------
    young_address_ms
        Age in ms below which an address is young, at most 21 days.
    pairs_max
        Pairs of an account and an address, device, network, country or API key that are remembered; the longest unseen go first. At least 1,024.
    remembered_max
        Observations that a label may still come for, at least 256; memory is taken as they come.
    run_age
        Whether the destination lane counts the age of a destination's run of frauds.
    extra
        Rows of detectors beside ours. Raises ValueError if one has the name of another, or can't be made.
    """
    lanes = Lanes(remembered_max, run_age=run_age)
    parts = Parts(lanes, young_address_ms)
    check_names(extra)
    return Panel(Observer(lanes, pairs_max), lanes, [entry.make(parts) for entry in (*DETECTORS, *extra)])


def check_names(extra: Sequence[Entry]) -> None:
    """Raise ValueError if a detector has the name of another: names are the keys of scores and of the state."""
    seen = {"panel", "observer", "lanes", *(entry.name for entry in DETECTORS)}
    for entry in extra:
        if entry.name in seen:
            raise ValueError(f"two detectors are called {entry.name}")
        seen.add(entry.name)


def remake(panel: Panel, extra: Sequence[Entry], kept: Sequence[str], young_address_ms: int) -> None:
    """Give a panel other detectors beside ours; those named in `kept` stay as they are, the others begin WARMING."""
    check_names(extra)
    here = {detector.name: detector for detector in panel.detectors}
    parts = Parts(panel.lanes, young_address_ms)
    panel.replace([
        *(here[entry.name] for entry in DETECTORS),
        *(here[entry.name] if entry.name in kept else entry.make(parts) for entry in extra),
    ])  # fmt: skip


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
    panel.label(np.arange(2), np.ones(2, np.bool_))
    panel.unlabel(np.arange(1))
