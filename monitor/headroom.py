"""What the reserve could still carry, by cause; and what of customers' assets is at risk in hot wallets, beside that and beside the rules.

Pure figures in integers over the layers, prices and exposure; changes nothing. Called by `monitor.coverage`, `monitor.levels` and
`monitor.blast_radius`.
"""

from collections.abc import Iterable
from typing import NamedTuple, get_args

import msgspec

from monitor.contracts.base import Cause
from monitor.exposure import AssetExposure, Exposure
from monitor.layers import UNCOVERED, Terms
from monitor.ledger import Part
from monitor.marks import Marks

CAUSES: tuple[Cause, ...] = get_args(Cause)
WALLETS_SHOWN = 8
THEFT: Cause = "unauthorized_access"
"""What an emptied hot wallet is taken for."""
NEW_EVENT = ""
"""The incident of a loss that hasn't happened: no layer has anything for it yet."""
NOTHING = AssetExposure()


class Headroom(msgspec.Struct):
    """What one further event of one cause could draw on for customers' losses, in the base currency: in money, and by asset in kind.

    Of each layer what it can still carry, within its limit for one event, which is whole for a new one, less its deductible. An event as large as
    what its layers can carry is paid at least so much. What is kept in kind counts at the newest price, rounded up; without a price as nothing.
    """

    money_minor: int = 0
    kind_base_minor: dict[str, int] = {}

    def total(self) -> int:
        """All of it."""
        return self.money_minor + sum(self.kind_base_minor.values())

    def of(self, asset: str) -> int:
        """What a loss of one asset could draw on: other assets in kind can't carry it."""
        return self.money_minor + self.kind_base_minor.get(asset, 0)


def for_one_event(terms: Terms, size_minor: int) -> int:
    """What a layer of that size pays of one event, in its unit, if nothing of its limit and its deductible for the event is used yet."""
    within = size_minor if terms.limit_per_event_minor is None else min(size_minor, terms.limit_per_event_minor)
    return max(0, within - terms.deductible_minor)


def headrooms(marks: Marks) -> dict[Cause, Headroom]:
    """The headroom for each cause, over the layers in the policy's order."""
    rooms: dict[Cause, Headroom] = {cause: Headroom() for cause in CAUSES}
    ledger, base = marks.ledger, marks.policy.base_currency
    for terms in ledger.order:
        unit, left = terms.unit, for_one_event(terms, ledger.room(terms))
        value = left if unit == base else marks.value(unit, left) or 0
        for cause in terms.causes:
            room = rooms[cause]
            if unit == base:
                room.money_minor += left
            else:
                room.kind_base_minor[unit] = room.kind_base_minor.get(unit, 0) + value
    return rooms


def set_aside(marks: Marks, cause: Cause) -> int:
    """What the headroom for a cause would be if marks had nothing of the layers: they are as large as what they can carry and what marks have of them."""
    ledger, total_minor = marks.ledger, 0
    for terms in ledger.order:
        if cause in terms.causes:
            size_minor = ledger.room(terms) + ledger.layers[terms.layer_id].used_minor
            total_minor += marks.value(terms.unit, for_one_event(terms, size_minor)) or 0
    return total_minor


class Kept(NamedTuple):
    """What the layers kept in one asset have of it, and what of that is its guarantee, in its minor units.

    The guarantee is what the layers of that kind have available, and hold for marks, which is still there. A liability reserve or an insurance in the
    same asset is none: the rule wants assets of the exchange's own, kept for just this.
    """

    available_minor: int = 0
    held_minor: int = 0
    paid_minor: int = 0
    guarantee_minor: int = 0


def assets_kept(marks: Marks) -> set[str]:
    """The assets in which layers of the policy are kept; of what is drawn on claim nothing is kept."""
    return {terms.unit for terms in marks.ledger.order if not terms.on_claim and terms.unit != marks.policy.base_currency}


def kept_in_kind(marks: Marks, asset: str) -> Kept:
    """What is kept of an asset; of the base currency nothing is kept in kind."""
    available = held = paid = guarantee = 0
    if asset != marks.policy.base_currency:
        for terms in marks.ledger.order:
            if terms.unit == asset and not terms.on_claim:
                layer = marks.ledger.layers[terms.layer_id]
                available += layer.available_minor
                held += layer.held_minor
                paid += layer.paid_minor
                if terms.kind == "guarantee":
                    guarantee += layer.available_minor + layer.held_minor
    return Kept(available, held, paid, guarantee)


def shortfall(exposure: AssetExposure, guarantee_minor: int) -> int:
    """By how much of an asset customers have more in hot wallets than its guarantee."""
    return max(0, exposure.hot_minor - guarantee_minor)


class WalletAtRisk(NamedTuple):
    """If this hot wallet of customers' is emptied now: its value, what of it the reserve carries and what it doesn't, in the base currency's minor units."""

    wallet_id: str
    asset: str
    amount_minor: int
    base_minor: int
    uncovered_base_minor: int


def uncarried(parts: Iterable[Part]) -> int:
    """The value of what no layer carries, of parts that the ledger plans."""
    return sum(part.base_minor or 0 for part in parts if part.layer_id == UNCOVERED)


def at_risk(marks: Marks, exposure: Exposure, asset: str, at_most: int = WALLETS_SHOWN) -> list[WalletAtRisk]:
    """The largest hot wallets of one asset, the largest first, each as one further event that the ledger would allocate; none while it has no price."""
    wallets = []
    for wallet_id, amount_minor in exposure.by_asset.get(asset, NOTHING).largest()[:at_most]:
        base_minor = marks.value(asset, amount_minor)
        if base_minor is not None:
            parts = marks.ledger.plan(asset, amount_minor, base_minor, THEFT, "customer", NEW_EVENT)
            wallets.append(WalletAtRisk(wallet_id, asset, amount_minor, base_minor, uncarried(parts)))
    return wallets


def most_at_risk(marks: Marks, exposure: Exposure) -> list[WalletAtRisk]:
    """The largest hot wallets of all assets by value; equal ones by name."""
    wallets = [wallet for asset in exposure.by_asset for wallet in at_risk(marks, exposure, asset)]
    return sorted(wallets, key=lambda wallet: (-wallet.base_minor, wallet.wallet_id, wallet.asset))[:WALLETS_SHOWN]


def hundredths_of_percent(part: int, whole: int) -> int | None:
    """A part of a whole in hundredths of a percent, rounded up; None of nothing."""
    return -(-part * 10_000 // whole) if whole > 0 else None
