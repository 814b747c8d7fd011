"""Mutants of a Python file: each is the file with one place of its logic made wrong. Pure; texts for people, annotations and docstrings stay.

Called by `tests.mutation`. Places are numbered in the order of the tree, so that a mutant has the same name as long as its file is the same.
"""

import ast
from collections.abc import Iterator
from typing import NamedTuple

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
}  # fmt: skip
RECKONED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.Pow: ast.Mult,
}  # fmt: skip
SWAPPED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Mutant(NamedTuple):
    """One place made wrong: its line, what is done there, the place's number and the way."""

    line: int
    told: str
    place: int
    way: int

    def tree(self, source: str) -> ast.Module:
        """The whole file as it then is."""
        tree = ast.parse(source)
        _change(tree, self.place, self.way)
        return ast.fix_missing_locations(tree)


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a file."""
    tree = ast.parse(source)
    exempt = _exempt(tree)
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in exempt:
            for way, told in enumerate(_ways(node)):
                yield Mutant(node.ifs[0].lineno if isinstance(node, ast.comprehension) else getattr(node, "lineno", 0), told, place, way)


def _exempt(tree: ast.Module) -> set[int]:
    """Annotations, docstrings and text for people, with all that is in them."""
    found: set[int] = set()

    def leave(node: ast.AST | None) -> None:
        if node is not None:
            found.update(id(inner) for inner in ast.walk(node))

    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign):
            leave(node.annotation)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            leave(node.returns)
            for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs):
                leave(argument.annotation)
        elif (
            isinstance(node, ast.JoinedStr | ast.Raise)
            or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
            or isinstance(node, ast.ImportFrom | ast.Import)
        ):
            leave(node)
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):  # an alias of a type
            leave(node if isinstance(node.targets[0], ast.Name) and node.targets[0].id[0].isupper() and not node.targets[0].id.isupper() else None)
        elif isinstance(node, ast.ClassDef):
            for keyword in node.keywords:
                leave(keyword)
    return found


def _ways(node: ast.AST) -> list[str]:  # noqa: PLR0911 - one return for each kind of node
    """In words, every way to make a node wrong."""
    if isinstance(node, ast.Compare):
        return [f"{type(op).__name__} becomes {COMPARED[type(op)].__name__}" for op in node.ops]
    if isinstance(node, ast.BoolOp):
        return ["and and or swapped", *(f"operand {place} left out" for place in range(len(node.values)))]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
        return [f"{type(node.op).__name__} left out"]
    if isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in RECKONED:
        return [f"{type(node.op).__name__} becomes {RECKONED[type(node.op)].__name__}"]
    if isinstance(node, ast.If | ast.While | ast.IfExp | ast.comprehension):
        tests = node.ifs if isinstance(node, ast.comprehension) else [node.test]
        return [
            f"condition {place} always {value}"
            for place in range(len(tests))
            for value in (True, False)
            if not isinstance(tests[place], ast.Constant)
        ]
    if isinstance(node, ast.Constant):
        return _constant(node)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SWAPPED:
        return [f"{node.func.id} becomes {SWAPPED[node.func.id]}"]
    if isinstance(node, ast.FunctionDef | ast.If | ast.For | ast.While):
        return []
    if isinstance(node, ast.Expr | ast.Delete) or (
        isinstance(node, ast.Assign | ast.AugAssign) and isinstance(_target(node), ast.Attribute | ast.Subscript)
    ):
        return ["statement left out"]
    if isinstance(node, ast.Continue | ast.Break):
        return ["continue and break swapped"]
    if isinstance(node, ast.Return) and node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
        return ["returns None"]
    return []


def _target(node: ast.Assign | ast.AugAssign) -> ast.expr:
    return node.target if isinstance(node, ast.AugAssign) else node.targets[0]


def _constant(node: ast.Constant) -> list[str]:
    value = node.value
    if isinstance(value, bool):
        return [f"{value} becomes {not value}"]
    if isinstance(value, int):
        return [f"{value} becomes {value + 1}"]
    if isinstance(value, str) and value and " " not in value:
        return [f"{value!r} becomes another"]
    return []


def _change(tree: ast.Module, place: int, way: int) -> None:
    node = next(node for number, node in enumerate(ast.walk(tree)) if number == place)
    if isinstance(node, ast.Compare):
        node.ops[way] = COMPARED[type(node.ops[way])]()
    elif isinstance(node, ast.BoolOp):
        if way == 0:
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        else:
            del node.values[way - 1]
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in RECKONED and "becomes" in _ways(node)[way]:
        node.op = RECKONED[type(node.op)]()
    elif isinstance(node, ast.If | ast.While | ast.IfExp):
        node.test = ast.Constant(way == 0)
    elif isinstance(node, ast.comprehension):
        node.ifs[way // 2] = ast.Constant(way % 2 == 0)
    elif isinstance(node, ast.Constant):
        value = node.value
        node.value = not value if isinstance(value, bool) else value + 1 if isinstance(value, int) else f"{value}-"  # type: ignore[str-bytes-safe]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        node.func.id = SWAPPED[node.func.id]
    elif isinstance(node, ast.Return):
        node.value = ast.Constant(None)
    else:
        _replace(tree, node)


def _replace(tree: ast.Module, node: ast.AST) -> None:
    """What a node's parent has in its place: its operand, the other jump, or nothing."""
    other: ast.AST = ast.Pass()
    if isinstance(node, ast.UnaryOp):
        other = node.operand
    elif isinstance(node, ast.Continue | ast.Break):
        other = ast.Break() if isinstance(node, ast.Continue) else ast.Continue()
    ast.copy_location(other, node)
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is node:
                setattr(parent, name, other)
            elif isinstance(value, list) and any(each is node for each in value):
                value[:] = [other if each is node else each for each in value]
