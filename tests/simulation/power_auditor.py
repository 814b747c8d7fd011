"""What one person may do alone, what two must do, and what a closing may say: the part of the auditor of decisions that is about powers.

Own code, fed by `decision_auditor` with what is published; imports nothing of the fold.
"""

from collections import Counter
from fractions import Fraction
from math import ceil
from typing import Any

from tests.simulation.mark_auditor import BASE, Auditor, Record, number

CLOSED_AS = {"unauthorized_access": {"confirmed_unauthorized"}, "system_failure": {"confirmed_system_failure"}}
CONFIRMED = CLOSED_AS["unauthorized_access"] | CLOSED_AS["system_failure"]
CERTAIN = ("confirmed", "partly_recovered", "compensated")
TELLING = ("acknowledge", "assign", "note", "set_clock")
"""What a machine may decide."""
SPOKEN = ("noted", "assigned")
PROPOSALS_MAX = 8


class PowerAuditor:
    """Every method asserts."""

    def __init__(self, two_for: tuple[str, ...], above: int, ledger: Auditor) -> None:
        self.two_for, self.above, self.ledger = (*two_for, "change_policy"), above, ledger
        self.alone: Counter[tuple[str, str]] = Counter()

    def judged(self, value: dict[str, Any], machine: bool, alone: bool, sheet: Record, marks: dict[str, Record]) -> None:
        """A decision was taken, by one person if `alone`, or waits for a second."""
        command, argument = value["command"], value.get("argument")
        assert not machine or (command in TELLING and command not in self.two_for and alone), "a machine decided"
        if command == "set_clock":
            told = sheet[f"{argument}_at_ms"]
            assert not machine or (argument == "halted" and told is None), "a machine told of people"
            assert not alone or told is None, "one person corrected a clock time"
        elif command == "close":
            self.closes([mark for mark in marks.values() if mark["incident_id"] == value["subject_id"]], str(argument))

    @staticmethod
    def closes(marks: list[Record], as_what: str) -> None:
        """A closing says nothing else than the marks."""
        causes = {mark["cause"] for mark in marks if mark["state"] in CERTAIN}
        if causes:
            right = set().union(*(CLOSED_AS.get(cause, CONFIRMED) for cause in causes))
            assert as_what in right or (as_what == "inconclusive" and causes == {"undecided"}), f"{causes} closed as {as_what}"
        elif any(mark["state"] == "suspected" for mark in marks):
            assert as_what in {*CONFIRMED, "inconclusive"}, f"suspected, and closed as {as_what}"

    def decided_alone(self, value: dict[str, Any], changed: list[Record], marks: dict[str, Record], now_ms: int) -> None:
        """So much one person may decide about an incident, in however many decisions."""
        assert value["command"] not in self.two_for, "it needs two"
        stakes = {mark["mark_id"]: self.stake(mark, value, now_ms) for mark in changed}
        left = {mark["mark_id"]: mark["incident_id"] for mark in changed}
        about = {incident for name in stakes for incident in (left[name], marks[name]["incident_id"])}  # of what was moved both
        together = Fraction(sum(self.alone[value["actor"], incident] for incident in about))
        for name, stake in stakes.items():
            assert stake is not None, "what has no price that can be relied on needs two"
            together += stake
            for incident in {left[name], marks[name]["incident_id"]}:  # what was moved counts in both
                self.alone[value["actor"], incident] += stake  # type: ignore[assignment]  # a fraction
        assert not stakes or together <= self.above, "so much needs two, at once or in slices"

    def stake(self, mark: Record, value: dict[str, Any], now_ms: int) -> Fraction | None:
        """The whole value of a loss; None where no price can be relied on."""
        amount, asset = number(value["amount"] if value["command"] == "recovered" else mark["amount"]), mark["asset"]
        if value["command"] == "revise":  # it is about whichever is more
            amount = max(amount, number(value["amount"]))
        text, at_ms = self.ledger.prices.get(asset, (None, 0))
        fresh = None if asset in self.ledger.doubted or now_ms - at_ms > self.ledger.stale_ms else text
        price = "1" if asset == BASE else mark["price"] or fresh
        return None if price is None else Fraction(ceil(amount * number(price)))

    @staticmethod
    def decided(command: str, changed: list[Record], incidents: dict[str, Record]) -> None:
        """What was confirmed is in no incident that was closed as none."""
        for mark in changed if command == "confirm" else ():
            incident = incidents[mark["incident_id"]]
            unknown = incident["outcome"] == "inconclusive" and mark["cause"] == "undecided"
            assert incident["state"] != "closed" or unknown or incident["outcome"] in CONFIRMED, "a loss is certain where there was none"

    def incident(self, known: Record, incident: Record, command: tuple[str, str] | None) -> None:
        """An incident's next version; `command` is the outcome of a decision about it, and what was decided, if one made it."""
        if incident["merged_into"] is not None:
            for actor, of in [key for key in self.alone if key[1] == incident["incident_id"]]:
                self.alone[actor, incident["merged_into"]] += self.alone.pop((actor, of))
        if command in (("decided", "note"), ("decided", "assign")):
            lines = [line for line in incident["timeline"] if line["what"] not in SPOKEN]
            assert all(line in lines or line["what"] in SPOKEN for line in known["timeline"]), "a note pushed out what happened"
        if known["state"] != "closed" == incident["state"] and all(incident[fact] == known[fact] for fact in ("marks", "severity")):
            due = [{each["target"] for each in record["due"]} - {"acknowledged"} for record in (known, incident)]
            assert due[0] == due[1], "a closing ended a clock"
