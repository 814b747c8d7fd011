"""The machine-checked house rules: each takes one file's path and syntax tree and gives what is wrong, as sentences.

Pure functions over text; `test_rules` applies them to the tree, `test_rules_bite` to samples that break them.
"""

import ast
import re
from collections.abc import Callable, Iterator

LINES_PER_FUNCTION_MAX = 60
LINES_PER_FILE_MAX = 400

PACKAGES = ("detectors", "monitor", "streams")
MAY_IMPORT = {
    "detectors": {"detectors", "numpy", "numba", "river"},
    "monitor": {"cryptography", "detectors", "monitor", "msgspec", "numpy"},
}
STDLIB_OF_THE_SHELL = {
    "asyncio", "concurrent", "http", "io", "logging", "multiprocessing", "os", "secrets", "selectors", "signal", "shutil", "socket",
    "socketserver", "ssl", "subprocess", "tempfile", "threading", "time", "urllib", "uuid",
}  # fmt: skip
CALLS_OF_THE_SHELL = {"open", "print", "input"}
CLOCKS = {"now", "utcnow", "today"}
# The platform's exp and log give other last bits on other machines; detectors.elementary has ours.
PLATFORM_MATHS = {
    "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "logaddexp", "pow", "power", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "erf", "erfc", "gamma", "lgamma", "cbrt", "float_power",
}  # fmt: skip
SHAPELESS_NAMES = {"utils", "util", "helpers", "helper", "common", "misc", "tools"}
MONEY = re.compile(r"(?:^|_)(?:amount|amounts|minor|money)(?:_|$)")
# Where an exact amount becomes one of a detector's inputs, which are floats: the only ways, and one way.
AMOUNT_TO_INPUT = {"monitor/scoring.py", "monitor/facts.py"}
# Where the generated schemas are written from: a tool of the project, not part of the core.
GENERATORS = {"monitor/contracts/schema.py"}
ONLY_IMPORTERS = {
    "faust": {"streams/frame.py"},
    "mode": {"streams/frame.py"},
    "prometheus_client": {"streams/metrics.py", "streams/fold_metrics.py", "streams/frame.py"},  # the fold's own totals; the registry
}
READS_ENVIRONMENT = {"streams/configuration.py", "streams/secrets.py"}
METRIC_TYPES = {"Counter", "Gauge", "Histogram", "Summary", "Info", "Enum"}

Rule = Callable[[str, ast.Module], Iterator[str]]


def package_of(path: str) -> str:
    """First folder of a path."""
    return path.split("/", 1)[0]


def is_pure(path: str) -> bool:
    """Whether a file is outside the shell: no clock, no I/O, no concurrency."""
    return package_of(path) in {"detectors", "monitor"} or path.startswith("streams/simulation/")


def is_kernel(path: str) -> bool:
    """Compiled kernels are exempt from limits on size."""
    return path.endswith("_kernel.py")


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported module by its full name, with the line."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or "")


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an expression, empty when it is something else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        before = dotted(node.value)
        return f"{before}.{node.attr}" if before else ""
    return ""


def calls(tree: ast.Module) -> Iterator[tuple[ast.Call, str]]:
    """Every call with the dotted name of what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node, dotted(node.func)


def imports_go_one_way(path: str, tree: ast.Module) -> Iterator[str]:
    """Streams may import monitor, monitor detectors, never the other way; the two inner packages import few third parties."""
    import sys

    package = package_of(path)
    for line, module in imported(tree):
        top = module.split(".", 1)[0]
        if not top:
            yield f"{path}:{line} relative import"
        elif top == "tests":
            yield f"{path}:{line} imports tests"
        elif package in MAY_IMPORT and top not in MAY_IMPORT[package] and top not in sys.stdlib_module_names:
            yield f"{path}:{line} {package} may not import {module}"


def pure_outside_the_shell(path: str, tree: ast.Module) -> Iterator[str]:
    """No coroutines, clocks, environment, logs, sockets or files outside the shell, nor in its simulation."""
    if not is_pure(path) or path in GENERATORS:
        return
    for line, module in imported(tree):
        if module.split(".", 1)[0] in STDLIB_OF_THE_SHELL:
            yield f"{path}:{line} imports {module}"
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith | ast.Await):
            yield f"{path}:{node.lineno} is asynchronous"
    for call, name in calls(tree):
        if name in CALLS_OF_THE_SHELL:
            yield f"{path}:{call.lineno} calls {name}"
        if "." in name and name.rsplit(".", 1)[1] in CLOCKS and ("date" in name.rsplit(".", 1)[0]):
            yield f"{path}:{call.lineno} reads the clock: {name}"


def randomness_has_a_seed(path: str, tree: ast.Module) -> Iterator[str]:
    """Outside the shell randomness comes from a generator that was given its seed."""
    if not is_pure(path):
        return
    for line, module in imported(tree):
        if module == "random" and any(
            isinstance(node, ast.ImportFrom) and node.module == "random" and node.lineno == line for node in ast.walk(tree)
        ):
            yield f"{path}:{line} import random whole, so that its use shows"
    for call, name in calls(tree):
        module, _, function = name.rpartition(".")
        if module not in {"random", "np.random", "numpy.random"}:
            continue
        if function in {"Random", "default_rng", "SeedSequence", "PCG64"}:
            if not call.args and not call.keywords:
                yield f"{path}:{call.lineno} {name} without a seed"
        elif function != "Generator":
            yield f"{path}:{call.lineno} {name} uses the shared, unseeded generator"


def same_bytes_on_every_machine(path: str, tree: ast.Module) -> Iterator[str]:
    """No exp, log or the like of the platform, and no sum() of floats, where numbers become decisions."""
    if package_of(path) not in {"detectors", "monitor"}:
        return
    for call, name in calls(tree):
        module, _, function = name.rpartition(".")
        if module in {"math", "np", "numpy"} and function in PLATFORM_MATHS:
            yield f"{path}:{call.lineno} {name}: use detectors.elementary"
        if name == "sum" and package_of(path) == "detectors":
            yield f"{path}:{call.lineno} sum() of floats differs between Python versions: add in a stated order"


def functions_are_short(path: str, tree: ast.Module) -> Iterator[str]:
    """Functions have at most 60 lines."""
    if is_kernel(path):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > LINES_PER_FUNCTION_MAX:
                yield f"{path}:{node.lineno} {node.name} has {lines} lines, at most {LINES_PER_FUNCTION_MAX}"


def files_open_with_their_contract(path: str, tree: ast.Module) -> Iterator[str]:
    """Each file says at its top what lives there."""
    if len(ast.get_docstring(tree) or "") < len("What lives here."):
        yield f"{path}:1 opens without a docstring"


def money_is_never_a_float(path: str, tree: ast.Module) -> Iterator[str]:
    """In monitor/ no amount becomes a float: not by float(), true division, a float literal, or an annotation."""
    if package_of(path) != "monitor" or path in AMOUNT_TO_INPUT:
        return
    rates = {id(part) for node in ast.walk(tree) if _assigns_a_rate(node) for part in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in rates:
            continue
        if isinstance(node, ast.Call) and dotted(node.func) in {"float", "np.float64"} and _names_money(node.args):
            yield f"{path}:{node.lineno} float() of an amount"
        elif isinstance(node, ast.BinOp) and _names_money([node.left, node.right]):
            if isinstance(node.op, ast.Div):
                yield f"{path}:{node.lineno} true division of an amount"
            elif any(isinstance(side, ast.Constant) and isinstance(side.value, float) for side in (node.left, node.right)):
                yield f"{path}:{node.lineno} an amount meets a float"
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            name = node.arg if isinstance(node, ast.arg) else dotted(node.target).rsplit(".", 1)[-1]
            if MONEY.search(name) and any(isinstance(part, ast.Name) and part.id == "float" for part in ast.walk(node.annotation)):
                yield f"{path}:{node.lineno} {name} is annotated as float"


def _assigns_a_rate(node: ast.AST) -> bool:
    """A rate per minute is an estimate that is shown, never booked: it may be a float."""
    if not isinstance(node, ast.AugAssign | ast.AnnAssign):
        return False
    return dotted(node.target).endswith("_per_minute")


def _names_money(expressions: list[ast.expr]) -> bool:
    """Whether a name in these expressions is one of an amount; what a call inside gives has its own name."""
    for expression in expressions:
        if isinstance(expression, ast.Call):
            continue
        name = dotted(expression).rsplit(".", 1)[-1]
        if name and MONEY.search(name):
            return True
        if isinstance(expression, ast.BinOp) and _names_money([expression.left, expression.right]):
            return True
        if isinstance(expression, ast.Subscript) and _names_money([expression.value]):
            return True
    return False


def third_parties_have_one_importer(path: str, tree: ast.Module) -> Iterator[str]:
    """What touches Faust or the metrics library is one file each, so that either can be replaced there."""
    for line, module in imported(tree):
        only = ONLY_IMPORTERS.get(module.split(".", 1)[0])
        if only is not None and path not in only:
            yield f"{path}:{line} imports {module}: only {', '.join(sorted(only))} may"


def metrics_are_made_in_one_class(path: str, tree: ast.Module) -> Iterator[str]:
    """Every metric is created inside `streams.metrics.Metrics`."""
    if package_of(path) != "streams":
        return
    inside = {
        id(node)
        for top in tree.body
        if path == "streams/metrics.py" and isinstance(top, ast.ClassDef) and top.name == "Metrics"
        for node in ast.walk(top)
    }
    names = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("prometheus_client")
        for alias in node.names
    }
    for call, name in calls(tree):
        made = name in names & METRIC_TYPES or (name.startswith("prometheus_client.") and name.rsplit(".", 1)[1] in METRIC_TYPES)
        if made and id(call) not in inside:
            yield f"{path}:{call.lineno} creates a {name} outside the class Metrics"


def environment_is_read_in_one_place(path: str, tree: ast.Module) -> Iterator[str]:
    """Configuration is one frozen tree: only its reader and the resolver of secrets look at the environment."""
    if path in READS_ENVIRONMENT:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and dotted(node) in {"os.environ", "os.getenv", "os.environb"}:
            yield f"{path}:{node.lineno} reads the environment"


RULES: tuple[Rule, ...] = (
    imports_go_one_way,
    pure_outside_the_shell,
    randomness_has_a_seed,
    same_bytes_on_every_machine,
    functions_are_short,
    files_open_with_their_contract,
    money_is_never_a_float,
    third_parties_have_one_importer,
    metrics_are_made_in_one_class,
    environment_is_read_in_one_place,
)


def file_is_too_long(path: str, text: str) -> str | None:
    """Files have at most 400 lines; compiled kernels are exempt."""
    lines = text.count("\n")
    return f"{path} has {lines} lines, at most {LINES_PER_FILE_MAX}" if lines > LINES_PER_FILE_MAX and not is_kernel(path) else None


def file_name_says_nothing(path: str) -> str | None:
    """A file is named after what it holds."""
    stem = path.rsplit("/", 1)[-1].removesuffix(".py")
    return f"{path}: name it after what it holds" if stem in SHAPELESS_NAMES else None


PACKAGE_HOSTS = re.compile(
    r"pypi\.org|pythonhosted\.org|registry\.npmjs|repo1?\.maven|maven\.apache\.org|crates\.io|proxy\.golang|deb\.debian\.org|archive\.ubuntu|index-url\s*="
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work/\w+)/|[A-Z]:\\Users")


def names_host_or_machine(path: str, text: str) -> Iterator[str]:
    """No committed file says where packages come from or where somebody's checkout lies: both differ from machine to machine."""
    for number, line in enumerate(text.splitlines(), 1):
        if found := PACKAGE_HOSTS.search(line) or MACHINE_PATHS.search(line):
            yield f"{path}:{number} names {found.group()}"
