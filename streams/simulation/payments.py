"""The life of a withdrawal at the simulated exchange: approved, signed, broadcast, seen on chain, confirmed, and all that goes wrong honestly.

Whatever goes wrong, one request is paid once: a send that failed was never seen on chain. Called by `exchange`, for customers and the desk.

| what | distribution | source |
| --- | --- | --- |
| cancelled | 4 in 1,000, after 2 to 60 s; half ask again for the same after 20 to 300 s | assumed |
| failed before it was sent | 2 in 1,000 with a send error; half are sent again after 30 to 120 s, the rest is refunded | assumed |
| sent, dropped by the network, sent again | 2 in 1,000: `failed` after 30 to 180 s, then another transaction | assumed |
| fee replaced | 3 in 1,000 where nothing is batched: the first transaction `failed` after 60 to 600 s, then another | assumed |
| approval takes long | 1 in 100 from 10 minutes to 2 hours; from 5 million JPY on a person approves, 1 to 10 minutes | assumed |
| approval and signing | .3 to 3 s, then .5 to 4 s | assumed |
| seen on chain | up to 2.5 s after the broadcast, and the watcher's delay | assumed |
| the hot wallet is short | the broadcast waits for the top-up, tried every minute | assumed |
"""

import hashlib
import random
from collections.abc import Callable

from monitor.money import print_amount
from streams.simulation.demand import Demand
from streams.simulation.market import Market
from streams.simulation.population import Account
from streams.simulation.records import OUTFLOW_FIELDS, Agenda, Value
from streams.simulation.treasury import Treasury
from streams.simulation.world import DESK_ACCOUNT, SimulatedAsset, SimulatedWallet

CANCELLED, NOT_SENT, DROPPED, REPLACED, SLOW = 0.004, 0.006, 0.008, 0.011, 0.021
"""Upper ends of the shares of withdrawals that meet such a fate."""
MANUAL_APPROVAL_JPY = 5_000_000
SHORT_RETRY_MS = 60_000


class Order:
    """A withdrawal on its way; `take_minor` is the amount and the fee.

    `account` is None for the desk; `to_wallet_id` names the wallet that receives it, if one of ours does; `payout_id` a business's batch.
    """

    __slots__ = ("account", "amount_minor", "asset", "attempt", "payout_id", "payout_ms", "take_minor", "to_wallet_id", "withdrawal")

    def __init__(self, account: Account | None, asset: SimulatedAsset, withdrawal: Value, amount_minor: int, take_minor: int) -> None:
        self.account = account
        self.asset = asset
        self.withdrawal = withdrawal
        self.amount_minor = amount_minor
        self.take_minor = take_minor
        self.attempt = 0
        self.to_wallet_id: str | None = None
        self.payout_id: str | None = None
        self.payout_ms = 0


class Payments:
    """Withdrawals from request to end. `again` asks once more for what was cancelled."""

    def __init__(
        self, agenda: Agenda, rng: random.Random, demand: Demand, market: Market, again: Callable[[Order, int], None], fees_minor: dict[str, int]
    ) -> None:
        self._agenda = agenda
        self._rng = rng
        self._demand = demand
        self._market = market
        self._again = again
        self._fees_minor = fees_minor
        self._withdrawals = 0

    def use(self, treasury: Treasury) -> None:
        """The wallets that everything is paid from; they and the payments need each other."""
        self._treasury = treasury

    def draft(self, account_id: str, asset: SimulatedAsset, wallet: SimulatedWallet, address: str, amount_minor: int) -> Value:
        """What every withdrawal says."""
        self._withdrawals += 1
        return {
            "withdrawal_id": f"withdrawal-{self._agenda.run}.{self._withdrawals:x}", "account_id": account_id, "asset": asset.asset,
            "network": asset.network, "amount": print_amount(amount_minor, asset.decimals), "address": address, "fee": asset.fee,
            "wallet_id": wallet.wallet_id, "provider_id": wallet.provider_id, "owner": "customer",
        }  # fmt: skip

    def _step(self, order: Order, status: str, at_ms: int) -> None:
        withdrawal = order.withdrawal
        self._agenda.tell("withdrawals", str(withdrawal["account_id"]), at_ms, {"status": status, **withdrawal})

    def begin(self, order: Order, at_ms: int) -> None:
        """A customer's request, which is promised already: its fate is drawn and its first steps are told."""
        rng, asset = self._rng, order.asset
        fate = 1.0 if order.payout_id is not None else rng.random()
        if fate < CANCELLED:
            self._step(order, "requested", at_ms)
            end_ms = at_ms + rng.randrange(2_000, 60_000)
            self._step(order, "cancelled", end_ms)
            self._agenda.at(end_ms, lambda now_ms: self._cancelled(order, now_ms))
            return
        approved_ms = at_ms + rng.randrange(300, 3_000)
        if REPLACED <= fate < SLOW:
            approved_ms += rng.randrange(600_000, 7_200_000)
        elif order.payout_id is None and order.amount_minor / 10**asset.decimals * self._market.prices[asset.asset] >= MANUAL_APPROVAL_JPY:
            approved_ms += rng.randrange(60_000, 600_000)
        signed_ms = approved_ms + rng.randrange(500, 4_000)
        if order.payout_id is not None:
            order.withdrawal["batch_id"], sent_ms = order.payout_id, max(order.payout_ms, signed_ms)
        elif asset.batch_seconds:
            window_ms = asset.batch_seconds * 1_000
            batch = signed_ms // window_ms
            order.withdrawal["batch_id"], sent_ms = f"batch-{asset.asset.lower()}-{batch}", (batch + 1) * window_ms + 500
        else:
            sent_ms = signed_ms + rng.randrange(200, 2_000)
        self._step(order, "requested", at_ms)
        self._step(order, "approved", approved_ms)
        troubled = any(episode.asset in {None, asset.asset} and rng.random() < share for episode, share in self._demand.at(at_ms).troubles)
        if CANCELLED <= fate < NOT_SENT:
            self._agenda.at(signed_ms, lambda now_ms: self._not_sent(order, now_ms))
            return
        self._step(order, "signed", signed_ms)
        lost = troubled or NOT_SENT <= fate < DROPPED or (DROPPED <= fate < REPLACED and not asset.batch_seconds)
        if lost and order.payout_id is None:
            wait_ms = rng.randrange(60_000, 600_000) if DROPPED <= fate < REPLACED else rng.randrange(30_000, 180_000)
            self._agenda.at(sent_ms, lambda now_ms: self._lose(order, wait_ms, now_ms, told=fate < DROPPED or troubled))
        else:
            self._agenda.at(sent_ms, lambda now_ms: self._send(order, now_ms))

    def begin_desk(self, asset: SimulatedAsset, source: SimulatedWallet, target: SimulatedWallet, amount_minor: int, at_ms: int) -> None:
        """The desk moves assets between wallets: large, legitimate, and by the same path as a customer's withdrawal."""
        rng = self._rng
        withdrawal = self.draft(DESK_ACCOUNT, asset, source, target.address, amount_minor)
        withdrawal |= {"channel": "desk", "second_factor": "passkey", "country": "JP"}
        order = Order(None, asset, withdrawal, amount_minor, amount_minor + self._fees_minor[asset.asset])
        order.to_wallet_id = target.wallet_id
        asked_ms = at_ms + rng.randrange(1_000, 60_000)
        approved_ms = asked_ms + rng.randrange(5_000, 30_000)
        signed_ms = approved_ms + rng.randrange(500, 4_000)
        for status, step_ms in (("requested", asked_ms), ("approved", approved_ms), ("signed", signed_ms)):
            self._step(order, status, step_ms)
        self._agenda.at(signed_ms + rng.randrange(200, 2_000), lambda now_ms: self._send(order, now_ms))

    def _cancelled(self, order: Order, at_ms: int) -> None:
        self._refund(order)
        if self._rng.random() < 0.5:
            self._agenda.at(at_ms + self._rng.randrange(20_000, 300_000), lambda now_ms: self._again(order, now_ms))

    def _refund(self, order: Order) -> None:
        self._treasury.release(order.asset.asset, order.take_minor)
        if order.account is not None:
            order.account.balances_minor[order.asset.asset] += order.take_minor

    def _send_error(self, order: Order, at_ms: int) -> None:
        withdrawal = order.withdrawal
        event: Value = {"wallet_id": withdrawal["wallet_id"], "action": "send_error", "provider_id": withdrawal["provider_id"]}
        self._agenda.tell("wallet-events", str(withdrawal["wallet_id"]), at_ms, event | {"withdrawal_id": withdrawal["withdrawal_id"]})

    def _not_sent(self, order: Order, at_ms: int) -> None:
        """Signing or sending failed: sent again later, or given back."""
        self._send_error(order, at_ms)
        self._step(order, "failed", at_ms + 200)
        if self._rng.random() < 0.5:
            self._retry(order, at_ms + self._rng.randrange(30_000, 120_000))
        else:
            self._agenda.at(at_ms + 200, lambda _now_ms: self._refund(order))

    def _lose(self, order: Order, wait_ms: int, at_ms: int, *, told: bool) -> None:
        """Broadcast, but never seen on chain: the exchange takes it for failed and sends another transaction."""
        order.withdrawal.pop("batch_id", None)
        self._name_transaction(order, alone=True)
        self._step(order, "broadcast", at_ms)
        if told:
            self._send_error(order, at_ms + wait_ms - 100)
        self._step(order, "failed", at_ms + wait_ms)
        self._retry(order, at_ms + wait_ms + self._rng.randrange(500, 10_000))

    def _retry(self, order: Order, at_ms: int) -> None:
        def retry(now_ms: int) -> None:
            order.attempt += 1
            order.withdrawal.pop("tx_id", None)
            order.withdrawal.pop("batch_id", None)
            self._step(order, "signed", now_ms)
            self._agenda.at(now_ms + self._rng.randrange(200, 2_000), lambda sent_ms: self._send(order, sent_ms))

        self._agenda.at(at_ms, retry)

    def _name_transaction(self, order: Order, *, alone: bool) -> None:
        """Whoever is in a batch shares its transaction; a second attempt has another one of its own."""
        withdrawal = order.withdrawal
        batch_id = withdrawal.get("batch_id")
        whose = f"{withdrawal['withdrawal_id']}/{order.attempt}" if alone or batch_id is None else f"{self._agenda.run}/{batch_id}"
        withdrawal["tx_id"] = hashlib.sha256(whose.encode()).hexdigest()

    def _send(self, order: Order, at_ms: int) -> None:
        """Broadcast, seen on chain, confirmed, if the wallet holds it; else once more in a minute."""
        rng, asset, withdrawal = self._rng, order.asset, order.withdrawal
        wallet_id = str(withdrawal["wallet_id"])
        customer = order.to_wallet_id is None
        if not self._treasury.pay(wallet_id, asset.asset, order.take_minor, at_ms, promised=customer):
            self._agenda.at(at_ms + SHORT_RETRY_MS, lambda now_ms: self._send(order, now_ms))
            return
        self._name_transaction(order, alone=False)
        self._step(order, "broadcast", at_ms)
        outflow = {name: withdrawal[name] for name in OUTFLOW_FIELDS if name in withdrawal}
        if not customer:
            outflow["internal"] = True
        self._agenda.tell("outflows", wallet_id, at_ms + rng.randrange(0, 2_500), outflow)
        confirmed_ms = at_ms + 3_000 + int(1_000 * rng.uniform(*asset.confirm_seconds))
        self._step(order, "confirmed", confirmed_ms)
        if not customer:
            self._agenda.at(confirmed_ms, lambda _now_ms: self._arrived(order))

    def _arrived(self, order: Order) -> None:
        if order.to_wallet_id is not None:
            self._treasury.receive(order.to_wallet_id, order.amount_minor)
        self._treasury.moved(order.asset.asset)
