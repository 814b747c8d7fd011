"""The output topics' records, but for dead letters: verdicts, marks, coverage, incidents, alerts, audit.

Every record has the headers journal_id, offset and index: readers keep the highest (offset, index) per partition and drop
what isn't higher. Amounts are decimal strings; `_minor` is never on the wire. Written by `monitor.engine` alone.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.base import Amount, Cause, Id, Mode, Owner, TimeMs

VerdictKind = Literal["CLEAR", "WATCH", "HOLD", "UNSCORED"]
Severity = Literal["notice", "warning", "critical"]
MarkStage = Literal["suspected", "confirmed", "partly_recovered", "compensated", "cleared"]
ReviewTold = Literal["asked", "joined", "over_budget", "severe"]
Stage = Literal["new", "acknowledged", "investigating", "pending_closure", "closed", "merged"]
Outcome = Literal[
    "confirmed_unauthorized", "confirmed_system_failure", "customers_own_act", "own_treasury_move", "test", "inconclusive",
]  # fmt: skip
ClockTarget = Literal["acknowledged", "halted", "regulator_told", "police_told", "customers_told"]


class Output(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What every output record carries."""

    decided_at_ms: Annotated[TimeMs, Meta(description="The core's time (from Ticks and intake clocks) when it was decided.")]


class ReasonGiven(msgspec.Struct, frozen=True, gc=False):
    """One reason of a verdict or finding, the strongest first."""

    rule: Annotated[Id, Meta(description="Name of the detector or invariant.")]
    detail: Annotated[str, Meta(description="What a person can check, with numbers.")]
    p_value: Annotated[float | None, Meta(description="How often the detector's own recent past looked at least as odd; none for an invariant.")] = (
        None
    )


class Verdict(Output, frozen=True, kw_only=True, gc=False):
    """What is decided about one withdrawal. A later event that changes it makes a new version."""

    withdrawal_id: Annotated[
        Id, Meta(description='"unreadable:topic/partition@offset" where a refused record has no id that can be read; then the key too.')
    ]
    account_id: Id | None
    version: Annotated[int, Meta(ge=1)]
    verdict: VerdictKind
    mode: Annotated[Mode, Meta(description="In observe a HOLD means: would hold.")]
    reasons: tuple[ReasonGiven, ...] = ()
    p_value: float | None = None
    review: Annotated[
        ReviewTold | None,
        Meta(
            description="Whether a person is to look at it: asked, within the budget; joined, the account or address has been asked for; over_budget, "
            "odd, but nobody is asked; severe, outside of every budget."
        ),
    ] = None
    asset: Id | None = None
    amount: Amount | None = None
    incident_id: Id | None = None
    too_late: Annotated[bool, Meta(description="HOLD of what has left already, whatever the mode.")] = False
    late: Annotated[bool, Meta(description="Decided from a backlog: the event that caused it was older than the policy's late_after_ms.")] = False
    occurred_at_ms: Annotated[TimeMs | None, Meta(description="When it was requested; none if that could not be read.")] = None
    policy_version: int


class Heartbeat(Output, frozen=True, kw_only=True, gc=False, tag_field="kind", tag="heartbeat"):
    """A record a second on `verdicts` (every partition): slow can be told from dead."""

    term: Id
    journal_offset: int


class Allocation(msgspec.Struct, frozen=True, gc=False):
    """The part of a mark that one layer carries. What no layer carries is the part of the layer `uncovered`."""

    layer_id: Id
    account: Annotated[
        Literal["held", "paid", "recovered"],
        Meta(description="held: earmarked for what is open; paid: compensated with it; recovered: came back of what was paid."),
    ]
    unit: Id
    amount: Annotated[Amount, Meta(description="In the layer's own unit.")]
    asset_amount: Annotated[Amount, Meta(description="The units of the marked asset that this stands for.")]
    base_amount: Annotated[Amount | None, Meta(description="The value in the base currency that this stands for; none while no price is known.")]
    deductible: Annotated[Amount, Meta(description="What of the layer's deductible for the event this mark bore, in the layer's unit.")]


class Mark(Output, frozen=True, kw_only=True, gc=False):
    """A loss, suspected or certain, and what it is earmarked against. Versions are never overwritten."""

    mark_id: Id
    version: Annotated[int, Meta(ge=1)]
    state: Annotated[
        MarkStage,
        Meta(
            description="cleared: it was no loss. A mark that is found to be larger than people said is suspected again; what is compensated stays so."
        ),
    ]
    withdrawal_id: Id | None
    account_id: Id | None
    owner: Owner
    asset: Id
    amount: Annotated[Amount, Meta(description="The whole loss.")]
    open_amount: Annotated[Amount, Meta(description="What of it is still to be compensated; the allocations that are held are for this.")]
    recovered_amount: Annotated[Amount, Meta(description="What of it came back, before or after it was compensated.")]
    compensated_amount: Annotated[Amount, Meta(description="What of it was compensated.")]
    base_amount: Annotated[
        Amount | None, Meta(description="Value of what is open in the base currency, at this price, rounded up; none while no price is known.")
    ]
    price: Amount | None
    price_source: Id | None
    price_at_ms: TimeMs | None
    cause: Cause
    provider_id: Id | None
    incident_id: Id
    allocations: tuple[Allocation, ...]
    uncovered_base_amount: Annotated[Amount | None, Meta(description="What no layer carries of what is open; none while no price is known.")]
    policy_version: int


class LayerCoverage(msgspec.Struct, frozen=True, gc=False):
    """One layer in its own unit: funded + recovered = available + held + paid. The last is `uncovered`, which is claimed on without limit."""

    layer_id: Id
    unit: Id
    funded: Annotated[Amount, Meta(description="Put in, less what was drawn; of a layer on claim: what is claimed, less what went back.")]
    recovered: Annotated[Amount, Meta(description="What came back of what was paid.")]
    available: Amount
    held: Amount
    paid: Amount
    can_carry: Annotated[
        Amount | None, Meta(description="What it can still carry, within its total limit; none of uncovered and of layers no longer in the policy.")
    ]


PriceStanding = Literal["fresh", "stale", "missing", "jumped"]


class AssetCoverage(msgspec.Struct, frozen=True, gc=False):
    """One asset: what is marked of it, what of that is covered, and what of customers' is hot. Amounts are in units but for base amounts."""

    asset: Id
    marked: Amount
    marked_base_amount: Amount
    uncovered_base_amount: Amount
    unpriced: Annotated[Amount, Meta(description="Marked while no price was known that could be relied on.")]
    available: Annotated[Amount, Meta(description="What the layers kept in this asset have available.")]
    held: Annotated[Amount, Meta(description="What those layers hold for marks.")]
    paid: Annotated[Amount, Meta(description="What those layers have paid.")]
    headroom_base_amount: Annotated[
        dict[str, Amount],
        Meta(description="By cause: what one further event could draw on for customers' losses of this asset, money and this asset in kind."),
    ]
    customers: Annotated[Amount, Meta(description="Customers', in hot and cold wallets, by their balances.")]
    customers_hot: Annotated[Amount, Meta(description="Customers', in hot wallets.")]
    guarantee_shortfall: Annotated[
        Amount,
        Meta(
            description="Same kind and quantity: what customers have more of it in hot wallets than its layers of kind guarantee have available and held."
        ),
    ]
    price: Annotated[Amount | None, Meta(description="The newest price that counts.")]
    price_standing: Annotated[
        PriceStanding,
        Meta(
            description="Whether the price can be relied on: jumped is one that moved by more than the policy's price_jump_percent, until a later one "
            "is near it. What is marked while it isn't fresh has no value yet."
        ),
    ]


class WalletAtRisk(msgspec.Struct, frozen=True, gc=False):
    """If this hot wallet of customers' were emptied now, as one further event."""

    wallet_id: Id
    provider_id: Id | None
    asset: Id
    amount: Amount
    base_amount: Amount
    uncovered_base_amount: Annotated[Amount, Meta(description="What of it no layer would carry.")]


class Coverage(Output, frozen=True, kw_only=True, gc=False):
    """Reserve against marks. `changed` after an entry that changed them, `whole` on Ticks."""

    scope: Literal["changed", "whole"]
    base_currency: Id
    layers: tuple[LayerCoverage, ...]
    assets: tuple[AssetCoverage, ...]
    available_base_amount: Annotated[
        Amount, Meta(description="What the policy's layers can still carry in all, whatever the cause and however many events.")
    ]
    held_base_amount: Amount
    paid_base_amount: Amount
    marked_base_amount: Amount
    uncovered_base_amount: Amount
    at_least: Annotated[bool, Meta(description="Something marked has no price: the totals are lower bounds.")]
    exhausted: Annotated[
        bool,
        Meta(description="Something is marked and nothing is available. What becomes available carries what stands uncovered, the oldest first."),
    ]
    headroom_base_amount: Annotated[
        dict[str, Amount],
        Meta(
            description="By cause: what one further event, a new incident, could draw on for customers' losses: of each layer what it can still carry, "
            "within its limit for one event, less its deductible; all assets in kind. What all events together could draw on is available_base_amount."
        ),
    ]
    customers_base_amount: Annotated[
        Amount, Meta(description="Customers' assets in hot and cold wallets, by their balances; what has no price isn't in.")
    ]
    hot_base_amount: Annotated[Amount, Meta(description="The same in hot wallets.")]
    hot_share_percent: Annotated[
        Amount | None,
        Meta(description="The hot part, rounded up to the hundredth; none until all balances were read once, and where one could not be kept."),
    ]
    hot_wallets: Annotated[
        tuple[WalletAtRisk, ...],
        Meta(description="The most valuable hot wallets of customers', at most 8; in `changed` the one of the changed asset."),
    ]
    drain_base_amount_per_minute: Annotated[Amount, Meta(description="Newly marked value per minute, decayed with the policy's half-life.")]
    seconds_to_exhaustion: Annotated[int | None, Meta(description="Available value over drain; none while nothing drains.")]


class ClockSheet(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """When what happened in an incident. The first four the monitor writes itself, the others people tell."""

    first_event_at_ms: TimeMs
    first_finding_at_ms: TimeMs
    paged_at_ms: TimeMs | None = None
    acknowledged_at_ms: TimeMs | None = None
    halted_at_ms: TimeMs | None = None
    regulator_told_at_ms: TimeMs | None = None
    police_told_at_ms: TimeMs | None = None
    customers_told_at_ms: TimeMs | None = None


class Due(msgspec.Struct, frozen=True, gc=False):
    """A time of the clock sheet that is still open, and by when the policy wants it."""

    target: ClockTarget
    due_at_ms: TimeMs
    missed: bool


class Happened(msgspec.Struct, frozen=True, gc=False):
    """One line of an incident's timeline."""

    at_ms: TimeMs
    what: Literal[
        "opened", "paged", "escalated", "merged", "reopened", "clock_missed", "clock_set", "acknowledged", "assigned", "noted",
        "closure_proposed", "closure_withdrawn", "closed", "contradicted", "mark_moved",
    ]  # fmt: skip
    detail: str
    actor: Annotated[Id | None, Meta(description="Who decided it; none where the monitor did.")] = None


class Incident(Output, frozen=True, kw_only=True, gc=False):
    """All findings of one attack or failure, as far as they share an address, account, wallet, provider, device or batch."""

    incident_id: Id
    version: Annotated[int, Meta(ge=1)]
    handled_version: Annotated[
        int,
        Meta(
            ge=0,
            description="The version in which people, or facts that reopened it, last changed how it is handled: who saw it or a later one is up to date.",
        ),
    ]
    state: Stage
    merged_into: Annotated[Id | None, Meta(description="The incident that goes on in its place.")] = None
    follows: Annotated[Id | None, Meta(description="A closed incident that shares something with it.")] = None
    outcome: Annotated[Outcome | None, Meta(description="What it was; known when it is closed.")] = None
    assignee: Id | None = None
    severity: Severity
    certain: Annotated[bool, Meta(description="An invariant is broken; otherwise it is detectors' opinions alone.")]
    cause: Cause
    title: str
    summary: Annotated[str, Meta(description="What, how much, from where, whether it goes on, whether it is covered, what to do next.")]
    rules: tuple[Id, ...]
    keys: Annotated[tuple[str, ...], Meta(description='What ties it together, the first 64, as "address:…", "wallet:…", "source:…".')]
    findings: int
    withdrawals: int
    accounts: int
    marks: Annotated[int, Meta(description="Marks that stand.")]
    opened_at_ms: TimeMs
    first_event_at_ms: TimeMs
    last_event_at_ms: TimeMs
    closed_at_ms: TimeMs | None = None
    clock: ClockSheet
    due: Annotated[tuple[Due, ...], Meta(description="What the clock sheet still waits for.")] = ()
    timeline: Annotated[
        tuple[Happened, ...], Meta(description="In order; of many the first 20 and the newest 80, and the newest 50 notes and assignments.")
    ] = ()
    marked_base_amount: Amount
    uncovered_base_amount: Amount
    policy_version: int


class Alert(Output, frozen=True, kw_only=True, gc=False):
    """A human is to be woken (page) or told (notice).

    One page per incident and escalation; one alert per missed time of its clock sheet, per fact that contradicts a loss that people confirmed, per
    merge by which less is covered, and per level of coverage that is crossed (with the incident whose mark crossed it, if one did).
    """

    alert_id: Id
    incident_id: Id | None
    kind: Literal["page", "notice"]
    why: Literal["opened", "escalated", "reopened", "clock_missed", "contradicted", "less_covered", "level_crossed"]
    severity: Severity
    title: str
    summary: str
    policy_version: int


AuditKind = Literal[
    "term", "tick-refused", "source-opened", "gap", "hole", "replaced", "source-accepted", "blind", "sighted", "silent",
    "repeat-conflict", "quarantined", "refused", "rejected", "evicted", "over-budget", "decided", "awaits-second", "expired", "void", "policy-proposed",
    "policy-changed", "head", "price-jumped", "contradicted", "less-covered",
]  # fmt: skip


class Audit(Output, frozen=True, kw_only=True, gc=False):
    """What the core noticed about itself and its sources, what came of people's decisions, and the heads of the audit trail.

    A head comes after every 256th journal entry: SHA-256 of the head before it (32 zero bytes before the first) and the SHA-256s of the block's
    entries, in order. Its header `signature` is of the JSON array, without spaces, of journal id, last_offset, head_sha256 and prints.
    """

    what: AuditKind
    source: str | None = None
    first_offset: int | None = None
    last_offset: int | None = None
    expected_offset: Annotated[int | None, Meta(description="For a hole: where the intake must rewind to.")] = None
    subject_id: str | None = None
    event_id: Annotated[str | None, Meta(description="The decision that this is the outcome of.")] = None
    actors: Annotated[tuple[str, ...], Meta(description="Who decided: one, or the first and the second of four eyes.")] = ()
    detail: str = ""
    head_sha256: Annotated[str | None, Meta(description="Of a head: the hash of the chain up to last_offset, hexadecimal.")] = None
    prints: Annotated[str | None, Meta(description="Of a head: the first 4 bytes of each entry's SHA-256, in order, in base64.")] = None
