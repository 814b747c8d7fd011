"""Honest traffic, with all that looks odd and isn't, pages nobody, marks nothing and breaks no invariant; an incident over it is found."""

from pathlib import Path

import pytest
from msgspec import structs

from streams.replay import Replayed, replay_file
from streams.settings import Settings
from streams.simulate import Traffic, write_file
from streams.simulation.episodes import Episode
from streams.simulation.exchange import ExchangeParameters
from streams.simulation.scenario import load

START_MS = 1_717_129_000_000
INVARIANTS = {
    "redirect", "amount_changed", "double_payout", "more_than_held", "outflow_without_request", "never_requested", "paid_after_cancellation",
    "repeat_conflict",
}  # fmt: skip


def replayed(path: Path, traffic: Traffic) -> Replayed:
    write_file(traffic, path)
    return replay_file(path, Settings())


def parameters(seed: int, *, seconds: float = 240.0, requests_per_second: float = 8.0, accounts: int = 8_000) -> ExchangeParameters:
    return ExchangeParameters(
        start_ms=START_MS, seconds=seconds, requests_per_second=requests_per_second, accounts=accounts, seed=seed, finish=seed % 2 == 0
    )


def nobody_is_woken(result: Replayed) -> None:
    rules = {rule for incident in result.summary.incidents for rule in incident.rules}
    assert rules & INVARIANTS == set()
    assert result.summary.pages == 0
    assert result.summary.marks == []
    assert result.rejected == {}
    assert result.summary.verdicts["HOLD"] == result.summary.verdicts["UNSCORED"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_minutes_of_honest_traffic_wake_nobody(tmp_path: Path, seed: int) -> None:
    nobody_is_woken(replayed(tmp_path / "honest.jsonl", Traffic(parameters(seed))))


def test_a_quiet_exchange_wakes_nobody(tmp_path: Path) -> None:
    nobody_is_woken(replayed(tmp_path / "quiet.jsonl", Traffic(parameters(6, seconds=7_200.0, requests_per_second=0.2, accounts=8_000))))


def hard_negatives(seconds: float) -> tuple[Episode, ...]:
    """Every kind of episode at once, over most of the time."""
    kinds = {
        "price_shock": (0.6, None), "airdrop": (2.0, "XRP"), "bad_news_run": (8.0, None), "new_processor": (0.3, "BTC"), "amount_shock": (2.5, None),
        "node_trouble": (0.4, "ETH"), "watcher_lag": (1.0, None), "new_customers": (1.0, None),
    }  # fmt: skip
    return tuple(
        Episode(kind=kind, start_seconds=0.2 * seconds, seconds=0.6 * seconds, factor=factor, asset=asset)  # type: ignore[arg-type]
        for kind, (factor, asset) in kinds.items()
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_no_episode_breaks_an_invariant(tmp_path: Path, seed: int) -> None:
    """What detectors make of it is theirs; that nothing is wrong with it is the simulation's promise."""
    given = structs.replace(parameters(seed, seconds=200.0, requests_per_second=2.0, accounts=400), episodes=hard_negatives(200.0))
    result = replayed(tmp_path / "episodes.jsonl", Traffic(given))
    rules = {rule for incident in result.summary.incidents for rule in incident.rules}
    given_reasons = {reason.rule for reasons in result.summary.reasons.values() for reason in reasons}
    assert (rules | given_reasons) & INVARIANTS == set()
    assert result.rejected == {}
    assert result.summary.verdicts["UNSCORED"] == 0
    assert sum(result.summary.verdicts.values()) > 1_000


@pytest.mark.long
@pytest.mark.timeout(900)
def test_days_of_honest_traffic_page_less_than_once_a_day(tmp_path: Path) -> None:
    """Days have what minutes have not: a wallet's signers change, and it is topped up the day after."""
    days = 5
    result = replayed(tmp_path / "days.jsonl.gz", Traffic(parameters(7, seconds=days * 86_400.0, requests_per_second=0.3, accounts=2_000)))
    assert {rule for incident in result.summary.incidents for rule in incident.rules} & INVARIANTS == set()
    assert result.summary.pages < days
    assert result.rejected == {}
    assert result.summary.verdicts["UNSCORED"] == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_incident_is_one_page_over_any_traffic(tmp_path: Path, seed: int) -> None:
    traffic = Traffic(parameters(seed), load("dmm-bitcoin-2024"), 120.0)
    result = replayed(tmp_path / "incident.jsonl", traffic)
    [(withdrawal_id, asset, amount)] = traffic.losses()
    assert result.summary.pages == 1
    assert result.summary.verdicts["HOLD"] == 1
    [mark] = result.summary.marks
    assert (mark.withdrawal_id, mark.asset, mark.amount, mark.base_amount) == (withdrawal_id, asset, amount, "48200000000")
    [incident] = [incident for incident in result.summary.incidents if incident.severity == "critical"]
    assert "redirect" in incident.rules
    assert result.summary.reasons[incident.incident_id][0].rule == "redirect"
