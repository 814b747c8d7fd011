"""The panel: observer and detectors as one thing that the caller folds, teaches, stores and prunes.

Holds the open block (observations since the last block end), so that the whole state is in `arrays()`. The gate against numbers
and rows that no kernel may see is here. Never decides; called by `monitor.scoring`, made by `detectors.registry.make`.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from detectors.contract import (
    BLOCK_OBSERVATIONS,
    KINDS,
    OBSERVATION,
    SECOND_FACTORS,
    Arrays,
    Bools,
    Detector,
    Floats,
    Ints,
    Rows,
    Run,
    Scores,
    Windowed,
)
from detectors.lanes import Lanes
from detectors.observer import Observer
from detectors.panel_kernel import first_refused
from detectors.tables import check_names, copy_into

INPUTS = len(Observer.INPUT_NAMES)


class Panel:
    """Observer and detectors over one stream.

    Attributes
    ----------
    detectors : tuple of Detector
        In the order of the registry.
    lanes : Lanes
        What the lanes share, for detectors that are made later.
    input_names : tuple of str
        Names of the observer's inputs, column by column.
    room : int
        Observations that the open block still takes, 1 to 256. A run may not be longer. When a fold has filled the block, room is 0
        until `learn` opens the next one.

    Examples
    --------
    >>> inputs, scores = panel.fold(run)              # len(run) <= panel.room
    >>> if panel.room == 0:
    ...     panel.learn(teach)                        # teach: bool [256], all observations of the block in order
    """

    def __init__(self, observer: Observer, lanes: Lanes, detectors: Sequence[Detector]) -> None:
        self.observer = observer
        self.lanes = lanes
        self.detectors = tuple(detectors)
        self.input_names = Observer.INPUT_NAMES
        self.room = BLOCK_OBSERVATIONS
        self._rows = np.zeros(len(KINDS), np.int64)
        self._filled = np.zeros(1, np.int64)
        n = BLOCK_OBSERVATIONS
        self._block: Run = np.zeros(n, OBSERVATION)
        self._inputs: Floats = np.zeros((n, INPUTS), np.float64)

    def reserve(self, rows: Mapping[str, int]) -> None:
        """Grow tables so that each entity kind has at least that many rows; call before rows are used."""
        for column, kind in enumerate(KINDS):
            self._rows[column] = max(self._rows[column], rows.get(kind, 0))
        wanted = dict(rows)
        self.observer.reserve(wanted)
        for detector in self.detectors:
            detector.reserve(wanted)

    def fold(self, run: Run) -> tuple[Floats, dict[str, Scores]]:
        """Take a run into the facts and score it.

        Returns
        -------
        inputs : float64 [n, k]
        scores : by detector name

        Raises
        ------
        ValueError
            The run is longer than `room`, or an observation is refused: an amount that isn't finite and positive, a row that wasn't
            reserved, a time out of range. Nothing has changed then.
        """
        n = len(run)
        if n > self.room:
            raise ValueError(f"a run of {n} observations crosses the block's end: room for {self.room}")
        refused = first_refused(run, self._rows, len(SECOND_FACTORS))
        if refused >= 0:
            raise ValueError(f"observation {refused} of the run is refused: amount, row or time out of range")
        inputs = self.observer.observe(run)
        scores = {detector.name: detector.fold(run, inputs) for detector in self.detectors}
        self._keep(run, inputs)
        return inputs, scores

    def learn(self, teach: Bools) -> None:
        """End the full block: the baselines learn from its observations whose `teach` is set.

        Raises ValueError if the block isn't full or `teach` isn't bool [256].
        """
        if self.room:
            raise ValueError(f"the block is open: room for {self.room}")
        if teach.dtype != np.bool_ or teach.shape != (BLOCK_OBSERVATIONS,):
            raise ValueError(f"teach: expected bool [{BLOCK_OBSERVATIONS}], got {teach.dtype} {list(teach.shape)}")
        self.observer.learn(self._block, self._inputs, teach)
        for detector in self.detectors:
            detector.learn(self._block, self._inputs, teach)
        self._filled[0] = 0
        self.room = BLOCK_OBSERVATIONS

    @property
    def ordinal(self) -> int:
        """Number of the next observation since the start: labels name observations by it."""
        return self.lanes.memory.next_ordinal

    def label(self, ordinals: Ints, fraud: Bools) -> int:
        """Learn from labels, int64 [m] and bool [m], in the order in which they arrive; how many observations were still remembered.

        Late labels and labels out of order are normal. The same label again changes nothing, another one for the same
        observation replaces the first. At any place of a block; raises ValueError if the shapes or types don't fit.
        """
        if ordinals.dtype != np.int64 or fraud.dtype != np.bool_ or ordinals.ndim != 1 or ordinals.shape != fraud.shape:
            raise ValueError(
                f"labels: expected int64 [m] and bool [m], got {ordinals.dtype} {list(ordinals.shape)}, {fraud.dtype} {list(fraud.shape)}"
            )
        return self.lanes.label(ordinals, fraud, *self.observer.filter_rows())

    def unlabel(self, ordinals: Ints) -> int:
        """Revoke the labels of observations: the lanes become what they would be without them, given the observations' inputs as scored.

        How many could be revoked: labels beyond the newest 49,152 may be settled. Exact but for entities evicted since, whose filters are
        forgotten: for them what was noted with each label stands.
        """
        if ordinals.dtype != np.int64 or ordinals.ndim != 1:
            raise ValueError(f"ordinals: expected int64 [m], got {ordinals.dtype} {list(ordinals.shape)}")
        return self.lanes.unlabel(ordinals, *self.observer.filter_rows())

    def forget(self, kind: str, rows: Rows) -> None:
        """Reset rows of evicted entities. Only between blocks: ValueError while the open block has observations."""
        if self.room != BLOCK_OBSERVATIONS:
            raise ValueError("rows are forgotten between blocks only: the open block may speak of them")
        self.observer.forget(kind, rows)
        for detector in self.detectors:
            detector.forget(kind, rows)

    def replace(self, detectors: Sequence[Detector]) -> None:
        """Have other detectors from the next observation on; those that stay are given as they are.

        A new one is given the rows and the open block's observations first, so that it sees blocks whole like the others.
        """
        here = {id(detector) for detector in self.detectors}
        filled = int(self._filled[0])
        for detector in detectors:
            if id(detector) not in here:
                detector.reserve({kind: int(rows) for kind, rows in zip(KINDS, self._rows, strict=True)})
                detector.fold(self._block[:filled], self._inputs[:filled])
        self.detectors = tuple(detectors)

    def explain(self, name: str, parts: Floats) -> str:
        """One observation's parts of the detector `name` in words; KeyError if there is none of that name."""
        return {detector.name: detector for detector in self.detectors}[name].explain(parts)

    def use(self) -> dict[str, tuple[int, int]]:
        """Own tables by name: rows in use, and the limit."""
        return self.observer.use() | self.lanes.memory.use() | {f"window_{name}": fullest for name, (fullest, _) in self._windows().items()}

    def evicted(self) -> dict[str, int]:
        """Entries of windows that went too early because a window was full, by the name of its table in `use`."""
        return {f"window_{name}": evicted for name, (_, evicted) in self._windows().items()}

    def _windows(self) -> dict[str, tuple[tuple[int, int], int]]:
        """Of each detector with windows: its fullest table, and what it evicted."""
        windows = {}
        for detector in self.detectors:
            if isinstance(detector, Windowed):
                use = detector.use()
                tables = [pair for name, pair in use.items() if not name.startswith("evicted")]
                fullest = max(tables, key=lambda pair: pair[0] / pair[1])
                evicted = 0
                for name, (count, _) in use.items():
                    evicted += count if name.startswith("evicted") else 0
                windows[detector.name] = fullest, evicted
        return windows

    def arrays(self) -> Arrays:
        """The whole state by name, the open block included: the live arrays, not copies."""
        state: Arrays = {f"panel.{name}": array for name, array in self._own().items()}
        state |= {f"observer.{name}": array for name, array in self.observer.arrays().items()}
        state |= {f"lanes.{name}": array for name, array in self.lanes.arrays().items()}
        for detector in self.detectors:
            state |= {f"{detector.name}.{name}": array for name, array in detector.arrays().items()}
        return state

    def restore(self, arrays: Arrays) -> None:
        """Take over a state that `arrays` of a panel of equal settings gave.

        Raises ValueError if it doesn't fit; the panel is of no use then.
        """
        parts: dict[str, Arrays] = {owner: {} for owner in ("panel", "observer", "lanes", *(detector.name for detector in self.detectors))}
        for full_name, array in arrays.items():
            owner, _, name = full_name.partition(".")
            if owner not in parts:
                raise ValueError(f"state of {owner}, which this panel doesn't have")
            parts[owner][name] = array
        own = self._own()
        check_names(parts["panel"], own)
        for name, target in own.items():
            copy_into(f"panel.{name}", target, parts["panel"][name])
        if not 0 <= self._filled[0] <= BLOCK_OBSERVATIONS:
            raise ValueError(f"panel.filled: expected 0 to {BLOCK_OBSERVATIONS}, got {self._filled[0]}")
        self.observer.restore(parts["observer"])
        self.lanes.restore(parts["lanes"])
        for detector in self.detectors:
            detector.restore(parts[detector.name])
        self.room = BLOCK_OBSERVATIONS - int(self._filled[0])

    def _own(self) -> Arrays:
        block = self._block.view(np.uint8).reshape(BLOCK_OBSERVATIONS, OBSERVATION.itemsize)
        return {"rows": self._rows, "filled": self._filled, "inputs": self._inputs, "block": block}

    def _keep(self, run: Run, inputs: Floats) -> None:
        start = BLOCK_OBSERVATIONS - self.room
        end = start + len(run)
        self._block[start:end] = run
        self._inputs[start:end] = inputs
        self._filled[0] = end
        self.room -= len(run)
