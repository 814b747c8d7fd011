"""Health: what is wrong is named, ordered, and goes away when it is mended."""

import pytest

from monitor.gauges import SourceUse, TableUse
from streams.health import Condition, Health, tell_sources, tell_tables


def started() -> Health:
    health = Health()
    health.clear(Condition.STARTING)
    return health


def test_a_fresh_worker_is_alive_and_not_ready() -> None:
    health = Health()
    assert (health.ready(), health.alive(), health.sentences()) == (False, True, ["The worker is starting."])


def test_conditions_are_told_in_one_order_and_replaced_by_name() -> None:
    health = started()
    health.set(Condition.SNAPSHOT_STORE, "Full.")
    health.set("broker_unreachable", "Gone.")
    health.set(Condition.SNAPSHOT_STORE, "Still full.")
    assert health.sentences() == ["Gone.", "Still full."]
    health.clear(Condition.BROKER_UNREACHABLE)
    health.clear(Condition.BROKER_UNREACHABLE)
    health.clear(Condition.SNAPSHOT_STORE)
    assert health.ready()


def test_a_name_that_is_no_condition_is_refused() -> None:
    with pytest.raises(ValueError, match="nonsense"):
        Health().set("nonsense", "x")


@pytest.mark.parametrize("condition", [Condition.INTAKE_CRASHED, Condition.CORE_CRASHED])
def test_a_crash_is_not_alive(condition: Condition) -> None:
    health = started()
    health.set(condition, "It crashed.")
    assert not health.alive()


def test_stopped_sources_are_told_and_forgotten() -> None:
    health = started()
    tell_sources(health, {f"withdrawals/{number}": SourceUse(1, 5, "replaced") for number in range(7)} | {"outflows/0": SourceUse(1, 5, "hole")})
    assert health.conditions()["source_stopped"] == (
        "Stopped until a person accepts them, because another log stands under their names: withdrawals/0, withdrawals/1, withdrawals/2, "
        "withdrawals/3, withdrawals/4 and 2 more (`sources accept`). Stopped at a hole until they are read again: outflows/0 (`sources show`)."
    )
    tell_sources(health, {"withdrawals/0": SourceUse(1, 5, "blind"), "outflows/0": SourceUse(1, 5, "reading")})
    assert health.ready()
    tell_sources(health, {"withdrawals/0": SourceUse(1, 5, "replaced")})
    tell_sources(health, {})
    assert health.ready()


def test_what_is_kept_beyond_its_limit_is_told_and_forgotten() -> None:
    health = started()
    tell_tables(health, {"mark": TableUse(65, 64), "incident": TableUse(64, 64), "label": TableUse(70, 64)})
    assert health.conditions()["kept_over_limit"] == (
        "More stands than the limits are made for, and is kept all the same: 65 marks (policy.limits.marks is 64). Decide about them, or raise the limits."
    )
    tell_tables(health, {"mark": TableUse(64, 64), "incident": TableUse(64, 64)})
    assert health.ready()
    tell_tables(health, {"incident": TableUse(65, 64)})
    tell_tables(health, {})
    assert health.ready()
