"""What the core shows of itself: one frozen picture of totals, limits and figures, taken between two entries.

Totals live in the fold's state, so folding the journal again counts nothing twice. Filled by `monitor.engine`, rendered by
`streams.metrics` and `streams.web`; nothing here decides anything.
"""

from typing import Literal, NamedTuple

import msgspec

from monitor.contracts.base import Cause
from monitor.prices import PriceStanding

SourceState = Literal["reading", "blind", "hole", "replaced"]
DetectorState = Literal["WARMING", "READY", "OFF"]
DecisionOutcome = Literal["decided", "awaits-second", "refused", "expired", "void"]
TABLES = (
    "account", "address", "asset", "wallet", "provider", "pairs", "withdrawal", "event_id", "outflow_waiting", "incident", "incident_key", "incident_name", "mark", "mark_compensated", "layer_event", "retry", "unread_withdrawal", "wallet_balance",
    "approval", "decision_id", "snooze", "review_asked", "review_overflow", "label", "remembered", "labels",
    "window_young_address_payers", "window_first_seen_rate", "window_shared_device", "window_shared_network", "window_shared_api_key",
    "window_batch_accounts", "window_wallet_outflow", "window_asset_outflow", "window_provider_shift",
    "provider_registry", "provider_doubted", "security_change", "repeated", "holding", "posting", "output", "wallet_fact", "doubt", "audit_block", "batch_credit",
)  # fmt: skip
"""Every bounded table by the name under which its use and its evictions are shown."""


class TableUse(NamedTuple):
    """Rows used of a bounded table."""

    used: int
    limit: int


class SourceUse(NamedTuple):
    """One source: the next offset that the core accepts, its log's end as last told, and how it stands."""

    next_offset: int
    log_end: int
    state: SourceState


class DetectorUse(NamedTuple):
    """One detector. `last_run_ms` is the core's time of its last run (0: never); `state_bytes` is 0 unless the size of its state varies."""

    state: DetectorState
    observations: int
    last_run_ms: int
    restarts: int = 0
    state_bytes: int = 0


class LayerFigures(NamedTuple):
    """One reserve layer, in minor units of `unit`, which has `decimals` decimals."""

    unit: str
    decimals: int
    funded_minor: int
    recovered_minor: int
    available_minor: int
    held_minor: int
    paid_minor: int


class AssetFigures(NamedTuple):
    """One asset's marks and what customers have of it, in its own minor units, but for values in the base currency's (`…_base_minor`)."""

    decimals: int
    marked_minor: int
    unpriced_minor: int
    marked_base_minor: int
    uncovered_base_minor: int
    customers_minor: int = 0
    customers_hot_minor: int = 0
    guarantee_shortfall_minor: int = 0
    price: PriceStanding = "missing"


class CoverageFigures(NamedTuple):
    """Reserve against marks, in minor units of the base currency; `seconds_to_exhaustion` is None while nothing drains."""

    available_base_minor: int
    held_base_minor: int
    paid_base_minor: int
    marked_base_minor: int
    uncovered_base_minor: int
    drain_base_minor_per_minute: int
    seconds_to_exhaustion: int | None
    exhausted: bool
    at_least: bool


class RiskFigures(NamedTuple):
    """What could be lost and carried, in minor units of the base currency: headroom by cause, customers' assets, the hot part, the largest hot wallet.

    `largest_wallet_uncovered_base_minor`: the most that no layer would carry if one of the largest hot wallets were emptied.
    """

    headroom_base_minor: dict[Cause, int]
    customers_base_minor: int
    hot_base_minor: int
    largest_wallet_base_minor: int
    largest_wallet_uncovered_base_minor: int


class Gauges(msgspec.Struct, frozen=True, kw_only=True):
    """The picture. Every total counts from the journal's first entry; keys are names of the contracts."""

    journal_id: str
    term: str | None
    next_offset: int
    time_ms: int
    base_currency: str
    base_decimals: int
    entries: dict[str, int] = {}
    """Entries of input records that were accepted and are no repeats, by entry kind."""
    verdicts: dict[str, int] = {}
    """Verdict versions decided, by verdict."""
    rejected: dict[str, dict[str, int]] = {}
    """Rejected records, by topic and reason."""
    repeats: int = 0
    """Records that were read again, or events that came again with the same content: dropped."""
    conflicts: int = 0
    """Events with the id of an earlier one and other content."""
    holes: int = 0
    gaps: int = 0
    ticks_refused: int = 0
    ticks_ignored: int = 0
    quarantined: int = 0
    marks: dict[str, int] = {}
    """Marks that are kept, by state."""
    incidents: dict[str, int] = {}
    """Incidents kept, by state."""
    clocks_missed: dict[str, int] = {}
    """Targets of clock sheets that were missed, by target."""
    alerts: dict[str, int] = {}
    """Alerts raised, by kind."""
    reviews: dict[str, int] = {}
    """Odd withdrawals by what became of their review: asked, joined to one that was asked, over the budget."""
    reviews_left: float = 0.0
    """Reviews that can be asked for at once before the budget is spent."""
    decisions: dict[str, int] = {}
    """People's decisions by outcome: decided, awaits-second, refused, expired, void."""
    findings_snoozed: int = 0
    """Findings that nobody was told of because their rule is snoozed for what they are about."""
    pages_over_budget: int = 0
    """Incidents that nobody was woken for because the page budget was spent."""
    pages_put_off: int = 0
    """Small critical incidents that wake nobody for now, because more came at once than people can be woken for one by one."""
    findings: dict[str, int] = {}
    """Findings, by rule."""
    tables: dict[str, TableUse] = {}
    evictions: dict[str, int] = {}
    """Rows evicted, by table."""
    sources: dict[str, SourceUse] = {}
    """By "topic/partition"."""
    detectors: dict[str, DetectorUse] = {}
    coverage: CoverageFigures | None = None
    """None until a term has given the layers."""
    risk: RiskFigures | None = None
    levels: dict[str, int] = {}
    """The worst level of each measure of coverage that is crossed; 1 for an asset that falls short of its guarantee."""
    providers: dict[str, int] = {}
    """Providers in the registry, by standing."""
    layers: dict[str, LayerFigures] = {}
    assets: dict[str, AssetFigures] = {}
