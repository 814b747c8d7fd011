"""Topic `balances`, key wallet_id: what a wallet holds of an asset, by the chain or the node."""

from typing import Literal

from monitor.contracts.base import AmountOrZero, AssetId, Event, Id, Owner


class Balance(Event, frozen=True, kw_only=True, gc=False):
    """The balance of one wallet and asset at `occurred_at_ms`."""

    wallet_id: Id
    asset: AssetId
    amount: AmountOrZero
    temperature: Literal["hot", "cold"]
    owner: Owner = "customer"
    provider_id: Id | None = None
