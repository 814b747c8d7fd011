"""What each kind of accepted event does: facts are taken, invariants checked, the rest handed to `monitor.decisions`.

One method per event type and the table that names it. Called by `monitor.engine`, in the order of the journal.
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
from monitor.coverage import coverage
from monitor.decisions import Decisions
from monitor.findings import Finding, Subject
from monitor.policy import PROVIDERS_MAX
from monitor.scoring import ALARMS, Opinion, tied_to
from monitor.state import Provider, State
from monitor.withdrawals import ENDED, LEFT, Known, Payment, agrees, destination, deviations, known_from

NEVER_REQUESTED_MAX = 1_024
"""Withdrawals whose request was never seen are remembered beyond the limit up to here, until a block's end evicts: it must not grow without one."""


class Events:
    """The handlers, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions
        self.handlers: dict[type[Sourced], Callable[..., None]] = {
            OutflowEntry: self.outflow,
            AccountEventEntry: self.archived,
            WalletEventEntry: self.archived,
            PostingEntry: self.posting,
            HoldingEntry: self.archived,
            BalanceEntry: self.balance,
            PriceEntry: self.price,
            ReserveEntry: self.reserve,
            ProviderEntry: self.provider,
            FeedbackEntry: self.feedback,
            RejectedEntry: self.rejected,
        }

    def requested(self, event: Withdrawal, opinion: Opinion | None) -> bool:
        """A new withdrawal with what the detectors say of it; None when they could not be asked. Says whether it may teach them."""
        amount_minor = self.decisions.minor(event.asset, event.amount)
        known = self._new(event)
        findings = self._more_than_held(event, known, amount_minor)
        if opinion is None:
            reason = ReasonGiven("detectors_failed", "the detectors failed on this withdrawal; a person must look at it")
            known = self.decisions.verdict(event.withdrawal_id, known, "UNSCORED", (reason,), event.occurred_at_ms)
        elif opinion.verdict == "HOLD":
            loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
            findings += self._odd(event, opinion, loss)
        elif opinion.verdict == "WATCH":
            known = self._watch(event, known, opinion)
        elif not findings:
            self.decisions.verdict(event.withdrawal_id, known, "CLEAR", (), event.occurred_at_ms, opinion.p_value)
        if findings:
            self.decisions.hold(event.withdrawal_id, known, findings)
        if self.state.outflows.waiting:
            self._explain_waiting(event.withdrawal_id)
        return not findings

    def _new(self, event: Withdrawal) -> Known:
        """The first picture of a withdrawal. Where events of it could not be read before, its verdict's versions go on."""
        known, unread = known_from(event), self.state.withdrawals.unread
        if event.withdrawal_id in unread:
            known = msgspec.structs.replace(known, version=unread.pop(event.withdrawal_id))
        if event.tx_id is not None:
            known = self.state.withdrawals.link(event.withdrawal_id, known, event.tx_id, known.destination)
        return known

    def _watch(self, event: Withdrawal, known: Known, opinion: Opinion) -> Known:
        for finding in self._odd(event, opinion, None):
            if finding.rule in ALARMS:
                known = msgspec.structs.replace(known, incident_id=self.decisions.finding(finding))
        return self.decisions.verdict(event.withdrawal_id, known, "WATCH", opinion.reasons, event.occurred_at_ms, opinion.p_value)

    def _odd(self, event: Withdrawal, opinion: Opinion, loss: Subject | None) -> tuple[Finding, ...]:
        """The opinion's reasons as findings, each tied to what its rule is about."""
        findings = []
        for reason in opinion.reasons:
            keys = (tied_to(reason.rule, event),)
            findings.append(Finding(reason.rule, reason.detail, event.occurred_at_ms, keys, reason.p_value, loss))
        return tuple(findings)

    def _more_than_held(self, event: Withdrawal, known: Known, amount_minor: int) -> tuple[Finding, ...]:
        if not self.decisions.on("more_than_held"):
            return ()
        total = self.state.held.total(event.asset)
        if event.balance_before is not None and amount_minor > self.decisions.minor(event.asset, event.balance_before):
            detail = f"{event.amount} {event.asset} asked for, the account had {event.balance_before}"
        elif total is not None and amount_minor > total:
            detail = f"{event.amount} {event.asset} asked for, more than all wallets hold"
        else:
            return ()
        loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
        return (Finding("more_than_held", detail, event.occurred_at_ms, (f"address:{known.destination}",), None, loss),)

    def step(self, event: Withdrawal) -> None:
        """A later step of a withdrawal, or a request that came again with another event id."""
        withdrawal_id = event.withdrawal_id
        known = self.state.withdrawals.by_id.get(withdrawal_id)
        if known is None:
            self._never_requested(event)
            return
        status, withdrawals = event.status, self.state.withdrawals
        paid_to = event.address if event.tag is None else destination(event.address, event.tag)
        tx_id = None if status == "failed" else event.tx_id  # a failed step names the transaction that failed: it pays nothing
        left_before, version_before = known.left, known.version
        if not agrees(known, event.asset, paid_to, event.amount, tx_id):
            payment = Payment(event.asset, paid_to, event.amount, tx_id, event.wallet_id, event.occurred_at_ms, status in LEFT)
            known = self._deviates(withdrawal_id, known, payment, self.decisions.minor(event.asset, event.amount))
        known = withdrawals.advance(withdrawal_id, known, event)
        if status in ENDED:
            if not known.left:
                self.decisions.release(f"withdrawal:{withdrawal_id}")
        elif known.left and not left_before and known.verdict == "HOLD":
            self._too_late(withdrawal_id, known, event.occurred_at_ms, told=known.version != version_before)
        if self.state.outflows.waiting:
            self._explain_waiting(withdrawal_id)

    def _too_late(self, withdrawal_id: str, known: Known, at_ms: int, *, told: bool) -> None:
        """It was to be held and left all the same: people must know, and if its mark was given back, it is made again."""
        self.decisions.hold_again(f"withdrawal:{withdrawal_id}")
        if not told:
            self.decisions.verdict(withdrawal_id, known, "HOLD", (), at_ms)

    def _never_requested(self, event: Withdrawal) -> None:
        """A step of a withdrawal that isn't known. If it was paid already, that is a loss until somebody says otherwise.

        It is marked unless withdrawals have been forgotten, so that the request may have been seen.
        """
        withdrawal_id, known = event.withdrawal_id, self._new(event)
        detail = f"{event.status} came, but no request of this withdrawal was seen"
        if event.status in LEFT and self.decisions.on("never_requested"):
            loss = None
            if self.state.withdrawals.evicted == 0:
                loss = self.decisions.subject(f"withdrawal:{withdrawal_id}", withdrawal_id, known, self.decisions.minor(event.asset, event.amount))
            keys = (f"address:{known.destination}", *((f"wallet:{event.wallet_id}",) if event.wallet_id is not None else ()))
            incident_id = self.decisions.finding(Finding("never_requested", detail, event.occurred_at_ms, keys, None, loss))
            known = msgspec.structs.replace(known, incident_id=incident_id)
        known = self.decisions.verdict(withdrawal_id, known, "UNSCORED", (ReasonGiven("never_requested", detail),), event.occurred_at_ms)
        if len(self.state.withdrawals.by_id) > self.state.policy.limits.withdrawals + NEVER_REQUESTED_MAX:
            self.state.withdrawals.unlink(withdrawal_id, self.state.withdrawals.by_id.pop(withdrawal_id))
        self._explain_waiting(withdrawal_id)

    def _deviates(self, withdrawal_id: str, known: Known, payment: Payment, paid_minor: int) -> Known:
        """Check what is paid against what was requested; a deviation holds the withdrawal and marks what is paid."""
        decisions = self.decisions
        asked_minor = decisions.minor(known.asset, known.amount)
        keys: tuple[str, ...] = (f"address:{payment.destination}",)
        if payment.wallet_id is not None:
            keys += (f"wallet:{payment.wallet_id}",)
        told = {(reason.rule, reason.detail) for reason in known.reasons}
        findings = []
        for deviation in deviations(withdrawal_id, known, payment, paid_minor, asked_minor):
            if decisions.on(deviation.rule) and (deviation.rule, deviation.detail) not in told:
                loss = Subject(deviation.mark_id, withdrawal_id, known.account_id, known.owner, payment.asset, paid_minor, known.provider_id)
                findings.append(Finding(deviation.rule, deviation.detail, payment.at_ms, keys, None, loss))
        if payment.left:
            known = msgspec.structs.replace(known, left=True)
            if payment.tx_id is not None:
                known = self.state.withdrawals.link(withdrawal_id, known, payment.tx_id, payment.destination)
        return decisions.hold(withdrawal_id, known, tuple(findings)) if findings else known

    def outflow(self, entry: OutflowEntry) -> None:
        """What was seen leaving: it must serve a known withdrawal, or wait until that is proven or refuted."""
        event = entry.event
        self.decisions.minor(event.asset, event.amount)  # refused here and now if it can't be placed
        if event.internal:
            return
        if not self._serve(event) and self.decisions.on("outflow_without_request"):
            policy = self.state.policy
            due_ms = max(entry.clock_ms, event.occurred_at_ms if not entry.time_replaced else 0) + policy.absence_grace_ms
            crowded = self.state.outflows.wait(event, due_ms, policy.limits.outflows_waiting)
            if crowded is not None:
                self._without_request(crowded.outflow, "too many outflows wait for their requests")

    def _serve(self, event: Outflow) -> bool:
        """Whether a known withdrawal explains the outflow; if so what was seen leaving for it is checked against it."""
        paid_to = destination(event.address, event.tag)
        withdrawals, paid_minor = self.state.withdrawals, self.decisions.minor(event.asset, event.amount)
        if event.withdrawal_id is not None:
            ids: tuple[str, ...] = (event.withdrawal_id,) if event.withdrawal_id in withdrawals.by_id else ()
        else:
            ids = tuple(known_id for known_id in withdrawals.paid_by(event.tx_id, paid_to) if known_id in withdrawals.by_id)
        if not ids:
            return False
        unserved = [known_id for known_id in ids if withdrawals.by_id[known_id].on_chain_minor == 0] or [ids[0]]
        asked = {known_id: self.decisions.minor(withdrawals.by_id[known_id].asset, withdrawals.by_id[known_id].amount) for known_id in unserved}
        exact = [known_id for known_id in unserved if asked[known_id] == paid_minor and withdrawals.by_id[known_id].asset == event.asset]
        if len(unserved) > 1 and not exact and paid_minor <= sum(asked.values()):
            for known_id in unserved:  # one output pays several withdrawals of a batch
                self._seen_on_chain(known_id, event, paid_to, asked[known_id])
        else:
            self._seen_on_chain((exact or unserved)[0], event, paid_to, paid_minor)
        return True

    def _seen_on_chain(self, withdrawal_id: str, event: Outflow, paid_to: str, paid_minor: int) -> None:
        """So much was seen leaving for a withdrawal. Several outputs of its transaction add up; another transaction is judged for itself."""
        withdrawals = self.state.withdrawals
        known = withdrawals.by_id[withdrawal_id]
        left_before, version_before = known.left, known.version
        if known.on_chain_minor and event.tx_id == known.tx_id and paid_to == known.destination:
            paid_minor += known.on_chain_minor
        amount = event.amount if not known.on_chain_minor else f"{paid_minor} smallest units in several outputs"
        asset_told = known.amount if known.asset == event.asset and self.decisions.minor(known.asset, known.amount) == paid_minor else amount
        if not agrees(known, event.asset, paid_to, asset_told, event.tx_id):
            payment = Payment(event.asset, paid_to, amount, event.tx_id, event.wallet_id, event.occurred_at_ms, left=True)
            known = self._deviates(withdrawal_id, known, payment, paid_minor)
        known = withdrawals.link(withdrawal_id, known, event.tx_id, paid_to)
        on_chain_minor = max(known.on_chain_minor, paid_minor)
        known = msgspec.structs.replace(known, left=True, on_chain_minor=on_chain_minor, tx_id=known.tx_id or event.tx_id)
        withdrawals.put(withdrawal_id, known)
        if known.verdict == "HOLD" and not left_before:
            self._too_late(withdrawal_id, known, event.occurred_at_ms, told=known.version != version_before)

    def _explain_waiting(self, withdrawal_id: str) -> None:
        """A withdrawal appeared or was paid: an outflow may have waited for it."""
        known = self.state.withdrawals.by_id.get(withdrawal_id)
        payment = None if known is None or known.tx_id is None else f"{known.tx_id} {known.destination}"
        for outflow in self.state.outflows.claimed(withdrawal_id, payment):
            if not self._serve(outflow):
                self._without_request(outflow, f"withdrawal {withdrawal_id} doesn't explain it")

    def judge_absence(self) -> None:
        """After progress: outflows that nobody requested are findings now."""
        state = self.state
        if state.outflows.waiting:
            until_ms = state.sources.proven_until_ms("withdrawals", state.partitions.get("withdrawals", 0))
            for outflow in state.outflows.proven(until_ms):
                self._without_request(outflow, "no withdrawal asked for it")

    def _without_request(self, outflow: Outflow, why: str) -> None:
        paid_to = destination(outflow.address, outflow.tag)
        amount_minor = self.decisions.minor(outflow.asset, outflow.amount)
        loss = Subject(
            f"outflow:{outflow.tx_id} {outflow.event_id}",
            outflow.withdrawal_id,
            None,
            outflow.owner,
            outflow.asset,
            amount_minor,
            outflow.provider_id,
        )
        detail = f"{outflow.amount} {outflow.asset} left wallet {outflow.wallet_id} to {paid_to} in transaction {outflow.tx_id}: {why}"
        keys = (f"address:{paid_to}", f"wallet:{outflow.wallet_id}")
        self.decisions.finding(Finding("outflow_without_request", detail, outflow.occurred_at_ms, keys, None, loss))

    def posting(self, entry: PostingEntry) -> None:
        """A credit, or a batch of credits, of more than all wallets hold can't be right."""
        event = entry.event
        total = self.state.held.total(event.asset)
        if event.kind != "credit" or total is None or not self.decisions.on("more_than_held"):
            return
        amount_minor = self.decisions.minor(event.asset, event.amount)
        credited_minor = self.state.held.credit(event.asset, amount_minor, event.batch_id)
        if credited_minor > total:
            of = f"batch {event.batch_id}" if event.batch_id is not None else f"posting {event.posting_id}"
            detail = f"{of} credits more {event.asset} than all wallets hold; {event.amount} of it to account {event.account_id}"
            loss = Subject(f"posting:{event.posting_id}", None, event.account_id, event.owner, event.asset, amount_minor)
            key = f"batch:{event.batch_id}" if event.batch_id is not None else f"asset:{event.asset}"
            self.decisions.finding(Finding("more_than_held", detail, event.occurred_at_ms, (key,), None, loss))

    def balances_read(self) -> None:
        """After progress: from when all balances were read once, their sums are what the exchange holds."""
        held = self.state.held
        if not held.complete:
            held.complete = self.state.sources.proven_until_ms("balances", self.state.partitions.get("balances", 0)) >= 0

    def balance(self, entry: BalanceEntry) -> None:
        """The newest balance of a wallet."""
        event = entry.event
        amount_minor = self.decisions.minor(event.asset, event.amount)
        limit = self.state.policy.limits.wallets
        if not self.state.held.set_balance(event.wallet_id, event.asset, amount_minor, event.occurred_at_ms, limit):
            self.refused(event.wallet_id, f"balance of wallet {event.wallet_id} not kept: the policy's limit of {limit} wallets is reached")

    def price(self, entry: PriceEntry) -> None:
        """The newest price of an asset; marks that had none are valued."""
        event = entry.event
        self.state.marks.set_price(event.asset, event.price, event.price_source, event.occurred_at_ms)
        self.decisions.reprice(event.asset)

    def reserve(self, entry: ReserveEntry) -> None:
        """A layer is funded or drawn down."""
        event = entry.event
        marks = self.state.marks
        move = marks.reserve.fund if event.action == "fund" else marks.reserve.draw
        why = move(event.layer_id, event.unit, self.decisions.minor(event.unit, event.amount))
        if why is not None:
            self.refused(event.layer_id, why)
            return
        self.decisions.outbox.put("coverage", None, coverage(marks, self.state.clock.now_ms, "changed", ()))

    def provider(self, entry: ProviderEntry) -> None:
        """The registry's newest word on a provider."""
        event = entry.event
        providers = self.state.providers
        known = providers.get(event.provider_id)
        if known is None and len(providers) >= PROVIDERS_MAX:
            self.refused(event.provider_id, f"provider not kept: the limit of {PROVIDERS_MAX} is reached")
        elif known is None or event.occurred_at_ms >= known.at_ms:
            providers[event.provider_id] = Provider(event.name, event.role, event.standing, event.occurred_at_ms)

    def feedback(self, entry: FeedbackEntry) -> None:
        """A person's decision. The policy knows no signing keys, so nobody's signature can be checked and nothing is changed."""
        event = entry.event
        self.refused(
            event.subject_id, f"decision {event.command} of {event.actor} changes nothing: the policy has no key to check its signature with"
        )

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

    def archived(self, entry: AccountEventEntry | WalletEventEntry | HoldingEntry) -> None:
        """Kept in the journal and counted; no rule of this version reads it."""

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

    def repeat_conflict(self, entry: WithdrawalEntry | OutflowEntry | Sourced, event_id: str) -> None:
        """The same event id came with other content."""
        detail = f"event {event_id} came again with other content, at {entry.source}@{entry.offset}"
        self.decisions.audit(
            Audit(decided_at_ms=self.state.clock.now_ms, what="repeat-conflict", source=entry.source, subject_id=event_id, detail=detail)
        )
        if self.decisions.on("repeat_conflict"):
            self.decisions.finding(Finding("repeat_conflict", detail, self.state.clock.now_ms, (f"source:{entry.source}",)))
