"""The settings tree as a list of fields: path, what is allowed, the sentence for people; and the check of one value against its field.

Knows nothing of files, environment or flags. Called by `streams.configuration`.
"""

import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from streams.refusals import RefusedError

Path = tuple[str, ...]
Tree = dict[str, Any]


class BadConfigurationError(RefusedError):
    """What was configured can't be used; the message is one sentence with the field and what is allowed."""


class Node(NamedTuple):
    """One place in the tree: its type without annotations, and the annotations."""

    type: Any
    metas: tuple[Meta, ...]

    @property
    def description(self) -> str:
        """The sentence for people."""
        return next((meta.description for meta in reversed(self.metas) if meta.description), "")

    @property
    def secret(self) -> bool:
        """True for a secret reference, whose value is never shown when it isn't one."""
        metas = self.metas + tuple(meta for member in typing.get_args(self.type) for meta in node_of(member).metas)
        return any(meta.extra and meta.extra.get("secret") for meta in metas)


class Leaf(NamedTuple):
    """One value of the tree."""

    path: Path
    node: Node
    value: Any

    @property
    def name(self) -> str:
        """The path with dots, as it is written with --set."""
        return ".".join(self.path)


def node_of(annotation: Any) -> Node:
    """The node of a type annotation."""
    if typing.get_origin(annotation) is Annotated:
        inner, *extras = typing.get_args(annotation)
        base = node_of(inner)
        return Node(base.type, (*base.metas, *(extra for extra in extras if isinstance(extra, Meta))))
    return Node(annotation, ())


def fields_of(struct: type[msgspec.Struct]) -> dict[str, Node]:
    """The nodes of a struct's fields, in order."""
    hints = typing.get_type_hints(struct, include_extras=True)
    return {name: node_of(hints[name]) for name in struct.__struct_fields__}


def struct_of(node: Node) -> type[msgspec.Struct] | None:
    """The struct that a node holds, if it holds one."""
    return node.type if isinstance(node.type, type) and issubclass(node.type, msgspec.Struct) else None


def row_of(node: Node) -> Node | None:
    """The node of a table's rows (`dict[str, X]`), if the node holds a table."""
    return node_of(typing.get_args(node.type)[1]) if typing.get_origin(node.type) is dict else None


def item_of(node: Node) -> Node | None:
    """The node of a list's items (`tuple[X, ...]`), if the node holds a list."""
    return node_of(typing.get_args(node.type)[0]) if typing.get_origin(node.type) is tuple else None


def allowed(node: Node) -> str:
    """What a value may be, as it reads in "must be …"."""
    if node.secret:
        said = "a secret reference, env:NAME or file:PATH"
    elif (item := item_of(node)) is not None:
        said = f"a list, each of it {allowed(item)}"
    elif typing.get_origin(node.type) is typing.Literal:
        said = "one of " + ", ".join(str(value) for value in typing.get_args(node.type))
    elif _members(node):
        said = " or ".join(allowed(node_of(member)) for member in _members(node))
    elif node.type is str:
        said = "text" + _length(_bounds(node)) + "".join(f" that matches {meta.pattern}" for meta in node.metas if meta.pattern)
    else:
        said = WORDS.get(node.type, "a table") + _range(_bounds(node))
    return said + (", or nothing" if type(None) in typing.get_args(node.type) else "")


WORDS = {bool: "true or false", int: "a whole number", float: "a number"}


def _members(node: Node) -> list[Any]:
    """What a union may be apart from nothing."""
    is_union = typing.get_origin(node.type) in {typing.Union, types.UnionType}
    return [member for member in typing.get_args(node.type) if is_union and member is not type(None)]


def _bounds(node: Node) -> dict[str, float]:
    names = ("ge", "gt", "le", "lt", "min_length", "max_length")
    return {name: value for meta in node.metas for name in names if (value := getattr(meta, name)) is not None}


def _range(bounds: Mapping[str, float]) -> str:
    words = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
    if "ge" in bounds and "le" in bounds:
        return f" from {bounds['ge']} to {bounds['le']}"
    said = " and ".join(f"{words[name]} {bounds[name]}" for name in ("ge", "gt", "le", "lt") if name in bounds)
    return f", {said}" if said else ""


def _length(bounds: Mapping[str, float]) -> str:
    least, most = bounds.get("min_length", 0), bounds.get("max_length")
    if most is not None:
        return f" of {least} to {most} characters" if least else f" of at most {most} characters"
    return " that is not empty" if least else ""


def nearest(name: str, known: Sequence[str]) -> str:
    """A hint at the nearest known name, or the list of them where none is near."""
    near = difflib.get_close_matches(name.lower(), known, n=1)
    return f"did you mean {near[0]}?" if near else "known are " + ", ".join(sorted(known)) + "."


def check(value: Any, node: Node, path: Path, said_by: str, *, unfinished: bool = False) -> None:
    """Refuse `value` at `path` unless it is of the node's type. Raises BadConfigurationError; `said_by` says who gave the value.

    `unfinished`: sections may leave out what the default gives; the rows of a table and the items of a list may not.
    """
    if (struct := struct_of(node)) is not None:
        _check_struct(value, struct, path, said_by, unfinished=unfinished)
    elif (row := row_of(node)) is not None:
        for name, inner in _table(value, path, said_by).items():
            check(inner, row, (*path, name), said_by)
    elif (item := item_of(node)) is not None and isinstance(value, (list, tuple)):
        most = _bounds(node).get("max_length")
        if most is not None and len(value) > most:
            raise BadConfigurationError(f"{'.'.join(path)} must be a list of at most {most}; {len(value)} are given ({said_by}).")
        for index, inner in enumerate(value):
            check(inner, item, (*path, str(index)), said_by)
    else:
        try:
            msgspec.convert(value, Annotated[node.type, *node.metas] if node.metas else node.type)
        except msgspec.ValidationError:
            shown = "what was given (not shown) is something else" if node.secret else f"not {_shown(value)}"
            raise BadConfigurationError(f"{'.'.join(path)} must be {allowed(node)}; {shown} ({said_by}).") from None


def _check_struct(value: Any, struct: type[msgspec.Struct], path: Path, said_by: str, *, unfinished: bool) -> None:
    fields = fields_of(struct)
    table = _table(value, path, said_by)
    for name, inner in table.items():
        if name not in fields:
            raise BadConfigurationError(f"{'.'.join((*path, name))} is not a setting ({said_by}); {nearest(name, list(fields))}")
        check(inner, fields[name], (*path, name), said_by, unfinished=unfinished)
    for field in msgspec.structs.fields(struct):
        if field.required and field.name not in table and not unfinished:
            raise BadConfigurationError(f"{'.'.join((*path, field.name))} is missing ({said_by}); it must be {allowed(fields[field.name])}.")


def _table(value: Any, path: Path, said_by: str) -> Tree:
    if not isinstance(value, dict):
        raise BadConfigurationError(f"{'.'.join(path)} must be a table; not {_shown(value)} ({said_by}).")
    return value


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value, enc_hook=str).decode()
    return text if len(text) <= 80 else text[:77] + "..."


def leaves(value: Any, node: Node, path: Path = ()) -> Iterator[Leaf]:
    """Every value below `value` (builtins, complete), in order; an empty table or list is a leaf of its own."""
    if (struct := struct_of(node)) is not None:
        for name, inner in fields_of(struct).items():
            yield from leaves(value[name], inner, (*path, name))
    elif (row := row_of(node)) is not None and value:
        for name, inner_value in value.items():
            yield from leaves(inner_value, row, (*path, name))
    elif (item := item_of(node)) is not None and value and struct_of(item) is not None:
        for index, inner_value in enumerate(value):
            yield from leaves(inner_value, item, (*path, str(index)))
    else:
        yield Leaf(path, node, value)


def parse_text(text: str, node: Node, path: Path, said_by: str, parse_toml: typing.Callable[[str], Any]) -> Any:
    """The value that `text` (of the environment or a flag) stands for; an empty text is nothing where nothing is allowed."""
    if _members(node):
        return text or None
    if node.type is str or typing.get_origin(node.type) is typing.Literal:
        return text
    if node.type is float and re.fullmatch(r"[+-]?[0-9]+", text):
        return float(text)
    try:
        return parse_toml(text)
    except ValueError:
        raise BadConfigurationError(f"{'.'.join(path)} must be {allowed(node)}; not {_shown(text)} ({said_by}).") from None
