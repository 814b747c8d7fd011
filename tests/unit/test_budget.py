"""Budgets are ceilings in exact integers; one review per entity; what goes over is ranked; severe findings page all the same."""

import random
from collections.abc import Callable

import pytest

from monitor.budget import DAY_MS, HOUR_MS, OVERFLOW_MAX, Bucket, Reviews
from monitor.findings import Finding
from monitor.incident_state import IncidentState, Standing
from monitor.incidents import Incidents
from monitor.policy import Budget, Limits
from tests.simulation.journals import policy

NOW_MS = 1_700_000_000_000


@pytest.mark.parametrize(("capacity", "period_ms"), [(50, DAY_MS), (1, HOUR_MS), (7, 1_000)])
def test_a_bucket_never_gives_more_than_one_period_saved_and_what_came_in(capacity: int, period_ms: int) -> None:
    chance, bucket, now_ms, given = random.Random(capacity), Bucket(), NOW_MS, 0
    for _ in range(20_000):
        now_ms += int(chance.expovariate(20 * capacity / period_ms))
        given += bucket.take(now_ms, capacity, period_ms)
        assert given * period_ms <= capacity * (period_ms + now_ms - NOW_MS)
    assert given * period_ms >= 0.9 * capacity * (now_ms - NOW_MS) - 2 * period_ms  # who asks in vain loses the wait


def test_time_that_goes_back_gives_nothing() -> None:
    bucket = Bucket()
    assert bucket.take(NOW_MS, 1, HOUR_MS)
    assert not bucket.take(NOW_MS - DAY_MS, 1, HOUR_MS)
    assert not bucket.take(NOW_MS + HOUR_MS - 1, 1, HOUR_MS)
    assert bucket.take(NOW_MS + HOUR_MS, 1, HOUR_MS)


def test_one_review_per_entity_and_day() -> None:
    reviews, budget = Reviews(), Budget()
    assert reviews.ask("w1", ("account:1",), 1e-4, NOW_MS, budget) == "asked"
    assert reviews.ask("w2", ("account:1",), 1e-9, NOW_MS + 1_000, budget) == "joined"
    assert reviews.ask("w3", ("account:2",), 1e-4, NOW_MS + 1_000, budget) == "asked"
    assert reviews.ask("w4", ("account:1", "address:5"), 1e-4, NOW_MS + 2_000, budget) == "asked"  # the address is news
    assert reviews.ask("w5", ("account:2",), 1e-4, NOW_MS + 1_000 + DAY_MS, budget) == "asked"
    reviews.forget(["account:2"])
    assert reviews.ask("w6", ("account:2",), 1e-4, NOW_MS + 2_000 + DAY_MS, budget) == "asked"


def test_what_goes_over_is_ranked_kept_for_a_day_and_bounded() -> None:
    reviews, budget = Reviews(), Budget(reviews_per_day=1)
    assert reviews.ask("first", ("account:0",), 0.5, NOW_MS, budget) == "asked"
    for number in range(1, OVERFLOW_MAX + 50):
        assert reviews.ask(f"w{number}", (f"account:{number}",), 1.0 / number, NOW_MS + number, budget) == "over_budget"
    assert reviews.rank(f"w{OVERFLOW_MAX + 49}") == 1
    assert reviews.rank("w1") == 0 and len(reviews.overflow) == OVERFLOW_MAX
    assert [one.p_value for one in reviews.overflow] == sorted(one.p_value for one in reviews.overflow)
    assert reviews.ask("later", ("account:-1",), 0.1, NOW_MS + DAY_MS + 10, budget) == "asked"
    assert reviews.ask("last", ("account:-2",), 0.1, NOW_MS + 2 * DAY_MS, budget) == "over_budget"
    assert [one.withdrawal_id for one in reviews.overflow] == ["last"]


def found(incidents: Incidents, rule: str, key: str, bucket: Bucket, now_ms: int = NOW_MS) -> str | None:
    incident = incidents.join(Finding(rule, "why", now_ms, (key,)), now_ms, DAY_MS, f"incident-{key}", Limits()).incident
    return told(incidents, incident, lambda: bucket.take(now_ms, 1, HOUR_MS))


def told(incidents: Incidents, incident: IncidentState, allow: Callable[[], bool]) -> str | None:
    due = incidents.alert_due(incident, NOW_MS, allow)
    return None if due is None else due[0]


def test_a_detectors_page_waits_for_the_budget_and_what_is_severe_does_not() -> None:
    incidents, bucket = Incidents(policy()), Bucket()
    assert found(incidents, "wallet_outflow", "one", bucket) == "page"
    assert found(incidents, "wallet_outflow", "two", bucket) == "notice"
    assert found(incidents, "wallet_outflow", "two", bucket) is None
    assert incidents.counts.over_budget == 1  # counted once
    assert found(incidents, "redirect", "two", bucket) == "page"  # an invariant joins it
    assert found(incidents, "double_payout", "three", bucket) == "page"
    assert found(incidents, "wallet_outflow", "four", bucket) == "notice"
    assert found(incidents, "wallet_outflow", "four", bucket, NOW_MS + HOUR_MS) == "page"  # it asks again, and there is one
    incidents.changed("incident-one", "mark", None, Standing(1, "JPY", 10_000_000, 10_000_000, 0), NOW_MS)
    assert told(incidents, incidents.by_id["incident-one"], lambda: False) == "page"  # the value makes it severe
