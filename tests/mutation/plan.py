"""What is mutated, and by which tests each file's mutants must be noticed; survivors that were looked at and change nothing that shows.

Values only; read by `tests.mutation`. The tests that notice most come first.
"""

UNIT = "tests/unit/test_"
FILES: dict[str, tuple[str, ...]] = {
    "monitor.ledger": (f"{UNIT}ledger.py", f"{UNIT}marks.py", f"{UNIT}marks_together.py"),
    "monitor.marks": (f"{UNIT}marks.py", f"{UNIT}marks_together.py", f"{UNIT}ledger.py"),
    "monitor.mark_state": (f"{UNIT}marks.py", f"{UNIT}coverage.py"),
    "monitor.layers": (f"{UNIT}ledger.py", f"{UNIT}marks.py", f"{UNIT}configuration.py"),
    "monitor.uncovered": (f"{UNIT}uncovered.py", f"{UNIT}marks.py", f"{UNIT}marks_together.py"),
    "monitor.decided": (f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}policies.py"),
    "monitor.commands": (f"{UNIT}commands.py", f"{UNIT}decided.py", f"{UNIT}policies.py"),
    "monitor.mark_commands": (f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}labels.py"),
    "monitor.incident_commands": (f"{UNIT}commands.py", f"{UNIT}decided.py", f"{UNIT}snoozes.py", f"{UNIT}policies.py"),
    "monitor.handling": (f"{UNIT}handling.py", f"{UNIT}commands.py", f"{UNIT}decided.py"),
    "monitor.approvals": (f"{UNIT}approvals.py", f"{UNIT}decided.py"),
    "monitor.snoozes": (f"{UNIT}snoozes.py",),
    "monitor.policies": (f"{UNIT}policies.py",),
    "monitor.signatures": (f"{UNIT}labels.py", f"{UNIT}decided.py"),
    "monitor.labels": (f"{UNIT}labels.py", f"{UNIT}decided.py"),
}
"""Modules in the order of their weight, with the tests that are theirs."""

WORLDS: tuple[str, ...] = (
    f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}coverage.py",
    *(f"tests/simulation/test_people.py::test_a_world_by_itself[{seed}]" for seed in range(2)),
    "tests/simulation/test_auditor.py::test_every_unit_is_in_one_place[1]",
)  # fmt: skip
"""Worlds, slow but thorough: asked only about what nobody else has noticed."""

EQUIVALENT: frozenset[tuple[str, str]] = frozenset((
    ("if terms.deductible_minor:", "condition 0 always True"),
    ("if rest == 0:", "condition 0 always False"),
    ("break", "continue and break swapped"),
    ("if len(shares) == 1:", "condition 0 always False"),
    ("if missing:", "condition 0 always True"),
    ('self.base_currency = ""', "statement left out"),
    ("freed.clear()", "statement left out"),
    ("if terms.layer_id == layer_id:", "condition 0 always True"),
    ("return covered and terms.unit in (group.asset, ledger.base_currency) and ledger.room(terms, group.incident_id) > 0", "and and or swapped"),
    ("return covered and terms.unit in (group.asset, ledger.base_currency) and ledger.room(terms, group.incident_id) > 0", "operand 0 left out"),
    ("return covered and terms.unit in (group.asset, ledger.base_currency) and ledger.room(terms, group.incident_id) > 0", "operand 1 left out"),
    ("return covered and terms.unit in (group.asset, ledger.base_currency) and ledger.room(terms, group.incident_id) > 0", "operand 2 left out"),
    ("if ledger.room(terms) == 0:", "condition 0 always False"),
    ("break", "continue and break swapped"),
    ("if ledger.room(terms, mark.incident_id) == 0:", "condition 0 always False"),
    ("better = (after.uncarried_minor, after.uncovered_base_minor or 0) < (mark.uncarried_minor, mark.uncovered_base_minor or 0)", "Lt becomes LtE"),
))  # fmt: skip
"""Survivors that were looked at and can't be told from the program: the source line, and what was done to it.

They cost time alone: a layer is asked that has nothing left, a mark is planned anew and keeps what it has, a share is divided that is alone, a deductible of
nothing is passed; or they make a value that is set before it is read.
"""
