"""Which policy decides: who must approve it, what of it can't be had, its version, and what it changes, for people."""

from hashlib import sha256
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from monitor import entries
from monitor.policies import Changed, changes, differences, digest, needs_approval, next_version, reconciled
from monitor.policy import Asset, FourEyes, Layer, Policy, Role, Thresholds
from monitor.version import ENGINE_VERSION
from tests.simulation.journals import policy
from tests.unit.story import Story
from tests.unit.test_decided import actors, begun, outcome, say


def test_a_policy_is_named_by_its_content_and_not_by_its_version() -> None:
    assert digest(policy()) == digest(policy(version=7)) != digest(policy(late_after_ms=1_234))
    assert digest(policy(version=7)) == sha256(msgspec.json.encode(policy(version=1), order="deterministic")).hexdigest()  # anybody can reckon it


@pytest.mark.parametrize(
    ("changed", "needed"),
    [
        ({}, False),
        ({"actors": actors("ana", "adam")}, True),
        ({"actors": actors("ana", "lea")}, False),
        ({"actors": actors("ana", "robot")}, False),  # a machine approves nothing
        ({"actors": actors("adam"), "roles": {"analyst": Role(("note",))}}, False),  # a role that the policy doesn't know
        ({"actors": actors("adam"), "roles": {"administrator": Role(("note",))}}, False),
        ({"actors": actors("ana"), "roles": {"analyst": Role(("change_policy",))}}, True),
    ],
)
def test_a_policy_is_approved_where_some_person_may(changed: dict[str, Any], *, needed: bool) -> None:
    assert needs_approval(policy(**changed)) == needed


def test_what_the_ledger_stands_on_stays() -> None:
    standing = policy(assets={"JPY": Asset(0), "BTC": Asset(8), "ETH": Asset(18)})
    wanted = policy(assets={"JPY": Asset(0), "BTC": Asset(6), "SOL": Asset(9)}, base_currency="SOL", late_after_ms=1_234)
    had, refused = reconciled(standing, wanted)
    assert had == policy(assets={**standing.assets, "SOL": Asset(9)}, late_after_ms=1_234)
    assert refused == ["asset BTC keeps its 8 decimals", "the base currency stays JPY"]
    assert reconciled(standing, standing) == (standing, [])


def test_a_policy_gets_a_version_of_its_own() -> None:
    assert [next_version(policy(version=5), policy(version=version)).version for version in (1, 5, 6, 9)] == [6, 6, 6, 9]
    assert next_version(policy(), policy(late_after_ms=1_234)) == policy(version=2, late_after_ms=1_234)


def test_what_differs_is_told_by_field_and_by_value() -> None:
    wanted = policy(version=9, late_after_ms=1_234, thresholds=Thresholds(hold_p_value=0.02), rules_off=("silent",))
    assert differences(policy(), wanted) == "rules_off, thresholds, late_after_ms"
    assert differences(policy(), policy(version=9)) == "nothing"
    late_after_ms = str(policy().late_after_ms)
    assert changes(policy(), wanted) == [
        Changed("rules_off", "[]", '["silent"]'), Changed("thresholds.hold_p_value", "0.00001", "0.02"),
        Changed("late_after_ms", late_after_ms, "1234"),
    ]  # fmt: skip
    assert changes(policy(), policy(version=9)) == []


def told_by_a_term(story: Story, wanted: Policy) -> list[str]:
    """A worker's policy comes with its term; what the fold says of it."""
    told = story.feed(entries.term("term-2", ENGINE_VERSION, wanted, {"withdrawals": 1}, story.now_ms))
    return [
        f"{record['what']} {record['subject_id']}: {record['detail']}" for record in told if record["topic"] == "audit" and record["what"] != "term"
    ]


def test_of_a_term_s_policy_is_refused_what_can_not_be_had_and_the_rest_decides() -> None:
    story = begun()
    standing = story.engine.state.policy
    assert told_by_a_term(story, standing) == []
    wrong = (Layer("reserve", "JPY"), Layer("reserve", "JPY"))
    wanted = replace(standing, assets={**standing.assets, "BTC": Asset(7)}, layers=wrong, late_after_ms=1_234)
    assert told_by_a_term(story, wanted) == [
        "policy-changed term-2: the policy of term term-2 differs in layers, late_after_ms; it decides from here on as version 2",
        "refused term-2: of the policy: asset BTC keeps its 8 decimals",
        "refused term-2: of the policy: layers.1.layer_id (reserve) is there twice; every layer needs a name of its own.",
    ]
    assert story.engine.state.policy == replace(standing, version=2, late_after_ms=1_234)


def test_an_approved_policy_decides_as_far_as_it_can_and_what_is_refused_of_it_is_said() -> None:
    story = Story(actors=actors("adam", "eve"), four_eyes=FourEyes(commands=()))
    standing = story.engine.state.policy
    wanted = replace(standing, layers=(Layer("reserve", "JPY"), Layer("reserve", "JPY")), late_after_ms=1_234)
    name = digest(wanted)
    [told] = told_by_a_term(story, wanted)
    assert told == f"policy-proposed {name}: the policy of term term-2 differs in layers, late_after_ms; it decides once people approve it"
    assert "no such policy is proposed" in outcome(say(story, "adam", "change_policy", "another", "policy"))
    say(story, "adam", "change_policy", name, "policy")
    records = [record for record in say(story, "eve", "change_policy", name, "policy") if record["topic"] == "audit"]
    assert sorted(f"{record['what']} {record['subject_id'] == name}: {record['detail']}" for record in records) == [
        f"decided True: change_policy of policy {name} by eve, approved by adam first: it decides from here on as version 2: looked at it",
        "refused True: of the policy: layers.1.layer_id (reserve) is there twice; every layer needs a name of its own.",
    ]
    assert story.engine.state.policy == replace(standing, version=2, late_after_ms=1_234)
    assert "no such policy is proposed" in outcome(say(story, "eve", "change_policy", name, "policy"))  # it is proposed no longer
