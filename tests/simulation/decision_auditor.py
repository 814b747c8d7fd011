"""An auditor of people's decisions: reads what is published and the entries that it is told of, and imports nothing of the fold.

It knows who signed what and for which journal, who may decide what, what each person saw, and what needs two; from that it judges every outcome and looks
for a cause of every change: of a mark, of a verdict, of an incident's state. What marks are worth and who carries them is audited by `mark_auditor`.
"""

from collections import Counter
from fractions import Fraction
from typing import Any

from tests.simulation.decision_rules import (
    AHEAD_MS,
    BY_DECISION,
    BY_FINDING,
    ENDED,
    FACTS,
    FINDING,
    LEFT_BY,
    LOSSES,
    OF_MARKS,
    OPEN,
    RANK,
    UNVERSIONED,
    Person,
    Sight,
    Waiting,
    content,
    is_about,
)  # fmt: skip
from tests.simulation.mark_auditor import STANDING, Auditor, Record, number
from tests.simulation.notice_auditor import NoticeAuditor, Told
from tests.simulation.power_auditor import PowerAuditor

__all__ = ["DecisionAuditor", "Person", "Told"]


class DecisionAuditor:
    """Takes entries with what they caused, in order; every method asserts."""

    def __init__(self, people: dict[str, Person], two_for: tuple[str, ...], above: int, within_ms: int, valid_ms: int, marks: Auditor) -> None:
        self.people, self.two_for, self.above, self.within_ms, self.valid_ms = people, two_for, above, within_ms, valid_ms
        self.journal_id, self.ledger = "", marks
        self.marks: dict[str, Record] = {}
        self.of_withdrawal: dict[str, set[str]] = {}
        self.incidents: dict[str, Record] = {}
        self.verdicts: dict[str, Record] = {}
        self.proposed: list[str] = []
        self.powers = PowerAuditor(two_for, above, marks)
        self.waiting: dict[str, Waiting] = {}
        self.taken: set[str] = set()
        self.sight = Sight()
        self.bound = 0
        self.left, self.new, self.unseen, self.known = set[str](), set[str](), set[str](), set[str]()
        self.set_by_people: set[str] = set()
        self.known_amounts: dict[str, Fraction] = {}
        self.snoozed: dict[str, int] = {}
        self.pending: dict[str, str] = {}
        self.told: Counter[str] = Counter()
        self.ticked_ms = 0
        self.notices = NoticeAuditor(self.marks, self.of_withdrawal, self.incidents, self.verdicts, self.told)

    # ---- what is known of a subject

    def version(self, value: dict[str, Any]) -> tuple[int, int] | None:
        """From which version to which a decision is up to date; None if there is no such subject."""
        subject, name = value["subject"], value["subject_id"]
        if subject == "incident":
            record = self.incidents.get(name)
            return None if record is None or record["state"] == "merged" else (record["handled_version"], record["version"])
        if subject in ("mark", "withdrawal"):
            record = (self.marks if subject == "mark" else self.verdicts).get(name)
            version = 0 if record is None else record["version"]
            if subject == "withdrawal":
                version += sum(self.marks[each]["version"] for each in self.of_withdrawal.get(name, ()))
            return None if record is None else (version, version)
        return (0, 0) if subject == "rule" or name in self.proposed else None

    def about(self, value: dict[str, Any], marks: dict[str, Record]) -> list[Record]:
        """The marks that a decision is about."""
        subject, name = value["subject"], value["subject_id"]
        if subject == "mark":
            return [marks[name]] if name in marks else []
        if subject == "withdrawal":
            return [marks[each] for each in self.of_withdrawal.get(name, ()) if each in marks]
        return [mark for mark in marks.values() if mark["incident_id"] == name] if subject == "incident" else []

    # ---- entries

    def entry(self, told: Told, records: list[Record], now_ms: int) -> None:
        """One entry and all that it caused."""
        before = dict(self.marks) if told.topic == "feedback" and told.fresh else self.marks
        first = self.waiting.get(told.value.get("approves", ""))
        if told.topic == "feedback":
            self.look(told.value, first)
        self.sight.take(records, self.marks, self.of_withdrawal)
        outcome = self.outcome(told, records, now_ms)
        merged = {record["incident_id"]: record["merged_into"] for record in records if record["topic"] == "incidents" and record["merged_into"]}
        changed = [record for record in records if record["topic"] == "marks"]
        seen = self.version(told.value) if told.topic == "feedback" else None
        sheet = self.incidents.get(told.value.get("subject_id", ""), {}).get("clock", {})
        costs: Counter[str] = Counter()
        for record in changed:
            known = self.marks.get(record["mark_id"])
            if known is not None and known["incident_id"] != record["incident_id"] and known["incident_id"] in merged:
                costs[known["incident_id"]] += number(record["uncovered_base_amount"] or 0) - number(known["uncovered_base_amount"] or 0)  # type: ignore[assignment]
            self.mark(record, told, outcome, merged)
        self.notices.merges(merged, costs, records)
        held = []
        for record in records:
            if record["topic"] == "verdicts" and "verdict" in record:
                held += self.verdict(record, told, outcome)
            elif record["topic"] == "incidents":
                self.incident(record, told, outcome, merged)
        if outcome is not None:
            self.judged(outcome, told, records, seen, before, first, now_ms, sheet)
        for name in held:
            of_it = [mark for mark in (*changed, *map(self.marks.__getitem__, self.of_withdrawal.get(name, ()))) if mark["withdrawal_id"] == name]
            ended = told.topic == "withdrawals" and told.value["status"] in ENDED  # it never left: the same entry gives its mark back
            assert of_it, "held, and nothing was marked"
            assert ended or any(mark["state"] != "cleared" for mark in of_it), "held, and nothing is marked"
        for name in merged:
            assert not [each for each, mark in self.marks.items() if mark["incident_id"] == name], "a mark was left behind by a merge"
        self.notices.contradictions(told, records)
        for name in self.pending:
            since = self.incidents[name]["handled_version"]
            closes = [each for each in self.waiting.values() if each.said[:3] == ("incident", name, "close")]
            grew = max(self.sight.grew_in.get(name, ()), default=0) > self.incidents[name]["version"]  # the next Tick tells that it stays open
            assert grew or any(each.version >= since for each in closes), "it waits to be closed by a second person, and none can"
        if told.topic == "tick":
            self.ticked_ms = now_ms
            late = [each for each in self.waiting.values() if each.at_ms + self.within_ms <= now_ms]
            assert not late, "a decision found no second person in time, and nobody was told"
        assert all(self.may(each.actor, each.command) for each in self.waiting.values()), "the word of somebody who may no longer decide it waits"

    def look(self, value: dict[str, Any], first: Waiting | None) -> None:
        """The version that counts, the older of two persons'; marks and withdrawals that came or changed since, and marks that did since the first saw them."""
        of_it = self.about(value, self.marks) if value["subject"] == "incident" else []
        self.known = set(self.incidents)
        first_version = value["seen_version"] if first is None else first.version
        self.bound = min(value["seen_version"], first_version)
        later = {mark["mark_id"]: mark["withdrawal_id"] for mark in of_it if self.sight.told_in[mark["mark_id"]] > self.bound}
        self.left, self.unseen = set(later), set(later.values())
        self.new = {mark["mark_id"] for mark in of_it if self.sight.told_in[mark["mark_id"]] > first_version}

    def may(self, actor: str, command: str) -> bool:
        """Whether somebody may decide it, by the policy that decides."""
        return actor in self.people and command in self.people[actor].commands

    def outcome(self, told: Told, records: list[Record], now_ms: int) -> Record | None:
        """The one outcome of a decision; expiries are noted as they are told."""
        found = []
        for record in records:
            if record["topic"] != "audit" or record["event_id"] is None:
                continue
            if record["what"] in ("expired", "void"):
                first = self.waiting.pop(record["event_id"])
                if record["what"] == "expired":
                    assert now_ms >= first.at_ms + self.within_ms, "expired too early"
                elif told.value.get("approves") != record["event_id"]:
                    assert not self.may(first.actor, first.command), "void, and its person still may"
                    self.told["void with its person"] += 1
                self.told[record["what"]] += 1
            else:
                found.append(record)
        assert len(found) == (told.topic == "feedback" and told.fresh), "every decision has one outcome"
        return found[0] if found else None

    def judged(
        self, outcome: Record, told: Told, records: list[Record], seen: tuple[int, int] | None, before: dict[str, Record], first: Waiting | None,
        now_ms: int, sheet: Record,
    ) -> None:  # fmt: skip
        """Whether an outcome was right, from who signed and what everybody knew."""
        value, what = told.value, outcome["what"]
        actor, command = value["actor"], value["command"]
        self.told[f"{what} {command}"] += 1
        counts = self.counts(told, now_ms)
        if what == "refused":
            others = [record for record in records if record is not outcome and record.get("what") not in ("expired", "void", "head")]
            assert all(record["topic"] == "incidents" and record["timeline"][-1]["what"] == "closure_withdrawn" for record in others), "refused"
            assert "no such policy is proposed" not in outcome["detail"] or value["subject_id"] not in self.proposed, "a proposal was lost"
            if first is not None and value["approves"] not in self.waiting and now_ms < first.at_ms + self.within_ms:
                assert first.actor != actor
                assert first.said == content(value)
                stands = seen is not None and seen[0] <= first.version <= seen[1]
                grew = command == "close" and max(self.sight.grew_in.get(value["subject_id"], ()), default=0) > first.version
                assert not stands or self.new or grew or command == "snooze", "both agreed on what stood unchanged"
            return
        assert counts == "", counts
        assert self.may(actor, command), "no role of that person's may decide it"
        assert seen is not None, "decided about nothing"
        assert seen[0] <= value["seen_version"] <= seen[1] or (command in UNVERSIONED and value["seen_version"] <= seen[1]), (
            "a stale decision was taken"
        )
        changed = [
            before[mark["mark_id"]] for mark in records if mark["topic"] == "marks" and mark["mark_id"] in before and self.own(mark, value, before)
        ]
        changed += [
            mark for mark in records if mark["topic"] == "marks" and mark["version"] == 1 and mark["mark_id"] not in before and is_about(value, mark)
        ]  # what was reported
        alone = what == "decided" and len(outcome["actors"]) == 1
        self.powers.judged(value, self.people[actor].machine, alone, sheet, self.marks)
        if what == "awaits-second":
            assert not [record for record in records if record["topic"] == "marks"], "a single person changed marks"
            now = self.version(value)
            assert now is not None
            version = now[1] if command == "close" else value["seen_version"]
            self.waiting[value["event_id"]] = Waiting(actor, command, content(value), version, now_ms)
            return
        if len(outcome["actors"]) == 2:
            self.two(value, outcome, seen, first, now_ms)
        else:
            assert "approves" not in value
            assert outcome["actors"] == [actor]
            self.powers.decided_alone(value, changed, self.marks, now_ms)
        self.powers.decided(command, changed, self.incidents)
        if command == "change_policy":
            self.proposed.clear()
        assert not self.left & {mark["mark_id"] for mark in changed}, "a decision changed what its actor hadn't seen"
        said = f"{len(self.left)} mark(s) that came or changed since version {self.bound} are left"
        assert (said in outcome["detail"]) == (bool(self.left) and command in OF_MARKS), "what is left isn't said"
        self.told[f"left {command}"] += bool(self.left)
        if command == "close":
            assert max(self.sight.grew_in.get(value["subject_id"], ()), default=0) <= self.bound, "closed, and more is marked than was seen"
        elif command == "snooze":
            self.snoozed[f"{value['subject_id']} {value['argument']}"] = value["time_ms"]
        self.done(command, value, {name: mark for name, mark in before.items() if name not in self.left})

    def counts(self, told: Told, now_ms: int) -> str:
        """Why a decision counts for nothing, whatever it is about; empty if it does. It never does again."""
        value = told.value
        if told.signer != value["actor"] or value["actor"] not in self.people or value["journal_id"] != self.journal_id:
            return "not signed by its actor for this journal"
        if not (self.ticked_ms or now_ms) - self.valid_ms <= value["occurred_at_ms"] <= now_ms + AHEAD_MS:
            return "decided by what isn't valid any more, or not yet"
        if value["event_id"] in self.taken:
            return "decided twice by one decision"
        self.taken.add(value["event_id"])
        return ""

    def two(self, value: dict[str, Any], outcome: Record, seen: tuple[int, int], first: Waiting | None, now_ms: int) -> None:
        """Two different persons decided the same about what both saw."""
        assert first is not None, "nobody was the first person"
        assert outcome["actors"] == [first.actor, value["actor"]]
        assert first.actor != value["actor"], "one person twice"
        assert self.may(first.actor, first.command), "the first person may no longer decide it"
        assert first.said == content(value), "the second person approved something else"
        assert now_ms < first.at_ms + self.within_ms, "the second person came too late"
        assert seen[0] <= first.version or first.command in UNVERSIONED, "the first person saw another version"
        del self.waiting[value["approves"]]

    def own(self, mark: Record, value: dict[str, Any], before: dict[str, Record]) -> bool:
        """Whether a mark is changed by the decision, and not by what it freed."""
        known = before.get(mark["mark_id"])
        if known is None or all(
            mark[fact] == known[fact] for fact in ("state", "owner", "cause", "amount", "incident_id", "recovered_amount", "compensated_amount")
        ):
            return False
        return any(each["mark_id"] == mark["mark_id"] for each in self.about(value, before))

    def done(self, command: str, value: dict[str, Any], before: dict[str, Record]) -> None:
        """What was decided has happened to all that it was about."""
        for known in self.about(value, before):
            mark = self.marks[known["mark_id"]]
            if (command == "compensated" and known["base_amount"] is None) or (command == "reopen" and value["subject"] == "incident"):
                continue
            if command in ("clear", "release") and number(known["recovered_amount"]) + number(known["compensated_amount"]) > 0:
                continue
            if command == "release" and value["subject"] == "incident":  # of what left already nothing is released
                continue
            assert mark["state"] not in LEFT_BY.get(command, ()), "a decision left something out"
            if command == "recovered":
                assert number(mark["recovered_amount"]) - number(known["recovered_amount"]) == number(value["amount"])
            elif command == "revise":
                assert number(mark["amount"]) == number(value["amount"])
                self.known_amounts.setdefault(mark["mark_id"], number(known["amount"]))
            elif command == "move":
                assert mark["incident_id"] != known["incident_id"]
                assert value["argument"] in ("new", mark["incident_id"])
                assert (value["argument"] == "new") == (mark["incident_id"] not in self.known), "moved to another than was said"
                self.notices.parted.add(frozenset((known["incident_id"], mark["incident_id"])))
            elif command in ("change_cause", "change_owner") and known["state"] != "cleared":
                assert mark[command.removeprefix("change_")] == value["argument"]
                if known["owner"] != mark["owner"] or known["cause"] != mark["cause"]:
                    self.set_by_people.add(mark["mark_id"])

    # ---- records

    def mark(self, mark: Record, told: Told, outcome: Record | None, merged: dict[str, str]) -> None:
        """Every change of a mark has a cause."""
        name = mark["mark_id"]
        known = self.marks.get(name)
        assert mark["version"] == (1 if known is None else known["version"] + 1), "a version is missing"
        changed = set() if known is None else {fact for fact in FACTS if mark[fact] != known[fact]}
        stages = (None if known is None else known["state"], mark["state"])
        value = told.value
        decided = outcome is not None and outcome["what"] == "decided"
        if "incident_id" in changed and known is not None:
            by_people = decided and value["command"] == "move" and is_about(value, known)
            assert by_people or known["incident_id"] in merged or stages[0] == "cleared", "moved without a merge"
            changed.discard("incident_id")
        if known is not None and decided and value["command"] in BY_DECISION and is_about(value, known):
            facts, allowed = BY_DECISION[value["command"]]
            assert changed <= facts, f"{value['command']} changed {changed}"
            assert stages[0] == stages[1] or stages in allowed, f"{value['command']} made {stages}"
        elif changed or stages[0] != stages[1]:
            assert told.topic in FINDING, f"{told.topic} changed {changed} {stages}"
            assert told.fresh or told.topic != "feedback"
            assert not (changed and told.topic == "feedback"), "a decision changed a mark that it isn't about"
            assert changed <= {"owner", "cause", "amount"}, f"a finding changed {changed}"
            if "amount" in changed and stages[0] != "cleared":
                assert known is not None
                assert number(mark["amount"]) > max(number(known["amount"]), self.known_amounts.pop(name, Fraction(0))), "a finding changed it back"
                assert stages[1] == "suspected", "nobody confirmed so much"
                self.told[f"{stages[0]} and grown"] += 1
            else:
                assert stages[0] == stages[1] or stages in BY_FINDING, f"a finding made {stages}"
            if told.topic == "feedback" and stages[0] != stages[1]:
                assert decided and value["command"] == "confirm" and stages[1] == "suspected", "no decision made it"
            assert name not in self.set_by_people or not changed & {"owner", "cause"}, "a finding overrode a person"
        if stages[0] == "cleared" != stages[1]:
            self.known_amounts.pop(name, None)
        self.marks[name] = mark
        if mark["withdrawal_id"] is not None:
            self.of_withdrawal.setdefault(mark["withdrawal_id"], set()).add(name)

    def verdict(self, verdict: Record, told: Told, outcome: Record | None) -> list[str]:
        """A verdict becomes milder in one way only. Gives back the withdrawal's id if it is held for a loss now and wasn't."""
        known = self.verdicts.get(verdict["withdrawal_id"])
        assert verdict["version"] == (1 if known is None else known["version"] + 1)
        if known is not None and RANK[verdict["verdict"]] < RANK[known["verdict"]]:
            assert outcome is not None, "released by nobody"
            assert (outcome["what"], told.value["command"]) == ("decided", "release")
            assert len(set(outcome["actors"])) == 2 or "release" not in self.two_for, "released by one"
            assert (known["verdict"], verdict["verdict"]) == ("HOLD", "CLEAR")
            if told.value["subject"] == "withdrawal":
                assert told.value["subject_id"] == verdict["withdrawal_id"], "another was released"
            else:
                assert verdict["withdrawal_id"] not in self.unseen, "what the person hadn't seen was released"
            self.told["released"] += 1
        self.verdicts[verdict["withdrawal_id"]] = verdict
        rules = [reason["rule"] for reason in verdict["reasons"]]
        held = verdict["verdict"] == "HOLD" and (known is None or known["verdict"] != "HOLD") and rules[0] in LOSSES
        return [verdict["withdrawal_id"]] if held or (known is None and rules == ["never_requested"]) else []

    def incident(self, incident: Record, told: Told, outcome: Record | None, merged: dict[str, str]) -> None:
        """An incident's state changes by a decision about it, by a merge, or by facts that reopen it."""
        name = incident["incident_id"]
        known = self.incidents.get(name)
        assert incident["version"] == (1 if known is None else known["version"] + 1), "a version is missing"
        self.incidents[name] = incident
        stage = incident["state"]
        assert (incident["outcome"] is not None) == (stage in ("closed", "pending_closure"))
        assert (incident["closed_at_ms"] is not None) == (stage == "closed")
        assert (incident["merged_into"] is not None) == (stage == "merged")
        if known is None:
            by_people = outcome is not None and (outcome["what"], told.value["command"], told.value.get("argument")) == ("decided", "move", "new")
            assert stage in ("new", "merged") or name in merged.values() or by_people
            return
        told_of = told.value.get("subject_id") == name and told.topic == "feedback" and outcome is not None
        command = (outcome["what"], told.value["command"]) if told_of and outcome is not None else None
        self.powers.incident(known, incident, command)
        absorbs = name in merged.values()
        if incident["assignee"] != known["assignee"]:
            assert command == ("decided", "assign") or absorbs, "assigned by nobody"
        if stage == "pending_closure" != known["state"]:
            self.pending[name] = "acknowledged" if known["state"] == "new" else known["state"]
        if stage == known["state"]:
            return
        before = self.pending.pop(name, None) if known["state"] == "pending_closure" else None
        self.told[f"{known['state']} to {stage}"] += 1
        last = incident["timeline"][-1]["what"]
        by = {
            "acknowledged": {("decided", "acknowledge")}, "investigating": {("decided", "assign"), ("decided", "reopen")},
            "pending_closure": {("awaits-second", "close")}, "closed": {("decided", "close")},
        }  # fmt: skip
        if stage == "merged":
            assert known["state"] in OPEN or "reopened" in [line["what"] for line in incident["timeline"][-4:]]
        elif stage == "new":
            assert any(line["what"] == "reopened" for line in incident["timeline"])
            assert known["state"] == "closed"
        elif before is not None and stage != "closed" and not absorbs:
            if incident["version"] in self.sight.grew_in.get(name, ()):
                self.told["grew: stays open"] += 1
            else:
                by_whom = {
                    "assigned": ("decided assign",), "clock_set": ("decided set_clock",), "contradicted": ("withdrawals",),
                    "closure_withdrawn": ("tick", "term", "feedback", "refused close"), "mark_moved": ("feedback",),
                }  # fmt: skip
                assert (" ".join(command) if command else told.topic) in by_whom[last], f"no longer to be closed by {command} {told.topic}"
                self.told[f"{last}: stays open"] += 1
            assert "closure_withdrawn" in [line["what"] for line in incident["timeline"]]
            assert stage == ("investigating" if last == "assigned" else before), "it went back to another state"
        else:
            assert command in by[stage] or (absorbs and stage in OPEN[:3]), f"{known['state']} became {stage} by {command}"
        if stage == "closed" and outcome is not None and "close" in self.two_for:
            assert len(set(outcome["actors"])) == 2, "closed by one"

    def standing(self) -> int:
        """Marks that stand."""
        return sum(mark["state"] in STANDING for mark in self.marks.values())
