"""What people decide about an incident: every step, every refusal, and that a refusal changes nothing."""

from collections.abc import Callable

import msgspec
import pytest

from monitor.findings import Finding
from monitor.handling import Handling
from monitor.incidents import Incidents, Standing
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
    "an outcome that doesn't exist": "close nothing -> ! not as 'nothing'; propose nothing -> ! not as 'nothing'; close test -> closed",
    "nothing but notes and the clock once it is closed": "close test -> closed; acknowledge aiko -> ! is closed; assign ben -> ! is closed; "
    "close test -> ! is closed; propose test -> ! is closed; note late -> closed; halted 30000 -> closed",
    "only what is closed is reopened": "reopen -> ! is new",
    "notes": "note hello -> new; note '' -> ! 1 to 1024; note LONG -> ! not 1025",
    "clock times": "halted 0 -> new; halted 30000 -> new; regulator_told 60000 -> new; police_told -1 -> ! before the incident's first event; "
    "customers_told 60001 -> ! still to come; paged 0 -> ! not paged; acknowledged 0 -> ! not acknowledged",
}


def incidents() -> Incidents:
    """One incident, of a frozen wallet that paid."""
    found = Incidents(policy())
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:hot",)), START_MS, 1_000, "i", Limits())
    return found


def decide(handling: Handling, words: str) -> str | None:
    name, *rest = words.split()
    argument = rest[0].replace("''", "").replace("LONG", "x" * 1_025) if rest else ""
    take: dict[str, Callable[[], str | None]] = {
        "acknowledge": lambda: handling.acknowledge("i", argument, NOW_MS),
        "assign": lambda: handling.assign("i", argument, "aiko", NOW_MS),
        "note": lambda: handling.note("i", argument, "aiko", NOW_MS),
        "propose": lambda: handling.propose_close("i", argument, "aiko", NOW_MS),
        "withdraw": lambda: handling.withdraw_close("i", "not yet", NOW_MS),
        "close": lambda: handling.close("i", argument, "aiko", NOW_MS),
        "reopen": lambda: handling.reopen("i", "new facts", "aiko", NOW_MS),
    }
    return take.get(name, lambda: handling.set_clock("i", name, START_MS + int(argument), "aiko", NOW_MS))()


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
    assert [(line.what, line.actor) for line in incident.timeline[1:]] == [("acknowledged", "ben"), ("clock_set", "aiko"), ("closed", "aiko")]
    assert (incident.outcome, incident.closed_at_ms, incident.clock.halted_at_ms) == ("test", NOW_MS, START_MS + 5_000)
    assert (incident.clock.first_event_at_ms, incident.clock.first_finding_at_ms) == (START_MS, START_MS)


def test_unknown_and_merged_incidents_are_refused_by_name() -> None:
    found = incidents()
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:cold",)), START_MS, 1_000, "j", Limits())
    found.join(Finding("frozen_wallet_pays", "it paid", START_MS, ("wallet:hot", "wallet:cold")), START_MS, 1_000, "k", Limits())
    handling = Handling(found)
    assert handling.acknowledge("x", "aiko", NOW_MS) == "incident x isn't known, or is forgotten"
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
