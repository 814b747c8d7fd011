"""Who bears what of a pool's loss: in proportion to what each customer held, less what of it is lost otherwise. Nobody is given more than is left of it.

A loss counts against a holding that was told at or before it; one told later has it in it. Pure. Called by `monitor.compensation`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from monitor.contracts.compensation import Evidence
from monitor.ledger import apportioned


class Held(NamedTuple):
    """What one account held of an asset, when that was told, and the entry that says so."""

    quantity_minor: int
    at_ms: int
    evidence: Evidence


class Taking(NamedTuple):
    """A loss that counts against an account's holding."""

    incident_id: str
    at_ms: int
    quantity_minor: int


class Pool(NamedTuple):
    """A pool's loss: whose, when its first part was lost, and what was held then, customers' only."""

    incident_id: str
    since_ms: int
    held: Mapping[str, Held]


class Takings:
    """By account, what of one asset is lost."""

    def __init__(self) -> None:
        self._by_account: dict[str, list[Taking]] = {}

    def take(self, account_id: str, taking: Taking) -> None:
        """A loss of that account, its own or its part of a pool's."""
        self._by_account.setdefault(account_id, []).append(taking)

    def against(self, account_id: str, pool: Pool) -> list[Taking]:
        """What counts against an account's holding in a pool: all that is lost since it was told, in the same incident or until the pool's loss."""
        takings = self._by_account.get(account_id)
        if takings is None:
            return []
        at_ms = pool.held[account_id].at_ms
        return [taking for taking in takings if taking.at_ms >= at_ms and (taking.incident_id == pool.incident_id or taking.at_ms <= pool.since_ms)]

    def left(self, pool: Pool) -> dict[str, int]:
        """What each account has left in a pool, of those that have anything, in the order of their names."""
        found = {}
        for account_id in sorted(pool.held):
            left = pool.held[account_id].quantity_minor - sum(taking.quantity_minor for taking in self.against(account_id, pool))
            if left > 0:
                found[account_id] = left
        return found

    def divide(self, pool: Pool, left: Mapping[str, int], lost_minor: int) -> dict[str, int]:
        """Divide a loss over what is `left` in a pool, up to all of it; it counts as lost from now on."""
        total = sum(left.values())
        given = min(total, lost_minor)
        if given == 0:
            return {}
        shares = dict(zip(left, apportioned([weight * given for weight in left.values()], total, list(left)), strict=True))
        for account_id, share in shares.items():
            if share:
                self.take(account_id, Taking(pool.incident_id, pool.since_ms, share))
        return shares


def customers(held: Mapping[str, Held], pooled_accounts: Iterable[str]) -> dict[str, Held]:
    """Holdings without the accounts of the exchange's own desk."""
    desk = frozenset(pooled_accounts)
    return {account_id: each for account_id, each in held.items() if account_id not in desk}
