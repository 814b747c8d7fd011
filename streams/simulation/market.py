"""Prices of the simulated exchange: a geometric random walk, and the jumps of price shocks. Called by `exchange`."""

import random
from collections.abc import Sequence

from streams.simulation.episodes import DAY_SECONDS, Episode
from streams.simulation.records import Agenda
from streams.simulation.world import ASSETS

JUMP_SHARE = 0.1
"""Of a shock's time, in which the price goes its way."""


class Market:
    """The price of each asset in JPY."""

    def __init__(self, agenda: Agenda, rng: random.Random, start_ms: int, episodes: Sequence[Episode]) -> None:
        self.prices = {row.asset: float(row.price) for row in ASSETS}
        self._agenda = agenda
        self._rng = rng
        self._at_ms = start_ms
        self._shocks = [
            (episode, start_ms + episode.start_seconds * 1_000, max(1.0, episode.seconds * 1_000 * JUMP_SHARE))
            for episode in episodes
            if episode.kind == "price_shock"
        ]

    def move(self, at_ms: int) -> None:
        """Let prices walk from the last time to this one, and tell them."""
        elapsed = max(0, at_ms - self._at_ms)
        scale = (elapsed / (DAY_SECONDS * 1_000)) ** 0.5
        for row in ASSETS:
            factor = max(0.5, 1.0 + row.daily_volatility * scale * self._rng.gauss(0.0, 1.0))
            for episode, begin_ms, jump_ms in self._shocks:
                if episode.asset in {None, row.asset}:
                    gone = min(1.0, max(0.0, (at_ms - begin_ms) / jump_ms)) - min(1.0, max(0.0, (self._at_ms - begin_ms) / jump_ms))
                    factor *= episode.factor**gone
            self.prices[row.asset] *= factor
        self._at_ms = at_ms
        self.tell(at_ms)

    def tell(self, at_ms: int) -> None:
        """A price record per asset."""
        for asset, price in self.prices.items():
            self._agenda.tell("prices", asset, at_ms, {"asset": asset, "price": f"{max(price, 0.0001):.4f}", "price_source": "simulated"})
