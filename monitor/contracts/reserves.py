"""Topic `reserves`, key layer_id: a layer of the reserve is funded or drawn down by its owner."""

from typing import Annotated, Literal

from msgspec import Meta

from monitor.contracts.base import Amount, AssetId, Event, Id, Text


class Reserve(Event, frozen=True, kw_only=True, gc=False):
    """One movement of one reserve layer."""

    layer_id: Id
    action: Literal["fund", "draw"]
    unit: Annotated[AssetId, Meta(description="The asset, or the base currency, that the layer is kept in.")]
    amount: Amount
    reason: Text | None = None
