"""Outflows that wait for their withdrawals: none hides another, and a claim decides."""

from collections.abc import Iterable

from monitor.contracts.outflows import Outflow
from monitor.outflows import Outflows, Waiting


def outflow(number: int, *, claims: str | None = None, tx_id: str = "tx", address: str = "addr") -> Outflow:
    return Outflow(
        event_id=f"e-{number}", occurred_at_ms=number, tx_id=tx_id, wallet_id="w", asset="BTC", network="bitcoin", amount="1", address=address,
        withdrawal_id=claims,
    )  # fmt: skip


def waiting(*outflows: Outflow) -> Outflows:
    of = Outflows()
    for each in outflows:
        assert of.wait(each, due_ms=each.occurred_at_ms + 10, limit=100) is None
    return of


def ids(outflows: Iterable[Outflow | Waiting]) -> list[str]:
    return [each.outflow.event_id if isinstance(each, Waiting) else each.event_id for each in outflows]


def test_one_transaction_pays_one_destination_twice_for_two_withdrawals() -> None:
    of = waiting(outflow(1, claims="W1"), outflow(2, claims="W2"))
    assert ids(of.claimed("W2", "tx addr")) == ["e-2"], "W1 is still unread: its outflow must wait for it"
    assert ids(of.claimed("W1", "tx addr")) == ["e-1"]
    assert ids(of.claimed("W1", "tx addr")) == []


def test_two_outflows_claim_one_withdrawal() -> None:
    of = waiting(outflow(1, claims="W1", tx_id="a"), outflow(2, claims="W1", tx_id="b"))
    assert ids(of.claimed("W1", None)) == ["e-1", "e-2"]
    assert not of.waiting


def test_outflows_without_a_claim_are_found_by_their_payment() -> None:
    of = waiting(outflow(1), outflow(2), outflow(3, address="other"))
    assert ids(of.claimed("W1", None)) == []
    assert ids(of.claimed("W1", "tx addr")) == ["e-1", "e-2"]
    assert ids([each.outflow for each in of.waiting.values()]) == ["e-3"]


def test_what_differs_in_content_under_one_event_id_waits_beside_it() -> None:
    of = waiting(outflow(1, claims="W1"), outflow(1, claims="W2"))
    assert len(of.waiting) == 2


def test_proven_are_those_whose_time_was_read_past() -> None:
    of = waiting(outflow(1, claims="W1"), outflow(5, claims="W1"), outflow(7))
    assert ids(list(of.proven(15))) == ["e-1", "e-5"]
    assert ids(of.claimed("W1", None)) == []


def test_the_longest_waiting_is_judged_when_too_many_wait() -> None:
    of = waiting(outflow(1, claims="W1"), outflow(2, claims="W1"))
    crowded = of.wait(outflow(3), due_ms=13, limit=2)
    assert crowded is not None
    assert crowded.outflow.event_id == "e-1"
    assert ids(of.claimed("W1", None)) == ["e-2"]
