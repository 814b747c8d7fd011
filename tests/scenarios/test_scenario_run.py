"""The closed loop and what is said of it: holds stop what comes after them, the same seed gives the same run, nothing leaks between forks."""

from itertools import takewhile
from pathlib import Path

import msgspec
import orjson
import pytest

from streams.cli.app import run as command
from streams.scenario_ground import History, make_ground
from streams.scenario_honest import by_day, by_week
from streams.scenario_report import table, text
from streams.scenario_run import Loop, merged, run, thinned
from streams.scenario_seeds import Wanted, over_seeds, run_seed
from streams.settings import Settings
from streams.simulation.episodes import Episode
from streams.simulation.scenario import load, names, read
from tests.scenarios.short_history import ground, result, told
from tests.scenarios.short_history import text as file_text

TWICE = (
    'action = "transfer"\naccount_id = "existing"\nwallet_id = "wallet-btc-hot"\nasset = "BTC"\namount = "2"\n'
    "second_broadcast_after_seconds = 36.0\nretry_after_seconds = 35.0\nloss = true"
)
ABSURD = 'action = "withdrawals"\ncount = 3\nover_seconds = 30.0\nasset = "BTC"\namount = "900000"\naccounts = "new"\nloss = true'
UNSEEN = """
id = "unseen-2027"
name = "Somebody else's incident"
date = "2027-03-01"
classes = ["mass_account_takeover", "hot_key_theft"]
cause = "unauthorized_access"
teaches = "Files of others run unchanged."

[[phases]]
name = "passwords are changed"
action = "account_event"
at_seconds = -120
confidence = "medium"
event = "password_changed"
count = 15
over_seconds = 60
group = "victims"
device = "shared"

[[phases]]
name = "the accounts are emptied to two addresses"
action = "withdrawals"
at_seconds = 0
confidence = "medium"
count = 15
over_seconds = 90
asset = "BTC"
group = "victims"
share_of_balance = 0.98
addresses = 2
device = "shared"
network = "shared"
loss = true

[[phases]]
name = "and a hot wallet too"
action = "outflow"
at_seconds = 200
confidence = "low"
wallet_id = "wallet-eth-hot"
total = "1234.5"
count = 5
over_seconds = 10
test_amount = "0.01"
loss = true

[[phases]]
name = "the exchange says nothing for a week"
action = "notice"
at_seconds = 604800
confidence = "assumed"
who = "exchange"
"""


def test_what_is_held_goes_no_further_and_without_obedience_it_does() -> None:
    on, off = result(TWICE, hold=True), result(TWICE, hold=False)
    assert (on.losses, on.losses_stopped, on.gone_base_amount) == (1, 1, "0")
    assert (off.losses, off.losses_stopped) == (1, 0)
    assert off.gone_base_amount == off.loss_base_amount == on.loss_base_amount == on.saved_base_amount == off.saved_base_amount
    assert int(on.saved_base_amount) > 10_000_000
    assert on.passed


def test_the_first_loss_is_where_it_was_planned_even_if_it_was_stopped() -> None:
    on, off = result(TWICE, hold=True), result(TWICE, hold=False)
    assert on.first_loss_at_ms == off.first_loss_at_ms == ground().history.end_ms + 60_000 + 36_000
    assert on.page_after_seconds == off.page_after_seconds == -1.0


def test_a_held_request_is_neither_approved_nor_sent_nor_seen() -> None:
    held = Loop(ground(), told(ABSURD), obey=True)
    live = held.run()
    assert all(taking.stopped for taking in live.takings)
    assert live.gone_minor() == 0
    free = Loop(ground(), told(ABSURD), obey=False).run()
    assert not any(taking.stopped for taking in free.takings)
    # Of three withdrawals nothing but the request is left: no approval, signature, broadcast, outflow and confirmation of any.
    assert free.entries - live.entries >= 3 * 4
    assert result(ABSURD).verdicts == {"HOLD": 3}


def test_the_same_seed_gives_the_same_run_however_often_the_ground_was_forked() -> None:
    first = result(TWICE)
    result(ABSURD)
    assert result(TWICE) == first
    assert result(TWICE, seed=2) != first


def test_somebody_else_s_file_runs_unchanged() -> None:
    scenario = read(UNSEEN.encode(), "unseen.toml")
    live = Loop(ground(), scenario, obey=True).run()
    assert live.refused == {}
    assert len(live.takings) == 15 + 6
    assert live.ties.pages(live.watch)


def test_pages_of_other_causes_are_false_ones() -> None:
    theft = 'action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\nloss = true'
    other = 'action = "withdrawals"\nat_seconds = 30.0\ncount = 1\nasset = "ETH"\namount = "9000000"\naccounts = "new"\nloss = true'
    scenario = told(theft, other)
    both = Loop(ground(), scenario, obey=True).run()
    only = Loop(ground(), told(theft), obey=True).run()
    # What the second phase caused isn't the first one's: seen with the ties of the first alone it is a false page.
    pages = both.ties.pages(both.watch)
    assert [page.why for page in pages] == ["opened", "opened"]
    # More than all that was set aside is asked for: the page says what little is left, and no other does.
    assert int(pages[1].summary.partition(" %.")[0].split()[-1]) < 10
    assert only.ties.pages(both.watch) == pages[:1]


def test_what_a_file_s_honest_phases_cause_is_not_the_incident_s() -> None:
    theft = 'action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\nloss = true'
    # More than all wallets hold is asked for: the monitor pages for what the file calls honest.
    odd = 'action = "withdrawals"\nat_seconds = 20.0\ncount = 1\nasset = "ETH"\namount = "9000000"\naccounts = "new"'
    told_result = result(theft, odd)
    assert told_result.pages_count == 1
    [page] = told_result.false_pages_after  # of the level of coverage that it crossed nobody is woken beside it
    assert "more_than_held" in page.rules
    assert told_result.verdicts == {}


def test_the_report_begins_with_the_answer() -> None:
    lines = list(text(result(TWICE)))
    assert lines[1].startswith("Paged in time?   Yes: 1.0 s before the first provable loss")
    rows = "\n".join(table([result(TWICE), result(TWICE, seed=2)]))
    assert rows.startswith("2 of 2 runs")


def test_a_miss_is_listed_with_its_reason() -> None:
    # One withdrawal of a new customer breaks nothing: young detectors are silent, and that is a miss.
    quiet = result('action = "withdrawals"\ncount = 1\nasset = "BTC"\namount = "0.01"\naccounts = "new"\nloss = true')
    assert not quiet.passed
    assert quiet.misses == ["page: no page from the first loss; at most 10 s"]
    assert "MISS test, seed 1: page: no page" in "\n".join(table([quiet]))
    assert "Paged in time?   NO" in "\n".join(text(quiet))


def test_results_are_json() -> None:
    told_result = result(TWICE)
    assert msgspec.json.decode(msgspec.json.encode(told_result), type=type(told_result)) == told_result


@pytest.mark.parametrize("name", ["coincheck-2018", "dmm-bitcoin-2024", "double-broadcast", "swissborg-kiln-2025", "upbit-2019"])
def test_incidents_that_invariants_find_are_met_on_a_short_history(name: str) -> None:
    scenario = load(name)
    # Hours between phases are the long test's.
    phases = [msgspec.structs.replace(phase, at_seconds=max(phase.at_seconds, -60.0)) for phase in scenario.phases if phase.at_seconds < 1_000.0]
    scenario = msgspec.structs.replace(scenario, phases=tuple(phases))
    met = run(ground(), scenario)
    assert met.passed, met.misses
    assert met.refused == {}


def test_an_episode_changes_nothing_up_to_a_minute_before_it_begins() -> None:
    begin_ms = ground().history.end_ms + 300_000
    seconds = (begin_ms - ground().history.start_ms) / 1_000
    episodes = (Episode(kind="bad_news_run", start_seconds=seconds, seconds=600.0, factor=20.0),)
    plain = list(takewhile(lambda record: record.timestamp_ms < begin_ms + 300_000, ground().continuation(())))
    again = list(takewhile(lambda record: record.timestamp_ms < begin_ms + 300_000, ground().continuation(episodes)))
    before = [record for record in plain if record.timestamp_ms < begin_ms - 60_000]
    assert len(before) > 1_000
    assert again[: len(before)] == before
    assert len(again) > 1.5 * len(plain)


def test_the_command_says_by_its_exit_code_whether_criteria_are_met(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    short = ["--days", "0.01", "--rate", "5"]
    met = tmp_path / "met.toml"
    met.write_text(file_text('action = "outflow"\nwallet_id = "wallet-btc-hot"\namount = "1"\nloss = true'))
    assert command(["scenario", "run", str(met), *short, "--json"]) == 0
    told_object = orjson.loads(capsys.readouterr().out)
    assert told_object["met"] is True
    assert [one["seed"] for one in told_object["runs"]] == [1]
    missed = tmp_path / "missed.toml"
    missed.write_text(
        file_text('action = "withdrawals"\ncount = 1\nasset = "BTC"\namount = "0.01"\naccounts = "new"\ndestinations = "fresh"\nloss = true')
    )
    assert command(["scenario", "run", str(missed), *short, "--seeds", "2", "--seed", "3", "--hold", "off"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("0 of 2 runs")
    assert "MISS test, seed 4: page: no page" in out
    many = tmp_path / "many.toml"
    many.write_text(file_text('action = "withdrawals"\ncount = 5000\nasset = "BTC"\namount = "0.01"\nloss = true'))
    assert command(["scenario", "run", str(many), *short]) == 2
    assert "more history is needed" in capsys.readouterr().err


def test_honest_days_are_counted_by_day_and_week(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["scenario", "honest", "--days", "0.05", "--rate", "3", "--seeds", "2"]
    assert command([*arguments, "--json"]) == 0
    told_object = orjson.loads(capsys.readouterr().out)
    assert [one["seed"] for one in told_object["seeds"]] == [1, 2]
    for one in told_object["seeds"]:
        assert one["records"] > 5_000
        assert sum(one["reviews_by_day"]) + one["joined"] + one["over_budget"] <= one["holds"] + one["watches"] + one["unscored"]
        assert len(one["pages"]) == sum(one["pages_by_day"])
    assert command(arguments) == 0
    assert capsys.readouterr().out.startswith("Pages    0.00 a day")
    assert command([*arguments, "--amount-shock-day", "3"]) == 2


def test_days_and_weeks() -> None:
    assert by_day([0, 1, 86_400_000, 999 * 86_400_000], 0, 3) == [2, 1, 1]
    assert by_week([7] * 7 + [14] * 7 + [1]) == [7.0, 14.0]
    assert by_week([2, 4]) == [3.0]


def test_ranges_and_rows() -> None:
    assert merged([(10_000, 10_000), (50_000, 60_000), (300_000, 300_000)]) == [(5_000, 150_000), (295_000, 390_000)]
    assert thinned(list(range(10)), 4) == [0, 3, 6, 9]


@pytest.mark.long
@pytest.mark.timeout(600)
def test_seeds_in_processes_of_their_own_give_the_same() -> None:
    wanted = Wanted(Settings(), ground().history, (told(TWICE),), hold=True)
    assert over_seeds(run_seed, wanted, [1, 2], 2) == over_seeds(run_seed, wanted, [1, 2], 1)


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_all_ten_incidents_over_ten_days() -> None:
    whole = make_ground(Settings(), History(start_ms=1_767_571_200_000), 1)
    missed = {name: outcome.misses for name in names() if not (outcome := run(whole, load(name))).passed}
    assert missed == {}


def test_a_file_of_a_single_phase_is_read_as_it_was_told() -> None:
    assert told(TWICE) == read(file_text(TWICE).encode(), "x")
