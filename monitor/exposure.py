"""Customers' assets in the exchange's wallets, as their balances tell: what of each asset is hot, what that is worth, which wallets hold most.

Sums are kept as balances and prices come, never counted over all wallets. The exchange's own wallets don't count. Called by `monitor.held`,
`monitor.funds` and `monitor.events`; read by `monitor.headroom`.
"""

from collections.abc import Callable
from heapq import nsmallest

import msgspec

LARGEST_KEPT = 8
"""Hot wallets shown, the largest: whoever looks after more than these at a time looks at the balances themselves."""

Value = Callable[[str, int], int | None]
"""Value of an amount (minor units) of an asset in the base currency's minor units; None without a price."""


class WalletBalance(msgspec.Struct, frozen=True):
    """The newest balance of one wallet and asset, and what kind of wallet it is."""

    amount_minor: int
    at_ms: int
    hot: bool = False
    customers: bool = True
    provider_id: str | None = None


class AssetExposure(msgspec.Struct):
    """Customers' quantity of one asset, hot and in all, and its value where a price is known; `hot_wallets` holds what each hot wallet has of it."""

    hot_minor: int = 0
    customers_minor: int = 0
    hot_base_minor: int = 0
    customers_base_minor: int = 0
    hot_wallets: dict[str, int] = {}
    kept: list[tuple[str, int]] | None = None

    def largest(self) -> list[tuple[str, int]]:
        """The hot wallets that hold most of it, with their amounts in minor units; equal ones by name."""
        if self.kept is None:
            self.kept = nsmallest(LARGEST_KEPT, self.hot_wallets.items(), key=lambda held: (-held[1], held[0]))
        return self.kept

    def set_hot(self, wallet_id: str, amount_minor: int) -> None:
        """What a hot wallet holds now. The largest are looked for again only where this may be one of them."""
        if amount_minor > 0:
            self.hot_wallets[wallet_id] = amount_minor
        else:
            self.hot_wallets.pop(wallet_id, None)
        kept = self.kept
        if kept is not None and (len(kept) < LARGEST_KEPT or amount_minor >= kept[-1][1] or any(name == wallet_id for name, _ in kept)):
            self.kept = None


class Exposure:
    """Exposure by asset, and its value in total; an asset without a price counts as nothing there."""

    def __init__(self) -> None:
        self.by_asset: dict[str, AssetExposure] = {}
        self.hot_base_minor = 0
        self.customers_base_minor = 0

    def move(self, wallet_id: str, asset: str, before: WalletBalance | None, after: WalletBalance) -> None:
        """A wallet's balance was `before` and is `after`; it may have changed its owner or its temperature too. `revalue` must follow."""
        if not (after.customers or (before is not None and before.customers)):
            return
        exposure = self.by_asset.setdefault(asset, AssetExposure())
        was_hot = before is not None and before.hot and before.customers
        if before is not None and before.customers:
            exposure.customers_minor -= before.amount_minor
            exposure.hot_minor -= before.amount_minor if was_hot else 0
        if after.customers:
            exposure.customers_minor += after.amount_minor
        if after.customers and after.hot:
            exposure.hot_minor += after.amount_minor
            exposure.set_hot(wallet_id, after.amount_minor)
        elif was_hot:
            exposure.set_hot(wallet_id, 0)

    def revalue(self, asset: str, value: Value) -> None:
        """A balance or the price of an asset changed."""
        exposure = self.by_asset.get(asset)
        if exposure is None:
            return
        hot, customers = value(asset, exposure.hot_minor), value(asset, exposure.customers_minor)
        self.hot_base_minor += (hot or 0) - exposure.hot_base_minor
        self.customers_base_minor += (customers or 0) - exposure.customers_base_minor
        exposure.hot_base_minor, exposure.customers_base_minor = hot or 0, customers or 0
