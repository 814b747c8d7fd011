"""What the demo shows: a live picture on a terminal, plain lines elsewhere. The same facts in both.

Shows a `Scene` and changes nothing. Called by `streams.demo`.
"""

import sys
from collections import deque
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from monitor.contracts.outputs import Coverage, Incident
from streams.summary import ORDER, Story
from streams.words import grouped

BAR_CELLS = 44
REASONS_SHOWN = 3
SAID_SHOWN = 6
LINE_INTERVAL_SECONDS = 5.0
LATENCIES_KEPT = 2_000
REFRESH_PER_SECOND = 4
STYLES = {"CLEAR": "green", "WATCH": "yellow", "HOLD": "bold red", "UNSCORED": "magenta"}


class Scene:
    """All that is shown. Filled by the demo from the output topics, /metrics and what it does itself."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.stage = "starting"
        self.seconds = 0.0
        self.story = Story()
        self.sent = 0
        self.sent_per_second = 0.0
        self.decided_per_second = 0.0
        self.journal_lag: int | None = None
        self.latencies_ms: deque[float] = deque(maxlen=LATENCIES_KEPT)
        self.said: list[str] = []

    def say(self, sentence: str) -> None:
        """Tell people something, in order."""
        self.said.append(f"{self.seconds:5.1f} s  {sentence}")

    def latency_ms(self, share: float) -> float | None:
        """The latency that this share of the newest verdicts stayed below."""
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else None

    def critical(self) -> Incident | None:
        """The critical incident with most at stake."""
        critical = [incident for incident in self.story.incidents.values() if incident.severity == "critical"]
        return max(critical, key=lambda incident: int(incident.marked_base_amount.partition(".")[0]), default=None)


class View(Protocol):
    """Shows scenes until closed."""

    def show(self, scene: Scene) -> None:
        """Show it as it is now; called often."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class PlainView:
    """A line every few seconds, and each sentence once."""

    def __init__(self) -> None:
        self._said = 0
        self._next_seconds = 0.0

    def show(self, scene: Scene) -> None:
        """Print what is new."""
        for sentence in scene.said[self._said :]:
            print(sentence, flush=True)
        self._said = len(scene.said)
        if scene.seconds >= self._next_seconds:
            self._next_seconds = scene.seconds + LINE_INTERVAL_SECONDS
            print(f"{scene.seconds:5.1f} s  {' | '.join(facts(scene))}", flush=True)

    def close(self) -> None:
        """Nothing to leave."""


class LiveView:
    """A picture that is drawn over itself."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), refresh_per_second=REFRESH_PER_SECOND, transient=True)
        self._live.start()

    def show(self, scene: Scene) -> None:
        """Draw it."""
        self._live.update(picture(scene))

    def close(self) -> None:
        """Wipe the picture; the summary comes where it was."""
        self._live.stop()


def make_view() -> View:
    """A live picture on a terminal, lines elsewhere."""
    return LiveView() if sys.stdout.isatty() else PlainView()


def facts(scene: Scene) -> list[str]:
    """The figures of a scene as short texts."""
    story, shown = scene.story, [scene.stage]
    shown.append(f"{scene.sent_per_second:,.0f} events/s in, {scene.decided_per_second:,.0f} verdicts/s")
    middle, most = scene.latency_ms(0.5), scene.latency_ms(0.99)
    if middle is not None and most is not None:
        shown.append(f"event to verdict {middle:.0f} ms (p50) {most:.0f} ms (p99)")
    if scene.journal_lag is not None:
        shown.append(f"{scene.journal_lag:,} entries behind")
    shown.append(" ".join(f"{kind} {story.verdicts[kind]:,}" for kind in ORDER if story.verdicts[kind]) or "no verdict yet")
    coverage = story.coverage
    if coverage is not None:
        shown.append(
            f"reserve {grouped(coverage.available_base_amount)} {coverage.base_currency} free, {grouped(coverage.marked_base_amount)} marked"
        )
    return shown


def picture(scene: Scene) -> RenderableType:
    """A scene as a renderable of rich."""
    head = Text.assemble((scene.title, "bold"), f"   {scene.seconds:.0f} s   ", (scene.stage, "cyan"))
    parts: list[RenderableType] = [head, _flow(scene), Panel(_reserve(scene.story.coverage), title="Reserve", title_align="left")]
    incident = scene.critical()
    if incident is not None:
        parts.append(_incident(scene, incident))
    parts.append(Panel(Text("\n".join(scene.said[-SAID_SHOWN:])), title="What happens", title_align="left"))
    return Group(*parts)


def _flow(scene: Scene) -> Table:
    table = Table.grid(padding=(0, 3))
    middle, most = scene.latency_ms(0.5), scene.latency_ms(0.99)
    latency = "-" if middle is None or most is None else f"{middle:.0f} ms p50, {most:.0f} ms p99"
    lag = "-" if scene.journal_lag is None else f"{scene.journal_lag:,} entries"
    table.add_row("events in", f"{scene.sent_per_second:,.0f}/s ({scene.sent:,})", "event to verdict", latency, "behind", lag)
    verdicts = Text("   ").join(Text(f"{kind} {scene.story.verdicts[kind]:,}", STYLES[kind]) for kind in ORDER)
    table.add_row("verdicts", f"{scene.decided_per_second:,.0f}/s", "", verdicts, "pages", str(scene.story.pages))
    return table


def _reserve(coverage: Coverage | None) -> RenderableType:
    if coverage is None:
        return Text("not funded yet")
    free, held = _whole(coverage.available_base_amount), _whole(coverage.held_base_amount)
    total = free + held + _whole(coverage.uncovered_base_amount)
    table = Table.grid(padding=(0, 2))
    table.add_row("all layers", bar(free, held, total), f"{grouped(coverage.available_base_amount)} {coverage.base_currency} free")
    for layer in coverage.layers:
        if layer.can_carry is None:
            continue  # uncovered, which the last row tells, and layers that carry nothing new
        layer_free, layer_held = _whole(layer.can_carry), _whole(layer.held)
        table.add_row(layer.layer_id, bar(layer_free, layer_held, layer_free + layer_held), f"{grouped(layer.can_carry)} {layer.unit} free")
    marked = f"{grouped(coverage.marked_base_amount)} {coverage.base_currency} marked, {grouped(coverage.uncovered_base_amount)} uncovered"
    table.add_row("", Text(marked, "bold red" if coverage.marked_base_amount != "0" else ""), "")
    return table


def bar(free: int, held: int, total: int) -> Text:
    """Free solid green, held shaded red, uncovered dots; BAR_CELLS wide."""
    if total <= 0:
        return Text("·" * BAR_CELLS, "dim")
    free_cells = round(BAR_CELLS * free / total)
    held_cells = min(BAR_CELLS - free_cells, round(BAR_CELLS * held / total))
    return Text.assemble(("█" * free_cells, "green"), ("▒" * held_cells, "red"), ("·" * (BAR_CELLS - free_cells - held_cells), "dim"))


def _incident(scene: Scene, incident: Incident) -> Panel:
    text = Text()
    text.append(f"{incident.title}\n", "bold")
    unit = scene.story.coverage.base_currency if scene.story.coverage is not None else ""
    text.append(
        f"{grouped(incident.marked_base_amount)} {unit} marked, {grouped(incident.uncovered_base_amount)} uncovered; {', '.join(incident.keys)}\n"
    )
    for reason in scene.story.reasons.get(incident.incident_id, ())[:REASONS_SHOWN]:
        text.append(f"because {reason.rule}: ", "yellow")
        text.append(f"{reason.detail}\n")
    text.rstrip()
    return Panel(text, title=f"{incident.severity.upper()}  {incident.incident_id}", title_align="left", border_style="red")


def _whole(amount: str) -> int:
    return int(amount.partition(".")[0])
