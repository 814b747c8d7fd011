"""One incident as it stands, and the record that tells it. The struct that `monitor.incidents` and `monitor.handling` change.

Decides nothing. Snapshotted as it is; what can be derived from marks and keys lives in `monitor.incidents`.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec

from monitor.clock_sheet import joined, open_targets
from monitor.contracts.base import Cause
from monitor.contracts.outputs import Alert, ClockSheet, ClockTarget, Due, Happened, Incident, Outcome, Severity, Stage
from monitor.findings import rule_of
from monitor.incident_words import Facts, summary, title
from monitor.mark_state import MarkState
from monitor.money import print_amount
from monitor.policy import ClockTargets, Policy

HANDLING: tuple[Stage, ...] = ("new", "acknowledged", "investigating", "pending_closure")
RANK: dict[Severity, int] = {"notice": 0, "warning": 1, "critical": 2}
KEYS_SHOWN_MAX = 64
PLACES_MAX = 4
"""Wallets, providers and destinations named to a woken person, each."""
TIMELINE_MAX = 100
TIMELINE_FIRST = 20
"""How it began is never dropped; of the rest the newest stay."""
SPOKEN = ("noted", "assigned")
SPOKEN_MAX = 50
"""What anybody may say as often as he likes has a quota of its own: it pushes out nothing else. The newest stay."""
What = Literal[
    "opened", "paged", "escalated", "merged", "reopened", "clock_missed", "clock_set", "acknowledged", "assigned", "noted",
    "closure_proposed", "closure_withdrawn", "closed", "contradicted", "mark_moved",
]  # fmt: skip
Why = Literal["opened", "escalated", "reopened", "clock_missed", "contradicted", "less_covered"]
PLACES = ("wallet", "provider", "address")


class Unvalued(NamedTuple):
    """Of one asset without a price, in its minor units: what stood when it last woke people (-1: never), what has left, and what had when it last did."""

    told_minor: int = -1
    gone_minor: int = 0
    told_gone_minor: int = 0


class IncidentState(msgspec.Struct):
    """One incident. Amounts are of standing marks: in the base currency, and by asset in the asset's minor units.

    `grown_version` tells, or will tell, the newest loss or growth of one; a withdrawal's number the newest that was found out about it.
    `stage_before` is what it goes back to if a closing that was proposed comes to nothing; `parted` are those that people say are others. `gone` says that something left that an exact rule is
    about, `gone_base_minor` how much; `paged_base_minor` is what more is measured by, `paged_most_minor` the most that ever paged.
    """

    incident_id: str
    ordinal: int
    severity: Severity
    cause: Cause
    rule: str
    detail: str
    clock: ClockSheet
    last_event_at_ms: int
    last_finding_at_ms: int
    stage: Stage = "new"
    stage_before: Stage | None = None
    outcome: Outcome | None = None
    assignee: str | None = None
    closed_at_ms: int | None = None
    merged_into: str | None = None
    follows: str | None = None
    absorbed: dict[str, None] = {}
    parted: list[str] = []
    version: int = 0
    handled_version: int = 0
    grown_version: int = 0
    findings: int = 0
    rules: list[str] = []
    keys: list[str] = []
    places: dict[str, list[str]] = {}
    withdrawals: dict[str, int] = {}
    accounts: dict[str, None] = {}
    timeline: list[Happened] = []
    missed: list[ClockTarget] = []
    marks: int = 0
    unpriced: int = 0
    marked_minor: dict[str, int] = {}
    marked_base_minor: int = 0
    uncovered_base_minor: int = 0
    alone: dict[str, int] = {}
    """By person (key): the value, in the base currency, of what was decided about the incident's marks without a second person."""
    paged_base_minor: int = -1
    paged_most_minor: int = -1
    paged_certain: bool = False
    paged_gone: bool = False
    paged_gone_base_minor: int = 0
    unvalued: dict[str, Unvalued] = {}
    unvalued_due: bool = False
    last_paged_at_ms: int | None = None
    paged_again_at_ms: int | None = None
    page_waits: bool = False
    alerts: int = 0
    severe: bool = False
    certain: bool = False
    gone: bool = False
    gone_base_minor: int = 0
    reopened: bool = False
    alerts_due: bool = False
    muted: bool = False
    put_off: bool = False

    @property
    def is_open(self) -> bool:
        """Whether findings join it."""
        return self.stage not in ("closed", "merged")

    @property
    def at_stake(self) -> bool:
        """Whether somebody beside us must be told: something severe, with marks that stand."""
        return self.severe and self.marks > 0

    def due(self, targets: ClockTargets) -> tuple[Due, ...]:
        """What its clock sheet still waits for. A closing ends nothing of it while marks stand: whoever must be told must be told all the same."""
        return open_targets(self.clock, targets, self.missed, at_stake=self.at_stake) if self.stage != "merged" else ()

    @property
    def telling(self) -> int:
        """The version that will tell what changes now."""
        return self.version + 1

    def take_over(self, other: "IncidentState") -> None:
        """All that another was, but for keys, marks and what was paged: it is one with this. Who has taken one of the two in hand has taken the whole."""
        self.lead(other.severity, other.cause, other.rule, other.detail)
        self.rules += [rule for rule in other.rules if rule not in self.rules]
        self.clock = joined(self.clock, other.clock)
        self.last_event_at_ms = max(self.last_event_at_ms, other.last_event_at_ms)
        self.last_finding_at_ms = max(self.last_finding_at_ms, other.last_finding_at_ms)
        stage = max(self.stage, other.stage, key=HANDLING.index)
        self.stage = "investigating" if stage == "pending_closure" else stage  # nobody proposed to close what it is now
        self.stage_before = other.stage_before = self.outcome = other.outcome = None
        self.assignee = self.assignee or other.assignee
        self.follows = self.follows or other.follows
        self.parted += [name for name in other.parted if name not in self.parted]
        self.findings += other.findings
        self.withdrawals |= dict.fromkeys(other.withdrawals, self.telling)
        self.accounts |= other.accounts
        other.withdrawals, other.accounts = {}, {}
        self.timeline = sorted(self.timeline + other.timeline, key=lambda line: line.at_ms)
        self.trim()
        for person, base_minor in other.alone.items():
            self.alone[person] = self.alone.get(person, 0) + base_minor
        other.alone = {}
        self.missed += [target for target in other.missed if target not in self.missed]
        self.alerts += other.alerts
        self.severe |= other.severe
        self.certain |= other.certain
        self.muted |= other.muted

    def happened(self, at_ms: int, what: What, detail: str, actor: str | None = None) -> None:
        """Put a line into the timeline."""
        self.timeline.append(Happened(at_ms, what, detail, actor))
        self.trim()

    def handled(self, at_ms: int, what: What, detail: str, actor: str | None = None) -> None:
        """A line that changes how it is handled: who decided on an earlier version must look again."""
        self.happened(at_ms, what, detail, actor)
        self.handled_version = self.telling

    def stays_open(self, at_ms: int, why: str, actor: str | None = None) -> None:
        """A closing that was proposed comes to nothing: it is what it was before, and who proposed it must look again."""
        self.stage, self.stage_before, self.outcome = self.stage_before or "investigating", None, None
        self.handled(at_ms, "closure_withdrawn", why, actor)

    def count(self, standing: "Standing", sign: int) -> None:
        """A mark stands for so much (`sign` 1), or no longer does (-1)."""
        self.marks += sign
        self.unpriced += sign * (standing.base_minor is None)
        self.marked_base_minor += sign * (standing.base_minor or 0)
        self.uncovered_base_minor += sign * standing.uncovered_minor
        minor = self.marked_minor.get(standing.asset, 0) + sign * standing.amount_minor
        self.marked_minor[standing.asset] = minor
        if minor == 0:
            del self.marked_minor[standing.asset]

    def trim(self) -> None:
        """Keep the timeline bounded."""
        if len(self.timeline) <= SPOKEN_MAX:
            return
        spoken = [place for place, line in enumerate(self.timeline) if line.what in SPOKEN]
        rest = [place for place, line in enumerate(self.timeline) if line.what not in SPOKEN]
        gone = {*spoken[: max(0, len(spoken) - SPOKEN_MAX)], *rest[TIMELINE_FIRST : TIMELINE_FIRST + max(0, len(rest) - TIMELINE_MAX)]}
        if gone:
            self.timeline = [line for place, line in enumerate(self.timeline) if place not in gone]

    def show(self, keys: Iterable[str]) -> None:
        """Keys tie it together: the first of them are named, and places among them."""
        for key in keys:
            if len(self.keys) < KEYS_SHOWN_MAX and key not in self.keys:
                self.keys.append(key)
            kind, _, name = key.partition(":")
            if kind in PLACES:
                self.place(kind, name)

    def lead(self, severity: Severity, cause: Cause, rule: str, detail: str) -> None:
        """What it is called: by the severest rule, of equals the newest."""
        if RANK[severity] >= RANK[rule_of(self.rule).severity]:
            self.rule, self.cause, self.detail = rule, cause, detail
        if RANK[severity] > RANK[self.severity]:
            self.severity = severity

    def place(self, kind: str, name: str) -> None:
        """It is about that wallet, provider or destination."""
        names = self.places.setdefault(kind, [])
        if name not in names and len(names) < PLACES_MAX:
            names.append(name)


class Standing(NamedTuple):
    """What a mark counts for in its incident: nothing (`number` 0) once it is given back; no value while it has no price."""

    number: int
    asset: str
    amount_minor: int
    base_minor: int | None
    uncovered_minor: int


def exceeds(after: Standing, before: Standing) -> bool:
    """Whether a mark counts for more than it did, in number, units or value."""
    return after.number > before.number or after.amount_minor > before.amount_minor or (after.base_minor or 0) > (before.base_minor or 0)


def standing(mark: MarkState) -> Standing:
    """What a version of a mark counts for in its incident: what of it is open."""
    if not mark.standing:
        return Standing(0, mark.subject.asset, 0, 0, 0)
    return Standing(1, mark.subject.asset, mark.open_minor, mark.base_minor, mark.uncovered_base_minor or 0)


def facts(incident: IncidentState) -> Facts:
    """What a woken person is told about."""
    return Facts(
        rule=incident.rule,
        cause=incident.cause,
        detail=incident.detail,
        certain=incident.certain,
        withdrawals=len(incident.withdrawals),
        accounts=len(incident.accounts),
        marked_minor=incident.marked_minor,
        marked_base_minor=incident.marked_base_minor,
        uncovered_base_minor=incident.uncovered_base_minor,
        unpriced=incident.unpriced,
        places=incident.places,
        last_finding_at_ms=incident.last_finding_at_ms,
    )


def incident_record(incident: IncidentState, now_ms: int, policy: Policy) -> Incident:
    """The record of its present version."""
    told, decimals = facts(incident), policy.assets[policy.base_currency].decimals
    return Incident(
        decided_at_ms=now_ms,
        incident_id=incident.incident_id,
        version=incident.version,
        handled_version=incident.handled_version,
        state=incident.stage,
        merged_into=incident.merged_into,
        follows=incident.follows,
        outcome=incident.outcome,
        assignee=incident.assignee,
        severity=incident.severity,
        certain=incident.certain,
        cause=incident.cause,
        title=title(told, policy),
        summary=summary(told, now_ms, policy),
        rules=tuple(incident.rules),
        keys=tuple(incident.keys),
        findings=incident.findings,
        withdrawals=len(incident.withdrawals),
        accounts=len(incident.accounts),
        marks=incident.marks,
        opened_at_ms=incident.clock.first_finding_at_ms,
        first_event_at_ms=incident.clock.first_event_at_ms,
        last_event_at_ms=incident.last_event_at_ms,
        closed_at_ms=incident.closed_at_ms,
        clock=incident.clock,
        due=incident.due(policy.clock_targets),
        timeline=tuple(incident.timeline),
        marked_base_amount=print_amount(incident.marked_base_minor, decimals),
        uncovered_base_amount=print_amount(incident.uncovered_base_minor, decimals),
        policy_version=policy.version,
    )


def alert_record(incident: IncidentState, kind: str, why: Why, now_ms: int, policy: Policy, *, first: str = "", reserve: str = "") -> Alert:
    """The record that tells somebody of an incident; `first` says what of its clock sheet is missed, or what contradicts it, `reserve` what is left."""
    told = facts(incident)._replace(reserve=reserve)
    return Alert(
        decided_at_ms=now_ms,
        alert_id=f"{incident.incident_id}/{incident.alerts}",
        incident_id=incident.incident_id,
        kind="page" if kind == "page" else "notice",
        why=why,
        severity=incident.severity,
        title=title(told, policy),
        summary=first + summary(told, now_ms, policy),
        policy_version=policy.version,
    )
