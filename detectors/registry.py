"""The table of detectors and the one place that makes them. A detector is one file and its row here.

Called by `monitor.scoring`.
"""

from detectors.contract import Detector
from detectors.observer import Observer
from detectors.panel import Panel

DAY_MS = 86_400_000


def make(*, young_address_ms: int = 3 * DAY_MS, pairs_max: int = 6_000_000, off: tuple[str, ...] = ()) -> Panel:
    """Observer and detectors as a fresh panel.

    Parameters
    ----------
    young_address_ms
        Age in ms below which an address is young, at most 21 days.
    pairs_max
        Pairs of account and address that are remembered; the longest unseen go first.
    off
        Names of detectors to leave out.
    """
    detectors: list[Detector] = []
    return Panel(Observer(), [detector for detector in detectors if detector.name not in off])
