"""Rules about wallets: who may sign changed, sends fail, a frozen wallet pays; and what flows out of each.

Facts of topic wallet-events, and what withdrawals and outflows say of their wallets. Called by `monitor.events`, `monitor.payouts` and
`monitor.requests`.
"""

from monitor.contracts.journal import WalletEventEntry
from monitor.contracts.outflows import Outflow
from monitor.contracts.wallet_events import WalletAction
from monitor.contracts.withdrawals import Withdrawal
from monitor.decisions import Decisions
from monitor.doubts import Doubt
from monitor.findings import Finding, Subject
from monitor.outflows import loss_of
from monitor.state import State
from monitor.wallets import TROUBLES_KEPT, Trouble, Wallet
from monitor.withdrawals import Known, destination

TROUBLE_WINDOW_MS = 600_000
TROUBLE_SENDS_MAX = 9
"""Three failures within ten minutes and with at most so many payments between: one send in four fails. A few in a thousand fail at all times."""
TROUBLE_BEFORE_MS = 3_600_000
"""A failed send so long before an outflow without a request is told with it."""
AUTHORITY: frozenset[WalletAction] = frozenset({"authority_changed", "signer_changed"})
TROUBLE: frozenset[WalletAction] = frozenset({"send_error", "node_trouble"})


class WalletRules:
    """The rules, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def wallet_event(self, entry: WalletEventEntry) -> None:
        """One thing that happened to a wallet."""
        event = entry.event
        wallet, at_ms = self._of(event.wallet_id), event.occurred_at_ms
        if event.action in AUTHORITY:
            self.state.wallets.changes += 1
            if at_ms >= wallet.authority_at_ms:
                wallet.authority_at_ms, wallet.authority_change = at_ms, event.action
            by = f" by {event.actor}" if event.actor is not None else ""
            self._tell("authority_changed", f"{event.action} of wallet {event.wallet_id}{by}", at_ms, event.wallet_id)
        elif event.action in TROUBLE:
            self._trouble(event.wallet_id, wallet, event.action, at_ms)
        elif event.action == "frozen":
            wallet.frozen_at_ms = max(wallet.frozen_at_ms, at_ms)
        else:
            wallet.unfrozen_at_ms = max(wallet.unfrozen_at_ms, at_ms)

    def _of(self, wallet_id: str) -> Wallet:
        return self.state.wallets.of(wallet_id, self.state.policy.limits.wallets)

    def _tell(self, rule: str, detail: str, at_ms: int, wallet_id: str, loss: Subject | None = None) -> None:
        """Tell of a wallet; `loss` has left it."""
        if self.decisions.on(rule):
            self.decisions.finding(Finding(rule, detail, at_ms, (f"wallet:{wallet_id}",), None, loss), left=loss is not None)

    def _trouble(self, wallet_id: str, wallet: Wallet, action: WalletAction, at_ms: int) -> None:
        troubles = (*wallet.troubles, Trouble(at_ms, wallet.sends))[-TROUBLES_KEPT:]
        first = troubles[0]
        if len(troubles) == TROUBLES_KEPT and at_ms - first.at_ms <= TROUBLE_WINDOW_MS and wallet.sends - first.sends <= TROUBLE_SENDS_MAX:
            sends = wallet.sends - first.sends
            detail = (
                f"{len(troubles)} failures of wallet {wallet_id} within {(at_ms - first.at_ms) // 1_000} s, {sends} payments between, last {action}"
            )
            self._tell("send_errors", detail, at_ms, wallet_id)
        wallet.troubles = troubles

    def trouble_before(self, wallet_id: str, at_ms: int) -> str:
        """What to say of a failed send shortly before an outflow; empty if there was none."""
        wallet = self.state.wallets.by_id.get(wallet_id)
        if wallet is None or not wallet.troubles or not 0 <= at_ms - wallet.troubles[-1].at_ms <= TROUBLE_BEFORE_MS:
            return ""
        return f"; the wallet had trouble {(at_ms - wallet.troubles[-1].at_ms) // 1_000} s before"

    def after_authority_change(self, wallet_id: str, asset: str, amount_minor: int, at_ms: int) -> str | None:
        """Why an amount is too large for a wallet whose signers changed lately; None if it isn't."""
        wallet, policy = self.state.wallets.by_id.get(wallet_id), self.state.policy
        if wallet is None or wallet.authority_at_ms < 0 or not 0 <= at_ms - wallet.authority_at_ms <= policy.authority_watch_ms:
            return None
        balance = self.state.held.balances.get(f"{wallet_id} {asset}")
        if balance is None or amount_minor * 100 <= balance.amount_minor * policy.authority_share_percent:
            return None
        share = min(100, amount_minor * 100 // max(1, balance.amount_minor))
        hours = (at_ms - wallet.authority_at_ms) // 3_600_000
        return f"{share} % of what wallet {wallet_id} holds, {hours} h after {wallet.authority_change}"

    def sent(self, wallet_id: str, wallet: Wallet, event: Withdrawal, known: Known, amount_minor: int) -> list[Finding]:
        """A withdrawal left: a doubt if its wallet is frozen, a finding if it is large and the wallet's signers are new."""
        if wallet.frozen_at(event.occurred_at_ms):
            self._doubt_frozen(wallet_id, event.asset, amount_minor, event.occurred_at_ms, event.withdrawal_id)
        if wallet.authority_at_ms < 0 or any(reason.rule == "large_after_authority_change" for reason in known.reasons):
            return []
        changed = self.after_authority_change(wallet_id, event.asset, amount_minor, event.occurred_at_ms)
        if changed is None or not self.decisions.on("large_after_authority_change"):
            return []
        loss = self.decisions.subject(f"withdrawal:{event.withdrawal_id}", event.withdrawal_id, known, amount_minor)
        detail = f"{event.amount} {event.asset} sent: {changed}"
        return [Finding("large_after_authority_change", detail, event.occurred_at_ms, (f"wallet:{wallet_id}",), None, loss)]

    def left(self, wallet_id: str, asset: str, amount_minor: int) -> None:
        """So much left a wallet, as withdrawals say."""
        self._of(wallet_id).flow(asset).sent_minor += amount_minor

    def seen_leaving(self, event: Outflow, amount_minor: int, *, again: bool) -> None:
        """So much left a wallet, as the chain shows; told `again` it is in the sum. One without a claim, large and after a change of signers, is told at once."""
        if not again:
            self._of(event.wallet_id).flow(event.asset).out_minor += amount_minor
        if not self.state.wallets.changes or event.internal or event.withdrawal_id is not None:
            return
        changed = self.after_authority_change(event.wallet_id, event.asset, amount_minor, event.occurred_at_ms)
        if changed is None or self.state.withdrawals.paid_by(event.tx_id, destination(event.address, event.tag)):
            return
        loss = Subject(
            loss_of(event), None, None, event.owner, event.asset, amount_minor, event.provider_id,
        )  # fmt: skip
        detail = f"{event.amount} {event.asset} left in transaction {event.tx_id}: {changed}"
        self._tell("large_after_authority_change", detail, event.occurred_at_ms, event.wallet_id, loss)

    def sent_unsaid(self, event: Outflow, withdrawal_id: str) -> None:
        """An outflow serves a withdrawal whose broadcast wasn't told: a doubt if its wallet is frozen."""
        wallet = self.state.wallets.by_id.get(event.wallet_id)
        if wallet is not None and wallet.frozen_at(event.occurred_at_ms):
            self._doubt_frozen(event.wallet_id, event.asset, self.decisions.minor(event.asset, event.amount), event.occurred_at_ms, withdrawal_id)

    def _doubt_frozen(self, wallet_id: str, asset: str, amount_minor: int, at_ms: int, withdrawal_id: str) -> None:
        due_ms = max(self.state.clock.intake_ms, at_ms) + self.state.policy.absence_grace_ms
        self.state.doubts.add(Doubt("frozen", due_ms, wallet_id, asset, at_ms, amount_minor, withdrawal_id))

    def judge_frozen(self, doubt: Doubt) -> None:
        """Everything about the wallet was read past the payment: it may still have been frozen."""
        wallet = self._of(doubt.name)
        known = self.state.withdrawals.by_id.get(doubt.withdrawal_id or "")
        if not wallet.frozen_at(doubt.at_ms) or not self.decisions.on("frozen_wallet_pays"):
            return
        if known is not None and known.internal:
            return  # emptied into a wallet of the exchange's own, as is right after a theft
        detail = f"withdrawal {doubt.withdrawal_id} left wallet {doubt.name} {(doubt.at_ms - wallet.frozen_at_ms) // 1_000} s after it was frozen"
        loss = None
        if known is not None:
            loss = self.decisions.subject(f"withdrawal:{doubt.withdrawal_id}", doubt.withdrawal_id, known, doubt.amount_minor)
        finding = Finding("frozen_wallet_pays", detail, doubt.at_ms, (f"wallet:{doubt.name}",), None, loss)
        if known is None or doubt.withdrawal_id is None:
            self.decisions.finding(finding)
        else:
            self.decisions.hold(doubt.withdrawal_id, known, (finding,))
