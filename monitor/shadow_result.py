"""What a comparison of two folds is told as: single differences, and the figures of both.

Values only, for people and machines. Made by `monitor.shadow_differences`.
"""

from typing import Literal

import msgspec

from monitor.contracts.outputs import VerdictKind

What = Literal["verdict", "mode", "review", "mark", "page", "notice"]


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the two decide otherwise. `base_amount`: the value at stake, none where nothing is marked or no price is known.

    Where both say the same again, later, that is told as a difference whose two sides are equal.
    """

    offset: int
    at_ms: int
    what: What
    subject_id: str
    asset: str | None = None
    amount: str | None = None
    base_amount: str | None = None
    standing: str
    proposed: str
    standing_reasons: tuple[str, ...] = ()
    proposed_reasons: tuple[str, ...] = ()


class Count(msgspec.Struct, frozen=True):
    """How many withdrawals are decided so by the one and so by the other."""

    standing: VerdictKind
    proposed: VerdictKind
    withdrawals: int
    base_amount: str


class Held(msgspec.Struct, frozen=True):
    """Withdrawals that only one of the two holds, and the value at stake."""

    withdrawals: int
    base_amount: str


class CoverageAtEnd(msgspec.Struct, frozen=True):
    """The newest whole coverage, in the base currency."""

    available: str
    held: str
    paid: str
    uncovered: str
    at_least: bool
    headroom: dict[str, str]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one of the two comes to. `held_base_amount` is a lower bound where `held_unpriced` withdrawals have no known value.

    `reviews_due`: those that people are asked for, and the severe ones. Nothing is told a day where less than a day is compared.
    """

    verdicts: dict[VerdictKind, int]
    enforced: int
    held_base_amount: str
    held_unpriced: int
    reviews: dict[str, int]
    reviews_due: int
    reviews_per_day: float | None
    pages: int
    pages_per_day: float | None
    notices: int
    marks: int
    coverage: CoverageAtEnd | None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison so far. `forgotten`: withdrawals and marks no longer followed; `unlisted`: differences that are counted only."""

    base_currency: str
    from_ms: int | None
    until_ms: int | None
    withdrawals: int
    changed: list[Count]
    newly_held: Held
    no_longer_held: Held
    verdicts_differ: int
    modes_differ: int
    reviews_differ: int
    marks_differ: int
    alerts_differ: int
    standing: Figures
    proposed: Figures
    differences: list[Difference]
    unlisted: int
    forgotten: int

    @property
    def span_ms(self) -> int:
        """How long the time is that was compared."""
        return 0 if self.from_ms is None or self.until_ms is None else self.until_ms - self.from_ms

    @property
    def equal(self) -> bool:
        """Whether the two decide the same."""
        return not (self.verdicts_differ or self.modes_differ or self.reviews_differ or self.marks_differ or self.alerts_differ)
