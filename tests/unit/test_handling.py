"""What people decide about an incident: every step, every refusal, and that a refusal changes nothing."""

from collections.abc import Callable

import msgspec
import pytest

from monitor.contracts.outputs import Happened
from monitor.findings import Finding
from monitor.handling import Handling
from monitor.incident_state import Standing
from monitor.incidents import Incidents
from monitor.policy import Limits
from tests.simulation.journals import START_MS, policy

NOW_MS = START_MS + 60_000
STEPS = {
    "acknowledged once": "acknowledge aiko -> acknowledged; acknowledge ben -> ! is acknowledged",
    "assigned, which acknowledges it too": "assign ben -> investigating; acknowledge ben -> ! is investigating",
    "assigned while a closing is proposed": "propose test -> pending_closure; assign ben -> investigating; withdraw -> ! is investigating",
    "its clock is told while a closing is proposed": "acknowledge aiko -> acknowledged; propose test -> pending_closure; halted 0 -> acknowledged",
    "a refusal leaves a proposal as it is": "propose test -> pending_closure; assign '' -> ! no name; police_told -1 -> ! before the incident's first event",
    "noted while a closing is proposed": "propose test -> pending_closure; note hello -> pending_closure; close test -> closed",
    "assigned to nobody": "assign '' -> ! no name",
    "the whole way": "acknowledge aiko -> acknowledged; assign ben -> investigating; propose test -> pending_closure; close test -> closed",
    "a proposal taken back": "assign ben -> investigating; propose test -> pending_closure; withdraw -> investigating; withdraw -> ! is investigating",
    "a proposal taken back of what nobody had in hand": "propose test -> pending_closure; withdraw -> acknowledged; acknowledge ben -> ! is acknowledged",
    "closed at once, reopened, closed as something else": "close test -> closed; reopen -> investigating; close inconclusive -> closed",
    "proposed by who acknowledged it": "acknowledge aiko -> acknowledged; propose test -> pending_closure",
    "an outcome that doesn't exist": "close nothing -> ! not as 'nothing'; propose nothing -> ! not as 'nothing'; close test -> closed",
    "nothing but notes and the clock once it is closed": "close test -> closed; acknowledge aiko -> ! is closed; assign ben -> ! is closed; "
    "close test -> ! is closed; propose test -> ! is closed; note late -> closed; halted 30000 -> closed",
    "only what is closed is reopened": "reopen -> ! is new",
    "notes": "note hello -> new; note '' -> ! 1 to 1024; note LONGEST -> new; note LONG -> ! not 1025",
    "clock times": "halted 0 -> new; halted 30000 -> new; regulator_told 60000 -> new; police_told -1 -> ! before the incident's first event; "
    "customers_told 60001 -> ! still to come; paged 0 -> ! not paged; acknowledged 0 -> ! not acknowledged",
}


def incidents() -> Incidents:
    """One incident, of a frozen wallet that paid."""
    found = Incidents(policy())
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:hot",)), START_MS, 1_000, "i", Limits())
    return found


def decide(handling: Handling, words: str, incident_id: str = "i") -> str | None:
    name, *rest = words.split()
    argument = rest[0].replace("''", "").replace("LONGEST", "x" * 1_024).replace("LONG", "x" * 1_025) if rest else ""
    take: dict[str, Callable[[], str | None]] = {
        "acknowledge": lambda: handling.acknowledge(incident_id, argument, NOW_MS),
        "assign": lambda: handling.assign(incident_id, argument, "aiko", NOW_MS),
        "note": lambda: handling.note(incident_id, argument, "aiko", NOW_MS),
        "propose": lambda: handling.propose_close(incident_id, argument, "aiko", NOW_MS),
        "withdraw": lambda: handling.withdraw_close(incident_id, "not yet", NOW_MS),
        "close": lambda: handling.close(incident_id, argument, "aiko", NOW_MS),
        "reopen": lambda: handling.reopen(incident_id, "new facts", "aiko", NOW_MS),
    }
    return take.get(name, lambda: handling.set_clock(incident_id, name, START_MS + int(argument), "aiko", NOW_MS))()


@pytest.mark.parametrize("name", STEPS)
def test_steps(name: str) -> None:
    handling = Handling(incidents())
    for step in STEPS[name].split("; "):
        words, expected = step.split(" -> ")
        before = msgspec.json.encode(handling.incidents.by_id["i"])
        why = decide(handling, words)
        after = handling.incidents.by_id["i"]
        if expected.startswith("! "):
            assert why is not None and expected[2:] in why, step
            assert msgspec.json.encode(after) == before, step
        else:
            assert (why, after.stage) == (None, expected), step


def test_what_is_decided_is_in_the_timeline_with_its_actor() -> None:
    handling = Handling(incidents())
    for words in ("acknowledge ben", "halted 5000", "close test"):
        assert decide(handling, words) is None
    incident = handling.incidents.by_id["i"]
    assert (incident.outcome, incident.closed_at_ms, incident.clock.halted_at_ms) == ("test", NOW_MS, START_MS + 5_000)
    assert (incident.clock.first_event_at_ms, incident.clock.first_finding_at_ms) == (START_MS, START_MS)


def test_every_decision_is_in_the_timeline_and_is_published_on_the_next_tick() -> None:
    handling = Handling(incidents())
    for words, what, detail, actor in (
        ("acknowledge ben", "acknowledged", "by ben", "ben"),
        ("assign ben", "assigned", "to ben", "aiko"),
        ("note hello", "noted", "hello", "aiko"),
        ("halted 5000", "clock_set", f"halted at {START_MS + 5_000}", "aiko"),
        ("propose test", "closure_proposed", "as test", "aiko"),
        ("withdraw", "closure_withdrawn", "not yet", None),
        ("close test", "closed", "as test", "aiko"),
        ("note late", "noted", "late", "aiko"),
        ("reopen", "reopened", "new facts", "aiko"),
    ):
        handling.incidents.dirty.clear()
        assert decide(handling, words) is None
        assert handling.incidents.by_id["i"].timeline[-1] == Happened(NOW_MS, what, detail, actor)  # type: ignore[arg-type]
        assert handling.incidents.dirty == {"i": None}, words
    assert handling.incidents.counts.reopened == 1


@pytest.mark.parametrize("words", ["acknowledge ben", "assign ben", "propose test", "close test"])
def test_who_decides_on_it_is_on_it_and_who_was_first_stays_so(words: str) -> None:
    handling = Handling(incidents())
    assert decide(handling, words) is None
    assert handling.incidents.by_id["i"].clock.acknowledged_at_ms == NOW_MS
    handling = Handling(incidents())
    assert handling.acknowledge("i", "aiko", NOW_MS - 1) is None
    decide(handling, words)
    assert handling.incidents.by_id["i"].clock.acknowledged_at_ms == NOW_MS - 1


def test_a_time_that_is_told_is_waited_for_no_longer() -> None:
    found = incidents()
    found.changed("i", "m", None, Standing(1, "JPY", 5, 5, 0), NOW_MS)
    assert found.due_ms == {"i": START_MS + 30 * 60_000}
    assert decide(Handling(found), "halted 5000") is None
    assert found.due_ms["i"] > START_MS + 30 * 60_000


def test_unknown_and_merged_incidents_are_refused_by_name() -> None:
    found = incidents()
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:cold",)), START_MS, 1_000, "j", Limits())
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:hot", "wallet:cold")), START_MS, 1_000, "k", Limits())
    handling = Handling(found)
    for words in ("acknowledge ben", "assign ben", "note hello", "halted 5000", "propose test", "withdraw", "close test", "reopen"):
        assert decide(handling, words, "x") == "incident x isn't known, or is forgotten"
    assert handling.acknowledge("j", "aiko", NOW_MS) == "incident j is part of incident i: decide on that"


def test_findings_alone_make_nobody_s_decision_stale_and_decisions_do() -> None:
    found = incidents()
    handling, incident = Handling(found), found.by_id["i"]
    incident.version = 3  # three were published
    assert incident.handled_version == 0
    assert handling.assign("i", "ben", "aiko", NOW_MS) is None
    incident.version += 1
    assert incident.handled_version == 4
    assert handling.note("i", "seen", "aiko", NOW_MS) is None
    incident.version += 1
    assert incident.handled_version == 4


def test_who_took_one_of_two_in_hand_has_taken_the_whole() -> None:
    found = incidents()
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:cold",)), START_MS, 1_000, "j", Limits())
    handling = Handling(found)
    assert handling.assign("j", "ben", "aiko", NOW_MS) is None
    assert handling.propose_close("j", "test", "aiko", NOW_MS) is None
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS - 500, ("wallet:hot", "wallet:cold")), START_MS, 1_000, "k", Limits())
    stays = found.by_id["i"]
    assert (stays.stage, stays.assignee, stays.clock.acknowledged_at_ms, stays.outcome) == ("investigating", "ben", NOW_MS, None)
    assert stays.clock.first_event_at_ms == START_MS - 500


def test_an_assignment_acknowledges_and_a_first_mark_starts_the_other_targets() -> None:
    found = incidents()
    assert Handling(found).assign("i", "ben", "aiko", NOW_MS) is None
    assert (found.by_id["i"].clock.acknowledged_at_ms, found.due_ms) == (NOW_MS, {})
    found.changed("i", "m", None, Standing(1, "JPY", 5, 5, 0), NOW_MS)
    assert found.due_ms == {"i": START_MS + 30 * 60_000}


def test_an_uncovered_rest_makes_a_notice_a_warning() -> None:
    found = Incidents(policy())
    found.join(Finding("repeated_request", "twice", START_MS, ("account:a",)), START_MS, 1_000, "i", Limits())
    severities = []
    for name, uncovered_minor in (("m", 0), ("n", 1)):
        found.changed("i", name, None, Standing(1, "JPY", 5, 5, uncovered_minor), NOW_MS)
        severities.append(found.by_id["i"].severity)
    assert severities == ["notice", "warning"]


def test_a_merge_makes_a_closing_stale_though_nothing_is_marked_and_nothing_else() -> None:
    found = incidents()
    incident = found.by_id["i"]
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:cold",)), START_MS, 1_000, "j", Limits())
    incident.version = 3
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:hot", "wallet:cold")), START_MS, 1_000, "k", Limits())
    assert (found.by_id["j"].merged_into, incident.grown_version, incident.handled_version) == ("i", 4, 0)
