"""Names of river's classes and functions, found in its already imported modules and nowhere else: the allowlist of `detectors.river_graph`."""

import collections
import sys
import types
from typing import Any

from river.__version__ import __version__

RIVER_VERSION: str = __version__
PARTS = (bool, collections.defaultdict, collections.deque, dict, float, int, list, set, str, tuple)
BUILTINS: dict[str, Any] = {kind.__name__: kind for kind in PARTS}


class GraphRefusedError(ValueError):
    """An estimator whose state can't be kept, or a state that can't be taken over; the message names the place and what is wrong."""


def name_of(kind: Any) -> str:
    """Module and name of a class or function."""
    return f"{getattr(kind, '__module__', None)}.{getattr(kind, '__qualname__', None)}"


def found(name: str) -> Any:
    """The class or function of this name in river's imported modules, or a builtin type. Raises GraphRefusedError."""
    if name in BUILTINS:
        return BUILTINS[name]
    words = name.split(".")
    thing: Any = sys.modules["river"] if words[0] == "river" else None
    for word in words[1:]:
        thing = vars(thing).get(word) if isinstance(thing, types.ModuleType | type) else None
    callable_kinds = type | types.FunctionType | types.BuiltinFunctionType
    if not isinstance(thing, callable_kinds) or name_of(thing) != name:
        raise GraphRefusedError(f"{name} is not a class or function of river")
    return thing


def is_plain(kind: type) -> bool:
    """Whether `object.__new__` makes it: not where a builtin container or number is among its bases."""
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


def slots_of(kind: type) -> list[str]:
    """Attributes that its objects keep outside their `__dict__`."""
    slots: list[str] = []
    for base in reversed(kind.__mro__):
        own = base.__dict__.get("__slots__", ())
        slots += [slot for slot in ((own,) if isinstance(own, str) else own) if slot not in {"__dict__", "__weakref__"}]
    return slots
