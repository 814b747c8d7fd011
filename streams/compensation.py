"""From a folded journal to a statement of compensation: finds when each loss happened, who held what then, and which entries say so.

Reads the journal again for the events of the losses, then for holdings, and for prices if they are averaged: only what had its effect in the fold counts.
Decides nothing: `monitor.compensation` divides.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import NamedTuple

import msgspec

from monitor.compensation import statement
from monitor.contracts.compensation import Evidence, Statement
from monitor.contracts.journal import HoldingEntry, OutflowEntry, PostingEntry, PriceEntry, WithdrawalEntry
from monitor.contracts.outputs import Mark
from monitor.losses import Basis, Loss, OtherIncident, pooled_since, way_of
from monitor.money import Price, parse_amount, parse_price
from monitor.outflows import loss_of
from monitor.policy import Asset
from monitor.pools import Held
from monitor.price_rules import PriceRule, prices_by
from monitor.withdrawals import LEFT, destination, payment_key
from streams.dossier import Folded, Version
from streams.refusals import RefusedError

WITHDRAWAL, OUTFLOW, POSTING = b'{"kind":"withdrawal"', b'{"kind":"outflow"', b'{"kind":"posting"'
HOLDING, PRICE = b'{"kind":"holding"', b'{"kind":"price"'

_withdrawal = msgspec.json.Decoder(WithdrawalEntry).decode
_outflow = msgspec.json.Decoder(OutflowEntry).decode
_posting = msgspec.json.Decoder(PostingEntry).decode
_holding = msgspec.json.Decoder(HoldingEntry).decode
_price = msgspec.json.Decoder(PriceEntry).decode
Told = Callable[[bytes], Iterator[tuple[int, bytes]]]
"""Gives the entries that begin so, of events that had their effect in the fold."""
Holdings = dict[tuple[str, int], dict[str, Held]]
"""By asset and time, the newest holding of each account at or before it."""


def compensation(folded: Folded, incident_id: str, rule: PriceRule, pooled_accounts: Iterable[str] = ()) -> Statement:
    """The statement of one incident. Raises RefusedError if there can be none."""
    folded.dossier.incident(incident_id)
    state, pooled = folded.engine.state, tuple(sorted(set(pooled_accounts)))
    marks = folded.dossier.marks_of(incident_id)
    beside = folded.dossier.marks_beside(incident_id, {versions[-1].mark.asset for versions in marks.values()})
    by_incident: dict[str, list[Loss]] = {incident_id: []}
    for loss in losses_of(marks | beside, folded):
        by_incident.setdefault(loss.mark.incident_id, []).append(loss)
    losses = by_incident.pop(incident_id)
    lost = {loss.mark.asset for loss in losses if loss.mark.state != "cleared" and way_of(loss, pooled) != "never_left"}
    prices = prices_by(rule, lost, _recorded_prices(folded.told, rule))
    if isinstance(prices, str):
        raise RefusedError(f"The price rule can't be used: {prices}.")
    since = pooled_since(losses, pooled)
    earlier = {name: _until(pooled_since(its, pooled), since) for name, its in by_incident.items()}
    wanted = {pair for one in (since, *earlier.values()) for pair in one.items()}
    holdings = _holdings(folded.told, wanted, state.policy.assets)
    basis = Basis(
        incident_id=incident_id,
        journal_id=folded.engine.journal_id,
        engine_version=folded.engine_version,
        base_currency=state.policy.base_currency,
        assets=state.policy.assets,
        rule=rule,
        prices=prices,
        pooled_accounts=pooled,
        holdings=_of(holdings, since),
        others=tuple(OtherIncident(name, its, _of(holdings, earlier[name])) for name, its in sorted(by_incident.items())),
    )
    made = statement(basis, losses)
    if isinstance(made, str):
        raise RefusedError(f"There is no compensation file: {made}.")
    return made


def _until(theirs: Mapping[str, int], since: Mapping[str, int]) -> dict[str, int]:
    """The pools of another incident that were robbed no later than this one's."""
    return {asset: at_ms for asset, at_ms in theirs.items() if asset in since and at_ms <= since[asset]}


def _of(holdings: Holdings, since: Mapping[str, int]) -> dict[str, dict[str, Held]]:
    return {asset: holdings[asset, at_ms] for asset, at_ms in since.items() if (asset, at_ms) in holdings}


class Event(NamedTuple):
    """An event of a loss: when it happened, whether assets left by it, and its entry."""

    at_ms: int
    left: bool
    evidence: Evidence


def losses_of(marks: Mapping[str, list[Version]], folded: Folded) -> list[Loss]:
    """Marks, each with the times of its loss, whether it left, and its evidence."""
    causes = {version.offset for versions in marks.values() for version in versions}
    told, digests = _Events({name: versions[-1].mark for name, versions in marks.items()}), dict[int, str]()
    accepted = folded.dossier.accepted
    for offset, entry in folded.entries():
        if offset in causes:
            digests[offset] = sha256(entry).hexdigest()
        if offset in accepted:
            told.take(offset, entry)
    for offset, entry in folded.told(OUTFLOW) if told.payments else ():
        told.pay(offset, entry)
    losses = []
    for name, versions in marks.items():
        mark, events = versions[-1].mark, told.by_mark.get(name, [])
        asked_at_ms = min((event.at_ms for event in events), default=versions[0].mark.decided_at_ms)
        # What isn't of a withdrawal is seen when it is gone: an output, a credit, a fall of a balance.
        left = not name.startswith(f"withdrawal:{mark.withdrawal_id}") or any(event.left for event in events)
        lost_at_ms = min((event.at_ms for event in events if event.left), default=asked_at_ms)
        found = [Evidence(version.offset, digests[version.offset], f"version {version.mark.version}") for version in versions]
        found += [event.evidence for event in events]
        losses.append(Loss(mark, asked_at_ms, lost_at_ms, left, tuple(sorted(found, key=lambda each: (each.offset, each.what)))))
    return losses


class _Events:
    """By mark, the events that tell of its loss: of a withdrawal all its steps and what was seen leaving for it, of an outflow or posting its own.

    A transaction that has a mark of its own (a second one that pays the same) is that mark's loss alone. `payments`: the transactions that the steps
    name, by which outputs are known that name no withdrawal.
    """

    def __init__(self, newest: Mapping[str, Mark]) -> None:
        self._newest = newest
        self._of_withdrawal: dict[str, list[Mark]] = {}
        self.payments: dict[str, set[str]] = {}
        self.by_mark: dict[str, list[Event]] = {}
        for mark in newest.values():
            if mark.withdrawal_id is not None:
                self._of_withdrawal.setdefault(mark.withdrawal_id, []).append(mark)

    def take(self, offset: int, entry: bytes) -> None:
        """The next entry that had its effect."""
        if entry.startswith(WITHDRAWAL):
            self._step(offset, entry)
        elif entry.startswith(OUTFLOW):
            self._outflow(offset, entry)
        elif entry.startswith(POSTING):
            posting = _posting(entry).event
            self._add(f"posting:{posting.posting_id}", Event(posting.occurred_at_ms, left=True, evidence=_evidence(offset, entry, "posting")))

    def pay(self, offset: int, entry: bytes) -> None:
        """An outflow, once all steps are known: one that names no withdrawal may pay some by their transaction."""
        found = _outflow(entry)
        outflow = found.event
        if outflow.withdrawal_id is None:
            for withdrawal_id in self.payments.get(payment_key(outflow.tx_id, destination(outflow.address, outflow.tag)), ()):
                self._withdrawal(withdrawal_id, outflow.asset, outflow.tx_id, _seen_leaving(offset, entry, found))

    def _step(self, offset: int, entry: bytes) -> None:
        event = _withdrawal(entry).event
        withdrawal_id, tx_id, status = event.withdrawal_id, event.tx_id, event.status
        if withdrawal_id in self._of_withdrawal:
            if tx_id is not None and status != "failed":
                self.payments.setdefault(payment_key(tx_id, destination(event.address, event.tag)), set()).add(withdrawal_id)
            told = Event(event.occurred_at_ms, status in LEFT, _evidence(offset, entry, f"withdrawal {status}"))
            self._withdrawal(withdrawal_id, event.asset, tx_id, told)

    def _outflow(self, offset: int, entry: bytes) -> None:
        found = _outflow(entry)
        outflow, own = found.event, loss_of(found.event)
        if own not in self._newest or self._newest[own].asset != outflow.asset:
            own = f"{own}:{outflow.asset}"  # told with another asset than that loss
        if outflow.withdrawal_id in self._of_withdrawal and outflow.withdrawal_id is not None:
            self._withdrawal(outflow.withdrawal_id, outflow.asset, outflow.tx_id, _seen_leaving(offset, entry, found), own)
        mark = self._newest.get(own)
        if mark is not None and mark.withdrawal_id is None:
            self._add(own, _seen_leaving(offset, entry, found))

    def _withdrawal(self, withdrawal_id: str, asset: str, tx_id: str | None, event: Event, own: str = "") -> None:
        """An event of a withdrawal is told of all its marks; assets left for those that it is the loss of."""
        marks = self._of_withdrawal[withdrawal_id]
        whole = (f"withdrawal:{withdrawal_id}", f"withdrawal:{withdrawal_id}:{asset}")
        alike = {mark.mark_id for mark in marks if mark.asset == asset and mark.state != "cleared"}
        lost = (alike & {f"{name}:{tx_id}" for name in whole}) or (alike & {*whole})
        for mark in marks:
            self._add(mark.mark_id, event._replace(left=event.left and mark.mark_id in {*lost, own}))

    def _add(self, mark_id: str, event: Event) -> None:
        if mark_id in self._newest:
            self.by_mark.setdefault(mark_id, []).append(event)


def _evidence(offset: int, entry: bytes, what: str) -> Evidence:
    return Evidence(offset, sha256(entry).hexdigest(), what)


def _seen_leaving(offset: int, entry: bytes, found: OutflowEntry) -> Event:
    """An output; where its time was absurd, intake's clock stands for it."""
    at_ms = found.clock_ms if found.time_replaced else found.event.occurred_at_ms
    return Event(at_ms, not found.event.internal, _evidence(offset, entry, "outflow"))


class _Newest(NamedTuple):
    """The newest holding of one account so far."""

    at_ms: int
    event_id: str
    quantity: str
    offset: int
    digest: bytes


def _holdings(told: Told, wanted: AbstractSet[tuple[str, int]], assets: Mapping[str, Asset]) -> Holdings:
    """The holdings of some assets at some times.

    Of holdings of the same time the later entry counts; an event that was delivered twice counts where it came first.
    """
    times: dict[str, list[int]] = {}
    for asset, since_ms in sorted(wanted):
        times.setdefault(asset, []).append(since_ms)
    newest: dict[tuple[str, int], dict[str, _Newest]] = {}
    for offset, entry in told(HOLDING) if wanted else ():
        event = _holding(entry).event
        digest = None
        for since_ms in times.get(event.asset, ()):
            if event.occurred_at_ms > since_ms:
                continue
            accounts = newest.setdefault((event.asset, since_ms), {})
            known = accounts.get(event.account_id)
            if known is None or (event.occurred_at_ms >= known.at_ms and event.event_id != known.event_id):
                digest = digest or sha256(entry).digest()
                accounts[event.account_id] = _Newest(event.occurred_at_ms, event.event_id, event.quantity, offset, digest)
    holdings: Holdings = {}
    for (asset, since_ms), accounts in newest.items():
        for account_id, one in accounts.items():
            minor = parse_amount(one.quantity, assets[asset].decimals)
            if isinstance(minor, int):
                held = Held(minor, one.at_ms, Evidence(one.offset, one.digest.hex(), "holding"))
                holdings.setdefault((asset, since_ms), {})[account_id] = held
    return holdings


def _recorded_prices(told: Told, rule: PriceRule) -> dict[str, list[tuple[int, int]]]:
    """By asset, the prices that an average is made of: those that the ledger took; an event that was delivered twice counts once."""
    recorded: dict[str, list[tuple[int, int]]] = {}
    seen: set[str] = set()
    for _, entry in told(PRICE) if rule.from_ms is not None else ():
        event = _price(entry).event
        price = parse_price(event.price)
        if isinstance(price, Price) and rule.wants(event.occurred_at_ms) and event.event_id not in seen:
            seen.add(event.event_id)
            recorded.setdefault(event.asset, []).append((price.price_scaled, price.scale))
    return recorded
