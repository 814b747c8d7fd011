"""Topic `providers`, key provider_id: the registry of custodians and system providers."""

from typing import Annotated, Literal

from msgspec import Meta

from monitor.contracts.base import Event, Id, TimeMs

Role = Literal["custodian", "wallet_software", "signing", "staking", "node", "other"]
Standing = Literal["registered", "notified", "none"]


class Provider(Event, frozen=True, kw_only=True, gc=False):
    """One provider as of `occurred_at_ms`; a later event replaces it."""

    provider_id: Id
    name: Id
    role: Role
    standing: Standing
    registration_number: Id | None = None
    since_ms: Annotated[TimeMs | None, Meta(description="From when on it is registered or notified; if not told, always.")] = None
    wallet_ids: Annotated[tuple[Id, ...], Meta(description="Wallets that it serves.")] = ()
    signing_wallet_ids: Annotated[tuple[Id, ...], Meta(description="Wallets that it signs for, alone or with others.")] = ()
