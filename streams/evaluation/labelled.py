"""Labelled observations from columns: what each column means, its units, and one sentence for each value that can't be.

Reads no file itself (`streams.evaluation.columns` does) and scores nothing. Called by `streams.evaluation.study`.
"""

import datetime as dt
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from detectors.contract import NO_ROW, SECOND_FACTORS, Bools, Floats, Ints, Run, observations
from monitor.scoring import SHARE_MAX, digest
from streams.evaluation.columns import Column, read_columns
from streams.refusals import RefusedError

DAY_MS = 86_400_000
REQUIRED = ("time", "account", "destination", "amount", "label")
ROWS = {"account": "account", "destination": "address", "asset": "asset", "wallet": "wallet", "provider": "provider"}
DIGESTS = ("device", "network", "country", "api_key", "batch")
NUMBERS = ("amount_base", "balance", "balance_share", "wallet_share")
MEANINGS = (*REQUIRED, "asset", "wallet", "provider", *DIGESTS, *NUMBERS, "security_age_ms", "second_factor")
AMOUNT_MAX = 1e18
TIME_UNITS_MS = {"s": 1_000.0, "ms": 1.0, "us": 1e-3, "ns": 1e-6}
EARLIEST_MS = 946_684_800_000
"""2000-01-01: before that nobody withdrew by a machine that we could watch."""
LATEST_MS = 4_102_444_800_000
"""2100-01-01."""


class Labelled(NamedTuple):
    """Observations in order of time with what they truly were.

    Attributes
    ----------
    run : structured [n] of OBSERVATION
    frauds : bool [n]
    rows : entities of each kind of KINDS
    notes : what was done to the data, as sentences
    """

    run: Run
    frauds: Bools
    rows: dict[str, int]
    notes: list[str]

    @property
    def times_ms(self) -> Ints:
        """Event times, never falling."""
        times: Ints = self.run["time_ms"]
        return times

    @property
    def days(self) -> Ints:
        """Day of each event, counted from 1970 in UTC."""
        return self.times_ms // DAY_MS


def parse_columns(text: str) -> dict[str, str]:
    """`time=ts,account=customer,…` as a mapping from meaning to column; RefusedError if it is none or lacks a meaning that is needed."""
    mapping: dict[str, str] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        meaning, equals, column = item.partition("=")
        if not equals or not column:
            raise RefusedError(f"--columns: {item} isn't MEANING=COLUMN, as time=ts.")
        if meaning not in MEANINGS:
            raise RefusedError(f"--columns: nothing is called {meaning}; these are known: {', '.join(MEANINGS)}.")
        if meaning in mapping:
            raise RefusedError(f"--columns: {meaning} is given twice.")
        mapping[meaning] = column
    lacking = [meaning for meaning in REQUIRED if meaning not in mapping]
    if lacking:
        raise RefusedError(f"--columns lacks {', '.join(lacking)}: {', '.join(REQUIRED)} are needed.")
    if "balance" in mapping and "balance_share" in mapping:
        raise RefusedError("--columns: give either balance or balance_share.")
    return mapping


def read(path: pathlib.Path, mapping: Mapping[str, str], time_unit: str | None = None) -> Labelled:
    """Labelled observations of a file, sorted by time (those of one moment in the file's order); RefusedError names the row of what can't be."""
    found = read_columns(path, list(mapping.values()))
    columns = {meaning: found[name] for meaning, name in mapping.items()}
    for meaning in (*REQUIRED, "asset"):
        if meaning in columns:
            _refuse(columns[meaning], columns[meaning].missing, f"has no {meaning}")
    times = _times(columns["time"], time_unit)
    amounts, notes = _amounts(columns["amount"])
    frauds = _labels(columns["label"])
    order = np.argsort(times, kind="stable")
    if np.any(times[1:] < times[:-1]):
        notes.append("The file isn't in order of time; its rows were sorted.")
    run = observations(len(order), time_ms=times, amount=amounts, amount_base=amounts)
    rows = {"asset": 1}
    for meaning, kind in ROWS.items():
        if meaning in columns:
            run[kind], rows[kind] = _numbered(columns[meaning])
    for meaning in set(DIGESTS) & set(columns):
        run[meaning] = _digests(columns[meaning])
    _numbers(run, columns)
    if rows["asset"] > 1 and "amount_base" not in columns:
        notes.append(f"Amounts are taken as of one currency across the {rows['asset']} assets; if they aren't, give amount_base.")
    return Labelled(run[order], frauds[order], rows, notes)


def _refuse(column: Column, bad: Bools, what: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        value = "" if column.missing[row] else f": {str(column.values[row])[:40]!r}"
        raise RefusedError(f"Row {row + 1} {what} (column {column.name}){value}.")


def _floats(column: Column, what: str) -> Floats:
    """The column as float64; text that is no number, NaN and infinities are refused. 0 where missing."""
    values = column.values
    article = "an" if what[0] in "aeiou" else "a"
    if values.dtype.kind == "M":
        raise RefusedError(f"The column {column.name} holds times: {what} needs numbers.")
    if values.dtype == object:
        values = np.where(column.missing, "0", values)
    try:
        numbers = values.astype(np.float64)
    except ValueError:
        _refuse(column, np.array([not _is_number(text) for text in values.tolist()]), f"has {article} {what} that is no number")
        raise
    _refuse(column, ~np.isfinite(numbers) & ~column.missing, f"has {article} {what} that isn't finite")
    return np.asarray(numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _amounts(column: Column) -> tuple[Floats, list[str]]:
    amounts = _floats(column, "amount")
    _refuse(column, amounts < 0.0, "has a negative amount")
    _refuse(column, amounts > AMOUNT_MAX, f"has an absurd amount, above {AMOUNT_MAX:g}")
    nothing = amounts == 0.0
    if not nothing.any():
        return amounts, []
    if nothing.all():
        raise RefusedError(f"All amounts are 0 (column {column.name}).")
    least = float(amounts[~nothing].min()) / 2.0
    return np.where(nothing, least, amounts), [f"{int(nothing.sum()):,} amounts of 0 were taken as {least:g}, half of the smallest."]


def _labels(column: Column) -> Bools:
    values = column.values
    if values.dtype == object:
        words = {"0": 0.0, "1": 1.0, "false": 0.0, "true": 1.0}
        numbers = np.array([words.get(text.lower(), float(text) if _is_number(text) else -1.0) for text in values.tolist()])
    elif values.dtype.kind == "M":
        raise RefusedError(f"The column {column.name} holds times: a label is 0 or 1.")
    else:
        numbers = values.astype(np.float64)
    _refuse(column, ~np.isin(numbers, (0.0, 1.0)), "has a label that isn't 0 or 1")
    return np.asarray(numbers == 1.0)


def _times(column: Column, unit: str | None) -> Ints:
    values = column.values
    if values.dtype.kind == "M":
        times: Ints = values.astype("datetime64[ms]").astype(np.int64)
        return _in_time(column, times, EARLIEST_MS)
    if values.dtype == object and unit is None and not _is_number(str(values[0])):
        return _in_time(column, _from_text(column), EARLIEST_MS)
    numbers = _floats(column, "time")
    _refuse(column, numbers < 0.0, "has a negative time")
    if unit is not None:
        return _in_time(column, np.rint(numbers * TIME_UNITS_MS[unit]).astype(np.int64), 0)
    largest = float(numbers.max())
    # Seconds since 1970 stay below 1e11 for 3,000 years, milliseconds below 1e14: a column's largest time tells its unit.
    unit = next((name for name, limit in (("s", 1e11), ("ms", 1e14), ("us", 1e17)) if largest < limit), "ns")
    return _in_time(
        column, np.rint(numbers * TIME_UNITS_MS[unit]).astype(np.int64), EARLIEST_MS, f" if its numbers are in {unit}; --time-unit says otherwise"
    )


def _in_time(column: Column, times: Ints, earliest_ms: int, hint: str = "") -> Ints:
    out = (times < earliest_ms) | (times >= LATEST_MS)
    years = f"{dt.datetime.fromtimestamp(earliest_ms / 1_000, dt.UTC).year} to 2099"
    _refuse(column, out, f"has an absurd time, outside {years}{hint}")
    return times


def _from_text(column: Column) -> Ints:
    times = np.empty(len(column.values), np.int64)
    bad = np.zeros(len(times), np.bool_)
    for row, text in enumerate(column.values.tolist()):
        try:
            moment = dt.datetime.fromisoformat(text)
        except ValueError:
            bad[row] = True
            continue
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=dt.UTC)
        times[row] = (moment - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    _refuse(column, bad, "has a time that is neither a number nor ISO 8601")
    return times


def _names(column: Column) -> list[str | None]:
    """Each value as text, None where missing: 7 and "7" are one name, so that CSV and Parquet agree."""
    values = column.values
    if values.dtype.kind == "f":
        whole = np.all(column.missing | (values == np.rint(values)))  # numbers that lost their type to a missing one
        values = values.astype(np.int64) if whole else values
    return [None if gone else str(value) for value, gone in zip(values.tolist(), column.missing.tolist(), strict=True)]


def _numbered(column: Column) -> tuple[Ints, int]:
    """A row for each name, in the order in which they come up, and how many there are."""
    names = _names(column)
    table: dict[str, int] = {}
    for name in names:
        if name is not None:
            table.setdefault(name, len(table))
    return np.array([NO_ROW if name is None else table[name] for name in names], np.int64), len(table)


def _digests(column: Column) -> Ints:
    names = _names(column)
    known = {name: digest(name) for name in set(names)}
    return np.array([known[name] for name in names], np.int64)


def _numbers(run: Run, columns: Mapping[str, Column]) -> None:
    """Optional numbers; where they are missing they stay unknown."""
    for meaning in set(NUMBERS) & set(columns):
        column = columns[meaning]
        numbers = _floats(column, meaning)
        _refuse(column, (numbers < 0.0) & ~column.missing, f"has a negative {meaning}")
        if meaning == "amount_base":
            _refuse(column, (numbers > AMOUNT_MAX) & ~column.missing, f"has an absurd amount_base, above {AMOUNT_MAX:g}")
            numbers = np.where(numbers > 0.0, numbers, np.nan)  # 0: worth nothing that could be told
        target = "balance_share" if meaning == "balance" else meaning
        if meaning == "balance":
            numbers = np.divide(run["amount"], numbers, out=np.full(len(numbers), SHARE_MAX), where=numbers > 0.0)
        shares = numbers if meaning == "amount_base" else np.minimum(numbers, SHARE_MAX)
        run[target] = np.where(column.missing, np.nan, shares)
    if "security_age_ms" in columns:
        column = columns["security_age_ms"]
        ages = _floats(column, "security_age_ms")
        _refuse(column, ((ages < -1.0) | (ages > LATEST_MS)) & ~column.missing, "has an absurd security_age_ms")
        run["security_age_ms"] = np.where(column.missing, -1, ages.astype(np.int64))
    if "second_factor" in columns:
        column = columns["second_factor"]
        names = [name or SECOND_FACTORS[0] for name in _names(column)]
        unknown = np.array([name not in SECOND_FACTORS for name in names])
        _refuse(column, unknown, f"has a second_factor that is none of {', '.join(SECOND_FACTORS)}")
        run["second_factor"] = [SECOND_FACTORS.index(name) for name in names]
