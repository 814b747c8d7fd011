"""The report on one incident for a supervisor: facts, clock sheet, amounts and how they were revised, decisions, coverage, what is still open.

A page of what the journal's fold has published; nothing is judged here. The same journal gives the same bytes. Called by the command line
and `streams.scenario_people`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple, get_args

from monitor.clock_sheet import MINUTE_MS
from monitor.contracts.outputs import Audit, ClockTarget, Coverage, Incident, Mark
from monitor.findings import rule_of
from monitor.money import parse_amount, print_amount
from monitor.policy import Policy
from streams.compensation import losses_of
from streams.compensation_files import CLEAR_IT, Made, unattributed
from streams.dossier import Folded, Version
from streams.pages import Page, Section, Table, html_page, markdown, moment
from streams.words import grouped, spaced, span

FILES = ("incident-report.md", "incident-report.html")
DAY_MS = 1_440 * MINUTE_MS
REVISIONS_MAX = 60
DECISIONS_MAX = 200
NEVER_LEFT = "held, never left"
STAGES_OPEN = ("suspected", "confirmed", "partly_recovered")
WHAT = {"decided": "decided", "awaits-second": "asked for a second person", "refused": "refused", "expired": "expired"}


class Subject(NamedTuple):
    """One incident with all that is said of it."""

    folded: Folded
    incident: Incident
    marks: Mapping[str, list[Version]]
    never_left: frozenset[str]
    compensation: Made | None

    @property
    def newest(self) -> list[Mark]:
        """The marks as they stand."""
        return [versions[-1].mark for versions in self.marks.values()]

    @property
    def policy(self) -> Policy:
        """The newest effective policy."""
        return self.folded.engine.state.policy


def files(folded: Folded, incident_id: str, compensation: Made | None) -> Iterator[tuple[str, bytes]]:
    """The report as Markdown and HTML. It is a draft as long as the compensation file is one, or there is none."""
    page = report(folded, incident_id, compensation)
    yield from zip(FILES, (markdown(page).encode(), html_page(page).encode()), strict=True)


def report(folded: Folded, incident_id: str, compensation: Made | None) -> Page:
    """The page. Raises RefusedError if there is no such incident."""
    incident = folded.dossier.incident(incident_id)
    marks = folded.dossier.marks_of(incident_id)
    never_left = frozenset(loss.mark.mark_id for loss in losses_of(marks, folded) if not loss.left and loss.mark.state != "cleared")
    subject = Subject(folded, incident, marks, never_left, compensation)
    sections = [
        _facts(subject),
        _clock(subject),
        _amounts(subject),
        _affected(subject),
        _providers(subject),
        _coverage(subject),
        _decisions(subject),
        _timeline(subject),
        _open(subject),
    ]
    about = f"Incident {incident_id}, as of {moment(folded.engine.state.clock.now_ms)}, journal offset {folded.engine.next_offset - 1:,}"
    lacks, warning = ("not signed by two persons", "") if compensation is None else (compensation.lacks, compensation.warning)
    return Page(f"Incident report: {incident.title}", about, sections, lacks, warning)


def _facts(subject: Subject) -> Section:
    incident = subject.incident
    outcome = "" if incident.outcome is None else f" as {spaced(incident.outcome)}"
    rules = "; ".join(f"{rule_of(rule).title} ({rule})" for rule in incident.rules)
    absorbed = sorted(subject.folded.dossier.absorbed(incident.incident_id) - {incident.incident_id})
    points = [
        f"Incident {incident.incident_id}, version {incident.version}, {incident.severity}, {spaced(incident.state)}{outcome}",
        f"Cause: {spaced(incident.cause)}; {'certain: an invariant is broken' if incident.certain else 'by the opinion of detectors alone'}",
        f"From {moment(incident.first_event_at_ms)} to {moment(incident.last_event_at_ms)}",
        f"What was found: {rules}; {incident.findings:,} finding(s)",
        f"What ties it together: {', '.join(incident.keys[:12])}" + (" and more" if len(incident.keys) > 12 else ""),
        f"Journal {subject.folded.engine.journal_id}, engine {subject.folded.engine_version}, policy {subject.policy.version}",
    ]
    points += [f"Joined with: {', '.join(absorbed)}"] if absorbed else []
    points += [f"Follows the closed incident {incident.follows}"] if incident.follows is not None else []
    opened = next((happened.detail for happened in incident.timeline if happened.what == "opened"), incident.summary)
    # A page's words are for who is woken: once it is closed they would say that it still goes on, and that nothing is marked.
    return Section("Facts", [f"How it was found: {opened}." if incident.state == "closed" else incident.summary], points)


def _clock(subject: Subject) -> Section:
    sheet, targets = subject.incident.clock, subject.policy.clock_targets
    rows = [("first event", moment(sheet.first_event_at_ms), "", ""), ("first finding", moment(sheet.first_finding_at_ms), "", "")]
    rows.append(("paged", moment(sheet.paged_at_ms), _after(sheet.paged_at_ms, sheet.first_finding_at_ms), ""))
    missed = {happened.detail.partition(" ")[0] for happened in subject.incident.timeline if happened.what == "clock_missed"}
    for name in get_args(ClockTarget):
        at_ms, minutes = getattr(sheet, f"{name}_at_ms"), getattr(targets, f"{name}_minutes")
        since = sheet.paged_at_ms if name == "acknowledged" else sheet.first_finding_at_ms
        wanted = f"{minutes:,} min" if minutes else "no target"
        if at_ms is not None and since is not None and minutes and at_ms - since > minutes * MINUTE_MS:
            wanted += ", late"
        elif at_ms is None and (name in missed or any(due.target == name and due.missed for due in subject.incident.due)):
            wanted += ", missed"
        rows.append((spaced(name), moment(at_ms), _after(at_ms, since), wanted))
    note = "Targets: acknowledged counts from the page, all else from the first finding; they are the policy's, not a supervisor's."
    return Section("Clock sheet", [note], tables=[Table(("what", "when", "after", "target"), rows)])


def _after(at_ms: int | None, since_ms: int | None) -> str:
    if at_ms is None or since_ms is None:
        return ""
    apart_ms = abs(at_ms - since_ms)
    minutes, seconds = divmod(apart_ms // 1_000, 60)
    rounded = f" ({span(apart_ms)})" if apart_ms >= DAY_MS else ""  # targets are in minutes, people think in days
    return f"{'before: ' if at_ms < since_ms else ''}{minutes:,} min {seconds} s{rounded}"


def _amounts(subject: Subject) -> Section:
    """By asset what is lost now, and how the sum came about: each version that changed an amount or a stage, with the sum after it."""
    policy, base = subject.policy, subject.policy.base_currency
    sums: dict[tuple[str, str], list[int]] = {}
    whose = {"customer": "customers'", "exchange": "the exchange's own"}
    for mark in subject.newest:
        held = mark.mark_id in subject.never_left
        cells = sums.setdefault((mark.asset, NEVER_LEFT if held else whose[mark.owner]), [0, 0, 0, 0])
        counted = (mark.amount, mark.open_amount, mark.recovered_amount, mark.compensated_amount)
        for place, amount in enumerate(counted if mark.state != "cleared" else ()):
            cells[place] += _minor(amount, policy.assets[mark.asset].decimals)
    columns = ("asset", "whose", "lost", "still open", "came back", "compensated")
    rows = [
        (
            asset,
            owner,
            *(grouped(print_amount(cell, policy.assets[asset].decimals)) for cell in cells),
        )
        for (asset, owner), cells in sorted(sums.items())
    ]
    revisions = list(_revisions(subject))
    shown = revisions if len(revisions) <= REVISIONS_MAX else [*revisions[: REVISIONS_MAX // 2], *revisions[-REVISIONS_MAX // 2 :]]
    notes = [f"{len(revisions):,} revisions; the first and the last {REVISIONS_MAX // 2} are shown."] if len(shown) < len(revisions) else []
    story = ("when", "offset", "asset", "mark", "state", "amount", "lost so far")
    return Section(
        "Amounts by asset, and their revisions",
        [
            f"Still open: {grouped(subject.incident.marked_base_amount)} {base}; of it carried by no layer: {grouped(subject.incident.uncovered_base_amount)} {base}.",
            *(
                [
                    f"{len(subject.never_left):,} mark(s) are of what was held and never left: nobody lost it, and it isn't in the sums of what is lost."
                ]
                if subject.never_left
                else []
            ),
            *notes,
        ],
        tables=[Table(columns, rows, columns[2:], "As it stands"), Table(story, shown, story[5:], "How it came about")],
    )


def _revisions(subject: Subject) -> Iterator[tuple[str, ...]]:
    versions = sorted(
        ((version.offset, name, version.mark) for name, each in subject.marks.items() for version in each),
        key=lambda row: (row[0], row[1], row[2].version),
    )
    amounts: dict[str, dict[str, int]] = {}
    stages: dict[str, tuple[str, str]] = {}
    for offset, name, mark in versions:
        told = (mark.state, mark.amount)
        if stages.get(name) == told:
            continue
        stages[name] = told
        decimals = subject.policy.assets[mark.asset].decimals
        of = amounts.setdefault(mark.asset, {})
        held = name in subject.never_left
        of[name] = 0 if mark.state == "cleared" or held else _minor(mark.amount, decimals)
        state = f"{spaced(mark.state)}, version {mark.version}{f', {NEVER_LEFT}' if held else ''}"
        yield (
            moment(mark.decided_at_ms),
            str(offset),
            mark.asset,
            name,
            state,
            grouped(mark.amount),
            grouped(print_amount(sum(of.values()), decimals)),
        )


def _minor(amount: str, decimals: int) -> int:
    minor = parse_amount(amount, decimals)
    return minor if isinstance(minor, int) else 0


def _affected(subject: Subject) -> Section:
    made, incident = subject.compensation, subject.incident
    points = [f"Withdrawals that were found: {incident.withdrawals:,}, of {incident.accounts:,} account(s)"]
    if made is None:
        points.append("Customers to compensate: not computed yet")
    else:
        totals, base = made.statement.totals, made.statement.base_currency
        points += [
            f"Customers to compensate: {totals.customers:,}",
            (
                f"Customers' loss: {grouped(totals.customers_base_amount)} {base}; the exchange's own: {grouped(totals.own_base_amount)} {base}; "
                f"not attributed: {grouped(totals.not_attributed_base_amount)} {base}"
            ),
            f"Price rule: {made.statement.price_rule}; the compensation file's statement has SHA-256 {made.sha256}",
        ]
    return Section("Affected customers", points=points)


def _providers(subject: Subject) -> Section:
    names = {mark.provider_id for mark in subject.newest if mark.provider_id is not None and mark.state != "cleared"}
    names |= {key.partition(":")[2] for key in subject.incident.keys if key.startswith("provider:")}
    registry, rows = subject.folded.engine.state.providers, []
    for name in sorted(names):
        known = registry.get(name)
        marks = sum(mark.provider_id == name and mark.state != "cleared" for mark in subject.newest)
        if known is None:
            rows.append((name, "not in the registry", "", "", "", f"{marks:,}"))
        else:
            since = "always" if known.since_ms is None else moment(known.since_ms)
            rows.append((name, known.name, spaced(known.role), known.standing, f"{known.number or 'no number'}, since: {since}", f"{marks:,}"))
    if not rows:
        return Section("Providers", ["No provider is involved as far as is known."])
    columns = ("provider", "name", "role", "standing", "registration", "marks")
    return Section("Providers", tables=[Table(columns, rows, columns[5:])])


def _coverage(subject: Subject) -> Section:
    dossier, base = subject.folded.dossier, subject.policy.base_currency
    before, after = dossier.coverage_before(subject.incident.incident_id), dossier.coverage_after()
    if after is None:
        return Section("Coverage before and after", ["Nothing was published."])
    lowest = ("funded", "recovered", "available", "held", "paid")
    columns = ("layer", "when", "unit", *lowest)
    rows, told = [], {id(record): {layer.layer_id: layer for layer in record.layers} for record in (before, after) if record is not None}
    for layer in after.layers:
        for when, record in (("before", before), ("after", after)):
            found = None if record is None else told[id(record)].get(layer.layer_id)
            if found is not None:
                rows.append((layer.layer_id, when, found.unit, *(grouped(getattr(found, name)) for name in lowest)))
    points = [_covered(when, record, base) for when, record in (("Before", before), ("After", after)) if record is not None]
    return Section("Coverage before and after", points=points, tables=[Table(columns, rows, lowest)])


def _covered(when: str, record: Coverage, base: str) -> str:
    least = "at least " if record.at_least else ""
    said = (
        f"{when} ({moment(record.decided_at_ms)}): available {grouped(record.available_base_amount)} {base}, held {grouped(record.held_base_amount)}, "
        f"paid {grouped(record.paid_base_amount)}, marked {least}{grouped(record.marked_base_amount)}, uncovered {grouped(record.uncovered_base_amount)}"
    )
    return f"{said}; the reserve is exhausted" if record.exhausted else said


def _decisions(subject: Subject) -> Section:
    names = {*subject.folded.dossier.absorbed(subject.incident.incident_id), *subject.marks}
    names |= {mark.withdrawal_id for mark in subject.newest if mark.withdrawal_id is not None}
    decisions: list[Audit] = [one for one in subject.folded.dossier.decisions if one.subject_id in names]
    shown = decisions if len(decisions) <= DECISIONS_MAX else [*decisions[: DECISIONS_MAX // 2], *decisions[-DECISIONS_MAX // 2 :]]
    rows = [(moment(one.decided_at_ms), WHAT[one.what], " and ".join(one.actors), one.detail, one.event_id or "") for one in shown]
    notes = [f"{len(decisions):,} decisions; the first and the last {DECISIONS_MAX // 2} are shown."] if len(shown) < len(decisions) else []
    if not rows:
        return Section("Decisions, and who made them", ["Nobody has decided anything yet."])
    return Section("Decisions, and who made them", notes, tables=[Table(("when", "what", "who", "decision and reason", "event"), rows)])


def _timeline(subject: Subject) -> Section:
    rows = [(moment(one.at_ms), spaced(one.what), one.detail, one.actor or "the monitor") for one in subject.incident.timeline]
    return Section("Timeline", tables=[Table(("when", "what", "detail", "by"), rows)])


def _open(subject: Subject) -> Section:
    """What is still to be done, each with what it is about."""
    incident, points = subject.incident, list[str]()
    if incident.state != "closed":
        points.append(f"The incident is {spaced(incident.state)}: it isn't closed")
    for stage in STAGES_OPEN:
        count = sum(mark.state == stage for mark in subject.newest)
        if count:
            points.append(f"{count:,} mark(s) are {spaced(stage)}, not compensated")
    if subject.never_left:
        points.append(f"{len(subject.never_left):,} mark(s) are of what was held and never left: {CLEAR_IT}")
    unpriced = sum(mark.state in STAGES_OPEN and mark.base_amount is None for mark in subject.newest)
    points += [f"{unpriced:,} mark(s) have no price: all totals are lower bounds"] if unpriced else []
    if _minor(incident.uncovered_base_amount, subject.policy.assets[subject.policy.base_currency].decimals):
        points.append(f"{grouped(incident.uncovered_base_amount)} {subject.policy.base_currency} are carried by no layer of the reserve")
    points += [f"{spaced(due.target)}: due {moment(due.due_at_ms)}{', missed' if due.missed else ''}" for due in incident.due]
    points += [
        f"{spaced(name)}: nobody has told when"
        for name in get_args(ClockTarget)
        if getattr(incident.clock, f"{name}_at_ms") is None and all(due.target != name for due in incident.due)
    ]
    made = subject.compensation
    if made is None or made.draft:
        points.append(f"The compensation file is a draft: {'two persons must sign it' if made is None else made.lacks}")
    if made is not None and made.statement.not_attributed:
        points.append(unattributed(made.statement))
    return Section("What is still open", [] if points else ["Nothing."], points)
