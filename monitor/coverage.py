"""Coverage: the reserve against the marks, as records for people and machines. Reads marks; changes nothing but the drain's decay.

Called by `monitor.engine` after an entry that changed marks or layers, and on every Tick.
"""

from collections.abc import Iterable
from typing import Literal

from monitor.contracts.outputs import Allocation, AssetCoverage, Coverage, LayerCoverage, Mark
from monitor.gauges import AssetFigures, CoverageFigures, LayerFigures
from monitor.layers import UNCOVERED
from monitor.ledger import Part
from monitor.mark_state import MarkState
from monitor.marks import Marks
from monitor.money import print_amount


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


def coverage(marks: Marks, now_ms: int, scope: Literal["changed", "whole"], assets: Iterable[str] | None = None) -> Coverage:
    """One record; `assets` are those that changed, all that have marks if None."""
    base = marks.policy.base_currency
    totals = figures(marks, now_ms)

    def money(amount_minor: int) -> str:
        return print_amount(amount_minor, marks.decimals(base))

    return Coverage(
        decided_at_ms=now_ms,
        scope=scope,
        base_currency=base,
        layers=tuple(_layer(marks, layer_id) for layer_id in marks.ledger.layers),
        assets=tuple(_asset(marks, asset) for asset in sorted(marks.sums if assets is None else assets) if asset in marks.sums),
        available_base_amount=money(totals.available_base_minor),
        held_base_amount=money(totals.held_base_minor),
        paid_base_amount=money(totals.paid_base_minor),
        marked_base_amount=money(totals.marked_base_minor),
        uncovered_base_amount=money(totals.uncovered_base_minor),
        at_least=totals.at_least,
        exhausted=totals.exhausted,
        drain_base_amount_per_minute=money(totals.drain_base_minor_per_minute),
        seconds_to_exhaustion=totals.seconds_to_exhaustion,
    )


def _layer(marks: Marks, layer_id: str) -> LayerCoverage:
    layer = marks.ledger.layers[layer_id]
    decimals = marks.decimals(layer.unit)
    room = next((marks.ledger.room(terms) for terms in marks.ledger.order if terms.layer_id == layer_id), None)
    return LayerCoverage(
        layer_id=layer_id,
        unit=layer.unit,
        funded=print_amount(layer.funded_minor, decimals),
        recovered=print_amount(layer.recovered_minor, decimals),
        available=print_amount(layer.available_minor, decimals),
        held=print_amount(layer.held_minor, decimals),
        paid=print_amount(layer.paid_minor, decimals),
        can_carry=None if room is None else print_amount(room, decimals),
    )


def _asset(marks: Marks, asset: str) -> AssetCoverage:
    sums, decimals, base_decimals = marks.sums[asset], marks.decimals(asset), marks.decimals(marks.policy.base_currency)
    return AssetCoverage(
        asset,
        print_amount(sums.marked_minor, decimals),
        print_amount(sums.marked_base_minor, base_decimals),
        print_amount(sums.uncovered_base_minor, base_decimals),
        print_amount(sums.unpriced_minor, decimals),
    )


def mark_record(marks: Marks, mark: MarkState, now_ms: int) -> Mark:
    """The record of one version of one mark."""
    subject, price = mark.subject, mark.price
    decimals, base_decimals = marks.decimals(subject.asset), marks.decimals(marks.policy.base_currency)

    def units(amount_minor: int) -> str:
        return print_amount(amount_minor, decimals)

    def base(amount_minor: int | None) -> str | None:
        return None if amount_minor is None else print_amount(amount_minor, base_decimals)

    def allocation(account: Literal["held", "paid", "recovered"], part: Part) -> Allocation:
        own, passed = (print_amount(amount, marks.decimals(part.unit)) for amount in (part.amount_minor, part.deductible_minor))
        return Allocation(part.layer_id, account, part.unit, own, units(part.asset_minor), base(part.base_minor), passed)

    return Mark(
        decided_at_ms=now_ms,
        mark_id=subject.mark_id,
        version=mark.version,
        state=mark.stage,
        withdrawal_id=subject.withdrawal_id,
        account_id=subject.account_id,
        owner=subject.owner,
        asset=subject.asset,
        amount=units(subject.amount_minor),
        open_amount=units(mark.open_minor),
        recovered_amount=units(mark.recovered_minor),
        compensated_amount=units(mark.compensated_minor),
        base_amount=base(mark.base_minor),
        price=price.text if price is not None else None,
        price_source=price.source if price is not None else None,
        price_at_ms=price.at_ms if price is not None else None,
        cause=mark.cause,
        provider_id=subject.provider_id,
        incident_id=mark.incident_id,
        allocations=(
            *(allocation("held", part) for part in mark.parts),
            *(allocation("paid", part) for part in mark.paid),
            *(allocation("recovered", part) for part in mark.returned),
        ),
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


def asset_figures(marks: Marks) -> dict[str, AssetFigures]:
    """Every asset's sums, for gauges."""
    return {
        asset: AssetFigures(marks.decimals(asset), sums.marked_minor, sums.unpriced_minor, sums.marked_base_minor, sums.uncovered_base_minor)
        for asset, sums in marks.sums.items()
    }
