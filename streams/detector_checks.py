"""Which detectors there are, and what the contract's checks say of them: ours, the configured, the installed, and river's by name.

Nothing is folded but a made-up story. Called by the command line's `detectors`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from detectors.checks import CHECKS, Make, Story, folded, fresh, outcome, together, told
from detectors.contract import BLOCK_OBSERVATIONS, Detector
from detectors.observed import alone
from detectors.observer import Observer
from detectors.registry import DETECTORS, Entry
from detectors.river_catalogue import Step, detector_names, river_entry, trial_target
from monitor.policy import Policy
from monitor.scoring import configured
from streams.plug_ins import installed, names
from streams.refusals import RefusedError
from streams.setting_fields import nearest

ALL = "all"
TIMED_BLOCKS = 6
"""More than the 1,024 observations that river's estimators remember by default."""
MICROSECONDS_MAX = 5_000.0
"""A detector that takes longer for one observation couldn't follow 200 withdrawals a second; its checks aren't run, they would take hours."""


class Listed(NamedTuple):
    """One detector as people read it."""

    detector: str
    source: str
    scope: str
    family: str
    question: str
    state: str


class Checked(NamedTuple):
    """What the checks said of one detector: those that it breaks, each with why. One that can't be made passes none."""

    name: str
    passed: int
    microseconds: float
    broken: tuple[str, ...]

    def cells(self) -> tuple[str, str, str, str, str]:
        """As a row of the table."""
        shown = f"{self.microseconds:,.3g}" if self.microseconds else ""
        return self.name, "no" if self.broken else "yes", f"{self.passed} of {len(CHECKS)}", shown, "; ".join(self.broken)


def listed(policy: Policy) -> Iterator[Listed]:
    """Every detector that a worker with this policy has, and those that are installed and take no part."""
    used = [(entry, "ours") for entry in DETECTORS]
    used += [(configured(each), "river") for each in policy.river]
    for entry, source in [*used, *((_installed(name), "installed") for name in policy.plug_ins)]:
        detector = made(entry, policy)
        arrays = detector.arrays().values()
        size = f"{sum(array.nbytes for array in arrays):,} bytes in {len(arrays)} arrays when fresh"
        yield Listed(entry.name, source, detector.scope, detector.family, entry.question, size)
    for name in names():
        if name not in policy.plug_ins:
            yield Listed(name, "installed", "", "", "takes no part: policy.plug_ins doesn't name it", "")


def candidates(policy: Policy, name: str | None, river: str | None) -> list[Entry]:
    """The detectors that a person asked for. Raises RefusedError for a name that nobody has."""
    if river is not None:
        return [_of_river(each) for each in (detector_names() if river == ALL else (river,))]
    entries = [*DETECTORS, *(configured(each) for each in policy.river), *(_installed(each) for each in policy.plug_ins)]
    if name is None:
        return entries
    if name in names():
        return [_installed(name)]
    found = [entry for entry in entries if entry.name == name]
    if not found:
        raise RefusedError(f"There is no detector {name}; {nearest(name, [*(entry.name for entry in entries), *names()])}")
    return found


def checked(entries: Sequence[Entry], policy: Policy, progress: Callable[[int], None] | None) -> Iterator[Checked]:
    """Run every check on each, one after the other; `progress` is told how many checks are done."""
    story = told()
    done = 0
    for entry in entries:
        yield _checked(entry, policy, story, progress, done)
        done += len(CHECKS)


def made(entry: Entry, policy: Policy, input_names: tuple[str, ...] = Observer.INPUT_NAMES) -> Detector:
    """A fresh detector. Raises RefusedError if it can't be made."""
    try:
        return alone(entry, policy.thresholds.young_address_ms, input_names)
    except ValueError as error:
        raise RefusedError(f"{entry.name} can't be used: {str(error).removeprefix(f'{entry.name}: ')}.") from error


def _checked(entry: Entry, policy: Policy, story: Story, progress: Callable[[int], None] | None, before: int) -> Checked:
    def make(input_names: tuple[str, ...]) -> Detector:
        return made(entry, policy, input_names)

    if why := outcome(_refused, make, story):
        return Checked(entry.name, 0, 0.0, (why,))
    microseconds = 0.0

    def too_slow(make: Make, story: Story) -> str:
        nonlocal microseconds
        microseconds = _timed(make, story)
        return "" if microseconds <= MICROSECONDS_MAX else f"too slow: {microseconds:,.0f} µs for one observation, at most {MICROSECONDS_MAX:,.0f}"

    if why := outcome(too_slow, make, story):
        return Checked(entry.name, 0, microseconds, (why,))
    broken = []
    for done, check in enumerate(CHECKS, start=before + 1):
        if why := outcome(check, make, story):
            broken.append(f"{check.__name__}: {why}")
        if progress is not None:
            progress(done)
    return Checked(entry.name, len(CHECKS) - len(broken), microseconds, tuple(broken))


def _timed(make: Make, story: Story) -> float:
    """Microseconds of processor time for one observation, scored and taught, in the slowest block after the first, which may compile."""
    detector, slowest = fresh(make, story), 0.0
    for block in range(TIMED_BLOCKS):
        start, end = block * BLOCK_OBSERVATIONS, (block + 1) * BLOCK_OBSERVATIONS
        began = time.process_time()
        together(folded(detector, story, BLOCK_OBSERVATIONS, start=start, end=end))
        taken = (time.process_time() - began) / BLOCK_OBSERVATIONS * 1e6
        slowest = max(slowest, taken) if block else 0.0
        if slowest > MICROSECONDS_MAX:
            break
    return slowest


def _refused(make: Make, story: Story) -> str:
    try:
        make(story.names)
    except RefusedError as error:
        return str(error)
    return ""


def _of_river(estimator: str) -> Entry:
    try:
        return river_entry(estimator, [Step(estimator, {})], trial_target(estimator))
    except ValueError as error:
        raise RefusedError(f"{error}.") from error


def _installed(name: str) -> Entry:
    try:
        return installed(name)
    except ValueError as error:
        raise RefusedError(f"{error}.") from error
