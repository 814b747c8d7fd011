"""What a run of outputs comes to: was anything taken, is it covered, who was woken when, and why. Bounded, whatever the run's length.

Counts and keeps what the core decided; decides nothing. Fed by `streams.replay` and the demo; `lines` is what people read.
"""

import typing
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec

from monitor.contracts.outputs import (
    Alert,
    Coverage,
    Heartbeat,
    Incident,
    LayerCoverage,
    Mark,
    MarkStage,
    ReasonGiven,
    ReviewTold,
    Severity,
    Verdict,
    VerdictKind,
)
from monitor.outbox import OutputRecord
from streams.words import grouped, moment, spaced

KEPT_MAX = 1_000
"""Marks, incidents and odd verdicts kept in full; all are counted."""
COVERAGE_ROWS_MAX = 512
SHOWN_MAX = 12
MARK_STATES: tuple[MarkStage, ...] = typing.get_args(MarkStage)
HEARTBEAT = b'{"kind":"heartbeat"'
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "notice")
ORDER: tuple[VerdictKind, ...] = ("CLEAR", "WATCH", "HOLD", "UNSCORED")


class CoverageRow(NamedTuple):
    """Coverage at one time, amounts in the base currency."""

    at_ms: int
    marked: str
    uncovered: str
    available: str
    seconds_to_exhaustion: int | None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The whole story as values. Times in milliseconds, amounts as decimal strings; lists are cut at KEPT_MAX, counts aren't.

    Incidents come the severest first; `reasons` are those of held withdrawals, by incident.
    """

    base_currency: str
    verdicts: dict[str, int]
    too_late: int
    late: int
    versions: int
    heartbeats: int
    marks_by_state: dict[str, int]
    marks: list[Mark]
    incidents: list[Incident]
    reasons: dict[str, list[ReasonGiven]]
    reviews: dict[str, int]
    pages: int
    notices: int
    first_page: Alert | None
    coverage: list[CoverageRow]
    layers: tuple[LayerCoverage, ...]
    whole: Coverage | None
    exhausted: bool
    at_least: bool
    outputs: dict[str, int]
    first_ms: int | None
    last_ms: int | None

    @property
    def marked(self) -> str:
        """Value marked at the end, in the base currency."""
        return self.coverage[-1].marked if self.coverage else "0"

    @property
    def uncovered(self) -> str:
        """What of it no layer carries."""
        return self.coverage[-1].uncovered if self.coverage else "0"


class Story:
    """Takes output records in order and keeps what people will ask for."""

    def __init__(self) -> None:
        self.verdicts: dict[str, int] = dict.fromkeys(ORDER, 0)
        self.reviews: dict[str, int] = dict.fromkeys(typing.get_args(ReviewTold), 0)
        self.outputs: dict[str, int] = {}
        self.marks: dict[str, Mark] = {}
        self.incidents: dict[str, Incident] = {}
        self.reasons: dict[str, list[ReasonGiven]] = {}
        self.coverage: Coverage | None = None
        self.whole: Coverage | None = None
        self.rows: list[CoverageRow] = []
        self.first_page: Alert | None = None
        self.too_late = self.late = self.versions = self.heartbeats = self.pages = self.notices = 0
        self.first_ms: int | None = None
        self.last_ms: int | None = None
        self._odd: dict[str, VerdictKind] = {}
        self._mark_states: dict[str, str] = {}
        self._takers = {
            "verdicts": self._verdict,
            "marks": self._mark,
            "incidents": self._incident,
            "alerts": self._alert,
            "coverage": self._coverage,
        }

    def take(self, record: OutputRecord) -> None:
        """One output record. Raises msgspec.MsgspecError for what isn't one."""
        self.outputs[record.topic] = self.outputs.get(record.topic, 0) + 1
        taker = self._takers.get(record.topic)
        if taker is not None:
            taker(record.value)

    def _verdict(self, value: bytes) -> None:
        if value.startswith(HEARTBEAT):
            self.heartbeats += 1
            self._time(_HEARTBEAT.decode(value).decided_at_ms)
            return
        verdict = _VERDICT.decode(value)
        self.versions += 1
        if verdict.version > 1:
            self.verdicts[self._odd.get(verdict.withdrawal_id, "CLEAR")] -= 1
        self.verdicts[verdict.verdict] += 1
        if verdict.verdict != "CLEAR":
            self._odd[verdict.withdrawal_id] = verdict.verdict
        if verdict.verdict == "HOLD" and verdict.incident_id is not None and (verdict.incident_id in self.reasons or len(self.reasons) < KEPT_MAX):
            kept = self.reasons.setdefault(verdict.incident_id, [])
            kept.extend(reason for reason in verdict.reasons if reason not in kept and len(kept) < SHOWN_MAX)
        if verdict.review is not None:
            self.reviews[verdict.review] += 1
        self.too_late += verdict.too_late
        self.late += verdict.late

    def _mark(self, value: bytes) -> None:
        mark = _MARK.decode(value)
        self._mark_states[mark.mark_id] = mark.state
        if mark.mark_id in self.marks or len(self.marks) < KEPT_MAX:
            self.marks[mark.mark_id] = mark

    def _incident(self, value: bytes) -> None:
        incident = _INCIDENT.decode(value)
        if incident.merged_into is not None:
            self._merged(incident.incident_id, incident.merged_into)
        elif incident.incident_id in self.incidents or len(self.incidents) < KEPT_MAX:
            self.incidents[incident.incident_id] = incident

    def _merged(self, incident_id: str, into: str) -> None:
        """It goes on as another: so do the reasons that were kept of it."""
        self.incidents.pop(incident_id, None)
        given = self.reasons.pop(incident_id, None)
        if given is not None:
            kept = self.reasons.setdefault(into, [])
            kept.extend(reason for reason in given if reason not in kept and len(kept) < SHOWN_MAX)

    def _alert(self, value: bytes) -> None:
        alert = _ALERT.decode(value)
        if alert.kind == "notice":
            self.notices += 1
            return
        self.pages += 1
        if self.first_page is None:
            self.first_page = alert

    def _coverage(self, value: bytes) -> None:
        coverage = _COVERAGE.decode(value)
        self.coverage = coverage
        if coverage.scope == "whole":
            self.whole = coverage
        self._time(coverage.decided_at_ms)
        row = CoverageRow(
            coverage.decided_at_ms,
            coverage.marked_base_amount,
            coverage.uncovered_base_amount,
            coverage.available_base_amount,
            coverage.seconds_to_exhaustion,
        )
        rows = self.rows
        # The last row follows the present; a new one begins where what is marked changes.
        if len(rows) > 1 and rows[-1].marked == row.marked == rows[-2].marked:
            rows[-1] = row
            return
        rows.append(row)
        if len(rows) > COVERAGE_ROWS_MAX:
            del rows[1:-1:2]

    def _time(self, at_ms: int) -> None:
        if self.first_ms is None:
            self.first_ms = at_ms
        self.last_ms = at_ms

    def summary(self) -> Summary:
        """The story so far."""
        coverage = self.coverage
        states = list(self._mark_states.values())
        return Summary(
            base_currency=coverage.base_currency if coverage is not None else "",
            verdicts=dict(self.verdicts),
            too_late=self.too_late,
            late=self.late,
            versions=self.versions,
            heartbeats=self.heartbeats,
            marks_by_state={state: states.count(state) for state in MARK_STATES},
            marks=list(self.marks.values()),
            incidents=sorted(self.incidents.values(), key=lambda incident: SEVERITIES.index(incident.severity)),
            reasons=self.reasons,
            reviews=dict(self.reviews),
            pages=self.pages,
            notices=self.notices,
            first_page=self.first_page,
            coverage=list(self.rows),
            layers=coverage.layers if coverage is not None else (),
            whole=self.whole,
            exhausted=coverage is not None and coverage.exhausted,
            at_least=coverage is not None and coverage.at_least,
            outputs=dict(self.outputs),
            first_ms=self.first_ms,
            last_ms=self.last_ms,
        )


_VERDICT = msgspec.json.Decoder(Verdict)
_HEARTBEAT = msgspec.json.Decoder(Heartbeat)
_MARK = msgspec.json.Decoder(Mark)
_INCIDENT = msgspec.json.Decoder(Incident)
_ALERT = msgspec.json.Decoder(Alert)
_COVERAGE = msgspec.json.Decoder(Coverage)


def answer(summary: Summary) -> Iterator[str]:
    """The question first: was anything taken, how much is marked, is it covered, who was woken."""
    base = summary.base_currency
    lost = [mark for mark in summary.marks if mark.state != "cleared"]
    number = sum(count for state, count in summary.marks_by_state.items() if state != "cleared")
    critical = sum(incident.severity == "critical" for incident in summary.incidents)
    if not lost and not critical:
        yield "Was anything taken?  Nothing that the monitor would mark or page."
    else:
        taken = ", ".join(f"{grouped(amount)} {asset}" for asset, amount in _by_asset(lost).items()) or "nothing that is marked"
        more = " at least" if summary.at_least or len(lost) < number else ""
        yield f"Was anything taken?  YES, as it looks:{more} {taken}."
        yield f"How much is marked?  {grouped(summary.marked)} {base} on {number} withdrawal(s) or outflow(s)."
        if summary.at_least:
            yield "Is it covered?       Not known: something marked has no price; the value above is a lower bound."
        elif summary.uncovered == "0":
            left = grouped(summary.coverage[-1].available) if summary.coverage else "?"
            yield f"Is it covered?       Yes, in full; {left} {base} of the reserve would be left."
        else:
            yield f"Is it covered?       NO: {grouped(summary.uncovered)} {base} are carried by no layer."
    page = summary.first_page
    if page is None:
        yield "Whom to wake?        Nobody was paged."
    else:
        yield f"Whom to wake?        {summary.pages} page(s), the first at {moment(page.decided_at_ms)} UTC: {page.title}."


def _by_asset(marks: list[Mark]) -> Mapping[str, str]:
    sums: dict[str, tuple[int, int]] = {}
    for mark in marks:
        whole, _, fraction = mark.amount.partition(".")
        value, scale = sums.get(mark.asset, (0, 0))
        common = max(scale, len(fraction))
        value = value * 10 ** (common - scale) + int(whole + fraction) * 10 ** (common - len(fraction))
        sums[mark.asset] = (value, common)
    return {asset: _decimal(value, scale) for asset, (value, scale) in sums.items()}


def _decimal(value: int, scale: int) -> str:
    digits = str(value).rjust(scale + 1, "0")
    return f"{digits[: len(digits) - scale]}.{digits[len(digits) - scale :]}" if scale else digits


def lines(summary: Summary) -> Iterator[str]:
    """The whole summary for people."""
    yield from answer(summary)
    yield ""
    kinds = ", ".join(f"{kind} {summary.verdicts[kind]:,}" for kind in ORDER)
    yield f"Verdicts   {kinds}; held too late (already sent): {summary.too_late}; decided late: {summary.late:,}"
    asked = ", ".join(f"{spaced(review)} {count:,}" for review, count in summary.reviews.items())
    yield f"Reviews    {asked}"
    states = (f"{count} {spaced(state)}" for state, count in summary.marks_by_state.items() if count)
    yield f"Marks      {', '.join(states) or 'none'}"
    for mark in summary.marks[:SHOWN_MAX]:
        parts = ", ".join(f"{part.layer_id} {grouped(part.amount)} {part.unit} {part.account}" for part in mark.allocations) or "no layer"
        worth = "no price known" if mark.base_amount is None else f"{grouped(mark.base_amount)} {summary.base_currency}"
        yield f"  {mark.mark_id}: {spaced(mark.state)} {grouped(mark.amount)} {mark.asset} ({worth}), carried by {parts}"
    if len(summary.marks) > SHOWN_MAX:
        yield f"  and {len(summary.marks) - SHOWN_MAX} more"
    yield f"Incidents  {len(summary.incidents)}; pages {summary.pages}, notices {summary.notices}"
    for incident in summary.incidents[:SHOWN_MAX]:
        yield from _incident_lines(incident, summary)
    if len(summary.incidents) > SHOWN_MAX:
        yield f"  and {len(summary.incidents) - SHOWN_MAX} more"
    yield from _coverage_lines(summary)
    if summary.whole is not None:
        yield from _risk_lines(summary.whole)


def _incident_lines(incident: Incident, summary: Summary) -> Iterator[str]:
    yield f"  {incident.incident_id} ({incident.severity}, {incident.cause}, {incident.state}), opened {moment(incident.opened_at_ms)} UTC: {incident.title}"
    yield f"    {incident.withdrawals} withdrawal(s), {incident.accounts} account(s), {grouped(incident.marked_base_amount)} {summary.base_currency} marked"
    given = summary.reasons.get(incident.incident_id)
    if given:
        for reason in given:
            chance = "" if reason.p_value is None else f" (p {reason.p_value:.1e})"
            yield f"    because {reason.rule}: {reason.detail}{chance}"
    else:
        yield f"    because {', '.join(incident.rules)}"
    yield f"    {incident.summary}"


def _coverage_lines(summary: Summary) -> Iterator[str]:
    if not summary.coverage:
        return
    yield f"Coverage   by time (UTC), in {summary.base_currency}"
    yield f"  {'time':19}  {'marked':>20}  {'uncovered':>20}  {'reserve available':>20}"
    rows = summary.coverage
    if len(rows) > SHOWN_MAX:
        step = (len(rows) - 1) / (SHOWN_MAX - 1)
        rows = [rows[round(index * step)] for index in range(SHOWN_MAX)]
    for row in rows:
        yield f"  {moment(row.at_ms)}  {grouped(row.marked):>20}  {grouped(row.uncovered):>20}  {grouped(row.available):>20}"


def _risk_lines(whole: Coverage) -> Iterator[str]:
    """What of customers' assets is at risk at the end, and which rules it breaks."""
    base = whole.base_currency
    if whole.customers_base_amount == "0":
        return
    share = "not all balances are known" if whole.hot_share_percent is None else f"{whole.hot_share_percent} %"
    yield f"At risk    {grouped(whole.hot_base_amount)} of customers' {grouped(whole.customers_base_amount)} {base} are in hot wallets ({share})"
    for wallet in whole.hot_wallets[:1]:
        lost = f"{wallet.wallet_id} with {grouped(wallet.amount)} {wallet.asset} ({grouped(wallet.base_amount)} {base})"
        yield f"  if emptied now: {lost}; {grouped(wallet.uncovered_base_amount)} {base} of it carried by no layer"
    short = [f"{grouped(row.guarantee_shortfall)} {row.asset}" for row in whole.assets if row.guarantee_shortfall != "0"]
    if short:
        yield f"  missing of the same kind and quantity: {', '.join(short)}"
    doubted = [f"{row.asset} {row.price_standing}" for row in whole.assets if row.price_standing != "fresh"]
    if doubted:
        yield f"  prices that can't be relied on: {', '.join(doubted)}"
