"""Whether what an incident is closed as agrees with its marks: a loss that somebody confirmed is no test. Pure values.

Called by `monitor.incident_commands` for a closing, and by `monitor.mark_commands` for what is confirmed afterwards.
"""

from collections.abc import Iterable

from monitor.contracts.base import Cause
from monitor.contracts.outputs import MarkStage, Outcome
from monitor.mark_state import MarkState

CERTAIN: frozenset[MarkStage] = frozenset(("confirmed", "partly_recovered", "compensated"))
"""Somebody said of these that they were losses."""
LOSSES: tuple[Outcome, ...] = ("confirmed_unauthorized", "confirmed_system_failure")
AGREEING: dict[Cause, tuple[Outcome, ...]] = {
    "unauthorized_access": LOSSES[:1], "system_failure": LOSSES[1:], "undecided": (*LOSSES, "inconclusive"),
}  # fmt: skip
"""What an incident with a certain loss of that cause may have been."""
HARMLESS: tuple[Outcome, ...] = ("customers_own_act", "own_treasury_move", "test")


def disagrees(outcome: str, marks: Iterable[MarkState]) -> str | None:
    """Why an incident with these marks can't be closed as that, and what to do first; None if it can.

    A certain loss, paid or not, needs an outcome that agrees with the cause of one of them, and is inconclusive only if the cause of each is undecided;
    while one is suspected, nothing was harmless.
    """
    known = list(marks)
    certain = [mark for mark in known if mark.stage in CERTAIN]
    suspected = sum(mark.stage == "suspected" for mark in known)
    causes = {mark.cause for mark in certain}
    agreeing = [one for one in (*LOSSES, "inconclusive") if any(one in AGREEING[cause] for cause in causes)]
    if causes != {"undecided"}:
        agreeing = [one for one in agreeing if one in LOSSES]
    if certain and outcome not in agreeing:
        told = f"{len(certain)} mark(s) of it are confirmed, with cause {' and '.join(sorted(causes))}"
        return f"{told}: close it as {' or '.join(agreeing)}, or reopen and clear them, or change their cause, first"
    if suspected and outcome in HARMLESS:
        return f"{suspected} mark(s) of it are suspected: clear them first, or close it as inconclusive"
    return None


def contradicts(closed_as: Outcome | None, mark: MarkState) -> bool:
    """Whether an incident that is closed as that would have a loss that it doesn't tell of, if the mark were confirmed."""
    return closed_as is not None and closed_as not in (*LOSSES, *AGREEING[mark.cause])
