"""From opinions and findings to what is published: verdicts, marks, coverage, incidents, alerts. The one place where a decision is made.

An auditor reads this file first. Changes `monitor.state`; called by `monitor.events` and `monitor.engine`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from monitor import paging
from monitor.budget import HOUR_MS
from monitor.contracts.base import Cause, Mode
from monitor.contracts.outputs import Alert, Audit, ReasonGiven, ReviewTold, Verdict, VerdictKind
from monitor.coverage import Position, coverage, mark_record, position
from monitor.findings import Finding, Subject, rule_of
from monitor.headroom import THEFT, headrooms, set_aside
from monitor.incident_state import alert_record, incident_record, standing
from monitor.incident_words import left, unpaged
from monitor.incidents import Joined
from monitor.left_after_all import found_unvalued
from monitor.mark_state import Change, MarkState, told
from monitor.money import parse_amount
from monitor.outbox import Outbox
from monitor.regrouping import merged, settled
from monitor.scoring import Opinion
from monitor.sources import Notice
from monitor.state import State
from monitor.withdrawals import RANK, Known

REASONS_MAX = 16
JUST_PAGED_MS = 60_000
"""Within a minute of a page nobody has done more than open his screen, where everything else stands."""


class FactRefusedError(Exception):
    """A fact that the term's policy can't place. Raised before anything has changed."""


class Moved(NamedTuple):
    """An entry has moved the reserve: where it stands now, and the incident by whose mark, if by one."""

    position: Position
    incident_id: str | None


class Decisions:
    """Decides, and puts what it decided into the outbox: verdict, then mark, coverage, incident and alert."""

    def __init__(self, state: State, outbox: Outbox) -> None:
        self.state = state
        self.outbox = outbox
        self.moved: dict[str, None] = {}
        """Assets of which marks or layers changed in this entry, by `moved_by`: the incident of the newest mark that did."""
        self.moved_by: str | None = None
        self.looked_at: dict[str, None] = {}  # withdrawals of which something was found out in this entry
        self.gone_minor: dict[str, int] = {}  # by withdrawal: the value that findings of this entry say has left

    def minor(self, asset: str, amount: str) -> int:
        """Minor units of an amount. Raises FactRefusedError for what the term's policy doesn't know: intake may be configured otherwise."""
        known = self.state.policy.assets.get(asset)
        if known is None:
            raise FactRefusedError(f"asset {asset} isn't in the policy of this term")
        minor = parse_amount(amount, known.decimals)
        if type(minor) is int:
            return minor
        raise FactRefusedError(
            f"amount {amount} of {asset} has more than the {known.decimals} decimals of this term's policy, or is no amount: {minor}"
        )

    def mode(self, reasons: tuple[ReasonGiven, ...]) -> Mode:
        """Enforce if any of the rules that ask for more than CLEAR is in enforce mode."""
        policy = self.state.policy
        modes = {policy.rule_modes.get(reason.rule, policy.mode) for reason in reasons}
        return "enforce" if "enforce" in modes else "observe"

    def on(self, rule: str) -> bool:
        """Whether a rule is applied at all."""
        return rule not in self.state.policy.rules_off

    def verdict(
        self, withdrawal_id: str, known: Known, kind: VerdictKind, reasons: tuple[ReasonGiven, ...], at_ms: int, p_value: float | None = None,
        review: ReviewTold | None = None,
    ) -> Known:  # fmt: skip
        """Decide a new version about one withdrawal, with all reasons so far; a verdict never becomes milder. Publishes and remembers it.

        `at_ms` is the time of the event that caused it.
        """
        self.look_again(withdrawal_id, known.incident_id)
        state = self.state
        now_ms = state.clock.now_ms
        if RANK[kind] < RANK[known.verdict]:
            kind = known.verdict
        reasons = (reasons + known.reasons)[:REASONS_MAX] if known.reasons else reasons[:REASONS_MAX]
        known = msgspec.structs.replace(known, verdict=kind, version=known.version + 1, reasons=reasons)
        state.withdrawals.put(withdrawal_id, known)
        totals = state.totals.verdicts
        totals[kind] = totals.get(kind, 0) + 1
        verdict = Verdict(
            decided_at_ms=now_ms,
            withdrawal_id=withdrawal_id,
            account_id=known.account_id,
            version=known.version,
            verdict=kind,
            mode=self.mode(reasons) if reasons else state.policy.mode,
            reasons=reasons,
            p_value=p_value,
            review=review,
            asset=known.asset,
            amount=known.amount,
            incident_id=state.incidents.root(known.incident_id),
            too_late=kind == "HOLD" and known.left,
            late=now_ms - at_ms > state.policy.late_after_ms,
            occurred_at_ms=known.occurred_at_ms,
            policy_version=state.policy.version,
        )
        self.outbox.put("verdicts", known.account_id, verdict)
        return known

    def look_again(self, withdrawal_id: str, incident_id: str | None) -> None:
        """Something is found out about a withdrawal: who saw its incidents before this entry doesn't know, and decides about the others."""
        state = self.state
        if withdrawal_id in self.looked_at:
            return
        self.looked_at[withdrawal_id] = None
        for mark_id in state.marks.of_withdrawal(withdrawal_id):
            state.incidents.look_again(state.marks.look_again(mark_id), withdrawal_id)
        state.incidents.look_again(state.incidents.root(incident_id) or "", withdrawal_id)

    def released(self, withdrawal_id: str, known: Known, reason: ReasonGiven) -> None:
        """People take a HOLD back: the one way in which a verdict becomes milder. What is found later may hold it again."""
        known = msgspec.structs.replace(known, verdict="CLEAR")
        self.verdict(withdrawal_id, known, "CLEAR", (reason,), self.state.clock.now_ms)

    def unscored(self, withdrawal_id: str, account_id: str | None, reason: ReasonGiven) -> None:
        """A withdrawal or outflow that could not be read: people must look at it."""
        state = self.state
        known = state.withdrawals.by_id.get(withdrawal_id)
        if known is not None:
            self.verdict(withdrawal_id, known, "UNSCORED", (reason,), state.clock.now_ms)
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

    def finding(self, finding: Finding, *, left: bool = False) -> str | None:
        """Put a finding into its incident, mark its amount, and tell people if it is due. `left`: what it is about is gone. Returns the incident."""
        state = self.state
        state.totals.findings[finding.rule] = state.totals.findings.get(finding.rule, 0) + 1
        rule = rule_of(finding.rule)
        if not rule.incident:
            return None
        subject = finding.subject
        marked = None if subject is None else state.marks.by_id.get(subject.mark_id)
        if subject is not None and subject.withdrawal_id is not None:
            self.look_again(subject.withdrawal_id, None)
        joined = self.join(finding, None if marked is None else marked.incident_id)
        incident_id = joined.incident.incident_id
        stood_minor = joined.incident.marked_base_minor
        for loss in (*finding.beside, *(() if subject is None else (subject,))):
            self.mark(loss, rule.cause, incident_id)
        if left and not rule.statistical:
            grown_minor = max(0, joined.incident.marked_base_minor - stood_minor)
            paging.left(joined.incident, grown_minor)
            if subject is not None and subject.withdrawal_id is not None:
                self.gone_minor[subject.withdrawal_id] = self.gone_minor.get(subject.withdrawal_id, 0) + grown_minor
        if state.marks.unpriced and not rule.statistical:
            found_unvalued(self, finding, incident_id, left=left)
        if joined.opened or joined.merged:
            self.publish_incident(incident_id)
        if joined.incident.severe or not state.snoozes.mutes(finding, state.clock.now_ms):
            self.tell(incident_id)
        return incident_id

    def join(self, finding: Finding, marked_in: str | None) -> Joined:
        """Put a finding into its incident; the marks of those that it tied to it go there."""
        state = self.state
        joined = state.incidents.join(
            finding, state.clock.now_ms, state.policy.incident_window_ms, f"incident-{self.outbox.offset}-{self.outbox.index}",
            state.policy.limits, marked_in,
        )  # fmt: skip
        for other in joined.merged:
            merged(self, joined.incident, other)
        return joined

    def mark(self, subject: Subject, cause: Cause, incident_id: str) -> None:
        """Mark a loss, or the larger loss that it turned out to be."""
        state = self.state
        marks, incidents, limits = state.marks, state.incidents, state.policy.limits
        stood, marked = marks.standing if len(marks.by_id) >= limits.marks else 0, incidents.marked
        change = marks.hold(subject, cause, incident_id, state.clock.now_ms)
        if change is not None:
            self.take(change)
            if change.after.incident_id != incident_id:
                settled(self, change.after, incident_id)
                self.tell(change.after.incident_id)
        if len(marks.by_id) > min(limits.marks, limits.marks_compensated):
            marks.forget(limits)
        over = len(marks.by_id) > limits.marks and stood <= limits.marks < marks.standing
        if over or marked <= limits.incidents < incidents.marked:
            detail = f"{marks.standing:,} marks stand, in {incidents.marked:,} incidents; limits are {limits.marks:,} and {limits.incidents:,}"
            self.finding(Finding("kept_over_limit", detail, state.clock.now_ms, ("budget:kept",)))

    def changed(self, *changes: Change) -> None:
        """Marks were changed, by whatever: they are taken, and people are told if an incident has grown enough for it."""
        self.take(*changes)
        for before, after in changes:
            if (after.base_minor or 0) > (0 if before is None else before.base_minor or 0):
                self.tell(after.incident_id)

    def take(self, *changes: Change) -> None:
        """Marks were changed: their incidents know it, the new versions are published. Nobody is told."""
        state, now_ms = self.state, self.state.clock.now_ms
        for before, after in changes:
            self._count(before, after)
            self.outbox.put("marks", after.mark_id, mark_record(state.marks, after, now_ms))
        if changes:
            assets = dict.fromkeys(after.subject.asset for _, after in changes)
            self.reserve_moved(assets, changes[-1].after.incident_id)

    def reserve_moved(self, assets: Iterable[str], incident_id: str | None) -> None:
        """Marks or layers changed, by an incident's mark or by funding: the entry's end publishes what of the assets and in total is covered."""
        self.moved.update(dict.fromkeys(assets))
        self.moved_by = incident_id

    def settle(self) -> Moved | None:
        """At the end of an entry: what it made available carries what stands uncovered; then coverage of all that moved is published, once."""
        state = self.state
        self.looked_at.clear()
        self.gone_minor.clear()
        if state.marks.ledger.freed:
            self.take(*state.marks.settle())
        if not self.moved:
            return None
        moved = Moved(position(state.marks, state.clock.now_ms), self.moved_by)
        self.outbox.put("coverage", None, coverage(state, moved.position, "changed", self.moved))
        self.moved, self.moved_by = {}, None
        return moved

    def _count(self, before: MarkState | None, after: MarkState) -> None:
        """Tell the incident, or both if the mark moved, what its marks stand for now."""
        state, mark_id = self.state, after.mark_id
        moved = before is not None and before.incident_id != after.incident_id
        if before is not None and moved:
            state.incidents.changed(before.incident_id, mark_id, standing(before), None, state.clock.now_ms)
        stood = None if before is None or moved else standing(before)
        state.incidents.changed(after.incident_id, mark_id, stood, standing(after), state.clock.now_ms)

    def tell(self, incident_id: str) -> None:
        """A page, if the incident's marks have grown enough for one."""
        state = self.state
        incident = state.incidents.by_id.get(incident_id)
        if incident is None:
            return
        now_ms = state.clock.now_ms
        over_before = state.incidents.counts.over_budget
        due = state.incidents.alert_due(incident, now_ms, lambda: state.pages.take(now_ms, state.policy.budget.pages_per_hour, HOUR_MS))
        if due is not None:
            self.publish_incident(incident_id)
            self.outbox.put("alerts", incident_id, alert_record(incident, *due, now_ms, state.policy, reserve=self._left()))
        if state.incidents.counts.over_budget > over_before:
            detail = f"nobody is woken for incident {incident_id}: {state.policy.budget.pages_per_hour} page(s) an hour are spent on others"
            self.finding(Finding("page_budget_spent", detail, now_ms, ("budget:pages",)))

    def _left(self) -> str:
        """What is left of the reserve, if anything was set aside, and what else waits, for whoever is told of an incident now."""
        marks, policy, storm = self.state.marks, self.state.policy, self.state.incidents.storm
        whole_minor, waiting = set_aside(marks, THEFT), unpaged(storm.number, storm.base_minor, policy)
        reserve = left(headrooms(marks)[THEFT].total(), whole_minor, policy) if whole_minor else ""
        return f"{reserve} {waiting}" if reserve and waiting else reserve or waiting

    def watch_clocks(self) -> None:
        """On a Tick: page what had to wait for it, and tell of every target of a clock sheet that was missed, once."""
        state = self.state
        now_ms = state.clock.now_ms
        for incident_id in sorted(state.incidents.pages_wait):
            self.tell(incident_id)
        for incident, target in state.incidents.missed(now_ms):
            self.publish_incident(incident.incident_id)
            late = f"Missed: {target.replace('_', ' ')} within {getattr(state.policy.clock_targets, f'{target}_minutes')} min. "
            self.outbox.put("alerts", incident.incident_id, alert_record(incident, "notice", "clock_missed", now_ms, state.policy, first=late))

    def level(self, rule: str, measure: str, detail: str, incident_id: str | None) -> None:
        """A level of coverage is crossed: people are told, or woken if it is critical. `incident_id`: whose mark crossed it, if one did.

        Whom a page of that incident has just woken isn't woken again: it says what was left, and he is looking.
        """
        state = self.state
        state.totals.findings[rule] = state.totals.findings.get(rule, 0) + 1
        severity = rule_of(rule).severity
        incident = state.incidents.by_id.get(incident_id or "")
        paged_at_ms = None if incident is None else incident.last_paged_at_ms
        woken = paged_at_ms is not None and state.clock.now_ms - paged_at_ms <= JUST_PAGED_MS
        kind: Literal["page", "notice"] = "page" if severity == "critical" and not woken else "notice"
        state.incidents.counts.alerts[kind] += 1
        alert = Alert(
            decided_at_ms=state.clock.now_ms,
            alert_id=f"level-{self.outbox.offset}-{self.outbox.index}",
            incident_id=incident_id,
            kind=kind,
            why="level_crossed",
            severity=severity,
            title=rule_of(rule).title,
            summary=detail,
            policy_version=state.policy.version,
        )
        self.outbox.put("alerts", incident_id or measure, alert)

    def publish_incident(self, incident_id: str) -> None:
        """Publish an incident's next version."""
        state = self.state
        incident = state.incidents.by_id[incident_id]
        incident.version += 1
        state.incidents.dirty.pop(incident_id, None)
        self.outbox.put("incidents", incident_id, incident_record(incident, state.clock.now_ms, state.policy))

    def hold(self, withdrawal_id: str, known: Known, findings: tuple[Finding, ...], opinion: Opinion | None = None) -> Known:
        """A withdrawal with findings that ask for HOLD: incident and mark first, so that the verdict can name them; all under one entry.

        Findings of detectors alone are reviewed as the opinion on it says; any other is severe.
        """
        incident_id = known.incident_id
        for finding in findings:
            incident_id = self.finding(finding, left=known.left) or incident_id
        known = msgspec.structs.replace(known, incident_id=self.state.incidents.root(incident_id))
        reasons = tuple(ReasonGiven(finding.rule, finding.detail, finding.p_value) for finding in findings)
        review: ReviewTold | None = "severe"
        if opinion is not None and all(rule_of(finding.rule).statistical for finding in findings):
            review = opinion.review
        return self.verdict(withdrawal_id, known, "HOLD", reasons, findings[0].at_ms, None if opinion is None else opinion.p_value, review)

    def over_budget(self, withdrawal_id: str, opinion: Opinion) -> None:
        """Nobody is asked for a review of a withdrawal that is odd: say its rank, and that the budget is spent."""
        now_ms = self.state.clock.now_ms
        told = f"rank {opinion.rank} of what went over the budget in the last day" if opinion.rank else "likelier than all that is kept"
        self.audit(Audit(decided_at_ms=now_ms, what="over-budget", subject_id=withdrawal_id, detail=f"no review is asked for: {told}"))
        detail = f"{self.state.policy.budget.reviews_per_day} reviews a day are spent; the newest without one is withdrawal {withdrawal_id}"
        self.finding(Finding("review_budget_spent", detail, now_ms, ("budget:reviews",)))

    def unsent(self, mark_id: str, what: str, *, is_news: bool) -> None:
        """What is marked never left. What is only suspected is given back; what people decided stands until they take it back, and they are told."""
        state, now_ms = self.state, self.state.clock.now_ms
        mark = state.marks.by_id[mark_id]
        if mark.stage == "cleared":
            return
        change = state.marks.clear(mark_id) if mark.stage == "suspected" else None
        if isinstance(change, Change):
            self.changed(change)
            return
        if not is_news:
            return
        detail = f"Mark {mark_id} is {told(mark.stage)}, but {what}: clear it, or find out what else is wrong."
        self.audit(Audit(decided_at_ms=now_ms, what="contradicted", subject_id=mark_id, detail=detail))
        incident = state.incidents.by_id.get(mark.incident_id)
        if incident is not None:
            state.incidents.contradicted(incident, detail, now_ms)
            self.publish_incident(mark.incident_id)
            alert = alert_record(incident, "notice", "contradicted", now_ms, state.policy, first=f"{detail} ")
            self.outbox.put("alerts", mark.incident_id, alert)

    def priced(self, asset: str) -> None:
        """The price of an asset is another: what is exposed and marks that had none are valued now."""
        state = self.state
        state.held.exposure.revalue(asset, state.marks.value)
        if not state.marks.unpriced:
            return
        self.changed(*state.marks.reprice(asset, state.clock.now_ms))

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
        if notice.severe or (notice.what in ("blind", "silent") and self.on(notice.what)):
            self.finding(Finding(notice.what, notice.detail, self.state.clock.now_ms, (f"source:{notice.source}",)))

    def audit(self, record: Audit) -> None:
        """Publish what the core noticed about itself."""
        self.outbox.put("audit", None, record)

    def subject(self, mark_id: str, withdrawal_id: str | None, known: Known, amount_minor: int) -> Subject:
        """The assets of a known withdrawal as the subject of a finding."""
        return Subject(mark_id, withdrawal_id, known.account_id, known.owner, known.asset, amount_minor, known.provider_id)
