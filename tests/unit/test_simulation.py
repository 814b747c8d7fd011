"""The simulated exchange: same seed same records, in order, every record accepted by the decoder, honest by its own books."""

import gzip
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from monitor.contracts.topics import INPUT_BY_NAME
from monitor.decode import Decoded, Decoder, IntakeLimits
from streams.settings import DEFAULT_POLICY
from streams.simulate import Traffic, line, write_file
from streams.simulation.exchange import Exchange, ExchangeParameters, Record
from streams.simulation.phases import TransferPhase
from streams.simulation.play import Play
from streams.simulation.scenario import ScenarioRefusedError, load, names
from streams.simulation.stage import Stage
from streams.simulation.world import ACCOUNT_KINDS, ASSETS, HOUR_SHARES, LAYERS

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


def test_life_cycles_are_whole_and_agree_with_themselves(records: list[Record]) -> None:
    lives: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        if record.topic == "withdrawals":
            lives[record.value["withdrawal_id"]].append(record)
    outflows = {record.value["withdrawal_id"]: record for record in records if record.topic == "outflows"}
    paid = 0
    for withdrawal_id, steps in lives.items():
        statuses = [step.value["status"] for step in steps]
        assert statuses in (["requested", "approved", "signed", "broadcast", "confirmed"], ["requested", "cancelled"], ["requested", "failed"])
        assert len({(step.value["address"], step.value["amount"], step.value.get("tag"), step.value["asset"]) for step in steps}) == 1
        if statuses[-1] == "confirmed":
            paid += 1
            outflow = outflows[withdrawal_id]
            assert all(outflow.value.get(name) == steps[-1].value.get(name) for name in ("tx_id", "address", "tag", "amount", "asset", "wallet_id"))
            assert outflow.timestamp_ms > steps[0].timestamp_ms
    assert paid == len(outflows) > 2_000


def test_nobody_withdraws_more_than_the_books_give(records: list[Record]) -> None:
    """A second ledger from holdings, credits and steps alone: what `balance_before` says is never more than it has."""
    ledger: dict[tuple[object, object], Decimal] = {}
    requests = 0
    for record in records:
        value = record.value
        key = (value.get("account_id"), value.get("asset"))
        if record.topic == "holdings":
            assert key not in ledger
            ledger[key] = Decimal(str(value["quantity"]))
        elif record.topic == "postings":
            ledger[key] += Decimal(str(value["amount"]))
        elif record.topic == "withdrawals" and "balance_before" in value:
            taken = Decimal(str(value["amount"])) + Decimal(str(value["fee"]))
            if value["status"] == "requested":
                requests += 1
                assert taken <= Decimal(str(value["balance_before"]))
                ledger[key] -= taken
                assert ledger[key] >= 0
            elif value["status"] in {"failed", "cancelled"}:
                ledger[key] += taken
    assert requests > 2_000


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
    assert sum(HOUR_SHARES) / 24 == pytest.approx(1.0)


def test_without_finish_nothing_comes_after_the_last_second() -> None:
    cut = list(Exchange(parameters(finish=False)).records())
    assert cut[-1].timestamp_ms < START_MS + 120_000


def test_too_few_accounts_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 accounts"):
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
    drained = [record for record in others if record.key == "wallet-btc-cold" and record.timestamp_ms > START_MS + 45_000]
    assert drained
    for record in drained:
        told = next(one.value["amount"] for one in honest if one.value["event_id"] == record.value["event_id"])
        assert Decimal(str(told)) - Decimal(str(record.value["amount"])) == Decimal("4502.9")
    assert [record for record in others if record not in drained] == [
        record for record in honest if record.key != "wallet-btc-cold" or record.timestamp_ms <= START_MS + 45_000
    ]


def test_a_scenario_that_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    for text in (b"id = ", b"id = 'x'\n", b"\xff\xfe", None):
        if text is not None:
            broken.write_bytes(text)
        with pytest.raises(ScenarioRefusedError, match=r"\.$"):
            load(str(broken) if text is not None else "unknown-1999")
    source = load(names()[0])
    assert source.id == "dmm-bitcoin-2024"


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
