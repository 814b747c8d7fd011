"""Topic `holdings`, key account_id: what one customer holds of one asset, daily and on demand."""

from monitor.contracts.base import AmountOrZero, AssetId, Event, Id


class Holding(Event, frozen=True, kw_only=True, gc=False):
    """The quantity of one asset that one account holds at `occurred_at_ms`."""

    account_id: Id
    asset: AssetId
    quantity: AmountOrZero
