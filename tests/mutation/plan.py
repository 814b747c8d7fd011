"""What is mutated, and by which tests each file's mutants must be noticed; survivors that were looked at and change nothing that shows.

Values only; read by `tests.mutation`. The tests that notice most come first.
"""

UNIT = "tests/unit/test_"
FILES: dict[str, tuple[str, ...]] = {
    "monitor.ledger": (f"{UNIT}ledger.py", f"{UNIT}marks.py"),
    "monitor.marks": (f"{UNIT}marks.py", f"{UNIT}ledger.py"),
    "monitor.mark_state": (f"{UNIT}marks.py", f"{UNIT}coverage.py"),
    "monitor.layers": (f"{UNIT}ledger.py", f"{UNIT}marks.py", f"{UNIT}configuration.py"),
    "monitor.decided": (f"{UNIT}decided.py", f"{UNIT}commands.py"),
    "monitor.commands": (f"{UNIT}commands.py", f"{UNIT}decided.py"),
    "monitor.mark_commands": (f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}labels.py"),
    "monitor.incident_commands": (f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}handling.py"),
    "monitor.approvals": (f"{UNIT}approvals.py", f"{UNIT}decided.py"),
}
"""Modules in the order of their weight, with the tests that are theirs."""

WORLDS: tuple[str, ...] = (
    f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}coverage.py",
    *(f"tests/simulation/test_people.py::test_a_world_by_itself[{seed}]" for seed in range(2)),
    "tests/simulation/test_auditor.py::test_every_unit_is_in_one_place[1]",
)  # fmt: skip
"""Worlds, slow but thorough: asked only about what nobody else has noticed."""

EQUIVALENT: frozenset[tuple[str, str]] = frozenset()
"""Survivors that can't be told from the program: the source line, and what was done to it."""
