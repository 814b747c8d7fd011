"""Coverage: the reserve against the marks, as records for people and machines. Reads marks; changes nothing but the drain's decay.

Called by `monitor.decisions` at the end of an entry that changed marks or layers, and by `monitor.own_entries` on every Tick.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

from monitor.contracts.base import Cause
from monitor.contracts.outputs import Allocation, AssetCoverage, Coverage, LayerCoverage, Mark, WalletAtRisk
from monitor.exposure import AssetExposure
from monitor.gauges import AssetFigures, CoverageFigures, LayerFigures, RiskFigures
from monitor.headroom import NOTHING, Headroom, assets_kept, at_risk, headrooms, hundredths_of_percent, kept_in_kind, most_at_risk, shortfall
from monitor.layers import UNCOVERED
from monitor.ledger import Part
from monitor.mark_state import AssetSums, MarkState
from monitor.marks import Marks
from monitor.money import print_amount
from monitor.state import State

UNMARKED = AssetSums()
printed = lru_cache(maxsize=4_096)(print_amount)
"""Most figures of a record are those of the record before it."""


class Position(NamedTuple):
    """Where the reserve stands after an entry: what the record of it and the levels are made of, reckoned once."""

    figures: CoverageFigures
    headrooms: dict[Cause, Headroom]


def position(marks: Marks, now_ms: int) -> Position:
    """Where the reserve stands now."""
    return Position(figures(marks, now_ms), headrooms(marks))


def figures(marks: Marks, now_ms: int) -> CoverageFigures:
    """The totals in minor units of the base currency. Layers in kind count at the newest price, rounded up; without a price as nothing.

    Available is what the policy's layers can still carry: of a prefunded layer what is in it, of one on claim what may still be claimed.
    """
    available = held = paid = 0
    for terms in marks.ledger.order:
        available += marks.value(terms.unit, marks.ledger.room(terms)) or 0
    for layer_id, layer in marks.ledger.layers.items():
        if layer_id != UNCOVERED:
            held += marks.value(layer.unit, layer.held_minor) or 0
            paid += marks.value(layer.unit, layer.paid_minor) or 0
    drain = int(marks.drain.rate(now_ms, marks.policy.drain_half_life_ms))
    total = marks.total
    return CoverageFigures(
        available_base_minor=available,
        held_base_minor=held,
        paid_base_minor=paid,
        marked_base_minor=total.marked_base_minor,
        uncovered_base_minor=total.uncovered_base_minor,
        drain_base_minor_per_minute=drain,
        seconds_to_exhaustion=available * 60 // drain if drain > 0 else None,
        exhausted=available == 0 and total.marked_base_minor > 0,
        at_least=bool(marks.unpriced),
    )


def coverage(state: State, now: Position, scope: Literal["changed", "whole"], assets: Iterable[str] = ()) -> Coverage:
    """One record: of the assets that changed, or of all that are marked, held or kept in kind."""
    marks, (totals, left), exposure = state.marks, now, state.held.exposure
    base, decimals = marks.policy.base_currency, marks.decimals(marks.policy.base_currency)
    rooms = {terms.layer_id: marks.ledger.room(terms) for terms in marks.ledger.order}
    names = sorted({*marks.sums, *exposure.by_asset, *assets_kept(marks)} if scope == "whole" else set(assets))
    share = hundredths_of_percent(exposure.hot_base_minor, exposure.customers_base_minor) if state.held.whole else None

    def money(amount_minor: int) -> str:
        return printed(amount_minor, decimals)

    return Coverage(
        decided_at_ms=state.clock.now_ms,
        scope=scope,
        base_currency=base,
        layers=tuple(
            [
                _layer(
                    layer_id,
                    layer.unit,
                    layer.funded_minor,
                    layer.recovered_minor,
                    layer.available_minor,
                    layer.held_minor,
                    layer.paid_minor,
                    rooms.get(layer_id),
                    marks.decimals(layer.unit),
                )
                for layer_id, layer in marks.ledger.layers.items()
            ]
        ),
        assets=tuple([_asset(state, asset, left) for asset in names]),
        available_base_amount=money(totals.available_base_minor),
        held_base_amount=money(totals.held_base_minor),
        paid_base_amount=money(totals.paid_base_minor),
        marked_base_amount=money(totals.marked_base_minor),
        uncovered_base_amount=money(totals.uncovered_base_minor),
        at_least=totals.at_least,
        exhausted=totals.exhausted,
        headroom_base_amount={cause: money(room.total()) for cause, room in left.items()},
        customers_base_amount=money(exposure.customers_base_minor),
        hot_base_amount=money(exposure.hot_base_minor),
        hot_share_percent=None if share is None else printed(share, 2),
        hot_wallets=_hot_wallets(state, scope, names),
        drain_base_amount_per_minute=money(totals.drain_base_minor_per_minute),
        seconds_to_exhaustion=totals.seconds_to_exhaustion,
    )


@lru_cache(maxsize=1_024)
def _layer(
    layer_id: str, unit: str, funded_minor: int, recovered_minor: int, available_minor: int, held_minor: int, paid_minor: int,
    room_minor: int | None, decimals: int,
) -> LayerCoverage:  # fmt: skip
    """A layer's line, kept: most of a record's are those of the record before it."""
    return LayerCoverage(
        layer_id=layer_id,
        unit=unit,
        funded=printed(funded_minor, decimals),
        recovered=printed(recovered_minor, decimals),
        available=printed(available_minor, decimals),
        held=printed(held_minor, decimals),
        paid=printed(paid_minor, decimals),
        can_carry=None if room_minor is None else printed(room_minor, decimals),
    )


def _asset(state: State, asset: str, left: dict[Cause, Headroom]) -> AssetCoverage:
    marks, kept = state.marks, kept_in_kind(state.marks, asset)
    sums, exposure = marks.sums.get(asset, UNMARKED), state.held.exposure.by_asset.get(asset, NOTHING)
    decimals, base_decimals, price = marks.decimals(asset), marks.decimals(marks.policy.base_currency), marks.prices.newest.get(asset)
    return AssetCoverage(
        asset=asset,
        marked=printed(sums.marked_minor, decimals),
        marked_base_amount=printed(sums.marked_base_minor, base_decimals),
        uncovered_base_amount=printed(sums.uncovered_base_minor, base_decimals),
        unpriced=printed(sums.unpriced_minor, decimals),
        available=printed(kept.available_minor, decimals),
        held=printed(kept.held_minor, decimals),
        paid=printed(kept.paid_minor, decimals),
        headroom_base_amount={cause: printed(room.of(asset), base_decimals) for cause, room in left.items()},
        customers=printed(exposure.customers_minor, decimals),
        customers_hot=printed(exposure.hot_minor, decimals),
        guarantee_shortfall=printed(_shortfall(marks, asset, exposure, kept.guarantee_minor), decimals),
        price=None if price is None else price.text,
        price_standing=marks.price_standing(asset, state.clock.now_ms),
    )


def _shortfall(marks: Marks, asset: str, exposure: AssetExposure, guarantee_minor: int) -> int:
    """Money needs no guarantee of its own kind."""
    return 0 if asset == marks.policy.base_currency else shortfall(exposure, guarantee_minor)


def _hot_wallets(state: State, scope: Literal["changed", "whole"], assets: list[str]) -> tuple[WalletAtRisk, ...]:
    marks, held = state.marks, state.held
    if scope == "whole":
        wallets = most_at_risk(marks, held.exposure)
    else:
        wallets = [wallet for asset in assets for wallet in at_risk(marks, held.exposure, asset, 1)]
    base_decimals = marks.decimals(marks.policy.base_currency)
    return tuple(
        WalletAtRisk(
            wallet.wallet_id,
            held.balances[f"{wallet.wallet_id} {wallet.asset}"].provider_id,
            wallet.asset,
            printed(wallet.amount_minor, marks.decimals(wallet.asset)),
            printed(wallet.base_minor, base_decimals),
            printed(wallet.uncovered_base_minor, base_decimals),
        )
        for wallet in wallets
    )


def risk_figures(state: State) -> RiskFigures:
    """What is at risk in hot wallets, for gauges."""
    marks, exposure = state.marks, state.held.exposure
    wallets = most_at_risk(marks, exposure)
    return RiskFigures(
        headroom_base_minor={cause: room.total() for cause, room in headrooms(marks).items()},
        customers_base_minor=exposure.customers_base_minor,
        hot_base_minor=exposure.hot_base_minor,
        largest_wallet_base_minor=max((wallet.base_minor for wallet in wallets), default=0),
        largest_wallet_uncovered_base_minor=max((wallet.uncovered_base_minor for wallet in wallets), default=0),
    )


def mark_record(marks: Marks, mark: MarkState, now_ms: int) -> Mark:
    """The record of one version of one mark."""
    subject, price = mark.subject, mark.price
    decimals, base_decimals = marks.decimals(subject.asset), marks.decimals(marks.policy.base_currency)

    def base(amount_minor: int | None) -> str | None:
        return None if amount_minor is None else printed(amount_minor, base_decimals)

    def allocation(account: Literal["held", "paid", "recovered"], part: Part) -> Allocation:
        own = marks.decimals(part.unit)
        return Allocation(
            part.layer_id, account, part.unit, printed(part.amount_minor, own), printed(part.asset_minor, decimals), base(part.base_minor),
            printed(part.deductible_minor, own),
        )  # fmt: skip

    allocations = [allocation("held", part) for part in mark.parts]
    if mark.paid:
        allocations += [allocation("paid", part) for part in mark.paid]
        allocations += [allocation("recovered", part) for part in mark.returned]
    return Mark(
        decided_at_ms=now_ms,
        mark_id=subject.mark_id,
        version=mark.version,
        state=mark.stage,
        withdrawal_id=subject.withdrawal_id,
        account_id=subject.account_id,
        owner=subject.owner,
        asset=subject.asset,
        amount=printed(subject.amount_minor, decimals),
        open_amount=printed(mark.open_minor, decimals),
        recovered_amount=printed(mark.recovered_minor, decimals),
        compensated_amount=printed(mark.compensated_minor, decimals),
        base_amount=base(mark.base_minor),
        price=price.text if price is not None else None,
        price_source=price.source if price is not None else None,
        price_at_ms=price.at_ms if price is not None else None,
        cause=mark.cause,
        provider_id=subject.provider_id,
        incident_id=mark.incident_id,
        allocations=tuple(allocations),
        uncovered_base_amount=base(mark.uncovered_base_minor),
        policy_version=marks.policy.version,
    )


def layer_figures(marks: Marks) -> dict[str, LayerFigures]:
    """Every layer's account, for gauges."""
    return {
        layer_id: LayerFigures(
            layer.unit,
            marks.decimals(layer.unit),
            layer.funded_minor,
            layer.recovered_minor,
            layer.available_minor,
            layer.held_minor,
            layer.paid_minor,
        )
        for layer_id, layer in marks.ledger.layers.items()
    }


def asset_figures(state: State) -> dict[str, AssetFigures]:
    """Every asset's sums, for gauges."""
    marks, exposure = state.marks, state.held.exposure.by_asset
    found = {}
    for asset in sorted({*marks.sums, *exposure, *assets_kept(marks)}):
        sums, exposed = marks.sums.get(asset, UNMARKED), exposure.get(asset, NOTHING)
        found[asset] = AssetFigures(
            marks.decimals(asset),
            sums.marked_minor,
            sums.unpriced_minor,
            sums.marked_base_minor,
            sums.uncovered_base_minor,
            exposed.customers_minor,
            exposed.hot_minor,
            _shortfall(marks, asset, exposed, kept_in_kind(marks, asset).guarantee_minor),
            marks.price_standing(asset, state.clock.now_ms),
        )
    return found
