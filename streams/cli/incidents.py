"""`incidents`, `incident` and `marks`: what has happened, what it costs and what to do, for who was just woken."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.given import given
from streams.cli.looking import AsJson, JournalFile, look, say_doubts
from streams.cli.printing import print_commands, print_json, print_rows, print_section, print_sentence, say
from streams.refusals import RefusedError
from streams.words import SEVERITY_STYLES, grouped, is_zero, moment, number, spaced, span, total

if TYPE_CHECKING:
    from monitor.contracts.outputs import Due, Incident, Mark

app = typer.Typer(rich_markup_mode=None)
SEVERITIES = ("critical", "warning", "notice")
OVER = ("closed", "merged")
CLOCK = ("first_event", "first_finding", "paged", "acknowledged", "halted", "regulator_told", "police_told", "customers_told")
TOLD_BY_PEOPLE = CLOCK[4:]
PLACES = ("provider", "wallet", "address")
MARKS_SHOWN_MAX = 1_000

Severity = Literal["critical", "warning", "notice"]
State = Literal["suspected", "confirmed", "partly_recovered", "compensated", "cleared"]


@app.command(epilog="Example: withdrawal-monitor incidents --severity critical")
def incidents(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Closed and merged ones too.")] = False,
    severity: Annotated[Severity, typer.Option("--severity", help="Only what is at least so severe.")] = "notice",
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """List incidents, the open ones first, the most severe first."""
    found = look(given(context), journal, ("incidents",))
    wanted = SEVERITIES[: SEVERITIES.index(severity) + 1]
    known = found.published.incidents()
    rows = sorted((each for each in known.values() if each.severity in wanted and (everything or each.state not in OVER)), key=_urgency)
    if as_json:
        print_json(rows)
    else:
        base = found.policy.base_currency
        columns = ("incident", "severity", "state", "title", f"marked {base}", f"uncovered {base}", "age", "assignee", "next target")
        cells = [
            (
                each.incident_id, each.severity, spaced(each.state), each.title, grouped(each.marked_base_amount), grouped(each.uncovered_base_amount),
                span(found.now_ms - each.opened_at_ms), each.assignee or "", _next_due(each.due, found.now_ms),
            )
            for each in rows
        ]  # fmt: skip
        print_rows(columns, cells, styles=[SEVERITY_STYLES[each.severity] for each in rows])
    hidden = len(known) - len(rows)
    if not known:
        say("There is no incident.")
    elif hidden:
        say(
            f"{len(rows) or 'No'} incident{'s' if len(rows) > 1 else ''} {'shown' if everything else 'open'}; {hidden:,} more with --all or a lower --severity."
        )
    say_doubts(found)


def _urgency(incident: "Incident") -> tuple[bool, int, Decimal, int]:
    return incident.state in OVER, SEVERITIES.index(incident.severity), -number(incident.marked_base_amount), incident.opened_at_ms


def _next_due(due: "Sequence[Due]", now_ms: int) -> str:
    first = min(due, key=lambda each: each.due_at_ms, default=None)
    return "" if first is None else f"{spaced(first.target)} {_standing(first, now_ms)}"


def _standing(due: "Due", now_ms: int) -> str:
    left_ms = due.due_at_ms - now_ms
    return f"due in {span(left_ms)}" if left_ms > 0 and not due.missed else f"MISSED {span(-left_ms)} ago"


@app.command(epilog="Example: withdrawal-monitor incident incident-1204-0")
def incident(
    context: typer.Context,
    incident_id: Annotated[str, typer.Argument(help="Its id, as `incidents` shows it.", show_default=False)],
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """Show one incident: what, how much, whether it is covered, by when who must be told, what to do next."""
    found = look(given(context), journal, ("incidents", "marks"))
    known = found.published.incidents()
    record = known.get(incident_id)
    if record is None:
        raise RefusedError(f"There is no incident {incident_id}: `withdrawal-monitor incidents --all` lists them.")
    merged = [each for each in known.values() if each.merged_into == incident_id]
    marks = [mark for mark in found.published.marks().values() if mark.incident_id == incident_id]
    if as_json:
        print_json(
            {
                "incident": record,
                "merged": merged,
                "marks": marks,
                "next": [{"why": why, "command": command} for why, command in _commands(record, marks)],
            }
        )
    else:
        _show(record, merged, marks, found.policy.base_currency, found.now_ms)
    say_doubts(found)


def _show(record: "Incident", merged: "Sequence[Incident]", marks: "Sequence[Mark]", base: str, now_ms: int) -> None:
    print_sentence(f"{record.incident_id}  {record.severity.upper()}  {record.title}", SEVERITY_STYLES[record.severity])
    print_sentence(record.summary)
    outcome = f" as {spaced(record.outcome)}" if record.outcome else ""
    told = [
        ("state", f"{spaced(record.state)}{outcome}, version {record.version}{f', part of {record.merged_into}' if record.merged_into else ''}"),
        ("assignee", record.assignee or "nobody"),
        ("marked", f"{grouped(record.marked_base_amount)} {base}, {record.marks:,} mark(s), cause {spaced(record.cause)}"),
        ("uncovered", f"{grouped(record.uncovered_base_amount)} {base}"),
        ("counted", f"{record.findings:,} finding(s), {record.withdrawals:,} withdrawal(s), {record.accounts:,} account(s)"),
        (
            "time",
            f"first event {moment(record.first_event_at_ms)}, newest {moment(record.last_event_at_ms)} UTC, {span(now_ms - record.opened_at_ms)} old",
        ),
        ("rules", ", ".join(record.rules)),
        *((("follows", record.follows),) if record.follows else ()),
    ]
    print_section("facts", ("what", "told"), told)
    clock = list(_clock_rows(record, now_ms))
    styles = ["bold red" if "MISSED" in row[2] else "yellow" if row[2].startswith("due") else "" for row in clock]
    print_section("clock", ("clock", "time (UTC)", "target"), clock, styles)
    print_section(
        "marks", ("asset", "state", "owner", "marks", "amount", "open", "recovered", "compensated", f"open {base}", f"uncovered {base}"), _sums(marks)
    )
    print_section("places", ("kind", "name"), _places(record, marks))
    happened = [(moment(line.at_ms), spaced(line.what), line.actor or "", line.detail) for line in record.timeline]
    print_section("timeline", ("time (UTC)", "what", "who", "detail"), happened)
    print_section("merged", ("incident", "opened (UTC)", "title"), [(each.incident_id, moment(each.opened_at_ms), each.title) for each in merged])
    print_commands("next", list(_commands(record, marks)))


def _clock_rows(record: "Incident", now_ms: int) -> Iterator[tuple[str, str, str]]:
    open_targets = {due.target: due for due in record.due}
    missed = {line.detail.split(maxsplit=1)[0] for line in record.timeline if line.what == "clock_missed"}
    for name in CLOCK:
        at_ms = getattr(record.clock, f"{name}_at_ms")
        due = next((each for target, each in open_targets.items() if target == name), None)
        if at_ms is not None:
            after = f"{span(at_ms - record.clock.first_finding_at_ms)} after the first finding" if name in CLOCK[2:] else ""
            yield spaced(name), moment(at_ms), f"{'MISSED, told late: ' if name in missed else ''}{after}"
        elif due is not None:
            yield spaced(name), "", f"{_standing(due, now_ms)}, by {moment(due.due_at_ms)}"
        else:
            yield spaced(name), "", ""


def _sums(marks: "Sequence[Mark]") -> list[tuple[str, ...]]:
    """Marks added up by asset, state and owner."""
    groups: defaultdict[tuple[str, str, str], list[Mark]] = defaultdict(list)
    for mark in marks:
        groups[mark.asset, mark.state, mark.owner].append(mark)
    rows = []
    for (asset, state, owner), group in sorted(groups.items()):
        amounts = (total(getattr(mark, name) for mark in group) for name in ("amount", "open_amount", "recovered_amount", "compensated_amount"))
        unpriced = sum(mark.base_amount is None and not is_zero(mark.open_amount) for mark in group)
        values = [grouped(total(getattr(mark, name) for mark in group)) for name in ("base_amount", "uncovered_base_amount")]
        if unpriced:
            values = [f"at least {value}" for value in values]
        whose = "customers'" if owner == "customer" else "own"
        rows.append((asset, spaced(state), whose, f"{len(group):,}", *(grouped(amount) for amount in amounts), *values))
    return rows


def _places(record: "Incident", marks: "Sequence[Mark]") -> list[tuple[str, str]]:
    providers = (f"provider:{mark.provider_id}" for mark in marks if mark.provider_id is not None)
    keys = (key.partition(":") for key in dict.fromkeys((*record.keys, *providers)))
    return sorted(((kind, name) for kind, _, name in keys), key=lambda row: PLACES.index(row[0]) if row[0] in PLACES else len(PLACES))


def _commands(record: "Incident", marks: "Sequence[Mark]") -> Iterator[tuple[str, str]]:
    """What a person may do next, as commands to type."""
    if record.state == "merged":
        yield "it goes on there", f"withdrawal-monitor incident {record.merged_into}"
    elif record.state == "closed":
        yield "it wasn't over", _decide("reopen", record)
    else:
        yield from _handling(record)
        yield from _losses(record, {mark.state for mark in marks})
        if record.state == "pending_closure":
            yield "a second person agrees that it is over", _decide("close", record, f"--outcome {record.outcome}")
        else:
            yield "it is over", _decide("close", record, "--outcome OUTCOME")


def _decide(command: str, record: "Incident", rest: str = "") -> str:
    return f"withdrawal-monitor decide {command} incident {record.incident_id}{f' {rest}' if rest else ''} --reason TEXT"


def _handling(record: "Incident") -> Iterator[tuple[str, str]]:
    if record.state == "new":
        yield "you are on it", _decide("acknowledge", record)
    if record.assignee is None:
        yield "who has it", _decide("assign", record, "--to NAME")
    for due in record.due:
        if due.target in TOLD_BY_PEOPLE:
            yield f"{spaced(due.target)}: when it was", _decide("set-clock", record, f"--clock {due.target} --at now")


def _losses(record: "Incident", states: set[str]) -> Iterator[tuple[str, str]]:
    if "suspected" in states:
        yield "it was a loss", _decide("confirm", record)
        yield "it was none", _decide("clear", record)
    if record.withdrawals:
        yield "what is held may go", _decide("release", record)
    if states & {"confirmed", "partly_recovered"}:
        yield "some came back", "withdrawal-monitor decide recovered mark ID --amount AMOUNT --reason TEXT"
        yield "customers were paid", _decide("compensated", record)


@app.command(epilog="Example: withdrawal-monitor marks --incident incident-1204-0 --state suspected")
def marks(
    context: typer.Context,
    incident_id: Annotated[str | None, typer.Option("--incident", help="Only of this incident.")] = None,
    state: Annotated[State | None, typer.Option("--state", help="Only in this state.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, the largest.")] = MARKS_SHOWN_MAX,
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """List marks: the losses, suspected or certain, and what carries each."""
    found = look(given(context), journal, ("marks",))
    chosen = [mark for mark in found.published.marks().values() if incident_id in {None, mark.incident_id} and state in {None, mark.state}]
    chosen.sort(key=lambda mark: (-number(mark.base_amount), mark.mark_id))
    if as_json:
        print_json(chosen[:limit])
    else:
        base = found.policy.base_currency
        columns = (
            "mark", "state", "incident", "asset", "amount", "open", f"open {base}", f"uncovered {base}", "owner", "cause", "provider", "carried by", "version",
        )  # fmt: skip
        print_rows(
            columns,
            [_mark_row(mark) for mark in chosen[:limit]],
            styles=["" if is_zero(mark.uncovered_base_amount) else "red" for mark in chosen[:limit]],
        )
    if len(chosen) > limit:
        say(f"{len(chosen):,} in all; the largest {limit:,} are shown (--limit).")
    elif not chosen:
        say("No marks.")
    say_doubts(found)


def _mark_row(mark: "Mark") -> tuple[str, ...]:
    carried = ", ".join(f"{part.layer_id} {part.account} {grouped(part.amount)} {part.unit}" for part in mark.allocations)
    return (
        mark.mark_id, spaced(mark.state), mark.incident_id, mark.asset, grouped(mark.amount), grouped(mark.open_amount), grouped(mark.base_amount),
        grouped(mark.uncovered_base_amount), mark.owner, spaced(mark.cause), mark.provider_id or "", carried, str(mark.version),
    )  # fmt: skip
