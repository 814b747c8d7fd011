"""Topic `outflows`, key wallet_id: what was seen leaving a wallet on chain, and which withdrawal it claims to serve."""

from typing import Annotated

from msgspec import Meta

from monitor.contracts.base import Amount, AssetId, Event, Id, Owner


class Outflow(Event, frozen=True, kw_only=True, gc=False):
    """One output of one transaction that leaves a wallet of ours."""

    tx_id: Id
    wallet_id: Id
    asset: AssetId
    network: Id
    amount: Amount
    output_index: Annotated[
        Annotated[int, Meta(ge=0, le=2**63 - 1)] | None,
        Meta(description="Which output of the transaction it is. With it, two watchers that tell of one output tell of one loss."),
    ] = None
    address: Id
    tag: Id | None = None
    withdrawal_id: Annotated[Id | None, Meta(description="The withdrawal it claims to serve, if any.")] = None
    provider_id: Id | None = None
    owner: Owner = "customer"
    internal: Annotated[
        bool, Meta(description="The exchange moves assets between wallets of its own: nothing is checked. Who may set it can hide a theft.")
    ] = False
