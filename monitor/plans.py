"""The shapes between a decision and its effect: what is decided about (Target), and what would be done (Step).

Values only. Used by `monitor.decided`, `monitor.commands` and the files of the plans.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from monitor.incident_state import IncidentState


class PlanBrokenError(AssertionError):
    """A plan found fit what then is refused: a bug of ours. The worker stops loudly; nothing is published from the broken state."""


class Target(NamedTuple):
    """What is decided about as it stands, with all of its marks and withdrawals.

    A decision is stale unless it was made on a version from `material` on: nothing that matters to a person has changed since. Marks and withdrawals are those
    that stand as the person saw them; the marks that came or changed since then are only counted, in `left`.
    """

    version: int
    material: int
    told: str
    mark_ids: tuple[str, ...] = ()
    withdrawal_ids: tuple[str, ...] = ()
    incident: IncidentState | None = None
    left: int = 0


class Step(NamedTuple):
    """What a decision would do, once it is known who decided; says in words what it did.

    `stakes` is the value in the base currency of each loss that it is about, by mark, None where no price is fresh; `beside` are the incidents that a loss
    without a mark would be part of, or one that is moved will be. `wait` is done when it has to wait for a second person; it gives back the version that the subject has then.
    `needs_two` says that it needs one whatever it is worth.
    """

    do: Callable[[tuple[str, ...]], str]
    stakes: Mapping[str, int | None] = {}
    wait: Callable[[str], int] | None = None
    beside: tuple[str, ...] = ()
    needs_two: bool = False
