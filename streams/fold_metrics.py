"""The metrics that come from the fold's state: each family is one row here, made from the last `Gauges`.

Nothing is counted here. Called by `streams.metrics` alone, whose class registers the collector.
"""

import math
import typing
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from monitor.budget import Review
from monitor.contracts.outputs import Alert, ClockTarget, Incident, Mark, Verdict
from monitor.contracts.providers import Standing
from monitor.contracts.topics import INPUTS, OUTPUTS, RETRIES
from monitor.findings import RULES
from monitor.gauges import TABLES, AssetFigures, DecisionOutcome, DetectorState, Gauges, LayerFigures, SourceState, SourceUse
from monitor.headroom import CAUSES
from monitor.prices import PriceStanding
from monitor.reasons import Reason
from streams.health import Condition, Health

PREFIX = "withdrawal_monitor_"
OTHER = "other"
LABEL_VALUES_MAX = 100
"""Values of a label whose set the policy closes (assets, layers); more than these are added up under "other"."""

INPUT_TOPICS = (*(topic.name for topic in INPUTS), RETRIES)
OUTPUT_TOPICS = tuple(topic.name for topic in OUTPUTS)
REASONS = tuple(str(reason) for reason in Reason)
ENTRY_KINDS = (*(topic.entry_kind for topic in INPUTS), "rejected")
SOURCE_STATES: tuple[str, ...] = typing.get_args(SourceState)
DETECTOR_STATES: tuple[str, ...] = typing.get_args(DetectorState)


def _values_of(struct: type, field: str) -> tuple[str, ...]:
    """The values of a Literal field: closed sets are read from the contracts, so that a new value there is a new series here."""
    return typing.get_args(typing.get_type_hints(struct)[field])


VERDICTS = _values_of(Verdict, "verdict")
MARK_STATES = _values_of(Mark, "state")
RULE_NAMES = tuple(RULES)
REVIEWS: tuple[str, ...] = typing.get_args(Review)
PRICE_STANDINGS: tuple[str, ...] = typing.get_args(PriceStanding)
PROVIDER_STANDINGS: tuple[str, ...] = typing.get_args(Standing)
ALERT_KINDS = _values_of(Alert, "kind")
STAGES = _values_of(Incident, "state")
CLOCK_TARGETS: tuple[str, ...] = typing.get_args(ClockTarget)
OUTCOMES: tuple[str, ...] = typing.get_args(DecisionOutcome)

Values = Mapping[tuple[str, ...], float]
Row = tuple[str, str, list[str], Values]
NOTHING = Gauges(journal_id="", term=None, next_offset=0, time_ms=0, base_currency="", base_decimals=0)
"""Gives the families their names and help while there is no picture; none of its values is shown."""


class FoldCollector(Collector):
    """Renders the last `Gauges`; families without samples while this worker doesn't own the core."""

    def __init__(self, health: Health | None) -> None:
        self.gauges: Gauges | None = None
        self._health = health

    def collect(self) -> Iterator[Metric]:
        """All families, in a fixed order."""
        holding = self._health.conditions() if self._health else {}
        conditions = GaugeMetricFamily(PREFIX + "condition", "1 while the named condition keeps the worker from being ready.", labels=["condition"])
        for condition in Condition:
            conditions.add_metric([condition], float(condition in holding))
        yield conditions
        shown = self.gauges is not None
        gauges = self.gauges or NOTHING
        for name, help_text, labels, values in (*_totals(gauges), *_source_totals(gauges)):
            yield _filled(CounterMetricFamily(PREFIX + name, help_text, labels=labels), values, shown=shown)
        for name, help_text, labels, values in (
            *_coverage(gauges),
            *_risk(gauges),
            *_layers_and_assets(gauges),
            *_state(gauges),
            *_detectors(gauges),
        ):
            yield _filled(GaugeMetricFamily(PREFIX + name, help_text, labels=labels), values, shown=shown)


def _filled(family: CounterMetricFamily | GaugeMetricFamily, values: Values, *, shown: bool) -> Metric:
    if shown:
        for labels, value in values.items():
            family.add_metric(list(labels), value)
    return family


def _by(counts: Mapping[str, int], allowed: Sequence[str]) -> Values:
    """Counts under a closed label set: every allowed value is there, the rest is added up under "other"."""
    rest = sum(count for name, count in counts.items() if name not in allowed)
    values: dict[tuple[str, ...], float] = {(name,): float(counts.get(name, 0)) for name in allowed}
    values[(OTHER,)] = float(rest)
    return values


def _capped(values: Mapping[str, float]) -> Values:
    """Values under names that the policy closes: the first LABEL_VALUES_MAX in order of name, the rest added up under "other"."""
    names = sorted(values)
    shown: dict[tuple[str, ...], float] = {(name,): float(values[name]) for name in names[:LABEL_VALUES_MAX]}
    if len(names) > LABEL_VALUES_MAX:
        shown[(OTHER,)] = float(sum(values[name] for name in names[LABEL_VALUES_MAX:]))
    return shown


def _one(value: float | None) -> Values:
    return {} if value is None else {(): float(value)}


def _totals(g: Gauges) -> list[Row]:
    return [
        ("entries", "Entries of input records that the fold accepted, repeats left out, by kind.", ["kind"], _by(g.entries, ENTRY_KINDS)),
        ("verdicts", "Verdict versions decided, by verdict.", ["verdict"], _by(g.verdicts, VERDICTS)),
        ("findings", "Findings, by detector or invariant.", ["rule"], _by(g.findings, RULE_NAMES)),
        ("alerts", "Alerts raised, by kind.", ["kind"], _by(g.alerts, ALERT_KINDS)),
        ("reviews", "Odd withdrawals, by what became of their review.", ["review"], _by(g.reviews, REVIEWS)),
        ("clocks_missed", "Targets of incidents' clock sheets that were missed, by target.", ["target"], _by(g.clocks_missed, CLOCK_TARGETS)),
        ("decisions", "People's decisions, by outcome.", ["outcome"], _by(g.decisions, OUTCOMES)),
        ("findings_snoozed", "Findings that nobody was told of because their rule is snoozed for what they are about.", [], _one(g.findings_snoozed)),
        (
            "pages_put_off",
            "Small critical incidents that wake nobody for now, because more came at once than people are woken for.",
            [],
            _one(g.pages_put_off),
        ),
        ("pages_over_budget", "Incidents that nobody was woken for because the page budget was spent.", [], _one(g.pages_over_budget)),
        ("evictions", "Rows evicted because a table reached its limit.", ["table"], _by(g.evictions, TABLES)),
        ("ticks_refused", "Ticks refused because they were too far ahead of intake's clocks.", [], _one(g.ticks_refused)),
        ("ticks_ignored", "Ticks of older terms, ignored.", [], _one(g.ticks_ignored)),
        (
            "quarantined_entries",
            "Journal entries that a person or a repeated exception kept from the detectors or the fold.",
            [],
            _one(g.quarantined),
        ),
    ]


def _source_totals(g: Gauges) -> list[Row]:
    rejected: dict[tuple[str, ...], float] = {}
    for topic, reasons in g.rejected.items():
        for reason, count in reasons.items():
            key = (topic if topic in INPUT_TOPICS else OTHER, reason if reason in REASONS else OTHER)
            rejected[key] = rejected.get(key, 0.0) + count
    rejected = {(topic, reason): rejected.get((topic, reason), 0.0) for topic in (*INPUT_TOPICS, OTHER) for reason in (*REASONS, OTHER)}
    return [
        ("rejected_records", "Records rejected, once per source position, by topic and reason.", ["topic", "reason"], rejected),
        ("repeats", "Records read again and events sent again with the same content: dropped.", [], _one(g.repeats)),
        ("conflicts", "Events with the id of an earlier event and other content.", [], _one(g.conflicts)),
        ("holes", "Times that a source skipped offsets and was rewound or stopped.", [], _one(g.holes)),
        ("gaps", "Ranges of a source that are lost and were declared.", [], _one(g.gaps)),
    ]


def _coverage(g: Gauges) -> list[Row]:
    figures = g.coverage
    unit = 10**g.base_decimals

    def base(minor: int | None) -> Values:
        return _one(None if minor is None else minor / unit)

    if figures is None:
        available = held = paid = marked = uncovered = drain = None
        seconds: float | None = None
    else:
        available, held, paid = figures.available_base_minor, figures.held_base_minor, figures.paid_base_minor
        marked, uncovered, drain = figures.marked_base_minor, figures.uncovered_base_minor, figures.drain_base_minor_per_minute
        seconds = math.inf if figures.seconds_to_exhaustion is None else float(figures.seconds_to_exhaustion)
    return [
        ("coverage_available_base", "Reserve available, in the base currency.", [], base(available)),
        ("coverage_held_base", "Reserve held by marks, in the base currency.", [], base(held)),
        ("coverage_paid_base", "Reserve paid out, in the base currency.", [], base(paid)),
        ("coverage_marked_base", "Suspected amounts, in the base currency.", [], base(marked)),
        ("coverage_uncovered_base", "Suspected amounts that no layer carries, in the base currency.", [], base(uncovered)),
        ("coverage_drain_base_per_minute", "Newly marked value per minute, decayed, in the base currency.", [], base(drain)),
        ("coverage_exhaustion_seconds", "Time until the reserve is exhausted at this drain; +Inf while nothing drains.", [], _one(seconds)),
        ("coverage_exhausted", "1 while marks exceed the reserve.", [], _one(figures and figures.exhausted)),
        ("coverage_at_least", "1 while something marked has no price: the figures are lower bounds.", [], _one(figures and figures.at_least)),
    ]


def _risk(g: Gauges) -> list[Row]:
    risk, unit = g.risk, 10**g.base_decimals
    hot = None if risk is None or risk.customers_base_minor == 0 else risk.hot_base_minor / risk.customers_base_minor
    room: dict[tuple[str, ...], float] = {} if risk is None else {(cause,): risk.headroom_base_minor.get(cause, 0) / unit for cause in CAUSES}
    standings = Counter[str](figures.price for figures in g.assets.values())

    def base(minor: int | None) -> Values:
        return _one(None if minor is None else minor / unit)

    return [
        ("coverage_headroom_base", "What one further event of customers' losses could draw on, by cause, in the base currency.", ["cause"], room),
        ("customers_base", "Customers' assets in all wallets, in the base currency.", [], base(risk and risk.customers_base_minor)),
        ("customers_hot_base", "Customers' assets in hot wallets, in the base currency.", [], base(risk and risk.hot_base_minor)),
        ("customers_hot_share", "The hot part of customers' assets by value, from 0 to 1.", [], _one(hot)),
        (
            "hot_wallet_largest_base",
            "Value of the largest hot wallet of customers', in the base currency.",
            [],
            base(risk and risk.largest_wallet_base_minor),
        ),
        (
            "hot_wallet_uncovered_base",
            "The most that no layer would carry if one of the largest hot wallets were emptied, in the base currency.",
            [],
            base(risk and risk.largest_wallet_uncovered_base_minor),
        ),
        (
            "coverage_level",
            "The worst configured level of coverage that is crossed (percent, or minutes to exhaustion); 1 for an asset short of its guarantee.",
            ["measure"],
            _capped(g.levels),
        ),
        ("asset_prices", "Assets by how far their price can be relied on.", ["standing"], _by(standings, PRICE_STANDINGS)),
        ("providers", "Providers in the registry, by standing.", ["standing"], _by(g.providers, PROVIDER_STANDINGS)),
    ]


def _layers_and_assets(g: Gauges) -> list[Row]:
    layers: Mapping[str, LayerFigures] = g.layers
    assets: Mapping[str, AssetFigures] = g.assets
    parts: dict[tuple[str, ...], float] = {}
    for layer_id in sorted(layers)[:LABEL_VALUES_MAX]:  # parts of different units can't be added up: what exceeds the limit is left out
        layer = layers[layer_id]
        for part in ("funded", "recovered", "available", "held", "paid"):
            parts[(layer_id, layer.unit, part)] = getattr(layer, part + "_minor") / 10**layer.decimals
    base = 10**g.base_decimals
    marked = {asset: figures.marked_base_minor / base for asset, figures in assets.items()}
    uncovered = {asset: figures.uncovered_base_minor / base for asset, figures in assets.items()}
    return [
        ("layer_amount", "One reserve layer in its own unit: funded + recovered = available + held + paid.", ["layer", "unit", "part"], parts),
        ("asset_marked_base", "Suspected amounts of one asset, in the base currency.", ["asset"], _capped(marked)),
        (
            "asset_guarantee_shortfall",
            "What customers have more of an asset in hot wallets than its layers have, in its units.",
            ["asset"],
            {(name,): figures.guarantee_shortfall_minor / 10**figures.decimals for name, figures in sorted(assets.items())[:LABEL_VALUES_MAX]},
        ),
        ("asset_uncovered_base", "Suspected amounts of one asset that no layer carries, in the base currency.", ["asset"], _capped(uncovered)),
    ]


def _state(g: Gauges) -> list[Row]:
    sources: Mapping[str, SourceUse] = g.sources
    lag: dict[str, int] = {}
    states: dict[str, int] = {}
    for source, use in sources.items():
        topic = source.rpartition("/")[0]
        lag[topic] = lag.get(topic, 0) + max(0, use.log_end - use.next_offset)
        states[use.state] = states.get(use.state, 0) + 1
    tables = g.tables
    return [
        ("marks", "Marks that are kept, by state.", ["state"], _by(g.marks, MARK_STATES)),
        ("reviews_left", "Reviews that can be asked for at once before the day's budget is spent.", [], _one(g.reviews_left)),
        ("incidents", "Incidents kept, by state.", ["state"], _by(g.incidents, STAGES)),
        ("sources", "Sources (partitions of input topics) by how they stand.", ["state"], _by(states, SOURCE_STATES)),
        (
            "source_lag_records",
            "Records not accepted yet, as far as the journal tells, by input topic.",
            ["topic"],
            _by(lag, INPUT_TOPICS),
        ),
        ("table_rows", "Rows used of each bounded table.", ["table"], _by({name: use.used for name, use in tables.items()}, TABLES)),
        (
            "table_rows_limit",
            "Limit of each bounded table.",
            ["table"],
            _by({name: use.limit for name, use in tables.items()}, TABLES),
        ),
        ("core_time_seconds", "The core's time (from Ticks and intake's clocks), in seconds since 1970.", [], _one(g.time_ms / 1_000)),
        ("core_next_offset", "The next journal offset that the fold takes.", [], _one(g.next_offset)),
    ]


def _detectors(g: Gauges) -> list[Row]:
    detectors = dict(sorted(g.detectors.items())[:LABEL_VALUES_MAX])
    states: dict[tuple[str, ...], float] = {(name, state): float(use.state == state) for name, use in detectors.items() for state in DETECTOR_STATES}
    return [
        ("detector_state", "1 for the state that the detector is in.", ["detector", "state"], states),
        (
            "detector_observations",
            "Observations that the detector has scored.",
            ["detector"],
            {(n,): float(u.observations) for n, u in detectors.items()},
        ),
        (
            "detector_restarts",
            "Times that the detector failed and began afresh.",
            ["detector"],
            {(name,): float(use.restarts) for name, use in detectors.items()},
        ),
        (
            "detector_state_bytes",
            "Size of the detector's state when last measured; 0 if it doesn't vary.",
            ["detector"],
            {(name,): float(use.state_bytes) for name, use in detectors.items()},
        ),
        (
            "detector_last_run_timestamp_seconds",
            "The core's time when the detector last scored something; 0: never.",
            ["detector"],
            {(name,): use.last_run_ms / 1_000 for name, use in detectors.items()},
        ),
    ]
