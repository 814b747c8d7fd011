"""A small honest exchange as a stream of input records: opening, life cycles, outflows, logins, postings, prices, balances.

Pure and seeded: same parameters, same records, in order of their timestamps; no clock but the simulated one. No attack happens
here (`scenario` lays incidents over it). Called by `simulate`, the demo, the benchmark and the tests.
"""

import hashlib
import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

from monitor.money import parse_amount, print_amount
from monitor.reasons import Reason
from streams.simulation.population import Account, Destination, Population, pick_asset
from streams.simulation.world import (
    ASSETS,
    DESK_ACCOUNT,
    HOUR_SHARES,
    LAYERS,
    PROVIDERS,
    WALLETS,
    SimulatedAsset,
    SimulatedWallet,
)

Value = dict[str, object]
Deed = Callable[[int], None]
"""Something that happens at its time, which it is given."""

PRICE_INTERVAL_MS = 10_000
BALANCE_INTERVAL_MS = 30_000
JAPAN_OFFSET_MS = 9 * 3_600_000
DESK_SHARE = 0.002
"""Share of requests that are the exchange's own moves between its wallets (assumed)."""
MANUAL_APPROVAL_JPY = 5_000_000
"""From this value on a person approves (assumed): minutes instead of seconds."""
SETTLED_MS = 3_000
"""From a deposit's posting to the request that uses it."""
WALLET_RATE = 50.0
"""Requests a second that the wallets' opening balances are meant for; a busier exchange holds more, in proportion."""

DELAY_MS = {"withdrawals": 15, "outflows": 350, "account-events": 25, "postings": 25}
"""From the event to its record, by topic; outflows are seen by a chain watcher, later than the rest."""


class Record(NamedTuple):
    """One input record: `value` is the event, `timestamp_ms` the record's own time."""

    topic: str
    key: str
    value: Value
    timestamp_ms: int


class ExchangeParameters(msgspec.Struct, frozen=True, kw_only=True):
    """All that decides the stream. Each request makes about seven records; `finish` lets open life cycles end after the last second."""

    start_ms: int
    seconds: Annotated[float, Meta(gt=0)]
    requests_per_second: Annotated[float, Meta(gt=0)] = 5.0
    accounts: Annotated[int, Meta(ge=5)] = 1_000
    seed: int = 1
    finish: bool = False


def minor(text: str, decimals: int) -> int:
    """Minor units of an amount of our own tables; raises ValueError if the table is wrong."""
    amount = parse_amount(text, decimals)
    if isinstance(amount, Reason):
        raise ValueError(f"{text} with {decimals} decimals: {amount}")  # noqa: TRY004  # a refused value, not a wrong type
    return amount


class Exchange:
    """One run of the simulated exchange; `records()` yields it once."""

    def __init__(self, parameters: ExchangeParameters) -> None:
        self._parameters = parameters
        self._rng = random.Random(parameters.seed)  # noqa: S311  # a simulation
        self._population = Population(parameters.accounts, self._rng)
        self._run = f"{parameters.seed:x}.{parameters.start_ms:x}"
        self._event_numbers = itertools.count(1)
        self._withdrawal_numbers = itertools.count(1)
        self._pending: list[tuple[int, int, Record | Deed]] = []
        self._pushed = itertools.count()
        self._prices = {row.asset: float(row.price) for row in ASSETS}
        self._hot = {row.asset: row for row in WALLETS if row.temperature == "hot"}
        self._cold = {row.asset: row for row in WALLETS if row.temperature == "cold"}
        self._wallet_scale = max(1.0, parameters.requests_per_second / WALLET_RATE)
        self._fees_minor = {row.asset: minor(row.fee, row.decimals) for row in ASSETS}

    def records(self) -> Iterator[Record]:
        """The opening, then everything in order of time."""
        start_ms = self._parameters.start_ms
        self._open(start_ms)
        end_ms = start_ms + round(self._parameters.seconds * 1_000)
        next_price_ms, next_balance_ms = start_ms + PRICE_INTERVAL_MS, start_ms + BALANCE_INTERVAL_MS
        now_ms = start_ms + self._gap_ms(start_ms)
        while True:
            at_ms = min(now_ms, next_price_ms, next_balance_ms)
            if at_ms >= end_ms:
                break
            yield from self._until(at_ms)
            if at_ms == next_price_ms:
                self._move_prices(at_ms)
                next_price_ms += PRICE_INTERVAL_MS
            elif at_ms == next_balance_ms:
                self._tell_balances(at_ms)
                next_balance_ms += BALANCE_INTERVAL_MS
            else:
                self._visit(at_ms)
                now_ms = at_ms + self._gap_ms(at_ms)
        yield from self._until(None if self._parameters.finish else end_ms)

    def _until(self, end_ms: int | None) -> Iterator[Record]:
        """What is due before that time; None: all that is still to come."""
        while self._pending and (end_ms is None or self._pending[0][0] < end_ms):
            due_ms, _, item = heapq.heappop(self._pending)
            if isinstance(item, Record):
                yield item
            else:
                item(due_ms)

    def _gap_ms(self, at_ms: int) -> int:
        hour = (at_ms + JAPAN_OFFSET_MS) // 3_600_000 % 24
        return int(1_000 * self._rng.expovariate(self._parameters.requests_per_second * HOUR_SHARES[hour]))

    def _push(self, topic: str, key: str, at_ms: int, event: Value) -> None:
        value = {"event_id": f"{self._run}.{next(self._event_numbers):x}", "occurred_at_ms": at_ms, "schema_version": 1, **event}
        timestamp_ms = at_ms + DELAY_MS.get(topic, 0)
        heapq.heappush(self._pending, (timestamp_ms, next(self._pushed), Record(topic, key, value, timestamp_ms)))

    def _at(self, at_ms: int, deed: Deed) -> None:
        """Let something happen later: the books change in the order of time, never when it is planned."""
        heapq.heappush(self._pending, (at_ms, next(self._pushed), deed))

    def _open(self, at_ms: int) -> None:
        for layer in LAYERS:
            event: Value = {"layer_id": layer.layer_id, "action": "fund", "unit": layer.unit, "amount": layer.funded, "reason": "opening"}
            self._push("reserves", layer.layer_id, at_ms, event)
        self._tell_prices(at_ms)
        self._tell_balances(at_ms)
        for row in PROVIDERS:
            served = [wallet.wallet_id for wallet in WALLETS if wallet.provider_id == row.provider_id]
            event = {"provider_id": row.provider_id, "name": row.name, "role": row.role, "standing": row.standing, "wallet_ids": served}
            if row.registration_number is not None:
                event["registration_number"] = row.registration_number
            self._push("providers", row.provider_id, at_ms, event)

    def _move_prices(self, at_ms: int) -> None:
        for row in ASSETS:
            self._prices[row.asset] *= 1.0 + row.volatility * self._rng.gauss(0.0, 1.0)
        self._tell_prices(at_ms)

    def _tell_prices(self, at_ms: int) -> None:
        for asset, price in self._prices.items():
            self._push("prices", asset, at_ms, {"asset": asset, "price": f"{price:.4f}", "price_source": "simulated"})

    def _tell_balances(self, at_ms: int) -> None:
        # Deposits and payouts about balance over a day (assumed), so a level only wavers.
        for wallet in WALLETS:
            level = round(float(wallet.opening) * self._wallet_scale * self._rng.uniform(0.97, 1.03))
            event: Value = {"wallet_id": wallet.wallet_id, "asset": wallet.asset, "amount": str(level), "temperature": wallet.temperature}
            self._push("balances", wallet.wallet_id, at_ms, event | {"owner": "customer", "provider_id": wallet.provider_id})

    def _visit(self, at_ms: int) -> None:
        random_ = self._rng.random()
        if random_ < DESK_SHARE:
            self._desk_move(at_ms)
            return
        account, is_new = self._population.pick()
        if random_ < 0.25:
            self._look_in(account, at_ms)
        self._request(account, at_ms, is_new=is_new)

    def _look_in(self, account: Account, at_ms: int) -> None:
        """Somebody logs in and withdraws nothing; seldom a login fails or a secret is changed."""
        share = self._rng.random()
        if share < 0.90:
            action = "login"
        elif share < 0.98:
            action = "login_failed"
        elif share < 0.995:
            action = "password_changed"
        else:
            action = "second_factor_changed"
            account.second_factor_changed_at_ms = at_ms
        self._account_event(account, action, at_ms)

    def _account_event(self, account: Account, action: str, at_ms: int, **facts: str) -> None:
        event: Value = {"account_id": account.account_id, "action": action, "device_id": account.devices[-1], "ip": self._ip(account)}
        self._push("account-events", account.account_id, at_ms, event | {"country": account.country} | facts)

    def _ip(self, account: Account) -> str:
        return f"{account.ip_prefix}{self._rng.randrange(1, 255)}"

    def _request(self, account: Account, at_ms: int, *, is_new: bool) -> None:
        rng = self._rng
        asset = self._population.asset_for(account)
        amount_minor = self._population.amount_minor(account, asset, self._prices[asset.asset])
        destination, new_address = self._population.destination(account, asset)
        if is_new or rng.random() < account.kind.login:
            if rng.random() < 0.01:
                account.devices.append(f"device-{rng.getrandbits(64):016x}")
                self._account_event(account, "device_added", at_ms)
            self._account_event(account, "login", at_ms)
            at_ms += rng.randrange(5_000, 60_000)
        if new_address:
            self._account_event(account, "address_whitelisted", at_ms, address=destination[0])
            at_ms += rng.randrange(2_000, 20_000)
        self._at(at_ms, lambda now_ms: self._ask(account, asset, destination, amount_minor, now_ms))

    def _ask(self, account: Account, asset: SimulatedAsset, destination: Destination, amount_minor: int, at_ms: int) -> None:
        before_minor = self._cover(account, asset, amount_minor, at_ms)
        withdrawal = self._withdrawal(account, asset, destination, amount_minor)
        withdrawal["balance_before"] = print_amount(before_minor, asset.decimals)
        self._live_through(account, asset, withdrawal, amount_minor, at_ms + SETTLED_MS)

    def _cover(self, account: Account, asset: SimulatedAsset, amount_minor: int, at_ms: int) -> int:
        """Take the amount from the available balance, after a deposit if that is short; what was available before, in minor units."""
        balances, needed_minor = account.balances_minor, amount_minor + self._fees_minor[asset.asset]
        if asset.asset not in balances:
            balances[asset.asset] = needed_minor + int(amount_minor * self._rng.expovariate(0.5))
            event: Value = {"account_id": account.account_id, "asset": asset.asset}
            self._push("holdings", account.account_id, at_ms, event | {"quantity": print_amount(balances[asset.asset], asset.decimals)})
        if balances[asset.asset] < needed_minor:
            deposit_minor = needed_minor - balances[asset.asset] + int(amount_minor * self._rng.random())
            balances[asset.asset] += deposit_minor
            event = {"posting_id": f"posting-{self._run}.{next(self._event_numbers):x}", "account_id": account.account_id, "kind": "credit"}
            event |= {"asset": asset.asset, "amount": print_amount(deposit_minor, asset.decimals), "reason": "deposit"}
            self._push("postings", account.account_id, at_ms, event)
        before_minor = balances[asset.asset]
        balances[asset.asset] -= needed_minor
        return before_minor

    def _refund(self, account: Account, asset: SimulatedAsset, amount_minor: int) -> None:
        account.balances_minor[asset.asset] += amount_minor + self._fees_minor[asset.asset]

    def _withdrawal(self, account: Account, asset: SimulatedAsset, destination: Destination, amount_minor: int) -> Value:
        wallet, channel = self._hot[asset.asset], self._rng.choice(account.kind.channels)
        withdrawal = self._base(account.account_id, asset, wallet, destination[0], amount_minor)
        withdrawal |= {"channel": channel, "ip": self._ip(account), "country": account.country}
        if destination[1] is not None:
            withdrawal["tag"] = destination[1]
        if channel == "api" and account.api_key_id is not None:
            withdrawal |= {"api_key_id": account.api_key_id, "second_factor": "none"}
        else:
            withdrawal |= {"device_id": account.devices[-1], "second_factor": account.second_factor}
        if account.second_factor_changed_at_ms is not None:
            withdrawal["second_factor_changed_at_ms"] = account.second_factor_changed_at_ms
        return withdrawal

    def _base(self, account_id: str, asset: SimulatedAsset, wallet: SimulatedWallet, address: str, amount_minor: int) -> Value:
        return {
            "withdrawal_id": f"withdrawal-{self._run}.{next(self._withdrawal_numbers):x}", "account_id": account_id, "asset": asset.asset,
            "network": asset.network, "amount": print_amount(amount_minor, asset.decimals), "address": address, "fee": asset.fee,
            "wallet_id": wallet.wallet_id, "provider_id": wallet.provider_id, "owner": "customer",
        }  # fmt: skip

    def _step(self, withdrawal: Value, status: str, at_ms: int) -> None:
        self._push("withdrawals", str(withdrawal["account_id"]), at_ms, {"status": status, **withdrawal})

    def _live_through(self, account: Account, asset: SimulatedAsset, withdrawal: Value, amount_minor: int, at_ms: int) -> None:
        """All steps of a customer's withdrawal: about 4 in 1,000 are cancelled, 2 in 1,000 fail in signing (assumed)."""
        rng = self._rng
        self._step(withdrawal, "requested", at_ms)
        fate = rng.random()
        if fate < 0.006:
            status, at_ms = ("cancelled", at_ms + rng.randrange(2_000, 60_000)) if fate < 0.004 else ("failed", at_ms + 4_000)
            if status == "failed":
                event: Value = {"wallet_id": withdrawal["wallet_id"], "action": "send_error", "provider_id": withdrawal["provider_id"]}
                self._push("wallet-events", str(withdrawal["wallet_id"]), at_ms, event | {"withdrawal_id": withdrawal["withdrawal_id"]})
            self._step(withdrawal, status, at_ms)
            self._at(at_ms, lambda _now_ms: self._refund(account, asset, amount_minor))
            return
        manual = amount_minor / 10**asset.decimals * self._prices[asset.asset] >= MANUAL_APPROVAL_JPY
        at_ms += rng.randrange(60_000, 600_000) if manual else rng.randrange(300, 3_000)
        self._step(withdrawal, "approved", at_ms)
        self._pay(asset, withdrawal, at_ms, internal=False)

    def _pay(self, asset: SimulatedAsset, withdrawal: Value, at_ms: int, *, internal: bool) -> None:
        """Signed, broadcast, seen on chain, confirmed; batched assets share a transaction per batch window."""
        rng = self._rng
        at_ms += rng.randrange(500, 4_000)
        self._step(withdrawal, "signed", at_ms)
        if asset.batch_seconds and not internal:
            window_ms = asset.batch_seconds * 1_000
            batch = at_ms // window_ms
            withdrawal["batch_id"] = f"batch-{asset.asset.lower()}-{batch}"
            at_ms = (batch + 1) * window_ms + 500
            tx_of = f"{self._run}/{asset.asset}/{batch}"
        else:
            at_ms += rng.randrange(200, 2_000)
            tx_of = str(withdrawal["withdrawal_id"])
        withdrawal["tx_id"] = hashlib.sha256(tx_of.encode()).hexdigest()
        self._step(withdrawal, "broadcast", at_ms)
        outflow = {name: withdrawal[name] for name in OUTFLOW_FIELDS if name in withdrawal}
        if internal:
            outflow["internal"] = True
        self._push("outflows", str(withdrawal["wallet_id"]), at_ms + rng.randrange(0, 2_500), outflow)
        low_seconds, high_seconds = asset.confirm_seconds
        self._step(withdrawal, "confirmed", at_ms + 3_000 + int(1_000 * rng.uniform(low_seconds, high_seconds)))

    def _desk_move(self, at_ms: int) -> None:
        """The desk fills a hot wallet from the cold one: large, legitimate, and by the same path as a customer's withdrawal."""
        rng = self._rng
        asset = pick_asset(rng)
        wallet = self._cold[asset.asset]
        steps = round(float(self._hot[asset.asset].opening) * rng.uniform(0.05, 0.4))
        amount_minor = steps * 10**asset.decimals
        withdrawal = self._base(DESK_ACCOUNT, asset, wallet, self._hot[asset.asset].address, amount_minor)
        withdrawal |= {"channel": "desk", "second_factor": "passkey", "country": "JP"}
        self._step(withdrawal, "requested", at_ms)
        at_ms += rng.randrange(5_000, 30_000)
        self._step(withdrawal, "approved", at_ms)
        self._pay(asset, withdrawal, at_ms, internal=True)


OUTFLOW_FIELDS = ("tx_id", "wallet_id", "asset", "network", "amount", "address", "tag", "withdrawal_id", "provider_id", "owner")
