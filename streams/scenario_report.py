"""A scenario's run for people, the answer first; and the table of many runs, every miss with its reason.

Prints nothing and decides nothing. Called by the command line.
"""

from collections.abc import Iterator, Sequence

from streams.scenario_result import Page, Result
from streams.simulation.phases import NoticePhase, Phase, Scenario
from streams.words import grouped

SHOWN_MAX = 8


def span(seconds: float) -> str:
    """A time for people: "4.2 s", "3 min 20 s", "11 h 23 min", "3 d 4 h"."""
    sign, rest = ("-" if seconds < 0 else ""), abs(seconds)
    if rest < 60:
        return f"{sign}{rest:.1f} s"
    parts = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
    for size, name, small, small_name in parts:
        if rest >= size:
            return f"{sign}{rest // size:.0f} {name} {rest % size // small:.0f} {small_name}"
    return f"{sign}{rest:.1f} s"


def beside(seconds: float) -> str:
    """The same beside the first provable loss."""
    return f"{span(seconds)} after" if seconds >= 0 else f"{span(-seconds)} before"


def text(result: Result) -> Iterator[str]:
    """One run."""
    yield from _answer(result)
    yield ""
    for criterion in result.criteria:
        yield f"{'met ' if criterion.met else 'MISS'}  {criterion.name:6}  {criterion.what}"
    yield ""
    verdicts = ", ".join(f"{kind} {count:,}" for kind, count in sorted(result.verdicts.items())) or "none: nothing passed the withdrawal engine"
    yield f"Verdicts on its withdrawals   {verdicts}"
    for shown in result.held[:SHOWN_MAX]:
        late = ", too late" if shown.too_late else ""
        yield f"  {shown.withdrawal_id}: {shown.verdict}{late}, {beside(shown.after_seconds)}: {shown.reasons[0] if shown.reasons else 'no reason'}"
    yield f"Incidents                     {len(result.incidents)}; marks {result.marks}, {grouped(result.marked_base_amount)} JPY"
    for incident in result.incidents[:SHOWN_MAX]:
        rules = ", ".join(incident.rules)
        yield f"  {incident.incident_id} ({incident.severity}), {beside(incident.opened_after_seconds)}: {incident.title} ({rules})"
        yield f"    {incident.summary}"
    yield f"Pages                         {result.pages_count}; notices of all kinds {result.notices}"
    yield from _page_lines(result.pages)
    yield from _coverage(result)
    history = f"{result.history_days:g} days of history ({result.history_records:,} records)"
    yield f"False pages                   {result.false_pages_history_count} in {history}, "
    yield f"                              {len(result.false_pages_before)} from there to the incident, {len(result.false_pages_after)} since it began"
    yield from _page_lines((*result.false_pages_history, *result.false_pages_before, *result.false_pages_after))
    yield f"Reviews of honest withdrawals {result.reviews_history} in the history, {result.reviews_before} before, {result.reviews_after} since"
    for why, count in result.refused.items():
        yield f"REFUSED by intake, so not played: {count:,} record(s), {why}"
    for name in result.shortened:
        yield f"Shortened: a quiet stretch at '{name}'"


def _answer(result: Result) -> Iterator[str]:
    """The question first: whether somebody was woken in time."""
    yield f"{result.name}, seed {result.seed}, holds {'obeyed' if result.hold == 'on' else 'not obeyed'}"
    page = result.page
    if page is None or result.page_after_seconds is None:
        yield "Paged in time?   NO: nobody was paged for it."
    else:
        met = next(criterion.met for criterion in result.criteria if criterion.name == "page")
        yield f"Paged in time?   {'Yes' if met else 'NO'}: {beside(result.page_after_seconds)} the first provable loss; {result.gone_by_page_share:.1%} was gone."
        yield f"                 {page.title}: {page.summary}"
    noticed = result.noticed_after_seconds
    if noticed is not None:
        yield f"                 The exchange itself noticed {beside(noticed)}."
    yield f"How much?        {grouped(result.loss_base_amount)} JPY in {result.losses:,} transfer(s) or posting(s), at the simulated prices."
    if result.hold_after_seconds is None or result.gone_by_hold_share is None:
        yield "Held in time?    Nothing of it was held."
    else:
        yield f"Held in time?    First HOLD {beside(result.hold_after_seconds)}; {result.gone_by_hold_share:.1%} was gone; {result.losses_stopped} of {result.losses} stopped."
    yield f"Saved by holds?  {grouped(result.saved_base_amount)} JPY: what is lost without them, less what is lost with them."


def _page_lines(pages: Sequence[Page]) -> Iterator[str]:
    for page in pages[:SHOWN_MAX]:
        yield f"  {beside(page.after_seconds)}: {page.title} ({', '.join(page.rules)}): {page.summary}"
    if len(pages) > SHOWN_MAX:
        yield f"  and {len(pages) - SHOWN_MAX} more"


def _coverage(result: Result) -> Iterator[str]:
    if not result.coverage:
        return
    yield "Coverage by time, in JPY"
    yield f"  {'from the first loss':>20}  {'marked':>20}  {'uncovered':>20}  {'reserve available':>20}"
    for after, marked, uncovered, available in result.coverage:
        yield f"  {span(after):>20}  {grouped(marked):>20}  {grouped(uncovered):>20}  {grouped(available):>20}"


def table(results: Sequence[Result]) -> Iterator[str]:
    """All runs, then every miss with its reason."""
    missed = [result for result in results if not result.passed]
    seeds = len({result.seed for result in results})
    yield f"{len(results) - len(missed)} of {len(results)} runs ({len(results) // max(seeds, 1)} scenarios, {seeds} seed(s)) meet all criteria."
    yield ""
    yield f"  {'scenario':22} {'seed':>4}  {'page after':>11}  {'gone then':>9}  {'first hold':>11}  {'lost':>6}  {'saved, JPY':>20}  {'false':>5}  "
    for result in results:
        page = "none" if result.page_after_seconds is None else span(result.page_after_seconds)
        gone = "-" if result.gone_by_page_share is None else f"{result.gone_by_page_share:.1%}"
        hold = "none" if result.hold_after_seconds is None else span(result.hold_after_seconds)
        false = len(result.false_pages_before) + len(result.false_pages_after)
        row = f"  {result.scenario:22} {result.seed:4}  {page:>11}  {gone:>9}  {hold:>11}  {result.gone_share:6.1%}  {grouped(result.saved_base_amount):>20}"
        yield f"{row}  {false:5}  {'met' if result.passed else 'MISS'}"
    yield ""
    for seed in sorted({result.seed for result in results}):
        first = next(result for result in results if result.seed == seed)
        yield f"  history of seed {seed}: {first.history_records:,} records, {first.false_pages_history_count} page(s), {first.reviews_history} review(s)"
        yield from (f"  {line}" for line in _page_lines(first.false_pages_history))
    for result in missed:
        yield f"MISS {result.scenario}, seed {result.seed}: {'; '.join(result.misses)}"


def shown(scenario: Scenario) -> Iterator[str]:
    """A scenario's facts and phases."""
    yield f"{scenario.name} ({scenario.id}){f', {scenario.date}' if scenario.date else ''}: {', '.join(scenario.classes)}; cause {scenario.cause}"
    yield f"It teaches: {scenario.teaches}"
    loss = scenario.loss
    if loss is not None:
        parts = [f"{grouped(lost.amount) if lost.amount else 'unknown'} {lost.asset}" for lost in loss.assets]
        for unit, amount in (("JPY", loss.base_amount), ("JPY of customers", loss.customer_base_amount), ("JPY own", loss.own_base_amount)):
            parts += [f"{grouped(amount)} {unit}"] if amount is not None else []
        parts += [f"{grouped(amount)} {unit}" for unit, amount in (("USD", loss.usd), ("KRW", loss.krw)) if amount is not None]
        yield f"Lost: {'; '.join(parts)} (confidence {loss.confidence})"
    for fact in scenario.facts:
        yield f"  fact ({fact.confidence}): {fact.text}"
    yield f"Phases, from its start; {sum(getattr(phase, 'loss', False) for phase in scenario.phases)} of {len(scenario.phases)} are loss"
    for phase in sorted(scenario.phases, key=lambda phase: phase.at_seconds):
        yield from _phase_lines(phase)


def _phase_lines(phase: Phase) -> Iterator[str]:
    kind = str(type(phase).__struct_config__.tag)
    who = f" of {phase.who}" if isinstance(phase, NoticePhase) else ""
    loss = ", LOSS" if getattr(phase, "loss", False) else ""
    yield f"  {span(phase.at_seconds):>14}  {kind}{who} ({phase.confidence}{loss}): {phase.name}"
    if phase.original_seconds is not None:
        yield f"  {'':14}  in truth at {span(phase.original_seconds)}"
    if phase.notes:
        yield f"  {'':14}  {phase.notes}"
