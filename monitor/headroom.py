"""What the reserve could still carry, by cause; and what of customers' assets is at risk in hot wallets, beside that and beside the rules.

Pure figures in integers over the layers, prices and exposure; changes nothing. Called by `monitor.coverage`, `monitor.levels` and
`monitor.blast_radius`.
"""

from typing import NamedTuple, get_args

from monitor.contracts.base import Cause
from monitor.exposure import AssetExposure, Exposure
from monitor.marks import Marks

CAUSES: tuple[Cause, ...] = get_args(Cause)
WALLETS_SHOWN = 8
THEFT: Cause = "unauthorized_access"
"""What an emptied hot wallet is taken for."""
NOTHING = AssetExposure()


class Headroom(NamedTuple):
    """What a customers' loss of one cause could still draw on: money (base currency), and by asset in kind; in minor units.

    `money_set_aside_minor` and `kind_set_aside_minor`: the same with what is held and paid of those layers.
    """

    money_minor: int
    kind_minor: dict[str, int]
    money_set_aside_minor: int
    kind_set_aside_minor: dict[str, int]

    def total(self, marks: Marks) -> int:
        """All of it in the base currency; an asset without a price counts as nothing."""
        return self.money_minor + sum(marks.value(asset, minor) or 0 for asset, minor in self.kind_minor.items())

    def set_aside(self, marks: Marks) -> int:
        """All that was set aside, likewise."""
        return self.money_set_aside_minor + sum(marks.value(asset, minor) or 0 for asset, minor in self.kind_set_aside_minor.items())

    def of(self, marks: Marks, asset: str) -> int:
        """What a loss of one asset could draw on: other assets in kind can't carry it."""
        return self.money_minor + (marks.value(asset, self.kind_minor.get(asset, 0)) or 0)


def headroom(marks: Marks, cause: Cause) -> Headroom:
    """The headroom for one cause, over the layers in the policy's order."""
    money = money_set_aside = 0
    kind: dict[str, int] = {}
    kind_set_aside: dict[str, int] = {}
    for layer in marks.reserve.order:
        state = marks.reserve.layers[layer.layer_id]
        if cause not in layer.causes or state.unit != layer.unit:
            continue
        set_aside = state.available_minor + state.held_minor + state.paid_minor
        if layer.unit == marks.policy.base_currency:
            money, money_set_aside = money + state.available_minor, money_set_aside + set_aside
        else:
            kind[layer.unit] = kind.get(layer.unit, 0) + state.available_minor
            kind_set_aside[layer.unit] = kind_set_aside.get(layer.unit, 0) + set_aside
    return Headroom(money, kind, money_set_aside, kind_set_aside)


class Kept(NamedTuple):
    """What the layers kept in one asset have of it, in its minor units."""

    available_minor: int = 0
    held_minor: int = 0
    paid_minor: int = 0


def kept_in_kind(marks: Marks) -> dict[str, Kept]:
    """By asset, over the layers in the policy that are kept in one."""
    kept: dict[str, Kept] = {}
    for layer in marks.reserve.order:
        state = marks.reserve.layers[layer.layer_id]
        if state.unit == layer.unit != marks.policy.base_currency:
            before = kept.get(layer.unit, Kept())
            parts = before.available_minor + state.available_minor, before.held_minor + state.held_minor, before.paid_minor + state.paid_minor
            kept[layer.unit] = Kept(*parts)
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


def at_risk(marks: Marks, exposure: Exposure, asset: str, carries: Headroom) -> list[WalletAtRisk]:
    """The largest hot wallets of one asset, the largest first; none while it has no price."""
    wallets = []
    for wallet_id, amount_minor in exposure.by_asset.get(asset, NOTHING).largest():
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
