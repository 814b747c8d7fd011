"""Topic `providers`, key provider_id: the registry of custodians and system providers."""

from typing import Literal

from monitor.contracts.base import Event, Id, TimeMs


class Provider(Event, frozen=True, kw_only=True, gc=False):
    """One provider as of `occurred_at_ms`; a later event replaces it."""

    provider_id: Id
    name: Id
    role: Literal["custodian", "wallet_software", "signing", "staking", "node", "other"]
    standing: Literal["registered", "notified", "none"]
    registration_number: Id | None = None
    since_ms: TimeMs | None = None
    wallet_ids: tuple[Id, ...] = ()
