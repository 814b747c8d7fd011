"""Incidents: findings that share a key within a window of event time are one incident; one page for each and for each escalation.

Union-find over keys, bounded; marks are made elsewhere and told here. What people decide is in `monitor.handling`. Called by `monitor.decisions`.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from monitor import paging
from monitor.clock_sheet import begun
from monitor.contracts.outputs import ClockTarget
from monitor.entities import EVICTED_SHARE
from monitor.findings import Finding, Subject, is_ambient, rule_of, ties
from monitor.incident_keys import IncidentKeys
from monitor.incident_state import RANK, IncidentState, Standing, Why, exceeds
from monitor.money import parse_amount
from monitor.page_storm import PageStorm
from monitor.policy import Limits, Policy


class Counts(msgspec.Struct):
    """Totals since the journal's first entry."""

    opened: int = 0
    merged: int = 0
    reopened: int = 0
    evicted: int = 0
    over_budget: int = 0
    alerts: dict[str, int] = msgspec.field(default_factory=lambda: {"page": 0, "notice": 0})
    missed: dict[ClockTarget, int] = {}


class Joined(NamedTuple):
    """The incident that a finding went into; whether it is new; which others it tied to it, now merged."""

    incident: IncidentState
    opened: bool
    merged: list[IncidentState]


class Incidents:
    """Incidents by id, and by the keys that tie findings together. `marked` counts those with marks that stand; it follows from the rest, as does what stands below it."""

    def __init__(self, policy: Policy) -> None:
        self.by_id: dict[str, IncidentState] = {}
        self.keys = IncidentKeys()
        self.dirty: dict[str, None] = {}
        self.counts = Counts()
        self.storm = PageStorm()
        self.marked = 0
        self.names = 0
        self.due_ms: dict[str, int] = {}
        self.pages_wait: dict[str, None] = {}
        self.configure(policy)

    def configure(self, policy: Policy) -> None:
        """Take a new term's policy: its targets hold for every open incident."""
        self.targets = policy.clock_targets
        least = parse_amount(policy.thresholds.page_base_amount, policy.assets[policy.base_currency].decimals)
        self.page_base_minor = least if isinstance(least, int) else 0  # what can't be read pages always
        for incident in self.by_id.values():
            self.clocked(incident)

    def restore(self, incidents: Iterable[IncidentState], dirty: Iterable[str], counts: Counts) -> None:
        """Take over what was snapshotted, but for the keys."""
        self.by_id = {incident.incident_id: incident for incident in incidents}
        self.dirty, self.counts = dict.fromkeys(dirty), counts
        self.pages_wait = {incident.incident_id: None for incident in self.by_id.values() if incident.page_waits}
        self.names = sum(len(incident.withdrawals) + len(incident.accounts) for incident in self.by_id.values())
        self.marked = sum(incident.marks > 0 for incident in self.by_id.values())
        for incident in self.by_id.values():
            self.clocked(incident)

    def root(self, incident_id: str | None) -> str | None:
        """The incident that goes on in the place of one that was merged."""
        incident = self.by_id.get(incident_id or "")
        return incident_id if incident is None or incident.merged_into is None else incident.merged_into

    def tells(self, incident_id: str) -> int:
        """The version of an incident that will tell what changes now."""
        incident = self.by_id.get(incident_id)
        return 0 if incident is None else incident.telling

    def look_again(self, incident_id: str, withdrawal_id: str) -> None:
        """Something was found out about a withdrawal that may be among its own: its next version tells so."""
        if incident_id in self.by_id:
            self.dirty[incident_id] = None
            if withdrawal_id in self.by_id[incident_id].withdrawals:
                self.by_id[incident_id].withdrawals[withdrawal_id] = self.tells(incident_id)

    def join(self, finding: Finding, now_ms: int, window_ms: int, new_id: str, limits: Limits, marked_in: str | None = None) -> Joined:
        """Put a finding into the open incident that it is tied to, into a closed one that it is a late fact of, or into a new one.

        Several open ones become one, unless people parted them: that with the most marks stays, of equals the oldest. A fact later than a closing opens an incident
        that follows the closed one. `marked_in` is the incident that holds the mark of the finding's loss already.
        """
        keys = ties(finding)
        tied = self._tied(keys, finding.at_ms, window_ms, marked_in)
        found, closed = [one for one in tied if one.is_open], [one for one in tied if not one.is_open]
        late = [one for one in closed if finding.at_ms <= (one.closed_at_ms or 0)]
        opened = not found and not late
        if found:
            incident = found[0] if len(found) == 1 else self._staying(found, marked_in)
        elif late:
            incident = max(late, key=lambda one: one.ordinal)
            self.reopen(incident, now_ms, f"a late fact: {finding.detail}")
        else:
            incident = self._open(finding, now_ms, new_id)
            incident.follows = max(closed, key=lambda one: one.ordinal).incident_id if closed else None
        merged = []
        for other in found[1:]:
            if not self._are_parted(incident, other):
                self._merge(incident, other, now_ms)
                merged.append(other)
        incident.show(self.keys.tie(incident.incident_id, keys, limits.incident_keys))
        self._count(incident, finding, now_ms, limits.incident_names)
        self.dirty[incident.incident_id] = None
        self._evict(limits.incidents, incident.incident_id)
        return Joined(incident, opened, merged)

    def _staying(self, found: list[IncidentState], marked_in: str | None) -> IncidentState:
        """Which of several stays, put first: that with the most marks, of equals the oldest; but where people parted that from the one that holds the loss, this."""
        found.sort(key=lambda one: (-one.marks, one.ordinal))
        for place, one in enumerate(found):
            if one.incident_id == marked_in and self._are_parted(found[0], one):
                found.insert(0, found.pop(place))
        return found[0]

    def would_join(self, finding: Finding, window_ms: int) -> tuple[str, ...]:
        """The incidents, open or closed, that a finding is tied to."""
        return tuple(one.incident_id for one in self._tied(ties(finding), finding.at_ms, window_ms, None))

    def _tied(self, keys: tuple[str, ...], at_ms: int, window_ms: int, marked_in: str | None) -> list[IncidentState]:
        """Incidents that share a key and whose events are within the window."""
        ids = self.keys.tied(keys)
        beside = self.by_id.get(marked_in or "")
        if beside is not None and not is_ambient(keys) and not is_ambient(beside.keys):
            ids[beside.incident_id] = None
        incidents = [self.by_id[incident_id] for incident_id in ids]
        return [one for one in incidents if one.clock.first_event_at_ms - window_ms <= at_ms <= one.last_event_at_ms + window_ms]

    def _open(self, finding: Finding, now_ms: int, new_id: str) -> IncidentState:
        rule = rule_of(finding.rule)
        sheet = begun(finding.at_ms, now_ms)
        incident = IncidentState(
            new_id, self.counts.opened, rule.severity, rule.cause, finding.rule, finding.detail, sheet, finding.at_ms, now_ms
        )  # fmt: skip
        self.add(incident)
        incident.happened(now_ms, "opened", f"{finding.rule}: {finding.detail}")
        return incident

    def add(self, incident: IncidentState, keys: tuple[str, ...] = (), keys_max: int = 0) -> None:
        """One more incident, and what leads to it."""
        self.counts.opened += 1
        self.by_id[incident.incident_id] = incident
        self.keys.add(incident.incident_id)
        if keys:
            incident.show(self.keys.tie(incident.incident_id, keys, keys_max))

    def _are_parted(self, one: IncidentState, other: IncidentState) -> bool:
        return any(self.root(name) == that.incident_id for this, that in ((one, other), (other, one)) for name in this.parted)

    def _merge(self, incident: IncidentState, other: IncidentState, now_ms: int) -> None:
        """Two incidents are one: `other` ends. Its marks still name it: `monitor.decisions` moves them."""
        self.counts.merged += 1
        self.keys.merge(incident.incident_id, other.incident_id)
        incident.show(other.keys)
        self._take_over(incident, other)
        for absorbed in (*other.absorbed, other.incident_id):
            incident.absorbed[absorbed] = None
            self.by_id[absorbed].merged_into = incident.incident_id
        self._wait(other, waits=False)
        other.absorbed, other.stage = {}, "merged"
        detail = f"{rule_of(other.rule).title}, {other.marks} mark(s): one with {incident.incident_id}"
        other.handled(now_ms, "merged", detail)
        incident.happened(now_ms, "merged", f"{other.incident_id} is part of it: {other.detail}")
        incident.grown_version = incident.telling  # who would close it must look again; any other decision is about marks that its actor saw
        self.dirty[incident.incident_id] = None
        self.clocked(incident)
        self.clocked(other)

    def _take_over(self, incident: IncidentState, other: IncidentState) -> None:
        """Everything but keys and marks."""
        before = sum(len(names) for one in (incident, other) for names in (one.withdrawals, one.accounts))
        incident.take_over(other)
        self.names += len(incident.withdrawals) + len(incident.accounts) - before
        paging.joined(incident, other)

    def _count(self, incident: IncidentState, finding: Finding, now_ms: int, names_max: int) -> None:
        rule = rule_of(finding.rule)
        incident.findings += 1
        incident.last_finding_at_ms = now_ms
        if finding.at_ms < incident.clock.first_event_at_ms:
            incident.clock = msgspec.structs.replace(incident.clock, first_event_at_ms=finding.at_ms)
        incident.last_event_at_ms = max(incident.last_event_at_ms, finding.at_ms)
        if finding.rule not in incident.rules:
            incident.rules.append(finding.rule)
            incident.lead(rule.severity, rule.cause, finding.rule, finding.detail)
        if rule.severity == "critical" and not rule.statistical and not incident.certain:
            incident.severe = incident.certain = True
            self.clocked(incident)
        if finding.subject is not None:
            self._name(incident, finding.subject, names_max)
        for subject in finding.beside:
            self._name(incident, subject, names_max)

    def _name(self, incident: IncidentState, subject: Subject, names_max: int) -> None:
        withdrawal_id, account_id = subject.withdrawal_id, subject.account_id
        if withdrawal_id is not None and (withdrawal_id in incident.withdrawals or self.names < names_max):
            self.names += withdrawal_id not in incident.withdrawals
            incident.withdrawals[withdrawal_id] = incident.telling
        if account_id is not None and account_id not in incident.accounts and self.names < names_max:
            incident.accounts[account_id] = None
            self.names += 1
        if subject.provider_id is not None:
            incident.place("provider", subject.provider_id)

    def changed(self, incident_id: str, mark_id: str, before: Standing | None, after: Standing | None, now_ms: int) -> None:
        """A mark of the incident was made, changed, given back (`after` stands for nothing) or moved to another (`after` is None)."""
        incident = self.by_id.get(incident_id)
        if incident is None:
            return
        at_stake, was_marked, stood_minor = incident.at_stake, incident.marks > 0, incident.marked_base_minor
        for standing, sign in ((before, -1), (after, 1)):
            if standing is not None and standing.number:
                incident.count(standing, sign)
        self.marked += (incident.marks > 0) - was_marked
        self.storm.changed(incident, stood_minor)
        if after is not None and after.number and (before is None or exceeds(after, before)):
            self._grew(incident, mark_id, now_ms)
        if incident.marked_base_minor >= self.page_base_minor:
            incident.severity, incident.severe = "critical", True
        elif incident.uncovered_base_minor > 0 and incident.severity == "notice":
            incident.severity = "warning"
        if incident.marked_base_minor < stood_minor:
            paging.lowered(incident, self.page_base_minor)
        self.dirty[incident_id] = None
        if incident.at_stake != at_stake:
            self.clocked(incident)

    def _grew(self, incident: IncidentState, mark_id: str, now_ms: int) -> None:
        """More is marked than anybody saw who would close it."""
        incident.grown_version = incident.telling
        if incident.stage == "closed":
            self.reopen(incident, now_ms, f"its mark {mark_id} grew")
        elif incident.stage == "pending_closure":
            incident.stays_open(now_ms, f"its mark {mark_id} came or grew")

    def reopen(self, incident: IncidentState, now_ms: int, why: str) -> None:
        """Facts came that nobody had when it was closed: it is new again, and pages again."""
        incident.stage, incident.outcome, incident.closed_at_ms, incident.reopened = "new", None, None, True
        incident.clock = msgspec.structs.replace(incident.clock, paged_at_ms=None, acknowledged_at_ms=None)
        incident.missed = [target for target in incident.missed if target != "acknowledged"]
        paging.unpaged(incident)
        incident.alerts_due = True
        incident.handled(now_ms, "reopened", why)
        self.counts.reopened += 1
        self.dirty[incident.incident_id] = None
        self.clocked(incident)

    def alert_due(self, incident: IncidentState, now_ms: int, allow: Callable[[], bool]) -> tuple[str, Why] | None:
        """Whether somebody must be told now: a page or a notice, and why. Asking counts as telling.

        A page by the rules of `monitor.paging`. `allow` takes a page from the budget; what is severe asks `monitor.page_storm` instead. An incident that was refused
        its page asks again at its next finding; one that must wait for it, on a Tick.
        """
        if not incident.is_open:
            return None
        why: Why = "escalated" if incident.paged_base_minor >= 0 else "reopened" if incident.reopened else "opened"
        woken = incident.severity == "critical" and paging.wakes(incident, now_ms)
        waits = not woken and incident.severity == "critical" and paging.is_grown(incident)
        if waits != incident.page_waits:
            self._wait(incident, waits=waits)
        if woken:
            if not self.storm.puts_off(incident, now_ms, self.page_base_minor) if incident.severe else allow():
                paging.paged(incident, now_ms)
                self._paged(incident, now_ms)
                return self._told(incident, "page", why, now_ms)
            if not incident.severe:
                self.counts.over_budget += not incident.muted
                incident.muted = True
        if incident.alerts == 0 or incident.alerts_due:
            return self._told(incident, "notice", why, now_ms)
        return None

    def _wait(self, incident: IncidentState, *, waits: bool) -> None:
        if waits != incident.page_waits:
            incident.page_waits = waits
            if waits:
                self.pages_wait[incident.incident_id] = None
            else:
                del self.pages_wait[incident.incident_id]

    def _paged(self, incident: IncidentState, now_ms: int) -> None:
        if incident.clock.paged_at_ms is None:
            incident.clock = msgspec.structs.replace(incident.clock, paged_at_ms=now_ms)
        self.clocked(incident)

    def _told(self, incident: IncidentState, kind: str, why: Why, now_ms: int) -> tuple[str, Why]:
        incident.alerts += 1
        incident.alerts_due = False
        self.counts.alerts[kind] += 1
        if kind == "page":
            incident.happened(now_ms, "escalated" if why == "escalated" else "paged", f"page {incident.alerts}")
        return kind, why

    def contradicted(self, incident: IncidentState, detail: str, now_ms: int) -> None:
        """A fact speaks against what people decided about it: a notice, and whoever is about to decide must look again."""
        if incident.stage == "pending_closure":
            incident.stays_open(now_ms, "a loss of it is contradicted")
        incident.handled(now_ms, "contradicted", detail)
        self.noticed(incident)
        self.clocked(incident)

    def noticed(self, incident: IncidentState) -> None:
        """People are told something of it, awake as they are."""
        incident.alerts += 1
        self.counts.alerts["notice"] += 1
        self.dirty[incident.incident_id] = None

    def clocked(self, incident: IncidentState) -> None:
        """Its clock sheet, marks or stage changed: know when its next target is missed, and whether its page still waits."""
        if incident.stage != "new" or incident.paged_base_minor >= 0:
            self.storm.drop(incident)
        waiting = [due.due_at_ms for due in incident.due(self.targets) if not due.missed]
        if waiting:
            self.due_ms[incident.incident_id] = min(waiting)
        else:
            self.due_ms.pop(incident.incident_id, None)

    def missed(self, now_ms: int) -> list[tuple[IncidentState, ClockTarget]]:
        """Targets missed since it was last asked, each a notice. Asking counts as telling."""
        found = []
        for incident_id in sorted((one for one, due_ms in self.due_ms.items() if due_ms <= now_ms), key=lambda one: (self.due_ms[one], one)):
            incident = self.by_id[incident_id]
            for due in incident.due(self.targets):
                if due.missed or due.due_at_ms > now_ms:
                    continue
                incident.missed.append(due.target)
                incident.happened(now_ms, "clock_missed", f"{due.target} was wanted by {due.due_at_ms}")
                self.counts.missed[due.target] = self.counts.missed.get(due.target, 0) + 1
                incident.alerts += 1
                self.counts.alerts["notice"] += 1
                found.append((incident, due.target))
            self.dirty[incident_id] = None
            self.clocked(incident)
        return found

    def stages(self) -> dict[str, int]:
        """Incidents kept, by stage."""
        counts: dict[str, int] = {}
        for incident in self.by_id.values():
            counts[incident.stage] = counts.get(incident.stage, 0) + 1
        return counts

    def _evict(self, limit: int, keep: str) -> None:
        """Over the limit what is merged goes first, then what is closed, then the least severe; of equals the oldest. None with marks that stand."""
        over = len(self.by_id) - limit
        if over <= 0 or len(self.by_id) - self.marked <= (self.by_id[keep].marks == 0):
            return
        idle = [one for one in self.by_id.values() if one.marks == 0 and one.incident_id != keep]
        idle.sort(key=lambda one: (one.stage != "merged", one.stage not in ("merged", "closed"), RANK[one.severity], one.ordinal))
        for incident in idle[: over + limit // EVICTED_SHARE]:
            self._forget(incident)

    def _forget(self, incident: IncidentState) -> None:
        incident_id = incident.incident_id
        self.keys.forget(incident_id)
        for absorbed in incident.absorbed:
            self.by_id[absorbed].merged_into = None
        into = self.by_id.get(incident.merged_into or "")
        if into is not None:
            into.absorbed.pop(incident_id, None)
        self.names -= len(incident.withdrawals) + len(incident.accounts)
        del self.by_id[incident_id]
        self.dirty.pop(incident_id, None)
        self.due_ms.pop(incident_id, None)
        self._wait(incident, waits=False)
        self.storm.drop(incident)
        self.counts.evicted += 1
