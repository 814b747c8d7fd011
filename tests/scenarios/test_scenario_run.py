"""The closed loop and what is said of it: holds stop what comes after them, the same seed gives the same run, nothing leaks between forks."""

import msgspec
import pytest

from streams.scenario_report import table, text
from streams.scenario_run import Loop, merged, thinned
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
    other = 'action = "outflow"\nat_seconds = 30.0\nwallet_id = "wallet-sol-hot"\namount = "500"\nloss = true'
    scenario = told(theft, other)
    both = Loop(ground(), scenario, obey=True).run()
    only = Loop(ground(), told(theft), obey=True).run()
    # What the second phase caused isn't the first one's: seen with the ties of the first alone it is a false page.
    assert len(both.ties.pages(both.watch)) == 2
    assert len(only.ties.pages(both.watch)) == 1


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
    from streams.scenario_run import run

    met = run(ground(), scenario)
    assert met.passed, met.misses
    assert met.refused == {}


def test_ranges_and_rows() -> None:
    assert merged([(10_000, 10_000), (50_000, 60_000), (300_000, 300_000)]) == [(5_000, 150_000), (295_000, 390_000)]
    assert thinned(list(range(10)), 4) == [0, 3, 6, 9]


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_all_ten_incidents_over_ten_days() -> None:
    from streams.scenario_ground import History, make_ground
    from streams.scenario_run import run
    from streams.settings import Settings

    whole = make_ground(Settings(), History(start_ms=1_767_571_200_000), 1)
    missed = {name: outcome.misses for name in names() if not (outcome := run(whole, load(name))).passed}
    assert missed == {}


def test_a_file_of_a_single_phase_is_read_as_it_was_told() -> None:
    assert told(TWICE) == read(file_text(TWICE).encode(), "x")
