"""Incidents: findings that share an address, a wallet or a source within a window are one incident; one page for each and for each escalation.

Pure state over findings; marks are made elsewhere and told here. Called by `monitor.engine`.
"""

from collections.abc import Callable
from itertools import islice

import msgspec

from monitor.contracts.base import Cause
from monitor.contracts.outputs import Alert, Incident, Severity
from monitor.entities import EVICTED_SHARE
from monitor.findings import Finding, rule_of

RANK: dict[Severity, int] = {"notice": 0, "warning": 1, "critical": 2}
NAMES_MAX = 10_000  # distinct withdrawals and accounts counted per incident; beyond it the counts are lower bounds
KEYS_MAX = 64
ESCALATION_FACTOR = 10  # a page again when the marked value is ten times that of the last page: at most a handful over any attack


class IncidentState(msgspec.Struct):
    """One incident as it stands."""

    incident_id: str
    severity: Severity
    cause: Cause
    title: str
    summary: str
    opened_at_ms: int
    first_event_at_ms: int
    last_event_at_ms: int
    last_finding_at_ms: int
    version: int = 0
    findings: int = 0
    rules: list[str] = []
    keys: list[str] = []
    withdrawals: dict[str, None] = {}
    accounts: dict[str, None] = {}
    marked_base_minor: int = 0
    uncovered_base_minor: int = 0
    paged_base_minor: int = -1
    alerts: int = 0
    severe: bool = False
    muted: bool = False


class Incidents:
    """Incidents by id, and by the keys that tie findings together."""

    def __init__(self) -> None:
        self.by_id: dict[str, IncidentState] = {}
        self.by_key: dict[str, str] = {}
        self.dirty: dict[str, None] = {}
        self.alerts: dict[str, int] = {"page": 0, "notice": 0}
        self.evicted = 0
        self.over_budget = 0

    def join(self, finding: Finding, now_ms: int, window_ms: int, new_id: str) -> tuple[IncidentState, bool]:
        """Put a finding into the incident that shares a key with it within the window, or into a new one; says whether it is new."""
        incident = self._shared(finding, now_ms, window_ms)
        opened = incident is None
        rule = rule_of(finding.rule)
        if incident is None:
            incident = IncidentState(new_id, rule.severity, rule.cause, rule.title, finding.detail, now_ms, finding.at_ms, finding.at_ms, now_ms)
            self.by_id[new_id] = incident
        for key in finding.keys:
            if key not in incident.keys:
                if len(incident.keys) == KEYS_MAX:
                    continue
                incident.keys.append(key)
            self.by_key[key] = incident.incident_id
        self._count(incident, finding, now_ms)
        self.dirty[incident.incident_id] = None
        return incident, opened

    def _shared(self, finding: Finding, now_ms: int, window_ms: int) -> IncidentState | None:
        for key in finding.keys:
            incident = self.by_id.get(self.by_key.get(key, ""))
            if incident is not None and now_ms - incident.last_finding_at_ms <= window_ms:
                return incident
        return None

    def _count(self, incident: IncidentState, finding: Finding, now_ms: int) -> None:
        rule = rule_of(finding.rule)
        incident.findings += 1
        incident.last_finding_at_ms = now_ms
        incident.first_event_at_ms = min(incident.first_event_at_ms, finding.at_ms)
        incident.last_event_at_ms = max(incident.last_event_at_ms, finding.at_ms)
        if finding.rule not in incident.rules:
            incident.rules.append(finding.rule)
            if RANK[rule.severity] >= RANK[incident.severity]:
                incident.title, incident.cause, incident.summary = rule.title, rule.cause, finding.detail
        if RANK[rule.severity] > RANK[incident.severity]:
            incident.severity = rule.severity
        if rule.severity == "critical" and not rule.statistical:
            incident.severe = True
        subject = finding.subject
        if subject is not None:
            for names, name in ((incident.withdrawals, subject.withdrawal_id), (incident.accounts, subject.account_id)):
                if name is not None and len(names) < NAMES_MAX:
                    names[name] = None

    def marked(self, incident: IncidentState, base_minor: int, uncovered_minor: int, page_base_minor: int) -> None:
        """A mark of the incident was made (or, negative, given back); enough value makes it critical."""
        incident.marked_base_minor += base_minor
        incident.uncovered_base_minor += uncovered_minor
        if incident.marked_base_minor >= page_base_minor:
            incident.severity, incident.severe = "critical", True
        self.dirty[incident.incident_id] = None

    def alert_due(self, incident: IncidentState, allow: Callable[[], bool]) -> str | None:
        """Whether somebody must be told now: "page", "notice", or None. Asking counts as telling.

        `allow` takes a page from the budget; what is severe doesn't ask. An incident that was refused its page asks again at its next finding.
        """
        kind = None
        grown = incident.marked_base_minor >= ESCALATION_FACTOR * max(incident.paged_base_minor, 1)
        if incident.severity == "critical" and (incident.paged_base_minor < 0 or grown):
            if incident.severe or allow():
                kind = "page"
                incident.paged_base_minor = incident.marked_base_minor
            else:
                self.over_budget += not incident.muted
                incident.muted = True
        if kind is None and incident.alerts == 0:
            kind = "notice"
        if kind is not None:
            incident.alerts += 1
            self.alerts[kind] += 1
        return kind

    def alert(self, incident: IncidentState, kind: str, now_ms: int, policy_version: int) -> Alert:
        """The record that tells somebody of an incident."""
        return Alert(
            decided_at_ms=now_ms,
            alert_id=f"{incident.incident_id}/{incident.alerts}",
            incident_id=incident.incident_id,
            kind="page" if kind == "page" else "notice",
            severity=incident.severity,
            title=incident.title,
            summary=incident.summary,
            policy_version=policy_version,
        )

    def record(self, incident: IncidentState, now_ms: int, policy_version: int, print_base: Callable[[int], str]) -> Incident:
        """The next version of an incident, as a record."""
        incident.version += 1
        self.dirty.pop(incident.incident_id, None)
        return Incident(
            decided_at_ms=now_ms,
            incident_id=incident.incident_id,
            version=incident.version,
            state="new",
            severity=incident.severity,
            cause=incident.cause,
            title=incident.title,
            summary=incident.summary,
            rules=tuple(incident.rules),
            keys=tuple(incident.keys),
            findings=incident.findings,
            withdrawals=len(incident.withdrawals),
            accounts=len(incident.accounts),
            opened_at_ms=incident.opened_at_ms,
            first_event_at_ms=incident.first_event_at_ms,
            last_event_at_ms=incident.last_event_at_ms,
            marked_base_amount=print_base(incident.marked_base_minor),
            uncovered_base_amount=print_base(incident.uncovered_base_minor),
            policy_version=policy_version,
        )

    def evict(self, limit: int) -> None:
        """Over the limit the incidents that were opened first go, with their keys."""
        over = len(self.by_id) - limit
        if over <= 0:
            return
        for incident_id in list(islice(self.by_id, over + limit // EVICTED_SHARE)):
            incident = self.by_id.pop(incident_id)
            self.dirty.pop(incident_id, None)
            for key in incident.keys:
                if self.by_key.get(key) == incident_id:
                    del self.by_key[key]
            self.evicted += 1
