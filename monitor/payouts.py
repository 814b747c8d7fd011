"""What becomes of a withdrawal after its request: its later steps and what is seen leaving on chain, checked against what was asked and approved.

Facts are taken and invariants checked; `monitor.decisions` decides. Called by `monitor.events`, in the order of the journal.
"""

import msgspec

from monitor.contracts.journal import OutflowEntry
from monitor.contracts.outflows import Outflow
from monitor.contracts.outputs import ReasonGiven
from monitor.contracts.withdrawals import Withdrawal
from monitor.decisions import Decisions
from monitor.findings import Finding, Subject, rule_of
from monitor.left_after_all import left_after_all
from monitor.lifecycle import is_first_send, learn, oddities
from monitor.outflows import loss_of, output_of, telling_of
from monitor.provider_rules import ProviderRules
from monitor.requests import Requests
from monitor.state import State
from monitor.wallet_rules import WalletRules
from monitor.withdrawals import (
    BROADCAST,
    ENDED,
    LEFT,
    PAYMENTS_MAX,
    SENT,
    STEPS,
    Known,
    Payment,
    agrees,
    destination,
    deviations,
    known_from,
    other_transaction,
    payment_key,
)  # fmt: skip

NEVER_REQUESTED_MAX = 1_024
"""Withdrawals whose request was never seen are remembered beyond the limit up to here, until a block's end evicts: it must not grow without one."""


ENDS = {"failed": "failed", "cancelled": "was cancelled"}


class Payouts:
    """The handlers of steps and outflows, bound to one state."""

    def __init__(
        self, state: State, decisions: Decisions, requests: Requests, wallet_rules: WalletRules, provider_rules: ProviderRules
    ) -> None:  # fmt: skip
        self.state = state
        self.decisions = decisions
        self.requests = requests
        self.wallet_rules = wallet_rules
        self.provider_rules = provider_rules

    def first(self, event: Withdrawal, amount_minor: int, observation: int = -1) -> Known:
        """The first picture of a withdrawal; `observation` is its number among what the detectors scored. Where events of it could not be read before, its verdict's versions go on."""
        known, unread = known_from(event, amount_minor, observation), self.state.withdrawals.unread
        if event.withdrawal_id in unread:
            known = msgspec.structs.replace(known, version=unread.pop(event.withdrawal_id))
        if known.tx_id is not None:
            known = self.state.withdrawals.link(event.withdrawal_id, known, known.tx_id, known.destination)
        return known

    def step(self, event: Withdrawal) -> None:
        """A later step of a withdrawal, or a request that came again with another event id."""
        state, withdrawal_id, status, at_ms = self.state, event.withdrawal_id, event.status, event.occurred_at_ms
        withdrawals = state.withdrawals
        if event.provider_id is not None:
            self.provider_rules.used(event.provider_id, event)
        before = known = withdrawals.by_id.get(withdrawal_id)
        if known is None or before is None:
            self._never_requested(event)
            return
        paid_to = event.address if event.tag is None else destination(event.address, event.tag)
        tx_id = None if status == "failed" else event.tx_id  # a failed step names the transaction that failed: it pays nothing
        other_tx_id = None
        if tx_id is not None and (tx_id != known.tx_id or known.seen_tx_id is not None):
            other_tx_id = other_transaction(known, tx_id, event.replaces_tx_id)
        if not agrees(known, event.asset, paid_to, event.amount, other_tx_id):
            payment = Payment(event.asset, paid_to, event.amount, tx_id, event.wallet_id, at_ms, status in LEFT, other_tx_id)
            known = self._deviates(withdrawal_id, known, payment, self.decisions.minor(event.asset, event.amount))
        bit = STEPS[status]
        if known.steps != bit - 1 or at_ms < known.step_at_ms:
            known = self._sequence(event, known)
        elif bit == BROADCAST:
            known = self._sent(event, known, [])  # in order, like most
        known = withdrawals.advance(withdrawal_id, known, event)
        if status in ENDED:
            self._ended(withdrawal_id, known, stood=before.status not in ENDED)
        elif known.left and not before.left and known.verdict == "HOLD":
            self._too_late(withdrawal_id, known, at_ms, told=known.version != before.version)
        if state.outflows.waiting:
            self.explain_waiting(withdrawal_id)

    def _ended(self, withdrawal_id: str, known: Known, *, stood: bool) -> None:
        """It failed or was cancelled. What hasn't left is no loss, and takes nothing from the account's holding. People are told of it once."""
        if stood:
            self.requests.given_up(known)
        if known.left:
            return
        marks = self.state.marks
        for mark_id in marks.of_withdrawal(withdrawal_id):
            if mark_id.startswith("withdrawal:"):  # an outflow that names it left all the same
                self.decisions.unsent(mark_id, f"withdrawal {withdrawal_id} {ENDS[known.status]} before it left", is_news=stood)

    def _sequence(self, event: Withdrawal, known: Known) -> Known:
        """Check how the step follows those before it, and the wallet that it is sent from."""
        wallet_id = event.wallet_id or known.wallet_id or ""
        wallet = self.state.wallets.of(wallet_id, self.state.policy.limits.wallets)
        findings: list[Finding] = []
        for rule, detail in oddities(known, event, wallet, self.state.policy.clock_tolerance_ms):
            if self.decisions.on(rule):
                loss = None
                if rule == "step_missing":
                    loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, known.amount_minor)
                keys = ("clock:withdrawals",) if rule == "clock_disorder" else (f"address:{known.destination}", f"wallet:{wallet_id}")
                findings.append(Finding(rule, detail, event.occurred_at_ms, keys, None, loss))
        if is_first_send(known, event):
            return self._sent(event, known, findings)
        return self._found(event.withdrawal_id, known, findings) if findings else known

    def _sent(self, event: Withdrawal, known: Known, findings: list[Finding]) -> Known:
        """The first step that says that it left: what its wallet's payments are like, and whether the wallet may pay at all."""
        wallet_id, wallets = event.wallet_id or known.wallet_id or "", self.state.wallets
        wallet = wallets.of(wallet_id, self.state.policy.limits.wallets)
        learn(known, wallet)
        amount_minor = known.amount_minor
        if event.amount != known.amount or event.asset != known.asset:
            amount_minor = self.decisions.minor(event.asset, event.amount)
        wallet.flow(event.asset).sent_minor += amount_minor
        if wallet.frozen_at_ms >= 0 or wallets.changes:
            findings += self.wallet_rules.sent(wallet_id, wallet, event, known, amount_minor)
        return self._found(event.withdrawal_id, known, findings) if findings else known

    def _found(self, withdrawal_id: str, known: Known, findings: list[Finding]) -> Known:
        """Hold for those that ask for it; the others go to their incidents."""
        held = tuple(finding for finding in findings if rule_of(finding.rule).verdict == "HOLD")
        for finding in findings:
            if finding not in held:
                self.decisions.finding(finding)
        return self.decisions.hold(withdrawal_id, known, held) if held else known

    def _too_late(self, withdrawal_id: str, known: Known, at_ms: int, *, told: bool) -> None:
        """It was to be held and left all the same: people must know, and if its mark was given back, it is made again."""
        if not told:
            self.decisions.look_again(withdrawal_id, known.incident_id)
        left_after_all(self.decisions, withdrawal_id, known)
        if not told:
            self.decisions.verdict(withdrawal_id, known, "HOLD", (), at_ms)

    def _never_requested(self, event: Withdrawal) -> None:
        """A step of a withdrawal that isn't known. If it was paid already, that is a loss until somebody says otherwise.

        It is marked unless withdrawals have been forgotten, so that the request may have been seen.
        """
        amount_minor = self.decisions.minor(event.asset, event.amount)
        withdrawal_id, known = event.withdrawal_id, self.first(event, amount_minor)
        detail = f"{event.status} came, but no request of this withdrawal was seen"
        if event.status in LEFT and self.decisions.on("never_requested"):
            loss = None
            if self.state.withdrawals.evicted == 0:
                loss = self.decisions.subject(f"withdrawal:{withdrawal_id}", withdrawal_id, known, amount_minor)
            keys = (f"address:{known.destination}", *((f"wallet:{event.wallet_id}",) if event.wallet_id is not None else ()))
            incident_id = self.decisions.finding(Finding("never_requested", detail, event.occurred_at_ms, keys, None, loss), left=True)
            known = msgspec.structs.replace(known, incident_id=incident_id)
        known = self.decisions.verdict(withdrawal_id, known, "UNSCORED", (ReasonGiven("never_requested", detail),), event.occurred_at_ms)
        if event.status in LEFT and event.wallet_id is not None:
            self.wallet_rules.left(event.wallet_id, event.asset, amount_minor)
        if len(self.state.withdrawals.by_id) > self.state.policy.limits.withdrawals + NEVER_REQUESTED_MAX:
            self.state.withdrawals.unlink(withdrawal_id, self.state.withdrawals.by_id.pop(withdrawal_id))
        self.explain_waiting(withdrawal_id)

    def _deviates(self, withdrawal_id: str, known: Known, payment: Payment, paid_minor: int) -> Known:
        """Check what is paid against what was requested; a deviation holds the withdrawal and marks what is paid."""
        decisions = self.decisions
        asked_minor = known.amount_minor if known.approved_amount is None else decisions.minor(known.asset, known.approved_amount)
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
        amount_minor = self.decisions.minor(event.asset, event.amount)  # refused here and now if it can't be placed
        if event.provider_id is not None:
            self.provider_rules.used(event.provider_id, event)
        self.wallet_rules.seen_leaving(event, amount_minor, again=self._told_again(entry, amount_minor))
        if event.internal:
            known = self.state.withdrawals.by_id.get(event.withdrawal_id or "")
            if known is not None and event.withdrawal_id is not None:
                self.state.withdrawals.put(event.withdrawal_id, msgspec.structs.replace(known, internal=True))
            return
        if not self._serve(event, final=False):
            policy = self.state.policy
            due_ms = max(entry.clock_ms, event.occurred_at_ms if not entry.time_replaced else 0) + policy.absence_grace_ms
            crowded = self.state.outflows.wait(event, due_ms, policy.limits.outflows_waiting)
            if crowded is not None:
                self._judge(crowded.outflow, "too many outflows wait for their requests")

    def _told_again(self, entry: OutflowEntry, amount_minor: int) -> bool:
        """Whether its output was told with the same content before. With other content somebody errs or lies: both count, and people are told."""
        event, outputs = entry.event, self.state.outputs
        output, telling = output_of(event), telling_of(event, amount_minor)
        if output is None or telling is None:
            return False
        before = outputs.see(output, telling)
        if before is None or before == telling or outputs.see(telling, telling) is not None:
            return before is not None
        if self.decisions.on("repeat_conflict"):
            paid_to = destination(event.address, event.tag)
            detail = f"output {output} came again with other content, {event.amount} to {paid_to}, at {entry.source}@{entry.offset}"
            keys = (f"address:{paid_to}", f"wallet:{event.wallet_id}")
            self.decisions.finding(Finding("repeat_conflict", detail, event.occurred_at_ms, keys))
        return False

    def _serve(self, event: Outflow, *, final: bool) -> bool:
        """Whether a known withdrawal explains the outflow; if so what was seen leaving for it is checked against it.

        One that names another transaction than its withdrawal may be the retry of one whose failure is still to be read: unless `final`, it waits.
        """
        paid_to = destination(event.address, event.tag)
        withdrawals, paid_minor = self.state.withdrawals, self.decisions.minor(event.asset, event.amount)
        if event.withdrawal_id is not None:
            ids: tuple[str, ...] = (event.withdrawal_id,) if event.withdrawal_id in withdrawals.by_id else ()
        else:
            ids = tuple(known_id for known_id in withdrawals.paid_by(event.tx_id, paid_to) if known_id in withdrawals.by_id)
        if not ids:
            return False
        telling = telling_of(event, paid_minor)
        if telling is not None and any(telling in withdrawals.by_id[known_id].outputs for known_id in ids):
            return True  # another watcher told the same of it
        unserved = [known_id for known_id in ids if withdrawals.by_id[known_id].on_chain_minor == 0] or [ids[0]]
        asked = {known_id: withdrawals.by_id[known_id].amount_minor for known_id in unserved}
        exact = [known_id for known_id in unserved if asked[known_id] == paid_minor and withdrawals.by_id[known_id].asset == event.asset]
        if len(unserved) > 1 and not exact and paid_minor <= sum(asked.values()):
            for known_id in unserved:  # one output pays several withdrawals of a batch
                self._seen_on_chain(known_id, event, paid_to, asked[known_id])
            return True
        known_id = (exact or unserved)[0]
        known = withdrawals.by_id[known_id]
        if not final and known.seen_tx_id is None and other_transaction(known, event.tx_id) is not None:
            return False
        self._seen_on_chain(known_id, event, paid_to, paid_minor)
        return True

    def _seen_on_chain(self, withdrawal_id: str, event: Outflow, paid_to: str, paid_minor: int) -> None:
        """So much was seen leaving for a withdrawal. Several outputs of its transaction add up; another transaction is judged for itself."""
        withdrawals = self.state.withdrawals
        known = withdrawals.by_id[withdrawal_id]
        telling = telling_of(event, self.decisions.minor(event.asset, event.amount))
        if telling is not None and len(known.outputs) < PAYMENTS_MAX:
            known = msgspec.structs.replace(known, outputs=(*known.outputs, telling))
        left_before, version_before = known.left, known.version
        same_asset = event.asset == known.asset
        if known.on_chain_minor and same_asset and event.tx_id == (known.seen_tx_id or known.tx_id) and paid_to == known.destination:
            paid_minor += known.on_chain_minor
        amount = event.amount if not known.on_chain_minor or not same_asset else f"{paid_minor} smallest units in several outputs"
        asset_told = known.amount if known.asset == event.asset and known.amount_minor == paid_minor else amount
        other_tx_id = other_transaction(known, event.tx_id)
        if not agrees(known, event.asset, paid_to, asset_told, other_tx_id):
            payment = Payment(event.asset, paid_to, amount, event.tx_id, event.wallet_id, event.occurred_at_ms, left=True, other_tx_id=other_tx_id)
            known = self._deviates(withdrawal_id, known, payment, paid_minor)
        known = withdrawals.link(withdrawal_id, known, event.tx_id, paid_to)
        known = msgspec.structs.replace(
            known, left=True, on_chain_minor=max(known.on_chain_minor, paid_minor if same_asset else 1), tx_id=known.tx_id or event.tx_id,
            seen_tx_id=known.seen_tx_id or event.tx_id,
        )  # fmt: skip
        withdrawals.put(withdrawal_id, known)
        if not left_before and not known.steps & SENT:
            self.wallet_rules.sent_unsaid(event, withdrawal_id)
        if known.verdict == "HOLD" and not left_before:
            self._too_late(withdrawal_id, known, event.occurred_at_ms, told=known.version != version_before)

    def explain_waiting(self, withdrawal_id: str) -> None:
        """A withdrawal appeared, failed or was paid: an outflow may have waited for it."""
        known = self.state.withdrawals.by_id.get(withdrawal_id)
        payment = None if known is None or known.tx_id is None else payment_key(known.tx_id, known.destination)
        outflows = self.state.outflows
        for waiting in outflows.claimed(withdrawal_id, payment):
            if self._serve(waiting.outflow, final=False):
                continue
            if withdrawal_id in self.state.withdrawals.by_id:
                outflows.wait(waiting.outflow, waiting.due_ms, len(outflows.waiting) + 1)
            else:
                self._judge(waiting.outflow, f"withdrawal {withdrawal_id} doesn't explain it")

    def judge_absence(self) -> None:
        """After progress: outflows that nobody requested are findings now, and those that name another transaction than their withdrawal."""
        state = self.state
        if state.outflows.waiting:
            until_ms = state.sources.proven_until_ms("withdrawals", state.partitions.get("withdrawals", 0))
            for outflow in state.outflows.proven(until_ms):
                self._judge(outflow, "no withdrawal asked for it")

    def _judge(self, outflow: Outflow, why: str) -> None:
        """Nothing that could explain it is still to be read."""
        if self._serve(outflow, final=True) or not self.decisions.on("outflow_without_request"):
            return
        paid_to = destination(outflow.address, outflow.tag)
        amount_minor = self.decisions.minor(outflow.asset, outflow.amount)
        loss = Subject(
            loss_of(outflow),
            outflow.withdrawal_id,
            None,
            outflow.owner,
            outflow.asset,
            amount_minor,
            outflow.provider_id,
        )
        detail = f"{outflow.amount} {outflow.asset} left wallet {outflow.wallet_id} to {paid_to} in transaction {outflow.tx_id}: {why}"
        detail += self.wallet_rules.trouble_before(outflow.wallet_id, outflow.occurred_at_ms)
        keys = (f"address:{paid_to}", f"wallet:{outflow.wallet_id}")
        self.decisions.finding(Finding("outflow_without_request", detail, outflow.occurred_at_ms, keys, None, loss), left=True)
