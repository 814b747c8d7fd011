"""What an auditor of decisions knows beforehand: what each decision may change, what a person sees of a mark, and which version tells it first.

Own words and own code: nothing of the fold is imported. Used by `decision_auditor` and `decision_world`.
"""

from typing import Any, NamedTuple

from tests.simulation.mark_auditor import STANDING, Record, number

RANK = {"CLEAR": 0, "WATCH": 1, "UNSCORED": 2, "HOLD": 3}
OPEN = ("new", "acknowledged", "investigating", "pending_closure")
ENDED = ("failed", "cancelled")
LOSSES = ("redirect", "amount_changed", "double_payout", "more_than_held", "replayed_request", "step_missing", "paid_after_cancellation", "reported")
"""Rules that hold a withdrawal because of a loss."""
FACTS = ("owner", "cause", "amount", "recovered_amount", "compensated_amount", "incident_id", "withdrawal_id", "account_id", "asset")
BY_DECISION: dict[str, tuple[set[str], set[tuple[str, str]]]] = {
    "confirm": (set(), {("suspected", "confirmed"), ("suspected", "partly_recovered"), ("suspected", "suspected")}),
    "clear": (set(), {("suspected", "cleared"), ("confirmed", "cleared")}),
    "release": (set(), {("suspected", "cleared"), ("confirmed", "cleared")}),
    "reopen": (set(), {("confirmed", "suspected"), ("cleared", "suspected")}),
    "change_cause": ({"cause"}, set()),
    "change_owner": ({"owner"}, set()),
    "recovered": (
        {"recovered_amount"}, {("confirmed", "partly_recovered"), ("partly_recovered", "partly_recovered"), ("compensated", "compensated")},
    ),
    "compensated": ({"compensated_amount"}, {("confirmed", "compensated"), ("partly_recovered", "compensated")}),
    "revise": ({"amount"}, {("compensated", "confirmed"), *((stage, "compensated") for stage in STANDING)}),
    "move": ({"incident_id"}, set()),
}  # fmt: skip
"""What a decision may change in the marks that it is about: facts, and stages."""
BY_FINDING = {(None, "suspected"), ("cleared", "suspected"), ("suspected", "cleared")}
FINDING = ("withdrawals", "outflows", "progress", "tick", "feedback")
"""Entries that can make or refute a finding."""
LEFT_BY = {
    "confirm": ("suspected",), "compensated": ("confirmed", "partly_recovered"), "clear": ("suspected",), "release": ("suspected", "confirmed"), "reopen": ("confirmed", "cleared"),
}  # fmt: skip
"""Stages in which a decision leaves none of the marks that it is about, if it could change them."""
UNVERSIONED = ("acknowledge", "assign", "note")
"""Commands that nobody has to look again for."""
OF_MARKS = ("confirm", "clear", "release", "change_cause", "change_owner", "compensated")
"""Commands that about an incident are about those of its marks that the person saw."""
SEEN = (*FACTS, "state", "open_amount", "base_amount", "price")
"""What a person sees of a mark; what carries it is none of it."""
AHEAD_MS = 60_000


class Person(NamedTuple):
    """Who may decide what."""

    commands: frozenset[str]
    machine: bool = False


class Waiting(NamedTuple):
    """The first of two persons, and the version that this one saw."""

    actor: str
    command: str
    said: tuple[Any, ...]
    version: int
    at_ms: int


def is_settled(mark: Record) -> bool:
    """Whether something of it came back or was compensated."""
    return bool(number(mark["recovered_amount"]) + number(mark["compensated_amount"]))


def content(value: dict[str, Any]) -> tuple[Any, ...]:
    """What two must agree on."""
    return tuple(value.get(field) for field in ("subject", "subject_id", "command", "amount", "argument", "time_ms"))


def is_about(value: dict[str, Any], mark: Record) -> bool:
    """Whether a decision is about a mark."""
    field = {"mark": "mark_id", "withdrawal": "withdrawal_id", "incident": "incident_id"}.get(value["subject"])
    return field is not None and mark[field] == value["subject_id"]


def grew(mark: Record, known: Record | None) -> bool:
    """Whether a mark came to an incident, or stands for more than it did."""
    if mark["state"] not in STANDING:
        return False
    if known is None or known["state"] not in STANDING or known["incident_id"] != mark["incident_id"]:
        return True
    return any(number(mark[fact] or "0") > number(known[fact] or "0") for fact in ("open_amount", "base_amount"))


class Sight:
    """Which version of its incident first tells what is new of a mark, or of its withdrawal; and in which ones an incident grew."""

    def __init__(self) -> None:
        self.told_in: dict[str, int] = {}
        self.grew_in: dict[str, set[int]] = {}
        self.versions: dict[str, int] = {}
        self.merged: set[str] = set()

    def take(self, records: list[Record], marks: dict[str, Record], of_withdrawal: dict[str, set[str]]) -> None:
        """The records of an entry, in order; `marks` and `of_withdrawal` as they were before it."""
        before, changed = dict(self.versions), dict[str, Record]()
        for record in records:
            if record["topic"] == "incidents":
                if (
                    record["merged_into"] is not None and record["incident_id"] not in self.merged
                ):  # what joins it is more than who would close it saw
                    self.merged.add(record["incident_id"])
                    into = record["merged_into"]
                    self.grew_in.setdefault(into, set()).add(self.versions.get(into, 0) + 1)
                self.versions[record["incident_id"]] = record["version"]
            elif record["topic"] == "marks":
                name, into = record["mark_id"], record["incident_id"]
                known = changed.get(name, marks.get(name))
                changed[name] = record
                if known is None or any(record[fact] != known[fact] for fact in SEEN):
                    self.told_in[name] = self.versions.get(into, 0) + 1
                    if grew(record, known):
                        self.grew_in.setdefault(into, set()).add(self.told_in[name])
            elif record["topic"] == "verdicts" and "verdict" in record:
                for name in of_withdrawal.get(record["withdrawal_id"], ()):
                    into = changed.get(name, marks[name])["incident_id"]
                    self.told_in[name] = max(self.told_in[name], before.get(into, 0) + 1)
