"""Every public incident runs from its first event to a signed compensation file that has what truly left, to the last unit."""

import json
from functools import cache
from pathlib import Path

import pytest

from streams.cli.app import run as command
from streams.scenario_compensation import Compensated, people_ground, text, to_compensation, write_all
from streams.scenario_ground import Ground, History
from streams.settings import Settings
from streams.simulation.scenario import ScenarioRefusedError, load, read
from tests.scenarios.short_history import START_MS, told
from tests.scenarios.short_history import text as file_text

CUSTOMERS = 400
"""So few where a test doesn't need the public number."""
EXHAUSTED = {"binance-2019", "bithumb-2026", "bybit-2025", "upbit-2019", "zaif-2018", "bitpoint-2019", "double-broadcast"}
"""At the simulated prices their loss is larger than the reserve, or partly the exchange's own, which no layer carries."""


@cache
def ground() -> Ground:
    history = History(start_ms=START_MS, days=0.2, records_per_second=2.5)
    return people_ground(Settings(), history, 1)


@cache
def ran(name: str, customers: int | None = CUSTOMERS) -> Compensated:
    return to_compensation(ground(), load(name), customers=customers)


def assert_whole(run: Compensated) -> None:
    assert run.wrong == []
    assert run.files
    for file in run.files.values():
        assert file.status == "SIGNED"
        assert file.statement.not_attributed == ()
    assert (int(run.uncovered_base_amount) > 0) == (run.scenario in EXHAUSTED)
    incidents = run.folded.dossier.incidents
    assert all(incidents[name].state == "closed" for name in run.files)


def test_zaif_splits_six_point_seven_billion_in_customers_and_own() -> None:
    run = ran("zaif-2018")
    assert_whole(run)
    [file] = run.files.values()
    totals = file.statement.totals
    assert (totals.customers_base_amount, totals.own_base_amount) == ("4500000000", "2200000000")
    assert run.lost["BTC"] == "5966"
    assert file.statement.price_rule == "fixed:BTC=720000,MONA=115,BCH=40000"
    [incident_id] = run.files
    clock = run.folded.dossier.incidents[incident_id].clock
    # Nobody noticed for three days: 91 hours from the first outflow to the day the theft was known.
    assert clock.acknowledged_at_ms is not None
    assert 90 * 3_600_000 <= clock.acknowledged_at_ms - clock.first_event_at_ms <= 92 * 3_600_000


def test_coincheck_pays_523_million_xem_at_88_549() -> None:
    run = ran("coincheck-2018")
    assert_whole(run)
    [file] = run.files.values()
    assert run.lost == {"XEM": "523000000"}
    assert (file.statement.totals.customers_base_amount, file.statement.totals.own_base_amount) == ("46311127000", "0")
    assert file.statement.totals.customers >= CUSTOMERS


@pytest.mark.parametrize("name", ["dmm-bitcoin-2024", "binance-2019", "bithumb-2026", "bitpoint-2019", "double-broadcast", "upbit-2019"])
def test_an_incident_runs_to_its_compensation_file(name: str) -> None:
    run = ran(name)
    assert_whole(run)
    lines = [line for file in run.files.values() for line in file.statement.lines]
    owners = {line.owner for line in lines}
    if name in {"bithumb-2026", "double-broadcast"}:
        assert owners == {"exchange"}
    elif name == "bitpoint-2019":
        assert owners == {"customer", "exchange"}
    else:
        assert owners == {"customer"}
    if name == "binance-2019":
        assert len({line.account_id for line in lines}) == 60  # each its own loss, not everybody's
        assert all(line.held is None for line in lines)
    if name == "bithumb-2026":
        assert sum(int(float(line.quantity) * 10**8 + 0.5) for line in lines) == 1_788 * 10**8  # 620,000 less 618,212


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["swissborg-kiln-2025", "bybit-2025", "coincheck-2018"])
def test_the_long_ones_run_to_their_compensation_files(name: str) -> None:
    run = ran(name, None)
    assert_whole(run)
    if name == "coincheck-2018":
        [file] = run.files.values()
        assert 260_000 <= file.statement.totals.customers <= 260_200  # and the simulated exchange's own, whose holdings are told meanwhile
        assert file.statement.totals.customers_base_amount == "46311127000"


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    first = ran("dmm-bitcoin-2024")
    again = to_compensation(ground(), load("dmm-bitcoin-2024"), customers=CUSTOMERS)
    for name, run in (("first", first), ("again", again)):
        write_all(run, tmp_path / name)
    files = {path.relative_to(tmp_path / "first"): path.read_bytes() for path in (tmp_path / "first").rglob("*") if path.is_file()}
    assert len(files) == 7
    assert files == {path.relative_to(tmp_path / "again"): path.read_bytes() for path in (tmp_path / "again").rglob("*") if path.is_file()}
    assert "SIGNED" in "\n".join(text(first))


def test_what_holds_have_stopped_nobody_is_paid_for() -> None:
    scenario = told('action = "transfer"\naccount_id = "existing"\nwallet_id = "wallet-btc-hot"\nasset = "BTC"\namount = "2"\n'
                    "second_broadcast_after_seconds = 36.0\nretry_after_seconds = 35.0\nloss = true")  # fmt: skip
    with pytest.raises(ScenarioRefusedError, match="nobody has to be paid back"):
        to_compensation(ground(), scenario, obey=True, customers=1)
    assert to_compensation(ground(), scenario, customers=1).lost == {"BTC": "2"}


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('price_rule = "cheapest"', "aftermath, field price_rule: 'cheapest' is no price rule"),
        ("customers = 0", "aftermath.customers"),
        ('recovered = [{ asset = "BTC" }]', "aftermath, recovered 1: it must say how much came back"),
        ('recovered = [{ asset = "GOLD", amount = "1" }]', "has no asset 'GOLD'"),
        ('recovered = [{ asset = "BTC", amount = "0.000000001" }]', "is no amount of BTC"),
        ('owner = "nobody"', "aftermath.owner"),
        ("clock = { told_seconds = 1.0 }", "told_seconds"),
    ],
)
def test_facts_that_cannot_be_are_refused(lines: str, words: str) -> None:
    body = file_text('action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\nloss = true')
    body = body.replace("[[phases]]", f'[aftermath]\nconfidence = "assumed"\n{lines}\n\n[[phases]]', 1)
    with pytest.raises(ScenarioRefusedError, match=r"Scenario 'test.toml'") as refused:
        read(body.encode(), "test.toml")
    assert words in str(refused.value)


def test_at_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario = tmp_path / "mine.toml"
    scenario.write_text(file_text('action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1.5"\nloss = true'))
    arguments = ("scenario", "run", str(scenario), "--days", "0.01", "--rate", "5", "--to", "compensation", "--out", str(tmp_path / "out"))
    assert command(arguments) == 0
    assert "lost 1.5 BTC" in capsys.readouterr().out
    [path] = (tmp_path / "out").rglob("compensation.json")
    file = json.loads(path.read_bytes())
    assert (file["status"], file["statement"]["assets"][0]["quantity"]) == ("SIGNED", "1.5")
    assert command(("scenario", "run", str(scenario), "--out", str(tmp_path / "out"))) == 2
    assert "--out goes with --to compensation" in capsys.readouterr().err
