"""`coverage` and `provider`: what the reserve still carries, and what depends on one custodian or system provider."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from streams.cli.given import given
from streams.cli.looking import AsJson, JournalFile, folded, look, say_doubts
from streams.cli.printing import on_terminal, print_json, print_section, print_sentence, say
from streams.refusals import RefusedError
from streams.words import grouped, is_zero, moment, number, spaced, span

if TYPE_CHECKING:
    from monitor.blast_radius import BlastRadius
    from monitor.contracts.outputs import AssetCoverage, Coverage
    from monitor.state import State

app = typer.Typer(rich_markup_mode=None)
GOOD, DOUBTFUL, BAD = "bold green", "bold yellow", "bold red"
SECOND_MS = 1_000
PROVIDERS_NAMED_MAX = 20
NAMES_SHOWN_MAX = 20
STANDINGS = {"registered": "registered", "notified": "notified", "none": "NEITHER REGISTERED NOR NOTIFIED", "unknown": "UNKNOWN TO THE REGISTRY"}


@app.command(epilog="Example: withdrawal-monitor coverage")
def coverage(context: typer.Context, journal: JournalFile = None, as_json: AsJson = False) -> None:
    """Say whether what is marked is covered, how much the reserve can still carry and for how long, and what is at risk."""
    found = look(given(context), journal, ())
    record = found.coverage
    if record is None:
        raise RefusedError("No coverage is published yet: no core has run.")
    if as_json:
        print_json(record)
    else:
        for sentence, style in _answer(record, found.policy.coverage_levels.hot_share_percent):
            print_sentence(sentence, style)
        print_sentence(f"As of {moment(record.decided_at_ms)} UTC.", "" if found.quiet_ms() is None else BAD)
        _tables(record)
    say_doubts(found)


def _answer(record: "Coverage", hot_share_levels: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The answer in sentences, each with its colour."""
    base = record.base_currency
    marked, least = f"{grouped(record.marked_base_amount)} {base}", "at least " if record.at_least else ""
    if not is_zero(record.uncovered_base_amount):
        yield f"NOT COVERED: {least}{grouped(record.uncovered_base_amount)} {base} of {least}{marked} that are marked are carried by no layer.", BAD
    elif record.at_least:
        yield f"NOT KNOWN: at least {marked} are marked, and something marked has no price; what has one is covered.", DOUBTFUL
    elif is_zero(record.marked_base_amount):
        yield "Nothing is marked.", GOOD
    else:
        yield f"COVERED: {marked} are marked, and the reserve carries all of it.", GOOD
    headroom = ", ".join(f"{spaced(cause)} {grouped(amount)} {base}" for cause, amount in record.headroom_base_amount.items())
    yield f"Headroom for one further event of customers' losses: {headroom}.", BAD if record.exhausted else ""
    drain = f"{grouped(record.drain_base_amount_per_minute)} {base} a minute"
    if record.exhausted:
        yield "THE RESERVE IS EXHAUSTED: something is marked, and nothing is available.", BAD
    elif record.seconds_to_exhaustion is None:
        yield "Nothing drains it now.", ""
    else:
        yield f"At the present drain of {drain} it lasts {span(record.seconds_to_exhaustion * SECOND_MS)}.", DOUBTFUL
    yield from _rules(record, hot_share_levels)


def _rules(record: "Coverage", hot_share_levels: tuple[int, ...]) -> Iterator[tuple[str, str]]:
    """The hot share against what may be, and guarantees in kind."""
    limit = min(hot_share_levels, default=None)
    if record.hot_share_percent is None:
        yield "The hot share isn't known: not all balances have been read.", DOUBTFUL
    else:
        above = limit is not None and number(record.hot_share_percent) > limit
        against = "" if limit is None else f", {'ABOVE' if above else 'within'} the {limit} % that may be"
        yield f"{record.hot_share_percent} % of customers' assets are in hot wallets{against}.", BAD if above else ""
    short = [f"{grouped(asset.guarantee_shortfall)} {asset.asset}" for asset in record.assets if not is_zero(asset.guarantee_shortfall)]
    if short:
        yield f"GUARANTEE SHORT (same kind and quantity): {', '.join(short)}.", BAD


def _tables(record: "Coverage") -> None:
    base = record.base_currency
    layers = [
        (
            layer.layer_id, layer.unit, grouped(layer.funded), grouped(layer.recovered), grouped(layer.available), grouped(layer.held), grouped(layer.paid),
            "" if layer.can_carry is None else grouped(layer.can_carry),
        )
        for layer in record.layers
    ]  # fmt: skip
    print_section("layers", ("layer", "unit", "funded", "recovered", "available", "held", "paid", "can still carry"), layers)
    columns = (
        "asset", "marked", f"marked {base}", f"uncovered {base}", "unpriced", "in kind available", "held", "customers'", "of it hot", "guarantee short", "price",
    )  # fmt: skip
    shown = [asset for asset in record.assets if _tells(asset)]
    rows = [
        (
            asset.asset, grouped(asset.marked), grouped(asset.marked_base_amount), grouped(asset.uncovered_base_amount), grouped(asset.unpriced),
            grouped(asset.available), grouped(asset.held), grouped(asset.customers), grouped(asset.customers_hot), grouped(asset.guarantee_shortfall),
            f"{grouped(asset.price)} {asset.price_standing}",
        )
        for asset in shown
    ]  # fmt: skip
    styles = [BAD if not is_zero(asset.uncovered_base_amount) else DOUBTFUL if not is_zero(asset.unpriced) else "" for asset in shown]
    print_section("assets", columns, rows, styles)
    wallets = [
        (
            each.wallet_id,
            each.provider_id or "",
            f"{grouped(each.amount)} {each.asset}",
            grouped(each.base_amount),
            grouped(each.uncovered_base_amount),
        )
        for each in record.hot_wallets
    ]
    styles = ["" if is_zero(each.uncovered_base_amount) else BAD for each in record.hot_wallets]
    print_section("if emptied now", ("hot wallet", "provider", "holds", f"value {base}", f"of it uncovered {base}"), wallets, styles)


def _tells(asset: "AssetCoverage") -> bool:
    """Whether there is anything of it."""
    return not all(is_zero(amount) for amount in (asset.marked, asset.available, asset.held, asset.paid, asset.customers))


@app.command(epilog="Example: withdrawal-monitor provider custody-1 --journal journal.jsonl.gz")
def provider(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Its id, or its name in the registry.", show_default=False)],
    journal: JournalFile = None,
    as_json: AsJson = False,
) -> None:
    """Show what the registry says of a provider, and what depends on it: open withdrawals, wallets, marks, value at risk."""
    from monitor.blast_radius import blast_radius

    state = folded(given(context), journal).state
    radius = blast_radius(state, _provider_id(state, name))
    if radius.standing == "unknown" and not (radius.open_withdrawals or radius.wallets or radius.marks):
        known = ", ".join(list(state.providers)[:PROVIDERS_NAMED_MAX]) or "none"
        raise RefusedError(f"Nothing is known of provider {name}; the registry has {known}.")
    if as_json:
        print_json(radius)
    else:
        _show_radius(radius)


def _provider_id(state: "State", name: str) -> str:
    if name in state.providers:
        return name
    named = [provider_id for provider_id, known in state.providers.items() if known.name.casefold() == name.casefold()]
    if len(named) > 1:
        raise RefusedError(f"{len(named)} providers are named {name}: {', '.join(named)}; give the id.")
    return named[0] if named else name


def _show_radius(radius: "BlastRadius") -> None:
    base, least = radius.base_currency, "at least " if radius.at_least else ""
    called = f"{radius.provider_id}{f', {radius.name}' if radius.name else ''}{f', {spaced(radius.role)}' if radius.role else ''}"
    style = GOOD if radius.standing in {"registered", "notified"} else BAD
    number_told = f", number {radius.number}" if radius.number else ""
    since = f", since {moment(radius.since_ms)} UTC" if radius.since_ms is not None else ""
    print_sentence(f"{called}: {STANDINGS[radius.standing]}{number_told}{since}.", style)
    uncovered = "" if is_zero(radius.uncovered_base_amount) else f", of which NO LAYER carries {grouped(radius.uncovered_base_amount)} {base}"
    print_sentence(
        f"If it is broken into now: {least}{grouped(radius.customers_base_amount)} {base} of customers' assets in its wallets{uncovered} "
        f"(headroom {grouped(radius.headroom_base_amount)} {base}).",
        BAD if uncovered else "",
    )
    opened = ", ".join(f"{grouped(amount)} {asset}" for asset, amount in radius.open_amounts.items()) or "none"
    facts = [
        ("open withdrawals", f"{radius.open_withdrawals:,}, {radius.sent:,} of them sent: {opened}, {grouped(radius.open_base_amount)} {base}"),
        ("hot wallets", f"{grouped(radius.hot_base_amount)} {base}"),
        ("all wallets", f"{grouped(radius.all_base_amount)} {base}"),
        ("marks", f"{radius.marks:,}, {grouped(radius.marked_base_amount)} {base}"),
    ]
    print_section("facts", ("what", "told"), facts)
    wallets = [
        (
            each.wallet_id, each.asset or "", grouped(each.amount), "" if each.base_amount is None else grouped(each.base_amount),
            "hot" if each.hot else "cold", each.owner, "signs" if each.signs else "", "registered" if each.registered else "by its balance",
        )
        for each in radius.wallets
    ]  # fmt: skip
    print_section("wallets", ("wallet", "asset", "amount", f"value {base}", "kept", "owner", "signing", "known by"), wallets)
    _print_names("open", "withdrawal", radius.withdrawal_ids)
    _print_names("marks", "mark", radius.mark_ids)


def _print_names(section: str, column: str, names: Sequence[str]) -> None:
    """A list of ids; on a terminal its beginning."""
    shown = names[:NAMES_SHOWN_MAX] if on_terminal() else names
    print_section(section, (column,), [(name,) for name in shown])
    if len(names) > len(shown):
        say(f"{len(names) - len(shown):,} more are listed with --json.")
