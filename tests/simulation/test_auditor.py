"""An independent auditor recomputes the reserve from what is published, with own code and own structures, after every record.

Seeded: wrong withdrawals, outflows nobody asked for, funding and draws, prices that come late. A seed that fails is named by its test.
"""

import json
import random
from collections.abc import Iterator
from fractions import Fraction
from hashlib import sha256
from math import ceil

import pytest

from monitor.engine import Engine, OutputRecord
from monitor.policy import Layer
from monitor.snapshot import decode, encode
from tests.simulation.journals import ASSETS, START_MS, Writer, term

LAYERS = (Layer("kind-btc", "BTC"), Layer("reserve", "JPY", causes=("unauthorized_access",)), Layer("group", "JPY", customers_only=False))


class Auditor:
    """Amounts as fractions, layers as sums over the marks that stand."""

    def __init__(self) -> None:
        self.marks: dict[str, dict[str, object]] = {}
        self.funded: dict[str, Fraction] = {layer.layer_id: Fraction(0) for layer in LAYERS}
        self.seen = 0

    def mark(self, mark: dict[str, object]) -> None:
        """A version of a mark: versions ascend by one, parts and rest sum up to its value, which is price times amount, rounded up."""
        known = self.marks.get(str(mark["mark_id"]))
        assert mark["version"] == (1 if known is None else known["version"] + 1)  # type: ignore[operator]
        self.marks[str(mark["mark_id"])] = mark
        self.seen += 1
        if mark["state"] == "cleared":
            assert mark["allocations"] == []
            return
        parts = mark["allocations"]
        assert isinstance(parts, list)
        for part in parts:
            layer = next(layer for layer in LAYERS if layer.layer_id == part["layer_id"])
            assert layer.unit in (mark["asset"], "JPY")
            assert mark["cause"] in layer.causes
            assert mark["owner"] == "customer" or not layer.customers_only
        if mark["price"] is None:
            assert mark["base_amount"] is None
            return
        value = ceil(Fraction(str(mark["amount"])) * Fraction(str(mark["price"])))
        assert Fraction(str(mark["base_amount"])) == value
        assert sum(Fraction(part["base_amount"]) for part in parts) + Fraction(str(mark["uncovered_base_amount"])) == value

    def coverage(self, coverage: dict[str, object]) -> None:
        """Every layer: what is held is what the standing marks say; nothing appears or vanishes."""
        held = dict.fromkeys(self.funded, Fraction(0))
        for mark in self.marks.values():
            for part in mark["allocations"]:  # type: ignore[attr-defined]
                held[part["layer_id"]] += Fraction(part["amount"])
        for layer in coverage["layers"]:  # type: ignore[attr-defined]
            name = layer["layer_id"]
            assert Fraction(layer["held"]) == held[name], name
            assert Fraction(layer["funded"]) + Fraction(layer["recovered"]) == self.funded[name], name
            assert Fraction(layer["available"]) == self.funded[name] - held[name] >= 0, name
        standing = [mark for mark in self.marks.values() if mark["state"] == "suspected"]
        assert Fraction(str(coverage["marked_base_amount"])) == sum(Fraction(str(mark["base_amount"] or 0)) for mark in standing)
        assert Fraction(str(coverage["uncovered_base_amount"])) == sum(Fraction(str(mark["uncovered_base_amount"] or 0)) for mark in standing)
        assert coverage["at_least"] == any(mark["price"] is None for mark in standing)


class World:
    """Draws entries; funding and draws are told to the auditor before the fold sees them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.writer = Writer()
        self.at_ms = START_MS
        self.number = 0
        self.withdrawals: list[dict[str, object]] = []

    def entries(self, auditor: Auditor, count: int) -> Iterator[bytes]:
        """A journal of that many random events."""
        yield term(layers=LAYERS)
        yield from self.writer.opened(START_MS)
        for _ in range(count):
            self.at_ms += self.rng.randrange(2_000)
            self.number += 1
            draw = self.rng.random()
            if draw < 0.08:
                yield self.price()
            elif draw < 0.16:
                yield self.reserve(auditor)
            elif draw < 0.26:
                yield self.outflow()
            else:
                yield self.step()
            yield from self.writer.progress(self.at_ms)

    def event(self, topic: str, **facts: object) -> bytes:
        return self.writer.event(topic, {"event_id": f"e{self.number}", "occurred_at_ms": self.at_ms, **facts}, self.at_ms)

    def amount(self, asset: str) -> str:
        decimals = ASSETS[asset]
        minor = self.rng.randrange(1, 10 ** self.rng.randrange(1, decimals + 3))
        return f"{minor // 10**decimals}.{minor % 10**decimals:0{decimals}d}" if decimals else str(minor)

    def price(self) -> bytes:
        asset = self.rng.choice(("BTC", "ETH"))
        return self.event("prices", asset=asset, price=f"{self.rng.randrange(1, 10**8)}.{self.rng.randrange(10**6):06d}", price_source="test")

    def reserve(self, auditor: Auditor) -> bytes:
        layer = self.rng.choice(LAYERS)
        amount = self.amount("JPY") if layer.unit == "JPY" else self.amount("BTC")
        auditor.funded[layer.layer_id] += Fraction(amount)
        return self.event("reserves", layer_id=layer.layer_id, action="fund", unit=layer.unit, amount=amount)

    def outflow(self) -> bytes:
        asset = self.rng.choice(("BTC", "ETH", "XRP"))
        owner = self.rng.choice(("customer", "exchange"))
        address, amount = f"thief-{self.rng.randrange(5)}", self.amount(asset)
        return self.event("outflows", tx_id=f"t{self.number}", wallet_id="hot", asset=asset, network="n", amount=amount, address=address, owner=owner)

    def step(self) -> bytes:
        if not self.withdrawals or self.rng.random() < 0.4:
            asset = self.rng.choice(("BTC", "ETH", "XRP"))
            facts: dict[str, object] = {
                "withdrawal_id": f"w{self.number}",
                "account_id": f"a{self.rng.randrange(20)}",
                "asset": asset,
                "network": "n",
            }
            facts |= {"amount": self.amount(asset), "address": f"d{self.rng.randrange(30)}", "owner": self.rng.choice(("customer", "exchange"))}
            if self.rng.random() < 0.2:
                facts["balance_before"] = "0"
            self.withdrawals.append(facts)
            return self.event("withdrawals", status="requested", **facts)
        facts = dict(self.rng.choice(self.withdrawals))
        status = self.rng.choice(("approved", "broadcast", "confirmed", "cancelled", "failed"))
        if self.rng.random() < 0.3:
            facts["address"] = "thief"
        if self.rng.random() < 0.1:
            facts["amount"] = f"9{facts['amount']}"
        if status in ("broadcast", "confirmed"):
            facts["tx_id"] = f"x{facts['withdrawal_id']}" if self.rng.random() < 0.8 else f"x{self.number}"
        return self.event("withdrawals", status=status, **facts)


def audit(auditor: Auditor, records: list[OutputRecord]) -> None:
    """Let the auditor read marks and coverage in their order."""
    for record in records:
        if record.topic == "marks":
            auditor.mark(json.loads(record.value))
        elif record.topic == "coverage":
            auditor.coverage(json.loads(record.value))


@pytest.mark.parametrize("seed", range(30))
def test_every_unit_is_in_one_place(seed: int) -> None:
    auditor, world = Auditor(), World(seed)
    engine: Engine | None = None
    for offset, entry in enumerate(world.entries(auditor, 300)):
        if engine is None:
            engine = Engine(sha256(entry).hexdigest())
        audit(auditor, engine.fold(offset, [entry]))
        if world.rng.random() < 0.002:
            engine = Engine.thaw(decode(encode(engine.freeze())))
    assert auditor.seen > 10  # else it has proven nothing
    assert engine is not None
    assert engine.gauges().marks["suspected"] == sum(mark["state"] == "suspected" for mark in auditor.marks.values())
