"""The reserve's layers as the policy words them, checked and made into what the ledger reckons with. Values only; no accounts.

Called by `monitor.marks` for a term and by `streams.setting_rules` for a configuration: what is refused is refused in both.
"""

from collections.abc import Callable, Iterator, Mapping

import msgspec

from monitor.contracts.base import Cause
from monitor.money import parse_amount
from monitor.policy import Asset, Layer, LayerKind, Policy

UNCOVERED = "uncovered"
"""The built-in last layer: in the base currency, drawn on claim without limit."""


class Terms(msgspec.Struct, frozen=True):
    """One layer's terms, amounts in minor units of `unit`."""

    layer_id: str
    unit: str
    kind: LayerKind
    causes: tuple[Cause, ...]
    customers_only: bool
    on_claim: bool
    limit_per_event_minor: int | None
    limit_total_minor: int | None
    deductible_minor: int


def terms_of(layers: tuple[Layer, ...], assets: Mapping[str, Asset]) -> tuple[Terms, ...]:
    """The terms of layers that have no faults."""
    return tuple(_terms(layer, assets[layer.unit].decimals) for layer in layers)


def _terms(layer: Layer, decimals: int) -> Terms:
    def minor(text: str | None) -> int | None:
        amount = parse_amount(text or "", decimals)
        return amount if isinstance(amount, int) else None

    return Terms(
        layer.layer_id, layer.unit, layer.kind, layer.causes, layer.customers_only, layer.drawn == "on_claim",
        minor(layer.limit_per_event), minor(layer.limit_total), minor(layer.deductible) or 0,
    )  # fmt: skip


def _known_are(_: str, known: list[str]) -> str:
    return "known are " + ", ".join(known) + "."


def layer_faults(policy: Policy, hint: Callable[[str, list[str]], str] = _known_are) -> Iterator[tuple[str, str]]:
    """What is wrong with the layers: which field ("0.unit"), and what about it, as the rest of a sentence. `hint` helps with a wrong asset."""
    seen = set()
    for index, layer in enumerate(policy.layers):
        asset = policy.assets.get(layer.unit)
        if asset is None:
            yield f"{index}.unit", f"({layer.unit}) must be one of policy.assets; {hint(layer.unit, list(policy.assets))}"
        if layer.layer_id in seen:
            yield f"{index}.layer_id", f"({layer.layer_id}) is there twice; every layer needs a name of its own."
        seen.add(layer.layer_id)
        if layer.layer_id == UNCOVERED:
            yield f"{index}.layer_id", f"({UNCOVERED}) is the name of what no layer carries; it is always there, last."
        if not layer.causes:
            yield f"{index}.causes", f"must name at least one cause, or the layer ({layer.layer_id}) would cover nothing."
        if len(set(layer.causes)) < len(layer.causes):
            yield f"{index}.causes", f"of the layer ({layer.layer_id}) name a cause twice."
        if layer.kind == "guarantee" and layer.unit == policy.base_currency:
            yield f"{index}.unit", f"({layer.unit}) is the base currency, but a guarantee ({layer.layer_id}) is kept in kind, in one of the assets."
        if layer.drawn == "on_claim" and layer.limit_total is None:
            yield f"{index}.limit_total", f"is missing: a layer that is drawn on claim ({layer.layer_id}) needs to say how much it carries at most."
        if asset is not None:
            yield from ((f"{index}.{name}", why) for name, why in _amount_faults(layer, asset.decimals))


def _amount_faults(layer: Layer, decimals: int) -> Iterator[tuple[str, str]]:
    amounts = {}
    for name in ("limit_per_event", "limit_total", "deductible"):
        text = getattr(layer, name)
        if text is None:
            continue
        amount = parse_amount(text, decimals)
        if not isinstance(amount, int):
            yield name, f"({text}) is too large, or has more than the {decimals} decimals of {layer.unit}."
        elif amount == 0 and name != "deductible":
            yield name, f"({text}) is zero: the layer ({layer.layer_id}) would carry nothing; leave it out instead."
        else:
            amounts[name] = amount
    total, event = amounts.get("limit_total"), amounts.get("limit_per_event")
    if total is not None and event is not None and event > total:
        yield "limit_per_event", f"({layer.limit_per_event}) must not be above limit_total ({layer.limit_total}): it would never be reached."
