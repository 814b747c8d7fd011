"""The reserve: a ledger in integers, per layer in the layer's own unit. funded + recovered = available + held + paid, always.

Suspected amounts are held on the layers in order and given back exactly on release. No prices' sources, no incidents. Called by `monitor.marks`.
"""

import msgspec

from monitor.contracts.base import Cause, Owner
from monitor.policy import Layer


class LedgerBrokenError(AssertionError):
    """Conservation doesn't hold: a bug of ours. The worker stops loudly; nothing is published from the broken state."""


class LayerState(msgspec.Struct):
    """One layer's account, in minor units of `unit`."""

    unit: str
    funded_minor: int = 0
    recovered_minor: int = 0
    available_minor: int = 0
    held_minor: int = 0
    paid_minor: int = 0

    def check(self, layer_id: str) -> None:
        """Raise LedgerBrokenError unless every unit is in exactly one place."""
        sums = self.funded_minor + self.recovered_minor == self.available_minor + self.held_minor + self.paid_minor
        if not sums or min(self.available_minor, self.held_minor, self.paid_minor) < 0:
            raise LedgerBrokenError(f"layer {layer_id}: {self}")


class Part(msgspec.Struct, frozen=True):
    """What one layer carries of a mark: in its own unit, and the base value that this stands for."""

    layer_id: str
    unit: str
    amount_minor: int
    base_minor: int | None


class Reserve:
    """The layers in the policy's order. A layer that the policy dropped keeps its account and takes no new marks."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerState] = {}
        self.order: tuple[Layer, ...] = ()
        self.base_currency = ""

    def configure(self, layers: tuple[Layer, ...], base_currency: str) -> None:
        """Take the layers of a new term's policy. A layer's unit never changes while it holds anything."""
        self.order = layers
        self.base_currency = base_currency
        for layer in layers:
            known = self.layers.get(layer.layer_id)
            if known is None or (known.unit != layer.unit and known.funded_minor == known.recovered_minor == 0):
                self.layers[layer.layer_id] = LayerState(unit=layer.unit)

    def fund(self, layer_id: str, unit: str, amount_minor: int) -> str | None:
        """Add to a layer; returns why it is refused, or None."""
        layer = self.layers.get(layer_id)
        if layer is None or layer.unit != unit or all(layer_id != usable.layer_id for usable in self.order):
            return f"no layer {layer_id} in {unit} in the policy"
        layer.funded_minor += amount_minor
        layer.available_minor += amount_minor
        layer.check(layer_id)
        return None

    def draw(self, layer_id: str, unit: str, amount_minor: int) -> str | None:
        """Its owner takes from what is available; returns why it is refused, or None."""
        layer = self.layers.get(layer_id)
        if layer is None or layer.unit != unit:
            return f"no layer {layer_id} in {unit} in the policy"
        if layer.available_minor < amount_minor:
            return f"layer {layer_id} has less available than is drawn"
        # What is drawn beyond the funding comes out of what was recovered.
        funded = min(amount_minor, layer.funded_minor)
        layer.funded_minor -= funded
        layer.recovered_minor -= amount_minor - funded
        layer.available_minor -= amount_minor
        layer.check(layer_id)
        return None

    def hold(self, asset: str, amount_minor: int, base_minor: int | None, cause: Cause, owner: Owner) -> tuple[tuple[Part, ...], int | None]:
        """Hold an amount on the layers in order.

        Parameters
        ----------
        base_minor
            The amount's value in the base currency's minor units; None while no price is known: then only layers in kind carry it.

        Returns
        -------
        The parts, and the base value that no layer carries (None while no price is known). With a price the parts' base values and
        the uncovered rest sum up to base_minor exactly; what is split is rounded down and the rest stays with the last taker.
        """
        parts = []
        rest, base_rest = amount_minor, base_minor
        for layer in self.order:
            state = self.layers[layer.layer_id]
            if rest == 0 or cause not in layer.causes or (layer.customers_only and owner != "customer") or state.unit != layer.unit:
                continue
            if layer.unit == asset:
                taken = min(rest, state.available_minor)
                base_taken = None if base_rest is None else base_rest if taken == rest else base_rest * taken // rest
                moved = taken
            elif base_rest is not None and layer.unit == self.base_currency:
                moved = min(base_rest, state.available_minor)
                taken = rest if moved == base_rest else rest * moved // base_rest
                base_taken = moved
            else:
                continue
            if moved == 0:
                continue
            state.available_minor -= moved
            state.held_minor += moved
            state.check(layer.layer_id)
            parts.append(Part(layer.layer_id, layer.unit, moved, base_taken))
            rest -= taken
            base_rest = None if base_rest is None or base_taken is None else base_rest - base_taken
        return tuple(parts), base_rest

    def release(self, parts: tuple[Part, ...]) -> None:
        """Give back exactly what was held."""
        for part in parts:
            state = self.layers[part.layer_id]
            state.held_minor -= part.amount_minor
            state.available_minor += part.amount_minor
            state.check(part.layer_id)
