"""What an engine's witness is told: each event that had its effect, once, and nothing else; however the journal is cut."""

import json
from typing import Any

import pytest

from monitor.engine import Engine, Scope
from streams.dossier import Dossier
from tests.simulation.journals import START_MS, Writer, term
from tests.unit.story import USUAL


def journal() -> tuple[list[bytes], dict[str, int]]:
    """Entries, and the offsets of some by name."""
    writer = Writer()
    entries, at = [term(), *writer.opened(START_MS)], dict[str, int]()

    def tell(name: str, topic: str, **facts: Any) -> None:
        at[name] = len(entries)
        entries.append(writer.event(topic, {"event_id": name, "occurred_at_ms": START_MS, **facts}, START_MS))

    withdrawal: dict[str, Any] = USUAL["withdrawals"] | {"status": "requested"}
    tell("holding", "holdings", account_id="a", asset="BTC", quantity="1")
    tell("again", "holdings", account_id="a", asset="BTC", quantity="1", event_id="holding")
    tell("conflict", "holdings", account_id="a", asset="BTC", quantity="2", event_id="holding")
    tell("unplaced", "holdings", account_id="a", asset="NONE", quantity="2")
    tell("left out", "holdings", account_id="b", asset="BTC", quantity="2")
    tell("request", "withdrawals", **withdrawal)
    tell("other request", "withdrawals", **withdrawal | {"event_id": "request", "amount": "2"})
    tell("price", "prices", asset="BTC", price="1000", price_source="x")
    tell("jump", "prices", asset="BTC", price="9000", price_source="x")
    tell("old price", "prices", asset="BTC", price="1000", price_source="x", occurred_at_ms=START_MS - 1)
    tell("price ahead", "prices", asset="BTC", price="1010", price_source="x", occurred_at_ms=START_MS + 5)
    at["read before"] = len(entries)
    event = {"event_id": "z", "occurred_at_ms": START_MS, "account_id": "a", "asset": "BTC", "quantity": "9"}
    source = json.loads(entries[at["holding"]])
    entries.append(json.dumps(source | {"event": event}, separators=(",", ":")).encode())
    return entries, at


@pytest.mark.parametrize("batch", [1, 4, 1_000])
def test_only_what_had_its_effect_is_told(batch: int) -> None:
    entries, at = journal()
    quarantines: dict[int, Scope] = {at["left out"]: "entry", at["request"]: "detectors"}
    engine, dossier, told = Engine("0" * 64, quarantines), Dossier(), list[int]()
    silent = Engine("0" * 64, quarantines)

    def witness(offset: int) -> None:
        told.append(offset)
        dossier.accepted.witness(offset)

    engine.witness = witness
    for start in range(0, len(entries), batch):
        part = entries[start : start + batch]
        assert engine.fold(start, part) == silent.fold(start, part), "being watched changes nothing"
    names = {offset: name for name, offset in at.items()}
    # A conflict of holdings has no effect; one of withdrawals has, since more scrutiny can't harm.
    assert [names[offset] for offset in told] == ["holding", "request", "other request", "price", "price ahead"]
    assert [name for name, offset in at.items() if offset in dossier.accepted] == ["holding", "request", "other request", "price", "price ahead"]
    assert len(entries) + 9 not in dossier.accepted
