"""One evaluation as a whole: passes over the data, figures of all contestants, one result.

Reads and writes no file. Called by `streams.cli.evaluate`; the parts are in the files beside it.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NamedTuple

import numpy as np

from detectors import registry
from detectors.contract import Bools, Floats, Ints, Scores
from detectors.lanes import VALUE_OF_ZERO
from detectors.panel import Panel
from streams.evaluation import handbook
from streams.evaluation.labelled import DAY_MS, Labelled
from streams.evaluation.labels import LabelPolicy, Labels
from streams.evaluation.metrics import Figures, Ranking, bootstrap, card_precision
from streams.evaluation.peers import Peers, make_peers
from streams.evaluation.prequential import Judged, Progress, prequential
from streams.evaluation.result import DETECTOR, OURS, PEER, SHARES, Alerts, Result, Row, day
from streams.refusals import RefusedError

LEVELS = (0.1, 0.01, 0.001, 0.0001)
LANES = "lanes"
LANE_NAMES = ("account_lane", "destination_lane")
WITHOUT_RUN_AGE = "lanes without run age"
NO_MODEL_INPUT = "account_p_value"
"""Last among the inputs; a detector's output for detectors that come after it, so no peer gets it."""


class Options(NamedTuple):
    """How is evaluated; shares of events, times in ms. `peer_events`: counted events that peers score, None for all; 0 for no peers."""

    policy: LabelPolicy
    delay_ms: int
    warm_up_ms: int
    alert_share: float
    audit_share: float
    hold: bool
    without_run_age: bool
    protocol: handbook.Protocol | None
    peers: bool
    peer_events: int | None
    resamples: int
    seed: int


class Contestant(NamedTuple):
    """One ranking of the data's first events; `cpu_us` per event where it was measured by itself."""

    name: str
    group: str
    scores: Floats
    cpu_us: float | None


class Study(NamedTuple):
    """The result, and the arrays that pictures are drawn from: all contestants, and what is counted."""

    result: Result
    contestants: list[Contestant]
    counted: Ints
    judged: Judged


Shown = Callable[[str], AbstractContextManager[Progress | None]]


def evaluate(data: Labelled, options: Options, file: str, shown: Shown) -> Study:
    """Go through the data once for each form of our detectors and compare all rankings on the counted events.

    RefusedError if the warm-up or the protocol leaves nothing to count.
    """
    counted = _counted(data, options)
    tested = [] if options.protocol is None else _tested(data, options.protocol)
    registry.compile_kernels()
    last = len(data.run) if options.peer_events is None else int(counted[min(options.peer_events, len(counted)) - 1]) + 1
    peers = _peers(options, last) if options.peers else None
    judged = _pass(data, options, registry.make(), shown("evaluated, all detectors"), peers)
    alone = _pass(data, options, _lanes_alone(), shown("evaluated, lanes alone"))
    contestants = [Contestant(LANES, OURS, judged.scores, alone.scoring_us)]
    if options.without_run_age or options.protocol is not None:
        without = _pass(data, options, registry.make(run_age=False), shown(f"evaluated, {WITHOUT_RUN_AGE}"))
        contestants.append(Contestant(WITHOUT_RUN_AGE, OURS, without.scores, None))
    contestants += [Contestant(name, DETECTOR, judged.values[name], None) for name in _calibrated(judged)]
    same = [Contestant(f"{one.name}, peers' events", one.group, one.scores[:last], one.cpu_us) for one in contestants if one.group == OURS]
    if peers is not None:
        if last < len(data.run):
            contestants += same
        contestants += [Contestant(name, PEER, scores, peers.cpu_s[name] / last * 1e6) for name, scores in peers.scores.items()]
    rows = tuple(_row(one, data, counted, tested, options) for one in contestants)
    return Study(_result(data, options, file, counted, judged, rows), contestants, counted, judged)


def _counted(data: Labelled, options: Options) -> Ints:
    times = data.times_ms
    counted = np.flatnonzero(times >= times[0] + options.warm_up_ms)
    if not len(counted):
        span = (int(times[-1]) - int(times[0])) / DAY_MS
        raise RefusedError(f"The warm-up of {options.warm_up_ms / DAY_MS:g} days is longer than the data, which span {span:.3g} days.")
    return counted


def _tested(data: Labelled, protocol: handbook.Protocol) -> list[handbook.Tested]:
    tested = handbook.split(protocol, data.times_ms, data.run["account"].astype(np.int64), data.frauds)
    if not tested:
        raise RefusedError(f"From --test-from to --test-to there is no whole test of {protocol.test_days} days.")
    empty = next((test for test in tested if not len(test.places)), None)
    if empty is not None:
        span = f"{day(int(data.times_ms[0]))} to {day(int(data.times_ms[-1]))}"
        raise RefusedError(f"The test from {day(empty.first_day * DAY_MS)} on has no event; the data are from {span}.")
    return tested


def _peers(options: Options, last: int) -> Peers:
    names = [name for name in registry.make().input_names if name != NO_MODEL_INPUT]
    return Peers(make_peers(options.seed), names, last)


def ranking(scores: dict[str, Scores]) -> Floats:
    """Log-odds of a fraud by either lane, 1 - (1 - s(a)) (1 - s(d)): odds are (1 + e^a) (1 + e^d) - 1, written so that none near 1 tie."""
    account, destination = (scores[name].value - VALUE_OF_ZERO for name in LANE_NAMES)
    odds: Floats = np.logaddexp(np.logaddexp(account, destination), account + destination)
    return odds


def _lanes_alone() -> Panel:
    """The lanes without the other detectors: what they cost."""
    panel = registry.make()
    panel.detectors = tuple(detector for detector in panel.detectors if detector.name in LANE_NAMES)
    return panel


def _pass(data: Labelled, options: Options, panel: Panel, shown: AbstractContextManager[Progress | None], peers: Peers | None = None) -> Judged:
    labels = Labels(options.policy, data.times_ms, data.frauds, delay_ms=options.delay_ms, audit_share=options.audit_share, seed=options.seed)
    with shown as progress:
        return prequential(
            data,
            panel,
            ranking,
            labels,
            alert_share=options.alert_share,
            hold=options.hold,
            watchers=[] if peers is None else [peers],
            progress=progress,
        )


def _row(one: Contestant, data: Labelled, counted: Ints, tested: list[handbook.Tested], options: Options) -> Row:
    at = counted[counted < len(one.scores)]
    scores, frauds, days = one.scores[at], data.frauds[at], data.days[at]
    cards = data.run["account"].astype(np.int64)
    ranked = Ranking(scores, frauds, data.run["amount"][at])
    low: Figures | None = None
    high: Figures | None = None
    if options.resamples and one.group != DETECTOR and days[0] < days[-1]:
        low, high = bootstrap(ranked, days, SHARES, options.resamples, options.seed)
    whole = [test for test in tested if test.places[-1] < len(one.scores)]
    return Row(
        name=one.name,
        group=one.group,
        events=len(at),
        frauds=int(frauds.sum()),
        figures=ranked.figures(SHARES),
        low=low,
        high=high,
        card_precision_100=float(np.mean(card_precision(scores, frauds, cards[at], days, drop_found=False))),
        cpu_us=one.cpu_us,
        weeks=tuple(handbook.weeks(whole, one.scores, data.frauds, cards)),
    )


def _result(data: Labelled, options: Options, file: str, counted: Ints, judged: Judged, rows: tuple[Row, ...]) -> Result:
    return Result(
        file=file,
        events=len(data.run),
        first_ms=int(data.times_ms[0]),
        last_ms=int(data.times_ms[-1]),
        accounts=data.rows["account"],
        destinations=data.rows["address"],
        warm_up_ms=options.warm_up_ms,
        counted=len(counted),
        counted_frauds=int(data.frauds[counted].sum()),
        label_policy=options.policy.text,
        label_delay_ms=options.delay_ms,
        labels_told=judged.labels_told,
        scoring_us=judged.scoring_us,
        labelling_us=judged.labelling_us,
        rows=rows,
        alerts=_alerts(data, options.alert_share, counted, judged.alerts),
        calibration=_calibration(data, counted, judged),
        notes=tuple(data.notes),
    )


def alerts_per_day(data: Labelled, counted: Ints, alerts: Bools) -> tuple[Ints, Ints]:
    """Every day from the first counted one to the last, and how many of its counted events alerted."""
    days = data.days[counted]
    first = int(days[0])
    number = int(days[-1]) - first + 1
    return first + np.arange(number), np.bincount(days[alerts[counted]] - first, minlength=number)


def _alerts(data: Labelled, share: float, counted: Ints, alerts: Bools) -> Alerts:
    days, per_day = alerts_per_day(data, counted, alerts)
    frauds = data.frauds[counted]
    found = int(np.sum(frauds & alerts[counted]))
    worst = int(np.argmax(per_day))
    return Alerts(
        share=share,
        budget_per_day=share * len(counted) / len(days),
        mean_per_day=float(per_day.mean()),
        worst_per_day=int(per_day[worst]),
        worst_day=day(int(days[worst]) * DAY_MS),
        precision=found / int(per_day.sum()) if per_day.any() else float("nan"),
        recall=found / int(frauds.sum()) if frauds.any() else float("nan"),
    )


def _calibrated(judged: Judged) -> list[str]:
    """Detectors that gave p-values; the others are rules, or had nothing to look at."""
    return [name for name, p_values in judged.p_values.items() if np.any(p_values[judged.ready[name]] < 1.0)]


def _calibration(data: Labelled, counted: Ints, judged: Judged) -> dict[str, tuple[tuple[float, float], ...]]:
    honest = counted[~data.frauds[counted]]
    shown = {}
    for name in _calibrated(judged):
        p_values = judged.p_values[name][honest][judged.ready[name][honest]]
        if len(p_values):
            shown[name] = tuple((level, float(np.mean(p_values <= level))) for level in LEVELS)
    return shown
