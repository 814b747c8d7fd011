"""Amounts that make sense only in another asset's units: how large amounts of each asset usually are, in powers of two.

Pure counts in integers; prices come in from the marks. Called by `monitor.requests` and `monitor.funds`.
"""

from bisect import bisect_left
from itertools import accumulate

import msgspec

from monitor.marks import Marks
from monitor.money import AMOUNT_MINOR_MAX, print_amount

POWERS = AMOUNT_MINOR_MAX.bit_length() + 1
LEARNING = 100
"""So many amounts must be known before one can be unusual."""
ABOVE = 4
"""An amount is far above its asset's if it has more than so many bits more than the largest: at least 2⁴ times that."""
REWARDS_BELOW = 10
"""Of postings a reading in other units is usual down to a tenth of the usual least value: a batch of small rewards is smaller than deposits are."""


class Sizes(msgspec.Struct):
    """How many amounts of one asset had so many bits in minor units, and the most bits that any had."""

    counts: list[int]
    largest: int = 0


class UsualAmounts:
    """Sizes by asset of one kind of movement."""

    def __init__(self, below: int = 1) -> None:
        self.by_asset: dict[str, Sizes] = {}
        self.below = below

    def take(self, asset: str, amount_minor: int) -> bool:
        """Count an amount and say so, unless it is far above all amounts of its asset before: then it must be looked at first."""
        sizes, power = self.by_asset.get(asset), amount_minor.bit_length()
        if sizes is None or power - ABOVE > sizes.largest:
            return False
        sizes.counts[power] += 1
        sizes.largest = max(sizes.largest, power)
        return True

    def learn(self, asset: str, amount_minor: int) -> None:
        """Take an amount that was looked at, and that nobody objects to."""
        sizes, power = self.by_asset.setdefault(asset, Sizes([0] * POWERS)), amount_minor.bit_length()
        sizes.counts[power] += 1
        sizes.largest = max(sizes.largest, power)

    def confused(self, asset: str, amount_minor: int, marks: Marks, least_base_minor: int) -> str | None:
        """Why an amount far above all before is taken for one in other units; None where it isn't.

        It is if it is worth at least `least_base_minor`, and the same number of units of the base currency would have a usual value.
        """
        base = marks.policy.base_currency
        value = marks.value(asset, amount_minor)
        if asset == base or value is None or value < least_base_minor:
            return None
        read_minor = amount_minor * 10 ** marks.decimals(base) // 10 ** marks.decimals(asset)
        low, high = self._usual(marks)
        if not low <= read_minor * self.below or read_minor > high:
            return None
        number, printed = print_amount(amount_minor, marks.decimals(asset)), print_amount(value, marks.decimals(base))
        return f"{number} {asset} are worth {printed} {base}, at least {2**ABOVE} times any before; {number} {base} would be usual"

    def _usual(self, marks: Marks) -> tuple[int, int]:
        """Values in the base currency between which 94 in 100 amounts lie, at today's prices; each power stands for its lower end.

        Nothing lies between 1 and 0, which is given while too few are known.
        """
        values = []
        for asset, sizes in self.by_asset.items():
            for power, number in enumerate(sizes.counts):
                value = marks.value(asset, 1 << max(0, power - 1)) if number else None
                if value is not None:
                    values.append((value, number))
        values.sort()
        sums = list(accumulate(number for _, number in values))
        if not sums or sums[-1] < LEARNING:
            return 1, 0
        first, last = (bisect_left(sums, max(1, sums[-1] * percent // 100)) for percent in (5, 99))
        return values[first][0], 2 * values[last][0]
