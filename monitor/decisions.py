"""From opinions and findings to what is published: verdicts, marks, coverage, incidents, alerts. The one place where a decision is made.

An auditor reads this file first. Changes `monitor.state`; called by `monitor.events` and `monitor.engine`.
"""

import msgspec

from monitor.contracts.base import Mode
from monitor.contracts.outputs import Audit, ReasonGiven, Verdict, VerdictKind
from monitor.coverage import coverage, mark_record
from monitor.findings import RULES, Finding, Subject
from monitor.marks import MarkState
from monitor.money import parse_amount, print_amount
from monitor.outbox import Outbox
from monitor.reasons import Reason
from monitor.sources import Notice
from monitor.state import State
from monitor.withdrawals import LEFT, RANK, Known

REASONS_MAX = 16
NEVER_REQUESTED_MAX = 1_024
"""Withdrawals whose request was never seen are remembered beyond the limit up to here, until a block's end evicts: it must not grow without one."""


class Decisions:
    """Decides, and puts what it decided into the outbox: verdict, then mark, coverage, incident and alert."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self.state = state
        self.outbox = outbox

    def minor(self, asset: str, amount: str) -> int:
        """Minor units of an amount that intake has accepted. AssertionError otherwise: a bug of ours."""
        minor = parse_amount(amount, self.state.policy.assets[asset].decimals)
        if isinstance(minor, Reason):
            raise AssertionError(f"amount {amount} of {asset} passed intake but is refused: {minor}")  # noqa: TRY004  # not about types
        return minor

    def mode(self, reasons: tuple[ReasonGiven, ...]) -> Mode:
        """Enforce if any of the rules that ask for more than CLEAR is in enforce mode."""
        policy = self.state.policy
        modes = {policy.rule_modes.get(reason.rule, policy.mode) for reason in reasons}
        return "enforce" if "enforce" in modes else "observe"

    def on(self, rule: str) -> bool:
        """Whether a rule is applied at all."""
        return rule not in self.state.policy.rules_off

    def verdict(self, withdrawal_id: str, known: Known, kind: VerdictKind, reasons: tuple[ReasonGiven, ...], p_value: float | None = None) -> Known:
        """Decide a new version about one withdrawal, with all reasons so far; a verdict never becomes milder. Publishes and remembers it."""
        state = self.state
        now_ms = state.clock.now_ms
        if RANK[kind] < RANK[known.verdict]:
            kind = known.verdict
        reasons = (reasons + known.reasons)[:REASONS_MAX]
        known = msgspec.structs.replace(known, verdict=kind, version=known.version + 1, reasons=reasons)
        if len(state.withdrawals.by_id) < state.policy.limits.withdrawals + NEVER_REQUESTED_MAX or known.version > 1:
            state.withdrawals.put(withdrawal_id, known)
        state.totals.verdicts[kind] = state.totals.verdicts.get(kind, 0) + 1
        verdict = Verdict(
            decided_at_ms=now_ms,
            withdrawal_id=withdrawal_id,
            account_id=known.account_id,
            version=known.version,
            verdict=kind,
            mode=self.mode(reasons) if reasons else state.policy.mode,
            reasons=reasons,
            p_value=p_value,
            asset=known.asset,
            amount=known.amount,
            incident_id=known.incident_id,
            too_late=kind == "HOLD" and known.status in LEFT,
            late=now_ms - known.occurred_at_ms > state.policy.late_after_ms,
            occurred_at_ms=known.occurred_at_ms,
            policy_version=state.policy.version,
        )
        self.outbox.put("verdicts", known.account_id, verdict)
        return known

    def unscored(self, withdrawal_id: str, account_id: str | None, reason: ReasonGiven) -> None:
        """A withdrawal or outflow that could not be read: people must look at it."""
        state = self.state
        known = state.withdrawals.by_id.get(withdrawal_id)
        if known is not None:
            self.verdict(withdrawal_id, known, "UNSCORED", (reason,))
            return
        state.totals.verdicts["UNSCORED"] = state.totals.verdicts.get("UNSCORED", 0) + 1
        verdict = Verdict(
            decided_at_ms=state.clock.now_ms,
            withdrawal_id=withdrawal_id,
            account_id=account_id,
            version=state.withdrawals.unread_version(withdrawal_id, state.policy.limits.retries),
            verdict="UNSCORED",
            mode=self.mode((reason,)),
            reasons=(reason,),
            policy_version=state.policy.version,
        )
        self.outbox.put("verdicts", account_id or withdrawal_id, verdict)

    def finding(self, finding: Finding) -> str | None:
        """Put a finding into its incident, mark its amount, and tell people if it is due. Returns the incident."""
        state = self.state
        totals = state.totals.findings
        totals[finding.rule] = totals.get(finding.rule, 0) + 1
        rule = RULES[finding.rule]
        if not rule.incident:
            return None
        incidents, policy, now_ms = state.incidents, state.policy, state.clock.now_ms
        incident, opened = incidents.join(finding, now_ms, policy.incident_window_ms, f"incident-{self.outbox.offset}-{self.outbox.index}")
        incidents.evict(policy.limits.incidents)
        mark = None
        if finding.subject is not None:
            mark = state.marks.hold(finding.subject, rule.cause, incident.incident_id, now_ms)
            state.marks.forget_released(policy.limits.marks)
        if mark is not None:
            page_minor = self.minor(policy.base_currency, policy.thresholds.page_base_amount)
            incidents.marked(incident, mark.base_minor or 0, mark.uncovered_base_minor or 0, page_minor)
            self._publish_mark(mark)
        alert = incidents.alert_due(incident)
        if opened or alert is not None:
            self.publish_incident(incident.incident_id)
        if alert is not None:
            self.outbox.put("alerts", incident.incident_id, incidents.alert(incident, alert, now_ms, policy.version))
        return incident.incident_id

    def _publish_mark(self, mark: MarkState) -> None:
        state, now_ms = self.state, self.state.clock.now_ms
        self.outbox.put("marks", mark.subject.mark_id, mark_record(state.marks, mark, now_ms))
        self.outbox.put("coverage", None, coverage(state.marks, now_ms, "changed", (mark.subject.asset,)))

    def publish_incident(self, incident_id: str) -> None:
        """Publish an incident's next version."""
        state = self.state
        incident = state.incidents.by_id[incident_id]
        decimals = state.policy.assets[state.policy.base_currency].decimals
        record = state.incidents.record(incident, state.clock.now_ms, state.policy.version, lambda minor: print_amount(minor, decimals))
        self.outbox.put("incidents", incident_id, record)

    def hold(self, withdrawal_id: str, known: Known, findings: tuple[Finding, ...]) -> Known:
        """A withdrawal with findings that ask for HOLD: incident and mark first, so that the verdict can name them; all under one entry."""
        incident_id = known.incident_id
        for finding in findings:
            incident_id = self.finding(finding) or incident_id
        known = msgspec.structs.replace(known, incident_id=incident_id)
        reasons = tuple(ReasonGiven(finding.rule, finding.detail, finding.p_value) for finding in findings)
        return self.verdict(withdrawal_id, known, "HOLD", reasons)

    def release(self, mark_id: str) -> None:
        """The loss didn't happen: give the mark back, if there is one."""
        state = self.state
        before = state.marks.by_id.get(mark_id)
        mark = state.marks.release(mark_id)
        if mark is None or before is None:
            return
        incident = state.incidents.by_id.get(mark.incident_id)
        if incident is not None:
            page_minor = self.minor(state.policy.base_currency, state.policy.thresholds.page_base_amount)
            state.incidents.marked(incident, -(before.base_minor or 0), -(before.uncovered_base_minor or 0), page_minor)
        self._publish_mark(mark)

    def reprice(self, asset: str) -> None:
        """A price of an asset came: marks that had none, or a stale one, are valued now."""
        state = self.state
        if not state.marks.unpriced:
            return
        page_minor = self.minor(state.policy.base_currency, state.policy.thresholds.page_base_amount)
        for mark in state.marks.reprice(asset, state.clock.now_ms):
            incident = state.incidents.by_id.get(mark.incident_id)
            if incident is not None:
                state.incidents.marked(incident, mark.base_minor or 0, mark.uncovered_base_minor or 0, page_minor)
            self._publish_mark(mark)

    def notice(self, notice: Notice) -> None:
        """Publish what happened to a source; wake people if it is severe, tell them if it is blind."""
        record = Audit(
            decided_at_ms=self.state.clock.now_ms,
            what=notice.what,
            source=notice.source,
            first_offset=notice.first_offset,
            last_offset=notice.last_offset,
            expected_offset=notice.expected_offset,
            detail=notice.detail,
        )
        self.outbox.put("audit", None, record)
        if notice.severe or notice.what == "blind":
            self.finding(Finding(notice.what, notice.detail, self.state.clock.now_ms, (f"source:{notice.source}",)))

    def audit(self, record: Audit) -> None:
        """Publish what the core noticed about itself."""
        self.outbox.put("audit", None, record)

    def subject(self, mark_id: str, withdrawal_id: str | None, known: Known, amount_minor: int) -> Subject:
        """The assets of a known withdrawal as the subject of a finding."""
        return Subject(mark_id, withdrawal_id, known.account_id, known.owner, known.asset, amount_minor, known.provider_id)
