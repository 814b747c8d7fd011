"""Topic `prices`, key asset: what a unit of an asset is worth in the base currency, with its source and time."""

from typing import Annotated

from msgspec import Meta

from monitor.contracts.base import Amount, Event, Id


class Price(Event, frozen=True, kw_only=True, gc=False):
    """One price of one asset."""

    asset: Id
    price: Annotated[Amount, Meta(description="Base currency per unit of the asset, a decimal string with at most 18 decimals.")]
    price_source: Id
