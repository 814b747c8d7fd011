"""From a folded journal to a statement of compensation: finds when each loss happened, who held what then, and which entries say so.

Reads the journal again for the events of the losses, then for holdings, and for prices if they are averaged. Decides nothing: `monitor.compensation` divides.
"""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from hashlib import sha256
from typing import NamedTuple

import msgspec

from monitor.compensation import Basis, Held, Loss, pooled_since, statement
from monitor.contracts.compensation import Evidence, Statement
from monitor.contracts.journal import HoldingEntry, OutflowEntry, PostingEntry, PriceEntry, WithdrawalEntry
from monitor.contracts.outputs import Mark
from monitor.money import Price, parse_amount, parse_price
from monitor.outflows import loss_of
from monitor.policy import Asset
from monitor.price_rules import PriceRule, prices_by
from streams.dossier import Entries, Folded, Version
from streams.refusals import RefusedError

EVENTS = (b'{"kind":"withdrawal"', b'{"kind":"outflow"', b'{"kind":"posting"')
HOLDING, PRICE = b'{"kind":"holding"', b'{"kind":"price"'
LEFT = ("broadcast", "confirmed")

_event = msgspec.json.Decoder(WithdrawalEntry | OutflowEntry | PostingEntry).decode
_holding = msgspec.json.Decoder(HoldingEntry).decode
_price = msgspec.json.Decoder(PriceEntry).decode
Told = dict[str, list[tuple[int, bool, Evidence]]]
"""By mark, the events of its loss: when, whether the assets left by it, and the entry."""


def compensation(folded: Folded, incident_id: str, rule: PriceRule, pooled_accounts: Iterable[str] = ()) -> Statement:
    """The statement of one incident. Raises RefusedError if there can be none."""
    folded.dossier.incident(incident_id)
    state, pooled = folded.engine.state, tuple(sorted(set(pooled_accounts)))
    losses = losses_of(folded.dossier.marks_of(incident_id), folded.entries)
    since = pooled_since(losses, pooled)
    lost = {loss.mark.asset for loss in losses if loss.mark.state != "cleared"}
    prices = prices_by(rule, lost, _recorded_prices(folded.entries, rule))
    if isinstance(prices, str):
        raise RefusedError(f"The price rule can't be used: {prices}.")
    basis = Basis(
        incident_id=incident_id,
        journal_id=folded.engine.journal_id,
        engine_version=folded.engine_version,
        base_currency=state.policy.base_currency,
        assets=state.policy.assets,
        rule=rule,
        prices=prices,
        pooled_accounts=pooled,
        holdings=_holdings(folded.entries, since, state.policy.assets),
    )
    made = statement(basis, losses)
    if isinstance(made, str):
        raise RefusedError(f"There is no compensation file: {made}.")
    return made


def losses_of(marks: Mapping[str, list[Version]], entries: Entries) -> list[Loss]:
    """The incident's marks, each with the time of its loss and its evidence."""
    newest = {name: versions[-1].mark for name, versions in marks.items()}
    causes = {version.offset for versions in marks.values() for version in versions}
    told, digests = _events(newest, causes, entries)
    losses = []
    for name, mark in newest.items():
        first = marks[name][0].mark
        events = told.get(name, [])
        left = [at_ms for at_ms, gone, _ in events if gone] or [at_ms for at_ms, _, _ in events] or [first.decided_at_ms]
        found = [Evidence(version.offset, digests[version.offset], f"version {version.mark.version}") for version in marks[name]]
        found += [each for _, _, each in events]
        losses.append(Loss(mark, min(left), tuple(sorted(found, key=lambda each: (each.offset, each.what)))))
    return losses


def _events(newest: Mapping[str, Mark], causes: AbstractSet[int], entries: Entries) -> tuple[Told, dict[int, str]]:
    """The events that tell of the losses: of a withdrawal all its records, of an outflow or posting its own. And the SHA-256 of causes by offset."""
    by_withdrawal: dict[str, list[str]] = {}
    for name, mark in newest.items():
        if mark.withdrawal_id is not None:
            by_withdrawal.setdefault(mark.withdrawal_id, []).append(name)
    told: Told = {}
    digests: dict[int, str] = {}
    for offset, entry in entries():
        if offset in causes:
            digests[offset] = sha256(entry).hexdigest()
        if not entry.startswith(EVENTS):
            continue
        found = _event(entry)
        event = found.event
        gone, what = True, "posting"
        if isinstance(found, PostingEntry):
            names = [f"posting:{found.event.posting_id}"]
        else:
            names = list(by_withdrawal.get(found.event.withdrawal_id or "", ()))
            if isinstance(found, OutflowEntry):
                what = "outflow"
                loss = loss_of(found.event)
                names += [loss, f"{loss}:{found.event.asset}"]
            else:
                gone, what = found.event.status in LEFT, f"withdrawal {found.event.status}"
        for name in names:
            if name in newest:
                told.setdefault(name, []).append((event.occurred_at_ms, gone, Evidence(offset, sha256(entry).hexdigest(), what)))
    return told, digests


class _Newest(NamedTuple):
    """The newest holding of one account so far."""

    at_ms: int
    event_id: str
    quantity: str
    offset: int
    digest: bytes


def _holdings(entries: Entries, since: Mapping[str, int], assets: Mapping[str, Asset]) -> dict[str, dict[str, Held]]:
    """By asset, the newest holding of each account at or before the losses.

    Of holdings of the same time the later entry counts; an event that was delivered twice counts where it came first.
    """
    newest: dict[tuple[str, str], _Newest] = {}
    for offset, entry in entries() if since else ():
        if not entry.startswith(HOLDING):
            continue
        event = _holding(entry).event
        if event.asset not in since or event.occurred_at_ms > since[event.asset]:
            continue
        key = event.asset, event.account_id
        known = newest.get(key)
        if known is None or (event.occurred_at_ms >= known.at_ms and event.event_id != known.event_id):
            newest[key] = _Newest(event.occurred_at_ms, event.event_id, event.quantity, offset, sha256(entry).digest())
    holdings: dict[str, dict[str, Held]] = {}
    for (asset, account_id), told in newest.items():
        minor = parse_amount(told.quantity, assets[asset].decimals)
        if isinstance(minor, int):
            holdings.setdefault(asset, {})[account_id] = Held(minor, Evidence(told.offset, told.digest.hex(), "holding"))
    return holdings


def _recorded_prices(entries: Entries, rule: PriceRule) -> dict[str, list[tuple[int, int]]]:
    """By asset, the recorded prices that an average is made of; an event that was delivered twice counts once."""
    recorded: dict[str, list[tuple[int, int]]] = {}
    seen: set[str] = set()
    for _, entry in entries() if rule.from_ms is not None else ():
        if not entry.startswith(PRICE):
            continue
        event = _price(entry).event
        price = parse_price(event.price)
        if isinstance(price, Price) and rule.wants(event.occurred_at_ms) and event.event_id not in seen:
            seen.add(event.event_id)
            recorded.setdefault(event.asset, []).append((price.price_scaled, price.scale))
    return recorded
