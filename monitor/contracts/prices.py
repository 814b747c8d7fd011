"""Topic `prices`, key asset: what a unit of an asset is worth in the base currency, with its source and time."""

from typing import Annotated

from msgspec import Meta

from monitor.contracts.base import AssetId, Event, Id, PriceString


class Price(Event, frozen=True, kw_only=True, gc=False):
    """One price of one asset."""

    asset: AssetId
    price: Annotated[PriceString, Meta(description="Base currency per unit of the asset: decimal string above zero, at most 18 decimals.")]
    price_source: Id
