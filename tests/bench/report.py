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
    """One table of figures, the ratios to the peers, what was compared, and the machine."""
    rows = ["| figure | median | range | repeats | asked for |", "|---|---:|---:|---:|---:|"]
    rows += [_row(figure) for figure in results.figures.values()]
    ratios = _ratios(results)
    if ratios:
        rows += ["", "| end to end against, same run | median over median |", "|---|---:|", *ratios]
    failed = results.failed
    rows += ["", f"Outputs against inputs: {len(results.checks) - len(failed)} of {len(results.checks)} comparisons equal."]
    rows += [f"- DIFFERS: {check.name}: {check.detail}" for check in failed]
    rows += ["", *(f"- {name}: {fact}" for name, fact in results.facts.items())]
    return "\n".join(rows) + "\n"


def _row(figure: Figure) -> str:
    low, high = _number(figure.low), _number(figure.high)
    return f"| {figure.name} | {_number(figure.median)} {figure.unit} | {low} – {high} | {len(figure.samples)} | {figure.target} |"


def _ratios(results: Results) -> list[str]:
    ours = results.figures.get(END_TO_END)
    if ours is None:
        return []
    peers = [results.figures[peer.name] for peer in PEERS if peer.name in results.figures]
    return [f"| {peer.name} | {ours.median / peer.median:.1f} × |" for peer in peers]


def _number(value: float) -> str:
    if value >= 1_000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.3g}"
