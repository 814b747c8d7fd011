"""What depends on one provider: what could be lost, and what is under way, if it is broken into or stops. A pure look at the state.

Counted over everything that is known when it is asked for; never per entry. Called by the command line.
"""

from collections import Counter
from copy import deepcopy

import msgspec

from monitor.headroom import NEW_EVENT, THEFT, headrooms, uncarried
from monitor.money import print_amount
from monitor.state import Provider, State
from monitor.withdrawals import ENDED

NAMED_MAX = 100
"""Withdrawals and marks named; all are counted."""


class WalletServed(msgspec.Struct, frozen=True, kw_only=True):
    """One wallet that it serves, by the registry or by the wallet's balances, and one asset in it; `base_amount` is none without a price."""

    wallet_id: str
    asset: str | None
    amount: str
    base_amount: str | None
    hot: bool
    owner: str
    signs: bool
    registered: bool


class BlastRadius(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. Amounts are decimal strings; `…_base_amount` in the base currency, where what has no price counts as nothing (`at_least`).

    `open_*`: withdrawals that go through it and aren't confirmed, failed or cancelled; `sent`: how many of them have left already.
    """

    provider_id: str
    name: str | None
    role: str | None
    standing: str
    number: str | None
    since_ms: int | None
    base_currency: str
    open_withdrawals: int
    sent: int
    open_amounts: dict[str, str]
    open_base_amount: str
    withdrawal_ids: tuple[str, ...]
    wallets: tuple[WalletServed, ...]
    hot_base_amount: str
    customers_base_amount: str
    all_base_amount: str
    headroom_base_amount: str
    uncovered_base_amount: str
    marks: int
    mark_ids: tuple[str, ...]
    marked_base_amount: str
    at_least: bool


class _Sums:
    """Minor units by asset, and their value."""

    def __init__(self, state: State) -> None:
        self._marks = state.marks
        self.by_asset: Counter[str] = Counter()

    def base_minor(self) -> int:
        return sum(self._marks.value(asset, minor) or 0 for asset, minor in self.by_asset.items())

    def unpriced(self) -> bool:
        return any(minor and self._marks.value(asset, minor) is None for asset, minor in self.by_asset.items())

    def printed(self) -> dict[str, str]:
        return {asset: print_amount(minor, self._marks.decimals(asset)) for asset, minor in sorted(self.by_asset.items())}


def blast_radius(state: State, provider_id: str) -> BlastRadius:
    """What depends on a provider, known to the registry or not."""
    marks, base = state.marks, state.policy.base_currency
    known = state.providers.get(provider_id)
    opened, hot, customers, everything = (_Sums(state) for _ in range(4))
    open_ids, sent = _open_withdrawals(state, provider_id, opened)
    wallets = _wallets(state, provider_id, known, (hot, customers, everything))
    uncovered = _uncovered(state, customers)
    standing = {mark_id: mark for mark_id, mark in marks.by_id.items() if mark.subject.provider_id == provider_id and mark.standing}

    def money(minor: int) -> str:
        return print_amount(minor, marks.decimals(base))

    return BlastRadius(
        provider_id=provider_id,
        name=None if known is None else known.name,
        role=None if known is None else known.role,
        standing="unknown" if known is None else known.standing,
        number=None if known is None else known.number,
        since_ms=None if known is None else known.since_ms,
        base_currency=base,
        open_withdrawals=len(open_ids),
        sent=sent,
        open_amounts=opened.printed(),
        open_base_amount=money(opened.base_minor()),
        withdrawal_ids=tuple(open_ids[:NAMED_MAX]),
        wallets=wallets,
        hot_base_amount=money(hot.base_minor()),
        customers_base_amount=money(customers.base_minor()),
        all_base_amount=money(everything.base_minor()),
        headroom_base_amount=money(headrooms(marks)[THEFT].total()),
        uncovered_base_amount=money(uncovered),
        marks=len(standing),
        mark_ids=tuple(list(standing)[:NAMED_MAX]),
        marked_base_amount=money(sum(mark.base_minor or 0 for mark in standing.values())),
        at_least=opened.unpriced() or everything.unpriced() or any(mark.base_minor is None for mark in standing.values()),
    )


def _open_withdrawals(state: State, provider_id: str, sums: _Sums) -> tuple[list[str], int]:
    ids, sent = [], 0
    for withdrawal_id, known in state.withdrawals.by_id.items():
        if known.provider_id == provider_id and known.status not in ENDED and known.status != "confirmed":
            ids.append(withdrawal_id)
            sent += known.left
            sums.by_asset[known.asset] += known.amount_minor
    return ids, sent


def _wallets(state: State, provider_id: str, known: Provider | None, sums: tuple[_Sums, _Sums, _Sums]) -> tuple[WalletServed, ...]:
    """Every balance of a wallet that it serves, and those of the registry whose balance nobody told; hot, customers' and all are added up."""
    registered = frozenset() if known is None else frozenset((*known.wallet_ids, *known.signing_wallet_ids))
    signed = frozenset() if known is None else frozenset(known.signing_wallet_ids)
    hot, customers, everything = sums
    rows, seen = [], set()
    for key, balance in state.held.balances.items():
        wallet_id, _, asset = key.rpartition(" ")
        if wallet_id not in registered and balance.provider_id != provider_id:
            continue
        seen.add(wallet_id)
        everything.by_asset[asset] += balance.amount_minor
        customers.by_asset[asset] += balance.amount_minor if balance.customers else 0
        hot.by_asset[asset] += balance.amount_minor if balance.hot else 0
        value = state.marks.value(asset, balance.amount_minor)
        rows.append(
            WalletServed(
                wallet_id=wallet_id,
                asset=asset,
                amount=print_amount(balance.amount_minor, state.marks.decimals(asset)),
                base_amount=None if value is None else print_amount(value, state.marks.decimals(state.policy.base_currency)),
                hot=balance.hot,
                owner="customer" if balance.customers else "exchange",
                signs=wallet_id in signed,
                registered=wallet_id in registered,
            )
        )
    rows += [
        WalletServed(wallet_id=name, asset=None, amount="0", base_amount=None, hot=False, owner="customer", signs=name in signed, registered=True)
        for name in registered - seen
    ]
    return tuple(sorted(rows, key=lambda row: (row.wallet_id, row.asset or "")))


def _uncovered(state: State, customers: _Sums) -> int:
    """What the reserve wouldn't carry if all of customers' in its wallets were taken as one event, one asset after the other: on a copy of the ledger."""
    marks, ledger, total = state.marks, deepcopy(state.marks.ledger), 0
    for asset, minor in sorted(customers.by_asset.items()):
        parts = ledger.plan(asset, minor, marks.value(asset, minor), THEFT, "customer", NEW_EVENT)
        ledger.hold(parts, NEW_EVENT)
        total += uncarried(parts)
    return total
