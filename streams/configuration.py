"""From a TOML file, the environment and flags to one frozen `Settings`, with where each value came from.

The only reader of configuration: a flag beats the environment, which beats the file, which beats the default. A mistake is one sentence.
Called by the command line at start; nothing is read again later.
"""

import enum
import os
import pathlib
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from streams.setting_fields import (
    BadConfigurationError,
    Leaf,
    Node,
    Path,
    Tree,
    allowed,
    check,
    fields_of,
    leaves,
    nearest,
    parse_text,
    row_of,
    struct_of,
)
from streams.setting_rules import broken
from streams.settings import Settings

ENVIRONMENT_PREFIX = "WITHDRAWAL_MONITOR__"
ROOT = Node(Settings, ())


class Origin(enum.StrEnum):
    """Where a value came from, the weakest first."""

    DEFAULT = "default"
    FILE = "file"
    ENVIRONMENT = "environment"
    FLAG = "flag"


class Shown(NamedTuple):
    """One row of `config show`."""

    name: str
    value: str
    type: str
    origin: Origin
    description: str


class Configuration(NamedTuple):
    """The settings, and where what was set came from: (path, origin), the stronger later."""

    settings: Settings
    set_by: tuple[tuple[Path, Origin], ...]

    def origin(self, path: Path) -> Origin:
        """Where the value at `path` came from."""
        return next((origin for set_path, origin in reversed(self.set_by) if path[: len(set_path)] == set_path), Origin.DEFAULT)

    def rows(self) -> Iterator[Shown]:
        """Every value with its type, origin and explanation. A secret is a reference by its type, so no value of one can show."""
        for leaf in leaves(msgspec.to_builtins(self.settings), ROOT):
            yield Shown(leaf.name, _printed(leaf), allowed(leaf.node), self.origin(leaf.path), leaf.node.description)


def configure(file: pathlib.Path | None = None, environment: Mapping[str, str] | None = None, flags: Sequence[str] = ()) -> Configuration:
    """Read it all. `flags` are "path.to.setting=value". Raises BadConfigurationError with one sentence about the first mistake."""
    tree: Tree = msgspec.to_builtins(Settings())
    set_by: list[tuple[Path, Origin]] = []
    if file is not None:
        given, said_by = _read(file), f"in {file.name}"
        check(given, ROOT, (), said_by, unfinished=True)
        set_by += [(path, Origin.FILE) for path in _overlay(tree, given, ROOT)]
    for name, text in sorted((environment or {}).items()):
        if name.startswith(ENVIRONMENT_PREFIX):
            path = _place(tree, name.removeprefix(ENVIRONMENT_PREFIX).split("__"), text, f"in the environment, {name}")
            set_by.append((path, Origin.ENVIRONMENT))
    for flag in flags:
        name, separator, text = flag.partition("=")
        if not separator:
            raise BadConfigurationError(f'A setting on the command line must be written as path.to.setting=value; not "{flag}".')
        set_by.append((_place(tree, name.strip().split("."), text, f"by the flag --set {name.strip()}"), Origin.FLAG))
    check(tree, ROOT, (), "when all is put together")
    settings = msgspec.convert(tree, Settings)
    for sentence in broken(settings):
        raise BadConfigurationError(sentence)
    return Configuration(settings, tuple(set_by))


def process_environment() -> Mapping[str, str]:
    """The environment of this process."""
    return os.environ


def schema() -> bytes:
    """JSON Schema of the whole tree, indented."""
    return msgspec.json.format(msgspec.json.encode(msgspec.json.schema(Settings)), indent=2)


def _read(file: pathlib.Path) -> Tree:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadConfigurationError(f"The configuration file {file} can't be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadConfigurationError(f"The configuration file {file.name} is not UTF-8 text.") from None
    except tomllib.TOMLDecodeError as error:
        raise BadConfigurationError(f"The configuration file {file.name} is not TOML: {error}.") from None


def _overlay(tree: Tree, given: Tree, node: Node, path: Path = ()) -> Iterator[Path]:
    """Put what the file gives over the tree, in place; tables of names (assets, topics) and lists are taken whole."""
    struct = struct_of(node)
    fields = fields_of(struct) if struct is not None else {}
    for name, value in given.items():
        if struct_of(fields[name]) is not None:
            yield from _overlay(tree[name], value, fields[name], (*path, name))
        else:
            tree[name] = value
            yield (*path, name)


def _place(tree: Tree, names: Sequence[str], text: str, said_by: str) -> Path:
    """Put one value of the environment or a flag into the tree, in place; gives its path."""
    node, table = ROOT, tree
    path: Path = ()
    for depth, given in enumerate(names):
        struct, row = struct_of(node), row_of(node)
        if struct is not None:
            fields = fields_of(struct)
            name = given.lower()
            if name not in fields:
                raise BadConfigurationError(f"{'.'.join((*path, name))} is not a setting ({said_by}); {nearest(name, list(fields))}")
            node = fields[name]
        elif row is not None:
            name, node = given, row
        else:
            raise BadConfigurationError(f"{'.'.join(path)} is one value ({said_by}); nothing can be set below it.")
        path = (*path, name)
        if depth < len(names) - 1:
            table = table.setdefault(name, {})
    value = parse_text(text, node, path, said_by, _parse_toml)
    check(value, node, path, said_by)
    table[path[-1]] = value
    return path


def _parse_toml(text: str) -> Any:
    return tomllib.loads(f"value = {text}")["value"]


def _printed(leaf: Leaf) -> str:
    if leaf.value is None:
        return "(nothing)"
    return leaf.value if isinstance(leaf.value, str) else msgspec.json.encode(leaf.value).decode()
