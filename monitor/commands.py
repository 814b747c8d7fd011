"""The table of people's commands: what each may be about, and its plan. A new command is one row here, its plan, and its name in the contract.

Finds what a decision is about. Who may decide, staleness and four eyes are `monitor.decided`'s, the only caller.
"""

from collections.abc import Callable

from monitor.contracts.feedback import Command, Feedback, SubjectKind
from monitor.decisions import Decisions
from monitor.findings import RULES
from monitor.incident_commands import IncidentCommands
from monitor.mark_commands import MarkCommands
from monitor.plans import Step, Target
from monitor.state import State

Plan = Callable[[Feedback, Target], Step | str]
LOSSES: tuple[SubjectKind, ...] = ("incident", "withdrawal", "mark")
INCIDENTS: tuple[SubjectKind, ...] = ("incident",)


class Commands:
    """The commands, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        marks, incidents = MarkCommands(state, decisions), IncidentCommands(state, decisions)
        self.incidents = incidents
        self.plans: dict[Command, dict[SubjectKind, Plan]] = {
            "acknowledge": dict.fromkeys(INCIDENTS, incidents.acknowledge),
            "assign": dict.fromkeys(INCIDENTS, incidents.assign),
            "note": dict.fromkeys(INCIDENTS, incidents.note),
            "set_clock": dict.fromkeys(INCIDENTS, incidents.set_clock),
            "close": dict.fromkeys(INCIDENTS, incidents.close),
            "reopen": {"incident": incidents.reopen, "withdrawal": marks.reopen, "mark": marks.reopen},
            "confirm": dict.fromkeys(LOSSES, marks.confirm),
            "clear": dict.fromkeys(LOSSES, marks.clear),
            "release": {"incident": marks.release, "withdrawal": marks.release},
            "change_cause": dict.fromkeys(LOSSES, marks.change_cause),
            "change_owner": dict.fromkeys(LOSSES, marks.change_owner),
            "recovered": {"withdrawal": marks.recovered, "mark": marks.recovered},
            "compensated": dict.fromkeys(LOSSES, marks.compensated),
            "revise": {"withdrawal": marks.revise, "mark": marks.revise},
            "move": {"mark": marks.move},
            "snooze": {"rule": incidents.snooze},
            "change_policy": {"policy": incidents.change_policy},
        }

    def target(self, decision: Feedback) -> Target | str:
        """What the decision is about as it stands, or why it can't be decided about."""
        state, subject_id = self.state, decision.subject_id
        if decision.subject == "incident":
            return self._incident(subject_id, decision.seen_version)
        if decision.subject == "withdrawal":
            return self._withdrawal(subject_id)
        if decision.subject == "mark":
            mark = state.marks.by_id.get(subject_id)
            if mark is None:
                return f"mark {subject_id} isn't known, or is forgotten"
            withdrawals = () if mark.subject.withdrawal_id is None else (mark.subject.withdrawal_id,)
            return Target(mark.version, mark.version, mark.stage, (subject_id,), withdrawals)
        if decision.subject == "rule":
            return Target(0, 0, "a rule") if subject_id in RULES else f"there is no rule {subject_id}"
        return Target(0, 0, "a policy")

    def _withdrawal(self, withdrawal_id: str) -> Target | str:
        known = self.state.withdrawals.by_id.get(withdrawal_id)
        if known is None:
            return f"withdrawal {withdrawal_id} isn't known, or is forgotten"
        marks = self.state.marks
        names = tuple(marks.of_withdrawal(withdrawal_id))
        version = known.version + sum(marks.by_id[mark_id].version for mark_id in names)
        return Target(version, version, f"{known.verdict}, {len(names)} mark(s)", names, (withdrawal_id,))

    def _incident(self, incident_id: str, seen_version: int) -> Target | str:
        """Its marks that stand unchanged since the version that was seen; their withdrawals, and those that it names beside them, if so do they."""
        state = self.state
        incident = state.incidents.by_id.get(incident_id)
        if incident is None:
            return f"incident {incident_id} isn't known, or is forgotten"
        if incident.merged_into is not None:
            return f"incident {incident_id} is part of incident {incident.merged_into}: decide on that"
        marks = [state.marks.by_id[mark_id] for mark_id in state.marks.of_incident(incident_id)]
        covered = tuple(mark.mark_id for mark in marks if mark.told_in <= seen_version)
        withdrawals = {mark.subject.withdrawal_id: mark.told_in for mark in marks if mark.subject.withdrawal_id is not None} | incident.withdrawals
        for mark in marks:
            if mark.told_in > seen_version and mark.subject.withdrawal_id is not None:
                withdrawals.pop(mark.subject.withdrawal_id, None)
        return Target(
            incident.version, incident.handled_version, f"{incident.stage.replace('_', ' ')}, {len(marks)} mark(s)", covered,
            tuple(name for name, told_in in withdrawals.items() if told_in <= seen_version), incident, len(marks) - len(covered),
        )  # fmt: skip
