"""Figures and checks of a benchmark run: values, their medians and ranges, and what was proven of outputs against inputs.

Pure values; filled by the measurements, printed and written by `report.py`.
"""

import statistics

import msgspec


class Figure(msgspec.Struct):
    """One measured quantity: a sample per repeat. `target` is what is asked for; a detail explains another figure."""

    name: str
    unit: str
    samples: list[float]
    target: str = ""
    detail: bool = False

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def low(self) -> float:
        """The smallest sample."""
        return min(self.samples)

    @property
    def high(self) -> float:
        """The largest sample."""
        return max(self.samples)


class Check(msgspec.Struct):
    """Whether outputs equal inputs in one run, and the numbers that show it."""

    name: str
    passed: bool
    detail: str


class Results(msgspec.Struct):
    """All that a run of the benchmark gave."""

    figures: dict[str, Figure] = msgspec.field(default_factory=dict)
    checks: list[Check] = msgspec.field(default_factory=list)
    facts: dict[str, str] = msgspec.field(default_factory=dict)

    def sample(self, name: str, unit: str, value: float, target: str = "", detail: bool = False) -> None:
        """Add one repeat's value of a figure."""
        self.figures.setdefault(name, Figure(name, unit, [], target, detail)).samples.append(value)
        print(f"    {name}: {value:,.6g} {unit}", flush=True)

    def check(self, name: str, passed: bool, detail: str) -> None:
        """Note what was compared; a failed one makes the benchmark fail."""
        self.checks.append(Check(name, passed, detail))
        if not passed:
            print(f"    OUTPUTS DIFFER FROM INPUTS: {name}: {detail}", flush=True)

    @property
    def failed(self) -> list[Check]:
        """Checks that did not pass."""
        return [check for check in self.checks if not check.passed]
