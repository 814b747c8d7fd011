"""What is mutated, and by which tests each file's mutants must be noticed; survivors that were looked at and change nothing that shows.

Values only; read by `tests.mutation`. The tests that notice most come first.
"""

UNIT = "tests/unit/test_"
FILES: dict[str, tuple[str, ...]] = {
    "monitor.ledger": (f"{UNIT}ledger.py", f"{UNIT}marks.py", f"{UNIT}marks_together.py"),
    "monitor.marks": (f"{UNIT}marks.py", f"{UNIT}marks_together.py", f"{UNIT}marks_tables.py", f"{UNIT}ledger.py"),
    "monitor.mark_state": (f"{UNIT}marks.py", f"{UNIT}marks_tables.py", f"{UNIT}coverage.py"),
    "monitor.layers": (f"{UNIT}ledger.py", f"{UNIT}marks.py", f"{UNIT}configuration.py"),
    "monitor.uncovered": (f"{UNIT}uncovered.py", f"{UNIT}marks.py", f"{UNIT}marks_together.py"),
    "monitor.decided": (
        f"{UNIT}decided.py",
        f"{UNIT}taken_once.py",
        f"{UNIT}covers.py",
        f"{UNIT}commands.py",
        f"{UNIT}policies.py",
        f"{UNIT}persons.py",
    ),
    "monitor.alone": (f"{UNIT}persons.py",),
    "monitor.closing": (f"{UNIT}closing.py",),
    "monitor.persons": (f"{UNIT}persons.py",),
    "monitor.regrouping": (f"{UNIT}regrouping.py", f"{UNIT}left_after_all.py"),
    "monitor.paging": (f"{UNIT}paging.py", f"{UNIT}incidents.py", f"{UNIT}left_after_all.py"),
    "monitor.page_storm": (f"{UNIT}page_storm.py",),
    "monitor.left_after_all": (f"{UNIT}left_after_all.py",),
    "monitor.commands": (f"{UNIT}commands.py", f"{UNIT}decided.py", f"{UNIT}covers.py", f"{UNIT}policies.py"),
    "monitor.mark_commands": (f"{UNIT}decided.py", f"{UNIT}commands.py", f"{UNIT}labels.py", f"{UNIT}closing.py", f"{UNIT}persons.py"),
    "monitor.incident_commands": (
        f"{UNIT}commands.py",
        f"{UNIT}decided.py",
        f"{UNIT}snoozes.py",
        f"{UNIT}policies.py",
        f"{UNIT}closing.py",
        f"{UNIT}persons.py",
    ),
    "monitor.handling": (f"{UNIT}handling.py", f"{UNIT}commands.py", f"{UNIT}decided.py"),
    "monitor.approvals": (f"{UNIT}approvals.py", f"{UNIT}decided.py"),
    "monitor.decision_ids": (f"{UNIT}taken_once.py",),
    "monitor.snoozes": (f"{UNIT}snoozes.py",),
    "monitor.policies": (f"{UNIT}policies.py", f"{UNIT}persons.py"),
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

_BETTER = "better = (after.uncarried_minor, after.uncovered_base_minor or 0) < (mark.uncarried_minor, mark.uncovered_base_minor or 0)"

EQUIVALENT: frozenset[tuple[str, str, str]] = frozenset((
    # It costs time alone: a layer is asked that has nothing left, a mark is planned anew and keeps what it has, a share is divided that is alone.
    ("monitor.ledger", "if terms.deductible_minor:", "condition 0 always True"),
    ("monitor.ledger", "if rest == 0:", "condition 0 always False"),
    ("monitor.ledger", "break", "continue and break swapped"),
    ("monitor.ledger", "if len(shares) == 1:", "condition 0 always False"),
    ("monitor.ledger", "if missing:", "condition 0 always True"),
    ("monitor.marks", "freed.clear()", "statement left out"),
    ("monitor.marks", "if terms.layer_id == layer_id:", "condition 0 always True"),
    ("monitor.marks", 'covered = group.cause in terms.causes and (group.owner == "customer" or not terms.customers_only)', "and and or swapped"),
    *(
        ("monitor.marks", "return covered and terms.unit in (group.asset, ledger.base_currency) and ledger.room(terms, group.incident_id) > 0", told)
        for told in ("and and or swapped", "operand 0 left out", "operand 1 left out", "operand 2 left out", "Gt becomes GtE")
    ),
    ("monitor.marks", "if ledger.room(terms) == 0:", "condition 0 always False"),
    ("monitor.marks", "break", "continue and break swapped"),
    ("monitor.marks", "if ledger.room(terms, mark.incident_id) == 0:", "condition 0 always False"),
    ("monitor.marks", _BETTER, "Lt becomes LtE"),
    ("monitor.uncovered", "if known == group:", "condition 0 always False"),
    ("monitor.uncovered", "if known is not None:", "condition 0 always True"),
    ("monitor.uncovered", "self.unsorted.clear()", "statement left out"),
    ("monitor.snoozes", "if not self.by_key:", "condition 0 always False"),
    # A value that is set before it is read, or of which only the order or whether it is true is read.
    ("monitor.ledger", 'self.base_currency = ""', "statement left out"),
    ("monitor.mark_state", "by_people: bool = False", "False becomes True"),
    ("monitor.mark_state", "at_ms: int = 0", "0 becomes 1"),
    ("monitor.uncovered", "self.next = 0", "0 becomes 1"),
    ("monitor.decided", "return False", "returns None"),
    ("monitor.snoozes", "return False", "returns None"),
    ("monitor.signatures", "return False", "returns None"),
    # The parts of a mark and what is taken off them are all priced or none is: both are asked for the type checker.
    ("monitor.ledger", "if base_minor is not None and part.base_minor is not None:", "and and or swapped"),
    *(
        ("monitor.ledger", text, "and and or swapped")
        for text in (
            "rest = None if part.base_minor is None or base is None else part.base_minor - base",
            "base = None if part.base_minor is None or gone.base_minor is None else part.base_minor - gone.base_minor",
            "base = None if known.base_minor is None or part.base_minor is None else known.base_minor + part.base_minor",
        )
    ),
    # A withdrawal without a name is one that isn't known: all who are asked about it pass it over.
    ("monitor.commands", "withdrawals = () if mark.subject.withdrawal_id is None else (mark.subject.withdrawal_id,)", "condition 0 always False"),
    ("monitor.commands", "withdrawals = dict.fromkeys((*(name for name in named if name is not None), *incident.withdrawals))", "condition 0 always True"),
))  # fmt: skip
"""Survivors that were looked at and can't be told from the program: the module, the source line, and what was done to it."""
