"""What the exchange holds of each asset, as its wallets' balances tell, and who claims more than that.

Pure facts and one invariant; bounded by the policy's wallets. Called by `monitor.engine`.
"""

import msgspec

from monitor.contracts.base import Owner
from monitor.exposure import Exposure, WalletBalance

BATCHES_MAX = 1_000
CREDITS_MAX = 10_000
"""Credits that are kept of batches, in all: as many marks are made at once at most, in about a second."""


class Credit(msgspec.Struct, frozen=True):
    """One credit of a batch that nothing is wrong with so far."""

    posting_id: str
    account_id: str
    owner: Owner
    amount_minor: int


class Held:
    """Balances by "wallet asset", their sums by asset, what of them is customers' and exposed, and the credits of each batch, by "batch asset"."""

    def __init__(self) -> None:
        self.exposure = Exposure()
        self.balances: dict[str, WalletBalance] = {}
        self.totals: dict[str, int] = {}
        self.batches: dict[str, int] = {}
        self.credits: dict[str, list[Credit]] = {}
        self.credits_kept = 0
        self.credits_dropped = 0
        self.complete = False
        self.overflown = False

    def set_balance(self, wallet_id: str, asset: str, balance: WalletBalance, limit: int) -> bool:
        """Take a newer balance; False when the table is full and the wallet is new, which the caller must tell people."""
        key = f"{wallet_id} {asset}"
        known = self.balances.get(key)
        if known is None and len(self.balances) >= limit:
            self.overflown = True
            return False
        if known is None or balance.at_ms >= known.at_ms:
            self.totals[asset] = self.totals.get(asset, 0) + balance.amount_minor - (known.amount_minor if known is not None else 0)
            self.balances[key] = balance
            self.exposure.move(wallet_id, asset, known, balance)
        return True

    @property
    def whole(self) -> bool:
        """Whether all balances were read once and all of them are kept: else sums are of a part."""
        return self.complete and not self.overflown

    def total(self, asset: str) -> int | None:
        """What all wallets hold of an asset, in minor units.

        None while no balance of it was told, until all balances were read once, and from when one could not be kept: a part isn't the whole.
        """
        return self.totals.get(asset) if self.whole else None

    def credit(self, asset: str, amount_minor: int, batch_id: str | None) -> int:
        """What one batch has credited of an asset so far, this credit included."""
        if batch_id is None:
            return amount_minor
        key = f"{batch_id} {asset}"
        total = self.batches.pop(key, 0) + amount_minor
        self.batches[key] = total
        if len(self.batches) > BATCHES_MAX:
            oldest = next(iter(self.batches))
            del self.batches[oldest]
            self.credits_dropped += len(self._taken(oldest))
        return total

    def keep(self, asset: str, credit: Credit, batch_id: str) -> None:
        """Keep a credit until its batch turns out to be too much. Beyond the limit those of the oldest other batch go, then the newest of its own."""
        key = f"{batch_id} {asset}"
        while self.credits_kept >= CREDITS_MAX:
            oldest = next((other for other in self.credits if other != key), None)
            if oldest is None:
                self.credits_dropped += 1
                return
            self.credits_dropped += len(self._taken(oldest))
        self.credits.setdefault(key, []).append(credit)
        self.credits_kept += 1

    def taken(self, asset: str, batch_id: str | None) -> list[Credit]:
        """The credits that were kept of a batch, in their order; they are kept no longer."""
        return [] if batch_id is None else self._taken(f"{batch_id} {asset}")

    def _taken(self, key: str) -> list[Credit]:
        gone = self.credits.pop(key, [])
        self.credits_kept -= len(gone)
        return gone
