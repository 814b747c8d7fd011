"""What is known of one mark, what an operation did to it, and sums over marks. Values only; what changes them is in `monitor.marks`."""

from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from detectors.elementary import exp
from monitor.contracts.base import Cause
from monitor.contracts.outputs import MarkStage
from monitor.findings import Subject
from monitor.layers import UNCOVERED
from monitor.ledger import Part
from monitor.prices import PriceState
from monitor.uncovered import Group

LN2 = 0.6931471805599453
MINUTE_MS = 60_000

STANDING: frozenset[MarkStage] = frozenset(("suspected", "confirmed", "partly_recovered"))
"""In these something is still to be compensated, or may be."""


class MarkState(msgspec.Struct, frozen=True):
    """The current version of one mark. `subject.amount_minor` is the whole loss; values are of the price that the mark was made at.

    What is open (still to be compensated) is held in `parts`; a rest that no price is known for is in none. `paid` and `returned` are what layers
    paid, and what of that came back. `by_people` says that a person set cause or owner: findings change them no longer. `told_in` is the version of
    its incident that tells, or will tell, its newest change: what a person who saw an older one can't have known. What carries it isn't a change in this sense. `told_minor` is what facts
    had told when a person set another amount, 0 where none did: they change it only by telling of more.
    """

    subject: Subject
    cause: Cause
    incident_id: str
    version: int
    stage: MarkStage
    base_minor: int | None
    price: PriceState | None
    parts: tuple[Part, ...]
    recovered_minor: int = 0
    compensated_minor: int = 0
    returned_minor: int = 0
    paid: tuple[Part, ...] = ()
    returned: tuple[Part, ...] = ()
    by_people: bool = False
    told_in: int = 0
    told_minor: int = 0

    @property
    def mark_id(self) -> str:
        """Names the loss."""
        return self.subject.mark_id

    @property
    def standing(self) -> bool:
        """Whether something is, or may be, still to be compensated."""
        return self.stage in STANDING

    @property
    def settled_minor(self) -> int:
        """What is compensated or came back before it was, in units."""
        return self.compensated_minor + self.recovered_minor - self.returned_minor

    @property
    def open_minor(self) -> int:
        """What is still to be compensated, in units; `base_minor` is its value, None while no price is known."""
        return self.subject.amount_minor - self.settled_minor if self.standing else 0

    @property
    def uncovered_base_minor(self) -> int | None:
        """The value that no layer carries; None while no price is known."""
        if self.base_minor is None:
            return None
        last = self.parts[-1] if self.parts else None
        return last.base_minor if last is not None and last.layer_id == UNCOVERED else 0

    @property
    def uncarried_minor(self) -> int:
        """The units that no layer carries."""
        return self.open_minor - sum(part.asset_minor for part in self.parts if part.layer_id != UNCOVERED)


class Change(NamedTuple):
    """What an operation did to one mark: its version before (None: there was none) and after."""

    before: MarkState | None
    after: MarkState


def found(known: MarkState | None, subject: Subject, cause: Cause, incident_id: str, forgotten_version: int = 0) -> MarkState | None:
    """The next version of a loss that a finding tells of, without its value; None when at least as much of it is marked already.

    Nobody has confirmed a loss that turns out larger: it is suspected again, whatever it was. It stays with its incident unless it was cleared. One that
    isn't known begins above `forgotten_version`: it may be one that was forgotten, and what was decided about that doesn't count.
    """
    if known is None:
        return MarkState(subject, cause, incident_id, forgotten_version + 1, "suspected", None, None, ())
    if known.by_people:
        subject, cause = replace(subject, owner=known.subject.owner), known.cause
    if known.stage == "cleared":
        return MarkState(subject, cause, incident_id, known.version + 1, "suspected", None, None, (), by_people=known.by_people)
    if subject.amount_minor <= max(known.subject.amount_minor, known.told_minor):
        return None
    return replace(known, subject=subject, cause=cause, stage="suspected", version=known.version + 1, told_minor=0)


class AssetSums(msgspec.Struct):
    """Sums over the marks of one asset, in minor units of the asset, values (`base`) in those of the base currency.

    Marked is what is open, unpriced and uncovered are of that. In the total over assets only the values mean something.
    """

    marked_minor: int = 0
    unpriced_minor: int = 0
    marked_base_minor: int = 0
    uncovered_base_minor: int = 0
    compensated_minor: int = 0
    recovered_minor: int = 0

    def add(self, mark: MarkState, sign: int) -> None:
        """A mark counts (`sign` 1), or no longer does (-1)."""
        self.marked_minor += sign * mark.open_minor
        self.unpriced_minor += sign * mark.open_minor if mark.base_minor is None else 0
        self.marked_base_minor += sign * (mark.base_minor or 0)
        self.uncovered_base_minor += sign * (mark.uncovered_base_minor or 0)
        self.compensated_minor += sign * mark.compensated_minor
        self.recovered_minor += sign * mark.recovered_minor


class Drain(msgspec.Struct):
    """Newly marked base value per minute, decayed: a mark of v adds v·ln2/half-life, which halves every half-life."""

    base_minor_per_minute: float = 0.0
    at_ms: int = 0

    def rate(self, now_ms: int, half_life_ms: int) -> float:
        """The rate now. Asking changes nothing: how often somebody looks must not show in the state."""
        return self.base_minor_per_minute * exp(-LN2 * (max(0, now_ms - self.at_ms) / half_life_ms))

    def add(self, base_minor: int, now_ms: int, half_life_ms: int) -> None:
        """A mark of that value was made now."""
        self.base_minor_per_minute = self.rate(now_ms, half_life_ms) + base_minor * (LN2 * MINUTE_MS / half_life_ms)
        self.at_ms = max(self.at_ms, now_ms)


def group_of(mark: MarkState) -> Group:
    """The group in which a mark waits while it is uncovered."""
    bearing = tuple(
        part.layer_id for place, part in enumerate(mark.parts) if part.deductible_minor and part.deductible_minor >= _reaching(mark, place)
    )
    return Group(mark.incident_id, mark.subject.asset, mark.cause, mark.subject.owner, bearing)


def _reaching(mark: MarkState, place: int) -> int:
    """What the layers before leave of a mark for the one at that place, in its unit."""
    before, unit = mark.parts[:place], mark.parts[place].unit
    if unit == mark.subject.asset:
        return mark.open_minor - sum(part.asset_minor for part in before)
    return (mark.base_minor or 0) - sum(part.base_minor or 0 for part in before)


def told(stage: MarkStage) -> str:
    """A stage in words."""
    return stage.replace("_", " ")
