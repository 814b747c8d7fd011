"""Whom an incident uses: existing accounts as the exchange's records show them, new ones, what of them is changed, addresses nobody has seen.

Everything is drawn from the scenario's own seeded generator. Makes no records: `play` does. One `Cast` per playing of a scenario.
"""

import hashlib
import random
from collections.abc import Sequence
from typing import NamedTuple

from streams.simulation.directory import Directory, Holder
from streams.simulation.exchange import Value
from streams.simulation.phases import Ownership
from streams.simulation.population import address_of
from streams.simulation.world import ASSETS, WALLETS

_ASSETS = {row.asset: row for row in ASSETS}
HOT = {row.asset: row for row in reversed(WALLETS) if row.temperature == "hot"}
"""The hot wallet that pays out an asset."""
OWN_ADDRESSES = {row.address for row in WALLETS}


class TooFewAccountsError(Exception):
    """The exchange has fewer fitting accounts than the scenario uses; the message is one sentence."""


class Member(NamedTuple):
    """One account of a crowd: facts that its withdrawals carry, its known address, its newest request, and what it has left of the asset."""

    account_id: str
    facts: Value
    address: str | None
    request: Value | None
    left_minor: int


OWN_FACTS = ("channel", "ip", "country", "device_id", "api_key_id", "second_factor", "second_factor_changed_at_ms")


class Changes(NamedTuple):
    """What of an account's usual facts is other than usual."""

    device: Ownership = "own"
    network: Ownership = "own"
    api_key: Ownership = "own"
    country: str | None = None


class Cast:
    """All accounts and addresses of one playing; `fresh` are the names that nobody had seen before it."""

    def __init__(self, rng: random.Random, prefix: str, known: Directory) -> None:
        self.rng = rng
        self.fresh: set[str] = set()
        self._prefix = prefix
        self._known = known
        self._groups: dict[str, list[Member]] = {}
        self._addresses: dict[str, list[str]] = {}
        self._used: set[str] = set()
        self._shared: dict[str, str] = {}

    def gather(self, group: str | None, count: int, asset: str, *, new: bool) -> list[Member]:
        """So many accounts, those of the group first. Raises TooFewAccountsError."""
        members = self._groups.setdefault(group, []) if group is not None else []
        missing = count - len(members)
        if missing > 0:
            members += [self._newcomer() for _ in range(missing)] if new else self._existing(missing, asset)
        return members[:count]

    def _newcomer(self) -> Member:
        account_id = f"account-{self._token('account')[:12]}"
        self.fresh.add(account_id)
        facts: Value = {"channel": "app", "ip": self._ip(), "country": "JP", "device_id": f"device-{self._token('device')[:16]}"}
        return Member(account_id, facts | {"second_factor": "totp"}, None, None, 0)

    def _existing(self, count: int, asset: str) -> list[Member]:
        holders = [holder for holder in self._known.holders(asset) if holder.account_id not in self._used]
        if len(holders) < count:
            raise TooFewAccountsError(
                f"the exchange has {len(holders)} accounts with {asset} so far, the scenario uses {count}: more history is needed"
            )
        chosen = self.rng.sample(holders, count)
        self._used.update(holder.account_id for holder in chosen)
        return [_member(holder) for holder in chosen]

    def dressed(self, member: Member, changes: Changes) -> Value:
        """The facts that the account shows with these changes."""
        facts = dict(member.facts)
        if changes.device != "own":
            facts["device_id"] = self._changed("device", changes.device, 16)
            if facts["channel"] == "api":
                facts["channel"] = "web"
        if changes.network != "own":
            facts["ip"] = self._ip("shared" if changes.network == "shared" else None)
        if changes.api_key != "own":
            facts |= {"channel": "api", "api_key_id": self._changed("key", changes.api_key, 12), "second_factor": "none"}
            facts.pop("device_id", None)
        elif facts["channel"] != "api":
            facts.pop("api_key_id", None)
        if changes.country is not None:
            facts["country"] = changes.country
        return facts

    def _changed(self, what: str, how: Ownership, digits: int) -> str:
        if how == "shared":
            if what not in self._shared:
                self._shared[what] = f"{what}-{self._token(what)[:digits]}"
            name = self._shared[what]
        else:
            name = f"{what}-{self._token(what)[:digits]}"
        self.fresh.add(name)
        return name

    def _ip(self, shared: str | None = None) -> str:
        """An address of a network that no customer uses: one for each, or hosts of one network."""
        if shared is None:
            return f"172.{self.rng.randrange(16, 32)}.{self.rng.randrange(256)}.{self.rng.randrange(1, 255)}"
        if shared not in self._shared:
            self._shared[shared] = f"172.{self.rng.randrange(16, 32)}.{self.rng.randrange(256)}."
        return f"{self._shared[shared]}{self.rng.randrange(1, 255)}"

    def _token(self, what: str) -> str:
        return hashlib.sha256(f"{self._prefix}/{what}/{self.rng.getrandbits(64)}".encode()).hexdigest()

    def quantile_minor(self, wallet_id: str, asset: str, share: float) -> int:
        """The amount that so large a share of the wallet's payouts don't exceed. Raises TooFewAccountsError if it has paid nothing."""
        found = self._known.quantile_minor(wallet_id, asset, share)
        if found is None:
            raise TooFewAccountsError(f"{wallet_id} has paid nothing so far: more history is needed")
        return found

    def addresses(self, count: int, asset: str, group: str | None = None) -> list[str]:
        """So many fresh addresses; phases of one group share them."""
        known = self._addresses.setdefault(f"{group}/{_ASSETS[asset].network}", []) if group is not None else []
        while len(known) < count:
            known.append(self.address(asset))
        return known[:count]

    def address(self, asset: str) -> str:
        """One fresh address in the asset's form."""
        address = address_of(_ASSETS[asset], self.rng)
        self.fresh.add(address)
        return address


def _member(holder: Holder) -> Member:
    request = holder.request
    facts: Value = {name: request[name] for name in OWN_FACTS if name in request}
    facts.setdefault("channel", "web")
    return Member(holder.account_id, facts, str(request["address"]), request, holder.left_minor)


def divided(total: int, count: int, spread: float, rng: random.Random) -> list[int]:
    """A total in `count` parts that add up to it exactly, each at most `spread` away from the mean in proportion; never below 1."""
    if total < count:
        raise TooFewAccountsError(f"{total} smallest units can't be divided among {count}")
    weights = [1.0 + spread * rng.uniform(-1.0, 1.0) for _ in range(count)]
    whole = sum(weights)
    parts = [max(1, total * round(1e9 * weight / whole) // 1_000_000_000) for weight in weights]
    parts[-1] += total - sum(parts)
    # Rounding up small parts can take more than there is from the last.
    for index in range(count):
        if parts[-1] >= 1:
            break
        given = min(parts[index] - 1, 1 - parts[-1])
        parts[index] -= given
        parts[-1] += given
    return parts


def moments(count: int, over_seconds: float, rng: random.Random) -> Sequence[int]:
    """When each of so many happens, in milliseconds from the start: the first at once, the last at the end, the others in between."""
    over_ms = round(over_seconds * 1_000)
    between = sorted(rng.randrange(over_ms + 1) for _ in range(count - 2))
    return [0, *between, over_ms][:count]
