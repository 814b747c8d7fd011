"""Detectors of others that are installed beside us, by the entry point group `withdrawal_monitor.detectors`.

The only place that looks at what is installed; an entry point is loaded when a policy or a person names it, never because it is there.
Each loads to a `detectors.registry.Entry`. Handed to the engine by the worker and by replays; called by the settings' rules and `detectors`.
"""

from importlib.metadata import EntryPoint, entry_points

from detectors.registry import Entry, UnknownDetectorError, none_installed

GROUP = "withdrawal_monitor.detectors"


def names() -> list[str]:
    """Names of the installed detectors, loaded or not."""
    return sorted(point.name for point in entry_points(group=GROUP))


def installed(name: str) -> Entry:
    """The row of an installed detector. Raises UnknownDetectorError with a sentence if there is none, or it can't be loaded."""
    points = list(entry_points(group=GROUP, name=name))
    return _loaded(points[0]) if points else none_installed(name)


def _loaded(point: EntryPoint) -> Entry:
    try:
        entry = point.load()
    except Exception as error:
        raise UnknownDetectorError(f"the detector {point.name} ({point.value}) can't be loaded: {type(error).__name__}: {error}") from error
    if not isinstance(entry, Entry):
        raise UnknownDetectorError(f"the detector {point.name} ({point.value}) is not an Entry of detectors.registry")
    return entry._replace(name=point.name)
