"""Coverage: headroom, what is at risk in hot wallets, the hot share, the guarantee, prices that can't be relied on, and levels told once."""

import random
from typing import Any

import pytest
from msgspec.structs import replace

from monitor import entries
from monitor.contracts.outputs import Severity
from monitor.engine import Engine
from monitor.exposure import LARGEST_KEPT, Exposure, WalletBalance
from monitor.findings import rule_of
from monitor.levels import Levels
from monitor.policy import CoverageLevels, Layer
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story

THEFT = "unauthorized_access"


def coverage(published: list[dict[str, object]]) -> Any:
    """The newest coverage among what was published."""
    return [record for record in published if record["topic"] == "coverage"][-1]


def asset(record: Any, name: str = "BTC") -> Any:
    """The row of one asset."""
    return next(row for row in record["assets"] if row["asset"] == name)


def alerts(published: list[dict[str, object]]) -> list[str]:
    """Kind and title of each alert, those of levels with their summary."""
    return [
        f"{record['kind']}: {record['summary'] if str(record['alert_id']).startswith('level-') else record['title']}"
        for record in published
        if record["topic"] == "alerts"
    ]


def told(story: Story, *lines: str) -> list[dict[str, object]]:
    """All that the lines cause."""
    return [record for line in lines for record in story.tell(line)]


def funded(*lines: str, **changes: Any) -> Story:
    """A story with 1 BTC in kind and 1,000 JPY, BTC at 1,000 JPY; everything read to its end."""
    story = Story(**changes)
    told(story, "prices price=1000", "reserves layer_id=kind unit=BTC amount=1", "reserves layer_id=reserve unit=JPY amount=1000", *lines, "progress")
    return story


# --- headroom and what is at risk ---


def test_headroom_is_what_a_loss_of_a_cause_and_an_asset_can_draw_on() -> None:
    story = Story()
    layers = (Layer("kind", "BTC"), Layer("theft-only", "JPY", causes=("unauthorized_access",)), Layer("reserve", "JPY"))
    story.engine.state.configure(replaced(story, layers=layers))
    told(story, "prices price=1000", "reserves layer_id=kind unit=BTC amount=2", "reserves layer_id=theft-only unit=JPY amount=300")
    record = coverage(story.tell("reserves layer_id=reserve unit=JPY amount=50"))
    assert record["headroom_base_amount"] == {THEFT: "2350", "system_failure": "2050", "undecided": "2050"}
    whole = coverage(told(story, "balances asset=ETH amount=1", "tick"))
    assert asset(whole, "ETH")["headroom_base_amount"] == {THEFT: "350", "system_failure": "50", "undecided": "50"}
    assert asset(whole, "BTC")["headroom_base_amount"][THEFT] == "2350"


def replaced(story: Story, **changes: Any) -> Any:
    """The story's policy with something changed."""
    return replace(story.engine.state.policy, **changes)


def test_an_emptied_hot_wallet_beside_what_would_carry_it() -> None:
    story = funded("balances wallet_id=large amount=5 provider_id=p", "balances wallet_id=small amount=1", "balances wallet_id=none amount=0")
    large, small = coverage(story.tell("tick"))["hot_wallets"]
    # 5 BTC are 5,000: 1 in kind, 1,000 in money, 3,000 carried by nobody.
    assert (large["wallet_id"], large["provider_id"], large["base_amount"], large["uncovered_base_amount"]) == ("large", "p", "5000", "3000")
    assert (small["wallet_id"], small["uncovered_base_amount"]) == ("small", "0")
    # A mark takes of the same headroom.
    record = coverage(story.tell("withdrawals status=requested balance_before=0"))
    assert [(row["wallet_id"], row["uncovered_base_amount"]) for row in record["hot_wallets"]] == [("large", "4000")]


def test_cold_wallets_and_own_ones_are_not_hot_and_own_ones_are_nobodys() -> None:
    story = funded(
        "balances wallet_id=hot amount=2", "balances wallet_id=cold amount=50 temperature=cold", "balances wallet_id=own amount=9 owner=exchange",
    )  # fmt: skip
    record = coverage(story.tell("tick"))
    assert (asset(record)["customers"], asset(record)["customers_hot"]) == ("52", "2")
    assert (record["customers_base_amount"], record["hot_base_amount"], record["hot_share_percent"]) == ("52000", "2000", "3.85")
    assert [wallet["wallet_id"] for wallet in record["hot_wallets"]] == ["hot"]
    assert asset(record)["guarantee_shortfall"] == "1"


def test_a_wallet_that_changes_hands_or_cools_down_is_counted_anew() -> None:
    story = funded("balances amount=2", "balances temperature=cold amount=2")
    record = coverage(story.tell("tick"))
    assert (asset(record)["customers"], asset(record)["customers_hot"], record["hot_wallets"]) == ("2", "0", [])
    record = coverage(told(story, "balances amount=3 owner=exchange", "tick"))
    assert (asset(record)["customers"], record["customers_base_amount"], record["hot_share_percent"]) == ("0", "0", None)
    record = coverage(told(story, "balances amount=4", "tick"))
    assert (asset(record)["customers_hot"], record["hot_share_percent"]) == ("4", "100")


def test_an_older_balance_changes_nothing() -> None:
    story = funded("balances amount=2")
    record = coverage(told(story, f"balances amount=9 occurred_at_ms={story.now_ms - 60_000}", "tick"))
    assert asset(record)["customers_hot"] == "2"


def test_an_entry_that_moves_many_marks_tells_coverage_once_and_after_them() -> None:
    story = Story()
    lost = [f"withdrawals status=requested withdrawal_id=w{number} balance_before=0" for number in range(3)]
    told(story, "reserves layer_id=reserve unit=JPY amount=5000", *lost)
    topics = [str(record["topic"]) for record in story.tell("prices price=1000")]  # it values all three
    assert [topic for topic in topics if topic in ("marks", "coverage")] == ["marks", "marks", "marks", "coverage"]


def test_nothing_divides_by_zero() -> None:
    record = coverage(Story().tell("tick"))
    assert (record["hot_share_percent"], record["seconds_to_exhaustion"], record["hot_wallets"]) == (None, None, [])
    story = Story()
    told(story, "balances amount=0", "progress")
    record = coverage(story.tell("tick"))
    assert (record["hot_share_percent"], record["customers_base_amount"], asset(record)["guarantee_shortfall"]) == (None, "0", "0")


def test_the_hot_share_waits_for_all_balances_and_ends_when_one_can_not_be_kept() -> None:
    story = Story()
    told(story, "prices price=1000", "balances amount=1")
    assert coverage(story.tell("tick"))["hot_share_percent"] is None
    assert coverage(told(story, "progress", "tick"))["hot_share_percent"] == "100"
    story.engine.state.held.overflown = True
    assert coverage(story.tell("tick"))["hot_share_percent"] is None


def test_money_in_the_bank_is_no_crypto_asset() -> None:
    story = funded("balances amount=1", "balances wallet_id=bank asset=JPY amount=1000000 temperature=cold")
    record = coverage(story.tell("tick"))
    assert (record["customers_base_amount"], record["hot_share_percent"], asset(record, "JPY")["guarantee_shortfall"]) == ("1000", "100", "0")


def test_the_guarantee_counts_what_is_held_and_not_what_is_paid() -> None:
    story = funded("balances amount=3")
    assert asset(coverage(story.tell("tick")))["guarantee_shortfall"] == "2"
    story.tell("withdrawals status=requested balance_before=0")
    row = asset(coverage(story.tell("tick")))
    assert (row["available"], row["held"], row["guarantee_shortfall"]) == ("0", "1", "2")


# --- prices ---


def test_without_a_price_units_are_known_and_values_are_not() -> None:
    story = Story()
    told(story, "balances amount=3", "progress")
    row = asset(coverage(story.tell("tick")))
    assert (row["customers_hot"], row["price"], row["price_standing"]) == ("3", None, "missing")
    record = coverage(told(story, "prices price=7", "tick"))
    assert (record["hot_base_amount"], asset(record)["price_standing"]) == ("21", "fresh")


def test_a_stale_price_is_said_and_still_values_what_is_exposed() -> None:
    story = funded("balances amount=3", price_stale_after_ms=5_000)
    record = coverage(told(story, *["tick"] * 6))
    assert (asset(record)["price_standing"], record["hot_base_amount"]) == ("stale", "3000")


@pytest.mark.parametrize("jump", ["1201", "799"])
def test_a_price_that_jumps_counts_only_once_the_next_is_near_it(jump: str) -> None:
    story = funded("balances amount=2")
    published = story.tell(f"prices price={jump}")
    assert [record["what"] for record in published] == ["price-jumped"]
    record = coverage(story.tell("withdrawals status=requested balance_before=0"))
    assert (record["at_least"], asset(record)["unpriced"], asset(record)["price"], asset(record)["price_standing"]) == (True, "1", "1000", "jumped")
    published = story.tell(f"prices price={int(jump) + 5}")
    record = coverage(published)
    assert (record["at_least"], record["marked_base_amount"], asset(record)["price_standing"]) == (False, str(int(jump) + 5), "fresh")
    assert record["hot_base_amount"] == str(2 * (int(jump) + 5))
    assert [mark["version"] for mark in published if mark["topic"] == "marks"] == [2]


def test_a_price_that_moves_by_just_as_much_does_not_jump() -> None:
    story = funded()
    assert story.tell("prices price=1200") == []
    assert story.engine.state.marks.price_standing("BTC", story.now_ms) == "fresh"


def test_a_jump_that_was_a_mistake_is_over_with_the_next_price_near_the_old_one() -> None:
    story = funded()
    told(story, "prices price=1000000", "withdrawals status=requested balance_before=0")
    record = coverage(story.tell("prices price=1010"))
    assert (asset(record)["price"], asset(record)["price_standing"], record["marked_base_amount"]) == ("1010", "fresh", "1010")


def test_a_jump_after_a_jump_still_waits_and_the_same_moment_confirms_nothing() -> None:
    story = funded()
    told(story, "prices price=2000", f"prices price=2001 occurred_at_ms={story.now_ms + 1_000}")
    marks = story.engine.state.marks
    assert (marks.price_standing("BTC", story.now_ms), marks.prices.jumped["BTC"].text) == ("jumped", "2001")
    story.tell("prices price=4000")
    assert (marks.prices.newest["BTC"].text, marks.prices.jumped["BTC"].text) == ("1000", "4000")
    story.tell(f"prices price=4000 occurred_at_ms={story.now_ms - 60_000}")  # older than the one that waits
    assert marks.price_standing("BTC", story.now_ms) == "jumped"
    story.tell(f"prices price=3900 occurred_at_ms={story.now_ms - 1_500}")  # older than that one and as far off: it confirms nothing
    assert (marks.prices.newest["BTC"].text, marks.prices.jumped["BTC"].text) == ("1000", "4000")
    story.tell("prices price=3999")
    assert (marks.prices.newest["BTC"].text, marks.prices.jumped) == ("3999", {})


# --- levels ---


def test_a_level_is_told_once_and_the_deepest_of_several_alone() -> None:
    story = funded()  # 2,000 in all
    request = "withdrawals status=requested balance_before=0 withdrawal_id={} amount={}"
    assert alerts(story.tell(request.format("w1", "1.1"))) == [
        "page: More than is held: 1,100 JPY",
        "notice: less than 50 % is left for one further event of unauthorized access: 900 JPY of 2000 JPY",
        "notice: 900 JPY last 5 min at a drain of 152 JPY a minute",
    ]
    published = story.tell(request.format("w2", "0.01"))
    assert alerts(published) == []
    story.now_ms += 60_000  # whom its page has woken within a minute isn't woken again
    published = story.tell(request.format("w3", "0.8"))
    assert alerts(published) == [
        "page: less than 10 % is left for one further event of unauthorized access: 90 JPY of 2000 JPY"
    ]  # 25 isn't told beside it
    page = next(record for record in published if record["topic"] == "alerts")
    mark = next(record for record in published if record["topic"] == "marks")
    assert (page["severity"], page["incident_id"]) == ("critical", mark["incident_id"])
    assert alerts(told(story, "progress", "tick", "progress", "tick")) == []


def test_funding_and_drawing_cross_levels_too() -> None:
    story = funded()
    assert alerts(story.tell("reserves layer_id=reserve action=draw unit=JPY amount=900")) == []  # what is set aside falls with it
    story.tell("withdrawals status=requested balance_before=0 amount=0.52")  # 580 of 1,100 are left
    assert alerts(story.tell("reserves layer_id=reserve action=draw unit=JPY amount=100")) == [
        "notice: less than 50 % is left for one further event of unauthorized access: 480 JPY of 1000 JPY"
    ]


def test_nothing_set_aside_has_no_level() -> None:
    story = Story()
    assert alerts(told(story, "prices price=1000", "withdrawals status=requested balance_before=0", "tick")) == ["page: More than is held: 1,000 JPY"]


def falls(levels: Levels, left: int, *configured: int) -> int | None:
    """What is told when so much is left; over a level it is from 5 % above it on."""
    return levels.look("headroom", configured, falling=True, crossed=lambda level: left < level, over=lambda level: left * 100 >= level * 105)


def test_a_level_that_flaps_is_told_once_and_again_only_after_it_was_over() -> None:
    levels = Levels()
    assert [falls(levels, left, 25, 50) for left in (60, 49, 51, 49, 52, 48, 53, 49)] == [None, 50, None, None, None, None, None, 50]


def test_going_back_above_the_deeper_level_rearms_that_one_alone() -> None:
    levels = Levels()
    assert [falls(levels, left, 50, 25) for left in (20, 30, 20, 60, 20)] == [25, None, 25, None, 25]


def test_a_rising_measure_and_other_levels_in_a_new_policy() -> None:
    levels = Levels()

    def look(hot: int, *configured: int) -> int | None:
        return levels.look("hot", configured, falling=False, crossed=lambda level: hot > level, over=lambda level: hot * 100 <= level * 95)

    assert [look(6, 5, 8), look(9, 5, 8), look(9, 5, 8), look(8, 5, 8)] == [5, 8, None, None]
    assert look(9, 7) is None  # worse was told before
    assert levels.told == {"hot": 7}
    assert [look(4, 7), look(9, 7)] == [None, 7]


def test_the_hot_share_and_the_guarantee_are_told_once_and_named_together() -> None:
    story = funded("prices asset=ETH price=100", "balances amount=3", "balances wallet_id=e asset=ETH amount=10")
    story.tell("balances wallet_id=cold amount=10 temperature=cold")
    assert alerts(story.tell("tick")) == [
        "notice: 28.58 % of customers' assets is in hot wallets, 4000 JPY of 14000 JPY; at most 5 % should be",
        "notice: missing of the same kind and quantity: 2 BTC (3 hot, 1 set aside), 10 ETH (10 hot, 0 set aside)",
    ]
    assert alerts(told(story, "tick", "balances amount=4", "tick")) == []
    assert alerts(told(story, "balances amount=0.98", "tick", "balances amount=1.01", "tick")) == []  # within the band
    published = told(story, "progress", "balances amount=0.95", "tick", "balances amount=1.01", "tick")
    assert alerts(published) == ["notice: missing of the same kind and quantity: 0.01 BTC (1.01 hot, 1 set aside)"]


def test_an_exchange_within_the_rules_is_told_nothing() -> None:
    story = funded("balances amount=0.9", "balances wallet_id=cold amount=20 temperature=cold")
    assert alerts(told(story, "tick", "prices price=1100", "tick", "prices price=900", "tick")) == []


def test_levels_wait_until_what_they_compare_was_read() -> None:
    story = Story()
    assert alerts(told(story, "balances amount=3", "prices price=1000", "tick", "tick")) == []
    assert len(alerts(told(story, "progress", "tick"))) == 2


def test_each_level_waits_for_its_own_topics() -> None:
    story = Story()
    told(story, "balances amount=3", "prices price=1000")

    def read(topic: str) -> list[str]:
        """How the alerts begin that come once the topic was read to its end."""
        position = story.writer.next.get(topic, 0)
        story.feed(entries.progress(f"{topic}/0", position, position, story.now_ms))
        return [alert.split()[1] for alert in alerts(story.tell("tick"))]

    assert [read("balances"), read("prices"), read("reserves")] == [[], ["100"], ["missing"]]


def test_rules_that_are_off_are_not_told_and_the_guarantee_may_be_left_to_others() -> None:
    story = funded("balances amount=3", rules_off=("hot_share_high",), coverage_levels=CoverageLevels(guarantee=False))
    assert alerts(story.tell("tick")) == []
    assert story.engine.gauges().levels == {"hot share": 5}


@pytest.mark.parametrize(("rule", "severity"), [("headroom_low", "warning"), ("reserve_nearly_used_up", "critical"), ("hot_share_high", "warning")])
def test_only_a_reserve_nearly_used_up_wakes_somebody(rule: str, severity: Severity) -> None:
    assert rule_of(rule).severity == severity


# --- sums kept as they come equal sums over everything ---


def counted(balances: dict[str, WalletBalance], name: str) -> tuple[int, int, list[tuple[str, int]]]:
    """Customers', hot, and the largest hot wallets of an asset, by counting."""
    mine = {key.rpartition(" ")[0]: balance for key, balance in balances.items() if key.endswith(f" {name}") and balance.customers}
    hot = {wallet: balance.amount_minor for wallet, balance in mine.items() if balance.hot}
    largest = sorted(((wallet, minor) for wallet, minor in hot.items() if minor), key=lambda held: (-held[1], held[0]))[:LARGEST_KEPT]
    return sum(balance.amount_minor for balance in mine.values()), sum(hot.values()), largest


@pytest.mark.parametrize("seed", range(5))
def test_exposure_kept_as_it_comes_equals_exposure_counted(seed: int) -> None:
    rng, exposure, balances, prices = random.Random(seed), Exposure(), dict[str, WalletBalance](), {"A": 3, "B": 7}

    def value(name: str, minor: int) -> int | None:
        return minor * prices[name] if name in prices else None

    for at_ms in range(2_000):
        name, wallet = rng.choice("ABC"), f"w{rng.randrange(25)}"
        balance = WalletBalance(rng.randrange(0, 12), at_ms, hot=rng.random() < 0.7, customers=rng.random() < 0.8)
        exposure.move(wallet, name, balances.get(f"{wallet} {name}"), balance)
        balances[f"{wallet} {name}"] = balance
        if rng.random() < 0.1:
            prices[rng.choice("AB")] = rng.randrange(1, 9)
            for each in prices:
                exposure.revalue(each, value)
        exposure.revalue(name, value)
        if rng.random() < 0.3:
            exposed = exposure.by_asset.get(name)
            if exposed is not None:
                assert (exposed.customers_minor, exposed.hot_minor, exposed.largest()) == counted(balances, name)
    whole = {name: counted(balances, name) for name in prices}
    assert exposure.customers_base_minor == sum(prices[name] * customers for name, (customers, _, _) in whole.items())
    assert exposure.hot_base_minor == sum(prices[name] * hot for name, (_, hot, _) in whole.items())


def test_restored_is_never_stopped() -> None:
    story = funded("balances amount=3", "balances wallet_id=e asset=ETH amount=10", "prices asset=ETH price=100", "providers provider_id=p")
    story.tell("tick")
    story.tell("prices price=5000")
    story.tell("withdrawals status=requested provider_id=unknown balance_before=0")
    other = Engine.thaw(decode(encode(story.engine.freeze())))
    assert encode(other.freeze()) == encode(story.engine.freeze())
    lines = ["progress", "tick", "progress", "progress", "progress", "prices price=5001", "balances amount=1", "tick", "balances amount=9", "tick"]
    expected = told(story, *lines)
    assert any(record["topic"] == "alerts" for record in expected)
    again = funded("balances amount=3", "balances wallet_id=e asset=ETH amount=10", "prices asset=ETH price=100", "providers provider_id=p")
    again.tell("tick")
    again.tell("prices price=5000")
    again.tell("withdrawals status=requested provider_id=unknown balance_before=0")
    again.engine = other
    assert told(again, *lines) == expected
