"""What the reserve could still carry, by cause; and what of customers' assets is at risk in hot wallets, beside that and beside the rules.

Pure figures in integers over the layers, prices and exposure; changes nothing. Called by `monitor.coverage`, `monitor.levels` and
`monitor.blast_radius`.
"""

from typing import NamedTuple, get_args

import msgspec

from monitor.contracts.base import Cause
from monitor.exposure import AssetExposure, Exposure
from monitor.marks import Marks

CAUSES: tuple[Cause, ...] = get_args(Cause)
WALLETS_SHOWN = 8
THEFT: Cause = "unauthorized_access"
"""What an emptied hot wallet is taken for."""
NOTHING = AssetExposure()


class Headroom(msgspec.Struct):
    """What customers' losses of one cause could still draw on, in minor units: money (base currency), and by asset in kind with its value.

    Limits of layers in total are in it; limits and deductibles of an event aren't.

    Each layer in kind counts at the newest price, rounded up; without a price as nothing.
    """

    money_minor: int = 0
    kind_minor: dict[str, int] = {}
    kind_base_minor: dict[str, int] = {}

    def total(self) -> int:
        """All of it in the base currency."""
        return self.money_minor + sum(self.kind_base_minor.values())

    def of(self, asset: str) -> int:
        """What a loss of one asset could draw on: other assets in kind can't carry it."""
        return self.money_minor + self.kind_base_minor.get(asset, 0)


def headrooms(marks: Marks) -> dict[Cause, Headroom]:
    """The headroom for each cause, over the layers in the policy's order."""
    rooms: dict[Cause, Headroom] = {cause: Headroom() for cause in CAUSES}
    ledger, base = marks.ledger, marks.policy.base_currency
    for terms in ledger.order:
        unit, left = terms.unit, ledger.room(terms)
        value = left if unit == base else marks.value(unit, left) or 0
        for cause in terms.causes:
            room = rooms[cause]
            if unit == base:
                room.money_minor += left
            else:
                room.kind_minor[unit] = room.kind_minor.get(unit, 0) + left
                room.kind_base_minor[unit] = room.kind_base_minor.get(unit, 0) + value
    return rooms


def set_aside(marks: Marks, cause: Cause) -> int:
    """All that was set aside for a cause, with what marks have of it, in the base currency; valued as headroom is."""
    ledger = marks.ledger
    sizes = ((terms.unit, ledger.room(terms) + ledger.layers[terms.layer_id].used_minor) for terms in ledger.order if cause in terms.causes)
    return sum(marks.value(unit, minor) or 0 for unit, minor in sizes)


class Kept(NamedTuple):
    """What the layers kept in one asset have of it, in its minor units."""

    available_minor: int = 0
    held_minor: int = 0
    paid_minor: int = 0


def kept_in_kind(marks: Marks) -> dict[str, Kept]:
    """By asset, over the layers in the policy that are kept in one; of what is drawn on claim nothing is kept."""
    kept: dict[str, Kept] = {}
    for terms in marks.ledger.order:
        if terms.unit != marks.policy.base_currency and not terms.on_claim:
            state, before = marks.ledger.layers[terms.layer_id], kept.get(terms.unit, Kept())
            parts = before.available_minor + state.available_minor, before.held_minor + state.held_minor, before.paid_minor + state.paid_minor
            kept[terms.unit] = Kept(*parts)
    return kept


def shortfall(exposure: AssetExposure, kept: Kept) -> int:
    """By how much of an asset customers have more in hot wallets than its guarantee, of which what is held for marks is still there."""
    return max(0, exposure.hot_minor - kept.available_minor - kept.held_minor)


class WalletAtRisk(NamedTuple):
    """If this hot wallet of customers' is emptied now: its value, what of it the reserve carries and what it doesn't, in the base currency's minor units."""

    wallet_id: str
    asset: str
    amount_minor: int
    base_minor: int
    uncovered_base_minor: int


def at_risk(marks: Marks, exposure: Exposure, asset: str, carries: Headroom, at_most: int = WALLETS_SHOWN) -> list[WalletAtRisk]:
    """The largest hot wallets of one asset, the largest first; none while it has no price."""
    wallets = []
    for wallet_id, amount_minor in exposure.by_asset.get(asset, NOTHING).largest()[:at_most]:
        base_minor = marks.value(asset, amount_minor)
        if base_minor is not None:
            in_kind = min(amount_minor, carries.kind_minor.get(asset, 0))
            rest = marks.value(asset, amount_minor - in_kind) or 0
            wallets.append(WalletAtRisk(wallet_id, asset, amount_minor, base_minor, max(0, rest - carries.money_minor)))
    return wallets


def most_at_risk(marks: Marks, exposure: Exposure, carries: Headroom) -> list[WalletAtRisk]:
    """The largest hot wallets of all assets by value; equal ones by name."""
    wallets = [wallet for asset in exposure.by_asset for wallet in at_risk(marks, exposure, asset, carries)]
    return sorted(wallets, key=lambda wallet: (-wallet.base_minor, wallet.wallet_id, wallet.asset))[:WALLETS_SHOWN]


def hundredths_of_percent(part: int, whole: int) -> int | None:
    """A part of a whole in hundredths of a percent, rounded up; None of nothing."""
    return -(-part * 10_000 // whole) if whole > 0 else None
