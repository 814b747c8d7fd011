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
    from streams.evaluation.labelled import Labelled
    from streams.evaluation.prequential import Progress
    from streams.evaluation.study import Study

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


DataFile = Annotated[pathlib.Path, typer.Argument(help="Labelled withdrawals: Parquet, or CSV with a header, plain or gzipped.", show_default=False)]
Columns = Annotated[
    str,
    typer.Option(
        "--columns",
        metavar="MEANING=COLUMN,…",
        help="Needed: time, account, destination, amount, label (0 or 1). Also: asset, amount_base (the amount in one currency, else amounts are taken to "
        "be in one), device, network, country, api_key, batch, wallet, provider, balance, balance_share, wallet_share, security_age_ms, second_factor.",
        show_default=False,
    ),
]
Unit = Annotated[TimeUnit | None, typer.Option("--time-unit", help="Unit of times that are numbers; not given: told by their size.")]
Delay = Annotated[str, typer.Option("--label-delay", help="How long after its event a label is known: 7d, 12h, 30m, 90s.")]
Policy = Annotated[str, typer.Option("--label-policy", help="Whose labels are ever known: none, all, or alerted, audit, reported:SHARE joined by +.")]
Alert = Annotated[float, typer.Option("--alert-share", min=1e-6, max=0.5, help="Share of events that may alert.")]
Audit = Annotated[float, typer.Option("--audit-share", min=0, max=1, help="Share of events that people look at, whatever their score.")]
WarmUp = Annotated[str, typer.Option("--warm-up", help="How long after the first event counting begins.")]
Protocols = Annotated[Measured, typer.Option("--protocol", help="stream: the whole stream; handbook: its test weeks too.")]
From = Annotated[str | None, typer.Option("--test-from", help="handbook: first day of the first test, as 2018-06-06.")]
To = Annotated[str | None, typer.Option("--test-to", help="handbook: last day that may be tested.")]
Days = Annotated[int, typer.Option("--test-days", min=1, help="handbook: days of a test.")]
Known = Annotated[
    int, typer.Option("--known-days", min=1, help="handbook: a card is left out for a fraud so many days and the delay before its test, or later.")
]
WithoutRunAge = Annotated[bool, typer.Option("--without-run-age", help="The lanes without run age beside; handbook always has them.")]
Hold = Annotated[bool, typer.Option("--hold", help="What alerts teaches nothing, as in mode enforce.")]
WithPeers = Annotated[bool, typer.Option("--peers", help="river's models beside, on the same inputs and labels; about 1 ms per event.")]
PeerEvents = Annotated[int | None, typer.Option("--peer-events", min=1, help="With --peers: the first so many counted events only.")]
Report = Annotated[pathlib.Path | None, typer.Option("--report", help="Directory for pictures and the table (CSV and Markdown).")]
Bootstrap = Annotated[int, typer.Option("--bootstrap", min=0, help="Resamples of days for the 95 % intervals; 0: none.")]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Of audits, victims' reports, resamples and peers.")]


@app.command(
    epilog="Example: withdrawal-monitor evaluate withdrawals.parquet"
    " --columns time=at,account=customer,destination=address,asset=asset,amount=amount,label=fraud"
)
def evaluate(
    data: DataFile,
    columns: Columns,
    time_unit: Unit = None,
    label_delay: Delay = "7d",
    label_policy: Policy = "all",
    alert_share: Alert = 0.005,
    audit_share: Audit = 0.005,
    warm_up: WarmUp = "10d",
    protocol: Protocols = Measured.stream,
    test_from: From = None,
    test_to: To = None,
    test_days: Days = 7,
    known_days: Known = 7,
    without_run_age: WithoutRunAge = False,
    hold: Hold = False,
    peers: WithPeers = False,
    peer_events: PeerEvents = None,
    report: Report = None,
    bootstrap: Bootstrap = 200,
    seed: Seed = 1,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON.")] = False,
) -> None:
    """Measure the detectors on labelled data: score each event, then learn; labels come late."""
    from streams.evaluation import labelled, study
    from streams.evaluation.labels import parse_policy

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
    mapping = labelled.parse_columns(columns)
    if report is not None:
        from streams.evaluation.report import prepare

        prepare(report)
    read = labelled.read(data, mapping, None if time_unit is None else time_unit.value)
    _show(study.evaluate(read, options, str(data), _shown), read, report, as_json=as_json)


def _show(measured: "Study", read: "Labelled", report: pathlib.Path | None, *, as_json: bool) -> None:
    from streams.evaluation.result import as_data, lines

    if report is not None:
        from streams.evaluation.report import write

        try:
            written = write(report, measured, read)
        except OSError as error:
            raise RefusedError(f"The report can't be written to {report}: {error.strerror}.") from error
        say(f"Written to {report}: {', '.join(written)}.")
    if as_json:
        print_json(as_data(measured.result))
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
