"""An independent witness recomputes coverage from what was told, with fractions and over everything, on every Tick; seeded, with restores.

It keeps its own balances, prices and funding; of the fold it reads the published records only. A seed that fails is named by its test.
"""

import random
from fractions import Fraction
from math import ceil
from typing import Any, NamedTuple

import pytest

from monitor.engine import Engine
from monitor.policy import CoverageLevels, Layer
from monitor.snapshot_file import decode, encode
from tests.unit.story import Story


class Terms(NamedTuple):
    """A layer as the witness was told of it; amounts in its unit."""

    layer_id: str
    unit: str
    guarantee: bool = False
    per_event: str | None = None
    claimed: str | None = None
    deductible: str = "0"

    def policy(self) -> Layer:
        """The same for the policy."""
        return Layer(
            self.layer_id, self.unit, kind="guarantee" if self.guarantee else "liability_reserve", drawn="on_claim" if self.claimed else "prefunded",
            limit_total=self.claimed, limit_per_event=self.per_event, deductible=self.deductible,
        )  # fmt: skip


def drawn_layers(rng: random.Random) -> list[Terms]:
    """Plain ones, or with limits and deductibles; only one is a guarantee."""
    if rng.random() < 0.3:
        return [Terms("kind", "BTC", guarantee=True), Terms("reserve", "JPY")]
    return [
        Terms("kind", "BTC", guarantee=True, per_event=rng.choice((None, "3", "9.5")), deductible=rng.choice(("0", "0.25"))),
        Terms("reserve", "JPY", per_event=rng.choice((None, "7000")), deductible=rng.choice(("0", "333"))),
        Terms("stock", "BTC"),
        Terms("insurance", "JPY", per_event=rng.choice((None, "5000")), claimed="20000", deductible=rng.choice(("0", "777"))),
    ]


JUMP = Fraction(20, 100)


class Witness:
    """What was told, as it was told."""

    def __init__(self, layers: list[Terms]) -> None:
        self.layers = layers
        self.balances: dict[tuple[str, str], tuple[Fraction, bool, bool]] = {}
        self.prices: dict[str, Fraction] = {}
        self.waiting: dict[str, Fraction] = {}
        self.held: dict[str, Any] = {}
        self.funded = {layer.layer_id: Fraction(layer.claimed or 0) for layer in layers}

    def price(self, asset: str, price: Fraction) -> None:
        """A price counts if it is near the last one, or near one that waits."""
        near = [known for known in (self.prices.get(asset), self.waiting.get(asset)) if known is not None and abs(price - known) <= known * JUMP]
        if near or asset not in self.prices:
            self.prices[asset] = price
            self.waiting.pop(asset, None)
        else:
            self.waiting[asset] = price

    def value(self, asset: str, amount: Fraction) -> int:
        """Rounded up to the yen; without a price nothing."""
        return ceil(amount * (1 if asset == "JPY" else self.prices.get(asset, 0)))

    def used(self, layer: Terms) -> Fraction:
        """What marks hold of a layer."""
        return sum((Fraction(part["amount"]) for mark in self.held.values() for part in mark if part["layer_id"] == layer.layer_id), Fraction(0))

    def left(self, layer: Terms) -> Fraction:
        """What one event that is new may take of it."""
        left = self.funded[layer.layer_id] - self.used(layer)
        return left if layer.per_event is None else min(left, Fraction(layer.per_event))

    def headroom(self, *, at_first: bool = False) -> int:
        """What one further event could draw on, or the first could have: each layer's part without its deductible."""
        total = 0
        for layer in self.layers:
            size = self.funded[layer.layer_id] if at_first else self.left(layer)
            size = size if layer.per_event is None else min(size, Fraction(layer.per_event))
            total += self.value(layer.unit, max(Fraction(0), size - Fraction(layer.deductible)))
        return total

    def uncarried(self, asset: str, amount: Fraction) -> Fraction:
        """What of a loss that is an event by itself no layer would carry, before rounding."""
        worth, rest = Fraction(self.value(asset, amount)), Fraction(1)
        for layer in self.layers:
            whole = amount if layer.unit == asset else worth if layer.unit == "JPY" else Fraction(0)
            if whole:
                rest -= min(max(Fraction(0), rest - Fraction(layer.deductible) / whole), self.left(layer) / whole)
        return rest * worth

    def customers(self, asset: str, *, hot: bool) -> Fraction:
        """What customers have of an asset, in all or in hot wallets."""
        rows = [row for (_, name), row in self.balances.items() if name == asset and row[2] and (row[1] or not hot)]
        return sum((row[0] for row in rows), Fraction(0))

    def look(self, record: Any) -> None:
        """Compare one whole coverage."""
        assert {Fraction(amount) for amount in record["headroom_base_amount"].values()} == {self.headroom()}
        assets = ("BTC", "ETH")
        hot, customers = (sum(self.value(asset, self.customers(asset, hot=only)) for asset in assets) for only in (True, False))
        assert (int(record["hot_base_amount"]), int(record["customers_base_amount"])) == (hot, customers)
        share = None if customers == 0 else ceil(Fraction(hot * 10_000, customers))
        assert record["hot_share_percent"] == (
            None if share is None else str(Fraction(share, 100)) if share % 100 == 0 else f"{share / 100:.2f}".rstrip("0")
        )
        for row in record["assets"]:
            if row["asset"] == "JPY":
                continue
            mine = self.customers(row["asset"], hot=True)
            assert (Fraction(row["customers_hot"]), Fraction(row["customers"])) == (mine, self.customers(row["asset"], hot=False))
            guarantee = self.funded["kind"] if row["asset"] == "BTC" else Fraction(0)
            assert Fraction(row["guarantee_shortfall"]) == max(Fraction(0), mine - guarantee)
            standing = "missing" if row["asset"] not in self.prices else "jumped" if row["asset"] in self.waiting else "fresh"
            assert row["price_standing"] == standing
        for wallet in record["hot_wallets"]:
            amount, is_hot, is_customers = self.balances[(wallet["wallet_id"], wallet["asset"])]
            assert is_hot
            assert is_customers
            exact = self.uncarried(wallet["asset"], amount)
            assert abs(int(wallet["uncovered_base_amount"]) - exact) < 1  # a yen that no layer can be given whole is one layer's or nobody's
        values = [int(wallet["base_amount"]) for wallet in record["hot_wallets"]]
        assert values == sorted(values, reverse=True)
        exposed = [self.value(asset, row[0]) for (_, asset), row in self.balances.items() if row[1] and row[2] and row[0] and asset in self.prices]
        assert values == sorted(exposed, reverse=True)[: len(values)]
        assert len(values) == min(8, len(exposed))


class World:
    """Draws lines and tells them to the fold and to the witness."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        layers = drawn_layers(self.rng)
        self.story = Story(layers=tuple(layer.policy() for layer in layers), coverage_levels=CoverageLevels(headroom_percent=(50,)))
        self.witness = Witness(layers)
        self.number = 0

    def amount(self) -> str:
        return f"{self.rng.randrange(30)}.{self.rng.randrange(1, 100):02}"

    def line(self) -> str:
        """Something happens; the witness hears of it."""
        rng, witness, self.number = self.rng, self.witness, self.number + 1
        draw, asset = rng.random(), rng.choice(("BTC", "ETH"))
        if draw < 0.15:
            price = witness.prices.get(asset, Fraction(1_000)) * rng.choice(
                (Fraction(1), Fraction(11, 10), Fraction(9, 10), Fraction(3), Fraction(1, 3))
            )
            text = str(max(1, int(price)))
            witness.price(asset, Fraction(text))
            return f"prices asset={asset} price={text}"
        if draw < 0.5:
            wallet, amount, hot, mine = f"w{rng.randrange(12)}", self.amount(), rng.random() < 0.6, rng.random() < 0.8
            witness.balances[(wallet, asset)] = Fraction(amount), hot, mine
            return f"balances wallet_id={wallet} asset={asset} amount={amount} temperature={'hot' if hot else 'cold'} owner={'customer' if mine else 'exchange'}"
        if draw < 0.6:
            layer = rng.choice([layer for layer in witness.layers if layer.claimed is None])
            amount = self.amount() if layer.unit == "BTC" else str(rng.randrange(1, 9_000))
            witness.funded[layer.layer_id] += Fraction(amount)
            return f"reserves layer_id={layer.layer_id} unit={layer.unit} amount={amount}"
        if draw < 0.8:
            return f"withdrawals status=requested withdrawal_id=x{self.number} asset={asset} amount={self.amount()} balance_before=0 address=d{self.number}"
        return f"withdrawals status=cancelled withdrawal_id=x{rng.randrange(1, self.number + 1)} balance_before=0"

    def tell(self, line: str) -> list[dict[str, Any]]:
        """What the fold makes of it; marks are heard by the witness as they are published."""
        published: list[dict[str, Any]] = self.story.tell(line)
        for record in published:
            if record["topic"] == "marks":
                self.witness.held[record["mark_id"]] = record["allocations"]
        for record in published:
            if record["topic"] == "alerts" and "is left for one further event" in record["summary"]:
                left, whole = self.witness.headroom(), self.witness.headroom(at_first=True)
                assert record["summary"].endswith(f": {left} JPY of {whole} JPY")
                assert left * 100 < 50 * whole
        return published


@pytest.mark.parametrize("seed", range(30))
def test_coverage_is_what_was_told(seed: int) -> None:
    world = World(seed)
    looked, alerts = 0, 0
    for step in range(250):
        world.tell(world.line())
        if step % 5 == 0:
            world.tell("progress")
        if step % 3 == 0:
            published = world.tell("tick")
            world.witness.look(next(record for record in published if record["topic"] == "coverage" and record["scope"] == "whole"))
            looked += 1
            alerts += sum(record["topic"] == "alerts" for record in published)
        if world.rng.random() < 0.03:
            world.story.engine = Engine.thaw(decode(encode(world.story.engine.freeze())))
    assert looked > 50
    assert world.witness.held  # else it has proven little
    assert world.story.engine.gauges().levels or alerts
