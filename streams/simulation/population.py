"""The customers of the simulated exchange: who they are, what they hold, where they pay to, how much, and from which devices and networks.

Accounts come into being when they are first picked, from the exchange's own seeded generator. No events here. Used by `exchange`.

| what | distribution | source |
| --- | --- | --- |
| who asks | by kind; within a kind a tenth of the accounts makes 46 % of the requests (uniform cubed) | assumed; activity is heavy-tailed |
| new customers | 1 request in 100 is the first of a new account, as many again of one opened lately | assumed |
| families | 3 of 40 accounts of a kind share a home network, the first two of them a device | assumed |
| offices | 4 business accounts share a network | assumed |
| mobile networks | 40 % of the app's requests come from 12 networks of carriers that share addresses (100.64.0.0/10) | RFC 6598 for the range; shares assumed |
| address book | mostly the first address (uniform cubed); new addresses by kind | assumed |
| fresh addresses | 6 of 100 accounts use a new address every other time, as wallets with one address per payment do | assumed |
| which assets | one main asset in 85 of 100 requests, a second one in 13; market makers any | assumed |
| where exchanges take deposits | 12 addresses per asset at the start, the first most used (uniform squared); tags tell customers apart where there are tags | assumed |
| which exchange or processor | an account's usual one in 9 of 10 payments to such, else any; 1 in 5 of those becomes the usual one | assumed |
| what remains of a balance | 1 in 4 accounts takes out what it has just paid in; else a deposit is a few times the shortage | assumed |
"""

import bisect
import itertools
import random
from collections import deque
from collections.abc import Sequence

from streams.simulation.world import ACCOUNT_KINDS, ASSETS, COUNTRIES, OTHER_EXCHANGES, AccountKind, SimulatedAsset

Destination = tuple[str, str | None]
"""Address and tag."""

NEW_CUSTOMERS = 0.01
LATELY_OPENED = 0.01
LATELY_OPENED_MAX = 500
BETWEEN_ACCOUNTS = 0.6
WITHIN_ACCOUNT = 0.8
"""Of an amount's sigma, between and within accounts: .6² + .8² = 1."""
HOUSEHOLD_EVERY = 40
HOUSEHOLD_MEMBERS = 3
OFFICE_MEMBERS = 4
MOBILE_NETWORKS = 12
MOBILE_SHARE = 0.4
FRESH_ADDRESSES = 0.06
FRESH_AGAIN = 0.5
PASSES_THROUGH = 0.25
MAIN_ASSET, SECOND_ASSET = 0.85, 0.13
USUAL_EXCHANGE = 0.9
BECOMES_USUAL = 0.2
SECOND_FACTORS = ("totp",) * 12 + ("passkey",) * 4 + ("sms",) * 4


class Account:
    """One customer: fixed traits, known devices and networks, address book and available balances in minor units by asset."""

    __slots__ = (
        "account_id", "api_key_id", "balances_minor", "books", "busy_until_ms", "country", "device_id", "fresh_addresses", "ip_prefix", "kind", "main_asset",
        "mobile_prefix", "passes_through", "payees", "scale", "second_asset", "second_factor", "second_factor_changed_at_ms", "tag", "travel",
        "usual_exchange",
    )  # fmt: skip

    def __init__(self, account_id: str, kind: AccountKind, rng: random.Random) -> None:
        self.account_id = account_id
        self.kind = kind
        self.country = rng.choice(COUNTRIES.get(kind.kind, ("JP",)))
        self.device_id = f"device-{rng.getrandbits(64):016x}"
        self.ip_prefix = f"10.{rng.randrange(256)}.{rng.randrange(256)}."
        self.mobile_prefix = f"100.{64 + rng.randrange(MOBILE_NETWORKS)}.0."
        self.api_key_id = f"key-{rng.getrandbits(48):012x}" if "api" in kind.channels else None
        self.second_factor = rng.choice(SECOND_FACTORS)
        self.second_factor_changed_at_ms: int | None = None
        self.main_asset = pick_asset(rng)
        self.second_asset = pick_asset(rng)
        self.tag = str(rng.randrange(10_000_000, 4_000_000_000))
        self.scale = rng.lognormvariate(0.0, kind.sigma * BETWEEN_ACCOUNTS)
        self.fresh_addresses = rng.random() < FRESH_ADDRESSES
        self.passes_through = rng.random() < PASSES_THROUGH
        self.travel: tuple[int, str, str] | None = None
        self.usual_exchange: dict[str, Destination] = {}
        self.books: dict[str, list[Destination]] = {}
        self.payees: list[Destination] = []
        self.busy_until_ms = 0
        self.balances_minor: dict[str, int] = {}


_ASSET_BOUNDS = tuple(itertools.accumulate(row.share for row in ASSETS))


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
        self._first_new = self._next_number = accounts
        bounds = [0, *(round(accounts * share) for share in itertools.accumulate(row.share_of_accounts for row in ACCOUNT_KINDS))]
        for index in range(1, len(bounds)):
            bounds[index] = min(max(bounds[index], bounds[index - 1] + 1), accounts - (len(bounds) - 1 - index))
        self._bounds = bounds
        self._lately: deque[Account] = deque(maxlen=LATELY_OPENED_MAX)
        self._shared = {row.asset: [address_of(row, rng) for _ in range(OTHER_EXCHANGES)] for row in ASSETS}
        self._homes: dict[tuple[str, int], Account] = {}

    def pick(self, kind_bounds: Sequence[float]) -> tuple[Account, bool]:
        """Whoever asks next, and whether the account is new; `kind_bounds` are the kinds' cumulative rates at this time."""
        random_ = self._rng.random
        share = random_()
        if share < NEW_CUSTOMERS:
            return self.new_customer(), True
        if share < NEW_CUSTOMERS + LATELY_OPENED and self._lately:
            return self._rng.choice(self._lately), False
        index = min(bisect.bisect(kind_bounds, random_() * kind_bounds[-1]), len(ACCOUNT_KINDS) - 1)
        first, end = self._bounds[index], self._bounds[index + 1]
        share = random_()
        return self._account(first + int((end - first) * share * share * share), ACCOUNT_KINDS[index]), False

    def anyone(self) -> Account:
        """Any account, a dormant one as likely as an active one; market makers and businesses among them."""
        number = self._rng.randrange(self._first_new)
        return self._account(number, ACCOUNT_KINDS[bisect.bisect(self._bounds, number) - 1])

    def new_customer(self) -> Account:
        """An account that has just been opened."""
        account = self._account(self._next_number, ACCOUNT_KINDS[0])
        self._next_number += 1
        self._lately.append(account)
        return account

    def _account(self, number: int, kind: AccountKind) -> Account:
        account = self._accounts.get(number)
        if account is None:
            account = self._accounts[number] = Account(f"account-{number:07d}", kind, self._rng)
            self._move_in(account, number)
        return account

    def _move_in(self, account: Account, number: int) -> None:
        """Families and offices share what the first of them has: a network, and two of a family a device."""
        if account.kind.profile == "office":
            home = self._homes.setdefault(("office", number // OFFICE_MEMBERS), account)
        elif number % HOUSEHOLD_EVERY < HOUSEHOLD_MEMBERS and account.kind.profile == "leisure":
            home = self._homes.setdefault((account.kind.kind, number // HOUSEHOLD_EVERY), account)
            if number % HOUSEHOLD_EVERY < 2:
                account.device_id = home.device_id
        else:
            return
        account.ip_prefix, account.country = home.ip_prefix, home.country

    def where(self, account: Account, channel: str, at_ms: int) -> tuple[str, str]:
        """The address of the network and the country that a request comes from."""
        rng = self._rng
        prefix, country = account.ip_prefix, account.country
        if channel != "api":
            if account.travel is not None and at_ms < account.travel[0]:
                _, country, prefix = account.travel
            elif channel == "app" and rng.random() < MOBILE_SHARE:
                prefix = account.mobile_prefix
        return f"{prefix}{rng.randrange(1, 255)}", country

    def asset_for(self, account: Account) -> SimulatedAsset:
        """Mostly the account's main asset, sometimes its second one; a market maker's any."""
        if account.kind.profile == "flat":
            return pick_asset(self._rng)
        share = self._rng.random()
        if share < MAIN_ASSET:
            return account.main_asset
        return account.second_asset if share < MAIN_ASSET + SECOND_ASSET else pick_asset(self._rng)

    def amount_minor(self, account: Account, asset: SimulatedAsset, worth_jpy: float, price: float) -> int:
        """About so much worth times a lognormal, in steps that people type, often rounded to one digit."""
        kind, rng = account.kind, self._rng
        worth = worth_jpy * account.scale * rng.lognormvariate(0.0, kind.sigma * WITHIN_ACCOUNT)
        amount_minor = self.steps_minor(asset, worth, price)
        if rng.random() < kind.round_amounts:
            unit_minor: int = 10 ** (len(str(amount_minor)) - 1)
            amount_minor = (amount_minor + unit_minor // 2) // unit_minor * unit_minor
        return amount_minor

    def steps_minor(self, asset: SimulatedAsset, worth_jpy: float, price: float) -> int:
        """An amount of that worth, in steps that people type."""
        step_minor: int = 10 ** (asset.decimals - asset.step_decimals)
        return max(1, round(worth_jpy / price * 10.0**asset.step_decimals)) * step_minor

    def open_shared(self, asset: SimulatedAsset) -> str:
        """Another exchange or payment processor opens an address, which joins the less used ones."""
        address = address_of(asset, self._rng)
        self._shared[asset.asset].append(address)
        return address

    def destination(self, account: Account, asset: SimulatedAsset, *, new: bool = False) -> tuple[Destination, bool]:
        """Where the account pays to, and whether it's an address that is new to its book, as it is for certain with `new`."""
        rng, kind = self._rng, account.kind
        if not new and rng.random() < kind.to_exchange:
            return self._exchange(account, asset), False
        book = account.books.setdefault(asset.asset, [])
        if new or not book or rng.random() < (FRESH_AGAIN if account.fresh_addresses else kind.new_address):
            book.append((address_of(asset, rng), None))
            return book[-1], True
        # Mostly the first address of the book: people have one wallet of their own.
        return book[int(len(book) * rng.random() ** 3)], False

    def _exchange(self, account: Account, asset: SimulatedAsset) -> Destination:
        """The account's usual exchange or processor, or another. The square makes the first the busiest."""
        rng, usual = self._rng, account.usual_exchange.get(asset.asset)
        if usual is not None and rng.random() < USUAL_EXCHANGE:
            return usual
        shared = self._shared[asset.asset]
        picked = shared[int(len(shared) * rng.random() ** 2)], account.tag if asset.tagged else None
        if usual is None or rng.random() < BECOMES_USUAL:
            account.usual_exchange[asset.asset] = picked
        return picked

    def payees(self, account: Account, number: int) -> list[Destination]:
        """So many of whom a business pays: the same ones as ever, and a few new."""
        rng, asset = self._rng, account.main_asset
        while len(account.payees) < number or rng.random() < 0.3:
            account.payees.append((address_of(asset, rng), None))
        return rng.sample(account.payees, number)
