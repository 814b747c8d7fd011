"""What the exchange's own records have told about its customers: who has which assets, how they withdraw, what wallets pay out.

Filled from the records that pass, so that an incident can use accounts that exist; knows no generator's inside. Used by `crowds` and `stage`.
"""

from typing import NamedTuple

from monitor.money import parse_amount
from monitor.reasons import Reason
from streams.simulation.exchange import Record, Value
from streams.simulation.world import ASSETS

AMOUNTS_KEPT = 2_000
"""Newest amounts per wallet, for its quantiles."""

_DECIMALS = {row.asset: row.decimals for row in ASSETS}


def minor_of(asset: str, amount: object) -> int:
    """Minor units of an amount that a simulated record tells. Raises ValueError if it is none."""
    parsed = parse_amount(str(amount), _DECIMALS[asset])
    if isinstance(parsed, Reason):
        raise ValueError(f"{amount} {asset}: {parsed}")  # noqa: TRY004  # a refused value, not a wrong type
    return parsed


class Holder(NamedTuple):
    """One account that holds an asset: its newest request of it, and what was left of its balance afterwards."""

    account_id: str
    request: Value
    left_minor: int


class Directory:
    """Everything known so far; `levels_minor` is the newest balance by wallet. `note` takes each record once, in order."""

    def __init__(self) -> None:
        self._requests: dict[str, dict[str, Value]] = {}
        self._amounts: dict[str, list[str]] = {}
        self.levels_minor: dict[str, int] = {}

    def note(self, record: Record) -> None:
        """Remember a customer's request or a wallet's balance; all else is passed over."""
        value = record.value
        if record.topic == "balances":
            self.levels_minor[record.key] = minor_of(str(value["asset"]), value["amount"])
            return
        if record.topic != "withdrawals" or value["status"] != "requested" or "balance_before" not in value:
            return
        asset = str(value["asset"])
        self._requests.setdefault(asset, {})[str(value["account_id"])] = value
        amounts = self._amounts.setdefault(str(value["wallet_id"]), [])
        amounts.append(str(value["amount"]))
        if len(amounts) >= 2 * AMOUNTS_KEPT:
            del amounts[:AMOUNTS_KEPT]

    def copy(self) -> "Directory":
        """One that can go on by itself; requests are shared, since nobody changes them."""
        other = Directory()
        other._requests = {asset: dict(requests) for asset, requests in self._requests.items()}
        other._amounts = {wallet: list(amounts) for wallet, amounts in self._amounts.items()}
        other.levels_minor = dict(self.levels_minor)
        return other

    def holders(self, asset: str) -> list[Holder]:
        """All accounts that have asked for the asset and have some of it left, in the order of their first request."""
        found = []
        for account_id, request in self._requests.get(asset, {}).items():
            parts = (request["balance_before"], request["amount"], request.get("fee", "0"))
            before_minor, amount_minor, fee_minor = (minor_of(asset, part) for part in parts)
            if before_minor > amount_minor + fee_minor:
                found.append(Holder(account_id, request, before_minor - amount_minor - fee_minor))
        return found

    def quantile_minor(self, wallet_id: str, asset: str, share: float) -> int | None:
        """The amount that so large a share of the wallet's newest payouts don't exceed; None if it has paid nothing."""
        amounts = sorted(minor_of(asset, amount) for amount in self._amounts.get(wallet_id, ()))
        return amounts[min(int(share * len(amounts)), len(amounts) - 1)] if amounts else None
