"""Metrics: closed labels, totals from the fold's state, and a format that promtool accepts."""

import subprocess

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from monitor import entries
from monitor.engine import Engine
from monitor.gauges import AssetFigures, CoverageFigures, DetectorUse, Gauges, LayerFigures, RiskFigures, SourceUse, TableUse
from monitor.reasons import Reason
from monitor.version import ENGINE_VERSION
from streams.health import Condition, Health
from streams.metrics import Metrics
from streams.settings import Settings


def gauges() -> Gauges:
    """A picture with something in every field."""
    return Gauges(
        journal_id="a" * 64, term="t-1", next_offset=1_000, time_ms=1_700_000_000_500, base_currency="JPY", base_decimals=0,
        entries={"withdrawal": 900, "rejected": 5, "unheard-of": 1}, verdicts={"CLEAR": 890, "HOLD": 7, "UNSCORED": 3},
        rejected={"withdrawals": {"bad_json": 3}, "unheard-of": {"unheard-of": 2}}, repeats=5, conflicts=1, holes=1, gaps=1, ticks_refused=1,
        ticks_ignored=2, quarantined=1, marks={"suspected": 7, "cleared": 1}, incidents={"new": 2, "closed": 1}, clocks_missed={"halted": 1}, alerts={"page": 1, "notice": 4},
        findings={"redirect": 2}, tables={"account": TableUse(10, 2_000_000)}, evictions={"account": 4},
        sources={"withdrawals/0": SourceUse(90, 100, "reading"), "withdrawals/1": SourceUse(10, 15, "blind"), "outflows/0": SourceUse(5, 5, "hole")},
        detectors={"account_lane": DetectorUse("READY", 900, 1_700_000_000_000)},
        coverage=CoverageFigures(1_000, 200, 0, 250, 50, 10, None, exhausted=False, at_least=True),
        layers={"guarantee-btc": LayerFigures("BTC", 8, 200_000_000, 0, 150_000_000, 50_000_000, 0)},
        assets={"BTC": AssetFigures(8, 50_000_000, 0, 250, 50, 900_000_000, 300_000_000, 150_000_000, "jumped")},
        risk=RiskFigures({"unauthorized_access": 900, "system_failure": 800, "undecided": 700}, 10_000, 400, 300, 20),
        levels={"headroom": 50, "guarantee BTC": 1}, providers={"registered": 2, "none": 1},
    )  # fmt: skip


def metrics() -> Metrics:
    return Metrics(CollectorRegistry(), Health())


def samples(of: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by (name, labels), read back by the library's own parser."""
    families = text_string_to_metric_families(of.render().decode())
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for family in families for s in family.samples}


def value(of: Metrics, name: str, **labels: str) -> float | None:
    return samples(of).get(("withdrawal_monitor_" + name, tuple(sorted(labels.items()))))


@pytest.mark.promtool
def test_metrics_promtool_accepts_them() -> None:
    full = metrics()
    use_everything(full)
    for these in (metrics(), full):
        checked = subprocess.run(["promtool", "check", "metrics"], input=these.render(), capture_output=True, check=False)
        assert (checked.returncode, checked.stderr, checked.stdout) == (0, b"", b"")


def use_everything(of: Metrics) -> None:
    of.intake_round("withdrawals", 10, {Reason.BAD_JSON: 1}, 4_000)
    of.intake_round_time(0.01)
    of.intake_sources(4, 12, 3)
    of.dead_letters("withdrawals", 1)
    of.rewound()
    of.core_owner(owner=True)
    of.core_round(10, {"verdicts": 9}, 0.02)
    of.journal_lag(3)
    of.verdict_latency([0.004, 0.2, -1.0, 1_000.0])
    of.core_gauges(gauges())
    of.core_restarted()
    of.produce_failed("core")
    of.snapshot(0.5, 1_000_000, 1_700_000_000_000)
    of.snapshot_failed()
    of.snapshot_refused("torn")


def test_unknown_label_values_overflow_into_other() -> None:
    of = metrics()
    before = set(samples(of))
    of.intake_round("nonsense", 2, {}, 0)
    of.core_round(1, {"nonsense": 3}, 0.1)
    of.snapshot_refused("nonsense")
    of.produce_failed("nonsense")
    of.dead_letters("nonsense", 4)
    assert value(of, "intake_records_total", topic="other") == 2
    assert value(of, "core_outputs_total", topic="other") == 3
    assert value(of, "dead_letters_total", topic="other") == 4
    assert set(samples(of)) == before, "a label value from outside made a new series"


def test_totals_come_from_the_folds_state_and_are_not_counted_twice() -> None:
    of = metrics()
    of.core_owner(owner=True)
    of.core_gauges(gauges())
    of.core_gauges(gauges())
    assert value(of, "verdicts_total", verdict="HOLD") == 7
    assert value(of, "verdicts_total", verdict="WATCH") == 0
    assert value(of, "rejected_records_total", topic="withdrawals", reason="bad_json") == 3
    assert value(of, "rejected_records_total", topic="other", reason="other") == 2
    assert value(of, "entries_total", kind="other") == 1


def test_figures_of_the_fold_are_shown_only_by_the_owner() -> None:
    of = metrics()
    assert value(of, "core_owner") == 0
    assert value(of, "coverage_available_base") is None
    of.core_owner(owner=True)
    of.core_gauges(gauges())
    assert value(of, "core_owner") == 1
    assert value(of, "coverage_available_base") == 1_000
    assert value(of, "coverage_exhaustion_seconds") == float("inf")
    assert value(of, "layer_amount", layer="guarantee-btc", unit="BTC", part="held") == 0.5
    of.core_owner(owner=False)
    assert value(of, "core_owner") == 0
    assert value(of, "coverage_available_base") is None
    assert of.gauges() is None


def test_what_is_at_risk_is_shown() -> None:
    of = metrics()
    of.core_gauges(gauges())
    assert value(of, "coverage_headroom_base", cause="system_failure") == 800
    assert (value(of, "customers_hot_base"), value(of, "customers_hot_share")) == (400, 0.04)
    assert (value(of, "hot_wallet_largest_base"), value(of, "hot_wallet_uncovered_base")) == (300, 20)
    assert (value(of, "coverage_level", measure="headroom"), value(of, "coverage_level", measure="guarantee BTC")) == (50, 1)
    assert value(of, "asset_guarantee_shortfall", asset="BTC") == 1.5
    assert (value(of, "asset_prices", standing="jumped"), value(of, "asset_prices", standing="fresh")) == (1, 0)
    assert (value(of, "providers", standing="none"), value(of, "providers", standing="notified")) == (1, 0)


def test_without_customers_assets_there_is_no_hot_share() -> None:
    of, picture = metrics(), gauges()
    nothing = RiskFigures({}, 0, 0, 0, 0)
    of.core_gauges(type(picture)(**{name: getattr(picture, name) for name in picture.__struct_fields__} | {"risk": nothing}))
    assert (value(of, "customers_hot_share"), value(of, "customers_base")) == (None, 0)


def test_sources_are_added_up_by_topic_and_state() -> None:
    of = metrics()
    of.core_gauges(gauges())
    assert value(of, "source_lag_records", topic="withdrawals") == 15
    assert value(of, "sources", state="blind") == 1
    assert value(of, "table_rows_limit", table="account") == 2_000_000


def test_more_assets_than_the_limit_add_up_under_other() -> None:
    of = metrics()
    many = {f"A{number:04}": AssetFigures(8, 0, 0, 10, 0) for number in range(130)}
    picture = gauges()
    of.core_gauges(type(picture)(**{name: getattr(picture, name) for name in picture.__struct_fields__} | {"assets": many}))
    assert value(of, "asset_marked_base", asset="other") == 300
    assert sum(1 for name, _ in samples(of) if name == "withdrawal_monitor_asset_marked_base") == 101


def test_what_the_engine_shows_needs_no_overflow_label() -> None:
    engine = Engine("0" * 64)
    policy = Settings().policy
    engine.fold(0, [entries.term("t", ENGINE_VERSION, policy, {"withdrawals": 1}, 1_000), entries.tick("t", 2_000)])
    of = metrics()
    of.core_gauges(engine.gauges())
    shown = samples(of)
    overflowing = {name for (name, labels), count in shown.items() if count and "other" in dict(labels).values()}
    assert overflowing == set()
    assert value(of, "table_rows_limit", table="mark") == policy.limits.marks
    assert value(of, "coverage_available_base") == 0


def test_latency_counts_a_whole_round_and_its_tail() -> None:
    of = metrics()
    of.verdict_latency([0.004, 0.005, 0.2, -1.0, 1_000.0])
    of.verdict_latency([])
    assert value(of, "verdict_latency_seconds_bucket", le="0.005") == 3
    assert value(of, "verdict_latency_seconds_bucket", le="0.25") == 4
    assert value(of, "verdict_latency_seconds_count") == 5
    assert value(of, "verdict_latency_seconds_sum") == pytest.approx(1_000.209)


def test_conditions_are_a_metric() -> None:
    health = Health()
    of = Metrics(CollectorRegistry(), health)
    assert value(of, "condition", condition="starting") == 1
    health.clear(Condition.STARTING)
    health.set(Condition.SNAPSHOT_STORE, "The snapshot store is full.")
    assert value(of, "condition", condition="starting") == 0
    assert value(of, "condition", condition="snapshot_store") == 1
    assert health.sentences() == ["The snapshot store is full."]
    assert not health.ready()
    assert health.alive()
