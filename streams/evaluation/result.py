"""What an evaluation comes to, as values, and the same as lines for people: the answer first, then the table.

Computes nothing but what is shown. Filled by `streams.evaluation.study`; `report` writes it, the command prints it.
"""

import datetime as dt
import math
from collections.abc import Iterator
from typing import Any

import msgspec

from streams.evaluation.handbook import Week
from streams.evaluation.metrics import Figures

OURS, DETECTOR, PEER = "ours", "detector", "peer"
SHARES = (0.001, 0.005)
"""Of the events: what a team can look at, as the top of the ranking."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One contestant on some of the counted events; what is undefined is NaN (null in JSON)."""

    name: str
    group: str
    events: int
    frauds: int
    figures: Figures
    low: Figures | None
    high: Figures | None
    card_precision_100: float
    cpu_us: float | None
    weeks: tuple[Week, ...] = ()


class Alerts(msgspec.Struct, frozen=True, kw_only=True):
    """What the tracked quantile of our ranking alerted on the counted days."""

    share: float
    budget_per_day: float
    mean_per_day: float
    worst_per_day: int
    worst_day: str
    precision: float
    recall: float


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The whole evaluation. Times in milliseconds; `calibration` maps a detector to how often an honest event had a p-value of at most x."""

    file: str
    events: int
    first_ms: int
    last_ms: int
    accounts: int
    destinations: int
    warm_up_ms: int
    counted: int
    counted_frauds: int
    label_policy: str
    label_delay_ms: int
    labels_told: int
    scoring_us: float
    labelling_us: float
    rows: tuple[Row, ...]
    alerts: Alerts
    calibration: dict[str, tuple[tuple[float, float], ...]]
    notes: tuple[str, ...]


def as_data(value: Any) -> Any:
    """The same as plain values for JSON: every struct and named tuple an object."""
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.asdict(value)
    elif isinstance(value, tuple) and hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {name: as_data(item) for name, item in value.items()}
    return [as_data(item) for item in value] if isinstance(value, tuple) else value


def number(value: float | None, digits: int = 3) -> str:
    """A figure for people; a dash where there is none."""
    return "–" if value is None or math.isnan(value) else f"{value:.{digits}f}"


def percent(value: float) -> str:
    """A share for people."""
    return "–" if math.isnan(value) else f"{100.0 * value:.3g} %"


def lines(result: Result) -> Iterator[str]:
    """The evaluation as text."""
    yield from _answer(result)
    yield ""
    yield from aligned(*table(result))
    for name in (row.name for row in result.rows if row.group == OURS and row.weeks):
        yield ""
        yield from _weeks(name, next(row for row in result.rows if row.name == name))
    if result.calibration:
        yield ""
        yield from _calibration(result)
    if result.notes:
        yield ""
        yield from (f"Note: {note}" for note in result.notes)


def _answer(result: Result) -> Iterator[str]:
    ours, alerts = result.rows[0], result.alerts
    precision = ours.figures.average_precision
    spread = "" if ours.low is None or ours.high is None else f" ({number(ours.low.average_precision)}–{number(ours.high.average_precision)})"
    if math.isnan(precision):
        yield "No counted event is labelled as fraud: average precision, ROC-AUC and recall are undefined."
    else:
        yield f"Average precision {number(precision)}{spread}, ROC-AUC {number(ours.figures.roc_auc)}, labels: {_labels(result)}."
        for at in ours.figures.at:
            yield (
                f"The {percent(at.share)} of the events with the highest score hold {percent(at.recall)} of the frauds and "
                f"{percent(at.amount_recall)} of their amount; {percent(at.precision)} of them are frauds."
            )
    if ours.weeks:
        weeks = [week for row in result.rows if row.group == OURS and row.weeks for week in (week_means(row),)]
        names = [row.name for row in result.rows if row.group == OURS and row.weeks]
        for name, (area, mean, deviation, cards) in zip(names, weeks, strict=True):
            yield f"Handbook's protocol, {name}: AUC {number(area)}, AP {number(mean)} (sd {number(deviation)}), CP@100 {number(cards)}."
    yield (
        f"Alerts: {alerts.mean_per_day:.1f} a day for a budget of {alerts.budget_per_day:.1f}, {alerts.worst_per_day} on the worst day "
        f"({alerts.worst_day}); {percent(alerts.precision)} of them are frauds, which are {percent(alerts.recall)} of all."
    )
    yield (
        f"Cost: {number(ours.cpu_us, 2)} µs of CPU per event for the lanes, {number(result.scoring_us, 2)} µs with all detectors, "
        f"{number(result.labelling_us, 2)} µs per label."
    )
    yield (
        f"Counted: {result.counted:,} of {result.events:,} events with {result.counted_frauds:,} frauds, "
        f"{day(result.first_ms + result.warm_up_ms)} to {day(result.last_ms)}; {result.accounts:,} accounts, {result.destinations:,} destinations."
    )


def _labels(result: Result) -> str:
    if result.label_policy == "none":
        return "none"
    hours = result.label_delay_ms / 3_600_000
    delay = f"{hours / 24:g} days" if hours >= 24 else f"{hours:g} hours"
    return f"{result.label_policy} after {delay}, {result.labels_told:,} told"


def day(at_ms: int) -> str:
    """The day in UTC."""
    return dt.datetime.fromtimestamp(at_ms / 1_000, dt.UTC).strftime("%Y-%m-%d")


def week_means(row: Row) -> tuple[float, float, float, float]:
    """Mean AUC, mean AP, its standard deviation over weeks (of the population's kind), mean CP@100; weeks without a figure are left out."""
    areas, precisions, cards = (
        [value for value in column if not math.isnan(value)]
        for column in zip(*((week.roc_auc, week.average_precision, week.card_precision_100) for week in row.weeks), strict=True)
    )
    mean = _mean(precisions)
    return _mean(areas), mean, math.sqrt(_mean([(value - mean) ** 2 for value in precisions])), _mean(cards)


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def table(result: Result) -> tuple[list[str], list[list[str]]]:
    """Header and cells: one line per contestant."""
    header = ["who", "events", "frauds", "AP", "95 %", "AUC"]
    for share in SHARES:
        header += [f"{what} {percent(share)}" for what in ("precision", "recall", "amount recall")]
    header += ["CP@100", "µs/event"]
    weekly = any(row.weeks for row in result.rows)
    if weekly:
        header += ["weeks' AUC", "weeks' AP", "sd", "weeks' CP@100"]
    return header, [_cells(row, weekly=weekly) for row in result.rows]


def _cells(row: Row, *, weekly: bool) -> list[str]:
    spread = "–"
    if row.low is not None and row.high is not None:
        spread = f"{number(row.low.average_precision)}–{number(row.high.average_precision)}"
    cells = [row.name, str(row.events), str(row.frauds), number(row.figures.average_precision), spread, number(row.figures.roc_auc)]
    cells += [number(value) for at in row.figures.at for value in at[1:]]
    cells += [number(row.card_precision_100), number(row.cpu_us, 2)]
    if weekly:
        cells += [number(value) for value in week_means(row)] if row.weeks else ["–"] * 4
    return cells


def aligned(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    """Columns side by side: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for cells in (header, *rows):
        first = cells[0].ljust(widths[0])
        yield "  ".join([first, *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))])


def _weeks(name: str, row: Row) -> Iterator[str]:
    header = [f"{name}, test from", "events", "frauds", "cards removed", "AUC", "AP", "CP@100"]
    yield from aligned(header, [_week(week) for week in row.weeks])


def _week(week: Week) -> list[str]:
    counts = [str(week.events), str(week.frauds), str(week.cards_removed)]
    return [day(week.first_day * 86_400_000), *counts, number(week.roc_auc), number(week.average_precision), number(week.card_precision_100)]


def _calibration(result: Result) -> Iterator[str]:
    levels = [level for level, _ in next(iter(result.calibration.values()))]
    rows = [[name, *(f"{share:.2g}" for _, share in points)] for name, points in result.calibration.items()]
    yield from aligned(["honest events with a p-value of at most", *(f"{level:g}" for level in levels)], rows)
