"""A policy in shadow: what it decides otherwise is counted as a second witness counts it, however the journal is cut; equal policies differ in nothing."""

import json
from collections import Counter
from functools import cache
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from monitor import entries
from monitor.engine import Engine
from monitor.policies import changes, digest, reconciled
from monitor.policy import Asset, CoverageLevels, Layer, Policy, Thresholds
from monitor.shadow import Proposed, Shadow, Terms, proposed_policy
from monitor.shadow_result import Compared, Difference
from monitor.version import ENGINE_VERSION
from tests.simulation.journals import PARTITIONS, START_MS, altered, honest, journal, policy, term
from tests.unit.story import Story
from tests.unit.test_decided import begun, redirected, say

LAYERS = policy().layers
RARER = Thresholds(hold_p_value=0.02)


@cache
def wrong() -> tuple[bytes, ...]:
    """A minute of traffic with things that are wrong."""
    return tuple(journal(altered(honest(60, 40, 3), 5, 0.03)))


def run(lines: tuple[bytes, ...] | list[bytes], proposal: Policy, cut: int = 500, **options: Any) -> tuple[Compared, list[Difference]]:
    """The comparison, and the differences as they came."""
    terms = Terms()
    terms.take(lines)
    proposed = proposed_policy(terms, proposal)
    assert isinstance(proposed, Proposed)
    shadow = Shadow(sha256(lines[0]).hexdigest(), proposed.policy, **options)
    found = []
    for start in range(0, len(lines), cut):
        found += shadow.fold(lines[start : start + cut])
    return shadow.result(), found


def witness(lines: tuple[bytes, ...] | list[bytes], told: Policy) -> tuple[dict[str, str], dict[str, Any], Counter[str]]:
    """The last verdict by withdrawal, the last mark by name and the alerts of one fold whose terms tell a policy."""
    changed = [json.loads(line) for line in lines]
    for entry in changed:
        if entry["kind"] == "term":
            entry["policy"] = json.loads(msgspec.json.encode(told))
    kept = [json.dumps(entry).encode() if entry["kind"] == "term" else line for entry, line in zip(changed, lines, strict=True)]
    verdicts, marks, alerts = {}, {}, Counter[str]()
    for record in Engine(sha256(lines[0]).hexdigest()).fold(0, kept):
        value = json.loads(record.value)
        if record.topic == "verdicts" and "withdrawal_id" in value:
            verdicts[value["withdrawal_id"]] = value["verdict"]
        elif record.topic == "marks":
            marks[value["mark_id"]] = (value["amount"], [(part["layer_id"], part["amount"]) for part in value["allocations"]])
        elif record.topic == "alerts":
            alerts[value["kind"]] += 1
    return verdicts, marks, alerts


def test_equal_policies_differ_in_nothing() -> None:
    compared, found = run(wrong(), policy())
    assert compared.equal and not found and not compared.differences
    assert compared.standing == compared.proposed
    assert compared.withdrawals > 500 and compared.standing.verdicts["HOLD"] > 5 and compared.standing.marks > 5
    assert sum(compared.standing.verdicts.values()) == compared.withdrawals


CHANGES: list[dict[str, Any]] = [
    {"rules_off": ("redirect",)},
    {"layers": LAYERS[::-1]},
    {"coverage_levels": CoverageLevels(hot_share_percent=())},
    {"rules_off": ("amount_changed", "double_payout"), "mode": "enforce"},
]


@pytest.mark.parametrize("changed", CHANGES, ids=",".join)
@pytest.mark.parametrize("swapped", [False, True], ids=["looser", "stricter"])
def test_the_counts_are_those_of_two_folds_apart(changed: dict[str, Any], *, swapped: bool) -> None:
    standing, proposal = (policy(**changed), policy()) if swapped else (policy(), policy(**changed))
    lines = [term(**changed), *wrong()[1:]] if swapped else list(wrong())
    compared, _ = run(lines, proposal)
    (verdicts, marks, alerts), (other_verdicts, other_marks, other_alerts) = witness(lines, standing), witness(lines, proposal)
    differ = Counter((verdicts[name], other_verdicts[name]) for name in verdicts if verdicts[name] != other_verdicts[name])
    assert {(each.standing, each.proposed): each.withdrawals for each in compared.changed} == differ
    assert compared.marks_differ == sum(marks.get(name) != other_marks.get(name) for name in marks.keys() | other_marks.keys())
    assert (compared.standing.marks, compared.proposed.marks) == (len(marks), len(other_marks))
    assert (compared.standing.pages, compared.proposed.pages) == (alerts["page"], other_alerts["page"])
    assert (compared.standing.notices, compared.proposed.notices) == (alerts["notice"], other_alerts["notice"])
    assert compared.standing.verdicts["HOLD"] == list(verdicts.values()).count("HOLD")
    assert compared.proposed.verdicts["HOLD"] == list(other_verdicts.values()).count("HOLD")
    assert not compared.equal and compared.unlisted == 0


def test_a_higher_hold_threshold_holds_more_and_says_why() -> None:
    lines = journal(honest(600, 20, 3))
    compared, _ = run(lines, policy(thresholds=RARER))
    assert compared.newly_held.withdrawals > 5 and compared.no_longer_held.withdrawals == 0
    held = [each for each in compared.differences if each.what == "verdict"]
    assert len(held) == compared.newly_held.withdrawals
    assert all((each.standing, each.proposed) == ("CLEAR", "HOLD (observe)") for each in held)
    assert all(each.proposed_reasons and each.base_amount is not None for each in held)
    assert sum(int(each.base_amount or 0) for each in held) == int(compared.newly_held.base_amount) == int(compared.proposed.held_base_amount)
    backwards, _ = run([term(thresholds=RARER), *lines[1:]], policy())
    assert (backwards.no_longer_held, backwards.newly_held) == (compared.newly_held, compared.no_longer_held)


def test_another_order_of_layers_is_told_mark_by_mark() -> None:
    compared, _ = run(wrong(), policy(layers=LAYERS[::-1]))
    [first, *_] = compared.differences
    assert first.what == "mark" and first.standing.endswith("guarantee-btc 10.2 BTC held") and "liability-reserve" in first.proposed
    standing, proposed = compared.standing.coverage, compared.proposed.coverage
    assert standing is not None and proposed is not None and standing.available != proposed.available


@pytest.mark.parametrize("changed", CHANGES, ids=",".join)
def test_the_cut_never_shows(changed: dict[str, Any]) -> None:
    whole = run(wrong(), policy(**changed), len(wrong()))
    assert run(wrong(), policy(**changed), 7) == whole
    assert run(wrong(), policy(**changed), 1_000) == whole


def test_since_leaves_out_what_was_decided_before() -> None:
    compared, _ = run(wrong(), policy(rules_off=("redirect",)), since_ms=START_MS + 30_000)
    whole, _ = run(wrong(), policy(rules_off=("redirect",)))
    assert compared.from_ms is not None and compared.from_ms >= START_MS + 30_000
    assert 0 < compared.withdrawals < whole.withdrawals
    assert all(each.at_ms >= START_MS + 30_000 for each in compared.differences if each.what != "mark")
    assert compared.standing.coverage == whole.standing.coverage
    nothing, _ = run(wrong(), policy(rules_off=("redirect",)), since_ms=START_MS * 2)
    assert (nothing.withdrawals, nothing.verdicts_differ, nothing.from_ms) == (0, 0, None)


def test_bounds_are_kept_and_told() -> None:
    whole, _ = run(wrong(), policy(rules_off=("redirect",)))
    few, _ = run(wrong(), policy(rules_off=("redirect",)), tracked_max=4, listed_max=2)
    assert few.forgotten > 0 and whole.forgotten == 0
    assert few.differences == whole.differences[:2] and few.unlisted == len(whole.differences) - 2
    assert (few.changed[0].withdrawals, few.standing.verdicts) == (whole.changed[0].withdrawals, whole.standing.verdicts)


def recorded() -> tuple[Story, list[bytes]]:
    """A story with people who may decide, and its journal as it grows."""
    story = begun()
    kept = [entries.term("term-1", ENGINE_VERSION, story.engine.state.policy, PARTITIONS, START_MS), *Story().writer.opened(START_MS)]
    told = story.feed

    def feed(entry: bytes) -> list[dict[str, object]]:
        kept.append(entry)
        return told(entry)

    story.feed = feed  # type: ignore[method-assign]  # the story is told as ever, and kept beside
    return story, kept


def test_a_release_by_people_is_no_difference() -> None:
    story, kept = recorded()
    story.tell("withdrawals status=requested amount=5 balance_before=1")
    redirected(story, "v")
    say(story, "lea", "release", "w")
    say(story, "leo", "release", "w")
    assert story.engine.state.withdrawals.by_id["w"].verdict == "CLEAR"
    compared, _ = run(kept, msgspec.structs.replace(story.engine.state.policy, mode="enforce"))
    assert (compared.standing.verdicts["HOLD"], compared.verdicts_differ, compared.modes_differ) == (2, 0, 2)
    assert (compared.standing.marks, compared.proposed.marks, compared.marks_differ) == (2, 2, 0), "one of them in two versions"


def test_what_becomes_equal_again_is_told_and_no_longer_listed() -> None:
    """A redirect is a HOLD only where that rule is on; the second transaction makes it a HOLD in both."""
    story, kept = recorded()
    redirected(story)
    story.tell("outflows withdrawal_id=w tx_id=t-other address=home amount=1")
    compared, found = run(kept, msgspec.structs.replace(story.engine.state.policy, rules_off=("redirect",)), cut=1)
    of = [(each.what, each.standing, each.proposed) for each in found if each.subject_id == "w"]
    assert of == [("verdict", "HOLD (observe)", "CLEAR"), ("verdict", "HOLD (observe)", "HOLD (observe)")]
    assert compared.verdicts_differ == 0 and not [each for each in compared.differences if each.subject_id == "w"]


def test_terms_give_every_proposal_by_the_hash_that_the_fold_told() -> None:
    standing = policy()
    other = policy(assets={"JPY": Asset(0), "BTC": Asset(4), "NEW": Asset(3)}, layers=(Layer("new", "NEW"),))
    third = policy(late_after_ms=5_000)
    lines = [entries.term(f"term-{number}", ENGINE_VERSION, told, PARTITIONS, START_MS) for number, told in enumerate((standing, other, third))]
    terms = Terms()
    terms.take(lines)
    assert terms.first == standing
    assert digest(reconciled(standing, other)[0]) in terms.proposals
    assert digest(reconciled(standing, third)[0]) in terms.proposals, "as if the second was never approved"
    assert digest(reconciled(reconciled(standing, other)[0], third)[0]) in terms.proposals, "as if it was"
    proposed = proposed_policy(terms, other)
    assert isinstance(proposed, Proposed)
    assert proposed.policy.assets["BTC"] == Asset(8) and proposed.policy.assets["NEW"] == Asset(3) and proposed.policy.version == 2
    assert proposed.refused == ["asset BTC keeps its 8 decimals"]
    refused = proposed_policy(terms, policy(layers=(Layer("x", "NOTHING"),)))
    assert isinstance(refused, str) and refused.startswith("The proposed policy can't be had: layers.0.unit (NOTHING) must be one of policy.assets;")
    assert isinstance(proposed_policy(Terms(), policy()), str)


def test_changes_are_told_value_by_value() -> None:
    told = {
        each.setting: (each.standing, each.proposed)
        for each in changes(policy(), policy(version=9, thresholds=RARER, rule_modes={"redirect": "enforce"}))
    }
    assert told == {"thresholds.hold_p_value": ("0.00001", "0.02"), "rule_modes": ("{}", None), "rule_modes.redirect": (None, '"enforce"')}


def test_rates_a_day_need_a_day() -> None:
    story, kept = recorded()
    redirected(story, "u")
    short, _ = run(kept, story.engine.state.policy)
    assert (short.standing.pages, short.standing.pages_per_day, short.standing.reviews_per_day) == (1, None, None)
    story.now_ms += 4 * 86_400_000
    redirected(story, "v")
    long, _ = run(kept, msgspec.structs.replace(story.engine.state.policy, rules_off=("redirect",)))
    assert (long.standing.pages, long.standing.pages_per_day, long.standing.reviews_per_day) == (2, 0.5, 0.5)
    assert (long.proposed.pages, long.proposed.pages_per_day, long.proposed.reviews_per_day) == (0, 0.0, 0.0)
