"""What is known of each withdrawal, and what its later steps must agree with: destination, amount, one transaction.

Pure facts and invariants; scores and marks are made elsewhere. Bounded: the withdrawals that were requested first go first. Called by `monitor.events` and `monitor.payouts`.
"""

from collections.abc import Iterator
from itertools import islice

import msgspec
from msgspec.structs import replace

from monitor.contracts.base import Owner
from monitor.contracts.outputs import ReasonGiven, VerdictKind
from monitor.contracts.withdrawals import Status, Withdrawal
from monitor.entities import EVICTED_SHARE

PAYMENTS_MAX = 8
LEFT: frozenset[Status] = frozenset({"broadcast", "confirmed"})
ENDED: frozenset[Status] = frozenset({"failed", "cancelled"})
RANK: dict[VerdictKind, int] = {"CLEAR": 0, "WATCH": 1, "UNSCORED": 2, "HOLD": 3}
REQUESTED, APPROVED, SIGNED, BROADCAST, CONFIRMED, EXCUSED = 1, 2, 4, 8, 16, 32
"""Bits of `Known.steps`. EXCUSED: earlier steps may have been taken unseen, or the life began anew after a failure; none is missed."""
SENT = BROADCAST | CONFIRMED
STEPS: dict[Status, int] = {
    "requested": REQUESTED, "approved": APPROVED, "signed": SIGNED, "broadcast": BROADCAST, "confirmed": CONFIRMED, "failed": 0, "cancelled": 0,
}  # fmt: skip


def destination(address: str, tag: str | None) -> str:
    """One name for where assets go: on networks with tags an address alone is a whole exchange."""
    return address if tag is None else f"{address}#{tag}"


class Known(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One withdrawal as its request and later steps told it. Replaced, never changed, so that a snapshot is a shallow copy.

    `left`: some step or outflow said that it left, which no later step takes back; `on_chain_minor`: what was seen leaving for it;
    `seen_tx_id`: the transaction that was seen on chain or confirmed first; `payments`: the keys under which it is found in `Withdrawals.by_payment`; `steps`: bits of the steps it took;
    `internal`: its outflow was a move between wallets of the exchange's own; `step_at_ms`: the latest of their times; `approved_amount`: what was approved where that isn't what was asked for; `observation`: its
    number among what the detectors scored, -1 if they didn't.
    """

    account_id: str
    asset: str
    amount: str
    destination: str
    status: Status
    owner: Owner
    occurred_at_ms: int
    tx_id: str | None
    wallet_id: str | None
    provider_id: str | None
    verdict: VerdictKind = "CLEAR"
    version: int = 0
    reasons: tuple[ReasonGiven, ...] = ()
    incident_id: str | None = None
    left: bool = False
    on_chain_minor: int = 0
    payments: tuple[str, ...] = ()
    observation: int = -1
    steps: int = 0
    step_at_ms: int = 0
    amount_minor: int = 0
    approved_amount: str | None = None
    seen_tx_id: str | None = None
    internal: bool = False
    outputs: tuple[str, ...] = ()


def known_from(event: Withdrawal, amount_minor: int, observation: int) -> Known:
    """What the first event of a withdrawal tells; `observation` as `Known` has it.

    If it isn't the request, nobody knows which steps came before. A failed one names the transaction that failed, which pays nothing.
    """
    steps = REQUESTED if event.status == "requested" else STEPS[event.status] | EXCUSED
    return Known(
        event.account_id, event.asset, event.amount, destination(event.address, event.tag), event.status, event.owner,
        event.occurred_at_ms, None if event.status == "failed" else event.tx_id, event.wallet_id, event.provider_id, left=event.status in LEFT, steps=steps,
        step_at_ms=event.occurred_at_ms, amount_minor=amount_minor, observation=observation,
    )  # fmt: skip


class Payment(msgspec.Struct, frozen=True, gc=False):
    """What is paid for a withdrawal, as a step or an outflow tells it; `left` says that it is on chain.

    `other_tx_id`: another transaction that pays it as well.
    """

    asset: str
    destination: str
    amount: str
    tx_id: str | None
    wallet_id: str | None
    at_ms: int
    left: bool
    other_tx_id: str | None


def agrees(known: Known, asset: str, paid_to: str, amount: str, other_tx_id: str | None) -> bool:
    """Whether what is paid differs in nothing, to the letter: the common case, told without parsing an amount."""
    return (
        amount == known.amount
        and paid_to == known.destination
        and asset == known.asset
        and other_tx_id is None
        and known.status != "cancelled"
        and known.approved_amount is None
    )


def other_transaction(known: Known, tx_id: str | None, replaces_tx_id: str | None = None) -> str | None:
    """The transaction that pays a withdrawal beside this one; None where there is none, where it was told, or where this one replaces it.

    Of a transaction and the one that replaces it by a higher fee only one can be mined: two that are both on chain are both paid, whatever
    was said of them before.
    """
    if tx_id is None:
        return None
    is_known = payment_key(tx_id, known.destination) in known.payments
    if known.seen_tx_id is not None and known.seen_tx_id != tx_id:
        return None if is_known and any(reason.rule == "double_payout" for reason in known.reasons) else known.seen_tx_id
    if is_known or known.tx_id in (None, tx_id, replaces_tx_id):
        return None
    return known.tx_id


class Deviation(msgspec.Struct, frozen=True):
    """A payment that doesn't agree with the request."""

    rule: str
    detail: str
    mark_id: str


def deviations(withdrawal_id: str, known: Known, payment: Payment, paid_minor: int, asked_minor: int) -> Iterator[Deviation]:
    """Compare what is paid with what was requested: destination and asset, amount, and that only one transaction pays it."""
    loss = f"withdrawal:{withdrawal_id}" if payment.asset == known.asset else f"withdrawal:{withdrawal_id}:{payment.asset}"
    if payment.destination != known.destination or payment.asset != known.asset:
        detail = f"requested {known.asset} to {known.destination}, paid {payment.asset} to {payment.destination}"
        yield Deviation("redirect", detail, loss)
    if payment.asset == known.asset and paid_minor > asked_minor:
        told = f"requested {known.amount}" if known.approved_amount is None else f"approved {known.approved_amount}"
        yield Deviation("amount_changed", f"{told} {known.asset}, paid {payment.amount}", loss)
    if payment.left and known.status == "cancelled":
        yield Deviation("paid_after_cancellation", f"it was cancelled, and {payment.amount} {payment.asset} left all the same", loss)
    if payment.other_tx_id is not None:
        yield Deviation("double_payout", f"transactions {payment.other_tx_id} and {payment.tx_id} both pay it", f"{loss}:{payment.tx_id}")


def payment_key(tx_id: str, paid_to: str) -> str:
    """Under which a payment is known: a transaction and where it pays to."""
    return f"{tx_id} {paid_to}"


class Withdrawals:
    """Known withdrawals by id, and which ones a payment serves: a batch may pay several withdrawals to one destination."""

    def __init__(self) -> None:
        self.by_id: dict[str, Known] = {}
        self.by_payment: dict[str, tuple[str, ...]] = {}
        self.unread: dict[str, int] = {}
        self.evicted = 0

    def unread_version(self, withdrawal_id: str, limit: int) -> int:
        """The next version of the verdict on a withdrawal none of whose events could be read; when one can, its versions go on from there."""
        version = self.unread.get(withdrawal_id, 0) + 1
        self.unread[withdrawal_id] = version
        if len(self.unread) > limit:
            for old in list(islice(self.unread, limit // EVICTED_SHARE)):
                del self.unread[old]
        return version

    def put(self, withdrawal_id: str, known: Known) -> None:
        """Keep the newest picture of a withdrawal."""
        self.by_id[withdrawal_id] = known

    def link(self, withdrawal_id: str, known: Known, tx_id: str, paid_to: str) -> Known:
        """A payment serves this withdrawal. More than a few differing ones are findings already, and are not followed."""
        key = payment_key(tx_id, paid_to)
        if key in known.payments or len(known.payments) == PAYMENTS_MAX:
            return known
        self.by_payment[key] = (*self.by_payment.get(key, ()), withdrawal_id)
        return replace(known, payments=(*known.payments, key))

    def unlink(self, withdrawal_id: str, known: Known) -> None:
        """Nothing is known to serve this withdrawal any more."""
        for key in known.payments:
            others = tuple(other for other in self.by_payment.get(key, ()) if other != withdrawal_id)
            if others:
                self.by_payment[key] = others
            else:
                self.by_payment.pop(key, None)

    def paid_by(self, tx_id: str, paid_to: str) -> tuple[str, ...]:
        """The withdrawals that this payment serves, as far as known."""
        return self.by_payment.get(payment_key(tx_id, paid_to), ())

    def advance(self, withdrawal_id: str, known: Known, event: Withdrawal) -> Known:
        """The picture after a step. A failed one that wasn't seen on chain frees its transaction: the retry is another and no double payout."""
        # Asked for again, it doesn't go back; cancelled, it stays so, and paying it all the same is a deviation.
        told, at_ms, wallet_id, provider_id = event.status, event.occurred_at_ms, event.wallet_id, event.provider_id
        status = known.status if told == "requested" or known.status == "cancelled" else told
        tx_id, steps, approved_amount, seen_tx_id = known.tx_id, known.steps | STEPS[told], known.approved_amount, known.seen_tx_id
        if told == "failed":
            steps |= EXCUSED
            if known.on_chain_minor == 0:
                self.unlink(withdrawal_id, known)
                known, tx_id, seen_tx_id, steps = replace(known, payments=()), None, None, steps & ~SENT
        elif event.tx_id is not None and event.tx_id != tx_id:
            tx_id = event.tx_id
            known = self.link(withdrawal_id, known, tx_id, known.destination)
        if told == "approved":
            approved_amount = None if event.amount == known.amount else event.amount
        elif told == "confirmed" and seen_tx_id is None:
            seen_tx_id = event.tx_id
        known = replace(
            known, status=status, tx_id=tx_id, wallet_id=wallet_id or known.wallet_id, provider_id=provider_id or known.provider_id,
            left=known.left or told in LEFT, steps=steps, step_at_ms=max(known.step_at_ms, at_ms),
            approved_amount=approved_amount, seen_tx_id=seen_tx_id,
        )  # fmt: skip
        self.by_id[withdrawal_id] = known
        return known

    def evict(self, limit: int) -> None:
        """Over the limit, those requested first go: a share at once, since finding a dict's first key takes as long as it has lost keys before."""
        over = len(self.by_id) - limit
        if over <= 0:
            return
        for withdrawal_id in list(islice(self.by_id, over + limit // EVICTED_SHARE)):
            self.unlink(withdrawal_id, self.by_id.pop(withdrawal_id))
            self.evicted += 1
