"""The policy: everything configurable that a decision depends on. It travels in the journal's term entries.

Never read from a file by the core; `streams.settings` builds it from configuration and the term's writer publishes it.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.base import Cause, Mode
from monitor.contracts.feedback import Command

PROVIDERS_MAX = 10_000
"""Providers with a profile, and in the registry."""


LayerKind = Literal["guarantee", "liability_reserve", "insurance", "group_funding"]
Drawn = Literal["prefunded", "on_claim"]
LayerAmount = Annotated[str, Meta(pattern=r"^[0-9]+([.][0-9]+)?$", max_length=64)]


class Asset(msgspec.Struct, frozen=True):
    """One asset: how many decimals its smallest unit has (BTC 8, ETH 18, JPY 0)."""

    decimals: Annotated[int, Meta(ge=0, le=24, description="Decimals of the smallest unit.")]


class Layer(msgspec.Struct, frozen=True):
    """One layer of the reserve, drawn on in the order of the list. An event is an incident."""

    layer_id: Annotated[str, Meta(min_length=1, max_length=128, description="Name of the layer.")]
    unit: Annotated[str, Meta(description="An asset (in kind: carries marks of that asset only) or the base currency.")]
    causes: Annotated[tuple[Cause, ...], Meta(description="Causes that it covers.")] = ("unauthorized_access", "system_failure", "undecided")
    customers_only: Annotated[bool, Meta(description="The exchange's own loss isn't covered.")] = True
    kind: Annotated[LayerKind, Meta(description="What it is: a guarantee is kept in kind.")] = "liability_reserve"
    drawn: Annotated[Drawn, Meta(description="prefunded: carries what it was funded with; on_claim: is claimed on when it is needed.")] = "prefunded"
    limit_per_event: Annotated[LayerAmount | None, Meta(description="What it carries of one event at most, in its unit.")] = None
    limit_total: Annotated[LayerAmount | None, Meta(description="What it carries at most, in its unit; what comes back counts no longer.")] = None
    deductible: Annotated[LayerAmount, Meta(description="What of each event it doesn't carry, in its unit: the first that reaches it.")] = "0"


class Actor(msgspec.Struct, frozen=True):
    """A person who may decide, or a machine, which may tell but never release."""

    public_key: Annotated[
        str, Meta(min_length=44, max_length=44, description="Ed25519 public key, 32 bytes in base64: signs the person's decisions.")
    ]
    roles: Annotated[tuple[str, ...], Meta(description="Names of the person's roles, which say what the person may decide.")] = ("analyst",)
    machine: Annotated[
        bool,
        Meta(description="No person: whatever its roles, it may acknowledge, assign, note and tell when something was halted, and nothing else."),
    ] = False


class Role(msgspec.Struct, frozen=True):
    """What people of one role may decide."""

    commands: Annotated[tuple[Command, ...], Meta(description="Commands that people of this role may decide.")]


ANALYST: tuple[Command, ...] = ("acknowledge", "assign", "note", "set_clock", "confirm", "clear", "change_cause", "change_owner", "snooze")
LEAD: tuple[Command, ...] = (*ANALYST, "release", "recovered", "compensated", "revise", "move", "close", "reopen")
ROLES = {"analyst": Role(ANALYST), "lead": Role(LEAD), "administrator": Role(("change_policy",))}
"""Who may do what where the policy says nothing else."""


class FourEyes(msgspec.Struct, frozen=True):
    """What needs a second, different person; a change of the policy always does."""

    commands: Annotated[tuple[Command, ...], Meta(description="Commands that always need one.")] = (
        "release", "close", "reopen", "recovered", "compensated", "move", "change_policy",
    )  # fmt: skip
    above_base_amount: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+([.][0-9]+)?$",
            description="Any other decision about marks needs one when what its person has decided alone about the incident is, with it, above this value in the base currency, and where a mark has no fresh price.",
        ),
    ] = "10000000"
    within_ms: Annotated[int, Meta(ge=1_000, description="How long a decision waits for its second person.")] = 3_600_000


class Limits(msgspec.Struct, frozen=True):
    """How much the core keeps. Reaching a limit evicts the longest unseen; every table has a gauge."""

    accounts: Annotated[int, Meta(ge=1024, description="Accounts with a profile.")] = 2_000_000
    addresses: Annotated[int, Meta(ge=1024, description="Destination addresses with a profile.")] = 3_000_000
    pairs: Annotated[int, Meta(ge=1024, description="Pairs of account and address.")] = 6_000_000
    wallets: Annotated[int, Meta(ge=64, description="Wallets with a profile.")] = 10_000
    withdrawals: Annotated[int, Meta(ge=1024, description="Withdrawals whose life cycle is followed.")] = 200_000
    event_ids: Annotated[int, Meta(ge=1024, description="Event ids remembered, to tell repeats.")] = 400_000
    outflows_waiting: Annotated[int, Meta(ge=64, description="Outflows that wait for their request.")] = 10_000
    incidents: Annotated[int, Meta(ge=64, description="Incidents kept. Those with marks that stand are kept beyond it, and the worker says so.")] = (
        10_000
    )
    incident_keys: Annotated[int, Meta(ge=1024, description="Addresses, accounts, wallets and the like that tie findings to incidents.")] = 200_000
    incident_names: Annotated[
        int, Meta(ge=1024, description="Withdrawals and accounts counted in incidents; beyond it their counts are lower bounds.")
    ] = 500_000
    marks: Annotated[
        int, Meta(ge=64, description="Marks kept that aren't compensated. Those that stand are kept beyond it, and the worker says so.")
    ] = 500_000
    marks_compensated: Annotated[int, Meta(ge=64, description="Compensated marks kept, so that their losses aren't marked again.")] = 200_000
    labels: Annotated[int, Meta(ge=64, description="Withdrawals with people's labels that can still be revoked.")] = 40_000
    remembered: Annotated[int, Meta(ge=1024, description="Withdrawals that the detectors can still learn a label of.")] = 200_000
    approvals: Annotated[int, Meta(ge=64, description="Decisions that wait for a second person; of one person or about one subject an eighth.")] = (
        1_000
    )
    decision_ids: Annotated[
        int,
        Meta(ge=64, description="Decisions taken within their validity, to tell repeats; of one person an eighth. Beyond it nothing new is taken."),
    ] = 65_536
    snoozes: Annotated[int, Meta(ge=64, description="Rules that are snoozed for a value.")] = 1_000
    retries: Annotated[int, Meta(ge=64, description="Retried positions remembered, to tell repeats.")] = 100_000
    security_changes: Annotated[int, Meta(ge=64, description="Accounts whose newest security change is known.")] = 200_000
    repeated: Annotated[int, Meta(ge=64, description="Requests remembered, to tell the same payment asked for twice.")] = 200_000
    holdings: Annotated[int, Meta(ge=64, description="Holdings of accounts, one an asset.")] = 200_000
    postings: Annotated[int, Meta(ge=64, description="Postings remembered, to tell one with two amounts.")] = 100_000
    outputs: Annotated[int, Meta(ge=64, description="Outputs of transactions remembered, to count each once and tell one told in two ways.")] = (
        100_000
    )


class Thresholds(msgspec.Struct, frozen=True):
    """Where scores become verdicts."""

    watch_p_value: Annotated[
        float, Meta(gt=0, lt=1, description="However much of the budget is left, a withdrawal that is watched is at most this likely.")
    ] = 5e-2
    hold_p_value: Annotated[float, Meta(gt=0, lt=1, description="A withdrawal at most this likely is held.")] = 1e-5
    young_address_ms: Annotated[int, Meta(ge=1, description="An address first seen less long ago is young.")] = 3 * 86_400_000
    alarm_p_value: Annotated[
        float, Meta(gt=0, lt=1, description="What accounts share, and what leaves a wallet, alarms when it is at most this likely.")
    ] = 1e-6
    shift_p_value: Annotated[
        float,
        Meta(
            gt=0,
            lt=1,
            description="What a provider signs, what leaves in an asset and where everybody pays to alarms when it is at most this likely.",
        ),
    ] = 1e-12
    unit_confusion_base_amount: Annotated[
        str,
        Meta(
            pattern=r"^[0-9]+([.][0-9]+)?$",
            description="An amount of at least this value that would be usual in the base currency's units is taken for one in them.",
        ),
    ] = "100000000"
    page_base_amount: Annotated[
        str, Meta(pattern=r"^[0-9]+([.][0-9]+)?$", description="A HOLD of at least this value in the base currency pages.")
    ] = "10000000"


EstimatorName = Annotated[
    str, Meta(pattern=r"^[a-z_]+[.][A-Za-z0-9]+$", max_length=128, description="An estimator of river with its module, as anomaly.HalfSpaceTrees.")
]
Parameters = Annotated[
    dict[str, bool | int | float | str], Meta(description="Parameters of the estimator, as river calls them; those not given are river's defaults.")
]


class RiverStep(msgspec.Struct, frozen=True):
    """One estimator of river that prepares the inputs of the next."""

    estimator: EstimatorName
    parameters: Parameters = {}


class RiverDetector(msgspec.Struct, frozen=True):
    """A detector beside ours, made of river's estimators."""

    name: Annotated[
        str, Meta(pattern=r"^[a-z][a-z0-9_]*$", max_length=64, description="Name of the detector, of small letters, as it stands in reasons.")
    ]
    estimator: EstimatorName
    parameters: Parameters = {}
    before: Annotated[tuple[RiverStep, ...], Meta(description="Estimators that prepare its inputs, as preprocessing.StandardScaler, in order.")] = ()
    target: Annotated[str | None, Meta(description="The input that it judges, for the detectors of river that judge one number.")] = None


class Budget(msgspec.Struct, frozen=True):
    """What people can do. Severe findings (a broken invariant, or marked value of at least page_base_amount) are outside of it."""

    reviews_per_day: Annotated[
        int, Meta(ge=1, le=100_000, description="Withdrawals a day that people are asked to review: aimed at, and a ceiling.")
    ] = 50
    pages_per_hour: Annotated[int, Meta(ge=1, le=1_000, description="Pages an hour for findings that aren't severe: a ceiling.")] = 1


class ClockTargets(msgspec.Struct, frozen=True):
    """Within how many minutes an incident's clock sheet is to be filled; 0: no target. All but the first are asked for while severe marks stand."""

    acknowledged_minutes: Annotated[int, Meta(ge=0, le=525_600, description="From the page until somebody says that he is on it.")] = 15
    halted_minutes: Annotated[int, Meta(ge=0, le=525_600, description="From the first finding until what leaks is stopped.")] = 30
    regulator_told_minutes: Annotated[int, Meta(ge=0, le=525_600, description="From the first finding until the regulator is told.")] = 120
    police_told_minutes: Annotated[int, Meta(ge=0, le=525_600, description="From the first finding until the police is told.")] = 1_440
    customers_told_minutes: Annotated[int, Meta(ge=0, le=525_600, description="From the first finding until customers are told.")] = 1_440


Percents = tuple[Annotated[int, Meta(ge=1, le=100)], ...]


class CoverageLevels(msgspec.Struct, frozen=True):
    """When coverage is told to people: one alert for each level that is crossed. The order of a list doesn't matter."""

    headroom_percent: Annotated[
        Percents,
        Meta(
            max_length=8,
            description="What is left for one further event of unauthorized access, of all that was set aside for one. The lowest pages.",
        ),
    ] = (50, 25, 10)
    exhaustion_minutes: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=100_000)], ...], Meta(max_length=8, description="How long the reserve lasts at the present drain.")
    ] = (60, 10)
    hot_share_percent: Annotated[
        Percents, Meta(max_length=8, description="The part of customers' assets, by value, that may be in hot wallets (in Japan 5).")
    ] = (5,)
    guarantee: Annotated[
        bool,
        Meta(
            description="Tell of an asset of which customers have more in hot wallets than its layers of kind guarantee have (same kind and quantity)."
        ),
    ] = True
    hysteresis_percent: Annotated[
        int, Meta(ge=0, le=50, description="So much better than a level, as a part of it, things must be before crossing it is told again.")
    ] = 5


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The effective policy of one term."""

    version: Annotated[int, Meta(ge=1, description="Version of this policy, shown in every decision.")] = 1
    base_currency: Annotated[str, Meta(min_length=1, description="What values and money layers are counted in; one of the assets.")] = "JPY"
    assets: dict[str, Asset]
    layers: tuple[Layer, ...] = ()
    mode: Annotated[Mode, Meta(description="observe: verdicts say what would be held; enforce: they say what is held.")] = "observe"
    rule_modes: Annotated[dict[str, Mode], Meta(description="Mode of single rules, where it differs.")] = {}
    rules_off: Annotated[tuple[str, ...], Meta(description="Rules that are not applied at all.")] = ()
    thresholds: Thresholds = Thresholds()
    budget: Budget = Budget()
    clock_targets: ClockTargets = ClockTargets()
    coverage_levels: CoverageLevels = CoverageLevels()
    limits: Limits = Limits()
    river: Annotated[tuple[RiverDetector, ...], Meta(max_length=8, description="Detectors made of river's estimators, beside ours.")] = ()
    plug_ins: Annotated[
        tuple[str, ...], Meta(max_length=8, description="Installed detectors of others that take part, by the names of their entry points.")
    ] = ()
    actors: Annotated[dict[str, Actor], Meta(description="Who may decide, by name.")] = {}
    roles: Annotated[dict[str, Role], Meta(description="What each role may decide, by its name.")] = msgspec.field(default_factory=ROLES.copy)
    four_eyes: FourEyes = FourEyes()
    decision_valid_ms: Annotated[
        int, Meta(ge=1_000, description="How old a decision may be, by its own time, when it is read: an older one changes nothing.")
    ] = 3_600_000
    snooze_ms_max: Annotated[int, Meta(ge=1_000, description="How long a rule can be snoozed for one value.")] = 604_800_000
    label_approvals: Annotated[
        int, Meta(ge=1, le=10, description="How many people must agree on what a withdrawal was before the detectors learn it.")
    ] = 2
    repeat_window_ms: Annotated[
        int, Meta(ge=1_000, description="The same account, destination, asset and amount within this time is the same payment asked for again.")
    ] = 900_000
    clock_tolerance_ms: Annotated[int, Meta(ge=0, description="Times that contradict each other by less than this are let pass.")] = 120_000
    holding_fresh_ms: Annotated[int, Meta(ge=1_000, description="An older holding bounds no withdrawal.")] = 172_800_000
    authority_watch_ms: Annotated[int, Meta(ge=0, description="How long after a change of its signers a wallet's large payments are held.")] = (
        1_209_600_000
    )
    authority_share_percent: Annotated[
        int, Meta(ge=0, le=100, description="A payment above this part of the wallet's balance is large after a change of its signers.")
    ] = 10
    balance_grace_ms: Annotated[int, Meta(ge=1_000, description="How long a payment may be in flight before a wallet's balance shows it.")] = 30_000
    balance_tolerance_permille: Annotated[
        int, Meta(ge=1, le=1_000, description="A balance may fall by this part without a payment that explains it.")
    ] = 100
    silent_factor: Annotated[int, Meta(ge=2, description="A source without an event for so many times its longest gap of a week is silent.")] = 4
    absence_grace_ms: Annotated[
        int, Meta(ge=0, description="How far past an outflow every source must have been read before its request is missing.")
    ] = 3_000
    blind_after_ms: Annotated[int, Meta(ge=1_000, description="A source without progress for so long is blind.")] = 10_000
    late_after_ms: Annotated[int, Meta(ge=1_000, description="A verdict on an event older than this says late.")] = 60_000
    tick_ahead_max_ms: Annotated[int, Meta(ge=1_000, description="A Tick further ahead of intake's clocks is refused.")] = 60_000
    incident_window_ms: Annotated[
        int,
        Meta(ge=60_000, description="Findings that share a key with an incident join it within this time before its first and after its last event."),
    ] = 86_400_000
    drain_half_life_ms: Annotated[int, Meta(ge=1_000, description="Half-life of the drain that gives the time to exhaustion.")] = 300_000
    price_stale_after_ms: Annotated[int, Meta(ge=1_000, description="An older price counts as none.")] = 3_600_000
    price_jump_percent: Annotated[
        int, Meta(ge=1, le=10_000, description="A price that moves by more than this against the last one counts only once a later one is near it.")
    ] = 20
    rejected_severe_per_minute: Annotated[
        int, Meta(ge=1, description="Rejected withdrawals and outflows in a minute that make a severe finding.")
    ] = 60
