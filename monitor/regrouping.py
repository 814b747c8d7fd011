"""Marks that go to another incident: all of one that is merged, or a single one because people say that it belongs elsewhere.

What a merge costs in cover is told; what people have parted, no finding merges again. Changes the state through `monitor.decisions`, which calls
it, as does `monitor.mark_commands`.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from monitor import paging
from monitor.contracts.outputs import Audit
from monitor.incident_state import IncidentState, alert_record
from monitor.mark_state import Change, MarkState
from monitor.money import print_amount
from monitor.plans import PlanBrokenError
from monitor.state import State

if TYPE_CHECKING:
    from monitor.decisions import Decisions

NEW = "new"
"""The name of an incident that is still to be made."""
PARTED_MAX = 64
"""Incidents that one can be parted from, so that its record stays bounded."""


def merged(decisions: "Decisions", incident: IncidentState, other: IncidentState) -> None:
    """`other` ended as part of the incident: every mark of it is the incident's, as a new version. People are told if less is covered so."""
    state = decisions.state
    into, before = incident.incident_id, state.marks.total.uncovered_base_minor
    changes = (state.marks.move(mark_id, into) for mark_id in state.marks.of_incident(other.incident_id))
    decisions.take(*(change for change in changes if isinstance(change, Change)))
    decisions.publish_incident(other.incident_id)
    less_minor = state.marks.total.uncovered_base_minor - before
    if less_minor <= 0:
        return
    policy, now_ms = state.policy, state.clock.now_ms
    less = f"{print_amount(less_minor, policy.assets[policy.base_currency].decimals)} {policy.base_currency}"
    detail = f"Incidents {into} and {other.incident_id} are one now, and {less} less is covered: what layers give for one event they give once."
    decisions.audit(Audit(decided_at_ms=now_ms, what="less-covered", subject_id=other.incident_id, detail=detail))
    state.incidents.noticed(incident)
    decisions.publish_incident(into)
    alert = alert_record(incident, "notice", "less_covered", now_ms, policy, first=f"{detail} If they aren't one, move marks out. ")
    decisions.outbox.put("alerts", into, alert)


def refused(state: State, mark: MarkState, argument: str) -> str | None:
    """Why a mark can't go to another incident, or to a new one."""
    left = state.incidents.by_id.get(mark.incident_id)
    if left is None:
        return f"its incident {mark.incident_id} isn't known any more"
    incident = None if argument == NEW else state.incidents.by_id.get(argument)
    if incident is None and argument != NEW:
        return f'the argument must name an incident, or be "{NEW}"'
    if incident is left:
        return f"it is of incident {argument} already"
    if incident is not None and not incident.is_open:
        return f"incident {argument} is {incident.stage}"
    full = [one.incident_id for one in (left, incident) if one is not None and len(one.parted) >= PARTED_MAX]
    return f"incident {full[0]} is parted from {PARTED_MAX} others already" if full else None


def moved(decisions: "Decisions", mark_id: str, argument: str, told: str) -> str:
    """People say that a mark belongs to another incident, or to one of its own; returns which. `refused` has nothing against it."""
    state = decisions.state
    incidents, now_ms, mark = state.incidents, state.clock.now_ms, state.marks.by_id[mark_id]
    left = incidents.by_id[mark.incident_id]
    into = _parted(decisions, left, mark, told) if argument == NEW else incidents.by_id[argument]
    for one, other in ((left, into), (into, left)):
        if other.incident_id not in one.parted:
            one.parted.append(other.incident_id)
        if one.stage == "pending_closure":
            one.stays_open(now_ms, "a mark of it was moved")
        one.handled(now_ms, "mark_moved", f"{mark_id} from {left.incident_id} to {into.incident_id}: {told}")
    change = state.marks.move(mark_id, into.incident_id)
    if isinstance(change, str):
        raise PlanBrokenError(f"the plan found mark {mark_id} fit to be moved, and it is refused: {change}")
    _renamed(state, change.after, left, into)
    paging.moved(left, into, change.after.base_minor or 0, gone=_has_left(state, mark))
    if change.after.base_minor is None:
        paging.moved_unvalued(left, into, mark.subject.asset, mark.open_minor, gone=_has_left(state, mark))
    _clock_goes_along(left, into)
    decisions.take(change)
    for one in (left, into):
        incidents.clocked(one)
        decisions.publish_incident(one.incident_id)
    decisions.tell(into.incident_id)
    return into.incident_id


def settled(decisions: "Decisions", mark: MarkState, incident_id: str) -> None:
    """A mark whose incident is forgotten is that incident's from now on; any other stays where it is."""
    if mark.incident_id in decisions.state.incidents.by_id:
        return
    change = decisions.state.marks.move(mark.mark_id, incident_id)
    if isinstance(change, Change):
        decisions.take(change)


def _has_left(state: State, mark: MarkState) -> bool:
    """Whether what is marked is known to have left: an outflow has, a withdrawal once a step or an outflow says so."""
    known = state.withdrawals.by_id.get(mark.subject.withdrawal_id or "")
    return mark.mark_id.startswith("outflow:") or (known is not None and known.left)


def _clock_goes_along(left: IncidentState, into: IncidentState) -> None:
    """It began when the mark's did; whoever was woken for the mark, and has it in hand, was and has so there, unless people were woken there too."""
    sheet = replace(
        into.clock,
        first_event_at_ms=min(into.clock.first_event_at_ms, left.clock.first_event_at_ms),
        first_finding_at_ms=min(into.clock.first_finding_at_ms, left.clock.first_finding_at_ms),
    )
    into.last_event_at_ms = max(into.last_event_at_ms, left.last_event_at_ms)
    if sheet.paged_at_ms is None and left.paged_base_minor >= 0:
        sheet = replace(
            sheet, paged_at_ms=left.clock.paged_at_ms, acknowledged_at_ms=sheet.acknowledged_at_ms or left.clock.acknowledged_at_ms
        )  # fmt: skip
    into.clock = sheet


def _parted(decisions: "Decisions", left: IncidentState, mark: MarkState, told: str) -> IncidentState:
    """A new incident, in whose hands and with whose clock the other is: people were woken for it, and told whom they had to."""
    incidents, known = decisions.state.incidents, decisions.state.withdrawals.by_id.get(mark.subject.withdrawal_id or "")
    into = IncidentState(
        f"incident-{decisions.outbox.offset}-{decisions.outbox.index}", incidents.counts.opened, left.severity, mark.cause, left.rule,
        f"parted from {left.incident_id}: {told}", left.clock, left.last_event_at_ms, left.last_finding_at_ms,
        stage=left.stage if left.stage in ("new", "acknowledged") else "investigating", assignee=left.assignee, rules=[left.rule],
        last_paged_at_ms=left.last_paged_at_ms, alerts=left.alerts, missed=list(left.missed),
    )  # fmt: skip
    incidents.add(into, () if known is None else (f"address:{known.destination}",), decisions.state.policy.limits.incident_keys)
    return into


def _renamed(state: State, mark: MarkState, left: IncidentState, into: IncidentState) -> None:
    """The mark's withdrawal goes with it, unless another mark of it stays behind: who decides about the one must not decide about the other's."""
    name, account = mark.subject.withdrawal_id, mark.subject.account_id
    if name is None or any(state.marks.by_id[other].incident_id == left.incident_id for other in state.marks.of_withdrawal(name)):
        return
    if name in left.withdrawals:
        del left.withdrawals[name]
        state.incidents.names -= 1
    names_max = state.policy.limits.incident_names
    if name not in into.withdrawals and state.incidents.names < names_max:
        into.withdrawals[name] = into.telling
        state.incidents.names += 1
    if account is not None and account not in into.accounts and state.incidents.names < names_max:
        into.accounts[account] = None
        state.incidents.names += 1
    known = state.withdrawals.by_id.get(name)
    if known is not None and state.incidents.root(known.incident_id) == left.incident_id:
        state.withdrawals.put(name, replace(known, incident_id=into.incident_id))
