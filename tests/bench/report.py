"""Prints the results of a benchmark run: JSON for machines, Markdown for people and the README."""

from pathlib import Path

import msgspec

from tests.bench.figures import Figure, Results
from tests.bench.peers import PEERS
from tests.bench.whole_way import END_TO_END


def write(results: Results, folder: Path) -> str:
    """Write bench.json and bench.md into `folder`; the Markdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bench.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))
    text = markdown(results)
    (folder / "bench.md").write_text(text, encoding="utf-8")
    return text


def markdown(results: Results) -> str:
    """The figures, the ratios to the peers, where the time goes, what was compared, and the machine."""
    rows = _table([figure for figure in results.figures.values() if not figure.detail], "figure")
    rows += _ratios(results)
    details = [figure for figure in results.figures.values() if figure.detail]
    rows += ["", *_table(details, "detail")] if details else []
    failed = results.failed
    rows += ["", f"Outputs against inputs: {len(results.checks) - len(failed)} of {len(results.checks)} comparisons equal."]
    rows += [f"- DIFFERS: {check.name}: {check.detail}" for check in failed]
    rows += ["", *(f"- {name}: {fact}" for name, fact in results.facts.items())]
    return "\n".join(rows) + "\n"


def _table(figures: list[Figure], title: str) -> list[str]:
    rows = [f"| {title} | median | range | repeats | asked for |", "|---|---:|---:|---:|---:|"]
    for figure in figures:
        span = f"{_number(figure.low)} – {_number(figure.high)}"
        rows.append(f"| {figure.name} | {_number(figure.median)} {figure.unit} | {span} | {len(figure.samples)} | {figure.target} |")
    return rows


def _ratios(results: Results) -> list[str]:
    ours = results.figures.get(END_TO_END)
    peers = [peer for peer in PEERS if peer.name in results.figures]
    if ours is None or not peers:
        return []
    rows = ["", "| end to end against, same run | median over median | asked for |", "|---|---:|---:|"]
    return rows + [f"| {peer.name} | {ours.median / results.figures[peer.name].median:.1f} × | {peer.ratio_asked_for} |" for peer in peers]


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
