"""A small honest exchange for integration tests: whole life cycles of withdrawals, with all that happens around them, as records.

Seeded, and of its own make: it shares no code with the monitor or its simulation. Times are the caller's. Called by `traffic`.
"""

import json
import random
import zlib
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

ASSETS = {"BTC": ("bitcoin", "15000000", 4), "ETH": ("ethereum", "400000", 5), "XRP": ("ripple", "90", 2), "USDT": ("tron", "150", 2)}
ACCOUNTS = 2_000
STEPS = ("approved", "signed", "broadcast", "outflow", "confirmed")
IN_FLIGHT = 40  # withdrawals that are between two steps


class Message(NamedTuple):
    """One record for an input topic, named without the prefix."""

    topic: str
    key: bytes
    value: bytes

    def partition(self, partitions: int) -> int:
        """Where its key puts it."""
        return zlib.crc32(self.key) % partitions


class Exchange:
    """Yields messages for ever; the same seed gives the same story, at the times that it is told."""

    def __init__(self, seed: int, prefix: str = "") -> None:
        self._rng = random.Random(seed)
        self._number = 0
        self._name = f"{prefix}{seed}"
        self._open: deque[tuple[dict[str, object], Iterator[str]]] = deque()

    def opening(self, now_ms: int) -> list[Message]:
        """What an exchange tells first: prices, reserves, providers, balances, holdings."""
        messages = [
            self._message("providers", "custody-1", now_ms, provider_id="custody-1", name="Custody", role="custodian", standing="registered"),
            self._message("reserves", "liability-reserve", now_ms, layer_id="liability-reserve", action="fund", unit="JPY", amount="5000000000"),
            self._message(
                "feedback",
                "inc-0",
                now_ms,
                subject="incident",
                subject_id="inc-0",
                command="note",
                actor="op",
                reason="start of day",
                seen_version=0,
                journal_id="0" * 64,
            ),
        ]
        for asset in ASSETS:
            wallet = f"hot-{asset}"
            messages += [
                self._price(asset, now_ms),
                self._message("balances", wallet, now_ms, wallet_id=wallet, asset=asset, amount="1000000000", temperature="hot"),
                self._message("holdings", "holder-1", now_ms, account_id="holder-1", asset=asset, quantity="5"),
            ]
        return messages

    def some(self, count: int, now_ms: int) -> list[Message]:
        """The next messages, at least `count`."""
        messages: list[Message] = []
        while len(messages) < count:
            if len(self._open) < IN_FLIGHT or self._rng.random() < 0.1:
                messages.append(self._request(now_ms))
            else:
                withdrawal, steps = self._open.popleft()
                step = next(steps, None)
                if step is not None:
                    messages.append(self._step(withdrawal, step, now_ms))
                    self._open.append((withdrawal, steps))
            if self._rng.random() < 0.08:
                messages.append(self._other(now_ms))
        return messages

    def _message(self, topic: str, key: str, now_ms: int, **fields: object) -> Message:
        self._number += 1
        event = {"event_id": f"{self._name}-{self._number}", "occurred_at_ms": now_ms, **fields}
        return Message(topic, key.encode(), json.dumps(event, separators=(",", ":")).encode())

    def _price(self, asset: str, now_ms: int) -> Message:
        return self._message("prices", asset, now_ms, asset=asset, price=ASSETS[asset][1], price_source="book")

    def _request(self, now_ms: int) -> Message:
        rng = self._rng
        asset = rng.choice(tuple(ASSETS))
        network, _, decimals = ASSETS[asset]
        account = rng.randrange(ACCOUNTS)
        amount = f"{rng.lognormvariate(-3, 0.6):.{decimals}f}"
        if float(amount) == 0:
            amount = "0.01"
        withdrawal: dict[str, object] = {
            "withdrawal_id": f"w-{self._name}-{self._number}", "account_id": f"acct-{account}", "asset": asset, "network": network,
            "amount": amount, "address": f"{asset}-addr-{account}-{rng.randrange(2)}", "fee": "0.01", "channel": "app",
            "ip": f"203.0.113.{account % 250}", "country": "JP", "device_id": f"device-{account}", "second_factor": "totp",
            "balance_before": "1000",
        }  # fmt: skip
        self._open.append((withdrawal, iter(STEPS)))
        return self._message("withdrawals", str(withdrawal["account_id"]), now_ms, status="requested", **withdrawal)

    def _step(self, withdrawal: dict[str, object], step: str, now_ms: int) -> Message:
        wallet = f"hot-{withdrawal['asset']}"
        tx_id = f"tx-{withdrawal['withdrawal_id']}"
        if step == "outflow":
            paid = {name: withdrawal[name] for name in ("asset", "network", "amount", "address", "withdrawal_id")}
            return self._message("outflows", wallet, now_ms, tx_id=tx_id, wallet_id=wallet, provider_id="custody-1", **paid)
        if step == "broadcast":
            withdrawal |= {"tx_id": tx_id, "wallet_id": wallet, "provider_id": "custody-1"}
        return self._message("withdrawals", str(withdrawal["account_id"]), now_ms, status=step, **withdrawal)

    def _other(self, now_ms: int) -> Message:
        account = f"acct-{self._rng.randrange(ACCOUNTS)}"
        asset = self._rng.choice(tuple(ASSETS))
        wallet = f"hot-{asset}"
        kind = self._rng.randrange(5)
        if kind == 0:
            return self._message("account-events", account, now_ms, account_id=account, action="login", device_id=f"device-{account}")
        if kind == 1:
            return self._price(asset, now_ms)
        if kind == 2:
            posting = f"p-{self._name}-{self._number}"
            return self._message("postings", account, now_ms, posting_id=posting, account_id=account, kind="credit", asset=asset, amount="0.01")
        if kind == 3:
            return self._message("balances", wallet, now_ms, wallet_id=wallet, asset=asset, amount="1000000000", temperature="hot")
        return self._message("wallet-events", wallet, now_ms, wallet_id=wallet, action="node_trouble", provider_id="custody-1")
