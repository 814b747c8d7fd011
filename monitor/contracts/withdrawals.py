"""Topic `withdrawals`, key account_id: the life cycle of one withdrawal, an event per step.

The minimal event has event_id, occurred_at_ms, status, withdrawal_id, account_id, asset, network, amount and address;
whatever else the exchange knows makes the verdict better.
"""

from typing import Annotated, Literal

from msgspec import Meta

from monitor.contracts.base import Amount, AmountOrZero, AssetId, Event, Id, Owner, TimeMs

Status = Literal["requested", "approved", "signed", "broadcast", "confirmed", "failed", "cancelled"]


class Withdrawal(Event, frozen=True, kw_only=True, gc=False):
    """One step in the life of a withdrawal. Every step repeats what is asked for, so that a change between steps shows."""

    status: Status
    withdrawal_id: Id
    account_id: Id
    asset: AssetId
    network: Id
    amount: Annotated[Amount, Meta(description="What leaves the customer's balance, fee excluded.")]
    address: Annotated[Id, Meta(description="Destination address.")]
    tag: Annotated[Id | None, Meta(description="Destination tag or memo, where the network has one.")] = None
    fee: Annotated[AmountOrZero | None, Meta(description="Network fee, in the asset.")] = None
    tx_id: Annotated[Id | None, Meta(description="Transaction on chain, from broadcast on.")] = None
    wallet_id: Annotated[Id | None, Meta(description="Source wallet, as soon as it is known.")] = None
    provider_id: Annotated[Id | None, Meta(description="Custodian or system provider that signs or sends.")] = None
    channel: Annotated[Id | None, Meta(description="web, app, api, desk, ...")] = None
    ip: Id | None = None
    country: Id | None = None
    device_id: Id | None = None
    api_key_id: Id | None = None
    second_factor: Annotated[Id | None, Meta(description="How the second factor was given: totp, passkey, sms, none, ...")] = None
    second_factor_changed_at_ms: TimeMs | None = None
    balance_before: Annotated[AmountOrZero | None, Meta(description="The account's available balance of the asset before this request.")] = None
    owner: Annotated[Owner, Meta(description="Whose assets these are: a customer's or the exchange's own.")] = "customer"
    batch_id: Annotated[Id | None, Meta(description="Batch that pays several withdrawals in one transaction.")] = None
    replaces_tx_id: Annotated[
        Id | None, Meta(description="The transaction that this one replaces by a higher fee; both spend the same inputs, so only one can be mined.")
    ] = None
    idempotency_key: Annotated[Id | None, Meta(description="The client's own key of the request: asked twice with one key, it is one request.")] = (
        None
    )
