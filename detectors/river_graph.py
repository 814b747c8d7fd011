"""The state of a river estimator as bytes and back, without pickle: an object graph of allowed classes, stamped with river's version.

Nothing is ever imported or called because the bytes name it: a name counts only if river's own, already imported modules define it.
Called by `detectors.from_river`.

The bytes are JSON: every object that can change is a node, met in a fixed order, and refers to others by number, so that shared and
circular references stay what they are. Numbers, text and tuples are written where they stand. What isn't listed here is refused by name.
"""

import base64
import collections
import functools
import json
import random
import types
from collections.abc import Callable
from typing import Any, cast

import numpy as np

from detectors.river_names import BUILTINS, RIVER_VERSION, GraphRefusedError, found, is_plain, name_of, slots_of

FORMAT = 1
NODES_MAX = 200_000
"""Objects in one estimator's state: river's half-space trees of the usual size have 5,000, a window of 1,000 observations 2,000."""
BYTES_MAX = 16 * 1024 * 1024
"""Bytes of one estimator's state, which is in every snapshot."""
SEED = 20_240_531
PLAIN = (type(None), bool, int, float, str)
RUST = "river._river_rust."
NUMBERS = "biuf"


def encode(root: Any) -> bytes:
    """The state of an estimator as bytes; equal states give equal bytes. Raises GraphRefusedError."""
    writer = _Writer()
    try:
        head = writer.value(root)
        nodes = writer.nodes()
        text = json.dumps(
            {"river": RIVER_VERSION, "format": FORMAT, "root": head, "layouts": [json.loads(layout) for layout in writer.layouts], "nodes": nodes},
            separators=(",", ":"),
        )
    except RecursionError:
        raise GraphRefusedError(f"{name_of(type(root))}: its tuples are nested too deeply") from None
    if len(text) > BYTES_MAX:
        raise GraphRefusedError(f"{name_of(type(root))}: its state is larger than {BYTES_MAX} bytes")
    return text.encode()


def decode(data: bytes) -> Any:
    """The estimator whose state `encode` gave. Raises GraphRefusedError if it is another version's, or anything in it isn't allowed."""
    try:
        given = json.loads(data)
        _check_stamp(given)
        return _Reader(given["nodes"], given["layouts"]).whole(given["root"])
    except GraphRefusedError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise GraphRefusedError(f"state that can't be read: {type(error).__name__}: {error}") from error


def _check_stamp(given: dict[str, Any]) -> None:
    if given["river"] != RIVER_VERSION:
        raise GraphRefusedError(f"state of river {given['river']}, this is {RIVER_VERSION}")
    if given["format"] != FORMAT:
        raise GraphRefusedError(f"state in format {given['format']}, this is {FORMAT}")
    if len(given["nodes"]) > NODES_MAX:
        raise GraphRefusedError(f"state of more than {NODES_MAX} objects")


def seeded(root: Any) -> Any:
    """The same estimator, each of its generators of random numbers seeded, in the order in which they are met, where its owner has no seed."""
    writer = _Writer()
    writer.value(root)
    writer.nodes()
    for number, (owner, generator) in enumerate(writer.generators):
        if getattr(owner, "seed", None) is None:
            generator.seed(SEED + number)
    return root


class _Writer:
    """Walks a graph, objects that can change in the order in which they are met."""

    def __init__(self) -> None:
        self._number: dict[int, int] = {}
        self._met: list[Any] = []
        self._owner: Any = None
        self.generators: list[tuple[Any, random.Random]] = []
        self.layouts: dict[str, int] = {}

    def nodes(self) -> list[list[Any]]:
        """All nodes; what they refer to is met on the way."""
        nodes: list[list[Any]] = []
        while len(nodes) < len(self._met):
            self._owner = self._met[len(nodes)]
            nodes.append(self._node(self._owner))
        return nodes

    def value(self, thing: Any) -> Any:
        """How a thing is written where it stands."""
        kind = type(thing)
        if kind in PLAIN:
            return thing
        written = self._inline(thing)
        if written is not None:
            return written
        if id(thing) not in self._number:
            if len(self._met) >= NODES_MAX:
                raise GraphRefusedError(f"a state of more than {NODES_MAX} objects")
            self._number[id(thing)] = len(self._met)
            self._met.append(thing)  # kept here too, so that no other object gets its id meanwhile
            if kind is random.Random:
                self.generators.append((self._owner, thing))
        return ["node", self._number[id(thing)]]

    def _inline(self, thing: Any) -> list[Any] | None:
        """What never changes stands where it is used; None for the rest."""
        kind = type(thing)
        if kind is tuple:
            return ["tuple", *(self.value(item) for item in thing)]
        if kind is bytes:
            return ["bytes", base64.b64encode(thing).decode()]
        if isinstance(thing, np.generic) and thing.dtype.kind in NUMBERS:
            return ["number", thing.dtype.str, thing.tobytes().hex()]
        if isinstance(thing, type | types.FunctionType | types.BuiltinFunctionType):
            return ["name", self._name(thing)]
        return None

    def _name(self, thing: Any) -> str:
        name = next((name for name, kind in BUILTINS.items() if kind is thing), name_of(thing))
        if found(name) is not thing:
            raise GraphRefusedError(f"{name} is not what river has under that name")
        return name

    def _pairs(self, table: Any) -> list[list[Any]]:
        for key in table:
            self._key(key)
        return [[self.value(key), self.value(item)] for key, item in table.items()]

    def _key(self, key: Any) -> None:
        if isinstance(key, tuple):
            for item in key:
                self._key(item)
        elif not isinstance(key, (*PLAIN, np.generic)):
            raise GraphRefusedError(f"{self._where()} has keys of {name_of(type(key))}: only text and numbers keep their place")

    def _where(self) -> str:
        return name_of(type(self._owner))

    def _node(self, thing: Any) -> list[Any]:
        kind = type(thing)
        if kind in _WRITERS:
            return _WRITERS[kind](self, thing)
        return self._rust(thing) if name_of(kind).startswith(RUST) else self._instance(thing)

    def items(self, thing: Any) -> list[Any]:
        """A list."""
        return ["list", *(self.value(item) for item in thing)]

    def table(self, thing: Any) -> list[Any]:
        """A table of any kind that has nothing else."""
        return [type(thing).__name__, *self._pairs(thing)]

    def default_table(self, thing: Any) -> list[Any]:
        """A table that makes what it doesn't have."""
        return ["defaultdict", self.value(thing.default_factory), *self._pairs(thing)]

    def queue(self, thing: Any) -> list[Any]:
        """A queue with its limit."""
        return ["deque", thing.maxlen, *(self.value(item) for item in thing)]

    def members(self, thing: Any) -> list[Any]:
        """A set, in an order that doesn't depend on hashes."""
        for item in thing:
            self._key(item)
        return [type(thing).__name__, *(self.value(item) for item in sorted(thing, key=lambda item: (name_of(type(item)), repr(item))))]

    def array(self, thing: Any) -> list[Any]:
        """An array of numbers."""
        if thing.dtype.kind not in NUMBERS:
            raise GraphRefusedError(f"{self._where()} has an array of {thing.dtype}: only numbers are kept")
        return ["array", thing.dtype.str, list(thing.shape), base64.b64encode(np.ascontiguousarray(thing).tobytes()).decode()]

    def generator(self, thing: Any) -> list[Any]:
        """A generator of random numbers, where it is."""
        version, words, gauss = thing.getstate()
        return ["random", version, self.value(words), gauss]

    def partial(self, thing: Any) -> list[Any]:
        """A function with some arguments given."""
        return ["partial", self.value(thing.func), self.value(thing.args), *self._pairs(thing.keywords)]

    def method(self, thing: Any) -> list[Any]:
        """A method of an object."""
        return ["method", self.value(thing.__self__), thing.__name__]

    def _rust(self, thing: Any) -> list[Any]:
        """An object of river's compiled part, by what its own reduction gives: arguments, and state as bytes."""
        reduced = thing.__reduce_ex__(2)
        arguments, state = reduced[1], reduced[2] if len(reduced) > 2 else None
        maker = "made" if cast("Any", reduced[0]) is type(thing) else "new"
        if maker == "new":
            if arguments[0] is not type(thing):
                raise GraphRefusedError(f"{self._where()}: its state can't be reached")
            arguments = arguments[1:]
        if not isinstance(state, bytes | None):
            raise GraphRefusedError(f"{self._where()}: its state is {name_of(type(state))}, not bytes")
        inline = [["pairs", *self._pairs(argument)] if type(argument) is dict else self.value(argument) for argument in arguments]
        return ["rust", self._name(type(thing)), maker, self.value(state), *inline]

    def _instance(self, thing: Any) -> list[Any]:
        kind = type(thing)
        try:
            name = self._name(kind)
        except GraphRefusedError:
            raise GraphRefusedError(f"{name_of(kind)}: its state can't be reached; only river's own classes and plain containers are kept") from None
        if not is_plain(kind):
            raise GraphRefusedError(f"{name}: it is built on a builtin container, whose state can't be reached")
        attributes = [(slot, getattr(thing, slot)) for slot in slots_of(kind) if hasattr(thing, slot)]
        attributes += list(getattr(thing, "__dict__", {}).items())
        layout = json.dumps([name, *(attribute for attribute, _ in attributes)])
        number = self.layouts.setdefault(layout, len(self.layouts))
        return ["object", number, *(self.value(item) for _, item in attributes)]


_WRITERS: dict[type, Callable[[_Writer, Any], list[Any]]] = {
    list: _Writer.items,
    dict: _Writer.table,
    collections.OrderedDict: _Writer.table,
    collections.Counter: _Writer.table,
    collections.defaultdict: _Writer.default_table,
    collections.deque: _Writer.queue,
    set: _Writer.members,
    frozenset: _Writer.members,
    np.ndarray: _Writer.array,
    random.Random: _Writer.generator,
    functools.partial: _Writer.partial,
    types.MethodType: _Writer.method,
}


class _Reader:
    """Makes every node's object empty, then fills each, so that references may go round in circles."""

    def __init__(self, nodes: list[list[Any]], layouts: list[list[str]]) -> None:
        self._nodes = nodes
        self._layouts = layouts
        self._made: dict[int, Any] = {}

    def whole(self, root: Any) -> Any:
        """The object graph below the root."""
        for number in range(len(self._nodes)):
            self.object(number)
        for number, node in enumerate(self._nodes):
            filler = _FILLERS.get(node[0])
            if filler is not None:
                filler(self, self._made[number], node)
        return self.value(root)

    def value(self, written: Any) -> Any:
        """The thing that stands there."""
        if not isinstance(written, list):
            return written
        reader = _INLINE.get(written[0])
        if reader is None:
            raise GraphRefusedError(f"a thing of the unknown kind {written[0]}")
        return reader(self, written)

    def object(self, number: int) -> Any:
        """The object of a node, filled or not yet."""
        if number not in self._made:
            node = self._nodes[number]
            maker = _MAKERS.get(node[0])
            if maker is None:
                raise GraphRefusedError(f"a node of the unknown kind {node[0]}")
            self._made[number] = maker(self, node)
        return self._made[number]

    def pairs(self, pairs: list[list[Any]]) -> dict[Any, Any]:
        """Keys and values of a table."""
        return {self.value(key): self.value(item) for key, item in pairs}

    def instance(self, node: list[Any]) -> Any:
        """An empty object of an allowed class."""
        name = self._layouts[node[1]][0]
        kind = found(name)
        if not isinstance(kind, type) or not name.startswith("river."):
            raise GraphRefusedError(f"{name} is not a class of river")
        return object.__new__(kind)

    def fill_instance(self, made: Any, node: list[Any]) -> None:
        """Give an object its attributes, past any property or `__setattr__`."""
        slots = set(slots_of(type(made)))
        for name, item in zip(self._layouts[node[1]][1:], node[2:], strict=True):
            if name in slots:
                object.__setattr__(made, name, self.value(item))
            else:
                made.__dict__[name] = self.value(item)

    def rust(self, node: list[Any]) -> Any:
        """An object of river's compiled part."""
        kind = found(node[1])
        if not isinstance(kind, type) or not node[1].startswith(RUST):
            raise GraphRefusedError(f"{node[1]} is not a class of river's compiled part")
        arguments = [self.value(argument) for argument in node[4:]]
        made: Any = kind(*arguments) if node[2] == "made" else cast("Any", kind).__new__(kind, *arguments)
        if node[3] is not None:
            made.__setstate__(self.value(node[3]))
        return made

    def random(self, node: list[Any]) -> random.Random:
        """A generator where it was."""
        generator = random.Random(0)  # noqa: S311  its state follows
        generator.setstate((node[1], self.value(node[2]), node[3]))
        return generator

    def method(self, node: list[Any]) -> Any:
        """A method of an object of river; its class has it, whatever the object's attributes say."""
        owner = self.value(node[1])
        function = next((base.__dict__[node[2]] for base in type(owner).__mro__ if node[2] in base.__dict__), None)
        if not isinstance(function, types.FunctionType) or not name_of(type(owner)).startswith("river."):
            raise GraphRefusedError(f"{node[2]} is not a method of {name_of(type(owner))}")
        return types.MethodType(function, owner)


def _number_type(text: str) -> np.dtype[Any]:
    kind = np.dtype(text)
    if kind.kind not in NUMBERS:
        raise GraphRefusedError(f"numbers of type {text}")
    return kind


def _array(_reader: _Reader, node: list[Any]) -> Any:
    return np.frombuffer(base64.b64decode(node[3]), _number_type(node[1])).reshape(node[2]).copy()


def _partial(reader: _Reader, node: list[Any]) -> Any:
    function = reader.value(node[1])
    if not callable(function):
        raise GraphRefusedError("a partial of what can't be called")
    return functools.partial(function, *reader.value(node[2]), **reader.pairs(node[3:]))


_INLINE: dict[str, Callable[[_Reader, list[Any]], Any]] = {
    "tuple": lambda reader, written: tuple(reader.value(item) for item in written[1:]),
    "bytes": lambda _reader, written: base64.b64decode(written[1]),
    "number": lambda _reader, written: np.frombuffer(bytes.fromhex(written[2]), _number_type(written[1]))[0],
    "name": lambda _reader, written: found(written[1]),
    "pairs": lambda reader, written: reader.pairs(written[1:]),
    "node": lambda reader, written: reader.object(written[1]),
}

_MAKERS: dict[str, Callable[[_Reader, list[Any]], Any]] = {
    "list": lambda _reader, _node: [],
    "dict": lambda _reader, _node: {},
    "OrderedDict": lambda _reader, _node: collections.OrderedDict(),
    "Counter": lambda _reader, _node: collections.Counter(),
    "defaultdict": lambda _reader, _node: collections.defaultdict(),
    "deque": lambda _reader, node: collections.deque(maxlen=node[1]),
    "set": lambda reader, node: {reader.value(item) for item in node[1:]},
    "frozenset": lambda reader, node: frozenset(reader.value(item) for item in node[1:]),
    "array": _array,
    "random": _Reader.random,
    "partial": _partial,
    "method": _Reader.method,
    "rust": _Reader.rust,
    "object": _Reader.instance,
}


def _fill_default(reader: _Reader, made: Any, node: list[Any]) -> None:
    made.default_factory = reader.value(node[1])
    made.update(reader.pairs(node[2:]))


_FILLERS: dict[str, Callable[[_Reader, Any, list[Any]], None]] = {
    "list": lambda reader, made, node: made.extend(reader.value(item) for item in node[1:]),
    "dict": lambda reader, made, node: made.update(reader.pairs(node[1:])),
    "OrderedDict": lambda reader, made, node: made.update(reader.pairs(node[1:])),
    "Counter": lambda reader, made, node: made.update(reader.pairs(node[1:])),
    "defaultdict": _fill_default,
    "deque": lambda reader, made, node: made.extend(reader.value(item) for item in node[2:]),
    "object": _Reader.fill_instance,
}
