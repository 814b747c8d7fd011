"""Steps of a withdrawal that can't be right as they follow each other: sent again, one left out, out of order, dated backwards.

Pure: a withdrawal's picture and its next step in, what is wrong out. Steps of one account come in order; their times need not. Called by
`monitor.payouts`.
"""

from collections.abc import Iterator

from monitor.contracts.withdrawals import Withdrawal
from monitor.wallets import Wallet
from monitor.withdrawals import APPROVED, EXCUSED, SENT, SIGNED, STEPS, Known

RUN_MIN = 100
"""So many payments of a wallet in a row must have had a step before one that lacks it is odd: WARMING until then."""


def oddities(known: Known, event: Withdrawal, wallet: Wallet, tolerance_ms: int) -> Iterator[tuple[str, str]]:
    """Rules that the step breaks, each with its detail."""
    status, bit, steps = event.status, STEPS[event.status], known.steps
    sent = bool(steps & SENT) or known.seen_tx_id is not None
    later = event.occurred_at_ms > known.step_at_ms
    again = event.tx_id is None or event.tx_id != known.tx_id
    explained = event.replaces_tx_id is not None and event.replaces_tx_id == known.tx_id
    if bit & (APPROVED | SIGNED) and sent and later and again and not explained:
        if steps & bit:
            paid = f"transaction {known.seen_tx_id or known.tx_id}" if known.seen_tx_id or known.tx_id else "a transaction"
            yield "sent_again", f"{status} again {event.occurred_at_ms - known.step_at_ms} ms after {paid} paid it, and no failure was told between"
        elif not steps & EXCUSED:
            yield "steps_out_of_order", f"{status} came after {_highest(steps)}"
    elif bit & (APPROVED | SIGNED) and later and bit < steps & (SIGNED | SENT) and not steps & (bit | EXCUSED):
        yield "steps_out_of_order", f"{status} came after {_highest(steps)}"
    missing = _missing(steps, bit, wallet)
    if missing is not None and known.verdict != "UNSCORED":
        yield "step_missing", missing
    if event.occurred_at_ms < known.step_at_ms - tolerance_ms:
        back_s = (known.step_at_ms - event.occurred_at_ms) // 1_000
        yield "clock_disorder", f"{status} is dated {back_s} s before a step that came earlier"


def _highest(steps: int) -> str:
    return max((name for name in STEPS if STEPS[name] & steps), key=lambda name: STEPS[name])


def _missing(steps: int, bit: int, wallet: Wallet) -> str | None:
    """The step that every payment of the wallet had for long, and this one lacks; asked at the first signature and the first broadcast."""
    if steps & (bit | EXCUSED | SENT):
        return None
    if bit == SIGNED and not steps & APPROVED and wallet.approved_run >= RUN_MIN:
        return f"signed without an approval; the wallet's {wallet.approved_run} payments before had one"
    if bit & SENT:
        if not steps & APPROVED and wallet.approved_run >= RUN_MIN:
            return f"sent without an approval; the wallet's {wallet.approved_run} payments before had one"
        if not steps & SIGNED and wallet.signed_run >= RUN_MIN:
            return f"sent without a signature; the wallet's {wallet.signed_run} payments before had one"
    return None


def learn(known: Known, wallet: Wallet) -> None:
    """A withdrawal is sent for the first time: which steps its wallet's payments have."""
    wallet.sends += 1
    if not known.steps & EXCUSED and known.verdict != "UNSCORED":
        wallet.approved_run = wallet.approved_run + 1 if known.steps & APPROVED else 0
        wallet.signed_run = wallet.signed_run + 1 if known.steps & SIGNED else 0


def is_first_send(known: Known, event: Withdrawal) -> bool:
    """Whether the step is the first that says that the withdrawal left."""
    return bool(STEPS[event.status] & SENT) and not known.steps & SENT
