"""What was held has left all the same, and what nobody can value: who must be woken for it, in which incident, and a home for marks that have none.

Changes the state through `monitor.decisions`, which calls it, as do `monitor.payouts` and `monitor.mark_commands`.
"""

from typing import TYPE_CHECKING

from monitor import paging
from monitor.findings import Finding, rule_of
from monitor.mark_state import MarkState
from monitor.regrouping import settled
from monitor.withdrawals import Known

if TYPE_CHECKING:
    from monitor.decisions import Decisions


def left_after_all(decisions: "Decisions", withdrawal_id: str, known: Known) -> None:
    """What was held has left. If its mark was given back, it is made again; people are woken, if it was an exact rule that held it.

    Whoever closed its incident didn't know: it is open again. What is forgotten of it opens another.
    """
    state = decisions.state
    incidents, exact = state.incidents, [reason for reason in known.reasons if _is_exact(reason.rule)]
    for mark_id in [
        name for name in state.marks.of_withdrawal(withdrawal_id) if name.startswith("withdrawal:")
    ]:  # an outflow's was told when it left
        mark, [reason] = state.marks.by_id[mark_id], (exact or list(known.reasons))[:1]
        incident_id = at_home(decisions, mark, reason.rule, reason.detail, (f"address:{known.destination}",))
        if mark.stage == "cleared" and mark_id == f"withdrawal:{withdrawal_id}":
            decisions.mark(mark.subject, mark.cause, incident_id)
            if not exact:
                decisions.tell(incident_id)
    if exact:
        its = [mark for mark in map(state.marks.by_id.__getitem__, state.marks.of_withdrawal(withdrawal_id)) if mark.stage != "cleared"]
        its = [mark for mark in its if mark.mark_id.startswith("withdrawal:")]
        counted_minor = decisions.gone_minor.get(withdrawal_id, 0)
        for incident_id in dict.fromkeys(mark.incident_id for mark in its) or (incidents.root(known.incident_id) or "",):
            _left(decisions, withdrawal_id, incident_id, [mark for mark in its if mark.incident_id == incident_id], counted_minor)


def _left(decisions: "Decisions", withdrawal_id: str, incident_id: str, marks: list[MarkState], counted_minor: int) -> None:
    """These marks of the incident have left, so much of which is counted already."""
    incidents = decisions.state.incidents
    incident = incidents.by_id.get(incident_id)
    if incident is None:
        return
    if incident.stage == "closed":
        incidents.reopen(incident, decisions.state.clock.now_ms, f"withdrawal {withdrawal_id}, which was held, has left")
    paging.left(incident, max(0, sum(mark.base_minor or 0 for mark in marks) - counted_minor))
    for mark in marks:
        _unvalued(decisions, mark, left=True)
    decisions.tell(incident_id)


def found_unvalued(decisions: "Decisions", finding: Finding, incident_id: str, *, left: bool) -> None:
    """An exact rule has found losses: those without a price may be worth anything, and people are woken for them."""
    marks = decisions.state.marks
    for subject in (*finding.beside, *(() if finding.subject is None else (finding.subject,))):
        mark = marks.by_id.get(subject.mark_id)
        if mark is not None and mark.subject.asset != subject.asset:
            mark = marks.by_id.get(f"{subject.mark_id}:{subject.asset}")
        if mark is not None:
            _unvalued(decisions, mark, left=left)
            if mark.incident_id != incident_id:
                decisions.tell(mark.incident_id)


def _unvalued(decisions: "Decisions", mark: MarkState, *, left: bool) -> None:
    incidents = decisions.state.incidents
    incident = incidents.by_id.get(mark.incident_id)
    if incident is not None and mark.standing and mark.base_minor is None:
        paging.unvalued(incident, mark.subject.asset, mark.open_minor if left else 0)
        incidents.clocked(incident)


def at_home(decisions: "Decisions", mark: MarkState, rule: str, detail: str, keys: tuple[str, ...] = ()) -> str:
    """The incident of a mark. Where that is forgotten the mark goes to one that it is tied to now, or to a new one."""
    if mark.incident_id in decisions.state.incidents.by_id:
        return mark.incident_id
    joined = decisions.join(Finding(rule, detail, decisions.state.clock.now_ms, keys, None, mark.subject), None)
    settled(decisions, mark, joined.incident.incident_id)
    return joined.incident.incident_id


def _is_exact(rule: str) -> bool:
    return rule_of(rule).verdict == "HOLD" and not rule_of(rule).statistical
