"""Each kind of phase does what its description says, through the real intake and core, over a short history."""

from collections import Counter
from decimal import Decimal
from itertools import takewhile

import pytest

from streams.scenario_run import Live, Loop
from streams.simulation.crowds import OWN_ADDRESSES
from streams.simulation.directory import Directory
from streams.simulation.exchange import Record
from streams.simulation.play import Play
from streams.simulation.scenario import ScenarioRefusedError
from streams.simulation.stage import Stage
from tests.scenarios.short_history import ground, played, result, told

THEFT = 'action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\nloss = true'


def records(*phases: str) -> list[Record]:
    """The incident's own records over the short history's accounts."""
    return [planned.record for planned in Play(told(*phases), ground().history.end_ms + 60_000, 1).planned(ground().known)]


def accepted(live: Live) -> Live:
    assert live.refused == {}
    return live


def topics(made: list[Record]) -> Counter[str]:
    return Counter(record.topic for record in made)


def test_an_outflow_without_a_request_pages_seconds_after_it_left() -> None:
    live = accepted(played(THEFT))
    [taking] = live.takings
    assert (taking.topic, taking.withdrawal_id, taking.stopped) == ("outflows", None, False)
    assert (taking.part.asset, taking.part.amount_minor) == ("BTC", 10**8)
    [page] = live.ties.pages(live.watch)
    assert 0 < page.decided_at_ms - live.first_ms <= 10_000


def test_a_burst_divides_its_total_exactly_and_comes_after_its_test_transfer() -> None:
    burst = 'action = "outflow"\nat_seconds = 100.0\nwallet_id = "wallet-xem-hot"\ntotal = "1000000.000001"\ncount = 7\nover_seconds = 40.0'
    made = records(f'{burst}\naddresses = 3\nspread = 0.5\ntest_amount = "10"\ntest_before_seconds = 60.0\nloss = true')
    amounts = [Decimal(str(record.value["amount"])) for record in made]
    times = [int(str(record.value["occurred_at_ms"])) - ground().history.end_ms - 60_000 for record in made]
    assert amounts[0] == 10
    assert times[0] == 40_000
    assert sum(amounts[1:]) == Decimal("1000000.000001")
    assert (times[1], times[-1]) == (100_000, 140_000)
    assert len({record.value["address"] for record in made}) == 3
    assert len({record.value["tx_id"] for record in made}) == 8
    assert all(record.timestamp_ms == int(str(record.value["occurred_at_ms"])) + 1_000 for record in made)
    assert topics(made) == {"outflows": 8}


def test_outputs_of_one_transaction_share_it() -> None:
    made = records(f'{THEFT}\ncount = 3\none_transaction = true\nowner = "exchange"')
    assert len({record.value["tx_id"] for record in made}) == 1
    assert {record.value["owner"] for record in made} == {"exchange"}


TRANSFER = 'action = "transfer"\nwallet_id = "wallet-btc-hot"\nasset = "BTC"\namount = "2"\nloss = true'


def test_a_redirect_shows_at_the_broadcast() -> None:
    live = accepted(played(f'{TRANSFER}\npaid_to = "fresh"'))
    rules = {rule for incident in live.ties.incidents(live.watch) for rule in incident.rules}
    assert "redirect" in rules
    assert live.ties.pages(live.watch)[0].decided_at_ms == live.first_ms
    assert [taking.part.amount_minor for taking in live.takings] == [2 * 10**8]


def test_of_a_changed_amount_the_excess_is_loss() -> None:
    live = accepted(played(f'{TRANSFER}\npaid_amount = "2.5"'))
    assert [taking.part.amount_minor for taking in live.takings] == [5 * 10**7]
    assert {"amount_changed"} <= {rule for incident in live.ties.incidents(live.watch) for rule in incident.rules}


def test_a_payment_after_the_cancellation_is_found() -> None:
    live = accepted(played(f"{TRANSFER}\ncancelled_after_seconds = 3.0"))
    assert "paid_after_cancellation" in {rule for incident in live.ties.incidents(live.watch) for rule in incident.rules}


TWICE = f'{TRANSFER}\naccount_id = "existing"\nsecond_broadcast_after_seconds = 36.0'


def test_a_second_payout_is_loss_once_and_held_on_the_retry_event() -> None:
    [taking] = accepted(played(f"{TWICE}\nretry_after_seconds = 35.0")).takings
    assert taking.stopped
    [taking] = accepted(played(f"{TWICE}\nretry_after_seconds = 35.0", obey=False)).takings
    assert not taking.stopped


def test_a_second_payout_without_a_retry_event_pages_as_it_is_sent() -> None:
    live = accepted(played(TWICE))
    assert not live.takings[0].stopped
    assert 0 <= live.ties.pages(live.watch)[0].decided_at_ms - live.first_ms <= 10_000


def test_a_first_broadcast_that_timed_out_is_only_seen_on_chain() -> None:
    made = records(f"{TWICE}\nfirst_broadcast_told = false")
    broadcasts = [record for record in made if record.value.get("status") == "broadcast"]
    outflows = [record for record in made if record.topic == "outflows"]
    assert len(broadcasts) == 1
    assert len({record.value["tx_id"] for record in outflows}) == 2
    live = accepted(played(f"{TWICE}\nfirst_broadcast_told = false"))
    assert live.ties.pages(live.watch)


TAKEOVER = 'action = "withdrawals"\ncount = 12\nover_seconds = 60.0\nasset = "BTC"\nloss = true'


def test_a_takeover_uses_accounts_that_exist_and_what_it_changes_is_new() -> None:
    known = {holder.account_id: holder for holder in ground().known.holders("BTC")}
    made = records(f'{TAKEOVER}\nshare_of_balance = 0.5\naddresses = 4\ndevice = "shared"\nnetwork = "shared"\nlogin_before_seconds = 30.0')
    asked = [record.value for record in made if record.value.get("status") == "requested"]
    assert len(asked) == len({value["account_id"] for value in asked}) == 12
    for value in asked:
        holder = known[str(value["account_id"])]
        left = Decimal(holder.left_minor) / 10**8
        assert Decimal(str(value["balance_before"])) == left
        assert abs(Decimal(str(value["amount"])) - left / 2) < Decimal("0.001")
        assert value["address"] not in OWN_ADDRESSES
        assert value["country"] == holder.request["country"]
    assert len({value["address"] for value in asked}) == 4
    assert len({value["device_id"] for value in asked if "device_id" in value}) == 1
    assert len({str(value["ip"]).rpartition(".")[0] for value in asked}) == 1
    assert topics(made)["account-events"] == 12


def test_new_devices_networks_and_keys_are_each_account_s_own() -> None:
    made = records(f'{TAKEOVER}\ntotal = "6"\nnetwork = "new"\napi_key = "new"\ncountry = "KP"')
    asked = [record.value for record in made if record.value.get("status") == "requested"]
    assert len({value["api_key_id"] for value in asked}) == 12
    assert {value["country"] for value in asked} == {"KP"}
    assert {value["channel"] for value in asked} == {"api"}
    assert sum(Decimal(str(value["amount"])) for value in asked) == 6
    assert all(Decimal(str(value["balance_before"])) > Decimal(str(value["amount"])) for value in asked)


def test_the_books_say_what_the_accounts_of_a_file_hold() -> None:
    made = records(f'{TAKEOVER}\namount = "5000"')
    held = {record.value["account_id"]: Decimal(str(record.value["quantity"])) for record in made if record.topic == "holdings"}
    asked = {record.value["account_id"]: Decimal(str(record.value["balance_before"])) for record in made if record.value.get("status") == "requested"}
    assert held == asked
    assert min(held.values()) > 5000
    assert not [record for record in records(f"{TAKEOVER}\nshare_of_balance = 0.5") if record.topic == "holdings"]


def test_what_comes_before_a_phase_comes_in_order_of_time() -> None:
    scenario = told('action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\ntest_amount = "0.1"\ntest_before_seconds = 600.0\nloss = true')
    loop = Loop(ground(), scenario, obey=True)
    live = loop.run()
    assert loop.play.first_ms == live.first_ms == ground().history.end_ms + 60_000
    assert [taking.at_ms - live.first_ms for taking in live.takings] == [0, 600_000]


def test_a_batch_is_one_transaction_after_all_were_asked() -> None:
    made = records(f'{TAKEOVER}\ntotal = "6"\nbatch = true')
    sent = [record for record in made if record.value.get("status") == "broadcast"]
    asked = [record for record in made if record.value.get("status") == "requested"]
    assert len({(record.timestamp_ms, record.value["tx_id"], record.value["batch_id"]) for record in sent}) == 1
    assert max(record.timestamp_ms for record in asked) < sent[0].timestamp_ms
    assert len(sent) == 12
    accepted(played(f'{TAKEOVER}\ntotal = "6"\nbatch = true'))


def test_payouts_of_a_wallet_s_large_amounts() -> None:
    quantile_minor = ground().known.quantile_minor("wallet-btc-hot", "BTC", 0.99)
    assert quantile_minor is not None
    made = records(f'{TAKEOVER}\naccounts = "new"\nwallet_quantile = 0.99\nspread = 0.1')
    for record in made:
        if record.value.get("status") == "requested":
            assert Decimal("0.89") < Decimal(str(record.value["amount"])) * 10**8 / quantile_minor < Decimal("1.11")
            assert record.value["account_id"] not in {holder.account_id for holder in ground().known.holders("BTC")}


def test_a_run_of_existing_accounts_to_known_addresses_is_no_loss() -> None:
    run = 'action = "withdrawals"\ncount = 10\nover_seconds = 60.0\nasset = "ETH"\nshare_of_balance = 0.9\ndestinations = "known"'
    addresses = {holder.request["address"] for holder in ground().known.holders("ETH")}
    made = records(run)
    assert {record.value["address"] for record in made if "address" in record.value} <= addresses
    with pytest.raises(ScenarioRefusedError, match="no phase that happened is marked as loss"):
        played(run)


def test_more_accounts_than_there_are_is_one_sentence() -> None:
    with pytest.raises(ScenarioRefusedError, match=r"phase 'phase 1' can't be played: the exchange has \d+ accounts with BTC so far.*\.$"):
        played('action = "withdrawals"\ncount = 5000\nasset = "BTC"\namount = "1"\nloss = true')


def test_impossible_credits_page_and_are_loss_as_posted() -> None:
    live = accepted(played('action = "postings"\ncount = 50\nover_seconds = 20.0\nasset = "BTC"\ntotal = "1000000"\nreason = "event"\nloss = true'))
    assert sum(taking.part.amount_minor for taking in live.takings) == 10**6 * 10**8
    assert {taking.topic for taking in live.takings} == {"postings"}
    page = live.ties.pages(live.watch)[0]
    assert page.title.partition(":")[0] in {"More than is held", "An amount that makes sense in another asset's units"}  # both are so
    assert page.decided_at_ms - live.first_ms <= 10_000


def test_a_replay_repeats_a_withdrawal_that_was() -> None:
    made = records('action = "replay"\ncount = 4\nover_seconds = 120.0\nasset = "BTC"\nloss = true')
    asked = [record.value for record in made if record.value.get("status") == "requested"]
    assert len({(value["account_id"], value["address"], value["amount"]) for value in asked}) == 1
    assert len({value["withdrawal_id"] for value in asked}) == 4
    known = {holder.account_id: holder.request for holder in ground().known.holders("BTC")}
    request = known[str(asked[0]["account_id"])]
    assert (request["address"], request["amount"]) == (asked[0]["address"], asked[0]["amount"])
    assert len(accepted(played('action = "replay"\ncount = 4\nover_seconds = 120.0\nasset = "BTC"\nloss = true')).takings) == 4


REDIRECT = 'action = "redirect"\nprovider_id = "provider-signing"\nfor_seconds = 120.0\nloss = true'


@pytest.mark.parametrize("when", ["request", "broadcast"])
def test_a_provider_s_payouts_go_to_addresses_nobody_has_seen(when: str) -> None:
    scenario = told(f'{REDIRECT}\nwhen = "{when}"')
    begin_ms = ground().history.end_ms + 60_000
    play = Play(scenario, begin_ms, 1)
    stage = Stage(ground().honest, Directory())
    stage.begin(play)
    changed: dict[object, dict[str, object]] = {}
    lost: list[object] = []
    for step in stage.steps():
        if step.record.timestamp_ms > begin_ms + 300_000:
            break
        if step.ours and step.record.topic == "withdrawals":
            value = step.record.value
            assert value["address"] in play.cast.fresh
            assert "tag" not in value
            changed.setdefault(value["withdrawal_id"], {})[str(value["status"])] = value["address"]
            if step.loss is not None:
                assert value["status"] == "broadcast"
                lost.append(value["withdrawal_id"])
    assert len(changed) > 10
    assert sorted(map(str, lost)) == sorted(str(name) for name, steps in changed.items() if "broadcast" in steps)
    assert all(len(set(steps.values())) == 1 for steps in changed.values())
    assert all((when == "request") == ("requested" in steps) for steps in changed.values())


def test_a_redirect_at_the_broadcast_pages_at_once() -> None:
    live = accepted(played(f'{REDIRECT}\nwhen = "broadcast"'))
    assert live.ties.pages(live.watch)[0].decided_at_ms - live.first_ms <= 10_000
    assert len(live.takings) > 10


def test_own_moves_are_no_theft() -> None:
    live = accepted(
        played(
            'action = "treasury"\nat_seconds = -60.0\nwallet_id = "wallet-btc-hot"\nto_wallet_id = "wallet-btc-cold"\n'
            'total = "100"\ncount = 2\nover_seconds = 20.0',
            THEFT,
        )
    )
    assert len(live.takings) == 1
    assert len(live.ties.pages(live.watch)) == 1


def test_events_of_wallets_and_accounts_reach_the_core() -> None:
    made = records(
        'action = "wallet_event"\nwallet_id = "wallet-sol-staking"\nevent = "authority_changed"\ncount = 3\nover_seconds = 5.0\nactor = "nobody"',
        'action = "account_event"\nevent = "device_added"\ncount = 5\nover_seconds = 10.0\ngroup = "victims"\ndevice = "shared"',
        f'{TAKEOVER}\namount = "0.1"\ngroup = "victims"\ndevice = "shared"\nat_seconds = 60.0',
    )
    wallet_events = [record.value for record in made if record.topic == "wallet-events"]
    assert [value["action"] for value in wallet_events] == ["authority_changed"] * 3
    added = [record.value for record in made if record.topic == "account-events"]
    asked = {record.value["account_id"]: record.value for record in made if record.value.get("status") == "requested"}
    assert len(added) == 5
    assert {value["account_id"] for value in added} <= asked.keys()
    assert {value["device_id"] for value in added} >= {value["device_id"] for value in asked.values() if "device_id" in value}


def test_a_wallet_is_filled_up_and_holds_that_less_what_was_taken() -> None:
    scenario = told('action = "balance"\nat_seconds = -10.0\nwallet_id = "wallet-btc-hot"\namount = "9000000"', THEFT, f"{THEFT}\nat_seconds = 20.0")
    play = Play(scenario, ground().history.end_ms + 60_000, 1)
    stage = Stage(ground().honest, ground().known.copy())
    stage.begin(play)
    honest = {record.value["event_id"]: record for record in takewhile(lambda record: record.timestamp_ms <= play.end_ms + 120_000, ground().honest)}
    told_balances, level = [], Decimal(ground().known.levels_minor["wallet-btc-hot"]) / 10**8
    for step in stage.steps():
        record = step.record
        if record.timestamp_ms > play.end_ms + 120_000:
            break
        if record.topic == "balances" and record.key == "wallet-btc-hot":
            amount = Decimal(str(record.value["amount"]))
            if record.value["event_id"] not in honest:
                told_balances.append(amount)
            elif record.timestamp_ms < play.first_ms:
                level = amount
            else:
                told_balances.append(amount - Decimal(str(honest[record.value["event_id"]].value["amount"])) + level)
    assert told_balances[0] == 9_000_000
    assert told_balances[-1] == 8_999_998
    assert len(told_balances) > 2


def test_a_wallet_that_holds_more_is_left_alone() -> None:
    play = Play(told('action = "balance"\nwallet_id = "wallet-xem-hot"\namount = "5"', THEFT), ground().history.end_ms + 60_000, 1)
    stage = Stage(ground().honest, ground().known.copy())
    stage.begin(play)
    passed = list(takewhile(lambda record: record.timestamp_ms <= play.end_ms, stage.records()))
    assert not [record for record in passed if record.topic == "balances" and str(record.value["event_id"]).startswith("test.")]
    assert [record for record in passed if str(record.value["event_id"]).startswith("test.")]


def test_a_price_stands_where_the_file_puts_it() -> None:
    live = accepted(played('action = "price"\nasset = "BTC"\nprice = "1000000"', f"{THEFT}\nat_seconds = 5.0"))
    assert live.total_minor == 1_000_000


def test_an_episode_of_the_exchange_goes_on_meanwhile() -> None:
    quiet = accepted(played(f"{THEFT}\nat_seconds = 300.0"))
    run = accepted(played('action = "episode"\nepisode = "bad_news_run"\nfor_seconds = 300.0\nfactor = 20.0', f"{THEFT}\nat_seconds = 300.0"))
    assert run.entries > 2 * quiet.entries


def test_a_notice_makes_no_record_and_is_told() -> None:
    told_result = result(THEFT, 'action = "notice"\nat_seconds = 500000.0\nwho = "exchange"')
    assert told_result.noticed_after_seconds == pytest.approx(500_000.0)
    assert told_result.entries == result(THEFT).entries
