"""Runs an incident over a folded history in closed loop: what the monitor holds goes no further, and what came of it is counted.

Each record near the incident is folded by itself, so a verdict stops whatever comes after it. Pure but for the files that `load` reads.
Called by the command line (`streams.scenario_report` prints) and the tests.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeVar

import msgspec

from monitor.contracts.outputs import Alert, Verdict
from monitor.engine import OutputRecord
from monitor.money import rate, value_base_minor
from streams.dossier import Dossier
from streams.scenario_ground import MINUTE_MS, SECOND_MS, Ground
from streams.scenario_result import Criterion, MonitorIncident, Page, Result, VerdictShown
from streams.scenario_watch import Ties, Watch
from streams.simulation.exchange import Record
from streams.simulation.phases import NoticePhase, Scenario, TransferPhase, WithdrawalsPhase
from streams.simulation.play import Play
from streams.simulation.scenario import ScenarioRefusedError
from streams.simulation.stage import Stage, Step, never_held
from streams.simulation.telling import Part
from streams.simulation.world import ASSETS

LEAD_MS = 60_000
"""Honest traffic between the history and the incident's first phase."""
NEAR_BEFORE_MS, NEAR_AFTER_MS = 5_000, 90_000
"""Around each of the incident's records there is a Tick a second and a fold for each record; elsewhere a Tick a minute."""
FAR_ENTRIES = 500
PAGE_SECONDS_MAX = 10.0
GONE_SHARE_MAX = 0.10
SHOWN_MAX = 20
COVERAGE_SHOWN = 12

Row = TypeVar("Row")
_DECIMALS = {row.asset: row.decimals for row in ASSETS}


class Taking(NamedTuple):
    """One thing that is loss, with its value in the base currency when it was to happen; `stopped` if it didn't."""

    at_ms: int
    topic: str
    withdrawal_id: str | None
    part: Part
    base_minor: int
    stopped: bool
    name: str = ""
    """Its withdrawal, else the posting or the outflow's event: what a mark of it names."""


class Live(NamedTuple):
    """What one playing came to."""

    play: Play
    watch: Watch
    ties: Ties
    takings: list[Taking]
    entries: int
    refused: dict[str, int]

    @property
    def total_minor(self) -> int:
        """Value of all that is loss, stopped or not."""
        return sum(taking.base_minor for taking in self.takings)

    def gone_minor(self, until_ms: int | None = None) -> int:
        """Value of what was taken up to that time."""
        return sum(taking.base_minor for taking in self.takings if not taking.stopped and (until_ms is None or taking.at_ms <= until_ms))

    def planned_minor(self, until_ms: int) -> int:
        """Value of what was to be taken up to that time."""
        return sum(taking.base_minor for taking in self.takings if taking.at_ms <= until_ms)

    @property
    def first_ms(self) -> int:
        """The first provable loss: event time of the first broadcast, outflow or posting that is loss, even if holding stopped it."""
        return min(taking.at_ms for taking in self.takings)


class Prices:
    """The newest price of each asset, as the exchange told it."""

    def __init__(self, told: Mapping[str, str]) -> None:
        self._prices = dict(told)

    def note(self, record: Record) -> None:
        """A record passes."""
        if record.topic == "prices":
            self._prices[record.key] = str(record.value["price"])

    def base_minor(self, part: Part) -> int:
        """Value in the base currency, which has no decimals here."""
        at = rate(self._prices[part.asset], _DECIMALS[part.asset], 0)
        if at is None:
            raise ValueError(f"{self._prices[part.asset]} is no price")
        return value_base_minor(part.amount_minor, at)


class Loop:
    """One playing over a fork of the ground."""

    def __init__(self, ground: Ground, scenario: Scenario, *, obey: bool, dossier: Dossier | None = None) -> None:
        begin_ms = ground.history.end_ms + LEAD_MS - round(min(scenario.first_seconds, 0.0) * SECOND_MS)
        self.play = Play(scenario, begin_ms, ground.seed)
        self.watch = Watch()
        self.ties = Ties(self.play)
        self._ground = ground
        self._obey = obey
        self.engine = ground.engine()
        self.journal = ground.journal.fork()
        self.dossier = dossier
        if dossier is not None:
            dossier.attend(self.engine)
        self.kept: list[bytes] = []
        """The entries since the history's end, if there is a dossier."""
        self._batch: list[bytes] = []
        self._prices = Prices(ground.prices)
        self._takings: list[Taking] = []
        self._end_ms = 0
        self._busy: list[tuple[int, int]] = []

    def run(self) -> Live:
        """Play it to its end. Raises ScenarioRefusedError if the exchange lacks what it needs, or if nothing of it is loss."""
        play, ground = self.play, self._ground
        stage = Stage(ground.continuation(play.episodes(ground.history.start_ms)), ground.known.copy())
        stage.begin(play)
        entries_before = self.engine.next_offset
        for step in stage.steps(self.watch.held.__contains__ if self._obey else never_held):
            at_ms = step.record.timestamp_ms
            if self._end_ms == 0 and at_ms >= play.first_ms:
                self._end_ms = play.end_ms + round(play.scenario.tail_seconds * SECOND_MS)
                self._busy = merged(play.busy_ms())
            if 0 < self._end_ms < at_ms:
                break
            self._take(step)
        self._ring(max(self._end_ms, self.journal.clock_ms))
        self._fold()
        if not self._takings:
            raise ScenarioRefusedError(f"Scenario '{play.scenario.id}' can't be run: no phase that happened is marked as loss.")
        return Live(play, self.watch, self.ties, self._takings, self.engine.next_offset - entries_before, dict(self.journal.refused))

    def _take(self, step: Step) -> None:
        record = step.record
        self._ring(record.timestamp_ms)
        self._prices.note(record)
        if step.loss is not None:
            value = record.value
            withdrawal_id = value.get("withdrawal_id")
            at_ms = int(str(value["occurred_at_ms"]))
            base_minor = self._prices.base_minor(step.loss)
            named = None if withdrawal_id is None else str(withdrawal_id)
            name = str(named or value.get("posting_id") or value["event_id"])
            self._takings.append(Taking(at_ms, record.topic, named, step.loss, base_minor, step.stopped, name))
        if step.ours:
            self.ties.note(record)
        if step.stopped:
            return
        self._batch += self.journal.take(record)
        if self._is_near(record.timestamp_ms) or len(self._batch) >= FAR_ENTRIES:
            self._fold()

    def _is_near(self, at_ms: int) -> bool:
        busy = self._busy
        while busy and busy[0][1] < at_ms:
            busy.pop(0)
        return bool(busy) and busy[0][0] <= at_ms

    def _ring(self, to_ms: int) -> None:
        """Move the clock: near the incident each second is folded by itself, since pages and verdicts may come of it."""
        near = self._is_near(to_ms) or self._is_near(self.journal.clock_ms + SECOND_MS)
        for entry in self.journal.until(to_ms, SECOND_MS if near else MINUTE_MS):
            self._batch.append(entry)
        if near:
            self._fold()

    def _fold(self) -> None:
        if self._batch:
            self.fold(self._batch)
            self._batch = []

    def fold(self, batch: list[bytes]) -> list[OutputRecord]:
        """Fold entries that come next, and keep what a dossier needs."""
        records = self.engine.fold(self.engine.next_offset, batch)
        self.watch.take(records)
        if self.dossier is not None:
            self.dossier.take(records)
            self.kept += batch
        return records


def merged(busy: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges with what is near them, joined where they touch."""
    joined: list[tuple[int, int]] = []
    for first_ms, last_ms in busy:
        begin_ms, end_ms = first_ms - NEAR_BEFORE_MS, last_ms + NEAR_AFTER_MS
        if joined and begin_ms <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(joined[-1][1], end_ms)
        else:
            joined.append((begin_ms, end_ms))
    return joined


def run(ground: Ground, scenario: Scenario, *, hold: bool = True) -> Result:
    """Play a scenario with holds obeyed and without, and say what came of the one that was asked for."""
    live = Loop(ground, scenario, obey=hold).run()
    nothing_stopped = hold and not any(taking.stopped for taking in live.takings)
    other = live if nothing_stopped else Loop(ground, scenario, obey=not hold).run()
    free, obeyed = (other, live) if hold else (live, other)
    return summed_up(ground, live, hold=hold, saved_minor=free.gone_minor() - obeyed.gone_minor(), obeyed=obeyed)


def summed_up(ground: Ground, live: Live, *, hold: bool, saved_minor: int, obeyed: Live) -> Result:
    """All that is said about one playing."""
    play, watch, first_ms = live.play, live.watch, live.first_ms
    scenario = play.scenario
    pages = live.ties.pages(watch)
    page = pages[0] if pages else None
    false_pages = [alert for alert in watch.pages if alert not in pages]
    reviews = [verdict for withdrawal_id, verdict in watch.reviews().items() if withdrawal_id not in live.ties.withdrawals]
    holds = sorted(verdict.decided_at_ms for name in live.ties.withdrawals for verdict in watch.verdicts.get(name, ()) if verdict.verdict == "HOLD")
    incidents = _incidents(live, first_ms)
    tied = {incident.incident_id for incident in incidents}
    marks = {mark.mark_id: mark for mark in watch.marks if mark.incident_id in tied}
    total_minor = live.total_minor
    noticed = [phase.at_seconds for phase in scenario.phases if isinstance(phase, NoticePhase) and phase.who == "exchange"]
    result = Result(
        scenario=scenario.id,
        name=scenario.name,
        seed=ground.seed,
        hold="on" if hold else "off",
        history_days=ground.history.days,
        history_records=ground.records,
        entries=live.entries,
        refused=live.refused,
        first_loss_at_ms=first_ms,
        loss_base_amount=str(total_minor),
        losses=len(live.takings),
        losses_stopped=sum(taking.stopped for taking in live.takings),
        page_after_seconds=None if page is None else (page.decided_at_ms - first_ms) / SECOND_MS,
        page=None if page is None else _page(page, watch, first_ms),
        gone_by_page_share=None if page is None else live.gone_minor(page.decided_at_ms) / max(total_minor, 1),
        hold_after_seconds=(holds[0] - first_ms) / SECOND_MS if holds else None,
        gone_by_hold_share=live.gone_minor(holds[0]) / max(total_minor, 1) if holds else None,
        gone_share=live.gone_minor() / max(total_minor, 1),
        gone_base_amount=str(live.gone_minor()),
        saved_base_amount=str(max(saved_minor, 0)),
        verdicts=_counts(live),
        held=_shown(live, first_ms),
        incidents=incidents,
        marks=sum(mark.state != "cleared" for mark in marks.values()),
        marked_base_amount=str(sum(int(mark.base_amount or "0") for mark in marks.values())),
        coverage=[((row.at_ms - first_ms) / SECOND_MS, row.marked, row.uncovered, row.available) for row in thinned(watch.coverage, COVERAGE_SHOWN)],
        pages=[_page(alert, watch, first_ms) for alert in pages[:SHOWN_MAX]],
        pages_count=len(pages),
        notices=sum(alert.kind == "notice" for alert in watch.alerts),
        false_pages_history=[_page(alert, ground.watch, first_ms) for alert in ground.watch.pages[:SHOWN_MAX]],
        false_pages_history_count=len(ground.watch.pages),
        false_pages_before=[_page(alert, watch, first_ms) for alert in false_pages if alert.decided_at_ms < play.first_ms],
        false_pages_after=[_page(alert, watch, first_ms) for alert in false_pages if alert.decided_at_ms >= play.first_ms],
        reviews_history=len(ground.watch.reviews()),
        reviews_before=sum(verdict.decided_at_ms < play.first_ms for verdict in reviews),
        reviews_after=sum(verdict.decided_at_ms >= play.first_ms for verdict in reviews),
        noticed_after_seconds=None if not noticed else min(noticed) - (first_ms - play.begin_ms) / SECOND_MS,
        shortened=[phase.name for phase in scenario.phases if phase.original_seconds is not None],
        criteria=[],
    )
    return msgspec.structs.replace(result, criteria=criteria(result, live, obeyed))


def _incidents(live: Live, first_ms: int) -> list[MonitorIncident]:
    """The monitor's incidents that this one caused."""
    return [
        MonitorIncident(
            one.incident_id, one.severity, one.cause, one.title, one.summary, one.rules, (one.opened_at_ms - first_ms) / SECOND_MS,
            one.withdrawals, one.accounts, one.marked_base_amount,
        )
        for one in live.ties.incidents(live.watch)
    ]  # fmt: skip


def _page(alert: Alert, watch: Watch, first_ms: int) -> Page:
    rules: tuple[str, ...] = ()
    for incident in watch.incidents:
        if incident.incident_id == alert.incident_id and incident.decided_at_ms <= alert.decided_at_ms:
            rules = incident.rules
    return Page((alert.decided_at_ms - first_ms) / SECOND_MS, alert.title, alert.summary, rules)


def _counts(live: Live) -> dict[str, int]:
    """The newest verdict of each of the incident's withdrawals."""
    counts: dict[str, int] = {}
    for withdrawal_id in live.ties.withdrawals:
        versions = live.watch.verdicts.get(withdrawal_id)
        kind = versions[-1].verdict if versions else "CLEAR"
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _shown(live: Live, first_ms: int) -> list[VerdictShown]:
    """The first verdicts that asked for a person, with their reasons."""
    first: list[Verdict] = [live.watch.verdicts[name][-1] for name in live.ties.withdrawals if name in live.watch.verdicts]
    return [
        VerdictShown(
            verdict.withdrawal_id, verdict.verdict, verdict.too_late, (verdict.decided_at_ms - first_ms) / SECOND_MS,
            [f"{reason.rule}: {reason.detail}" for reason in verdict.reasons],
        )
        for verdict in first[:SHOWN_MAX]
    ]  # fmt: skip


def thinned(rows: list[Row], at_most: int) -> list[Row]:
    """At most so many rows, evenly, with the first and the last."""
    if len(rows) <= at_most:
        return rows
    return [rows[round(index * (len(rows) - 1) / (at_most - 1))] for index in range(at_most)]


def _held_in_time(live: Live, taking: Taking) -> bool:
    """Whether a HOLD answered what was taken, at most the time for a page later: it is in an incident that paged."""
    verdicts = live.watch.verdicts.get(taking.withdrawal_id or "", ())
    return any(one.verdict == "HOLD" and one.decided_at_ms <= taking.at_ms + PAGE_SECONDS_MAX * SECOND_MS for one in verdicts)


def criteria(result: Result, live: Live, obeyed: Live) -> list[Criterion]:
    """What must be true of a run, each with what is: only what the incident's own shape allows is asked for."""
    after = result.page_after_seconds
    said = "no page" if after is None else f"paged {after:+.1f} s"
    found = [Criterion("page", after is not None and after <= PAGE_SECONDS_MAX, f"{said} from the first loss; at most {PAGE_SECONDS_MAX:.0f} s")]
    sends = [taking for taking in live.takings if taking.topic != "postings"]
    doubles = any(isinstance(phase, TransferPhase) and phase.second_broadcast_after_seconds is not None for phase in live.play.scenario.phases)
    if doubles:
        answered = sum(taking.stopped or _held_in_time(obeyed, taking) for taking in obeyed.takings)
        stopped = sum(taking.stopped for taking in obeyed.takings)
        many = len(obeyed.takings)
        what = f"{stopped} of {many} second payouts held before they were sent, {answered - stopped} answered by a HOLD as they were sent; {said}"
        found.append(Criterion("double", answered == many and found[0].met, what))
    if len(sends) > 1 and not doubles:
        at_once = live.planned_minor(live.first_ms) / max(live.total_minor, 1)
        gone = result.gone_by_page_share
        if at_once >= GONE_SHARE_MAX and result.losses_stopped == 0:
            found.append(Criterion("drain", met=True, what=f"not asked for: the first transfer alone took {at_once:.0%}"))
        else:
            met = gone is not None and gone < GONE_SHARE_MAX
            found.append(Criterion("drain", met, f"{'all' if gone is None else f'{gone:.1%}'} gone when paged; less than {GONE_SHARE_MAX:.0%}"))
        if any(isinstance(phase, WithdrawalsPhase) and phase.loss for phase in live.play.scenario.phases):
            share = obeyed.gone_minor() / max(obeyed.total_minor, 1)
            found.append(Criterion("held", share < GONE_SHARE_MAX, f"{share:.1%} left although holds were obeyed; less than {GONE_SHARE_MAX:.0%}"))
    return found
