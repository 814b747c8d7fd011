"""`policy`: which policy decides, which one waits, and what a proposed one would have decided otherwise."""

import contextlib
import pathlib
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.failures import run_with_kafka
from streams.cli.following import until_ended
from streams.cli.given import Given, given
from streams.cli.looking import JournalFile, say_left_out
from streams.cli.printing import on_terminal, print_json, print_line, print_rows, say
from streams.refusals import RefusedError
from streams.words import grouped, moment, read_moment, spaced

if TYPE_CHECKING:
    from monitor.policy import Policy
    from monitor.shadow_result import Difference
    from streams.shadow import Comparison, Shadowed, Source

app = typer.Typer(help="See which policy decides, and run a proposed one in shadow.", no_args_is_help=True, rich_markup_mode=None)
DIFFERENCES_SHOWN_MAX = 20
NONE = "-"


@app.command(epilog="Example: withdrawal-monitor policy compare --journal journal.jsonl.gz --proposed proposed.toml")
def compare(
    context: typer.Context,
    journal: JournalFile = None,
    proposed: Annotated[
        pathlib.Path | None, typer.Option("--proposed", metavar="CONFIG.toml", help="The configuration whose policy is compared.", show_default=False)
    ] = None,
    sha: Annotated[
        str | None,
        typer.Option("--sha", metavar="HASH", help="Or: a policy that a term of the journal proposes, by its hash or the hash's beginning."),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="TIME", help="Compare what was decided from then on, as 2026-11-25T08:00Z; all is folded.")
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Go on with the live journal: a line per difference, on standard output only; nothing is published.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; with --follow one object a line.")] = False,
) -> None:
    """Fold the journal twice, as it was and under a proposed policy, and tell what the second decides otherwise; takes the memory of two cores."""
    from streams.replay_lines import FileRefusedError
    from streams.shadow import compare as compared_by
    from streams.terminal import shown_share

    if (proposed is None) == (sha is None):
        raise RefusedError("Give either --proposed with a configuration or --sha with the hash of a proposed policy.")
    if follow and journal is not None:
        raise RefusedError("--follow needs the live journal, so it doesn't go with --journal.")
    if sha is not None and not sha.strip():
        raise RefusedError("--sha must be the hash of a proposed policy, or its beginning.")
    chosen = given(context)
    since_ms = 0 if since is None else max(0, read_moment(since, round(time.time() * 1_000)))
    asked = sha if proposed is None else _policy_of(chosen, proposed)
    source = _source(chosen, journal)

    async def body() -> None:
        with shown_share("compared") as progress:
            shadowed = await compared_by(source, asked or "", since_ms, progress)
        say_left_out(source.left_out)
        _show(shadowed.result(), as_json=as_json, one_line=follow)
        if follow:
            await until_ended(_follow(chosen, shadowed, as_json=as_json))

    try:
        run_with_kafka(body(), chosen.settings.kafka.bootstrap_servers)
    except FileRefusedError as error:
        raise RefusedError(str(error)) from error


def _policy_of(chosen: Given, file: pathlib.Path) -> "Policy":
    from streams.configuration import configure, process_environment

    return configure(file, process_environment(), chosen.flags).settings.policy


def _source(chosen: Given, journal: pathlib.Path | None) -> "Source":
    from streams.shadow import FileSource, KafkaSource

    return KafkaSource(chosen.kafka()) if journal is None else FileSource(journal, chosen.settings)


async def _follow(chosen: Given, shadowed: "Shadowed", *, as_json: bool) -> None:
    from streams.shadow import follow

    say("Following the journal; interrupt to end.")
    async with contextlib.aclosing(follow(chosen.kafka(), shadowed)) as differences:
        async for difference in differences:
            if as_json:
                _print_line({"kind": "difference"}, difference)
            else:
                print_line(_row(difference))


def _print_line(facts: dict[str, str], value: object) -> None:
    import msgspec

    print(msgspec.json.encode(facts | msgspec.to_builtins(value)).decode(), flush=True)


def _row(difference: "Difference") -> tuple[str, ...]:
    """For machines and pipes: everything in one line."""
    reasons = ["; ".join(given) or NONE for given in (difference.standing_reasons, difference.proposed_reasons)]
    return difference.what, difference.subject_id, moment(difference.at_ms), _amount(difference), difference.standing, difference.proposed, *reasons


def _cells(difference: "Difference") -> tuple[str, ...]:
    """For people: four columns, which fit a terminal."""
    of = "\n".join((difference.subject_id, moment(difference.at_ms), *(() if difference.amount is None else (_amount(difference),))))
    sides = ((difference.standing, difference.standing_reasons), (difference.proposed, difference.proposed_reasons))
    return difference.what, of, *("\n".join((told, *reasons)) for told, reasons in sides)


def _amount(difference: "Difference") -> str:
    return NONE if difference.amount is None else f"{difference.amount} {difference.asset}"


def _show(comparison: "Comparison", *, as_json: bool, one_line: bool) -> None:
    from streams.shadow import answer

    if as_json:
        if one_line:
            _print_line({"kind": "summary"}, comparison)
        else:
            print_json(comparison)
        return
    for sentence in answer(comparison):
        say(sentence)
    compared = comparison.compared
    print_rows(
        ("setting", "standing", "proposed"),
        [(each.setting, each.standing or NONE, each.proposed or NONE) for each in comparison.changes],
        title="The policies",
    )
    print_rows(("figure", "as it was", "proposed"), _figures(comparison), title="What they come to; the reserve as it is at the end")
    changed = [
        (f"{each.standing} → {each.proposed}", f"{each.withdrawals:,}", f"{grouped(each.base_amount)} {compared.base_currency}")
        for each in compared.changed
    ]
    if changed:
        print_rows(("verdict", "withdrawals", "value at stake"), changed, title="Verdicts that change")
    shown = compared.differences[:DIFFERENCES_SHOWN_MAX]
    if shown:
        if on_terminal():
            print_rows(("what", "of", "as it was", "proposed"), [_cells(each) for each in shown], title="The first differences (UTC)")
        else:
            print_rows((), [_row(each) for each in shown])
    if len(compared.differences) > len(shown):
        say(f"{len(compared.differences) - len(shown):,} more differences are listed with --json.")


def _figures(comparison: "Comparison") -> Sequence[tuple[str, str, str]]:
    base = comparison.compared.base_currency
    columns = []
    for figures in (comparison.compared.standing, comparison.compared.proposed):
        least = "at least " if figures.held_unpriced else ""
        rows: dict[str, str] = {kind: f"{count:,}" for kind, count in figures.verdicts.items()}
        rows |= {
            "HOLD, enforced": f"{figures.enforced:,}",
            f"value held ({base})": f"{least}{grouped(figures.held_base_amount)}",
            "reviews": f"{figures.reviews_due:,}",
            "reviews a day": _rate(figures.reviews_per_day),
            "pages": f"{figures.pages:,}",
            "pages a day": _rate(figures.pages_per_day),
            "notices": f"{figures.notices:,}",
            "marks": f"{figures.marks:,}",
        }
        coverage = figures.coverage
        if coverage is not None:
            amounts = {"uncovered": coverage.uncovered, "reserve held": coverage.held, "reserve available": coverage.available}
            amounts |= {f"headroom, {spaced(cause)}": amount for cause, amount in coverage.headroom.items()}
            rows |= {f"{name} ({base})": grouped(amount) for name, amount in amounts.items()}
        columns.append(rows)
    return [(name, columns[0].get(name, NONE), columns[1].get(name, NONE)) for name in dict.fromkeys((*columns[0], *columns[1]))]


def _rate(per_day: float | None) -> str:
    return NONE if per_day is None else f"{per_day:,.2f}"


@app.command(epilog="Example: withdrawal-monitor policy show --journal journal.jsonl.gz")
def show(context: typer.Context, journal: JournalFile = None, as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Show which policy decides at the journal's end, what a proposed one changes, its hash, and who has approved it so far."""
    from streams.replay_lines import FileRefusedError
    from streams.shadow import standing
    from streams.terminal import shown_count

    chosen = given(context)
    source = _source(chosen, journal)
    try:
        with shown_count("folded") as progress:
            found = run_with_kafka(standing(source, progress), chosen.settings.kafka.bootstrap_servers)
    except FileRefusedError as error:
        raise RefusedError(str(error)) from error
    say_left_out(source.left_out)
    if as_json:
        print_json(found)
        return
    rows = [
        ("standing version", str(found.version)),
        ("standing hash", found.sha256),
        ("proposed hash", found.proposed_sha256 or "nothing is proposed"),
    ]
    rows += [(f"approved by {each.actor}", f"a second person may until {moment(each.until_ms)} UTC") for each in found.approved]
    rows += [("also proposed", each) for each in found.also_proposed]
    print_rows(("policy", "is"), rows, title=f"Policy after {found.entries:,} entries")
    if found.changes:
        changes = [(each.setting, each.standing or NONE, each.proposed or NONE) for each in found.changes]
        print_rows(("setting", "standing", "proposed"), changes, title="What the proposal changes")
    if not found.needs_approval:
        say("Nobody in policy.actors may change_policy: a worker's configuration decides at once, when its term begins.")
    elif found.proposed_sha256 is not None and not found.approved:
        say("Nobody has approved the proposal yet.")
