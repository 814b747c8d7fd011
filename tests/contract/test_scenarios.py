"""The scenario library: every file is read, its facts are those of the given record of incidents; every bad file is refused with one sentence."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.cli.app import run
from streams.simulation.crowds import divided, moments
from streams.simulation.phases import OutflowPhase, PostingsPhase, TransferPhase, WithdrawalsPhase
from streams.simulation.scenario import ScenarioRefusedError, asset_of, load, names, read
from tests.scenarios.short_history import HEAD, text

PROJECT = Path(__file__).parents[2]
PRESENT = ["binance-2019", "bithumb-2026", "bitpoint-2019", "bybit-2025", "coincheck-2018", "dmm-bitcoin-2024", "double-broadcast"]
PRESENT += ["swissborg-kiln-2025", "upbit-2019", "zaif-2018"]


def given() -> dict[str, Any]:
    for above in PROJECT.parents:
        place = above / "shared" / "incidents.json"
        if place.exists():
            return {incident["id"]: incident for incident in orjson.loads(place.read_bytes())}
    pytest.skip("the given record of incidents (shared/incidents.json beside the project) isn't on this machine")


def lost_by(name: str) -> dict[str, Decimal]:
    """What the phases that are loss take, by asset."""
    lost: dict[str, Decimal] = {}
    for phase in load(name).phases:
        if not isinstance(phase, OutflowPhase | PostingsPhase | TransferPhase | WithdrawalsPhase) or not phase.loss:
            continue
        amount = Decimal(getattr(phase, "total", None) or getattr(phase, "paid_amount", None) or phase.amount or "0")
        if getattr(phase, "total", None) is None:
            amount *= getattr(phase, "count", 1)
        lost[str(asset_of(phase))] = lost.get(str(asset_of(phase)), Decimal(0)) + amount
    return lost


def test_the_ten_incidents_are_there() -> None:
    assert names() == PRESENT


@pytest.mark.parametrize("name", PRESENT)
def test_every_phase_says_how_well_it_is_supported(name: str) -> None:
    scenario = load(name)
    assert scenario.id == name
    assert any(getattr(phase, "loss", False) for phase in scenario.phases)
    assert any(type(phase).__struct_config__.tag == "notice" for phase in scenario.phases)


@pytest.mark.parametrize("name", PRESENT)
def test_facts_are_those_of_the_given_record(name: str) -> None:
    incident, scenario = given()[name], load(name)
    assert scenario.name.startswith(incident["name"].split(" (")[0])
    assert scenario.date == (incident["date"] or "")
    assert list(scenario.classes) == incident["class"]
    assert scenario.cause == incident["cause"]
    told = {} if scenario.loss is None else {lost.asset: lost.amount for lost in scenario.loss.assets}
    assert told == {row["asset"]: row["amount"] for row in incident["assets"]}
    played = lost_by(name)
    for asset, amount in told.items():
        assert asset in played
        if amount is not None:
            assert played[asset] == Decimal(amount)
    if scenario.loss is not None:
        loss = scenario.loss
        assert (loss.base_amount, loss.usd, loss.krw) == (incident.get("jpy"), incident.get("usd"), incident.get("krw"))
        split = incident.get("split_jpy", {})
        assert (loss.customer_base_amount, loss.own_base_amount) == (split.get("customer"), split.get("own"))


def test_the_split_of_customers_and_own_is_played() -> None:
    shares: dict[str, Decimal] = {"customer": Decimal(0), "exchange": Decimal(0)}
    for phase in load("zaif-2018").phases:
        if isinstance(phase, OutflowPhase) and asset_of(phase) == "BTC":
            shares[phase.owner] += Decimal(phase.total or "0")
    assert abs(shares["exchange"] / sum(shares.values()) - Decimal(22) / 67) < Decimal("0.001")


OUTFLOW = 'action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"'
WITHDRAWALS = 'action = "withdrawals"\ncount = 2\nasset = "BTC"'
TRANSFER = 'action = "transfer"\nwallet_id = "wallet-btc-hot"\nasset = "BTC"\namount = "1"'
BAD = [
    ("", "is empty"),
    ("   \n", "is empty"),
    ("id = ", "is no TOML"),
    ("id = 'x'\n", "missing required field"),
    (HEAD, "missing required field 'phases'"),
    (HEAD + "phases = []\n", "it has no phase"),
    (text('action = "notice"\nwho = "exchange"'), "all are notices"),
    (text('action = "flood"'), "phase 1 ('phase 1'), field action: invalid value 'flood'"),
    (text(f"{OUTFLOW}\ncolour = 'red'"), "phase 1 ('phase 1'): object contains unknown field 'colour'"),
    (text(OUTFLOW, 'action = "outflow"\nwallet_id = "wallet-doge"\namount = "1"'), "phase 2 ('phase 2'), field wallet_id: the simulated exchange has no"),
    (text('action = "price"\nasset = "DOGE"\nprice = "1"'), "field asset: the simulated exchange has no asset 'DOGE'"),
    (text(OUTFLOW.replace('"1"', '"-1"')), "field amount: '-1' is no amount of BTC above zero"),
    (text(OUTFLOW.replace('"1"', '"0"')), "field amount: '0' is no amount of BTC above zero"),
    (text(OUTFLOW.replace('"1"', '"1e400"')), "field amount: '1e400' is no amount"),
    (text(OUTFLOW.replace('"1"', '"0.000000001"')), "at most 8 decimals"),
    (text(OUTFLOW.replace('"1"', f'"{"9" * 60}"')), "is no amount of BTC"),
    (text(OUTFLOW.replace('"1"', "1.5")), "field amount: expected 'str | null', got 'float'"),
    (text(f'{OUTFLOW}\ntotal = "2"'), "field amount or total: exactly one of them must be given, not amount and total"),
    (text('action = "outflow"\nwallet_id = "wallet-btc-hot"'), "exactly one of them must be given, not none"),
    (text(f"{OUTFLOW}\ncount = 0"), "field count: expected 'int' >= 1"),
    (text(f"{OUTFLOW}\ncount = 1000000000"), "field count: expected 'int' <="),
    (text(f"{OUTFLOW}\nover_seconds = -5.0"), "field over_seconds: expected 'float' >= 0.0"),
    (text(f"{OUTFLOW}\nover_seconds = nan"), "field over_seconds: expected 'float' >= 0.0"),
    (text(f"{OUTFLOW}\nat_seconds = 1e300"), "field at_seconds: expected 'float' <="),
    (text(f"{OUTFLOW}\nat_seconds = inf"), "field at_seconds: expected 'float' <="),
    (text(f'{OUTFLOW}\nat_seconds = "soon"'), "field at_seconds: expected 'float', got 'str'"),
    (text(f'{OUTFLOW}\nconfidence = "sure"'), "field confidence: invalid enum value 'sure'"),
    (text(OUTFLOW, f"{OUTFLOW}\nat_seconds = 2000000.0"), "its phases span 2,000,000 s"),
    (text('action = "price"\nasset = "BTC"\nprice = "1"\nloss = true'), "unknown field 'loss'"),
    (text(WITHDRAWALS), "exactly one of them must be given, not none"),
    (text(f"{WITHDRAWALS}\nshare_of_balance = 1.5"), "field share_of_balance: expected 'float' <= 1.0"),
    (text(f'{WITHDRAWALS}\nwallet_id = "wallet-eth-hot"\namount = "1"'), "field wallet_id: wallet 'wallet-eth-hot' holds ETH, not BTC"),
    (text(f'{WITHDRAWALS}\nshare_of_balance = 0.5\naccounts = "new"'), "new accounts have no balance"),
    (text(f'{WITHDRAWALS}\namount = "1"\nbroadcast_after_seconds = 1.0'), "field broadcast_after_seconds: it lies before signed_after_seconds"),
    (text(f"{TRANSFER}\nsecond_broadcast_after_seconds = 1.0"), "it must come after the first broadcast"),
    (text(f"{TRANSFER}\nretry_after_seconds = 8.0"), "a retry goes with second_broadcast_after_seconds"),
    (text(f'{TRANSFER}\nto = "x"\nto_wallet_id = "wallet-btc-cold"'), "give either to or to_wallet_id"),
    (text('action = "redirect"\nprovider_id = "nobody"\nfor_seconds = 10.0'), "the simulated exchange has no provider 'nobody'"),
    (text('action = "redirect"\nprovider_id = "provider-signing"\nfor_seconds = 0.0'), "field for_seconds: expected 'float' > 0.0"),
    (text('action = "treasury"\nwallet_id = "wallet-btc-hot"\nto_wallet_id = "wallet-eth-hot"\namount = "1"'), "must be another wallet of BTC"),
    (text('action = "wallet_event"\nwallet_id = "wallet-btc-hot"\nevent = "melted"'), "field event: invalid enum value 'melted'"),
    (text(OUTFLOW, head=HEAD.replace("2026-01-05", "yesterday")), "field date: 'yesterday' is no date"),
    (text(OUTFLOW, head=HEAD.replace('"undecided"', '"weather"')), "invalid enum value 'weather'"),
    (text(OUTFLOW, head=HEAD + '[loss]\nconfidence = "low"\nassets = [{ asset = "BTC", amount = "x" }]\n'), "loss, asset 1, field amount: 'x' is no amount"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), BAD, ids=[sentence[:50] for _content, sentence in BAD])
def test_a_bad_file_is_refused_with_one_sentence(content: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(ScenarioRefusedError) as refused:
        load(str(file))
    said = str(refused.value)
    assert sentence in said
    assert str(file) in said
    assert said.endswith(".")
    assert "\n" not in said
    assert "`" not in said
    assert run(["scenario", "run", str(file)]) == 2
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[[phases]]\n" * 200_000, b"a = " + b"[" * 5_000], ids=["bytes", "large", "deep"])
def test_bytes_that_are_no_file_of_ours(content: bytes) -> None:
    with pytest.raises(ScenarioRefusedError, match=r"^Scenario 'x'[^\n]*\.$"):
        read(content, "x")


def test_a_missing_file_and_a_directory_are_one_sentence(tmp_path: Path) -> None:
    for name in ("unknown-1999", str(tmp_path), "a\0b"):
        with pytest.raises(ScenarioRefusedError, match="nor a readable file"):
            load(name)


def test_parts_add_up_and_times_stay_within() -> None:
    import random

    rng = random.Random(3)
    for total, count, spread in ((10, 10, 0.9), (1_000_003, 7, 0.5), (12, 5, 0.99), (5, 1, 0.0)):
        parts = divided(total, count, spread, rng)
        assert sum(parts) == total
        assert min(parts) >= 1
        assert len(parts) == count
    times = moments(5, 10.0, rng)
    assert (times[0], times[-1]) == (0, 10_000)
    assert list(times) == sorted(times)
    assert moments(1, 10.0, rng) == [0]
    assert moments(2, 10.0, rng) == [0, 10_000]


def test_the_library_is_listed_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["scenario", "list"]) == 0
    assert [row.split("\t")[0] for row in capsys.readouterr().out.splitlines()] == PRESENT
    assert run(["scenario", "list", "--json"]) == 0
    assert [row["id"] for row in orjson.loads(capsys.readouterr().out)] == PRESENT
    assert run(["scenario", "show", "swissborg-kiln-2025"]) == 0
    assert "in truth at -8 d 0 h" in capsys.readouterr().out
    assert run(["scenario", "show", "zaif-2018", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["loss"]["customer_base_amount"] == "4500000000"
    assert run(["scenario", "show", "nothing"]) == 2
