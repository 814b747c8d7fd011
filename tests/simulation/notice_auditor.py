"""An auditor of what people must be told beside pages: what contradicts them, and what a merge costs. Part of `decision_auditor`, whose tables it reads."""

from collections import Counter
from typing import Any, NamedTuple

from tests.simulation.mark_auditor import Record, number

ENDED = ("failed", "cancelled")


class Told(NamedTuple):
    """An entry: its topic, what it says, whether it is new (not a repeat), and whose key signed it."""

    topic: str
    value: dict[str, Any]
    fresh: bool = True
    signer: str | None = None


def is_settled(mark: Record) -> bool:
    """Whether something of it came back or was compensated."""
    return bool(number(mark["recovered_amount"]) + number(mark["compensated_amount"]))


class NoticeAuditor:
    """Reads the auditor's tables, which only that one writes."""

    def __init__(
        self, marks: dict[str, Record], of_withdrawal: dict[str, set[str]], incidents: dict[str, Record], verdicts: dict[str, Record],
        told: Counter[str],
    ) -> None:  # fmt: skip
        self.marks, self.of_withdrawal, self.incidents, self.verdicts, self.told = marks, of_withdrawal, incidents, verdicts, told
        self.parted: set[frozenset[str]] = set()
        self.ended: dict[str, str] = {}

    def merges(self, merged: dict[str, str], costs: Counter[str], records: list[Record]) -> None:
        """What people parted no finding merges, and what a merge costs in cover is told."""
        for name, into in merged.items():
            assert frozenset((name, into)) not in self.parted, "merged again what people had parted"
            self.parted = {frozenset(into if each == name else each for each in pair) for pair in self.parted}
        told = [record["subject_id"] for record in records if record["topic"] == "audit" and record["what"] == "less-covered"]
        assert sorted(told) == sorted(name for name, cost in costs.items() if cost > 0), "a merge by which less is covered"
        alerts = [record for record in records if record["topic"] == "alerts" and record["why"] == "less_covered"]
        assert [alert["kind"] for alert in alerts] == ["notice"] * len(told)
        self.told["less covered"] += len(told)

    def contradictions(self, told: Told, records: list[Record]) -> None:
        """A withdrawal that failed or was cancelled before it left: what is only suspected is no loss, of what people said they are told once."""
        said = [record["subject_id"] for record in records if record["what" if "what" in record else "topic"] == "contradicted"]
        alerts = [record for record in records if record["topic"] == "alerts" and record["why"] == "contradicted"]
        assert [alert["kind"] for alert in alerts] == ["notice"] * len(said)
        for alert, name in zip(alerts, said, strict=True):
            assert alert["incident_id"] == self.marks[name]["incident_id"]
            assert alert["summary"].startswith(f"Mark {name} is ")
            assert "contradicted" in [line["what"] for line in self.incidents[alert["incident_id"]]["timeline"]]
        if told.topic != "withdrawals" or not told.fresh:
            assert not said
            return
        name, status = told.value["withdrawal_id"], told.value["status"]
        before = self.ended.get(name, "")
        if status != "requested" and before != "cancelled":
            self.ended[name] = status
        verdict = self.verdicts.get(name, {"verdict": "CLEAR"})
        if status not in ENDED or verdict["verdict"] != "HOLD":  # of what isn't held nothing published says whether it left
            assert status in ENDED or not said
            return
        its = [self.marks[each] for each in sorted(self.of_withdrawal.get(name, ())) if each.startswith("withdrawal:")]
        certain = [mark["mark_id"] for mark in its if mark["state"] not in ("suspected", "cleared") or is_settled(mark)]
        assert said == ([] if verdict["too_late"] or before in ENDED else certain)
        assert verdict["too_late"] or not [mark for mark in its if mark["state"] == "suspected" and not is_settled(mark)], "it never left"
        self.told["contradicted"] += len(said)
