"""`compensation`, `sign-off` and `incident-report`: whom to pay back, who has agreed to it, and what a supervisor is told."""

import pathlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.given import given
from streams.cli.keeping import keep
from streams.cli.looking import JournalFile, say_left_out
from streams.cli.printing import say
from streams.refusals import RefusedError
from streams.words import grouped

if TYPE_CHECKING:
    from streams.dossier import Folded

app = typer.Typer(rich_markup_mode=None)

NOT_SIGNED = 1

Incident = Annotated[str, typer.Argument(metavar="INCIDENT", help="Id of the incident.", show_default=False)]
Out = Annotated[pathlib.Path, typer.Option("--out", help="Directory for the files; it is made.", show_default=False)]


@app.command(epilog="Example: withdrawal-monitor compensation incident-812-0 --price-rule fixed:XEM=88.549 --out paid --journal journal.jsonl.gz")
def compensation(
    context: typer.Context,
    incident: Incident,
    price_rule: Annotated[
        str,
        typer.Option("--price-rule", metavar="RULE", help="loss-time, fixed:PRICE, fixed:ASSET=PRICE,…, or average:FROM..TO.", show_default=False),
    ],
    out: Out,
    journal: JournalFile = None,
    pooled_account: Annotated[
        list[str] | None,
        typer.Option(
            "--pooled-account", metavar="ACCOUNT", help="An account of the exchange's own desk: what it lost, all customers lost. Repeatable."
        ),
    ] = None,
    signed_by: Annotated[
        list[pathlib.Path] | None, typer.Option("--signed-by", metavar="FILE", help="A file of `sign-off`; two persons' are needed. Repeatable.")
    ] = None,
) -> None:
    """Write whom to pay back what for one incident, with evidence, and the incident's report; a draft until two persons have signed."""
    from monitor.price_rules import parse_rule
    from streams import compensation_files, incident_report
    from streams.compensation import compensation as computed

    rule = parse_rule(price_rule)
    if isinstance(rule, str):
        raise RefusedError(f"{rule}.")
    sign_offs = compensation_files.sign_offs_of(signed_by or [])
    with _folded(context, journal) as folded:
        statement = computed(folded, incident, rule, pooled_account or ())
        made = compensation_files.made(statement, sign_offs, folded.engine.state.policy)
        compensation_files.write(out, [*compensation_files.files(made), *incident_report.files(folded, incident, made)])
    totals = made.statement.totals
    currency = made.statement.base_currency
    parts = (totals.customers_base_amount, totals.own_base_amount, totals.not_attributed_base_amount)
    customers, own, rest = (f"{grouped(amount)} {currency}" for amount in parts)
    say(f"{made.status}: {customers} to {totals.customers:,} customer(s), {own} own, {rest} not attributed; in {out}.")
    if made.draft:
        say(f"It is a draft: {made.lacks}.")


@app.command(epilog="Example: withdrawal-monitor sign-off paid/compensation.json --actor lea --key-file lea.key --out lea.json")
def sign_off(
    context: typer.Context,
    file: Annotated[pathlib.Path, typer.Argument(metavar="FILE", help="A compensation.json.", show_default=False)],
    actor: Annotated[str, typer.Option("--actor", help="Your name in policy.actors.", show_default=False)],
    key_file: Annotated[str, typer.Option("--key-file", help="Your private key: a file that others can't read, or env:NAME.", show_default=False)],
    out: Annotated[pathlib.Path, typer.Option("--out", help="File for your signature.", show_default=False)],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask on a terminal.")] = False,
) -> None:
    """Show what a compensation file pays, to whom and at which price, and sign it: one changed unit makes the signature worthless."""
    from streams.compensation_files import signed, unattributed
    from streams.signing_keys import own_key
    from streams.to_sign import shown, to_sign

    read = to_sign(file)
    statement, incident_id, statement_sha256 = read.statement, read.statement.incident_id, read.sha256
    for what, told in shown(read):
        say(f"  {what}: {told}")
    if statement.not_attributed:
        say(unattributed(statement))
    if not yes and sys.stdin.isatty() and not typer.confirm(f"{actor}: sign it?", err=True):
        say("Nothing was signed.")
        raise typer.Exit(NOT_SIGNED)
    content = signed(incident_id, statement_sha256, actor, own_key(key_file, given(context).secrets))
    try:
        out.write_bytes(content)
    except OSError as error:
        raise RefusedError(f"The file {out} can't be written: {error.strerror}.") from error
    say(f"Signed by {actor}: incident {incident_id}, statement {statement_sha256}.")


@app.command(epilog="Example: withdrawal-monitor incident-report incident-812-0 --out report --journal journal.jsonl.gz")
def incident_report(context: typer.Context, incident: Incident, out: Out, journal: JournalFile = None) -> None:
    """Write the report on one incident for a supervisor, as Markdown and printable HTML, before anything is known of compensation."""
    from streams import compensation_files
    from streams.incident_report import files

    with _folded(context, journal) as folded:
        compensation_files.write(out, files(folded, incident, None))
    say(f"Report on incident {incident} in {out}.")


@contextmanager
def _folded(context: typer.Context, journal: pathlib.Path | None) -> Iterator["Folded"]:
    """The journal, folded; Kafka's is copied to a file first, so that it can be read again as it was. Raises RefusedError."""
    import tempfile

    from streams.dossier import fold_journal
    from streams.journal_file import write_journal
    from streams.replay_lines import FileRefusedError
    from streams.terminal import shown_count

    chosen = given(context)
    with tempfile.TemporaryDirectory() as folder:
        if journal is None:
            journal = pathlib.Path(folder) / "journal.jsonl.gz"
            keep(chosen, journal, write_journal)
        try:
            with shown_count("folded") as progress:
                folded = fold_journal(journal, chosen.settings, progress)
            say_left_out(folded.left_out)
            yield folded
        except FileRefusedError as error:
            raise RefusedError(str(error)) from error
