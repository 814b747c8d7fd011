"""Whom to pay back what for one incident: its marks divided over those who lost, in integers that add up to the ledger's last unit.

Pure: marks, holdings and prices in, a statement out. Called by `streams.compensation`. The rule, in an accountant's words:

1. Of each mark counts what the ledger has open or compensated; what came back before is nobody's claim any more. Cleared marks don't count.
2. A loss of the exchange's own is its own. A loss of a known account is that account's. A loss from a pool (no account, or an account of the
   exchange's own desk) is divided over the customers who held the asset, in proportion to their newest holding at or before the first of the
   pool's losses of it; nobody loses more than was held. What can't be attributed so is listed with its reason, never dropped.
3. Units are divided by largest remainder, ties by account. So are values: under the loss's own price each group has the ledger's value; under any
   other price an asset's whole quantity is valued once, rounded up, and divided over groups and then customers in proportion to their units.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from monitor.contracts.compensation import (
    AssetTotal,
    Evidence,
    Group,
    LayerPart,
    Line,
    MarkPart,
    NotAttributed,
    PriceUsed,
    Statement,
    Totals,
    Way,
)  # fmt: skip
from monitor.contracts.outputs import Allocation, Mark
from monitor.ledger import apportioned
from monitor.money import parse_amount, print_amount
from monitor.policy import Asset
from monitor.price_rules import LOSS_TIME, Fraction, PriceRule

LAST = "\U0010ffff"
"""In the order of names, behind every account: what nobody is known to have held."""


class Loss(NamedTuple):
    """One mark in its newest version, when its loss happened, and the entries that made or changed it or told of it, in the journal's order."""

    mark: Mark
    lost_at_ms: int
    evidence: tuple[Evidence, ...]


class Held(NamedTuple):
    """What one account held of an asset, and the entry that says so."""

    quantity_minor: int
    evidence: Evidence


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


class _Key(NamedTuple):
    """What losses share that are divided together."""

    way: Way
    asset: str
    cause: str
    account_id: str


class _Sum(NamedTuple):
    """A group's losses and what they come to, in minor units; the ledger's value is None while a price is missing."""

    key: _Key
    losses: list[Loss]
    quantity_minor: int
    ledger_minor: int | None


def way_of(mark: Mark, pooled_accounts: Iterable[str]) -> Way:
    """How a mark's loss is divided."""
    if mark.owner == "exchange":
        return "own"
    return "holdings" if mark.account_id is None or mark.account_id in pooled_accounts else "account"


def pooled_since(losses: Iterable[Loss], pooled_accounts: Iterable[str]) -> dict[str, int]:
    """By asset, the time of the first loss from a pool: the holdings of that time are wanted."""
    since: dict[str, int] = {}
    pooled = frozenset(pooled_accounts)
    for loss in losses:
        if loss.mark.state != "cleared" and way_of(loss.mark, pooled) == "holdings":
            since[loss.mark.asset] = min(loss.lost_at_ms, since.get(loss.mark.asset, loss.lost_at_ms))
    return since


def statement(basis: Basis, losses: Sequence[Loss]) -> Statement | str:
    """The statement, or why there can be none."""
    sums = _sums(basis, losses)
    if not sums:
        return f"incident {basis.incident_id} has no mark that is to be compensated"
    values = _values(basis, sums)
    if isinstance(values, str):
        return values
    groups, lines, rest = [], [], []
    taken: dict[tuple[str, str], int] = {}
    for each, value_minor in zip(sums, values, strict=True):
        left = _left(basis, each.key, taken)
        group = _group(basis, each, value_minor, _since(each, sums), left)
        own_lines, missing = _divided(basis, each, value_minor, group, left)
        for line in own_lines:
            if line.holding is not None:
                taken[line.asset, line.account_id or ""] = taken.get((line.asset, line.account_id or ""), 0) + basis.minor(line.asset, line.quantity)
        groups.append(group)
        lines += own_lines
        rest += missing
    assets = _asset_totals(basis, groups, lines, rest)
    return Statement(
        incident_id=basis.incident_id,
        journal_id=basis.journal_id,
        last_offset=max(each.offset for each in _all_evidence(sums, lines)),
        engine_version=basis.engine_version,
        policy_version=max(loss.mark.policy_version for each in sums for loss in each.losses),
        base_currency=basis.base_currency,
        price_rule=basis.rule.text,
        prices=tuple(
            PriceUsed(asset=asset, price=price.printed(), numerator=str(price.numerator), denominator=str(price.denominator), prices=price.prices)
            for asset, price in sorted(basis.prices.items())
        ),
        pooled_accounts=tuple(sorted(basis.pooled_accounts)),
        suspected=sum(loss.mark.state == "suspected" for each in sums for loss in each.losses),
        totals=_totals(basis, assets, lines),
        assets=assets,
        groups=tuple(groups),
        lines=tuple(lines),
        not_attributed=tuple(rest),
    )


def _all_evidence(sums: Iterable[_Sum], lines: Iterable[Line]) -> Iterator[Evidence]:
    for each in sums:
        for loss in each.losses:
            yield from loss.evidence
    yield from (line.holding for line in lines if line.holding is not None)


def _sums(basis: Basis, losses: Sequence[Loss]) -> list[_Sum]:
    """Losses by what they share, in the order of their names."""
    pooled = frozenset(basis.pooled_accounts)
    by_key: dict[_Key, list[Loss]] = {}
    for loss in sorted(losses, key=lambda loss: loss.mark.mark_id):
        mark = loss.mark
        if mark.state != "cleared" and _quantity(basis, mark):
            way = way_of(mark, pooled)
            by_key.setdefault(_Key(way, mark.asset, mark.cause, mark.account_id or "" if way == "account" else ""), []).append(loss)
    sums = []
    for key in sorted(by_key):
        its = by_key[key]
        ledger = [_ledger_minor(basis, loss.mark) for loss in its]
        known = [minor for minor in ledger if minor is not None]
        quantity = sum(_quantity(basis, loss.mark) for loss in its)
        sums.append(_Sum(key, its, quantity, sum(known) if len(known) == len(ledger) else None))
    return sums


def _quantity(basis: Basis, mark: Mark) -> int:
    return basis.minor(mark.asset, mark.open_amount) + basis.minor(mark.asset, mark.compensated_amount)


def _ledger_minor(basis: Basis, mark: Mark) -> int | None:
    """What the layers hold and have paid for a mark, in the base currency, `uncovered` among them; None while no price is known."""
    if mark.base_amount is None:
        return None
    paid = sum(basis.minor(basis.base_currency, part.base_amount or "0") for part in mark.allocations if part.account == "paid")
    return basis.minor(basis.base_currency, mark.base_amount) + paid


def _values(basis: Basis, sums: list[_Sum]) -> list[int] | str:
    """The value of each group by the price rule, or why it can't be said."""
    if basis.rule.text == LOSS_TIME:
        unpriced = [each for each in sums if each.ledger_minor is None]
        if unpriced:
            return f"no price of {unpriced[0].key.asset} is known at the time of the loss: choose a fixed price or an average"
        return [each.ledger_minor or 0 for each in sums]
    values = [0] * len(sums)
    for asset in dict.fromkeys(each.key.asset for each in sums):
        places = [place for place, each in enumerate(sums) if each.key.asset == asset]
        quantities = [sums[place].quantity_minor for place in places]
        total = sum(quantities)
        value = basis.prices[asset].value(total, basis.decimals(asset), basis.decimals(basis.base_currency))
        shares = apportioned([quantity * value for quantity in quantities], total, [_name(sums[place].key) for place in places])
        for place, share in zip(places, shares, strict=True):
            values[place] = share
    return values


def _name(key: _Key) -> str:
    middle = f"account {key.account_id}" if key.way == "account" else {"holdings": "pool", "own": "own"}[key.way]
    return f"{middle}, {key.asset}, {key.cause}"


def _since(each: _Sum, sums: list[_Sum]) -> int:
    """When the first of a group's losses happened; of a pool, the first of the asset's, whatever the cause: one day's holdings for all of it."""
    if each.key.way == "holdings":
        alike = [other for other in sums if (other.key.way, other.key.asset) == (each.key.way, each.key.asset)]
        return min(loss.lost_at_ms for other in alike for loss in other.losses)
    return min(loss.lost_at_ms for loss in each.losses)


def _left(basis: Basis, key: _Key, taken: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """What the customers whose holdings are known have left of a pool, by account. `taken`: what pools before it took, by asset and account."""
    if key.way != "holdings":
        return {}
    pooled, held = frozenset(basis.pooled_accounts), basis.holdings.get(key.asset, {})
    left = {account: held[account].quantity_minor - taken.get((key.asset, account), 0) for account in sorted(held) if account not in pooled}
    return {account: minor for account, minor in left.items() if minor > 0}


def _group(basis: Basis, each: _Sum, value_minor: int, since_ms: int, left: Mapping[str, int]) -> Group:
    key, of_pool = each.key, each.key.way == "holdings"
    marks = tuple(_mark_part(basis, loss) for loss in each.losses)
    prices = {mark.price for mark in marks}
    price = basis.prices[key.asset].printed() if key.asset in basis.prices else prices.pop() if len(prices) == 1 else None
    return Group(
        group_id=_name(key),
        way=key.way,
        asset=key.asset,
        owner="exchange" if key.way == "own" else "customer",
        cause=each.losses[0].mark.cause,
        account_id=key.account_id or None,
        held_until_ms=since_ms,
        quantity=print_amount(each.quantity_minor, basis.decimals(key.asset)),
        price=price,
        base_amount=basis.base(value_minor),
        ledger_base_amount=None if each.ledger_minor is None else basis.base(each.ledger_minor),
        layers=_layers(basis, [part for loss in each.losses for part in loss.mark.allocations]),
        holders=len(left) if of_pool else None,
        held=print_amount(sum(left.values()), basis.decimals(key.asset)) if of_pool else None,
        marks=marks,
    )


def _mark_part(basis: Basis, loss: Loss) -> MarkPart:
    mark, ledger = loss.mark, _ledger_minor(basis, loss.mark)
    return MarkPart(
        mark_id=mark.mark_id,
        version=mark.version,
        state=mark.state,
        withdrawal_id=mark.withdrawal_id,
        provider_id=mark.provider_id,
        lost=mark.amount,
        quantity=print_amount(_quantity(basis, mark), basis.decimals(mark.asset)),
        lost_at_ms=loss.lost_at_ms,
        price=mark.price,
        price_source=mark.price_source,
        price_at_ms=mark.price_at_ms,
        base_amount=None if ledger is None else basis.base(ledger),
        evidence=loss.evidence,
    )


def _layers(basis: Basis, parts: list[Allocation]) -> tuple[LayerPart, ...]:
    """What each layer carries of several marks, in the order in which the ledger named them."""
    amounts: dict[tuple[str, str, str], tuple[int, int | None]] = {}
    for part in parts:
        key = (part.layer_id, part.account, part.unit)
        amount, value = amounts.get(key, (0, 0))
        more = None if part.base_amount is None or value is None else value + basis.minor(basis.base_currency, part.base_amount)
        amounts[key] = amount + basis.minor(part.unit, part.amount), more
    return tuple(
        LayerPart(layer_id, account, unit, print_amount(amount, basis.decimals(unit)), None if value is None else basis.base(value))  # type: ignore[arg-type]  # the key keeps the account's own type
        for (layer_id, account, unit), (amount, value) in amounts.items()
    )


def _divided(basis: Basis, each: _Sum, value_minor: int, group: Group, left: Mapping[str, int]) -> tuple[list[Line], list[NotAttributed]]:
    """A group's lines, and what of it can't be attributed. `left`: what is left of a pool's holdings."""
    if each.key.way != "holdings":
        return [_line(group, group.account_id, group.quantity, group.base_amount, None)], []
    asset, decimals, held = group.asset, basis.decimals(group.asset), basis.holdings.get(group.asset, {})
    total, lost = sum(left.values()), each.quantity_minor
    given = min(total, lost)

    def unknown(quantity_minor: int, worth_minor: int, reason: str) -> list[NotAttributed]:
        quantity = print_amount(quantity_minor, decimals)
        return [NotAttributed(group_id=group.group_id, asset=asset, quantity=quantity, base_amount=basis.base(worth_minor), reason=reason)]

    if given == 0:
        known = "all that the known customers held is lost already" if held else f"no holding of {asset} at or before the loss is in the journal"
        return [], unknown(lost, value_minor, known)
    quantities = apportioned([weight * given for weight in left.values()], total, list(left))
    names = [*left, LAST]
    values = apportioned([quantity * value_minor for quantity in (*quantities, lost - given)], lost, names)
    lines = []
    for account, quantity, worth in zip(left, quantities, values[:-1], strict=True):
        if quantity:
            had = print_amount(held[account].quantity_minor, decimals)
            lines.append(_line(group, account, print_amount(quantity, decimals), basis.base(worth), held[account], had))
    if given == lost:
        return lines, []
    reason = f"the known customers held {print_amount(total, decimals)} {asset} together, less than was lost"
    return lines, unknown(lost - given, values[-1], reason)


def _line(group: Group, account_id: str | None, quantity: str, base_amount: str, held: Held | None, held_amount: str | None = None) -> Line:
    return Line(
        account_id=account_id,
        owner=group.owner,
        asset=group.asset,
        quantity=quantity,
        price=group.price,
        base_amount=base_amount,
        cause=group.cause,
        group_id=group.group_id,
        layers=tuple(dict.fromkeys(part.layer_id for part in group.layers if part.account != "recovered")),
        held=held_amount,
        holding=None if held is None else held.evidence,
    )


def _asset_totals(basis: Basis, groups: list[Group], lines: list[Line], rest: list[NotAttributed]) -> tuple[AssetTotal, ...]:
    """Totals of each asset, summed from what is written, not from what was to be divided. Raises AssertionError if they don't agree."""
    base = basis.base_currency
    found = []
    for asset in sorted({group.asset for group in groups}):
        its = [group for group in groups if group.asset == asset]
        parts = {
            name: (sum(basis.minor(asset, part.quantity) for part in of), sum(basis.minor(base, part.base_amount) for part in of))
            for name, of in (
                ("customers", [line for line in lines if line.asset == asset and line.owner == "customer"]),
                ("own", [line for line in lines if line.asset == asset and line.owner == "exchange"]),
                ("not_attributed", [part for part in rest if part.asset == asset]),
            )
        }
        quantity, value = (sum(basis.minor(asset, group.quantity) for group in its), sum(basis.minor(base, group.base_amount) for group in its))
        if (sum(units for units, _ in parts.values()), sum(worth for _, worth in parts.values())) != (quantity, value):
            raise AssertionError(f"{asset}: {parts} don't add up to {quantity} and {value}")
        ledger = [None if group.ledger_base_amount is None else basis.minor(base, group.ledger_base_amount) for group in its]
        known = [minor for minor in ledger if minor is not None]
        decimals = basis.decimals(asset)
        found.append(
            AssetTotal(
                asset=asset,
                quantity=print_amount(quantity, decimals),
                base_amount=basis.base(value),
                ledger_base_amount=basis.base(sum(known)) if len(known) == len(ledger) else None,
                **{name: print_amount(units, decimals) for name, (units, _) in parts.items()},
                **{f"{name}_base_amount": basis.base(worth) for name, (_, worth) in parts.items()},
            )
        )
    return tuple(found)


def _totals(basis: Basis, assets: tuple[AssetTotal, ...], lines: list[Line]) -> Totals:
    def total(field: str) -> str:
        return basis.base(sum(basis.minor(basis.base_currency, getattr(asset, field)) for asset in assets))

    return Totals(
        customers=len({line.account_id for line in lines if line.owner == "customer"}),
        base_amount=total("base_amount"),
        customers_base_amount=total("customers_base_amount"),
        own_base_amount=total("own_base_amount"),
        not_attributed_base_amount=total("not_attributed_base_amount"),
        ledger_base_amount=None if any(asset.ledger_base_amount is None for asset in assets) else total("ledger_base_amount"),
    )
