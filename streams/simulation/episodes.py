"""Honest episodes that look like attacks: what can be scheduled over the simulated exchange, and the standard month of them.

Values only; `demand` gives them their requests, `market` their prices, `exchange` all else. Chosen by whoever makes the parameters.

| kind | what happens | `factor` | source |
| --- | --- | --- | --- |
| price_shock | all prices (or one asset's) go to `factor` times theirs within a tenth of the time, requests triple | of the price | assumed; -30 % days are on record |
| airdrop | one asset is credited to thousands in a batch, many withdraw it at once, half to new addresses | requests beside the usual, as a multiple | assumed |
| bad_news_run | customers withdraw large shares of what they hold, dormant ones too | requests as a multiple of the usual | after 2025-02-21 an exchange paid out more than 4 billion USD |
| new_processor | a new address of a payment processor or exchange, paid by customers from then on | share of all requests at the peak | assumed |
| amount_shock | every amount times `factor` from then on | of amounts | assumed |
| node_trouble | sends of an asset fail and are sent again, each with a new transaction | share that fails at the peak | assumed |
| watcher_lag | the chain watcher stands still, then tells all at once | not used | assumed |
| new_customers | a wave of new accounts, as after an advertisement | requests beside the usual, as a multiple | assumed |

Shape over time (assumed): from 0 to full in the first tenth, full for four tenths, back to 0 at the end. An amount shock is full all the time.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

EpisodeKind = Literal[
    "price_shock", "airdrop", "bad_news_run", "new_processor", "amount_shock", "node_trouble", "watcher_lag", "new_customers"
]  # fmt: skip

DAY_SECONDS = 86_400
HOUR_SECONDS = 3_600


class Episode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One episode: `start_seconds` counts from the start of the simulation; `asset` where it concerns one."""

    kind: EpisodeKind
    start_seconds: Annotated[float, Meta(ge=0)]
    seconds: Annotated[float, Meta(gt=0)]
    factor: Annotated[float, Meta(gt=0)] = 1.0
    asset: str | None = None

    def strength(self, seconds: float) -> float:
        """How much of it there is at that time since the start of the simulation, 0 to 1."""
        share = (seconds - self.start_seconds) / self.seconds
        if not 0.0 <= share < 1.0:
            return 0.0
        if self.kind == "amount_shock":
            return 1.0
        return min(1.0, share / 0.1, (1.0 - share) / 0.5)


def _on(day: float, hour: float, kind: EpisodeKind, hours: float, factor: float = 1.0, asset: str | None = None) -> Episode:
    return Episode(kind=kind, start_seconds=day * DAY_SECONDS + hour * HOUR_SECONDS, seconds=hours * HOUR_SECONDS, factor=factor, asset=asset)


def honest_month(*, amount_shock_day: float | None = None) -> tuple[Episode, ...]:
    """Every kind of hard negative within 30 days, none in the first 10, in which detectors warm up; with a shock of amounts if wished."""
    episodes = (
        _on(10.2, 0, "node_trouble", 2, 0.3, "ETH"),
        _on(11, 3, "new_processor", 8, 0.15, "BTC"),
        _on(12, 5, "airdrop", 6, 3.0, "XRP"),
        _on(13, 11, "price_shock", 8, 0.72),
        _on(14, 2, "new_customers", 10, 0.5),
        _on(15, 6, "new_processor", 5, 0.25, "ETH"),
        _on(16, 9, "watcher_lag", 0.5),
        _on(17, 6, "bad_news_run", 4, 20.0),
        _on(19, 1, "new_processor", 12, 0.10, "SOL"),
        _on(20, 12, "node_trouble", 1, 0.5, "SOL"),
        _on(21, 4, "airdrop", 5, 4.0, "ETH"),
        _on(22, 8, "price_shock", 6, 1.35),
        _on(23, 10, "new_processor", 3, 0.30, "BTC"),
        _on(24, 13, "bad_news_run", 3, 20.0),
        _on(25, 2, "new_customers", 8, 1.0),
        _on(26, 7, "price_shock", 2, 0.55, "MONA"),
        _on(27, 5, "watcher_lag", 0.25),
        _on(28, 4, "new_processor", 6, 0.2, "XRP"),
    )
    if amount_shock_day is None:
        return episodes
    return (*episodes, _on(amount_shock_day, 0, "amount_shock", 24 * 365, 2.5))
