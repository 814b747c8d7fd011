"""Providers: the registry, payments through those that it doesn't know or that don't stand, and what depends on one."""

import pytest

from monitor import provider_rules
from monitor.blast_radius import blast_radius
from monitor.policy import Layer
from tests.unit.story import Story

WINDOW_MS = 3_600_000


def registered(*lines: str, **changes: object) -> Story:
    """A story whose registry knows provider good."""
    story = Story(**changes)
    for line in ("providers provider_id=good", *lines):
        story.tell(line)
    return story


def findings(story: Story, *lines: str) -> list[str]:
    """What the lines, and what is proven a little later, make of providers: the summaries of incidents."""
    published = [record for line in (*lines, "tick", "tick", "tick", "progress") for record in story.tell(line)]
    rules = {"provider_unknown", "provider_unregistered"}
    told = [record for record in published if record["topic"] == "incidents" and rules & set(record["rules"])]  # type: ignore[call-overload]
    return list(dict.fromkeys(str(record["summary"]).partition(". ")[0] for record in told))


def count(story: Story) -> dict[str, int]:
    """Findings about providers so far."""
    return {rule: number for rule, number in story.engine.gauges().findings.items() if rule.startswith("provider_un")}


def test_a_registered_and_a_notified_provider_are_fine() -> None:
    story = registered("providers provider_id=notified standing=notified")
    assert findings(story, "withdrawals status=requested provider_id=good", "outflows tx_id=t withdrawal_id=w provider_id=notified") == []


def test_a_withdrawal_through_an_unknown_one_is_found_once_its_registry_was_read() -> None:
    story = registered()
    story.tell("withdrawals status=requested provider_id=evil")
    for _ in range(5):
        story.tell("tick")
    assert count(story) == {}
    assert findings(story) == ["withdrawal w went through provider evil, which isn't among the 1 of the registry"]


@pytest.mark.parametrize(
    "line",
    [
        "withdrawals status=signed provider_id=evil",
        "outflows tx_id=t withdrawal_id=w provider_id=evil",
        "outflows tx_id=t withdrawal_id=w provider_id=evil internal=yes",
    ],
)
def test_later_steps_and_outflows_are_looked_at_too(line: str) -> None:
    story = registered("withdrawals status=requested")
    assert findings(story, line) == ["withdrawal w went through provider evil, which isn't among the 1 of the registry"]


def test_an_outflow_without_a_claim() -> None:
    story = registered()
    findings(story, "outflows tx_id=t provider_id=evil")
    assert count(story) == {"provider_unknown": 1}
    [incident] = story.engine.state.incidents.by_id.values()  # one with the outflow that nobody asked for
    assert any("an outflow that names no withdrawal went through provider evil" in line.detail for line in incident.timeline) or (
        set(incident.rules) == {"outflow_without_request", "provider_unknown"}
    )


def test_one_that_is_neither_registered_nor_notified() -> None:
    story = registered("providers provider_id=bad standing=none")
    assert findings(story, "withdrawals status=requested provider_id=bad") == [
        "withdrawal w went through provider bad, which is neither registered nor notified"
    ]
    assert count(story) == {"provider_unregistered": 1}


def test_one_whose_registration_begins_later() -> None:
    story = registered()
    since_ms = story.now_ms + 10_000
    story.tell(f"providers provider_id=new since_ms={since_ms}")
    (told,) = findings(story, "withdrawals status=requested provider_id=new")
    assert told == f"withdrawal w went through provider new, which is registered only from {since_ms} (ms) on"
    while story.now_ms < since_ms:
        story.tell("tick")
    assert findings(story, "withdrawals status=requested withdrawal_id=w2 provider_id=new") == []


def test_a_provider_that_is_told_before_its_absence_is_proven_is_known() -> None:
    story = registered("withdrawals status=requested provider_id=late", "providers provider_id=late")
    assert findings(story) == []
    assert findings(story, "withdrawals status=requested withdrawal_id=w2 provider_id=late") == []


def test_one_that_is_registered_later_ends_the_findings_and_one_that_is_struck_off_begins_them_again() -> None:
    story = registered()
    assert len(findings(story, "withdrawals status=requested provider_id=p")) == 1
    assert findings(story, "providers provider_id=p", "withdrawals status=requested withdrawal_id=w2 provider_id=p") == []
    findings(story, "providers provider_id=p standing=none", "withdrawals status=requested withdrawal_id=w3 provider_id=p")
    assert count(story) == {"provider_unknown": 1, "provider_unregistered": 1}


def test_once_per_provider_and_window() -> None:
    story = registered(incident_window_ms=WINDOW_MS)
    for number in range(5):
        findings(story, f"withdrawals status=requested withdrawal_id=w{number} provider_id=evil")
    assert count(story) == {"provider_unknown": 1}
    story.now_ms += WINDOW_MS
    findings(
        story, "withdrawals status=requested withdrawal_id=later provider_id=evil", "withdrawals status=requested withdrawal_id=more provider_id=evil"
    )
    assert count(story) == {"provider_unknown": 2}


def test_it_is_told_and_pages_nobody_and_marks_nothing() -> None:
    story = registered()
    published = [record for line in ("withdrawals status=requested provider_id=evil", *["tick"] * 4, "progress") for record in story.tell(line)]
    assert [record["kind"] for record in published if record["topic"] == "alerts"] == ["notice"]
    assert not [record for record in published if record["topic"] == "marks"]
    assert {str(record["keys"]) for record in published if record["topic"] == "incidents"} == {"['provider:evil']"}


def test_an_empty_registry_knows_nobody_and_is_silent() -> None:
    assert findings(Story(), "withdrawals status=requested provider_id=any") == []


def test_rules_that_are_off() -> None:
    assert findings(registered(rules_off=("provider_unknown",)), "withdrawals status=requested provider_id=evil") == []


def test_a_full_registry_refuses_new_ones_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_rules, "PROVIDERS_MAX", 2)
    story = registered("providers provider_id=second")
    (refused,) = story.tell("providers provider_id=third")
    assert (refused["what"], refused["subject_id"]) == ("refused", "third")
    assert story.tell("providers provider_id=second standing=none") == []  # known ones are still told
    (told,) = findings(story, "withdrawals status=requested provider_id=third")
    assert told.endswith("isn't among the 2 of the registry, which is full")


def test_doubted_providers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provider_rules, "PROVIDERS_MAX", 32)
    story = registered()
    for number in range(100):
        story.tell(f"withdrawals status=requested withdrawal_id=w{number} provider_id=evil-{number}")
    assert len(story.engine.state.doubted_providers) <= 32
    assert "evil-99" in story.engine.state.doubted_providers


# --- what depends on a provider ---


def test_blast_radius_of_a_provider() -> None:
    story = registered(
        "prices price=1000",
        "reserves layer_id=kind unit=BTC amount=1",
        "reserves layer_id=reserve unit=JPY amount=500",
        "providers provider_id=good registration_number=7 standing=notified",
        "balances wallet_id=hot amount=4 provider_id=good",
        "balances wallet_id=cold amount=2 temperature=cold provider_id=good",
        "balances wallet_id=own amount=3 owner=exchange temperature=cold provider_id=good",
        "balances wallet_id=other amount=9 provider_id=else",
        "balances wallet_id=hot asset=ETH amount=5 provider_id=good",
        "withdrawals status=requested withdrawal_id=w1 amount=0.5 provider_id=good",
        "withdrawals status=requested withdrawal_id=w2 amount=0.25 provider_id=good",
        "withdrawals status=broadcast withdrawal_id=w2 amount=0.25 provider_id=good tx_id=t2",
        "withdrawals status=requested withdrawal_id=w3 amount=7 provider_id=good",
        "withdrawals status=cancelled withdrawal_id=w3 amount=7 provider_id=good",
        "withdrawals status=requested withdrawal_id=w4 amount=0.1 address=d4 provider_id=good",
        "withdrawals status=confirmed withdrawal_id=w4 amount=0.1 address=d4 provider_id=good tx_id=t4",
        "withdrawals status=requested withdrawal_id=w5 amount=0.2 address=d5 provider_id=else",
        "withdrawals status=requested withdrawal_id=w6 amount=0.3 address=d6 provider_id=good balance_before=0",
    )  # fmt: skip
    radius = blast_radius(story.engine.state, "good")
    assert (radius.name, radius.standing, radius.number) == ("Provider", "notified", "7")
    assert (radius.open_withdrawals, radius.sent, radius.withdrawal_ids) == (3, 1, ("w1", "w2", "w6"))
    assert (radius.open_amounts, radius.open_base_amount) == ({"BTC": "1.05"}, "1050")
    assert [(row.wallet_id, row.asset, row.hot, row.owner) for row in radius.wallets] == [
        ("cold", "BTC", False, "customer"), ("hot", "BTC", True, "customer"), ("hot", "ETH", True, "customer"), ("own", "BTC", False, "exchange"),
    ]  # fmt: skip
    assert (radius.hot_base_amount, radius.customers_base_amount, radius.all_base_amount) == ("4000", "6000", "9000")
    assert radius.at_least  # ETH has no price
    # .3 BTC are marked, in kind: .7 BTC and 500 JPY are left to carry 6 BTC.
    assert (radius.headroom_base_amount, radius.uncovered_base_amount) == ("1200", "4800")
    assert (radius.marks, radius.mark_ids, radius.marked_base_amount) == (1, ("withdrawal:w6",), "300")


def test_blast_radius_by_the_registry_alone_and_of_nobody() -> None:
    story = registered()
    event = {
        "event_id": "p", "occurred_at_ms": story.now_ms, "provider_id": "signer", "name": "S", "role": "signing", "standing": "registered",
        "wallet_ids": ["served"], "signing_wallet_ids": ["hot"],
    }  # fmt: skip
    story.feed(story.writer.event("providers", event, story.now_ms))
    story.tell("balances wallet_id=hot amount=4 provider_id=else")
    radius = blast_radius(story.engine.state, "signer")
    assert [(row.wallet_id, row.asset, row.signs, row.registered) for row in radius.wallets] == [
        ("hot", "BTC", True, True),
        ("served", None, False, True),
    ]
    nobody = blast_radius(story.engine.state, "nobody")
    assert (nobody.standing, nobody.wallets, nobody.open_withdrawals, nobody.marks, nobody.uncovered_base_amount) == ("unknown", (), 0, 0, "0")


def test_looking_at_a_blast_radius_changes_nothing() -> None:
    from monitor.snapshot_file import encode

    story = registered("balances amount=4 provider_id=good", "withdrawals status=requested provider_id=good")
    before = encode(story.engine.freeze())
    blast_radius(story.engine.state, "good")
    assert encode(story.engine.freeze()) == before


def test_a_provider_broken_into_is_one_event_over_all_its_wallets() -> None:
    insurance = Layer("insurance", "JPY", drawn="on_claim", limit_total="9000", limit_per_event="1000", deductible="100")
    story = Story(layers=(insurance,))
    for line in ("prices price=1000", "prices asset=ETH price=100", "balances amount=2 provider_id=p", "balances asset=ETH amount=5 provider_id=p"):
        story.tell(line)
    # 2,000 and 500 are lost: the first 100 pass the insurance by once, and it pays 1,000 once.
    radius = blast_radius(story.engine.state, "p")
    assert (radius.headroom_base_amount, radius.customers_base_amount, radius.uncovered_base_amount) == ("900", "2500", "1500")
