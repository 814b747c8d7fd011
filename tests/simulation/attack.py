"""One attack of many small transfers: a wallet's payouts go to others than asked, each for another customer and to another address.

The journal of it, for the bench (110,000) and for the tests (fewer). Only the wallet ties the transfers together.
"""

from collections.abc import Iterator

from monitor import entries
from tests.simulation.journals import START_MS, Writer, term

TRANSFERS_PER_SECOND = 200
AMOUNT = "0.05"
PRICE_JPY = "10000000"
BEGIN_MS = START_MS + 60_000


def attack(transfers: int) -> Iterator[bytes]:
    """A term, a price, a funded reserve; then each second's requests, their broadcasts, a Tick and progress."""
    writer = Writer()
    yield term()
    yield from writer.opened(START_MS)
    yield writer.event(
        "prices", {"event_id": "price", "occurred_at_ms": BEGIN_MS, "asset": "BTC", "price": PRICE_JPY, "price_source": "test"}, BEGIN_MS
    )
    for layer, unit, amount in (("guarantee-btc", "BTC", "500"), ("liability-reserve", "JPY", "20000000000")):
        fund = {"event_id": layer, "occurred_at_ms": BEGIN_MS, "layer_id": layer, "unit": unit, "action": "fund", "amount": amount}
        yield writer.event("reserves", fund, BEGIN_MS)
    for second in range(-(-transfers // TRANSFERS_PER_SECOND)):
        now_ms = BEGIN_MS + second * 1_000
        numbers = range(second * TRANSFERS_PER_SECOND, min(transfers, (second + 1) * TRANSFERS_PER_SECOND))
        for status in ("requested", "broadcast"):
            for number in numbers:
                yield writer.event("withdrawals", _step(number, status, now_ms), now_ms)
        yield entries.tick("term-1", now_ms + 1_000)
        yield from writer.progress(now_ms + 1_000)


def _step(number: int, status: str, now_ms: int) -> dict[str, object]:
    sent = status == "broadcast"
    paid = {"tx_id": f"tx-{number}", "address": f"thief-{number:06d}"} if sent else {"address": f"own-{number:06d}"}
    return {
        "event_id": f"{status}-{number}", "occurred_at_ms": now_ms, "status": status, "withdrawal_id": f"withdrawal-{number:06d}",
        "account_id": f"account-{number:06d}", "asset": "BTC", "network": "bitcoin", "amount": AMOUNT, "wallet_id": "wallet-hot", **paid,
    }  # fmt: skip
