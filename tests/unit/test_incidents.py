"""Incidents: what is tied becomes one, merges move marks, late facts find their own, a page says what a woken person must know."""

from collections import Counter
from hashlib import sha256

import msgspec
import pytest

from monitor.contracts.outputs import Alert, Incident
from monitor.engine import Engine
from monitor.findings import Finding, Subject, ties
from monitor.handling import Handling
from monitor.outbox import OutputRecord
from monitor.paging import ESCALATION_FACTOR
from monitor.policy import Budget, ClockTargets
from monitor.snapshot_file import decode, encode
from streams import summary
from tests.simulation.attack import AMOUNT, attack
from tests.unit.story import Story

FUNDED = ("reserves layer_id=kind unit=BTC amount=10", "reserves layer_id=reserve unit=JPY amount=50000000", "prices price=10000000")


def told(story: Story, *lines: str) -> list[dict[str, object]]:
    return [record for line in lines for record in story.tell(line)]


def newest(records: list[dict[str, object]]) -> dict[str, Incident]:
    """The newest version of each incident."""
    found = {}
    for record in records:
        if record["topic"] == "incidents":
            incident = msgspec.convert({name: value for name, value in record.items() if name != "topic"}, Incident)
            found[incident.incident_id] = incident
    return found


def alerts_of(records: list[dict[str, object]], incident_id: str) -> list[dict[str, object]]:
    return [record for record in records if record["topic"] == "alerts" and record["incident_id"] == incident_id]


def redirected(name: str, *, account: str, wallet: str, to: str, amount: str = "1", provider: str = "") -> tuple[str, str]:
    """A withdrawal that is paid to somebody else."""
    of = f"withdrawal_id={name} account_id={account} wallet_id={wallet} amount={amount}{f' provider_id={provider}' if provider else ''}"
    return f"withdrawals status=requested {of}", f"withdrawals status=broadcast tx_id=t-{name} address={to} {of}"


def test_wallet_address_account_and_provider_tie() -> None:
    pairs = {
        "wallet": (redirected("w1", account="a", wallet="hot", to="x"), redirected("w2", account="b", wallet="hot", to="y")),
        "address": (redirected("w1", account="a", wallet="h1", to="x"), redirected("w2", account="b", wallet="h2", to="x")),
        "account": (redirected("w1", account="a", wallet="h1", to="x"), redirected("w2", account="a", wallet="h2", to="y")),
        "provider": (
            redirected("w1", account="a", wallet="h1", to="x", provider="p"),
            redirected("w2", account="b", wallet="h2", to="y", provider="p"),
        ),
        "nothing": (redirected("w1", account="a", wallet="h1", to="x"), redirected("w2", account="b", wallet="h2", to="y")),
    }
    for what, (one, two) in pairs.items():
        story = Story()
        told(story, *one, *two)
        assert len(story.engine.state.incidents.by_id) == (2 if what == "nothing" else 1), what


def test_a_device_and_a_batch_tie_requests() -> None:
    for field in ("device_id", "batch_id"):
        story = Story()
        told(
            story,
            f"withdrawals status=requested withdrawal_id=w1 account_id=a address=x balance_before=0.5 {field}=d",
            f"withdrawals status=requested withdrawal_id=w2 account_id=b address=y balance_before=0.5 {field}=d",
        )
        assert len(story.engine.state.incidents.by_id) == 1, field


def test_what_all_share_ties_nothing_else() -> None:
    subject = Subject("m", "w", "a", "customer", "BTC", 1, "p")
    assert ties(Finding("asset_outflow", "why", 0, ("asset:BTC",), None, subject)) == ("asset:BTC",)
    assert ties(Finding("redirect", "why", 0, ("address:x", "wallet:"), None, subject)) == ("address:x", "account:a", "provider:p")
    assert ties(Finding("double_payout", "why", 0, ("address:x",), None, subject)) == ("address:x", "account:a")


def test_a_finding_that_ties_two_merges_them_and_moves_the_marks() -> None:
    story = Story()
    records = told(
        story, *FUNDED,
        *redirected("w1", account="a", wallet="h1", to="x", amount="2"),
        *redirected("w2", account="b", wallet="h2", to="y"), *redirected("w3", account="c", wallet="h2", to="z"), "tick",
    )  # fmt: skip
    small, large = sorted(newest(records).values(), key=lambda one: one.marks)
    assert (small.marks, large.marks) == (1, 2)
    story.engine = Engine.thaw(decode(encode(story.engine.freeze())))
    merging = told(story, *redirected("w4", account="d", wallet="h1", to="z"))
    after = newest(merging)
    ended, stays = after[small.incident_id], after[large.incident_id]
    assert (ended.state, ended.merged_into, ended.marks, ended.marked_base_amount) == ("merged", large.incident_id, 0, "0")
    assert (stays.state, stays.marks, stays.marked_base_amount, stays.withdrawals, stays.accounts) == ("new", 4, "50000000", 4, 4)
    assert any(line.what == "merged" and small.incident_id in line.detail for line in stays.timeline)
    assert {mark.incident_id for mark in story.engine.state.marks.by_id.values()} == {large.incident_id}
    moved = [record for record in merging if record["topic"] == "marks" and record["mark_id"] == "withdrawal:w1"]
    assert [(record["version"], record["incident_id"]) for record in moved] == [(2, large.incident_id)]
    again = told(story, "withdrawals status=confirmed tx_id=other address=q withdrawal_id=w1 account_id=a wallet_id=h1 amount=2")
    assert {record["incident_id"] for record in again if record["topic"] == "verdicts"} == {large.incident_id}  # old names lead to it


def test_a_proposed_closing_ends_with_a_merge() -> None:
    story = Story()
    first = told(story, *FUNDED, *redirected("w1", account="a", wallet="h1", to="x"), *redirected("w2", account="b", wallet="h2", to="y"), "tick")
    for name in newest(first):
        assert Handling(story.engine.state.incidents).propose_close(name, "test", "lea", story.now_ms) is None
    merged = newest(told(story, *redirected("w3", account="c", wallet="h1", to="y")))
    assert sorted((one.state, one.outcome) for one in merged.values()) == [("investigating", None), ("merged", None)]


def test_a_summary_shows_what_was_merged_once_with_the_reasons_of_both() -> None:
    story, summed = Story(), summary.Story()
    lines = (
        *redirected("w1", account="a", wallet="h1", to="x"), *redirected("w2", account="b", wallet="h2", to="y"),
        *redirected("w3", account="c", wallet="h1", to="y"),
    )  # fmt: skip
    for record in told(story, *lines):
        facts = {name: value for name, value in record.items() if name != "topic"}
        summed.take(OutputRecord(str(record["topic"]), None, msgspec.json.encode(facts), 0, 0))
    [incident] = summed.summary().incidents
    assert incident.withdrawals == 3
    [reasons] = summed.summary().reasons.values()
    assert {reason.detail for reason in reasons} == {"requested BTC to home, paid BTC to x", "requested BTC to home, paid BTC to y"}
    assert any(f"({incident.severity}, {incident.cause}, new)" in line for line in summary.lines(summed.summary()))


def test_of_equals_the_older_stays() -> None:
    story = Story()
    records = told(story, *redirected("w1", account="a", wallet="h1", to="x"), *redirected("w2", account="b", wallet="h2", to="y"))
    older = min(newest(records).values(), key=lambda one: one.opened_at_ms)
    after = newest(told(story, *redirected("w3", account="c", wallet="h1", to="y")))
    assert after[older.incident_id].state == "new" and len(after) == 2


def test_a_late_fact_joins_the_incident_of_its_time() -> None:
    story = Story(incident_window_ms=60_000)
    first = newest(told(story, *redirected("w1", account="a", wallet="hot", to="x")))
    story.now_ms += 3_600_000
    second = newest(told(story, *redirected("w2", account="b", wallet="hot", to="y")))
    assert first.keys().isdisjoint(second)
    at_ms = next(iter(first.values())).last_event_at_ms + 30_000
    late = (f"{line} occurred_at_ms={at_ms}" for line in redirected("w3", account="c", wallet="hot", to="z"))
    [joined] = [one for one in newest([*told(story, *late), *told(story, "tick")]).values() if one.withdrawals == 2]
    assert joined.incident_id in first and joined.last_event_at_ms == at_ms


def closed(story: Story) -> str:
    """An incident of the hot wallet, which a person closed."""
    [incident_id] = newest(told(story, *FUNDED, *redirected("w1", account="a", wallet="hot", to="x")))
    assert Handling(story.engine.state.incidents).close(incident_id, "test", "aiko", story.now_ms) is None
    return incident_id


def test_what_happens_after_a_closing_is_another_incident_that_follows_it() -> None:
    story = Story()
    incident_id = closed(story)
    [after] = newest(told(story, *redirected("w2", account="b", wallet="hot", to="y"))).values()
    assert (after.incident_id != incident_id, after.follows, after.state) == (True, incident_id, "new")
    assert story.engine.state.incidents.by_id[incident_id].stage == "closed"


def test_a_fact_from_before_a_closing_reopens_it_and_pages() -> None:
    story = Story()
    incident_id = closed(story)
    before_ms = story.now_ms - 500
    late = told(story, *(f"{line} occurred_at_ms={before_ms}" for line in redirected("w2", account="b", wallet="hot", to="y")))
    incident = newest(late)[incident_id]
    assert (incident.state, incident.outcome, incident.closed_at_ms, incident.withdrawals) == ("new", None, None, 2)
    alerts = [(record["kind"], record["why"]) for record in late if record["topic"] == "alerts"]
    assert [alert for alert in alerts if alert[1] != "level_crossed"] == [("page", "reopened")]


def test_a_mark_that_grows_reopens_a_closed_incident() -> None:
    story = Story()
    incident_id = closed(story)
    grown = told(story, "withdrawals status=confirmed tx_id=t-w1 address=x withdrawal_id=w1 account_id=a wallet_id=hot amount=30")
    assert newest([*grown, *told(story, "tick")])[incident_id].state == "new"


def test_a_page_says_who_how_much_from_where_and_what_to_do() -> None:
    story = Story()
    records = told(story, *FUNDED, *redirected("w1", account="a", wallet="hot", to="thief", amount="20", provider="signer"))
    [alert] = [record for record in records if record["topic"] == "alerts" and record["why"] != "level_crossed"]
    assert (alert["kind"], alert["severity"], alert["title"]) == (
        "page", "critical", "Paid to another destination than requested: 200,000,000 JPY",
    )  # fmt: skip
    for said in (
        "requested BTC to home, paid BTC to thief", "20 BTC, 200,000,000 JPY", "1 withdrawal(s) of 1 account(s)", "from wallet hot",
        "through provider signer", "to thief", "It still goes on.", "NOT COVERED: 50,000,000 JPY", "A fixed rule is broken.", "Next: stop the wallet",
    ):  # fmt: skip
        assert said in str(alert["summary"]), said


def test_without_a_price_a_page_says_at_least_and_that_cover_is_unknown() -> None:
    story = Story()
    [alert] = [record for record in told(story, *redirected("w1", account="a", wallet="hot", to="thief")) if record["topic"] == "alerts"]
    assert alert["title"] == "Paid to another destination than requested: at least 0 JPY (value unknown: no price)"
    assert "Whether it is covered isn't known: 1 mark(s) have no price." in str(alert["summary"])
    [incident] = newest(told(story, "prices price=10000000", "tick")).values()
    assert "1 BTC, 10,000,000 JPY, in" in incident.summary


def test_what_goes_quiet_says_so() -> None:
    story = Story()
    told(story, *redirected("w1", account="a", wallet="hot", to="thief"))
    story.now_ms += 599_000
    told(story, "progress")  # the clocks of the intakes go on, or the Tick is refused
    records = told(story, "prices price=10000000", "tick")
    assert any("Nothing new for 10 min." in incident.summary for incident in newest(records).values())


def test_an_uncovered_notice_is_a_warning_and_wakes_nobody() -> None:
    """Coverage is part of severity; whom to wake stays a matter of value and rule."""
    story = Story()
    twice = (
        "withdrawals status=requested withdrawal_id=w1 idempotency_key=k amount=0.1",
        "withdrawals status=requested withdrawal_id=w2 idempotency_key=k amount=0.1",
    )
    records = told(story, "prices price=10000000", *twice)
    [incident] = newest(records).values()
    assert (incident.severity, incident.uncovered_base_amount, incident.certain) == ("warning", "1000000", False)
    assert [record["kind"] for record in records if record["topic"] == "alerts"] == ["notice"]


def test_an_opinion_that_becomes_certain_pages_again() -> None:
    story = Story(budget=Budget(pages_per_hour=5))
    state = story.engine.state
    incidents, limits, now_ms = state.incidents, state.policy.limits, story.now_ms
    incident = incidents.join(Finding("wallet_outflow", "much", now_ms, ("wallet:hot",)), now_ms, 1_000, "i", limits).incident
    assert incidents.alert_due(incident, now_ms, lambda: True) == ("page", "opened")
    incidents.join(Finding("frozen_wallet_pays", "it paid", now_ms, ("wallet:hot",)), now_ms, 1_000, "j", limits)
    assert incidents.alert_due(incident, now_ms, lambda: False) == ("page", "escalated")
    assert incidents.alert_due(incident, now_ms, lambda: True) is None


def test_each_missed_target_alerts_once() -> None:
    targets = ClockTargets(acknowledged_minutes=1, halted_minutes=2, regulator_told_minutes=0, police_told_minutes=3, customers_told_minutes=0)
    story = Story(clock_targets=targets, tick_ahead_max_ms=600_000)
    [incident_id] = newest(told(story, *FUNDED, *redirected("w1", account="a", wallet="hot", to="x")))
    alerts = []
    for _ in range(400):
        alerts += alerts_of(told(story, "tick"), incident_id)
    assert [(alert["kind"], alert["why"], str(alert["summary"]).partition(".")[0]) for alert in alerts] == [
        ("notice", "clock_missed", "Missed: acknowledged within 1 min"),
        ("notice", "clock_missed", "Missed: halted within 2 min"),
        ("notice", "clock_missed", "Missed: police told within 3 min"),
    ]
    assert story.engine.gauges().clocks_missed == {"acknowledged": 1, "halted": 1, "police_told": 1}
    assert story.engine.state.incidents.by_id[incident_id].missed == ["acknowledged", "halted", "police_told"]


@pytest.mark.parametrize("answer", ["acknowledge", "cancelled"])
def test_what_is_answered_or_given_back_waits_for_nothing(answer: str) -> None:
    story = Story(clock_targets=ClockTargets(acknowledged_minutes=1, halted_minutes=1), tick_ahead_max_ms=600_000)
    request, _ = redirected("w1", account="a", wallet="hot", to="x")
    [incident_id] = newest(told(story, *FUNDED, f"{request} balance_before=0.5"))
    assert Handling(story.engine.state.incidents).acknowledge(incident_id, "aiko", story.now_ms) is None
    if answer == "cancelled":
        told(story, request.replace("requested", "cancelled"))
    alerts = [alert for _ in range(70) for alert in alerts_of(told(story, "tick"), incident_id)]
    assert len(alerts) == (answer == "acknowledge")  # nothing marked: nothing to halt


def test_the_timeline_is_bounded_and_keeps_its_beginning() -> None:
    story = Story()
    [incident_id] = newest(told(story, *redirected("w1", account="a", wallet="hot", to="x")))
    handling = Handling(story.engine.state.incidents)
    for number in range(500):
        assert handling.note(incident_id, f"note {number}", "aiko", story.now_ms) is None
    timeline = story.engine.state.incidents.by_id[incident_id].timeline
    assert [line.what for line in timeline[:2]] == ["opened", "paged"]
    assert [line.detail for line in timeline[2:]] == [f"note {number}" for number in range(450, 500)]
    for number in range(200):
        story.engine.state.incidents.by_id[incident_id].happened(story.now_ms, "merged", f"another {number}")
    timeline = story.engine.state.incidents.by_id[incident_id].timeline
    assert [line.detail for line in timeline if line.what == "merged"] == [f"another {number}" for number in (*range(18), *range(120, 200))]
    assert sum(line.what == "noted" for line in timeline) == 50


def test_3_000_holds_of_one_attack_are_one_incident_and_one_page() -> None:
    transfers = 3_000
    journal = list(attack(transfers))
    engine = Engine(sha256(journal[0]).hexdigest())
    records = [record for at in range(0, len(journal), 997) for record in engine.fold(at, journal[at : at + 997])]
    state = engine.state
    [incident] = [one for one in state.incidents.by_id.values() if one.marks]
    assert (incident.marks, len(incident.withdrawals), len(incident.accounts)) == (transfers, transfers, transfers)
    assert incident.marked_base_minor == transfers * int(float(AMOUNT) * 10_000_000)
    alerts = [msgspec.json.decode(record.value, type=Alert) for record in records if record.topic == "alerts"]
    whys = Counter(alert.why for alert in alerts if alert.kind == "page")
    assert whys["opened"] == 1 and whys.keys() <= {"opened", "escalated"}
    assert ESCALATION_FACTOR ** whys["escalated"] <= transfers and whys["escalated"] <= 5
    assert len(incident.keys) == 64 and len(incident.timeline) <= 100
    assert all(table.used <= table.limit for table in engine.gauges().tables.values())
    again = Engine.thaw(decode(encode(engine.freeze())))
    assert encode(again.freeze()) == encode(engine.freeze())
