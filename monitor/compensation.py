"""Whom to pay back what for one incident: its marks divided over those who lost, in integers that add up to the ledger's last unit.

Pure: marks, holdings and prices in, a statement out. Called by `streams.compensation`. The rule, in an accountant's words:

1. Of each mark counts what the ledger has open or compensated; what came back before is nobody's claim any more. Cleared marks don't count.
2. What was held and never left is nobody's claim either. It stands by itself, at the ledger's value, and the statement is a draft until people have
   cleared it, or what was paid for it came back.
3. A loss of the exchange's own is its own. A loss of a known account is that account's, whole. A loss from a pool (no account, or an account of the
   exchange's own desk) is divided over the customers who held the asset, in proportion to their newest holding at or before the first of the
   pool's losses of it, less what of that holding is lost already: to the customer's own losses since it was told, and to pools of other incidents
   robbed between the two. Nobody is given more of a pool than is left to him. What can't be attributed so is listed with its reason, never dropped.
4. Units are divided by largest remainder, ties by account. So are values: under the loss's own price each group has the ledger's value; under any
   other price an asset's whole quantity is valued once, rounded up, and divided over groups and then customers in proportion to their units.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from monitor.contracts.compensation import (
    AssetTotal,
    CountedFirst,
    Evidence,
    Group,
    LayerPart,
    Line,
    MarkPart,
    NotAttributed,
    PriceUsed,
    Statement,
    Totals,
)  # fmt: skip
from monitor.contracts.outputs import Allocation
from monitor.ledger import apportioned
from monitor.losses import Basis, Key, Loss, Sum, awaits_clearing, pooled_since, sums_of
from monitor.money import print_amount
from monitor.pools import Pool, Taking, Takings, customers
from monitor.price_rules import LOSS_TIME

LAST = "\U0010ffff"
"""In the order of names, behind every account: what nobody is known to have held."""


def statement(basis: Basis, losses: Sequence[Loss]) -> Statement | str:
    """The statement, or why there can be none."""
    every = sums_of(basis, losses)
    sums = [each for each in every if each.key.way != "never_left"]
    if not sums:
        held = "; what was held never left the exchange: clear it" if every else ""
        return f"incident {basis.incident_id} has no mark that is to be compensated{held}"
    values = _values(basis, sums)
    if isinstance(values, str):
        return values
    groups, lines, rest = [], [], []
    pools = _Pools(basis, losses)
    for each, value_minor in zip(sums, values, strict=True):
        left = pools.left(each.key)
        group = _group(basis, each, value_minor, _since(each, sums), left)
        own_lines, missing = _divided(basis, each, value_minor, group, pools, left)
        groups.append(group)
        lines += own_lines
        rest += missing
    groups += [_group(basis, each, 0, _since(each, every), {}) for each in every if each.key.way == "never_left"]
    assets = _asset_totals(basis, groups, lines, rest)
    return Statement(
        incident_id=basis.incident_id,
        journal_id=basis.journal_id,
        last_offset=max(each.offset for each in _all_evidence(every, lines, pools)),
        engine_version=basis.engine_version,
        policy_version=max(loss.mark.policy_version for each in every for loss in each.losses),
        base_currency=basis.base_currency,
        price_rule=basis.rule.text,
        prices=tuple(
            PriceUsed(asset=asset, price=price.printed(), numerator=str(price.numerator), denominator=str(price.denominator), prices=price.prices)
            for asset, price in sorted(basis.prices.items())
        ),
        pooled_accounts=tuple(sorted(basis.pooled_accounts)),
        counted_first=pools.counted_first(),
        suspected=sum(loss.mark.state == "suspected" for each in every for loss in each.losses),
        never_left=sum(awaits_clearing(basis, loss) for each in every for loss in each.losses),
        totals=_totals(basis, assets, lines),
        assets=assets,
        groups=tuple(groups),
        lines=tuple(lines),
        not_attributed=tuple(rest),
    )


class _Pools:
    """The pools of an incident, by asset, and what of their customers' holdings is lost otherwise.

    Other incidents whose pool was robbed before come first, each divided as its own statement would be with the same desk accounts.
    """

    def __init__(self, basis: Basis, losses: Sequence[Loss]) -> None:
        self._basis = basis
        self.takings: dict[str, Takings] = {}
        self.by_asset: dict[str, Pool] = {}
        for asset, since_ms in sorted(pooled_since(losses, basis.pooled_accounts).items()):
            held = customers(basis.holdings.get(asset, {}), basis.pooled_accounts)
            self.by_asset[asset] = Pool(basis.incident_id, since_ms, held)
            self.takings[asset] = self._taken_before(asset, losses)

    def _taken_before(self, asset: str, losses: Sequence[Loss]) -> Takings:
        basis, takings, mine = self._basis, Takings(), self.by_asset[asset]
        for incident_id, its in ((basis.incident_id, losses), *((other.incident_id, other.losses) for other in basis.others)):
            for loss in its:
                if loss.mark.asset == asset and loss.mark.state != "cleared" and basis.way(loss) == "account":
                    takings.take(loss.mark.account_id or "", Taking(incident_id, loss.asked_at_ms, basis.quantity(loss.mark)))
        before = []
        for other in basis.others:
            since_ms = pooled_since(other.losses, basis.pooled_accounts).get(asset)
            if since_ms is not None and (since_ms, other.incident_id) < (mine.since_ms, mine.incident_id):
                held = customers(other.holdings.get(asset, {}), basis.pooled_accounts)
                before.append((since_ms, other.incident_id, Pool(other.incident_id, since_ms, held), other.losses))
        for _, _, pool, its in sorted(before, key=lambda row: row[:2]):
            for each in sums_of(basis, its):
                if each.key.way == "holdings" and each.key.asset == asset:
                    takings.divide(pool, takings.left(pool), each.quantity_minor)
        return takings

    def left(self, key: Key) -> dict[str, int]:
        """What the customers whose holdings are known have left of a group's pool by now, by account."""
        return self.takings[key.asset].left(self.by_asset[key.asset]) if key.way == "holdings" else {}

    def lost_before(self, asset: str, account_id: str) -> int:
        """What of an account's holding is lost otherwise, by now."""
        return sum(taking.quantity_minor for taking in self.takings[asset].against(account_id, self.by_asset[asset]))

    def counted_first(self) -> tuple[CountedFirst, ...]:
        """By other incident and asset, what of the holdings its losses take first."""
        found: dict[tuple[str, str], list[int]] = {}
        for asset, pool in self.by_asset.items():
            for account_id in pool.held:
                for taking in self.takings[asset].against(account_id, pool):
                    if taking.incident_id != pool.incident_id:
                        found.setdefault((taking.incident_id, asset), []).append(taking.quantity_minor)
        return tuple(
            CountedFirst(incident_id, asset, print_amount(sum(quantities), self._basis.decimals(asset)))
            for (incident_id, asset), quantities in sorted(found.items())
        )

    def evidence(self) -> Iterator[Evidence]:
        """The entries behind the losses of other incidents that count first."""
        counted = {(first.incident_id, first.asset) for first in self.counted_first()}
        for other in self._basis.others:
            for loss in other.losses:
                if (other.incident_id, loss.mark.asset) in counted:
                    yield from loss.evidence
            for asset, holdings in other.holdings.items():
                if (other.incident_id, asset) in counted:
                    yield from (held.evidence for held in holdings.values())


def _all_evidence(sums: Iterable[Sum], lines: Iterable[Line], pools: _Pools) -> Iterator[Evidence]:
    for each in sums:
        for loss in each.losses:
            yield from loss.evidence
    yield from (line.holding for line in lines if line.holding is not None)
    yield from pools.evidence()


def _values(basis: Basis, sums: list[Sum]) -> list[int] | str:
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
        shares = apportioned([quantity * value for quantity in quantities], total, [sums[place].key.name for place in places])
        for place, share in zip(places, shares, strict=True):
            values[place] = share
    return values


def _since(each: Sum, sums: list[Sum]) -> int:
    """When the first of a group's losses happened; of a pool, the first of the asset's, whatever the cause: one day's holdings for all of it."""
    if each.key.way == "holdings":
        alike = [other for other in sums if (other.key.way, other.key.asset) == (each.key.way, each.key.asset)]
        return min(loss.lost_at_ms for other in alike for loss in other.losses)
    return min(loss.lost_at_ms for loss in each.losses)


def _group(basis: Basis, each: Sum, value_minor: int, since_ms: int, left: Mapping[str, int]) -> Group:
    key, of_pool = each.key, each.key.way == "holdings"
    marks = tuple(_mark_part(basis, loss) for loss in each.losses)
    prices = {mark.price for mark in marks}
    price = basis.prices[key.asset].printed() if key.asset in basis.prices else prices.pop() if len(prices) == 1 else None
    return Group(
        group_id=key.name,
        way=key.way,
        asset=key.asset,
        owner=key.owner,
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
    mark, ledger = loss.mark, basis.ledger(loss.mark)
    return MarkPart(
        mark_id=mark.mark_id,
        version=mark.version,
        state=mark.state,
        withdrawal_id=mark.withdrawal_id,
        provider_id=mark.provider_id,
        lost=mark.amount,
        quantity=print_amount(basis.quantity(mark), basis.decimals(mark.asset)),
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


def _divided(
    basis: Basis, each: Sum, value_minor: int, group: Group, pools: _Pools, left: Mapping[str, int]
) -> tuple[list[Line], list[NotAttributed]]:  # fmt: skip
    """A group's lines, and what of it can't be attributed. `left`: what is left of a pool's holdings."""
    if each.key.way != "holdings":
        return [_line(group, group.account_id, group.quantity, group.base_amount)], []
    asset, decimals, lost = group.asset, basis.decimals(group.asset), each.quantity_minor
    pool, takings = pools.by_asset[asset], pools.takings[asset]
    before = {account_id: pools.lost_before(asset, account_id) for account_id in pool.held}
    shares = takings.divide(pool, left, lost)
    given = sum(shares.values())

    def unknown(quantity_minor: int, worth_minor: int, reason: str) -> list[NotAttributed]:
        quantity = print_amount(quantity_minor, decimals)
        return [NotAttributed(group_id=group.group_id, asset=asset, quantity=quantity, base_amount=basis.base(worth_minor), reason=reason)]

    if given == 0:
        known = "all that the known customers held is lost already" if pool.held else f"no holding of {asset} at or before the loss is in the journal"
        return [], unknown(lost, value_minor, known)
    values = apportioned([quantity * value_minor for quantity in (*shares.values(), lost - given)], lost, [*shares, LAST])
    lines = []
    for (account_id, quantity), worth in zip(shares.items(), values[:-1], strict=True):
        if quantity:
            held = pool.held[account_id]
            had = print_amount(held.quantity_minor, decimals)
            taken = print_amount(before[account_id], decimals) if before[account_id] else None
            lines.append(_line(group, account_id, print_amount(quantity, decimals), basis.base(worth), had, taken, held.evidence))
    if given == lost:
        return lines, []
    total = sum(held.quantity_minor for held in pool.held.values())
    otherwise = ", part of which is lost otherwise" if any(before.values()) else ""
    reason = f"the known customers held {print_amount(total, decimals)} {asset} together{otherwise}, less than was lost"
    return lines, unknown(lost - given, values[-1], reason)


def _line(
    group: Group, account_id: str | None, quantity: str, base_amount: str, held: str | None = None, lost_before: str | None = None,
    holding: Evidence | None = None,
) -> Line:  # fmt: skip
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
        held=held,
        lost_before=lost_before,
        holding=holding,
    )


def _asset_totals(basis: Basis, groups: list[Group], lines: list[Line], rest: list[NotAttributed]) -> tuple[AssetTotal, ...]:
    """Totals of each asset, summed from what is written, not from what was to be divided. Raises AssertionError if they don't agree."""
    base = basis.base_currency
    found = []
    for asset in sorted({group.asset for group in groups}):
        held = [group for group in groups if group.asset == asset and group.way == "never_left"]
        its = [group for group in groups if group.asset == asset and group.way != "never_left"]
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
        decimals = basis.decimals(asset)
        found.append(
            AssetTotal(
                asset=asset,
                quantity=print_amount(quantity, decimals),
                base_amount=basis.base(value),
                never_left=print_amount(sum(basis.minor(asset, group.quantity) for group in held), decimals),
                never_left_base_amount=_ledger_total(basis, held),
                ledger_base_amount=_ledger_total(basis, [*its, *held]),
                **{name: print_amount(units, decimals) for name, (units, _) in parts.items()},
                **{f"{name}_base_amount": basis.base(worth) for name, (_, worth) in parts.items()},
            )
        )
    return tuple(found)


def _ledger_total(basis: Basis, groups: Iterable[Group]) -> str | None:
    """The ledger's value of some groups; None if it has none of one."""
    values = [group.ledger_base_amount for group in groups]
    known = [basis.minor(basis.base_currency, value) for value in values if value is not None]
    return basis.base(sum(known)) if len(known) == len(values) else None


def _totals(basis: Basis, assets: tuple[AssetTotal, ...], lines: list[Line]) -> Totals:
    def total(field: str) -> str | None:
        values = [getattr(asset, field) for asset in assets]
        return None if None in values else basis.base(sum(basis.minor(basis.base_currency, value) for value in values))

    amounts = {name: total(name) for name in Totals.__struct_fields__ if name != "customers"}
    return Totals(customers=len({line.account_id for line in lines if line.owner == "customer"}), **amounts)  # type: ignore[arg-type]  # None only where the contract has it
