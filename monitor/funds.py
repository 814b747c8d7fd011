"""What the exchange holds and owes: balances of wallets, holdings of accounts, postings on its books, and how they reconcile.

Facts are taken and sums compared, in integers; what may be explained by an event still unread is a doubt. Called by `monitor.events`.
"""

from monitor.contracts.journal import BalanceEntry, HoldingEntry, PostingEntry
from monitor.contracts.outputs import Audit, ReasonGiven
from monitor.contracts.postings import Posting
from monitor.decisions import Decisions
from monitor.doubts import Doubt
from monitor.exposure import WalletBalance
from monitor.findings import Finding, Subject
from monitor.held import Credit
from monitor.money import print_amount
from monitor.state import State
from monitor.wallets import Checkpoint
from monitor.withdrawals import ENDED


class Funds:
    """The handlers of balances, holdings and postings, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def posting(self, entry: PostingEntry) -> None:
        """A credit or debit: no credit, and no batch of credits, can be of more than all wallets hold; one posting has one content."""
        event, state = entry.event, self.state
        amount_minor = self.decisions.minor(event.asset, event.amount)
        is_credit = event.kind == "credit"
        key = f"{event.account_id} {event.asset}"
        state.holdings.credit(key, amount_minor if is_credit else -amount_minor, event.occurred_at_ms)
        self._pair(entry, amount_minor)
        if not is_credit:
            return
        keys = (f"batch:{event.batch_id}" if event.batch_id is not None else f"asset:{event.asset}",)
        detail, beside = self._more_than_held(event, amount_minor)
        usual, confused = state.usual_postings, None
        if not usual.take(event.asset, amount_minor):
            confused = usual.confused(event.asset, amount_minor, state.marks, state.confusion_base_minor)
            if confused is None and not detail:
                usual.learn(event.asset, amount_minor)
        loss = Subject(f"posting:{event.posting_id}", None, event.account_id, event.owner, event.asset, amount_minor)
        if confused is not None and self.decisions.on("unit_confusion"):
            self.decisions.finding(Finding("unit_confusion", f"credit of {confused}", event.occurred_at_ms, keys, None, loss))
        if detail:
            self.decisions.finding(Finding("more_than_held", detail, event.occurred_at_ms, keys, None, loss, beside))

    def _more_than_held(self, event: Posting, amount_minor: int) -> tuple[str, tuple[Subject, ...]]:
        """Whether a credit, or its batch so far, is of more than all wallets hold. Then the batch is wrong as a whole: its credits before are losses too."""
        held, decisions = self.state.held, self.decisions
        total = held.total(event.asset)
        if total is None:
            return "", ()
        if held.credit(event.asset, amount_minor, event.batch_id) <= total:
            if event.batch_id is not None:
                held.keep(event.asset, Credit(event.posting_id, event.account_id, event.owner, amount_minor), event.batch_id)
            return "", ()
        if not decisions.on("more_than_held"):
            return "", ()
        of = f"batch {event.batch_id}" if event.batch_id is not None else f"posting {event.posting_id}"
        detail = f"{of} credits more {event.asset} than all wallets hold; {event.amount} of it to account {event.account_id}"
        before = held.taken(event.asset, event.batch_id)
        if before:
            amount = print_amount(sum(credit.amount_minor for credit in before), self.state.policy.assets[event.asset].decimals)
            detail += f", and {amount} before in {len(before):,} credit(s)"
        return detail, tuple(
            Subject(f"posting:{credit.posting_id}", None, credit.account_id, credit.owner, event.asset, credit.amount_minor) for credit in before
        )

    def _pair(self, entry: PostingEntry, amount_minor: int) -> None:
        """A posting id told again must be the same posting, or its other side: of the same asset and amount."""
        event, postings = entry.event, self.state.postings
        told = f"{amount_minor} {event.asset}"
        before = postings.see(event.posting_id, told)
        if before is not None and before != told and self.decisions.on("posting_mismatch"):
            minor_before, _, asset = before.partition(" ")
            printed = print_amount(int(minor_before), self.state.policy.assets[asset].decimals)
            detail = f"posting {event.posting_id} was of {printed} {asset}; now its {event.kind} is of {event.amount} {event.asset}"
            self.decisions.finding(Finding("posting_mismatch", detail, event.occurred_at_ms, (f"posting:{event.posting_id}",)))

    def holding(self, entry: HoldingEntry) -> None:
        """The newest word on what an account holds."""
        event = entry.event
        quantity_minor = self.decisions.minor(event.asset, event.quantity)
        limit = self.state.policy.limits.holdings
        self.state.holdings.tell(f"{event.account_id} {event.asset}", quantity_minor, event.occurred_at_ms, limit)

    def balance(self, entry: BalanceEntry) -> None:
        """The newest balance of a wallet. A doubt if it fell by more than is known to have left."""
        event, policy = entry.event, self.state.policy
        amount_minor = self.decisions.minor(event.asset, event.amount)
        limit, held = policy.limits.wallets, self.state.held
        told = WalletBalance(amount_minor, event.occurred_at_ms, event.temperature == "hot", event.owner == "customer", event.provider_id)
        if not held.set_balance(event.wallet_id, event.asset, told, limit):
            detail = f"balance of wallet {event.wallet_id} not kept: the policy's limit of {limit} wallets is reached"
            self.decisions.audit(Audit(decided_at_ms=self.state.clock.now_ms, what="refused", subject_id=event.wallet_id, detail=detail))
            return
        if event.asset != policy.base_currency:  # the rules ask for customers' crypto-assets: their money is elsewhere
            held.exposure.revalue(event.asset, self.state.marks.value)
        flow = self.state.wallets.of(event.wallet_id, limit).flow(event.asset)
        if flow.unexplained(event.occurred_at_ms, amount_minor, policy.balance_tolerance_permille) is not None:
            due_ms = max(entry.clock_ms, event.occurred_at_ms) + policy.balance_grace_ms
            self.state.doubts.add(Doubt("balance", due_ms, event.wallet_id, event.asset, event.occurred_at_ms, amount_minor))
        flow.remember(event.occurred_at_ms, amount_minor, policy.balance_grace_ms)

    def balances_read(self) -> None:
        """After progress: from when all balances were read once, their sums are what the exchange holds."""
        held = self.state.held
        if not held.complete:
            held.complete = self.state.sources.proven_until_ms("balances", self.state.partitions.get("balances", 0)) >= 0

    def judge_balance(self, doubt: Doubt) -> None:
        """Everything that left up to a balance was read: the fall may still be unexplained."""
        policy = self.state.policy
        flow = self.state.wallets.of(doubt.name, policy.limits.wallets).flow(doubt.asset)
        found = flow.unexplained(doubt.at_ms, doubt.amount_minor, policy.balance_tolerance_permille)
        if found is None or not self.decisions.on("balance_unexplained"):
            return
        missing_minor, before = found
        flow.restart(doubt.at_ms, doubt.amount_minor)
        loss = Subject(f"balance:{doubt.name} {doubt.asset} {doubt.at_ms}", None, None, "customer", doubt.asset, missing_minor)
        detail = self._fall(doubt, before, missing_minor)
        self.decisions.finding(Finding("balance_unexplained", detail, doubt.at_ms, (f"wallet:{doubt.name}",), None, loss))

    def _fall(self, doubt: Doubt, before: Checkpoint, missing_minor: int) -> str:
        decimals = self.state.policy.assets[doubt.asset].decimals
        fell, missing = (print_amount(minor, decimals) for minor in (before.amount_minor - doubt.amount_minor, missing_minor))
        seconds = (doubt.at_ms - before.at_ms) // 1_000
        return f"wallet {doubt.name} fell by {fell} {doubt.asset} in {seconds} s; nothing that is known to have left explains {missing} of it"

    def judge_holding(self, doubt: Doubt) -> None:
        """Every credit up to a request was read: more may be asked for than the account holds."""
        holding = self.state.holdings.by_key.get(f"{doubt.name} {doubt.asset}")
        known = self.state.withdrawals.by_id.get(doubt.withdrawal_id or "")
        stands = known is not None and known.status not in ENDED and doubt.withdrawal_id is not None
        if holding is None or not holding.exceeded or not self.decisions.on("more_than_holding"):
            return
        if known is None or doubt.withdrawal_id is None or not stands:
            return
        decimals = self.state.policy.assets[doubt.asset].decimals
        asked, had, credited = (
            print_amount(minor, decimals) for minor in (holding.asked_minor, holding.quantity_minor, max(0, holding.credited_minor))
        )
        detail = f"account {doubt.name} asked for {asked} {doubt.asset} since it was said to hold {had}, and was credited {credited} since"
        self.decisions.finding(Finding("more_than_holding", detail, doubt.at_ms, (f"account:{doubt.name}",)))
        self.decisions.verdict(doubt.withdrawal_id, known, "WATCH", (ReasonGiven("more_than_holding", detail),), doubt.at_ms)
