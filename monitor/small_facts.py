"""Facts that are few whatever the traffic, as a snapshot keeps them: prices, the registry of providers, which levels were told.

Pure; called by `monitor.snapshot`.
"""

import msgspec

from monitor.levels import Levels
from monitor.prices import PriceState
from monitor.state import Provider, State


class SmallFacts(msgspec.Struct, frozen=True, kw_only=True):
    """The facts as they stand."""

    prices: dict[str, PriceState]
    jumped: dict[str, PriceState]
    providers: dict[str, Provider]
    doubted_providers: dict[str, int]
    levels: Levels
    marks_forgotten: int


def small_facts(state: State) -> SmallFacts:
    """The facts of a state, to be encoded at once: they change in place."""
    return SmallFacts(
        prices=state.marks.prices.newest,
        jumped=state.marks.prices.jumped,
        providers=state.providers,
        doubted_providers=state.doubted_providers,
        levels=state.levels,
        marks_forgotten=state.marks.forgotten,
    )


def restore_small_facts(state: State, facts: SmallFacts) -> None:
    """Take them over. Balances must have been taken over before: what is exposed is valued here."""
    marks = state.marks
    for asset, price in facts.prices.items():
        marks.set_price(asset, price.text, price.source, price.at_ms)
        state.held.exposure.revalue(asset, marks.value)
    marks.prices.jumped, marks.forgotten = facts.jumped, facts.marks_forgotten
    state.providers, state.doubted_providers, state.levels = facts.providers, facts.doubted_providers, facts.levels
