"""The losses of an incident as they are to be paid back: what the journal says of each mark, and losses summed by what they share.

Pure values and sums in integers; nothing is divided here. Called by `monitor.compensation` and `streams.compensation`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from monitor.contracts.base import Owner
from monitor.contracts.compensation import Evidence, Way
from monitor.contracts.outputs import Mark
from monitor.money import parse_amount, print_amount
from monitor.policy import Asset
from monitor.pools import Held
from monitor.price_rules import Fraction, PriceRule


class Loss(NamedTuple):
    """One mark in its newest version, and the entries that made or changed it or told of it, in the journal's order.

    `asked_at_ms`: the first that is told of it; a holding told later has it in it. `lost_at_ms`: when it left; of what never left when it was first told.
    """

    mark: Mark
    asked_at_ms: int
    lost_at_ms: int
    left: bool
    evidence: tuple[Evidence, ...]


class OtherIncident(NamedTuple):
    """Another incident that lost some of the same assets: its losses of them, and by asset the holdings of its own pool's first loss."""

    incident_id: str
    losses: Sequence[Loss]
    holdings: Mapping[str, Mapping[str, Held]]


class Basis(msgspec.Struct, frozen=True, kw_only=True):
    """What the journal says of itself, and what was chosen. `holdings` by group of assets lost from a pool, then by account."""

    incident_id: str
    journal_id: str
    engine_version: str
    base_currency: str
    assets: Mapping[str, Asset]
    rule: PriceRule
    prices: Mapping[str, Fraction] = {}
    pooled_accounts: tuple[str, ...] = ()
    holdings: Mapping[str, Mapping[str, Held]] = {}
    others: Sequence[OtherIncident] = ()

    def decimals(self, asset: str) -> int:
        """Decimals of an asset's smallest unit."""
        return self.assets[asset].decimals

    def minor(self, asset: str, amount: str) -> int:
        """Minor units of what the ledger has printed. Raises ValueError for anything else."""
        minor = parse_amount(amount, self.decimals(asset))
        if isinstance(minor, int):
            return minor
        raise ValueError(f"{amount} {asset}: {minor}")

    def base(self, minor: int) -> str:
        """An amount of the base currency, printed."""
        return print_amount(minor, self.decimals(self.base_currency))

    def way(self, loss: Loss) -> Way:
        """How a loss is divided."""
        return way_of(loss, self.pooled_accounts)

    def quantity(self, mark: Mark) -> int:
        """What of a mark is, or was, to be compensated."""
        return self.minor(mark.asset, mark.open_amount) + self.minor(mark.asset, mark.compensated_amount)

    def ledger(self, mark: Mark) -> int | None:
        """What the layers hold and have paid for a mark, in the base currency, `uncovered` among them; None while no price is known."""
        if mark.base_amount is None:
            return None
        paid = sum(self.minor(self.base_currency, part.base_amount or "0") for part in mark.allocations if part.account == "paid")
        return self.minor(self.base_currency, mark.base_amount) + paid


class Key(NamedTuple):
    """What losses share that are divided together."""

    way: Way
    asset: str
    cause: str
    account_id: str
    owner: Owner

    @property
    def name(self) -> str:
        """The group's id."""
        words = {"account": f"account {self.account_id}", "holdings": "pool", "own": "own", "never_left": f"never left ({self.owner})"}
        return f"{words[self.way]}, {self.asset}, {self.cause}"


class Sum(NamedTuple):
    """A group's losses and what they come to, in minor units; the ledger's value is None while a price is missing."""

    key: Key
    losses: list[Loss]
    quantity_minor: int
    ledger_minor: int | None


def way_of(loss: Loss, pooled_accounts: Iterable[str]) -> Way:
    """How a loss is divided."""
    mark = loss.mark
    if not loss.left:
        return "never_left"
    if mark.owner == "exchange":
        return "own"
    return "holdings" if mark.account_id is None or mark.account_id in pooled_accounts else "account"


def pooled_since(losses: Iterable[Loss], pooled_accounts: Iterable[str]) -> dict[str, int]:
    """By asset, the time of the first loss from a pool: the holdings of that time are wanted."""
    since: dict[str, int] = {}
    pooled = frozenset(pooled_accounts)
    for loss in losses:
        if loss.mark.state != "cleared" and way_of(loss, pooled) == "holdings":
            since[loss.mark.asset] = min(loss.lost_at_ms, since.get(loss.mark.asset, loss.lost_at_ms))
    return since


def sums_of(basis: Basis, losses: Iterable[Loss]) -> list[Sum]:
    """Losses by what they share, in the order of their names; what never left comes last."""
    by_key: dict[Key, list[Loss]] = {}
    for loss in sorted(losses, key=lambda loss: loss.mark.mark_id):
        mark = loss.mark
        if mark.state != "cleared" and basis.quantity(mark):
            way = basis.way(loss)
            key = Key(way, mark.asset, mark.cause, mark.account_id or "" if way == "account" else "", mark.owner)
            by_key.setdefault(key, []).append(loss)
    sums = []
    for key in sorted(by_key, key=lambda key: (key.way == "never_left", key)):
        its = by_key[key]
        ledger = [basis.ledger(loss.mark) for loss in its]
        known = [minor for minor in ledger if minor is not None]
        quantity = sum(basis.quantity(loss.mark) for loss in its)
        sums.append(Sum(key, its, quantity, sum(known) if len(known) == len(ledger) else None))
    return sums


def awaits_clearing(basis: Basis, loss: Loss) -> bool:
    """Whether something is marked, or paid, for what never left: until it is cleared, or came back to the layers that paid."""
    mark = loss.mark
    return not loss.left and mark.state != "cleared" and basis.minor(mark.asset, mark.recovered_amount) < basis.minor(mark.asset, mark.amount)
