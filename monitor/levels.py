"""Which levels of coverage were told: each crossing once, and again only after things were so much better, so that a level doesn't flap.

Pure state; what is compared is given. Used by `monitor.level_rules`, kept in `monitor.state`.
"""

from collections.abc import Callable

import msgspec


class Levels(msgspec.Struct):
    """The worst level of each measure that was told and isn't over. Bounded: three measures, and one for each asset of the policy."""

    told: dict[str, int] = {}

    def look(
        self, measure: str, levels: tuple[int, ...], *, falling: bool, crossed: Callable[[int], bool], over: Callable[[int], bool]
    ) -> int | None:
        """The level that is to be told now, the worst of those crossed; None where nothing new is.

        `crossed` says whether a level is, `over` whether things are so much better that it may be told again.
        """
        ranked = sorted(levels, reverse=falling)
        before = self.told.get(measure)
        worst = None
        for level in ranked:
            was_told = before is not None and (level >= before if falling else level <= before)
            if crossed(level) or (was_told and not over(level)):
                worst = level
        if worst is None:
            self.told.pop(measure, None)
            return None
        self.told[measure] = worst
        return worst if before is None or (worst < before if falling else worst > before) else None

    def one(self, measure: str, *, crossed: bool, over: bool) -> bool:
        """The same for a measure with one level: whether it is to be told now."""
        return self.look(measure, (1,), falling=True, crossed=lambda _level: crossed, over=lambda _level: over) is not None
