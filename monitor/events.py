"""What each kind of accepted event does: facts are taken, invariants checked, the rest handed to `monitor.decisions`.

The table of handlers, and requests, prices, reserves, registry, feedback and rejections; later steps and outflows are in `monitor.payouts`,
balances, holdings and postings in `monitor.funds`, wallets' events in `monitor.wallet_rules`. Called by `monitor.engine`, in the order of the journal.
"""

from collections.abc import Callable
from typing import Any

import msgspec

from monitor.contracts.journal import (
    AccountEventEntry,
    BalanceEntry,
    FeedbackEntry,
    HoldingEntry,
    OutflowEntry,
    PostingEntry,
    PriceEntry,
    ProviderEntry,
    RejectedEntry,
    ReserveEntry,
    Sourced,
    WalletEventEntry,
    WithdrawalEntry,
)  # fmt: skip
from monitor.contracts.outflows import Outflow
from monitor.contracts.outputs import Audit, ReasonGiven
from monitor.contracts.withdrawals import Withdrawal
from monitor.decided import Decided
from monitor.decisions import Decisions
from monitor.doubts import TOPICS
from monitor.findings import Finding, Subject, is_ambient, rule_of
from monitor.funds import Funds
from monitor.level_rules import LevelRules
from monitor.payouts import Payouts
from monitor.provider_rules import ProviderRules
from monitor.requests import Requests
from monitor.scoring import Opinion, tied_by, tied_to
from monitor.state import State
from monitor.wallet_rules import WalletRules
from monitor.withdrawals import Known

CHECKED_TWICE: frozenset[type] = frozenset((WithdrawalEntry, OutflowEntry))
"""Of these an event with a known id and other content has its effect all the same: more scrutiny can't harm. Others would count double."""


class Events:
    """The handlers, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions
        self.decided = Decided(state, decisions)
        self.funds = Funds(state, decisions)
        self.wallet_rules = WalletRules(state, decisions)
        self.requests = Requests(state, decisions, self.wallet_rules)
        self.provider_rules = ProviderRules(state, decisions)
        self.payouts = Payouts(state, decisions, self.requests, self.wallet_rules, self.provider_rules)
        self.levels = LevelRules(state, decisions)
        self.step = self.payouts.step
        self.handlers: dict[type[Sourced], Callable[..., bool | None]] = {  # False says that it had no effect
            OutflowEntry: self.payouts.outflow,
            AccountEventEntry: self.account_event,
            WalletEventEntry: self.wallet_rules.wallet_event,
            PostingEntry: self.funds.posting,
            HoldingEntry: self.funds.holding,
            BalanceEntry: self.funds.balance,
            PriceEntry: self.price,
            ReserveEntry: self.reserve,
            ProviderEntry: self.provider_rules.told,
            FeedbackEntry: self.feedback,
            RejectedEntry: self.rejected,
        }

    def requested(self, event: Withdrawal, opinion: Opinion | None, observation: int = -1) -> bool:
        """A new withdrawal with what the detectors say of it; None when they could not be asked. Says whether it may teach them.

        `observation` is its number among what the detectors scored.
        """
        amount_minor = self.decisions.minor(event.asset, event.amount)
        known = self.payouts.first(event, amount_minor, observation)
        if event.provider_id is not None:
            self.provider_rules.used(event.provider_id, event)
        findings = self.requests.findings(event, known, amount_minor)
        watched: tuple[ReasonGiven, ...] = ()
        if findings:
            known, findings, watched = self._milder(known, findings)
        if opinion is None:
            reason = ReasonGiven("detectors_failed", "the detectors failed on this withdrawal; a person must look at it")
            known = self.decisions.verdict(event.withdrawal_id, known, "UNSCORED", (reason, *watched), event.occurred_at_ms)
        elif opinion.verdict == "HOLD":
            loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
            findings += self._odd(event, opinion, loss)
        elif opinion.verdict == "WATCH" or watched:
            known = self._watch(event, known, opinion, watched)
        elif not findings:
            self.decisions.verdict(event.withdrawal_id, known, "CLEAR", (), event.occurred_at_ms, opinion.p_value)
        if findings:
            self.decisions.hold(event.withdrawal_id, known, findings, opinion)
        if opinion is not None and opinion.review == "over_budget":
            self.decisions.over_budget(event.withdrawal_id, opinion)
        if self.state.outflows.waiting:
            self.payouts.explain_waiting(event.withdrawal_id)
        return not findings

    def _milder(self, known: Known, told: tuple[Finding, ...]) -> tuple[Known, tuple[Finding, ...], tuple[ReasonGiven, ...]]:
        """Findings that hold nothing: each into its incident, without a mark; those that ask for WATCH as its reasons. Gives back the others too."""
        findings = tuple(finding for finding in told if rule_of(finding.rule).verdict == "HOLD")
        watched = []
        for finding in (finding for finding in told if finding not in findings):
            incident_id = self.decisions.finding(msgspec.structs.replace(finding, subject=None))
            if rule_of(finding.rule).verdict == "WATCH":
                watched.append(ReasonGiven(finding.rule, finding.detail))
                known = msgspec.structs.replace(known, incident_id=incident_id)
        return known, findings, tuple(watched)

    def _watch(self, event: Withdrawal, known: Known, opinion: Opinion, watched: tuple[ReasonGiven, ...]) -> Known:
        for finding in self._odd(event, opinion, None):
            if rule_of(finding.rule).verdict == "WATCH":  # an alarm over many withdrawals; what is odd by itself is a review, not an incident
                known = msgspec.structs.replace(known, incident_id=self.decisions.finding(finding))
        return self.decisions.verdict(
            event.withdrawal_id, known, "WATCH", (*watched, *opinion.reasons), event.occurred_at_ms, opinion.p_value, opinion.review
        )  # fmt: skip

    def _odd(self, event: Withdrawal, opinion: Opinion, loss: Subject | None) -> tuple[Finding, ...]:
        """The opinion's reasons as findings, each tied to what its rule is about."""
        findings = []
        for reason in opinion.reasons:
            keys: tuple[str, ...] = (tied_to(reason.rule, event),)
            if loss is not None and not is_ambient(keys):
                keys += tied_by(event)
            findings.append(Finding(reason.rule, reason.detail, event.occurred_at_ms, keys, reason.p_value, loss))
        return tuple(findings)

    def progressed(self) -> None:
        """After progress: what waited for it is judged, and balances may have been read for the first time."""
        self.funds.balances_read()
        self.judge_absence()

    def settled(self) -> None:
        """At the end of an entry: what it made available is used, and levels that it crossed are told."""
        moved = self.decisions.settle()
        if moved is not None:
            self.levels.settle(moved)

    def judge_absence(self) -> None:
        """Whatever waits for events that were still to be read, and has none to wait for any more, is judged."""
        self.payouts.judge_absence()
        state = self.state
        if not state.doubts.waiting:
            return
        sources, partitions = state.sources, state.partitions
        until_ms = {kind: min(sources.proven_until_ms(topic, partitions.get(topic, 0)) for topic in topics) for kind, topics in TOPICS.items()}
        judges = {
            "frozen": self.wallet_rules.judge_frozen, "holding": self.funds.judge_holding, "balance": self.funds.judge_balance,
            "provider": self.provider_rules.judge,
        }  # fmt: skip
        for doubt in state.doubts.due(until_ms):
            judges[doubt.kind](doubt)

    def price(self, entry: PriceEntry) -> bool:
        """The newest price of an asset; marks that had none are valued. One that jumps is said, and waits for the next. Says whether it counts.

        A price ahead of the core's clock is one of now: else it would keep those out that come after it.
        """
        event, marks = entry.event, self.state.marks
        at_ms = min(event.occurred_at_ms, self.state.clock.now_ms)
        taken = marks.set_price(event.asset, event.price, event.price_source, at_ms)
        if taken == "taken":
            self.decisions.priced(event.asset)
        elif taken == "waits":
            before = marks.prices.newest[event.asset].text
            detail = f"{event.asset} went from {before} to {event.price}, by {event.price_source}: it counts once a later price is near it"
            self.decisions.audit(Audit(decided_at_ms=self.state.clock.now_ms, what="price-jumped", subject_id=event.asset, detail=detail))
        return taken == "taken"

    def reserve(self, entry: ReserveEntry) -> None:
        """A layer is funded or drawn down."""
        event = entry.event
        marks = self.state.marks
        move = marks.ledger.fund if event.action == "fund" else marks.ledger.draw
        why = move(event.layer_id, event.unit, self.decisions.minor(event.unit, event.amount))
        if why is not None:
            self.refused(event.layer_id, why)
            return
        self.decisions.reserve_moved((event.unit,), None)

    def feedback(self, entry: FeedbackEntry) -> None:
        """A person's decision."""
        self.decided.take(entry.event)

    def refused(self, subject_id: str, why: str) -> None:
        """Say that an event changed nothing, and why."""
        self.decisions.audit(Audit(decided_at_ms=self.state.clock.now_ms, what="refused", subject_id=subject_id, detail=why))

    def unplaced(self, entry: Any, why: str) -> None:
        """An event that this term's policy can't place, as when intake already knows an asset that the core doesn't: people must look at it."""
        event = entry.event
        self.refused(event.event_id, f"{entry.source}@{entry.offset}: {why}")
        if isinstance(event, Withdrawal):
            self.decisions.unscored(event.withdrawal_id, event.account_id, ReasonGiven("rejected", why))
        elif isinstance(event, Outflow):
            withdrawal_id = event.withdrawal_id or f"unreadable:{entry.source}@{entry.offset}"
            self.decisions.unscored(withdrawal_id, None, ReasonGiven("rejected", why))

    def account_event(self, entry: AccountEventEntry) -> None:
        """Its fact was taken when it was accepted, by `monitor.engine`: the detectors read it, no rule does."""

    def rejected(self, entry: RejectedEntry) -> None:
        """A record that could not be read. A withdrawal or outflow among them goes to people; many of them wake people."""
        state = self.state
        topic = entry.source.partition("/")[0]
        by_reason = state.totals.rejected.setdefault(topic, {})
        by_reason[entry.reason] = by_reason.get(entry.reason, 0) + 1
        place = f"{entry.source}@{entry.offset}"
        self.decisions.audit(
            Audit(decided_at_ms=state.clock.now_ms, what="rejected", source=entry.source, first_offset=entry.offset, detail=entry.reason)
        )
        if topic not in ("withdrawals", "outflows"):
            return
        reason = ReasonGiven("rejected", f"{entry.reason}: {entry.detail}; the record is in the dead letters as {place}")
        self.decisions.unscored(entry.withdrawal_id or f"unreadable:{place}", entry.account_id, reason)
        recent = state.rejected_at_ms
        recent.append(state.clock.now_ms)
        limit = state.policy.rejected_severe_per_minute
        while recent and (recent[0] <= state.clock.now_ms - 60_000 or len(recent) > limit):
            recent.pop(0)
        if len(recent) == limit:
            detail = f"at least {limit} withdrawals or outflows in a minute could not be read, the newest at {place}: {entry.reason}"
            self.decisions.finding(Finding("rejected_flood", detail, state.clock.now_ms, ("rejected:flood",)))

    def repeat_conflict(self, entry: WithdrawalEntry | OutflowEntry | Sourced, event_id: str) -> bool:
        """The same event id came with other content. Says whether the event has its effect all the same."""
        detail = f"event {event_id} came again with other content, at {entry.source}@{entry.offset}"
        self.decisions.audit(
            Audit(decided_at_ms=self.state.clock.now_ms, what="repeat-conflict", source=entry.source, subject_id=event_id, detail=detail)
        )
        if self.decisions.on("repeat_conflict"):
            self.decisions.finding(Finding("repeat_conflict", detail, self.state.clock.now_ms, (f"source:{entry.source}",)))
        return type(entry) in CHECKED_TWICE
