"""What the simulated exchange promises of its distributions and episodes, counted from its records alone."""

import hashlib
import itertools
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple

import orjson
import pytest

from streams.simulation.episodes import Episode, honest_month
from streams.simulation.exchange import Exchange, ExchangeParameters
from streams.simulation.world import ACCOUNT_KINDS

START_MS = 1_770_562_800_000  # Monday, 2026-02-09, 00:00 in Japan; the 25th is a Wednesday
ACCOUNTS = 400
DAYS = 21
HOUR = 3_600.0


class Request(NamedTuple):
    """What the tests look at of a request; `hours` since the start, in Japan's time."""

    hours: float
    kind: str
    value: dict[str, Any]


def kind_of(account_id: str) -> str:
    """By the account's number: kinds stand in ranges, new customers after them."""
    share = int(account_id.removeprefix("account-")) / ACCOUNTS
    ends = itertools.accumulate(kind.share_of_accounts for kind in ACCOUNT_KINDS)
    return next((kind.kind for kind, end in zip(ACCOUNT_KINDS, ends, strict=True) if share < end - 1e-9), "new")


def simulated(seconds: float, rate: float, *episodes: Episode, seed: int = 5) -> tuple[list[Request], dict[str, list[dict[str, Any]]]]:
    """Customers' requests, and all other events but steps, outflows and logins by topic."""
    parameters = ExchangeParameters(
        start_ms=START_MS, seconds=seconds, requests_per_second=rate, accounts=ACCOUNTS, seed=seed, price_interval_seconds=600,
        balance_interval_seconds=1_800, episodes=episodes,
    )  # fmt: skip
    requests: list[Request] = []
    others: dict[str, list[dict[str, Any]]] = defaultdict(list)
    seen: set[str] = set()
    for record in Exchange(parameters).records():
        value: dict[str, Any] = record.value
        if value["event_id"] in seen:  # delivered twice
            continue
        seen.add(value["event_id"])
        if record.topic == "withdrawals":
            if value["status"] == "requested" and value["account_id"] != "desk-treasury":
                requests.append(Request((value["occurred_at_ms"] - START_MS) / 3_600_000, kind_of(value["account_id"]), value))
        elif record.topic != "outflows" and value.get("action") != "login":
            others[record.topic].append(value)
    return requests, others


@pytest.fixture(scope="module")
def weeks() -> tuple[list[Request], dict[str, list[dict[str, Any]]]]:
    return simulated(DAYS * 24 * HOUR, 0.012)


@pytest.fixture(scope="module")
def requests(weeks: tuple[list[Request], dict[str, list[dict[str, Any]]]]) -> list[Request]:
    return weeks[0]


def hour_counts(requests: list[Request], kinds: set[str]) -> list[int]:
    counts = Counter(int(request.hours) % 24 for request in requests if request.kind in kinds)
    return [counts[hour] for hour in range(24)]


def test_people_come_in_their_own_evening(requests: list[Request]) -> None:
    for kinds, offset in (({"saver", "trader"}, 0), ({"in-europe"}, 8), ({"in-america"}, 14)):
        counts = hour_counts(requests, kinds)
        evening = sum(counts[(hour + offset) % 24] for hour in (19, 20, 21, 22))
        night = sum(counts[(hour + offset) % 24] for hour in (2, 3, 4, 5))
        assert evening > 3 * night


def test_offices_work_on_weekdays_by_day_and_machines_round_the_clock(requests: list[Request]) -> None:
    office = [request for request in requests if request.kind == "business" and not str(request.value.get("batch_id")).startswith("payout-")]
    assert sum(int(request.hours / 24) % 7 >= 5 for request in office) < 0.1 * len(office)
    assert sum(9 <= request.hours % 24 < 18 for request in office) > 0.75 * len(office)
    machines = hour_counts(requests, {"market-maker"})
    assert max(machines) < 2 * min(machines)


def test_pay_days_are_busy(requests: list[Request]) -> None:
    people = Counter(int(request.hours / 24) for request in requests if request.kind in {"saver", "trader"})
    assert (datetime.fromtimestamp(START_MS / 1_000, tz=UTC) + timedelta(hours=9, days=16)).day == 25
    assert people[16] > 1.25 * (people[2] + people[9]) / 2  # the same day of the weeks before


def test_some_pay_to_new_addresses_most_to_known_ones(requests: list[Request]) -> None:
    seen: set[tuple[str, str, str | None]] = set()
    news: list[bool] = []
    for request in requests:
        pair = request.value["account_id"], request.value["address"], request.value.get("tag")
        news.append(pair not in seen)
        seen.add(pair)
    late = news[len(news) // 2 :]
    assert 0.05 < sum(late) / len(late) < 0.25


def test_addresses_of_other_exchanges_have_many_payers_and_new_ones_appear(requests: list[Request]) -> None:
    payers: dict[str, set[str]] = defaultdict(set)
    first: dict[str, float] = {}
    for request in requests:
        payers[request.value["address"]].add(request.value["account_id"])
        first.setdefault(request.value["address"], request.hours)
    shared = [address for address, who in payers.items() if len(who) >= 4]
    assert max(map(len, payers.values())) > ACCOUNTS / 10
    assert sum(first[address] > 5 * 24 for address in shared) >= 1


def test_phones_networks_and_keys_are_shared_changed_and_taken_abroad(weeks: tuple[list[Request], dict[str, list[dict[str, Any]]]]) -> None:
    requests, others = weeks
    of_device: dict[str, set[str]] = defaultdict(set)
    of_network: dict[str, set[str]] = defaultdict(set)
    countries: dict[str, set[str]] = defaultdict(set)
    for request in requests:
        value = request.value
        of_network[value["ip"].rpartition(".")[0]].add(value["account_id"])
        if "device_id" in value:
            of_device[value["device_id"]].add(value["account_id"])
            countries[value["device_id"]].add(value["country"])
    assert max(map(len, of_device.values())) in {2, 3}
    mobile = [who for network, who in of_network.items() if network.startswith("100.")]
    assert len(mobile) == 12
    assert min(map(len, mobile)) > 10
    assert any(len(who) in {3, 4} for network, who in of_network.items() if network.startswith("10."))
    assert sum(len(abroad) > 1 for abroad in countries.values()) > 5
    actions = Counter(event["action"] for event in others["account-events"])
    changes = ("device_added", "password_changed", "second_factor_changed", "email_changed", "login_failed")
    assert all(actions[action] > 5 for action in changes)
    assert actions["api_key_created"] > 0


def test_after_a_new_second_factor_comes_a_withdrawal_a_day_later(requests: list[Request]) -> None:
    waited = [
        (request.value["occurred_at_ms"] - request.value["second_factor_changed_at_ms"]) / 3_600_000
        for request in requests
        if "second_factor_changed_at_ms" in request.value
    ]
    assert sum(20 <= hours <= 31 for hours in waited) > 20


def test_businesses_pay_many_at_once_in_one_batch(requests: list[Request]) -> None:
    batches: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for request in requests:
        if str(request.value.get("batch_id")).startswith("payout-"):
            batches[request.value["batch_id"]].append(request.value)
    assert len(batches) > 5
    for paid in batches.values():
        assert len({value["account_id"] for value in paid}) == 1
        assert len({value["address"] for value in paid}) == len(paid) >= 5


def test_campaigns_credit_yen_in_batches(weeks: tuple[list[Request], dict[str, list[dict[str, Any]]]]) -> None:
    credits_ = Counter(value["batch_id"] for value in weeks[1]["postings"] if value["asset"] == "JPY")
    assert len(credits_) == DAYS
    assert min(credits_.values()) >= 19


def episode(kind: Any, factor: float = 1.0, asset: str | None = None, hours: float = 6.0) -> Episode:
    return Episode(kind=kind, start_seconds=24 * HOUR, seconds=hours * HOUR, factor=factor, asset=asset)


def test_a_run_brings_many_times_the_requests_for_large_shares() -> None:
    requests, others = simulated(36 * HOUR, 0.02, episode("bad_news_run", 20.0))
    before = sum(request.hours < 6 for request in requests)
    run = [request.value for request in requests if 24.6 < request.hours < 27]
    assert len(run) / 2.4 > 10 * before / 6
    shares = [float(value["amount"]) / float(value["balance_before"]) for value in run]
    assert median(shares) > 0.6
    assert len({value["account_id"] for value in run}) > 0.8 * ACCOUNTS
    assert all(float(value["amount"]) > 0 for value in others["balances"])


def test_a_new_processor_is_paid_by_many_within_hours() -> None:
    requests, _ = simulated(36 * HOUR, 0.02, episode("new_processor", 0.4, "ETH"))
    payers: dict[str, set[str]] = defaultdict(set)
    first: dict[str, float] = {}
    for request in requests:
        payers[request.value["address"]].add(request.value["account_id"])
        first.setdefault(request.value["address"], request.hours)
    young = max((address for address, hours in first.items() if hours > 24), key=lambda address: len(payers[address]))
    assert first[young] < 26
    assert len(payers[young]) > 30


def test_an_airdrop_is_credited_in_one_batch_and_taken_to_new_addresses() -> None:
    requests, others = simulated(36 * HOUR, 0.02, episode("airdrop", 4.0, "XRP"))
    credited = Counter(value.get("batch_id") for value in others["postings"] if value["reason"] == "airdrop")
    assert list(credited.values()) == [ACCOUNTS // 4]
    drop = [request.value for request in requests if 24.6 < request.hours < 27]
    seen = {request.value["address"] for request in requests if request.hours < 24}
    assert sum(value["asset"] == "XRP" for value in drop) > 0.6 * len(drop)
    assert sum(value["address"] not in seen for value in drop) > 0.25 * len(drop)


def test_a_price_shock_moves_prices_and_brings_requests() -> None:
    requests, others = simulated(36 * HOUR, 0.02, episode("price_shock", 0.6))
    prices = {at: float(value["price"]) for value in others["prices"] if value["asset"] == "BTC" for at in [value["occurred_at_ms"] - START_MS]}
    assert prices[25 * 3_600_000] / prices[24 * 3_600_000] == pytest.approx(0.6, rel=0.05)
    assert sum(25 <= request.hours < 27 for request in requests) > 2 * sum(1 <= request.hours < 3 for request in requests)


def test_an_amount_shock_multiplies_amounts() -> None:
    requests, others = simulated(72 * HOUR, 0.02, episode("amount_shock", 2.5, hours=240))
    price = {value["asset"]: float(value["price"]) for value in others["prices"]}
    worth = [(request.hours, float(request.value["amount"]) * price[request.value["asset"]]) for request in requests if request.kind == "saver"]
    before, after = (median(jpy for hours, jpy in worth if (hours < 24) is is_before) for is_before in (True, False))
    assert 1.9 < after / before < 3.2


def test_trouble_at_a_node_makes_sends_fail_and_go_out_again() -> None:
    parameters = ExchangeParameters(start_ms=START_MS, seconds=7_200, requests_per_second=0.2, accounts=ACCOUNTS, episodes=(
        Episode(kind="node_trouble", start_seconds=600, seconds=6_000, factor=0.5, asset="ETH"),
    ), finish=True)  # fmt: skip
    failed: Counter[str] = Counter()
    sent: Counter[str] = Counter()
    for record in Exchange(parameters).records():
        value: dict[str, Any] = record.value
        if record.topic == "withdrawals" and value["status"] == "failed":
            failed[value["asset"]] += 1
        elif record.topic == "wallet-events":
            sent[value["action"]] += 1
    assert failed["ETH"] > 5 * max(1, *(count for asset, count in failed.items() if asset != "ETH"))
    assert sent["node_trouble"] >= 1
    assert sent["send_error"] > 20


def test_the_watcher_that_lags_tells_all_at_once() -> None:
    lag = Episode(kind="watcher_lag", start_seconds=600, seconds=900)
    parameters = ExchangeParameters(start_ms=START_MS, seconds=3_600, requests_per_second=0.5, accounts=ACCOUNTS, episodes=(lag,))
    delays = [
        (record.timestamp_ms, record.timestamp_ms - int(str(record.value["occurred_at_ms"])))
        for record in Exchange(parameters).records()
        if record.topic == "outflows"
    ]
    assert not [at_ms for at_ms, _ in delays if START_MS + 603_000 < at_ms < START_MS + 1_500_000]
    assert sum(at_ms == START_MS + 1_500_000 for at_ms, _ in delays) > 100
    assert max(delay for _, delay in delays) > 850_000


def test_an_episode_of_an_unknown_asset_is_refused() -> None:
    with pytest.raises(ValueError, match="no asset DOGE"):
        Exchange(ExchangeParameters(start_ms=START_MS, seconds=10, episodes=(episode("airdrop", 2.0, "DOGE"),)))


def test_the_honest_month_has_every_kind_of_hard_negative_after_ten_days() -> None:
    month = honest_month(amount_shock_day=20)
    assert {one.kind for one in month} == set(Episode.__annotations__["kind"].__args__)
    assert min(one.start_seconds for one in month) >= 10 * 86_400
    assert max(one.start_seconds for one in honest_month()) < 30 * 86_400
    assert {one.kind for one in month} - {one.kind for one in honest_month()} == {"amount_shock"}


def test_an_exchange_made_for_a_rate_of_records_keeps_it() -> None:
    """Over a week; prices and balances are less than half of what withdrawals are, and accounts come back."""
    parameters = ExchangeParameters.at_rate(0.2, start_ms=START_MS, seconds=7 * 86_400)
    topics: Counter[str] = Counter()
    accounts: Counter[object] = Counter()
    for record in Exchange(parameters).records():
        topics[record.topic] += 1
        if record.topic == "withdrawals" and record.value["status"] == "requested":
            accounts[record.value["account_id"]] += 1
    assert topics.total() / (7 * 86_400) == pytest.approx(0.2, rel=0.1)
    assert topics["prices"] + topics["balances"] < topics["withdrawals"] / 2
    assert sum(count >= 3 for count in accounts.values()) > 500


def test_the_same_seed_gives_the_same_bytes_on_every_machine() -> None:
    """Changed on purpose when the simulator changes; another maths library would show here too."""
    parameters = ExchangeParameters(
        start_ms=START_MS, seconds=300, requests_per_second=2.0, accounts=50, seed=11, finish=True,
        episodes=(Episode(kind="price_shock", start_seconds=60, seconds=120, factor=0.7), Episode(kind="bad_news_run", start_seconds=100, seconds=60, factor=4)),
    )  # fmt: skip
    digest = hashlib.sha256(b"\n".join(orjson.dumps(tuple(record)) for record in Exchange(parameters).records())).hexdigest()
    assert digest == "7a57ba7c8d0f9aebe52cd1f61a8b04144545c071ef4b4ce639998fa759696ae8"
