"""The simulated exchange: same seed same records, in order, every record accepted by the decoder, honest by its own books."""

import gzip
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from monitor.contracts.topics import INPUT_BY_NAME
from monitor.decode import Decoded, Decoder, IntakeLimits
from monitor.money import print_amount
from streams.settings import DEFAULT_POLICY
from streams.simulate import Traffic, line, write_file
from streams.simulation.exchange import Exchange, ExchangeParameters, Record
from streams.simulation.phases import TransferPhase
from streams.simulation.play import Play
from streams.simulation.scenario import ScenarioRefusedError, load, names
from streams.simulation.stage import Stage
from streams.simulation.treasury import minor
from streams.simulation.world import ACCOUNT_KINDS, ASSETS, HOURS, LAYERS, WALLETS, WEEK

START_MS = 1_717_129_000_000


def parameters(**changes: object) -> ExchangeParameters:
    given = {"start_ms": START_MS, "seconds": 120.0, "requests_per_second": 20.0, "accounts": 300, "seed": 7, "finish": True} | changes
    return ExchangeParameters(**given)  # type: ignore[arg-type]  # a test's own table of arguments


def laid_over(honest: list[Record], play: Play) -> list[Record]:
    stage = Stage(honest)
    stage.begin(play)
    return list(stage.records())


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return list(Exchange(parameters()).records())


def test_same_seed_same_records_other_seed_others(records: list[Record]) -> None:
    assert list(Exchange(parameters()).records()) == records
    assert list(Exchange(parameters(seed=8)).records()) != records


def test_records_come_in_order_of_time(records: list[Record]) -> None:
    assert all(before.timestamp_ms <= after.timestamp_ms for before, after in pairwise(records))


def test_opening_comes_before_the_first_request(records: list[Record]) -> None:
    first_request = next(index for index, record in enumerate(records) if record.topic == "withdrawals")
    opening = {record.topic for record in records[:first_request]}
    assert {"reserves", "prices", "balances", "providers"} <= opening
    assert [record.key for record in records if record.topic == "reserves"] == [layer.layer_id for layer in LAYERS]


def test_every_record_is_accepted_by_the_decoder(records: list[Record]) -> None:
    decoder = Decoder(DEFAULT_POLICY.assets, IntakeLimits())
    for record in laid_over(records, Play(load("dmm-bitcoin-2024"), START_MS + 30_000)):
        decoded = decoder.decode(INPUT_BY_NAME[record.topic], record.key.encode(), orjson.dumps(record.value), record.timestamp_ms)
        assert isinstance(decoded, Decoded), (record, decoded)


def test_every_topic_but_feedback_and_every_status_is_there(records: list[Record]) -> None:
    assert {record.topic for record in records} == INPUT_BY_NAME.keys() - {"feedback"}
    statuses = {record.value["status"] for record in records if record.topic == "withdrawals"}
    assert statuses == {"requested", "approved", "signed", "broadcast", "confirmed", "failed", "cancelled"}


def once(records: Iterable[Record]) -> Iterator[Record]:
    """Without what was delivered a second time."""
    seen: set[object] = set()
    for record in records:
        if record.value["event_id"] not in seen:
            seen.add(record.value["event_id"])
            yield record


def lives_of(records: Iterable[Record]) -> dict[object, list[Record]]:
    lives: dict[object, list[Record]] = defaultdict(list)
    for record in once(records):
        if record.topic == "withdrawals":
            lives[record.value["withdrawal_id"]].append(record)
    return lives


ASKED = ("requested", "approved")
PAID = ("signed", "broadcast", "confirmed")
LIVES = {
    (*ASKED, *PAID): "paid",
    ("requested", "cancelled"): "cancelled",
    (*ASKED, "failed"): "given back",
    (*ASKED, "failed", *PAID): "sent again",
    (*ASKED, "signed", "broadcast", "failed", *PAID): "dropped or replaced, then sent again",
}


def test_event_ids_are_unique_but_for_what_is_delivered_twice(records: list[Record]) -> None:
    first: dict[object, Record] = {}
    repeats = 0
    for record in records:
        known = first.setdefault(record.value["event_id"], record)
        if known is not record:
            repeats += 1
            assert (known.topic, known.key, known.value) == (record.topic, record.key, record.value)
            assert 50 <= record.timestamp_ms - known.timestamp_ms <= 60_000
    assert 0.001 < repeats / len(records) < 0.004


def test_life_cycles_are_whole_and_agree_with_themselves(records: list[Record]) -> None:
    """Each is one of the five lives, asks for the same at every step, and is paid once: by the transaction that its last broadcast names."""
    outflows: dict[object, list[Record]] = defaultdict(list)
    for record in once(records):
        if record.topic == "outflows":
            outflows[record.value["withdrawal_id"]].append(record)
    lived: Counter[str] = Counter()
    for withdrawal_id, steps in lives_of(records).items():
        life = tuple(str(step.value["status"]) for step in steps)
        lived[LIVES[life]] += 1
        assert len({(step.value["address"], step.value["amount"], step.value.get("tag"), step.value["asset"]) for step in steps}) == 1
        seen = outflows[withdrawal_id]
        assert len(seen) == (life[-1] == "confirmed")
        for outflow in seen:
            assert all(outflow.value.get(name) == steps[-1].value.get(name) for name in ("tx_id", "address", "tag", "amount", "asset", "wallet_id"))
            assert outflow.timestamp_ms > steps[0].timestamp_ms
            assert steps[-1].value["tx_id"] not in {step.value.get("tx_id") for step in steps if step.value["status"] == "failed"}
    assert lived["paid"] > 2_000
    assert lived.keys() == set(LIVES.values())


def test_nobody_withdraws_more_than_the_books_give(records: list[Record]) -> None:
    """A second ledger from holdings, credits and steps alone: what `balance_before` says is never more than it has."""
    ledger: dict[tuple[object, object], Decimal] = {}
    ends = {withdrawal_id: steps[-1].value["status"] for withdrawal_id, steps in lives_of(records).items()}
    requests = 0
    for record in once(records):
        value = record.value
        key = (value.get("account_id"), value.get("asset"))
        if record.topic == "holdings":
            assert key not in ledger
            ledger[key] = Decimal(str(value["quantity"]))
        elif record.topic == "postings" and value["asset"] != "JPY":
            ledger[key] += Decimal(str(value["amount"]))
        elif record.topic == "withdrawals" and "balance_before" in value:
            taken = Decimal(str(value["amount"])) + Decimal(str(value["fee"]))
            if value["status"] == "requested":
                requests += 1
                assert taken <= Decimal(str(value["balance_before"]))
                ledger[key] -= taken
                assert ledger[key] >= 0
            elif value["status"] == ends[value["withdrawal_id"]] != "confirmed":
                ledger[key] += taken
    assert requests > 2_000


def test_wallet_balances_are_the_opening_less_what_was_broadcast() -> None:
    """To the unit, in the quarter of an hour before deposits are swept in, whatever the desk does; the last broadcast of a life is the one that pays."""
    given = parameters(seconds=890.0, requests_per_second=4.0)
    records = list(Exchange(given).records())
    hot = {wallet.wallet_id: wallet for wallet in WALLETS}
    decimals = {asset.asset: asset.decimals for asset in ASSETS}
    paid: list[tuple[int, object, int]] = []
    for steps in lives_of(records).values():
        sent = [step.value for step in steps if step.value["status"] == "broadcast"]
        if not sent or steps[-1].value["status"] != "confirmed":
            continue
        last, digits = sent[-1], decimals[str(sent[-1]["asset"])]
        paid.append((int(str(last["occurred_at_ms"])), last["wallet_id"], minor(str(last["amount"]), digits) + minor(str(last["fee"]), digits)))
        if last["channel"] == "desk":
            [into] = [wallet.wallet_id for wallet in WALLETS if wallet.address == last["address"]]
            paid.append((int(str(steps[-1].value["occurred_at_ms"])), into, -minor(str(last["amount"]), digits)))
    told = [record.value for record in once(records) if record.topic == "balances"]
    for value in told:
        wallet, at_ms = hot[str(value["wallet_id"])], int(str(value["occurred_at_ms"]))
        left = sum(amount for paid_ms, wallet_id, amount in paid if wallet_id == wallet.wallet_id and paid_ms < at_ms)
        digits = decimals[wallet.asset]
        assert value["amount"] == print_amount(minor(wallet.opening, digits) - left, digits)
    assert len(told) > 600
    assert len(paid) > 3_000


def test_many_customers_pay_to_other_exchanges(records: list[Record]) -> None:
    payers: dict[object, set[object]] = defaultdict(set)
    for record in records:
        if record.topic == "withdrawals":
            payers[record.value["address"]].add(record.value["account_id"])
    assert max(map(len, payers.values())) > 20


def test_the_world_fits_the_default_policy() -> None:
    assert {asset.asset: asset.decimals for asset in ASSETS} == {asset.asset: DEFAULT_POLICY.assets[asset.asset].decimals for asset in ASSETS}
    assert [(layer.layer_id, layer.unit) for layer in LAYERS] == [(layer.layer_id, layer.unit) for layer in DEFAULT_POLICY.layers]


def test_shares_add_up() -> None:
    for shares in (
        [kind.share_of_accounts for kind in ACCOUNT_KINDS], [kind.share_of_requests for kind in ACCOUNT_KINDS], [asset.share for asset in ASSETS],
    ):  # fmt: skip
        assert sum(shares) == pytest.approx(1.0)
    assert [sum(hours) / 24 for hours in HOURS.values()] == pytest.approx([1.0] * len(HOURS))
    assert [sum(days) / 7 for days in WEEK.values()] == pytest.approx([1.0] * len(WEEK))


def test_without_finish_nothing_comes_after_the_last_second() -> None:
    cut = list(Exchange(parameters(finish=False)).records())
    assert cut[-1].timestamp_ms < START_MS + 120_000


def test_too_few_accounts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 7 accounts"):
        Exchange(parameters(accounts=3))


def test_the_incident_is_one_redirected_transfer_of_the_public_amount() -> None:
    scenario = load("dmm-bitcoin-2024")
    play = Play(scenario, START_MS)
    [(withdrawal_id, asset, amount)] = play.losses()
    assert (asset, amount) == ("BTC", "4502.9")
    steps = [record.value for record in play.records() if record.topic == "withdrawals" and record.value["withdrawal_id"] == withdrawal_id]
    addresses = [step["address"] for step in steps]
    assert addresses[0] == addresses[1] == addresses[2] != addresses[3] == addresses[4]
    [outflow] = [record.value for record in play.records() if record.topic == "outflows"]
    assert outflow["address"] == addresses[3]
    price = next(Decimal(str(record.value["price"])) for record in play.records() if record.topic == "prices")
    assert abs(price * Decimal("4502.9") - 48_200_000_000) < 1
    assert all(phase.confidence for phase in scenario.phases)
    assert any(isinstance(phase, TransferPhase) and phase.loss for phase in scenario.phases)


def test_an_incident_fixes_the_price_and_leaves_all_else(records: list[Record]) -> None:
    play = Play(load("dmm-bitcoin-2024"), START_MS + 30_000)
    over = laid_over(records, play)
    assert all(before.timestamp_ms <= after.timestamp_ms for before, after in pairwise(over))
    late = [record for record in over if record.topic == "prices" and record.key == "BTC" and record.timestamp_ms >= START_MS + 30_000]
    assert [record.value["price"] for record in late] == ["10704212.8406"]
    honest = [record for record in records if record.topic != "prices" or record.key != "BTC" or record.timestamp_ms < START_MS + 30_000]
    others = [record for record in over if not str(record.value["event_id"]).startswith("dmm-")]
    drained = [
        record for record in others if record.topic == "balances" and record.key == "wallet-btc-cold" and record.timestamp_ms > START_MS + 45_000
    ]
    assert drained
    for record in drained:
        told = next(one.value["amount"] for one in honest if one.value["event_id"] == record.value["event_id"])
        assert max(Decimal(str(told)) - Decimal("4502.9"), Decimal(0)) == Decimal(str(record.value["amount"]))
    kept = {record.value["event_id"] for record in drained}
    assert [record for record in others if record.value["event_id"] not in kept] == [
        record for record in honest if record.value["event_id"] not in kept
    ]


def test_a_scenario_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    for text in (b"id = ", b"id = 'x'\n", b"\xff\xfe", None):
        if text is not None:
            broken.write_bytes(text)
        with pytest.raises(ScenarioRefusedError, match=r"\.$"):
            load(str(broken) if text is not None else "unknown-1999")
    assert [load(name).id for name in names()] == names()


def test_the_same_traffic_gives_the_same_file(tmp_path: Path) -> None:
    traffic = Traffic(parameters(seconds=10.0), load("dmm-bitcoin-2024"), 2.0)
    plain, packed, again = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz", tmp_path / "c.jsonl.gz"
    shares: list[float] = []
    simulated = write_file(traffic, plain)
    write_file(traffic, packed, lambda _records, share: shares.append(share))
    write_file(traffic, again)
    assert packed.read_bytes() == again.read_bytes()
    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes() == b"".join(map(line, traffic.records()))
    assert sum(simulated.records.values()) == plain.read_bytes().count(b"\n")
    assert [amount for _withdrawal_id, _asset, amount in simulated.losses] == ["4502.9"]
    assert shares[-1] == 1.0
