"""What two folds of one journal decide otherwise: verdicts and reviews by withdrawal, marks, pages and notices, coverage at the end.

Compared entry by entry, so that the cut into batches never shows. Bounded: of what is forgotten, or not listed, the number is told.
Called by `monitor.shadow`.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from heapq import merge
from itertools import groupby, islice
from typing import NamedTuple, TypeVar

import msgspec

from monitor.contracts.base import Mode
from monitor.contracts.outputs import Alert, Coverage, Heartbeat, Mark, ReasonGiven, ReviewTold, Verdict, VerdictKind
from monitor.entities import EVICTED_SHARE
from monitor.money import parse_amount, print_amount
from monitor.outbox import OutputRecord
from monitor.shadow_result import Compared, Count, CoverageAtEnd, Difference, Figures, Held, What
from monitor.withdrawals import RANK

TRACKED_MAX = 200_000
"""Withdrawals that aren't plainly CLEAR, and marks, followed at once: more than one attack of the largest known kind."""
LISTED_MAX = 1_000
"""Differences kept in full; all are counted."""
REASONS_KEPT = 3
DAY_MS = 86_400_000
RELEASED = "released"
STANDING, PROPOSED = 0, 1
HEARTBEAT = b'{"kind":"heartbeat"'
NONE = "-"

_decode_verdict = msgspec.json.Decoder(Verdict).decode
_decode_heartbeat = msgspec.json.Decoder(Heartbeat).decode
_decode_mark = msgspec.json.Decoder(Mark).decode
_decode_alert = msgspec.json.Decoder(Alert).decode
_decode_coverage = msgspec.json.Decoder(Coverage).decode


class Seen(NamedTuple):
    """What is decided about a withdrawal; `mode` counts for a HOLD only."""

    verdict: VerdictKind = "CLEAR"
    mode: Mode | None = None
    review: ReviewTold | None = None

    def __str__(self) -> str:
        return f"{self.verdict} ({self.mode})" if self.mode is not None else self.verdict


class Withdrawn(msgspec.Struct):
    """One withdrawal in both."""

    asset: str | None
    amount: str | None
    seen: tuple[Seen, Seen] = (Seen(), Seen())
    reasons: tuple[tuple[ReasonGiven, ...], tuple[ReasonGiven, ...]] = ((), ())


class MarkSeen(NamedTuple):
    """A mark as far as it is compared, and the highest value that it stood for, in minor units."""

    state: str
    asset: str
    amount: str
    parts: tuple[str, ...]
    worth_minor: int | None
    withdrawal_id: str | None

    def __str__(self) -> str:
        return f"{self.state.replace('_', ' ')} {self.amount} {self.asset}: {', '.join(self.parts) or 'no layer'}"

    @property
    def compared(self) -> tuple[str, ...]:
        """What must be equal."""
        return self.state, self.asset, self.amount, *self.parts


Value = TypeVar("Value")
MarkPair = tuple[MarkSeen | None, MarkSeen | None]
KindPair = tuple[VerdictKind, VerdictKind]
SeenPair = tuple[Seen, Seen]
PLAIN: SeenPair = (Seen(), Seen())
NO_MARKS: MarkPair = (None, None)


def _put(pair: tuple[Value, Value], side: int, value: Value) -> tuple[Value, Value]:
    return (value, pair[1]) if side == STANDING else (pair[0], value)


def _sided(records: Sequence[OutputRecord], side: int) -> Iterator[tuple[int, int, int, OutputRecord]]:
    return ((record.offset, side, record.index, record) for record in records)


def _what(pair: SeenPair) -> What | None:
    """In what the two differ first."""
    standing, proposed = pair
    if standing.verdict != proposed.verdict:
        return "verdict"
    if standing.mode != proposed.mode:
        return "mode"
    return "review" if standing.review != proposed.review else None


def _marks_differ(pair: MarkPair) -> bool:
    return (None if pair[0] is None else pair[0].compared) != (None if pair[1] is None else pair[1].compared)


class Differences:
    """Takes the outputs of both folds. `since_ms`: what was decided before isn't compared; marks and coverage are compared as they end."""

    def __init__(
        self, base_currency: str, base_decimals: int, since_ms: int = 0, tracked_max: int = TRACKED_MAX, listed_max: int = LISTED_MAX
    ) -> None:
        self._base_currency, self._base_decimals = base_currency, base_decimals
        self._since_ms, self._tracked_max, self._listed_max = since_ms, tracked_max, listed_max
        self._withdrawals: dict[str, Withdrawn] = {}
        self._marks: dict[str, MarkPair] = {}
        self._marks_of: dict[str, tuple[str, ...]] = {}
        self._listed: dict[tuple[str, str], Difference] = {}
        self._counts: Counter[SeenPair] = Counter()
        self._mark_counts: Counter[str] = Counter()
        self._alerts: Counter[tuple[str, int]] = Counter()
        self._coverage: list[bytes | None] = [None, None]
        self._seen = self._alerts_differ = self._forgotten = self._unlisted = 0
        self._first_ms: int | None = None
        self._last_ms: int | None = None
        # Of the entry that is being compared: what stood before it, and who is woken by it.
        self._before: dict[str, SeenPair] = {}
        self._marks_before: dict[str, MarkPair] = {}
        self._woken: tuple[list[Alert], list[Alert]] = ([], [])
        self._at_ms = 0
        self._takers: dict[str, Callable[[int, bytes], None]] = {
            "verdicts": self._verdict, "marks": self._mark, "alerts": self._alert, "coverage": self._coverage_told,
        }  # fmt: skip

    def take(self, standing: Sequence[OutputRecord], proposed: Sequence[OutputRecord]) -> list[Difference]:
        """The outputs of the same entries by both; returns what differs from here on, or no longer does."""
        sided = [_sided(records, side) for side, records in enumerate((standing, proposed))]
        found: list[Difference] = []
        for offset, records in groupby(merge(*sided, key=lambda each: each[:3]), key=lambda each: each[0]):
            for _, side, _, record in records:
                taker = self._takers.get(record.topic)
                if taker is not None:
                    taker(side, record.value)
            found.extend(self._settled(offset))
        return found

    def _time(self, at_ms: int) -> None:
        self._at_ms = at_ms
        if self._first_ms is None:
            self._first_ms = at_ms
        self._last_ms = at_ms

    def _verdict(self, side: int, value: bytes) -> None:
        if value.startswith(HEARTBEAT):
            at_ms = _decode_heartbeat(value).decided_at_ms
            if at_ms >= self._since_ms:
                self._time(at_ms)
            return
        verdict = _decode_verdict(value)
        if verdict.decided_at_ms < self._since_ms:
            return
        self._time(verdict.decided_at_ms)
        self._seen += side == STANDING and verdict.version == 1
        known = self._withdrawals.get(verdict.withdrawal_id)
        if known is None:
            if verdict.verdict == "CLEAR" and verdict.review is None:
                return
            known = self._withdrawals[verdict.withdrawal_id] = Withdrawn(verdict.asset, verdict.amount)
        before = known.seen[side]
        if RANK[verdict.verdict] < RANK[before.verdict] and any(reason.rule == RELEASED for reason in verdict.reasons):
            return  # people took it back: what a policy decided isn't another for it
        self._before.setdefault(verdict.withdrawal_id, known.seen)
        mode = verdict.mode if verdict.verdict == "HOLD" else None
        known.seen = _put(known.seen, side, Seen(verdict.verdict, mode, verdict.review or before.review))
        known.reasons = _put(known.reasons, side, verdict.reasons[:REASONS_KEPT])

    def _mark(self, side: int, value: bytes) -> None:
        mark = _decode_mark(value)
        pair = self._marks.get(mark.mark_id, NO_MARKS)
        self._marks_before.setdefault(mark.mark_id, pair)
        parts = tuple(f"{part.layer_id} {part.amount} {part.unit} {part.account}" for part in mark.allocations)
        worth = None if mark.base_amount is None else parse_amount(mark.base_amount, self._base_decimals)
        known = pair[side]
        worths = [each for each in (worth if isinstance(worth, int) else None, None if known is None else known.worth_minor) if each is not None]
        self._marks[mark.mark_id] = _put(
            pair, side, MarkSeen(mark.state, mark.asset, mark.amount, parts, max(worths, default=None), mark.withdrawal_id)
        )
        self._at_ms = mark.decided_at_ms
        if pair == NO_MARKS and mark.withdrawal_id is not None:
            self._marks_of[mark.withdrawal_id] = (*self._marks_of.get(mark.withdrawal_id, ()), mark.mark_id)

    def _alert(self, side: int, value: bytes) -> None:
        alert = _decode_alert(value)
        if alert.decided_at_ms >= self._since_ms:
            self._time(alert.decided_at_ms)
            self._woken[side].append(alert)

    def _coverage_told(self, side: int, value: bytes) -> None:
        if b'"scope":"whole"' in value:
            self._coverage[side] = value

    def _settled(self, offset: int) -> Iterator[Difference]:
        """At the end of an entry: what it changed between the two."""
        for withdrawal_id, before in self._before.items():
            known = self._withdrawals[withdrawal_id]
            self._counts[before] -= 1
            self._counts[known.seen] += 1
            if known.seen != before and (known.seen[0] != known.seen[1] or before[0] != before[1]):
                yield self._list(
                    ("withdrawal", withdrawal_id), self._of_withdrawal(offset, withdrawal_id, known, before), differs=known.seen[0] != known.seen[1]
                )
        for mark_id, marked in self._marks_before.items():
            pair = self._marks[mark_id]
            self._count_marks(marked, -1)
            self._count_marks(pair, 1)
            differs = _marks_differ(pair)
            if differs or _marks_differ(marked):
                yield self._list(("mark", mark_id), self._of_mark(offset, mark_id, pair), differs=differs)
        yield from self._of_alerts(offset)
        self._before.clear()
        self._marks_before.clear()
        self._evict()

    def _count_marks(self, pair: MarkPair, count: int) -> None:
        self._mark_counts["standing"] += count * (pair[0] is not None)
        self._mark_counts["proposed"] += count * (pair[1] is not None)
        self._mark_counts["differ"] += count * _marks_differ(pair)

    def _list(self, key: tuple[str, str], difference: Difference, *, differs: bool) -> Difference:
        if not differs:
            self._listed.pop(key, None)
        elif key in self._listed:
            self._listed[key] = msgspec.structs.replace(difference, offset=self._listed[key].offset, at_ms=self._listed[key].at_ms)
        elif len(self._listed) < self._listed_max:
            self._listed[key] = difference
        return difference

    def _of_withdrawal(self, offset: int, withdrawal_id: str, known: Withdrawn, before: SeenPair) -> Difference:
        standing, proposed = known.seen
        what = _what(known.seen) or _what(before) or "verdict"
        told = (standing.review or NONE, proposed.review or NONE) if what == "review" else (str(standing), str(proposed))
        worths = [self._worth(withdrawal_id, side) for side in (STANDING, PROPOSED)]
        worth = max((each for each in worths if each is not None), default=None)
        reasons = [tuple(_told(reason) for reason in given) for given in known.reasons]
        return Difference(
            offset=offset, at_ms=self._at_ms, what=what, subject_id=withdrawal_id, asset=known.asset, amount=known.amount,
            base_amount=None if worth is None else print_amount(worth, self._base_decimals), standing=told[0], proposed=told[1],
            standing_reasons=reasons[0], proposed_reasons=reasons[1],
        )  # fmt: skip

    def _worth(self, withdrawal_id: str, side: int) -> int | None:
        """What the marks of a withdrawal stood for at most."""
        marks = (self._marks[mark_id][side] for mark_id in self._marks_of.get(withdrawal_id, ()))
        worths = [mark.worth_minor for mark in marks if mark is not None and mark.worth_minor is not None]
        return sum(worths) if worths else None

    def _of_mark(self, offset: int, mark_id: str, pair: MarkPair) -> Difference:
        either = [mark for mark in pair if mark is not None]
        worth = max((mark.worth_minor for mark in either if mark.worth_minor is not None), default=None)
        return Difference(
            offset=offset, at_ms=self._at_ms, what="mark", subject_id=mark_id, asset=either[0].asset, amount=either[0].amount,
            base_amount=None if worth is None else print_amount(worth, self._base_decimals),
            standing=NONE if pair[0] is None else str(pair[0]), proposed=NONE if pair[1] is None else str(pair[1]),
        )  # fmt: skip

    def _of_alerts(self, offset: int) -> Iterator[Difference]:
        """Who is woken by an entry under the one and not under the other; words and amounts may differ."""
        if not any(self._woken):
            return
        woken = [Counter((alert.kind, alert.why) for alert in alerts) for alerts in self._woken]
        for side, alerts in enumerate(self._woken):
            only = woken[side] - woken[1 - side]
            for number, alert in enumerate(alerts):
                self._alerts[alert.kind, side] += 1
                if only[alert.kind, alert.why] > 0:
                    only[alert.kind, alert.why] -= 1
                    self._alerts_differ += 1
                    told = _put((NONE, NONE), side, f"{alert.why.replace('_', ' ')}: {alert.title}")
                    subject_id = alert.incident_id or alert.alert_id
                    difference = Difference(
                        offset=offset, at_ms=self._at_ms, what=alert.kind, subject_id=subject_id, standing=told[0], proposed=told[1]
                    )
                    yield self._list((alert.kind, f"{offset}-{side}-{number}"), difference, differs=True)
            alerts.clear()

    def _evict(self) -> None:
        """Over the limit, those known longest go: a share at once."""
        for withdrawal_id in self._over(self._withdrawals):
            del self._withdrawals[withdrawal_id]
            self._forgotten += 1
        for mark_id in self._over(self._marks):
            of = next(mark.withdrawal_id for mark in self._marks.pop(mark_id) if mark is not None)
            self._forgotten += 1
            others = tuple(other for other in self._marks_of.pop(of or "", ()) if other != mark_id)
            if of is not None and others:
                self._marks_of[of] = others

    def _over(self, table: Mapping[str, object]) -> list[str]:
        over = len(table) - self._tracked_max
        return list(islice(table, over + self._tracked_max // EVICTED_SHARE)) if over > 0 else []

    def result(self) -> Compared:
        """The comparison of all that was taken."""
        changed: Counter[KindPair] = Counter()
        differ: Counter[str] = Counter()
        for (standing, proposed), count in self._counts.items():
            if standing.verdict != proposed.verdict:
                changed[standing.verdict, proposed.verdict] += count
            differ["mode"] += count * (standing.verdict == proposed.verdict and standing.mode != proposed.mode)
            differ["review"] += count * (standing.review != proposed.review)
        worths = self._worths()
        span_ms = 0 if self._first_ms is None or self._last_ms is None else self._last_ms - self._first_ms
        total = sum(changed.values()) + self._mark_counts["differ"] + self._alerts_differ
        total += sum(count for (standing, proposed), count in self._counts.items() if standing != proposed and standing.verdict == proposed.verdict)
        return Compared(
            base_currency=self._base_currency,
            from_ms=self._first_ms,
            until_ms=self._last_ms,
            withdrawals=self._seen,
            changed=[
                Count(*pair, count, print_amount(worths[pair], self._base_decimals))
                for pair, count in sorted(changed.items(), key=lambda each: [RANK[kind] for kind in each[0]])
                if count
            ],
            newly_held=self._held([pair for pair in changed if pair[PROPOSED] == "HOLD"], changed, worths),
            no_longer_held=self._held([pair for pair in changed if pair[STANDING] == "HOLD"], changed, worths),
            verdicts_differ=sum(changed.values()),
            modes_differ=differ["mode"],
            reviews_differ=differ["review"],
            marks_differ=self._mark_counts["differ"],
            alerts_differ=self._alerts_differ,
            standing=self._figures(STANDING, span_ms),
            proposed=self._figures(PROPOSED, span_ms),
            differences=list(self._listed.values()),
            unlisted=max(0, total - len(self._listed)),
            forgotten=self._forgotten,
        )

    def _held(self, pairs: list[KindPair], changed: Counter[KindPair], worths: Counter[KindPair]) -> Held:
        return Held(sum(changed[pair] for pair in pairs), print_amount(sum(worths[pair] for pair in pairs), self._base_decimals))

    def _worths(self) -> Counter[KindPair]:
        """What is at stake where verdicts differ: the larger of the two values of each withdrawal."""
        worths: Counter[KindPair] = Counter()
        for withdrawal_id, known in self._withdrawals.items():
            standing, proposed = known.seen
            if standing.verdict != proposed.verdict:
                worths[standing.verdict, proposed.verdict] += max(self._worth(withdrawal_id, side) or 0 for side in (STANDING, PROPOSED))
        return worths

    def _figures(self, side: int, span_ms: int) -> Figures:
        verdicts: dict[VerdictKind, int] = {"CLEAR": self._seen, "WATCH": 0, "HOLD": 0, "UNSCORED": 0}
        reviews: Counter[str] = Counter()
        enforced = 0
        for pair, count in self._counts.items():
            seen = pair[side]
            if seen.verdict != "CLEAR":
                verdicts[seen.verdict] += count
                verdicts["CLEAR"] -= count
            enforced += count * (seen.mode == "enforce")
            if seen.review is not None:
                reviews[seen.review] += count
        held = [self._worth(withdrawal_id, side) for withdrawal_id, known in self._withdrawals.items() if known.seen[side].verdict == "HOLD"]
        value = self._coverage[side]

        def per_day(count: int) -> float | None:
            return round(count * DAY_MS / span_ms, 2) if span_ms >= DAY_MS else None

        pages, due = self._alerts["page", side], reviews["asked"] + reviews["severe"]
        return Figures(
            verdicts={kind: max(0, count) for kind, count in verdicts.items()},
            enforced=enforced,
            held_base_amount=print_amount(sum(worth for worth in held if worth is not None), self._base_decimals),
            held_unpriced=held.count(None),
            reviews=dict(sorted(reviews.items())),
            reviews_due=due,
            reviews_per_day=per_day(due),
            pages=pages,
            pages_per_day=per_day(pages),
            notices=self._alerts["notice", side],
            marks=self._mark_counts[("standing", "proposed")[side]],
            coverage=None if value is None else _at_end(_decode_coverage(value)),
        )


def _told(reason: ReasonGiven) -> str:
    return f"{reason.rule}: {reason.detail}"


def _at_end(whole: Coverage) -> CoverageAtEnd:
    return CoverageAtEnd(
        whole.available_base_amount, whole.held_base_amount, whole.paid_base_amount, whole.uncovered_base_amount, whole.at_least,
        whole.headroom_base_amount,
    )  # fmt: skip
