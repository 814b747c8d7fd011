"""The customers of the simulated exchange: who they are, what they hold, where they pay to, and how much.

Accounts come into being when they are first picked, from the exchange's own seeded generator. No events here. Used by `exchange`.
"""

import bisect
import itertools
import random

from streams.simulation.world import ACCOUNT_KINDS, ASSETS, OTHER_EXCHANGES, AccountKind, SimulatedAsset

Destination = tuple[str, str | None]
"""Address and tag."""

NEW_CUSTOMERS = 0.01
"""Share of requests that come from an account opened just before (assumed)."""

COUNTRIES = ("JP",) * 97 + ("US", "SG", "TW")


class Account:
    """One customer: fixed traits, known devices, address book and available balances in minor units by asset."""

    __slots__ = (
        "account_id", "api_key_id", "balances_minor", "books", "country", "devices", "ip_prefix", "kind", "main_asset", "second_factor",
        "second_factor_changed_at_ms", "tag",
    )  # fmt: skip

    def __init__(self, account_id: str, kind: AccountKind, rng: random.Random) -> None:
        self.account_id = account_id
        self.kind = kind
        self.country = rng.choice(COUNTRIES)
        self.devices = [f"device-{rng.getrandbits(64):016x}"]
        self.ip_prefix = f"10.{rng.randrange(256)}.{rng.randrange(256)}."
        self.api_key_id = f"key-{rng.getrandbits(48):012x}" if "api" in kind.channels else None
        self.second_factor = rng.choice(("totp", "totp", "totp", "passkey", "sms"))
        self.second_factor_changed_at_ms: int | None = None
        self.main_asset = pick_asset(rng)
        self.tag = str(rng.randrange(10_000_000, 4_000_000_000))
        self.books: dict[str, list[Destination]] = {}
        self.balances_minor: dict[str, int] = {}


_ASSET_BOUNDS = tuple(itertools.accumulate(row.share for row in ASSETS))
_KIND_BOUNDS = tuple(itertools.accumulate(row.share_of_requests for row in ACCOUNT_KINDS))


def pick_asset(rng: random.Random) -> SimulatedAsset:
    """One asset by its share of requests."""
    return ASSETS[min(bisect.bisect(_ASSET_BOUNDS, rng.random()), len(ASSETS) - 1)]


def address_of(asset: SimulatedAsset, rng: random.Random) -> str:
    """A fresh address in the asset's form."""
    return f"{asset.address_prefix}{rng.getrandbits(4 * asset.address_digits):0{asset.address_digits}x}"


class Population:
    """All accounts, by number; kinds stand in ranges of numbers, new customers after them."""

    def __init__(self, accounts: int, rng: random.Random) -> None:
        if accounts < len(ACCOUNT_KINDS):
            raise ValueError(f"at least {len(ACCOUNT_KINDS)} accounts are needed, one of each kind")
        self._rng = rng
        self._accounts: dict[int, Account] = {}
        self._next_number = accounts
        bounds = [0, *(round(accounts * share) for share in itertools.accumulate(row.share_of_accounts for row in ACCOUNT_KINDS))]
        for index in range(1, len(bounds)):
            bounds[index] = min(max(bounds[index], bounds[index - 1] + 1), accounts - (len(bounds) - 1 - index))
        self._bounds = bounds
        self._shared = {row.asset: [address_of(row, rng) for _ in range(OTHER_EXCHANGES)] for row in ASSETS}

    def pick(self) -> tuple[Account, bool]:
        """Whoever asks next, and whether the account is new. Within a kind, low numbers ask more often (density falls as 1/sqrt)."""
        random_ = self._rng.random
        if random_() < NEW_CUSTOMERS:
            number = self._next_number
            self._next_number += 1
            return self._account(number, ACCOUNT_KINDS[0]), True
        index = min(bisect.bisect(_KIND_BOUNDS, random_()), len(ACCOUNT_KINDS) - 1)
        first, end = self._bounds[index], self._bounds[index + 1]
        share = random_()
        return self._account(first + int((end - first) * share * share), ACCOUNT_KINDS[index]), False

    def _account(self, number: int, kind: AccountKind) -> Account:
        account = self._accounts.get(number)
        if account is None:
            account = self._accounts[number] = Account(f"account-{number:07d}", kind, self._rng)
        return account

    def asset_for(self, account: Account) -> SimulatedAsset:
        """Mostly the account's main asset."""
        return account.main_asset if self._rng.random() < 0.8 else pick_asset(self._rng)

    def amount_minor(self, account: Account, asset: SimulatedAsset, price: float) -> int:
        """A lognormal amount of the account's kind, in steps that people type, often rounded to one digit."""
        kind, rng = account.kind, self._rng
        worth = kind.median_jpy * rng.lognormvariate(0.0, kind.sigma)
        steps = max(1, round(worth / price * 10**asset.step_decimals))
        if rng.random() < kind.round_amounts:
            unit = 10 ** (len(str(steps)) - 1)
            steps = max(1, round(steps / unit)) * unit
        return int(steps * 10 ** (asset.decimals - asset.step_decimals))

    def destination(self, account: Account, asset: SimulatedAsset) -> tuple[Destination, bool]:
        """Where the account pays to, and whether it's an address that is new to its book."""
        rng, kind = self._rng, account.kind
        if rng.random() < kind.to_exchange:
            # The square makes the first exchanges the busiest; a tagged network shares one address among all customers.
            address = self._shared[asset.asset][int(OTHER_EXCHANGES * rng.random() ** 2)]
            return (address, account.tag if asset.tagged else None), False
        book = account.books.setdefault(asset.asset, [])
        if not book or rng.random() < kind.new_address:
            book.append((address_of(asset, rng), None))
            return book[-1], True
        # Mostly the first address of the book: people have one wallet of their own.
        return book[int(len(book) * rng.random() ** 3)], False
