"""Incidents as data: TOML files of phases, found by id or by path, read, and checked against the simulated exchange.

`phases` has the format, `play` turns it into records. Called by `simulate`, the demo, `scenario run` and the tests; reads files, nothing else.
"""

import datetime as dt
import itertools
import re
import tomllib
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from monitor.money import parse_amount, parse_price
from monitor.price_rules import parse_rule
from monitor.reasons import Reason
from streams.simulation.phases import (
    Aftermath,
    BalancePhase,
    OutflowPhase,
    Phase,
    Played,
    PostingsPhase,
    PricePhase,
    RedirectPhase,
    ReplayPhase,
    Scenario,
    TransferPhase,
    TreasuryPhase,
    WithdrawalsPhase,
)  # fmt: skip
from streams.simulation.world import ASSETS, PROVIDERS, WALLETS

FILE_BYTES_MAX = 1_000_000
PLAYED_SECONDS_MAX = 10 * 86_400.0
"""From the first to the last phase that makes records: longer quiet stretches must be shortened in the file."""

_ASSETS = {row.asset: row for row in ASSETS}
_WALLETS = {row.wallet_id: row for row in WALLETS}
_PROVIDERS = {row.provider_id for row in PROVIDERS}
STEPS = ("approved_after_seconds", "signed_after_seconds", "broadcast_after_seconds", "seen_after_seconds")
_HOT = {row.asset for row in WALLETS if row.temperature == "hot"}
_place = re.compile(r"^(.*?)(?: - at `\$(.*)`)?$", re.DOTALL)
_indices = re.compile(r"^\.(phases|facts)\[(\d+)\](?:\.(\w+))?")


class ScenarioRefusedError(Exception):
    """The scenario can't be read; the message is one sentence for people."""


def names() -> list[str]:
    """Ids of the scenarios that come with the package."""
    return sorted(
        path.name.removesuffix(".toml") for path in resources.files(__package__).joinpath("scenarios").iterdir() if path.name.endswith(".toml")
    )


def load(name: str) -> Scenario:
    """The scenario of that id, or of that TOML file; raises ScenarioRefusedError with a sentence that names file, phase and field."""
    try:
        file = resources.files(__package__).joinpath("scenarios", f"{name}.toml") if name in names() else Path(name)
        content = file.read_bytes()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ScenarioRefusedError(f"No scenario '{name}': neither one of {', '.join(names())} nor a readable file ({why}).") from error
    return read(content, name)


def read(content: bytes, name: str) -> Scenario:
    """The scenario that a file's bytes tell; `name` is the file's, for the sentence of the ScenarioRefusedError."""
    if not content.strip():
        raise ScenarioRefusedError(f"Scenario '{name}' is empty.")
    if len(content) > FILE_BYTES_MAX:
        raise ScenarioRefusedError(f"Scenario '{name}' has {len(content):,} bytes; at most {FILE_BYTES_MAX:,} are read.")
    try:
        told = tomllib.loads(content.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise ScenarioRefusedError(f"Scenario '{name}' can't be read: it is no TOML ({error}).") from error
    try:
        scenario = msgspec.convert(told, Scenario)
    except (msgspec.ValidationError, RecursionError, OverflowError) as error:
        raise ScenarioRefusedError(f"Scenario '{name}': {_located(str(error), told)}.") from error
    for wrong in _wrongs(scenario):
        raise ScenarioRefusedError(f"Scenario '{name}': {wrong}.")
    return scenario


def _located(message: str, told: dict[str, Any]) -> str:
    """The library's message with the phase's name and the field in place of its path."""
    match = _place.match(message)
    text, path = (match[1], match[2] or "") if match is not None else (message, "")
    text = text.replace("`", "'").rstrip(".")
    text = text[:1].lower() + text[1:]
    place = _indices.match(path)
    if place is None:
        return f"{text}{f', in field {path[1:]}' if path else ''}"
    kind, number, field = place[1], int(place[2]), place[3]
    rows = told.get(kind)
    row = rows[number] if isinstance(rows, list) else None
    called = row.get("name") if isinstance(row, dict) else None
    which = f"{kind.removesuffix('s')} {number + 1}" + (f" ('{called}')" if isinstance(called, str) else "")
    return f"{which}{f', field {field}' if field else ''}: {text}"


def _wrongs(scenario: Scenario) -> Iterator[str]:
    """What types alone don't refuse, the first thing first."""
    if not scenario.phases:
        yield "it has no phase"
    yield from _wrong_facts(scenario)
    if scenario.aftermath is not None:
        yield from _wrong_aftermath(scenario.aftermath)
    for number, phase in enumerate(scenario.phases, start=1):
        for field, wrong in _phase_wrongs(phase):
            yield f"phase {number} ('{phase.name}'), field {field}: {wrong}"
    played = scenario.played
    if not played:
        yield "no phase makes a record: all are notices"
    seconds = max(end_seconds(phase) for phase in played) - min(phase.at_seconds for phase in played)
    if seconds > PLAYED_SECONDS_MAX:
        yield f"its phases span {seconds:,.0f} s, more than {PLAYED_SECONDS_MAX:,.0f}: shorten quiet stretches and keep the true time in original_seconds"


def _wrong_facts(scenario: Scenario) -> Iterator[str]:
    if scenario.date:
        try:
            dt.date.fromisoformat(scenario.date)
        except ValueError:
            yield f"field date: '{scenario.date}' is no date, as 2024-05-31"
    loss = scenario.loss
    for number, lost in enumerate(() if loss is None else loss.assets, start=1):
        for field, wrong in _wrong_amounts(lost.asset, {"amount": lost.amount}):
            yield f"loss, asset {number}, field {field}: {wrong}"
    for field in ("base_amount", "customer_base_amount", "own_base_amount", "usd", "krw"):
        told = getattr(loss, field, None)
        if told is not None and not isinstance(parse_amount(told, 0), int):
            yield f"loss, field {field}: '{told}' is no whole amount"


def _wrong_aftermath(aftermath: Aftermath) -> Iterator[str]:
    rule = parse_rule(aftermath.price_rule)
    if isinstance(rule, str):
        yield f"aftermath, field price_rule: {rule}"
    for number, back in enumerate(aftermath.recovered, start=1):
        if back.amount is None:
            yield f"aftermath, recovered {number}: it must say how much came back"
        for field, wrong in _wrong_amounts(back.asset, {"amount": back.amount}):
            yield f"aftermath, recovered {number}, field {field}: {wrong}"


def end_seconds(phase: Phase) -> float:
    """When a phase's own doing is over."""
    for field in ("over_seconds", "for_seconds"):
        if hasattr(phase, field):
            return phase.at_seconds + float(getattr(phase, field))
    return phase.at_seconds


def _phase_wrongs(phase: Phase) -> Iterator[tuple[str, str]]:
    """Field and what is wrong with it, for every phase alike and then for its kind."""
    for field in ("wallet_id", "to_wallet_id"):
        wallet_id = getattr(phase, field, None)
        if wallet_id is not None and wallet_id not in _WALLETS:
            yield field, f"the simulated exchange has no wallet '{wallet_id}'; it has {', '.join(_WALLETS)}"
            return
    asset = asset_of(phase)
    if asset is not None and asset not in _ASSETS:
        yield "asset", f"the simulated exchange has no asset '{asset}'; it has {', '.join(_ASSETS)}"
        return
    wallet_id = getattr(phase, "wallet_id", None)
    if asset is not None and wallet_id is not None and _WALLETS[wallet_id].asset != asset:
        yield "wallet_id", f"wallet '{wallet_id}' holds {_WALLETS[wallet_id].asset}, not {asset}"
        return
    if isinstance(phase, BalancePhase | TransferPhase | WithdrawalsPhase | OutflowPhase | PostingsPhase | TreasuryPhase) and asset is not None:
        told = {field: getattr(phase, field, None) for field in ("amount", "total", "paid_amount", "test_amount")}
        yield from _wrong_amounts(asset, told, zero=isinstance(phase, BalancePhase))
    judge = _WRONG_OF_KIND.get(type(phase))
    if judge is not None:
        yield from judge(phase)


def asset_of(phase: Played) -> str | None:
    """The asset that a phase is about, its own or its wallet's."""
    asset = getattr(phase, "asset", None)
    if asset is None and isinstance(phase, BalancePhase | OutflowPhase | TreasuryPhase):
        asset = _WALLETS[phase.wallet_id].asset
    return asset


def _wrong_amounts(asset: str, told: dict[str, str | None], *, zero: bool = False) -> Iterator[tuple[str, str]]:
    if asset not in _ASSETS:
        yield "asset", f"the simulated exchange has no asset '{asset}'; it has {', '.join(_ASSETS)}"
        return
    for field, amount in told.items():
        if amount is None:
            continue
        minor = parse_amount(amount, _ASSETS[asset].decimals)
        if isinstance(minor, Reason) or (minor == 0 and not zero):
            yield field, f"'{amount}' is no amount of {asset} above zero with at most {_ASSETS[asset].decimals} decimals"


def _wrong_price(phase: PricePhase) -> Iterator[tuple[str, str]]:
    if isinstance(parse_price(phase.price), Reason):
        yield "price", f"'{phase.price}' is no price above zero with at most 18 decimals"


def _wrong_outflow(phase: OutflowPhase) -> Iterator[tuple[str, str]]:
    yield from _one_of(phase, ("amount", "total"))
    if phase.to and phase.addresses not in {1, len(phase.to)}:
        yield "addresses", f"{phase.addresses} addresses, but {len(phase.to)} are listed in to"


def _wrong_treasury(phase: TreasuryPhase) -> Iterator[tuple[str, str]]:
    yield from _one_of(phase, ("amount", "total"))
    if _WALLETS[phase.wallet_id].asset != _WALLETS[phase.to_wallet_id].asset or phase.wallet_id == phase.to_wallet_id:
        yield "to_wallet_id", f"'{phase.to_wallet_id}' must be another wallet of {_WALLETS[phase.wallet_id].asset}"


def _wrong_redirect(phase: RedirectPhase) -> Iterator[tuple[str, str]]:
    if phase.provider_id not in _PROVIDERS:
        yield "provider_id", f"the simulated exchange has no provider '{phase.provider_id}'; it has {', '.join(sorted(_PROVIDERS))}"


def _wrong_replay(phase: ReplayPhase) -> Iterator[tuple[str, str]]:
    if phase.asset not in _HOT:
        yield "asset", f"no hot wallet pays out {phase.asset}"
    yield from _out_of_order(phase, STEPS)


def _one_of(phase: Phase, fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    given = [field for field in fields if getattr(phase, field) is not None]
    if len(given) != 1:
        yield " or ".join(fields), f"exactly one of them must be given, not {' and '.join(given) or 'none'}"


def _wrong_transfer(phase: TransferPhase) -> Iterator[tuple[str, str]]:
    if phase.to is not None and phase.to_wallet_id is not None:
        yield "to", "give either to or to_wallet_id"
    if phase.to_wallet_id is not None and _WALLETS[phase.to_wallet_id].asset != phase.asset:
        yield "to_wallet_id", f"wallet '{phase.to_wallet_id}' holds {_WALLETS[phase.to_wallet_id].asset}, not {phase.asset}"
    yield from _out_of_order(phase, STEPS)
    if phase.second_broadcast_after_seconds is None and phase.retry_after_seconds is not None:
        yield "retry_after_seconds", "a retry goes with second_broadcast_after_seconds"
    if phase.second_broadcast_after_seconds is not None:
        if phase.second_broadcast_after_seconds <= phase.broadcast_after_seconds:
            yield "second_broadcast_after_seconds", "it must come after the first broadcast"
        retry = phase.retry_after_seconds
        if retry is not None and not phase.broadcast_after_seconds < retry < phase.second_broadcast_after_seconds:
            yield "retry_after_seconds", "it must lie between the two broadcasts"


def _wrong_withdrawals(phase: WithdrawalsPhase) -> Iterator[tuple[str, str]]:
    yield from _one_of(phase, ("amount", "total", "share_of_balance", "wallet_quantile"))
    if phase.wallet_id is None and phase.asset not in _HOT:
        yield "wallet_id", f"no hot wallet pays out {phase.asset}: name one"
    if phase.accounts == "new" and phase.share_of_balance is not None:
        yield "share_of_balance", "new accounts have no balance: give amount or total"
    if phase.destinations == "known" and (phase.addresses or phase.accounts == "new"):
        yield "destinations", "known addresses are those of existing accounts, each its own"
    yield from _out_of_order(phase, STEPS)


def _out_of_order(phase: Phase, fields: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for before, after in itertools.pairwise(fields):
        if getattr(phase, after) < getattr(phase, before):
            yield after, f"it lies before {before}"


_WRONG_OF_KIND: dict[type, Callable[[Any], Iterator[tuple[str, str]]]] = {
    PricePhase: _wrong_price,
    TransferPhase: _wrong_transfer,
    WithdrawalsPhase: _wrong_withdrawals,
    OutflowPhase: _wrong_outflow,
    PostingsPhase: lambda phase: _one_of(phase, ("amount", "total")),
    TreasuryPhase: _wrong_treasury,
    RedirectPhase: _wrong_redirect,
    ReplayPhase: _wrong_replay,
}
