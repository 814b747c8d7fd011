"""Topic `account-events`, key account_id: what happened to an account apart from its money."""

from typing import Literal

from monitor.contracts.base import Event, Id

AccountAction = Literal[
    "login", "login_failed", "password_changed", "second_factor_changed", "device_added", "api_key_created", "address_whitelisted", "email_changed"
]


class AccountEvent(Event, frozen=True, kw_only=True, gc=False):
    """One thing that happened to an account."""

    account_id: Id
    action: AccountAction
    device_id: Id | None = None
    ip: Id | None = None
    country: Id | None = None
    api_key_id: Id | None = None
    address: Id | None = None
