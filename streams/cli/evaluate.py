"""`evaluate`: what the detectors are worth on labelled data; needs no running monitor and no broker."""

import datetime as dt
import pathlib
import re
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.printing import print_json, say
from streams.refusals import RefusedError

if TYPE_CHECKING:
    from streams.evaluation.handbook import Protocol
    from streams.evaluation.prequential import Progress

UNITS_MS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000}

app = typer.Typer(rich_markup_mode=None)


class Measured(StrEnum):
    """What is counted."""

    stream = "stream"
    handbook = "handbook"


class TimeUnit(StrEnum):
    """Unit of times that are numbers."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"


@app.command(
    epilog="Example: withdrawal-monitor evaluate withdrawals.parquet"
    " --columns time=at,account=customer,destination=address,asset=asset,amount=amount,label=fraud"
)
def evaluate(
    data: Annotated[pathlib.Path, typer.Argument(help="Labelled withdrawals: Parquet, or CSV with a header, plain or gzipped.", show_default=False)],
    columns: Annotated[
        str,
        typer.Option(
            "--columns",
            metavar="MEANING=COLUMN,…",
            help="Needed: time, account, destination, amount, label (0 or 1). Also: asset, device, network, country, api_key, batch, wallet, provider, "
            "amount_base, balance, balance_share, wallet_share, security_age_ms, second_factor.",
            show_default=False,
        ),
    ],
    time_unit: Annotated[TimeUnit | None, typer.Option("--time-unit", help="Unit of times that are numbers; not given: told by their size.")] = None,
    label_delay: Annotated[str, typer.Option("--label-delay", help="How long after its event a label is known: 7d, 12h, 30m, 90s.")] = "7d",
    label_policy: Annotated[
        str, typer.Option("--label-policy", help="Whose labels are ever known: none, all, or alerted, audit, reported:SHARE joined by +.")
    ] = "all",
    alert_share: Annotated[float, typer.Option("--alert-share", min=1e-6, max=0.5, help="Share of events that may alert.")] = 0.005,
    audit_share: Annotated[
        float, typer.Option("--audit-share", min=0, max=1, help="Share of events that people look at, whatever their score.")
    ] = 0.005,
    warm_up: Annotated[str, typer.Option("--warm-up", help="How long after the first event counting begins.")] = "10d",
    protocol: Annotated[Measured, typer.Option("--protocol", help="stream: the whole stream; handbook: its test weeks too.")] = Measured.stream,
    test_from: Annotated[str | None, typer.Option("--test-from", help="handbook: first day of the first test, as 2018-06-06.")] = None,
    test_to: Annotated[str | None, typer.Option("--test-to", help="handbook: last day that may be tested.")] = None,
    test_days: Annotated[int, typer.Option("--test-days", min=1, help="handbook: days of a test.")] = 7,
    known_days: Annotated[
        int,
        typer.Option("--known-days", min=1, help="handbook: cards with a fraud so many days before the labels' delay began, or later, are left out."),
    ] = 7,
    without_run_age: Annotated[bool, typer.Option("--without-run-age", help="The lanes without run age beside; handbook always has them.")] = False,
    hold: Annotated[bool, typer.Option("--hold", help="What alerts teaches nothing, as in mode enforce.")] = False,
    peers: Annotated[bool, typer.Option("--peers", help="river's models beside, on the same inputs and labels; about 1 ms per event.")] = False,
    peer_events: Annotated[int | None, typer.Option("--peer-events", min=1, help="With --peers: the first so many counted events only.")] = None,
    report: Annotated[pathlib.Path | None, typer.Option("--report", help="Directory for pictures and the table (CSV and Markdown).")] = None,
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples of days for the 95 % intervals; 0: none.")] = 200,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of audits, victims' reports, resamples and peers.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Measure the detectors on labelled data: score each event, then learn; labels come late."""
    from streams.evaluation import labelled, study
    from streams.evaluation import report as reporting
    from streams.evaluation.labels import parse_policy
    from streams.evaluation.result import lines

    if peer_events is not None and not peers:
        raise RefusedError("--peer-events goes with --peers only.")
    delay_ms = duration_ms("--label-delay", label_delay)
    options = study.Options(
        policy=parse_policy(label_policy),
        delay_ms=delay_ms,
        warm_up_ms=duration_ms("--warm-up", warm_up),
        alert_share=alert_share,
        audit_share=audit_share,
        hold=hold,
        without_run_age=without_run_age,
        protocol=_protocol(protocol, test_from, test_to, test_days, known_days, delay_ms),
        peers=peers,
        peer_events=peer_events,
        resamples=bootstrap,
        seed=seed,
    )
    if report is not None:
        reporting.prepare(report)
    mapping = labelled.parse_columns(columns)
    read = labelled.read(data, mapping, None if time_unit is None else time_unit.value)
    measured = study.evaluate(read, options, str(data), _shown)
    if report is not None:
        try:
            written = reporting.write(report, measured, read)
        except OSError as error:
            raise RefusedError(f"The report can't be written to {report}: {error.strerror}.") from error
        say(f"Written to {report}: {', '.join(written)}.")
    if as_json:
        print_json(measured.result)
    else:
        for line in lines(measured.result):
            print(line)


def duration_ms(option: str, text: str) -> int:
    """A duration as 7d, 12h, 30m or 90s; RefusedError for anything else."""
    found = re.fullmatch(r"(\d{1,6}(?:\.\d{1,3})?)([dhms])", text)
    if found is None and text != "0":
        raise RefusedError(f"{option}: {text} is no duration; give 7d, 12h, 30m or 90s.")
    return 0 if found is None else round(float(found[1]) * UNITS_MS[found[2]])


def _protocol(measured: Measured, test_from: str | None, test_to: str | None, test_days: int, known_days: int, delay_ms: int) -> "Protocol | None":
    if measured is Measured.stream:
        if test_from is not None or test_to is not None:
            raise RefusedError("--test-from and --test-to go with --protocol handbook only.")
        return None
    from streams.evaluation.handbook import Protocol

    if test_from is None or test_to is None:
        raise RefusedError("--protocol handbook needs --test-from and --test-to.")
    first, last = _day("--test-from", test_from), _day("--test-to", test_to)
    if last < first:
        raise RefusedError(f"--test-to {test_to} is before --test-from {test_from}.")
    return Protocol(first, last, test_days, delay_ms, known_days)


def _day(option: str, text: str) -> int:
    try:
        return (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days
    except ValueError as error:
        raise RefusedError(f"{option}: {text} is no day, as 2018-06-06.") from error


def _shown(what: str) -> "AbstractContextManager[Progress | None]":
    from streams.terminal import shown_share

    return shown_share(what)
