"""Levels of coverage that are crossed: what is left of the reserve and how long it lasts, the hot share, the guarantee. One alert each.

After an entry that changed marks or layers the first two are looked at; on Ticks all, since prices, balances and time move them too. Called by
`monitor.engine`.
"""

from collections.abc import Iterator
from typing import NamedTuple

from monitor.coverage import Position
from monitor.decisions import Decisions, Moved
from monitor.headroom import THEFT, hundredths_of_percent, kept_in_kind, set_aside, shortfall
from monitor.money import print_amount
from monitor.state import State

HOT_SHARE_TOPICS = ("balances", "prices")
GUARANTEE_TOPICS = ("balances", "reserves")
"""What must have been read to its end once before a share of it means anything."""


class Crossing(NamedTuple):
    """A level that was crossed: by which rule it is told, and the sentence for people."""

    rule: str
    measure: str
    detail: str


class LevelRules:
    """The levels' rules, bound to one state."""

    def __init__(self, state: State, decisions: Decisions) -> None:
        self.state = state
        self.decisions = decisions

    def settle(self, moved: Moved) -> None:
        """After an entry that changed marks or layers."""
        self._tell(self._reserve(moved.position), moved.incident_id)

    def tick(self, moved: Moved) -> None:
        """On a Tick: prices, balances and time may have moved what no mark did."""
        self.settle(moved)
        if self.state.held.whole and self._read(HOT_SHARE_TOPICS):
            self._tell(self._hot_share(), None)
        if self.state.held.whole and self._read(GUARANTEE_TOPICS):
            self._tell(self._guarantee(), None)

    def _read(self, topics: tuple[str, ...]) -> bool:
        sources, partitions = self.state.sources, self.state.partitions
        return all(sources.proven_until_ms(topic, partitions.get(topic, 0)) >= 0 for topic in topics)

    def _tell(self, crossings: Iterator[Crossing], incident_id: str | None) -> None:
        for crossing in list(crossings):
            if self.decisions.on(crossing.rule):
                self.decisions.level(crossing.rule, crossing.measure, crossing.detail, incident_id)

    def _base(self, minor: int) -> str:
        base = self.state.policy.base_currency
        return f"{print_amount(minor, self.state.marks.decimals(base))} {base}"

    def _reserve(self, position: Position) -> Iterator[Crossing]:
        """What is left of the reserve for one further event of unauthorized access, of what one could draw on at first; and how long the reserve lasts."""
        state, marks, levels = self.state, self.state.marks, self.state.policy.coverage_levels
        total, whole, band = position.headrooms[THEFT].total(), set_aside(marks, THEFT), 100 + levels.hysteresis_percent
        if whole > 0 or "headroom" in state.levels.told:
            level = state.levels.look(
                "headroom", levels.headroom_percent, falling=True,
                crossed=lambda level: total * 100 < level * whole,
                over=lambda level: total * 10_000 >= level * band * whole and whole > 0,
            )  # fmt: skip
            if level is not None:
                rule = "reserve_nearly_used_up" if level == min(levels.headroom_percent) else "headroom_low"
                detail = f"less than {level} % is left for one further event of unauthorized access: {self._base(total)} of {self._base(whole)}"
                yield Crossing(rule, "headroom", detail)
        now = position.figures
        seconds = now.seconds_to_exhaustion
        level = state.levels.look(
            "exhaustion", levels.exhaustion_minutes, falling=True,
            crossed=lambda level: seconds is not None and now.available_base_minor > 0 and seconds < level * 60,
            over=lambda level: seconds is None or seconds * 100 >= level * 60 * band,
        )  # fmt: skip
        if level is not None and seconds is not None:
            minutes, drain = seconds // 60, self._base(now.drain_base_minor_per_minute)
            yield Crossing(
                "exhaustion_near", "exhaustion", f"{self._base(now.available_base_minor)} last {minutes} min at a drain of {drain} a minute"
            )

    def _hot_share(self) -> Iterator[Crossing]:
        """The part of customers' assets in hot wallets, by value."""
        levels, exposure = self.state.policy.coverage_levels, self.state.held.exposure
        hot, customers, band = exposure.hot_base_minor, exposure.customers_base_minor, 100 - levels.hysteresis_percent
        if customers == 0:
            return
        level = self.state.levels.look(
            "hot share", levels.hot_share_percent, falling=False,
            crossed=lambda level: hot * 100 > level * customers,
            over=lambda level: hot * 10_000 <= level * band * customers,
        )  # fmt: skip
        if level is not None:
            share = print_amount(hundredths_of_percent(hot, customers) or 0, 2)
            detail = f"{share} % of customers' assets is in hot wallets, {self._base(hot)} of {self._base(customers)}; at most {level} % should be"
            yield Crossing("hot_share_high", "hot share", detail)

    def _guarantee(self) -> Iterator[Crossing]:
        """Same kind and quantity: each asset beside its guarantee. All assets that fall short with one Tick are one alert."""
        state = self.state
        levels, marks = state.policy.coverage_levels, state.marks
        band = 100 - levels.hysteresis_percent
        short = []
        for asset, exposure in sorted(state.held.exposure.by_asset.items()):
            guarantee_minor, hot_minor = kept_in_kind(marks, asset).guarantee_minor, exposure.hot_minor
            is_judged = levels.guarantee and asset != state.policy.base_currency
            crossed, over = hot_minor > guarantee_minor, hot_minor * 100 <= guarantee_minor * band
            told = state.levels.one(f"guarantee {asset}", crossed=crossed and is_judged, over=over or not is_judged)
            if told:
                decimals = marks.decimals(asset)
                missing, hot = print_amount(shortfall(exposure, guarantee_minor), decimals), print_amount(hot_minor, decimals)
                short.append(f"{missing} {asset} ({hot} hot, {print_amount(guarantee_minor, decimals)} set aside)")
        if short:
            yield Crossing("guarantee_short", "guarantee", "missing of the same kind and quantity: " + ", ".join(short))
