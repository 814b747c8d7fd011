"""An independent auditor recomputes reserve and marks from what is published, after every record, over random journals and decisions.

Seeded: wrong withdrawals, outflows nobody asked for, funding and draws, other layers, prices that come late or not at all, and everything that
people can do to a mark, allowed or not. A seed that fails is named by its test.
"""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from fractions import Fraction
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from monitor.contracts.base import Cause, Owner
from monitor.engine import Engine, OutputRecord
from monitor.mark_state import Change
from monitor.policy import Layer
from monitor.snapshot_file import decode, encode
from tests.simulation.journals import ASSETS, START_MS, Writer, term
from tests.simulation.mark_auditor import Auditor, Record

STALE_MS = 60_000
CAUSES: tuple[Cause, ...] = ("unauthorized_access", "system_failure", "undecided")
OPERATIONS = ("revise", "clear", "confirm", "change_cause", "change_owner", "move", "recover", "compensate")


def layers(rng: random.Random) -> tuple[Layer, ...]:
    """Layers of every kind, with limits and deductibles of every size, in an order that isn't always the usual one."""

    def amount(low: int, high: int) -> str:
        return str(rng.randrange(1, 10 ** rng.randrange(low, high)))

    whole, event = sorted((int(amount(4, 10)), int(amount(4, 10))), reverse=True)
    kept = [
        Layer("kind-btc", "BTC", kind="guarantee", limit_per_event=rng.choice((None, "0.75"))),
        Layer("reserve", "JPY", causes=("unauthorized_access",), deductible=rng.choice(("0", amount(1, 6)))),
        Layer("insurance", "JPY", kind="insurance", drawn="on_claim", limit_total=str(whole), limit_per_event=str(event), deductible=amount(1, 7)),
        Layer("kind-eth", "ETH", kind="guarantee", drawn="on_claim", limit_total="3.5", deductible=rng.choice(("0", "0.000000000000000007"))),
        Layer("group", "JPY", kind="group_funding", customers_only=False, limit_total=rng.choice((None, amount(3, 11)))),
    ]
    if rng.random() < 0.3:
        rng.shuffle(kept)
    return tuple(kept[: rng.randrange(3, 6)] if rng.random() < 0.3 else kept)


class World:
    """Draws entries; layers, funding, draws and prices are told to the auditor before the fold sees them."""

    def __init__(self, seed: int, auditor: Auditor) -> None:
        self.rng = random.Random(seed)
        self.auditor = auditor
        self.writer = Writer()
        self.at_ms = START_MS
        self.number = 0
        self.withdrawals: list[dict[str, object]] = []

    def entries(self, count: int) -> Iterator[bytes]:
        """A journal of that many random events."""
        yield self.term()
        yield from self.writer.opened(START_MS)
        kinds: tuple[Callable[[], bytes], ...] = (self.price, self.reserve, self.outflow, self.term, self.step)
        for _ in range(count):
            self.at_ms += self.rng.randrange(2_000)
            self.number += 1
            yield self.rng.choices(kinds, (8, 12, 10, 1, 60))[0]()
            yield from self.writer.progress(self.at_ms)

    def term(self) -> bytes:
        taken = layers(self.rng)
        self.auditor.terms(taken)
        return term(self.at_ms, f"term-{self.number}", layers=taken, price_stale_after_ms=STALE_MS)

    def event(self, topic: str, **facts: object) -> bytes:
        return self.writer.event(topic, {"event_id": f"e{self.number}", "occurred_at_ms": self.at_ms, **facts}, self.at_ms)

    def amount(self, asset: str) -> str:
        decimals = ASSETS[asset]
        minor = self.rng.randrange(1, 10 ** self.rng.randrange(1, decimals + 3))
        return f"{minor // 10**decimals}.{minor % 10**decimals:0{decimals}d}" if decimals else str(minor)

    def price(self) -> bytes:
        asset = self.rng.choice(("BTC", "ETH"))
        text = f"{self.rng.randrange(1, 10 ** self.rng.randrange(1, 9))}.{self.rng.randrange(10**6):06d}"
        newest = self.auditor.doubted.get(asset) or self.auditor.prices.get(asset)
        if newest is not None and self.rng.random() < 0.8:  # most prices are near the one before
            whole, millionths = divmod(round(Fraction(newest[0]) * self.rng.randrange(81, 120) * 10_000), 10**6)
            text = f"{whole}.{millionths:06d}" if whole or millionths else text
        off_ms = self.rng.choice((0, 0, 0, 0, self.rng.randrange(-3_000, 0), self.rng.randrange(600_000)))  # late, or by a clock that is ahead
        self.auditor.price(asset, text, self.at_ms + min(off_ms, 0))
        return self.event("prices", asset=asset, price=text, price_source="test", occurred_at_ms=self.at_ms + off_ms)

    def reserve(self) -> bytes:
        """A layer is funded or drawn down; where the auditor knows that it must be refused, it books nothing."""
        auditor = self.auditor
        name, unit = self.rng.choice((("kind-btc", "BTC"), ("reserve", "JPY"), ("group", "JPY"), ("insurance", "JPY"), ("uncovered", "JPY")))
        action = self.rng.choice(("fund", "fund", "draw"))
        amount = self.amount("BTC") if unit == "BTC" else str(self.rng.randrange(1, 10 ** self.rng.randrange(1, 10)))
        known = name in auditor.units and not auditor.claimed[name]
        if action == "fund" and known and any(layer.name == name for layer in auditor.layers):
            auditor.put_in[name] += Fraction(amount)  # type: ignore[assignment]
        elif action == "draw" and known and auditor.put_in[name] - auditor.used(name) >= Fraction(amount):
            auditor.put_in[name] -= Fraction(amount)  # type: ignore[assignment]
        return self.event("reserves", layer_id=name, action=action, unit=unit, amount=amount)

    def outflow(self) -> bytes:
        asset = self.rng.choice(("BTC", "ETH", "XRP", "JPY"))
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


class People:
    """Draw decisions on marks, of which many must be refused."""

    def __init__(self, rng: random.Random, auditor: Auditor) -> None:
        self.rng = rng
        self.auditor = auditor

    def decide(self, engine: Engine) -> list[OutputRecord]:
        """One decision, as a handler of the fold would carry it out at the end of its entry; whether it is refused must be foreseeable."""
        state, decisions = engine.state, engine.decisions
        mark_id = self.rng.choice([*self.auditor.marks, "nobody's"])
        mark = self.auditor.marks.get(mark_id)
        operation = self.rng.choice(OPERATIONS)
        arguments = self.arguments(operation, mark, state.incidents.by_id, ASSETS[mark["asset"]] if mark else 0)
        if operation == "revise":
            arguments.append(state.clock.now_ms)
        before = books(engine)
        change: Change | str = getattr(state.marks, operation)(mark_id, *arguments)
        refused = isinstance(change, str)
        assert refused == (mark is None or self.refused(operation, mark, arguments, 10 ** ASSETS[mark["asset"]])), (operation, arguments, mark)
        self.auditor.told["refused" if refused else operation] += 1
        if isinstance(change, str):
            assert books(engine) == before, f"{operation} was refused and changed something"
            return []
        decisions.changed(change)
        decisions.settle()
        return engine.outbox.take()

    def arguments(self, operation: str, mark: Record | None, incidents: Any, decimals: int) -> list[Any]:
        rng = self.rng
        if operation == "change_cause":
            return [rng.choice(CAUSES)]
        if operation == "change_owner":
            owners: tuple[Owner, ...] = ("customer", "exchange")
            return [rng.choice(owners)]
        if operation == "move":
            return [rng.choice([*incidents, "incident-of-nobody"])]
        if operation in ("revise", "recover"):
            whole = 10**6 if mark is None else int(Fraction(mark["amount"]) * 10**decimals)
            return [rng.choice((whole, whole // 2, rng.randrange(-1, whole + 2), rng.randrange(2 * whole + 1), whole // rng.randrange(1, 9)))]
        return []

    @staticmethod
    def refused(operation: str, mark: Record, arguments: list[Any], scale: int) -> bool:
        """Whether a decision on a mark must be refused, from what is published of it."""
        state = mark["state"]
        first: Any = arguments[0] if arguments else None
        amount, still, back, paid = (Fraction(mark[field]) * scale for field in ("amount", "open_amount", "recovered_amount", "compensated_amount"))
        if operation == "move":
            return bool(mark["incident_id"] == first)
        wrong: dict[str, Callable[[], bool]] = {
            "revise": lambda: first <= 0 or first == amount or first < amount - still,
            "clear": lambda: paid + back > 0,
            "confirm": lambda: state != "suspected",
            "change_cause": lambda: mark["cause"] == first,
            "change_owner": lambda: mark["owner"] == first,
            "recover": lambda: state == "suspected" or first <= 0 or first > amount - back,
            "compensate": lambda: state in ("suspected", "compensated") or mark["base_amount"] is None,
        }
        return state == "cleared" or bool(wrong[operation]())


def books(engine: Engine) -> bytes:
    """All that an operation on a mark may change."""
    marks = engine.state.marks
    parts = (marks.by_id, marks.ledger.layers, list(marks.ledger.uses.values()), marks.ledger.freed, marks.sums, marks.total, marks.stages)
    return msgspec.json.encode((parts, marks.unpriced, marks.uncovered.in_order(), marks.by_incident, marks.drain))


def audit(auditor: Auditor, records: list[OutputRecord], now_ms: int) -> None:
    """Let the auditor read marks, coverage and incidents in their order."""
    for record in records:
        if record.topic == "marks":
            auditor.mark(json.loads(record.value), now_ms)
        elif record.topic == "coverage":
            auditor.coverage(json.loads(record.value))
        elif record.topic == "incidents":
            auditor.incident(json.loads(record.value))
    if records:
        assert auditor.improvable() == []


def played(seed: int, *, restores: float) -> tuple[Auditor, Engine, bytes]:
    """A world with its people and its auditor; what came of it, with a digest of all that was published."""
    auditor = Auditor(ASSETS, STALE_MS)
    world = World(seed, auditor)
    people, chance, digest = People(random.Random(-seed), auditor), random.Random(seed), sha256()
    engine: Engine | None = None
    for offset, entry in enumerate(world.entries(250)):
        if engine is None:
            engine = Engine(sha256(entry).hexdigest())
        records = engine.fold(offset, [entry])
        audit(auditor, records, engine.state.clock.now_ms)
        for _ in range(2 if people.rng.random() < 0.2 and auditor.marks else 0):
            decided = people.decide(engine)
            audit(auditor, decided, engine.state.clock.now_ms)
            records += decided
        for record in records:
            digest.update(record.value)
        if chance.random() < restores:
            engine = Engine.thaw(decode(encode(engine.freeze())))
    assert engine is not None
    return auditor, engine, digest.digest()


@pytest.mark.parametrize("seed", [*range(40), *(pytest.param(seed, marks=pytest.mark.long) for seed in range(40, 1_000))])
def test_every_unit_is_in_one_place(seed: int) -> None:
    auditor, engine, published = played(seed, restores=0.01)
    assert auditor.told["new"] > 10  # else it has proven nothing
    stages = Counter(mark["state"] for mark in auditor.marks.values())
    assert {stage: number for stage, number in engine.gauges().marks.items() if number} == stages
    if seed % 10 == 0:
        assert played(seed, restores=0)[2] == published
