"""The books of the simulated exchange's wallets, and what its own desk decides: top-ups from cold to hot, sweeps back, deposits brought in.

Exact to the unit: a wallet holds its opening, plus what was received, less amounts and fees of what was broadcast before. A balance that is
told is that figure at its own time; deposits enter the hot wallet when they are swept, so until then all wallets together hold less than is
owed. Called by `exchange` and `payments`; a desk's move is paid by `payments` like a customer's.

| what | distribution | source |
| --- | --- | --- |
| deposits swept | every 15 minutes, all of an asset at once | assumed |
| moves without need | 2 in 1,000 requests, 2 to 15 % of the hot wallet's opening, towards the opening | assumed |
| top-up | when the hot wallet, less what is promised, falls below 30 % of its opening: up to 70 % | assumed |
| sweep to cold | when it is above 150 %: down to the opening | assumed |
| withdrawals at a stop | an asset's new requests, while less than 20 % of its opening would be left in all wallets | assumed |
"""

import random
from collections import Counter
from collections.abc import Callable

from monitor.money import parse_amount, print_amount
from monitor.reasons import Reason
from streams.simulation.records import Agenda, Value
from streams.simulation.world import ASSETS, WALLETS, SimulatedAsset, SimulatedWallet

SWEEP_INTERVAL_MS = 900_000
LOW_PER_CENT, FILLED_PER_CENT, HIGH_PER_CENT, STOP_PER_CENT = 30, 70, 150, 20
ONE_WITHDRAWAL_PER_CENT = 4
"""Of the hot wallet's opening: the most that a customer takes at once (assumed)."""
UNASKED_MOVE = (0.02, 0.15)

Move = Callable[[SimulatedAsset, SimulatedWallet, SimulatedWallet, int, int], None]
"""Pay so much (minor units) of an asset from a wallet to a wallet, asked for at that time."""


def minor(text: str, decimals: int) -> int:
    """Minor units of an amount of our own tables; raises ValueError if the table is wrong."""
    amount = parse_amount(text, decimals)
    if isinstance(amount, Reason):
        raise ValueError(f"{text} with {decimals} decimals: {amount}")  # noqa: TRY004  # a refused value, not a wrong type
    return amount


class Treasury:
    """What each wallet holds and what is promised of it, in minor units. `scale`: whole times the openings of the table."""

    def __init__(self, agenda: Agenda, rng: random.Random, scale: int, move: Move) -> None:
        self._agenda = agenda
        self._rng = rng
        self._move = move
        self._assets = {row.asset: row for row in ASSETS}
        self.opening_minor = {row.wallet_id: scale * minor(row.opening, self._assets[row.asset].decimals) for row in WALLETS}
        self.held_minor = dict(self.opening_minor)
        self._hot: dict[str, SimulatedWallet] = {}
        self._cold: dict[str, SimulatedWallet] = {}
        for row in WALLETS:
            (self._hot if row.temperature == "hot" else self._cold).setdefault(row.asset, row)
        self._opened_minor: Counter[str] = Counter()
        for row in WALLETS:
            self._opened_minor[row.asset] += self.opening_minor[row.wallet_id]
        self._promised_minor: Counter[str] = Counter()
        self._deposited_minor: Counter[str] = Counter()
        self._moving: set[str] = set()

    def hot(self, asset: str) -> SimulatedWallet:
        """The wallet that pays customers."""
        return self._hot[asset]

    def at_most(self, asset: str) -> int:
        """The most that a customer takes at once, in minor units."""
        return self.opening_minor[self._hot[asset].wallet_id] * ONE_WITHDRAWAL_PER_CENT // 100

    def deposit(self, asset: str, amount_minor: int) -> None:
        """A customer pays in; it is on an address of the customer's own until it is swept."""
        self._deposited_minor[asset] += amount_minor

    def sweep_deposits(self) -> None:
        """What was paid in comes into the hot wallets."""
        for asset, amount_minor in self._deposited_minor.items():
            self.held_minor[self._hot[asset].wallet_id] += amount_minor
        self._deposited_minor.clear()

    def promise(self, asset: str, amount_minor: int) -> bool:
        """Set apart for a customer what will be paid; False while the asset's withdrawals are at a stop."""
        held_minor = self.held_minor[self._hot[asset].wallet_id] + self.held_minor[self._cold[asset].wallet_id]
        if (held_minor - self._promised_minor[asset] - amount_minor) * 100 < self._opened_minor[asset] * STOP_PER_CENT:
            return False
        self._promised_minor[asset] += amount_minor
        return True

    def release(self, asset: str, amount_minor: int) -> None:
        """A promise ends unpaid."""
        self._promised_minor[asset] -= amount_minor

    def pay(self, wallet_id: str, asset: str, amount_minor: int, at_ms: int, *, promised: bool) -> bool:
        """Take what leaves now; False if the wallet doesn't hold it: then a top-up is on its way."""
        enough = self.held_minor[wallet_id] >= amount_minor
        if enough:
            self.held_minor[wallet_id] -= amount_minor
            if promised:
                self._promised_minor[asset] -= amount_minor
        if promised:
            self._balance(asset, at_ms)
        return enough

    def receive(self, wallet_id: str, amount_minor: int) -> None:
        """A move between wallets has arrived."""
        self.held_minor[wallet_id] += amount_minor

    def moved(self, asset: str) -> None:
        """The desk's move of an asset is over: the next may begin."""
        self._moving.discard(asset)

    def _balance(self, asset: str, at_ms: int) -> None:
        """Fill up or sweep the hot wallet when it is far from its opening."""
        hot = self._hot[asset]
        opening_minor = self.opening_minor[hot.wallet_id]
        free_minor = self.held_minor[hot.wallet_id] - self._promised_minor[asset]
        if free_minor * 100 < opening_minor * LOW_PER_CENT:
            self._begin(asset, opening_minor * FILLED_PER_CENT // 100 - free_minor, at_ms)
        elif free_minor * 100 > opening_minor * HIGH_PER_CENT:
            self._begin(asset, opening_minor - free_minor, at_ms)

    def unasked(self, asset: SimulatedAsset, at_ms: int) -> None:
        """The desk moves a part of the hot wallet's opening without need, towards the opening."""
        hot = self._hot[asset.asset]
        opening_minor = self.opening_minor[hot.wallet_id]
        part_minor = opening_minor * round(1_000 * self._rng.uniform(*UNASKED_MOVE)) // 1_000
        self._begin(asset.asset, part_minor if self.held_minor[hot.wallet_id] <= opening_minor else -part_minor, at_ms)

    def _begin(self, asset: str, to_hot_minor: int, at_ms: int) -> None:
        """Move so much into the hot wallet, or out of it if below zero, in whole units; one move of an asset at a time."""
        if asset in self._moving:
            return
        row = self._assets[asset]
        source, target = (self._cold[asset], self._hot[asset]) if to_hot_minor > 0 else (self._hot[asset], self._cold[asset])
        free_minor = self.held_minor[source.wallet_id] - (self._promised_minor[asset] if to_hot_minor < 0 else 0)
        fee_minor = minor(row.fee, row.decimals)
        unit_minor = 10**row.decimals
        amount_minor = min(abs(to_hot_minor), free_minor - fee_minor) // unit_minor * unit_minor
        if amount_minor > 0:
            self._moving.add(asset)
            self._move(row, source, target, amount_minor, at_ms)

    def tell(self, at_ms: int) -> None:
        """A balance record per wallet."""
        for wallet in WALLETS:
            amount = print_amount(self.held_minor[wallet.wallet_id], self._assets[wallet.asset].decimals)
            event: Value = {"wallet_id": wallet.wallet_id, "asset": wallet.asset, "amount": amount, "temperature": wallet.temperature}
            self._agenda.tell("balances", wallet.wallet_id, at_ms, event | {"owner": "customer", "provider_id": wallet.provider_id})
