"""The policy: everything configurable that a decision depends on. It travels in the journal's term entries.

Never read from a file by the core; `streams.settings` builds it from configuration and the term's writer publishes it.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from monitor.contracts.base import Cause, Mode

PROVIDERS_MAX = 10_000
"""Providers with a profile, and in the registry."""


class Asset(msgspec.Struct, frozen=True):
    """One asset: how many decimals its smallest unit has (BTC 8, ETH 18, JPY 0)."""

    decimals: Annotated[int, Meta(ge=0, le=24, description="Decimals of the smallest unit.")]


class Layer(msgspec.Struct, frozen=True):
    """One layer of the reserve, drawn on in the order of the list."""

    layer_id: Annotated[str, Meta(min_length=1, max_length=128, description="Name of the layer.")]
    unit: Annotated[str, Meta(description="An asset (guarantee in kind: carries marks of that asset only) or the base currency.")]
    causes: Annotated[tuple[Cause, ...], Meta(description="Causes that it covers.")] = ("unauthorized_access", "system_failure", "undecided")
    customers_only: Annotated[bool, Meta(description="The exchange's own loss isn't covered.")] = True


class Limits(msgspec.Struct, frozen=True):
    """How much the core keeps. Reaching a limit evicts the longest unseen; every table has a gauge."""

    accounts: Annotated[int, Meta(ge=1024, description="Accounts with a profile.")] = 2_000_000
    addresses: Annotated[int, Meta(ge=1024, description="Destination addresses with a profile.")] = 3_000_000
    pairs: Annotated[int, Meta(ge=1024, description="Pairs of account and address.")] = 6_000_000
    wallets: Annotated[int, Meta(ge=64, description="Wallets with a profile.")] = 10_000
    withdrawals: Annotated[int, Meta(ge=1024, description="Withdrawals whose life cycle is followed.")] = 200_000
    event_ids: Annotated[int, Meta(ge=1024, description="Event ids remembered, to tell repeats.")] = 400_000
    outflows_waiting: Annotated[int, Meta(ge=64, description="Outflows that wait for their request.")] = 10_000
    incidents: Annotated[int, Meta(ge=64, description="Incidents kept.")] = 10_000
    marks: Annotated[int, Meta(ge=64, description="Marks kept.")] = 500_000
    retries: Annotated[int, Meta(ge=64, description="Retried positions remembered, to tell repeats.")] = 100_000


class Thresholds(msgspec.Struct, frozen=True):
    """Where scores become verdicts."""

    watch_p_value: Annotated[float, Meta(gt=0, lt=1, description="A withdrawal at most this likely is watched.")] = 1e-3
    hold_p_value: Annotated[float, Meta(gt=0, lt=1, description="A withdrawal at most this likely is held.")] = 1e-5
    young_address_payers: Annotated[int, Meta(ge=2, le=8, description="Distinct payers in 24 h to an address younger than young_address_ms.")] = 4
    young_address_ms: Annotated[int, Meta(ge=1, description="An address first seen less long ago is young.")] = 3 * 86_400_000
    wallet_outflow_p_value: Annotated[float, Meta(gt=0, lt=1, description="A wallet whose outflow is at most this likely is being drained.")] = 1e-6
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
    limits: Limits = Limits()
    river: Annotated[tuple[RiverDetector, ...], Meta(max_length=8, description="Detectors made of river's estimators, beside ours.")] = ()
    plug_ins: Annotated[
        tuple[str, ...], Meta(max_length=8, description="Installed detectors of others that take part, by the names of their entry points.")
    ] = ()
    absence_grace_ms: Annotated[
        int, Meta(ge=0, description="How far past an outflow every source must have been read before its request is missing.")
    ] = 3_000
    blind_after_ms: Annotated[int, Meta(ge=1_000, description="A source without progress for so long is blind.")] = 10_000
    late_after_ms: Annotated[int, Meta(ge=1_000, description="A verdict on an event older than this says late.")] = 60_000
    tick_ahead_max_ms: Annotated[int, Meta(ge=1_000, description="A Tick further ahead of intake's clocks is refused.")] = 60_000
    incident_window_ms: Annotated[int, Meta(ge=60_000, description="Findings within this time and with a shared key are one incident.")] = 86_400_000
    drain_half_life_ms: Annotated[int, Meta(ge=1_000, description="Half-life of the drain that gives the time to exhaustion.")] = 300_000
    price_stale_after_ms: Annotated[int, Meta(ge=1_000, description="An older price counts as none.")] = 3_600_000
    rejected_severe_per_minute: Annotated[
        int, Meta(ge=1, description="Rejected withdrawals and outflows in a minute that make a severe finding.")
    ] = 60
