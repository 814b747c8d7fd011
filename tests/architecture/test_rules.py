"""The house rules hold for every file that git knows or would add."""

import ast
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from monitor import policy
from monitor.contracts import topics
from streams import settings
from tests.architecture import rules

TOP = Path(__file__).parents[2]


def listed() -> list[str]:
    """Committed files, and new ones that git doesn't ignore."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(command, cwd=TOP, check=True, capture_output=True, text=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return sorted(name for name in names if name and (TOP / name).is_file())


def of_packages(paths: list[str]) -> list[str]:
    return [path for path in paths if path.endswith(".py") and rules.package_of(path) in rules.PACKAGES]


@pytest.fixture(scope="module")
def paths() -> list[str]:
    return listed()


@pytest.fixture(scope="module")
def trees(paths: list[str]) -> dict[str, ast.Module]:
    return {path: ast.parse((TOP / path).read_text(), path) for path in of_packages(paths)}


def test_there_is_something_to_check(trees: dict[str, ast.Module]) -> None:
    assert {rules.package_of(path) for path in trees} == set(rules.PACKAGES)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_packages_keep_the_rule(rule: rules.Rule, trees: dict[str, ast.Module]) -> None:
    assert [wrong for path, tree in trees.items() for wrong in rule(path, tree)] == []


@pytest.mark.parametrize("rule", [rules.functions_are_short, rules.files_open_with_their_contract], ids=lambda rule: rule.__name__)
def test_tests_keep_the_rule(rule: rules.Rule, paths: list[str]) -> None:
    python = [path for path in paths if path.startswith("tests/") and path.endswith(".py")]
    assert [wrong for path in python for wrong in rule(path, ast.parse((TOP / path).read_text(), path))] == []


def test_files_are_short(paths: list[str]) -> None:
    python = [path for path in paths if path.endswith(".py")]
    assert [wrong for path in python if (wrong := rules.file_is_too_long(path, (TOP / path).read_text()))] == []


def test_files_are_named_after_what_they_hold(paths: list[str]) -> None:
    assert [wrong for path in paths if (wrong := rules.file_name_says_nothing(path))] == []


def test_no_packages_below_tests(paths: list[str]) -> None:
    assert [path for path in paths if path.startswith("tests/") and path.endswith("__init__.py")] == []


def test_no_file_names_a_host_or_a_machine(paths: list[str]) -> None:
    assert [wrong for path in paths for wrong in rules.names_host_or_machine(path, (TOP / path).read_text(errors="replace"))] == []


def structs() -> Iterator[type[msgspec.Struct]]:
    """Every struct of policy, settings and contracts."""
    for module in (policy, settings):
        for value in vars(module).values():
            if isinstance(value, type) and issubclass(value, msgspec.Struct) and value.__module__ == module.__name__:
                yield value
    for topic in topics.INPUTS:
        yield topic.event
    for output in topics.OUTPUTS:
        yield from output.records


def test_values_are_frozen() -> None:
    checked = list(structs())
    assert {policy.Policy, settings.Settings} <= set(checked)
    assert [struct.__name__ for struct in checked if not struct.__struct_config__.frozen] == []
