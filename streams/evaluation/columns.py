"""Columns of a Parquet or CSV file as arrays, with what is missing in them; gzip is taken off.

Knows no meaning of a column: `streams.evaluation.labelled` does. What can't be read is refused with one sentence.
"""

import csv
import gzip
import pathlib
import zlib
from collections.abc import Iterable, Sequence
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from detectors.contract import Bools
from streams.refusals import RefusedError

PARQUET = b"PAR1"
GZIP = b"\x1f\x8b"
INSTALL_STUDY = "install withdrawal-monitor[study], which has it"


class Column(NamedTuple):
    """Values of one column: int64, float64, bool, datetime64[ms] or text (object, str). Where `missing` is set the value means nothing."""

    name: str
    values: npt.NDArray[Any]
    missing: Bools


def read_columns(path: pathlib.Path, names: Sequence[str]) -> dict[str, Column]:
    """The named columns of a file, each once. RefusedError says what is wrong with the file, or which columns it has."""
    try:
        with path.open("rb") as file:
            head = file.read(4)
    except OSError as error:
        raise RefusedError(f"The file {path} can't be read: {error.strerror}.") from error
    if not head:
        raise RefusedError(f"The file {path} is empty.")
    if head == PARQUET:
        return _of_parquet(path, names)
    if path.suffix in {".parquet", ".pq"}:
        raise RefusedError(f"The file {path} isn't Parquet: it doesn't begin as such a file does.")
    return _of_csv(path, names, gzipped=head.startswith(GZIP))


def _check_names(path: pathlib.Path, names: Iterable[str], existing: Sequence[str]) -> None:
    lacking = sorted(set(names) - set(existing))
    if lacking:
        raise RefusedError(f"The file {path} has no column {', '.join(lacking)}; it has {', '.join(existing)}.")
    twice = sorted(name for name in set(names) if existing.count(name) > 1)
    if twice:
        raise RefusedError(f"The file {path} has more than one column {', '.join(twice)}.")


def _of_parquet(path: pathlib.Path, names: Sequence[str]) -> dict[str, Column]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise RefusedError(f"Parquet needs pyarrow: {INSTALL_STUDY}.") from error
    try:
        with parquet.ParquetFile(path) as file:
            _check_names(path, names, file.schema_arrow.names)
            table = file.read(columns=sorted(set(names)))
        if table.num_rows == 0:
            raise RefusedError(f"The file {path} has columns but no row.")
        return {name: _from_arrow(path, name, table[name]) for name in set(names)}
    except (pa.ArrowException, OSError) as error:
        raise RefusedError(f"The file {path} isn't a whole Parquet file: {_first_line(error)}.") from error


def _from_arrow(path: pathlib.Path, name: str, column: Any) -> Column:
    import pyarrow as pa
    import pyarrow.compute as pc

    missing = np.asarray(column.is_null().to_numpy(), np.bool_)
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        wanted, blank = pa.timestamp("ms"), 0
        if pa.types.is_timestamp(kind) and kind.tz is not None:
            column = column.cast(pa.timestamp(kind.unit))  # the moment in UTC
        return Column(name, pc.fill_null(column.cast(wanted, safe=False), pa.scalar(blank, wanted)).to_numpy(), missing)
    if pa.types.is_boolean(kind):
        return Column(name, np.asarray(pc.fill_null(column.cast(pa.int8()), 0).to_numpy(), np.bool_), missing)
    if pa.types.is_integer(kind) and kind != pa.uint64():
        return Column(name, pc.fill_null(column.cast(pa.int64()), 0).to_numpy(), missing)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind) or pa.types.is_integer(kind):
        return Column(name, pc.fill_null(column.cast(pa.float64(), safe=False), 0.0).to_numpy(), missing)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Column(name, pc.fill_null(column, "").to_numpy(), missing)
    if pa.types.is_null(kind):
        return Column(name, np.full(len(column), "", object), missing)
    raise RefusedError(f"The column {name} of {path} is of type {kind}: numbers, text, booleans and times can be used.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _of_csv(path: pathlib.Path, names: Sequence[str], *, gzipped: bool) -> dict[str, Column]:
    try:
        with _text(path, gzipped=gzipped) as file:
            lines = csv.reader(file, strict=True)
            header = next(lines, None)
            if header is None:
                raise RefusedError(f"The file {path} is empty.")
            _check_names(path, names, header)
            wanted = sorted(set(names))
            rows = _cells(path, lines, len(header), [header.index(name) for name in wanted])
    except UnicodeDecodeError as error:
        raise RefusedError(f"The file {path} is neither Parquet nor CSV in UTF-8.") from error
    except (csv.Error, EOFError, OSError, zlib.error) as error:
        raise RefusedError(f"The file {path} isn't sound CSV: {_first_line(error)}.") from error
    if not rows[0]:
        raise RefusedError(f"The file {path} has columns but no row.")
    columns = {}
    for name, cells in zip(wanted, rows, strict=True):
        values = np.array(cells, object)
        columns[name] = Column(name, values, values == "")
    return columns


def _text(path: pathlib.Path, *, gzipped: bool) -> IO[str]:
    return gzip.open(path, "rt", encoding="utf-8-sig", newline="") if gzipped else path.open(encoding="utf-8-sig", newline="")


def _cells(path: pathlib.Path, lines: Iterable[list[str]], width: int, places: Sequence[int]) -> list[list[str]]:
    columns: list[list[str]] = [[] for _ in places]
    for number, cells in enumerate(lines, 1):
        if len(cells) != width:
            if not cells:
                continue  # a blank line
            raise RefusedError(f"Row {number} of {path} has {len(cells)} fields, the header {width}.")
        for column, place in zip(columns, places, strict=True):
            column.append(cells[place].strip())
    return columns
