"""State as arrays: tables with a row per entity that grow by themselves, and the checks when a state is taken over.

Nothing of what the numbers mean. Used by every detector, the observer and the panel.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from detectors.contract import Arrays, Rows

Table = npt.NDArray[np.void]
Bytes = npt.NDArray[np.uint8]

FIRST_ROWS = 1024


class RowTable:
    """Rows of one entity kind, all zero until used, so that memory which no row has touched costs nothing.

    Attributes
    ----------
    rows : structured [capacity]
        The rows, for kernels; replaced when the table grows, so never keep a reference.
    count : int
        How many rows are in use.
    """

    __slots__ = ("count", "rows")

    def __init__(self, row: np.dtype[np.void]) -> None:
        self.rows: Table = np.zeros(FIRST_ROWS, row)
        self.count = 0

    def reserve(self, count: int) -> None:
        """Have at least `count` rows; capacity grows by half, so that n rows cost O(n) copies."""
        if count <= self.count:
            return
        capacity = len(self.rows)
        while capacity < count:
            capacity += capacity // 2
        if capacity > len(self.rows):
            grown = np.zeros(capacity, self.rows.dtype)
            grown[: self.count] = self.rows[: self.count]
            self.rows = grown
        self.count = count

    def forget(self, rows: Rows) -> None:
        """Make these rows as new."""
        self.rows[rows] = np.zeros((), self.rows.dtype)

    def as_bytes(self) -> Bytes:
        """The rows in use as bytes, uint8 [count, bytes of a row]: a view."""
        return self.rows[: self.count].view(np.uint8).reshape(self.count, self.rows.dtype.itemsize)

    def take(self, name: str, rows: npt.NDArray[np.generic]) -> None:
        """Take over what `as_bytes` gave, as a copy; ValueError if it isn't rows of this kind."""
        width = self.rows.dtype.itemsize
        if rows.dtype != np.uint8 or rows.ndim != 2 or rows.shape[1] != width:
            raise ValueError(f"{name}: expected uint8 [n, {width}], got {rows.dtype} {list(rows.shape)}")
        self.rows = np.zeros(FIRST_ROWS, self.rows.dtype)
        self.count = 0
        self.reserve(rows.shape[0])
        self.as_bytes()[:] = rows


def check_names(arrays: Mapping[str, object], expected: Mapping[str, object]) -> None:
    """Raise ValueError unless the names are the expected ones."""
    if arrays.keys() != expected.keys():
        raise ValueError(f"expected arrays {sorted(expected)}, got {sorted(arrays)}")


def copy_into(name: str, target: npt.NDArray[np.generic], source: npt.NDArray[np.generic]) -> None:
    """Overwrite a state array of fixed shape; ValueError if type or shape differ."""
    if source.dtype != target.dtype or source.shape != target.shape:
        raise ValueError(f"{name}: expected {target.dtype} {list(target.shape)}, got {source.dtype} {list(source.shape)}")
    target[...] = source


def restore_fixed(state: Arrays, arrays: Arrays) -> None:
    """Overwrite every array of a state whose arrays all have fixed shapes."""
    check_names(arrays, state)
    for name, target in state.items():
        copy_into(name, target, arrays[name])


class Stateful(Protocol):
    """A part of a detector with state of its own."""

    def arrays(self) -> Arrays:
        """The whole state by name."""

    def restore(self, arrays: Arrays) -> None:
        """Take over a state; ValueError if it doesn't fit."""


def restore_together(arrays: Arrays, *parts: Stateful) -> None:
    """Give each part its arrays; ValueError unless they are together exactly what the parts have."""
    names = [part.arrays().keys() for part in parts]
    check_names(arrays, dict.fromkeys(name for part_names in names for name in part_names))
    for part, part_names in zip(parts, names, strict=True):
        part.restore({name: arrays[name] for name in part_names})
