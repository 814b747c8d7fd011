"""What each kind of accepted event does: facts are taken, invariants checked, the rest handed to `monitor.decisions`.

One method per event type and the table that names it. Called by `monitor.engine`, in the order of the journal.
"""

from collections.abc import Callable

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
from monitor.scoring import Opinion
from monitor.state import Provider, State
from monitor.withdrawals import ENDED, LEFT, Known, Payment, agrees, destination, deviations, known_from

PROVIDERS_MAX = 10_000


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
        known = self._new(event)
        findings = self._more_than_held(event, known)
        if opinion is None:
            reason = ReasonGiven("detectors_failed", "the detectors failed on this withdrawal; a person must look at it")
            known = self.decisions.verdict(event.withdrawal_id, known, "UNSCORED", (reason,))
        elif opinion.verdict == "HOLD":
            findings += self._odd(event, known, opinion, subject=True)
        elif opinion.verdict == "WATCH":
            known = self._watch(event, known, opinion)
        elif not findings:
            self.decisions.verdict(event.withdrawal_id, known, "CLEAR", (), opinion.p_value)
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
        return known

    def _watch(self, event: Withdrawal, known: Known, opinion: Opinion) -> Known:
        for finding in self._odd(event, known, opinion, subject=False):
            if finding.rule == "young_address_payers":
                known = msgspec.structs.replace(known, incident_id=self.decisions.finding(finding))
        return self.decisions.verdict(event.withdrawal_id, known, "WATCH", opinion.reasons, opinion.p_value)

    def _odd(self, event: Withdrawal, known: Known, opinion: Opinion, *, subject: bool) -> tuple[Finding, ...]:
        """The opinion's reasons as findings. What concerns the wallet is tied to the wallet, all else to the address."""
        loss = None
        if subject:
            amount_minor = self.decisions.minor(event.asset, event.amount)
            loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
        findings = []
        for reason in opinion.reasons:
            keys = (f"wallet:{event.wallet_id}",) if reason.rule == "wallet_outflow" else (f"address:{known.destination}",)
            findings.append(Finding(reason.rule, reason.detail, event.occurred_at_ms, keys, reason.p_value, loss))
        return tuple(findings)

    def _more_than_held(self, event: Withdrawal, known: Known) -> tuple[Finding, ...]:
        if not self.decisions.on("more_than_held"):
            return ()
        total = self.state.held.totals.get(event.asset)
        if total is None and event.balance_before is None:
            return ()
        amount_minor = self.decisions.minor(event.asset, event.amount)
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
        status = event.status
        paid_to = event.address if event.tag is None else destination(event.address, event.tag)
        if not agrees(known, event.asset, paid_to, event.amount, event.tx_id):
            payment = Payment(event.asset, paid_to, event.amount, event.tx_id, event.wallet_id, event.occurred_at_ms, status in LEFT)
            known = self._deviates(withdrawal_id, known, payment)
        self.state.withdrawals.advance(withdrawal_id, known, event)
        if status in ENDED and known.status not in LEFT:
            self.decisions.release(f"withdrawal:{withdrawal_id}")
        elif known.verdict == "HOLD" and status in LEFT and known.status not in LEFT:
            # It was to be held and left all the same: people must know that it is too late.
            self.decisions.verdict(withdrawal_id, self.state.withdrawals.by_id[withdrawal_id], "HOLD", ())
        if self.state.outflows.waiting:
            self._explain_waiting(withdrawal_id)

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
        self.decisions.verdict(withdrawal_id, known, "UNSCORED", (ReasonGiven("never_requested", detail),))
        self._explain_waiting(withdrawal_id)

    def _deviates(self, withdrawal_id: str, known: Known, payment: Payment) -> Known:
        """Check what is paid against what was requested; a deviation holds the withdrawal and marks what is paid."""
        decisions = self.decisions
        paid_minor, asked_minor = decisions.minor(payment.asset, payment.amount), decisions.minor(known.asset, known.amount)
        keys: tuple[str, ...] = (f"address:{payment.destination}",)
        if payment.wallet_id is not None:
            keys += (f"wallet:{payment.wallet_id}",)
        told = {(reason.rule, reason.detail) for reason in known.reasons}
        findings = []
        for deviation in deviations(withdrawal_id, known, payment, paid_minor, asked_minor):
            if decisions.on(deviation.rule) and (deviation.rule, deviation.detail) not in told:
                loss = Subject(deviation.mark_id, withdrawal_id, known.account_id, known.owner, payment.asset, paid_minor, known.provider_id)
                findings.append(Finding(deviation.rule, deviation.detail, payment.at_ms, keys, None, loss))
        if not findings:
            return known
        if payment.left:
            known = msgspec.structs.replace(known, status="broadcast")
        return decisions.hold(withdrawal_id, known, tuple(findings))

    def outflow(self, entry: OutflowEntry) -> None:
        """What was seen leaving: it must serve a known withdrawal, or wait until that is proven or refuted."""
        event = entry.event
        if event.internal:
            return
        if not self._serve(event) and self.decisions.on("outflow_without_request"):
            policy = self.state.policy
            due_ms = max(entry.clock_ms, event.occurred_at_ms if not entry.time_replaced else 0) + policy.absence_grace_ms
            crowded = self.state.outflows.wait(event, due_ms, policy.limits.outflows_waiting)
            if crowded is not None:
                self._without_request(crowded.outflow, "too many outflows wait for their requests")

    def _serve(self, event: Outflow) -> bool:
        """Whether a known withdrawal explains the outflow; if so what is paid is checked against it."""
        paid_to = destination(event.address, event.tag)
        withdrawals = self.state.withdrawals
        withdrawal_id = event.withdrawal_id or withdrawals.paid_by(event.tx_id, paid_to)
        known = withdrawals.by_id.get(withdrawal_id) if withdrawal_id is not None else None
        if withdrawal_id is None or known is None:
            return False
        after = known
        if not agrees(known, event.asset, paid_to, event.amount, event.tx_id):
            payment = Payment(event.asset, paid_to, event.amount, event.tx_id, event.wallet_id, event.occurred_at_ms, left=True)
            after = self._deviates(withdrawal_id, known, payment)
        if after.tx_id is None:
            withdrawals.put(withdrawal_id, msgspec.structs.replace(after, tx_id=event.tx_id))
        return True

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
            f"outflow:{outflow.tx_id} {paid_to}", outflow.withdrawal_id, None, outflow.owner, outflow.asset, amount_minor, outflow.provider_id
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
