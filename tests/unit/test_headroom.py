"""Headroom is of one further event, with limits and deductibles of events; a guarantee is what is kept as one."""

from typing import Any

import pytest

from monitor.policy import CoverageLevels, Layer
from tests.unit.story import Story
from tests.unit.test_coverage import THEFT, alerts, asset, coverage, funded, told

INSURED = (
    Layer("kind", "BTC", kind="guarantee", limit_per_event="0.5"),
    Layer("reserve", "JPY", deductible="100"),
    Layer("insurance", "JPY", kind="insurance", drawn="on_claim", limit_total="5000", limit_per_event="1000", deductible="300"),
)


def insured(*lines: str, **changes: Any) -> Story:
    """A story with layers of limits and deductibles: 1 BTC in kind, 1,000 JPY, and an insurance."""
    return funded(*lines, layers=INSURED, **changes)


def test_headroom_is_for_one_further_event_with_its_limits_and_deductibles() -> None:
    record = coverage(insured().tell("tick"))
    # 0.5 of 1 BTC in kind, 1,000 less 100, 1,000 of 5,000 less 300; all together could draw on 1,000 + 1,000 + 5,000.
    assert set(record["headroom_base_amount"].values()) == {"2100"}
    assert asset(record, "BTC")["headroom_base_amount"][THEFT] == "2100"
    assert record["available_base_amount"] == "7000"
    assert [layer["can_carry"] for layer in record["layers"]] == ["1", "1000", "5000", None]


def test_an_event_as_large_as_its_layers_is_paid_at_least_the_headroom() -> None:
    story = insured()
    told(story, "balances amount=0.1", "progress")
    story.tell("withdrawals status=requested balance_before=0 amount=2.5")  # 500 in kind, 1,000 and 1,000 could be carried
    [mark] = story.engine.state.marks.by_id.values()
    # 500 in kind; of the rest of 2,000 the reserve passes 100 by and takes 1,000; of the rest of 1,000 the insurance takes all but 300.
    assert (mark.base_minor, mark.uncovered_base_minor) == (2_500, 300)


def test_a_new_event_finds_its_limit_and_its_deductible_whole() -> None:
    story = insured("balances amount=3")
    story.tell("withdrawals status=requested balance_before=0 amount=3")  # 500 in kind, 1,000 of the reserve, 1,000 insured, 500 uncovered
    record = coverage(story.tell("tick"))
    assert (record["uncovered_base_amount"], record["available_base_amount"]) == ("500", "4500")
    assert record["headroom_base_amount"][THEFT] == "1200"  # 500 in kind and 1,000 less 300, as if nothing had been claimed for the first
    [wallet] = record["hot_wallets"]
    assert (wallet["base_amount"], wallet["uncovered_base_amount"]) == ("3000", "1500")


def test_an_emptied_wallet_is_one_event() -> None:
    [wallet] = coverage(insured("balances amount=4").tell("tick"))["hot_wallets"]
    # 500 in kind; 1,000 of 3,500; 1,000 of 2,500: more than that no layer carries, though 7,000 are available.
    assert (wallet["base_amount"], wallet["uncovered_base_amount"]) == ("4000", "1500")


def test_the_level_is_of_what_one_event_could_draw_on_at_first() -> None:
    story = insured(coverage_levels=CoverageLevels(headroom_percent=(50, 10), exhaustion_minutes=()))
    published = told(story, "balances amount=0.1", "progress", "withdrawals status=requested balance_before=0 amount=1.7")
    # 500 in kind, 1,000 of 1,200, 0 of the insurance's 200 below its deductible: left are 500 and 700 of 2,100.
    assert alerts(published) == ["page: More than is held: 1,700 JPY"]
    published = told(story, "reserves layer_id=kind unit=BTC action=draw amount=0.5")
    assert alerts(published) == ["notice: less than 50 % is left for one further event of unauthorized access: 700 JPY of 2100 JPY"]


# --- who is woken when the reserve is nearly used up ---

ASKED = "withdrawals status=requested balance_before=0 withdrawal_id={} amount={}"
LOWEST = CoverageLevels(headroom_percent=(10,), exhaustion_minutes=())


CROSSED = "less than 10 % is left for one further event of unauthorized access: 100 JPY of 2000 JPY"


def test_whom_a_page_has_just_woken_isnt_woken_again() -> None:
    story = funded(coverage_levels=LOWEST)
    published = story.tell(ASKED.format("w1", "1.9"))
    assert alerts(published) == ["page: More than is held: 1,900 JPY", f"notice: {CROSSED}"]
    page, level = [record for record in published if record["topic"] == "alerts"]
    assert "The reserve covers it. Left for one further event of unauthorized access: 100 JPY of 2,000 JPY, 5 %." in str(page["summary"])
    assert (level["severity"], level["incident_id"]) == ("critical", page["incident_id"])
    assert story.engine.state.incidents.counts.alerts == {"page": 1, "notice": 1}


@pytest.mark.parametrize(("later_ms", "kind"), [(59_000, "notice"), (60_000, "page")])
def test_a_minute_after_its_page_an_incident_that_uses_the_reserve_up_wakes_again(later_ms: int, kind: str) -> None:
    story = funded(coverage_levels=LOWEST)
    assert len(alerts(story.tell(ASKED.format("w1", "1.1")))) == 1
    story.now_ms += later_ms  # and a second for the line
    assert alerts(story.tell(ASKED.format("w2", "0.8"))) == [f"{kind}: {CROSSED}"]


def test_what_another_incident_has_paged_doesnt_count() -> None:
    story = funded(coverage_levels=LOWEST)
    story.tell(ASKED.format("w1", "1.1"))
    twice = "withdrawals status=requested withdrawal_id={} account_id=b address=b amount=0.8 idempotency_key=k"
    assert alerts(story.tell(twice.format("w2"))) == []
    assert alerts(story.tell(twice.format("w3"))) == ["notice: One request asked for again: 800 JPY", f"page: {CROSSED}"]


def test_where_nothing_is_set_aside_nothing_is_said_of_it() -> None:
    story = Story()
    told(story, "prices price=1000")
    [page] = [record for record in story.tell(ASKED.format("w1", "1")) if record["topic"] == "alerts"]
    assert "Left for" not in str(page["summary"])


# --- the guarantee ---


def test_only_a_guarantee_is_a_guarantee() -> None:
    layers = (Layer("kind", "BTC", kind="guarantee"), Layer("reserve", "BTC"), Layer("insurance", "BTC", kind="insurance"))
    story = Story(layers=layers, coverage_levels=CoverageLevels(hot_share_percent=()))
    told(story, "prices price=1000", *(f"reserves layer_id={layer.layer_id} unit=BTC amount=1" for layer in layers), "balances amount=3", "progress")
    published = story.tell("tick")
    assert (asset(coverage(published))["available"], asset(coverage(published))["guarantee_shortfall"]) == ("3", "2")
    assert alerts(published) == ["notice: missing of the same kind and quantity: 2 BTC (3 hot, 1 set aside)"]
    assert story.engine.gauges().assets["BTC"].guarantee_shortfall_minor == 2 * 10**8
