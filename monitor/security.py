"""When each account's security was last changed: password, second factor, device, API key, e-mail. For the detectors, nothing else reads it.

A pure fact, taken when an event is accepted; bounded, the accounts whose change is longest ago go first. Called by `monitor.engine`.
"""

from itertools import islice

from monitor.contracts.account_events import AccountAction, AccountEvent
from monitor.entities import EVICTED_SHARE

CHANGES: frozenset[AccountAction] = frozenset({"password_changed", "second_factor_changed", "device_added", "api_key_created", "email_changed"})
"""Logins and whitelisted addresses are no changes: everybody makes them every day."""


class Security:
    """The time of the newest security change by account."""

    def __init__(self) -> None:
        self.changed_at_ms: dict[str, int] = {}
        self.evicted = 0

    def note(self, event: AccountEvent, limit: int) -> None:
        """Take one event of an account; the newest change counts, in whatever order they come."""
        if event.action not in CHANGES:
            return
        changed = self.changed_at_ms
        changed[event.account_id] = max(changed.pop(event.account_id, 0), event.occurred_at_ms)
        if len(changed) > limit:
            for account_id in list(islice(changed, len(changed) - limit + limit // EVICTED_SHARE)):
                del changed[account_id]
                self.evicted += 1
