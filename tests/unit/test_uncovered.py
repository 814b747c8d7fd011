"""Which marks stand uncovered: the longest first, whatever groups they wait in and change to; nothing is kept of a group that nobody waits in."""

from monitor.uncovered import Group, Uncovered

THEFT, FAILURE = Group("i", "XEM", "unauthorized_access", "customer"), Group("i", "XEM", "system_failure", "customer")


def waiting() -> Uncovered:
    uncovered = Uncovered()
    for mark_id, group in (("c", THEFT), ("a", FAILURE), ("b", THEFT)):
        uncovered.put(mark_id, group)
    return uncovered


def test_the_longest_uncovered_come_first_from_all_groups_that_fit() -> None:
    uncovered = waiting()
    assert uncovered.in_order() == ["c", "a", "b"]
    assert list(uncovered.oldest_first(lambda group: group.cause == "unauthorized_access")) == ["c", "b"]
    uncovered.put("c", THEFT)  # it waits already
    assert uncovered.in_order() == ["c", "a", "b"]


def test_who_changes_group_keeps_its_place_and_who_comes_back_has_the_last() -> None:
    uncovered = waiting()
    uncovered.put("c", FAILURE)
    assert uncovered.in_order() == ["c", "a", "b"]
    assert list(uncovered.oldest_first(lambda group: group == FAILURE)) == ["c", "a"]
    uncovered.drop("c")
    uncovered.put("c", FAILURE)
    assert uncovered.in_order() == ["a", "b", "c"]


def test_a_group_that_nobody_waits_in_is_forgotten() -> None:
    uncovered = waiting()
    uncovered.put("a", THEFT)
    assert list(uncovered.groups) == [THEFT]
    for mark_id in ("a", "b", "c", "c"):
        uncovered.drop(mark_id)
    assert (uncovered.groups, uncovered.of, uncovered.unsorted, uncovered.in_order()) == ({}, {}, {}, [])
