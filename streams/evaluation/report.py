"""The report's files: four pictures and the table as CSV and Markdown.

Draws what `streams.evaluation.study` found and computes no figure of its own. Called by `streams.cli.evaluate`; matplotlib is imported when it draws.
"""

import csv
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from detectors.contract import Floats
from streams.evaluation.columns import INSTALL_STUDY
from streams.evaluation.labelled import DAY_MS, Labelled
from streams.evaluation.metrics import Ranking
from streams.evaluation.result import DETECTOR, lines, table
from streams.evaluation.study import Contestant, Study, alerts_per_day
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

POINTS = 1_000
"""Points of a curve from its start in growing steps, and as many evenly spread: more can't be seen."""
SIZE_INCHES = (9.0, 6.0)
DOTS_PER_INCH = 120


def prepare(folder: pathlib.Path) -> None:
    """See that pictures can be drawn and the folder exists, before hours of work: RefusedError says what is missing."""
    try:
        import matplotlib as mpl
    except ImportError as error:
        raise RefusedError(f"--report needs matplotlib: {INSTALL_STUDY}.") from error
    mpl.use("Agg")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"The folder {folder} can't be made: {error.strerror}.") from error


def write(folder: pathlib.Path, study: Study, data: Labelled) -> list[str]:
    """Write all files into `folder`, over those of the same names; their names. OSError if that fails."""
    header, rows = table(study.result)
    with (folder / "figures.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    cells = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    text = "\n".join(["# Evaluation", "", "```", *lines(study.result), "```", "", *(f"| {' | '.join(row)} |" for row in cells), ""])
    (folder / "figures.md").write_text(text, encoding="utf-8")
    rankings = [(one, _ranking(one, study, data)) for one in study.contestants if one.group != DETECTOR]
    pictures: dict[str, Callable[[Axes], None]] = {
        "precision_recall.png": lambda axes: _precision_recall(axes, rankings),
        "roc.png": lambda axes: _roc(axes, rankings),
        "alerts_per_day.png": lambda axes: _alerts(axes, study, data),
        "calibration.png": lambda axes: _calibration(axes, study, data),
    }
    for name, draw in pictures.items():
        _save(folder / name, draw)
    return ["figures.csv", "figures.md", *pictures]


def _ranking(one: Contestant, study: Study, data: Labelled) -> Ranking:
    at = study.counted[study.counted < len(one.scores)]
    return Ranking(one.scores[at], data.frauds[at], data.run["amount"][at])


def _save(path: pathlib.Path, draw: "Callable[[Axes], None]") -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE_INCHES, dpi=DOTS_PER_INCH)
    axes = figure.add_subplot()
    draw(axes)
    axes.grid(visible=True, alpha=0.3)
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    figure.savefig(path, metadata={"Software": None})


def _thinned(*curves: Floats) -> list[Floats]:
    last = len(curves[0]) - 1
    places = np.unique(np.concatenate((np.linspace(0, last, POINTS), np.geomspace(1, last + 1, POINTS) - 1)).astype(np.int64))
    return [curve[places] for curve in curves]


def _precision_recall(axes: "Axes", rankings: list[tuple[Contestant, Ranking]]) -> None:
    for one, ranking in rankings:
        events, frauds, _ = ranking.counts()
        if frauds[-1] > 0.0:
            axes.plot(*_thinned(frauds / frauds[-1], frauds / events), label=one.name)
    axes.set(
        title="Precision and recall", xlabel="recall: share of frauds at or above the threshold", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02)
    )


def _roc(axes: "Axes", rankings: list[tuple[Contestant, Ranking]]) -> None:
    for one, ranking in rankings:
        events, frauds, _ = ranking.counts()
        honest = events - frauds
        if frauds[-1] > 0.0 and honest[-1] > 0.0:
            axes.plot(*_thinned(honest / honest[-1], frauds / frauds[-1]), label=one.name)
    axes.plot([0, 1], [0, 1], color="grey", linestyle=":", label="chance")
    axes.set(title="ROC", xlabel="share of honest events at or above the threshold", ylabel="share of frauds", xlim=(0, 1), ylim=(0, 1.02))


def _alerts(axes: "Axes", study: Study, data: Labelled) -> None:
    days, per_day = alerts_per_day(data, study.counted, study.judged.alerts)
    alerts = study.result.alerts
    dates = (days * DAY_MS).astype("datetime64[ms]")
    axes.bar(dates, per_day, label="alerts")
    axes.axhline(alerts.budget_per_day, color="black", linestyle="--", label=f"budget, {alerts.budget_per_day:.1f} a day")
    axes.set(title="Alerts a day of the tracked quantile", xlabel="day (UTC)", ylabel="alerts")
    axes.figure.autofmt_xdate()


def _calibration(axes: "Axes", study: Study, data: Labelled) -> None:
    honest = study.counted[~data.frauds[study.counted]]
    axes.plot([1e-5, 1], [1e-5, 1], color="grey", linestyle=":", label="as promised")
    for name in study.result.calibration:
        of_ready = np.sort(study.judged.p_values[name][honest][study.judged.ready[name][honest]])
        shares = np.arange(1, len(of_ready) + 1) / len(of_ready)
        last = np.flatnonzero(np.append(of_ready[1:] != of_ready[:-1], np.True_))
        axes.plot(*_thinned(of_ready[last], shares[last]), label=name)
    axes.set(
        title="Reliability of p-values", xlabel="p-value", ylabel="share of honest events with a p-value at most that", xscale="log", yscale="log"
    )
