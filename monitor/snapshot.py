"""Snapshots: the core's state as parts and back. `freeze` makes cheap copies between two entries, which another thread may encode.

What the parts are as bytes is in `monitor.snapshot_file`. Called by `monitor.engine`.
"""

from collections.abc import Collection
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from detectors.registry import PlugIns, none_installed
from monitor.approvals import Approval
from monitor.budget import Bucket, Overflow, Review
from monitor.clock import Clock
from monitor.contracts.base import Owner
from monitor.contracts.outputs import MarkStage
from monitor.decision_ids import TakenDecision
from monitor.doubts import Doubt
from monitor.exposure import WalletBalance
from monitor.held import Credit
from monitor.holdings import HoldingState
from monitor.incident_state import IncidentState
from monitor.incidents import Counts
from monitor.labels import Label
from monitor.ledger import EventUse, LayerState
from monitor.mark_state import AssetSums, Drain, MarkState
from monitor.outflows import Waiting
from monitor.page_storm import PageStorm
from monitor.policies import Proposal
from monitor.policy import Policy
from monitor.repeated import Asked
from monitor.small_facts import SmallFacts, restore_small_facts, small_facts
from monitor.snoozes import Snooze
from monitor.sources import Source
from monitor.state import State, Totals
from monitor.usual_amounts import Sizes
from monitor.version import ENGINE_VERSION
from monitor.wallets import Wallet
from monitor.withdrawals import Known

FORMAT = 3


class SnapshotRefusedError(Exception):
    """A snapshot that must not be used; the text says why."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is of. `previous_sha256` is of the journal entry before `next_offset`."""

    format: int
    engine_version: str
    journal_id: str
    next_offset: int
    previous_sha256: str | None


class RepeatedCounts(msgspec.Struct, frozen=True):
    """Of the requests that repeat each other: the open window, how many are over, and who repeats in it."""

    since_ms: int
    windows: int
    repeating: dict[str, int]


class Small(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the state that are small whatever the traffic."""

    policy: Policy
    term: str
    partitions: dict[str, int]
    clock: Clock
    totals: Totals
    sources: dict[str, Source]
    source_counts: tuple[int, int, int]
    event_id_counts: tuple[int, int]
    held_complete: bool
    held_overflown: bool
    layers: dict[str, LayerState]
    facts: SmallFacts
    sums: dict[str, AssetSums]
    total: AssetSums
    drain: Drain
    stages: dict[MarkStage, int]
    incident_counts: Counts
    incident_keys_evicted: int
    dirty: list[str]
    forgotten_version: int
    withdrawal_evicted: int
    rejected_at_ms: list[int]
    blocks: int
    last_run_ms: int
    ready: dict[str, bool]
    table_evicted: dict[str, int]
    pages: Bucket
    page_storm: PageStorm
    review_bucket: Bucket
    review_overflow: list[Overflow]
    review_counts: dict[Review, int]
    labels_evicted: int
    approvals: dict[str, Approval]
    decisions_forgotten_ms: int
    snoozes: dict[str, Snooze]
    snoozes_muted: int
    proposals: dict[str, Proposal]
    repeated: RepeatedCounts
    usual_withdrawals: dict[Owner, dict[str, Sizes]]
    usual_postings: dict[str, Sizes]
    fact_counts: tuple[int, int, int, int, int, int]


class Frozen(msgspec.Struct, frozen=True):
    """A state as it was between two entries. The columns are values that are never changed in place, in containers that nobody changes."""

    header: Header
    small: bytes
    columns: dict[str, Collection[Any]]
    arrays: dict[str, npt.NDArray[Any]]


COLUMNS: dict[str, Any] = {
    "withdrawals.id": str, "withdrawals.known": Known, "payments.key": str, "payments.id": tuple[str, ...],
    "unread.id": str, "unread.version": int,
    "event_ids.young": str, "event_ids.young_digest": int, "event_ids.old": str, "event_ids.old_digest": int,
    "retried": str, "marks": MarkState, "unpriced": str, "uncovered": str, "layer_events": EventUse, "incidents": IncidentState, "incidents.key": str, "incidents.key_ids": tuple[str, ...],
    "security.account": str, "security.at_ms": int,
    "repeated.young": str, "repeated.young_asked": tuple[Asked, ...], "repeated.old": str, "repeated.old_asked": tuple[Asked, ...],
    "repeated.habit": str, "repeated.habit_times": int,
    "holdings.key": str, "holdings.state": HoldingState,
    "postings.young": str, "postings.young_told": str, "postings.old": str, "postings.old_told": str,
    "outputs.young": str, "outputs.young_told": str, "outputs.old": str, "outputs.old_told": str,
    "wallets.id": str, "wallets.wallet": Wallet, "doubts": Doubt,
    "waiting": Waiting, "held.key": str, "held.balance": WalletBalance, "held.batch": str, "held.batch_sum": int,
    "held.credit_batch": str, "held.credit": Credit, "decisions": TakenDecision,
    "labels.id": str, "labels.label": Label, "reviews.key": str, "reviews.asked_ms": int,
    "names.account": str | None, "names.address": str | None, "names.asset": str | None, "names.wallet": str | None,
    "names.provider": str | None,
}  # fmt: skip
"""Every column by name with the type of its values."""


def freeze(state: State, journal_id: str, next_offset: int, previous_sha256: str | None) -> Frozen:
    """Copy the state; the older generation of event ids never changes and is not copied. Incidents change in place, so they are encoded here and now; they are few."""
    header = Header(format=FORMAT, engine_version=ENGINE_VERSION, journal_id=journal_id, next_offset=next_offset, previous_sha256=previous_sha256)
    withdrawals, ids, marks, incidents, held = state.withdrawals, state.event_ids, state.marks, state.incidents, state.held
    columns: dict[str, Collection[Any]] = {
        "withdrawals.id": list(withdrawals.by_id), "withdrawals.known": list(withdrawals.by_id.values()),
        "payments.key": list(withdrawals.by_payment), "payments.id": list(withdrawals.by_payment.values()),
        "unread.id": list(withdrawals.unread), "unread.version": list(withdrawals.unread.values()),
        "event_ids.young": list(ids.young), "event_ids.young_digest": list(ids.young.values()),
        "event_ids.old": ids.old.keys(), "event_ids.old_digest": ids.old.values(),
        "retried": list(state.retried), "marks": list(marks.by_id.values()), "unpriced": list(marks.unpriced),
        "uncovered": marks.uncovered.in_order(), "layer_events": list(marks.ledger.uses.values()),
        "incidents": [msgspec.Raw(msgspec.json.encode(incident)) for incident in incidents.by_id.values()],
        "incidents.key": list(incidents.keys.by_key), "incidents.key_ids": list(incidents.keys.by_key.values()),
        "waiting": list(state.outflows.waiting.values()),
        **_fact_columns(state),
        "held.key": list(held.balances), "held.balance": list(held.balances.values()),
        "held.batch": list(held.batches), "held.batch_sum": list(held.batches.values()),
        "decisions": list(state.decision_ids.by_id.values()),
        "held.credit_batch": [key for key, its in held.credits.items() for _ in its],
        "held.credit": [credit for its in held.credits.values() for credit in its],
        "labels.id": list(state.labels.by_id), "labels.label": list(state.labels.by_id.values()),
        "reviews.key": list(state.scoring.reviews.asked), "reviews.asked_ms": list(state.scoring.reviews.asked.values()),
        **{f"names.{kind}": list(table.names) for kind, table in state.scoring.tables.items()},
    }  # fmt: skip
    arrays: dict[str, npt.NDArray[Any]] = {f"panel.{name}": array.copy() for name, array in state.scoring.panel.arrays().items()}
    arrays |= {f"seen.{kind}": table.last_seen[: len(table.names)].copy() for kind, table in state.scoring.tables.items()}
    arrays |= {f"gate.{name}": array.copy() for name, array in state.scoring.gate.arrays().items()}
    arrays |= {"teach": state.scoring.teach.copy(), "trail": np.frombuffer(state.trail.hashes(), np.uint8)}
    return Frozen(header, msgspec.json.encode(_small(state)), columns, arrays)


def _fact_columns(state: State) -> dict[str, Collection[Any]]:
    """Facts that rules compare. Older generations never change and aren't copied; wallets change in place, so they are encoded here and now."""
    repeated, postings, outputs, wallets = state.repeated, state.postings, state.outputs, state.wallets
    security, holdings = state.security.changed_at_ms, state.holdings.by_key
    return {
        "security.account": list(security), "security.at_ms": list(security.values()),
        "repeated.young": list(repeated.young), "repeated.young_asked": list(repeated.young.values()),
        "repeated.old": repeated.old.keys(), "repeated.old_asked": repeated.old.values(),
        "repeated.habit": list(repeated.habits), "repeated.habit_times": list(repeated.habits.values()),
        "holdings.key": list(holdings), "holdings.state": list(holdings.values()),
        "postings.young": list(postings.young), "postings.young_told": list(postings.young.values()),
        "postings.old": postings.old.keys(), "postings.old_told": postings.old.values(),
        "outputs.young": list(outputs.young), "outputs.young_told": list(outputs.young.values()),
        "outputs.old": outputs.old.keys(), "outputs.old_told": outputs.old.values(),
        "wallets.id": list(wallets.by_id), "wallets.wallet": [msgspec.Raw(msgspec.json.encode(wallet)) for wallet in wallets.by_id.values()],
        "doubts": list(state.doubts.waiting),
    }  # fmt: skip


def _small(state: State) -> Small:
    sources, marks, scoring = state.sources, state.marks, state.scoring
    return Small(
        policy=state.policy,
        term=state.term,
        partitions=dict(state.partitions),
        clock=state.clock,
        totals=state.totals,
        sources=sources.state(),
        source_counts=(sources.repeats, sources.holes, sources.gaps),
        event_id_counts=(state.event_ids.repeats, state.event_ids.conflicts),
        held_complete=state.held.complete,
        held_overflown=state.held.overflown,
        layers=marks.ledger.layers,
        facts=small_facts(state),
        sums=marks.sums,
        total=marks.total,
        drain=marks.drain,
        stages=marks.stages,
        incident_counts=state.incidents.counts,
        incident_keys_evicted=state.incidents.keys.evicted,
        dirty=list(state.incidents.dirty),
        forgotten_version=marks.forgotten_version,
        withdrawal_evicted=state.withdrawals.evicted,
        rejected_at_ms=state.rejected_at_ms,
        blocks=scoring.blocks,
        last_run_ms=scoring.last_run_ms,
        ready=scoring.ready,
        table_evicted={kind: table.evicted for kind, table in scoring.tables.items()},
        pages=state.pages,
        page_storm=state.incidents.storm,
        review_bucket=scoring.reviews.bucket,
        review_overflow=scoring.reviews.overflow,
        review_counts=scoring.reviews.counts,
        labels_evicted=state.labels.evicted,
        approvals=state.approvals.by_event,
        decisions_forgotten_ms=state.decision_ids.forgotten_ms,
        snoozes=state.snoozes.by_key,
        snoozes_muted=state.snoozes.muted,
        proposals=dict(state.proposals),
        repeated=RepeatedCounts(state.repeated.since_ms, state.repeated.windows, state.repeated.repeating),
        usual_withdrawals={owner: usual.by_asset for owner, usual in state.usual_withdrawals.items()},
        usual_postings=state.usual_postings.by_asset,
        fact_counts=(
            state.security.evicted,
            state.holdings.evicted,
            state.doubts.dropped,
            state.wallets.unfollowed,
            state.wallets.changes,
            state.held.credits_dropped,
        ),
    )


def thaw(frozen: Frozen, plug_ins: PlugIns = none_installed) -> State:
    """The state that was frozen. Raises SnapshotRefusedError if its parts don't fit together."""
    try:
        return _thaw(frozen, plug_ins)
    except (msgspec.MsgspecError, ValueError, KeyError) as error:
        raise SnapshotRefusedError(f"its parts don't fit: {error}") from error


def _thaw(frozen: Frozen, plug_ins: PlugIns) -> State:
    small = msgspec.json.decode(frozen.small, type=Small)
    columns, arrays = frozen.columns, frozen.arrays
    state = State(small.policy, plug_ins)
    state.term, state.partitions, state.clock, state.totals = small.term, small.partitions, small.clock, small.totals
    sources, ids, withdrawals = state.sources, state.event_ids, state.withdrawals
    sources.restore(small.sources)
    sources.repeats, sources.holes, sources.gaps = small.source_counts
    ids.repeats, ids.conflicts = small.event_id_counts
    ids.young = dict(zip(columns["event_ids.young"], columns["event_ids.young_digest"], strict=True))
    ids.old = dict(zip(columns["event_ids.old"], columns["event_ids.old_digest"], strict=True))
    state.retried = dict.fromkeys(columns["retried"])
    withdrawals.by_id = dict(zip(columns["withdrawals.id"], columns["withdrawals.known"], strict=True))
    withdrawals.by_payment = dict(zip(columns["payments.key"], columns["payments.id"], strict=True))
    withdrawals.unread = dict(zip(columns["unread.id"], columns["unread.version"], strict=True))
    withdrawals.evicted = small.withdrawal_evicted
    for waiting in columns["waiting"]:
        state.outflows.wait(waiting.outflow, waiting.due_ms, len(columns["waiting"]))
    held = state.held
    for key, balance in zip(columns["held.key"], columns["held.balance"], strict=True):
        wallet_id, _, asset = key.rpartition(" ")
        held.set_balance(wallet_id, asset, balance, len(columns["held.key"]))
    held.complete, held.overflown = small.held_complete, small.held_overflown
    held.batches = dict(zip(columns["held.batch"], columns["held.batch_sum"], strict=True))
    held.credits_kept = len(columns["held.credit"])
    for key, credit in zip(columns["held.credit_batch"], columns["held.credit"], strict=True):
        held.credits.setdefault(key, []).append(credit)
    state.rejected_at_ms = small.rejected_at_ms
    state.trail.restore(arrays["trail"].tobytes(), frozen.header.previous_sha256)
    _thaw_facts(state, small, columns)
    _thaw_marks(state, small, columns)
    _thaw_scoring(state, small, columns, arrays)
    return state


def _thaw_facts(state: State, small: Small, columns: dict[str, Collection[Any]]) -> None:
    def table(keys: str, values: str) -> dict[Any, Any]:
        return dict(zip(columns[keys], columns[values], strict=True))

    repeated, postings, outputs, wallets = state.repeated, state.postings, state.outputs, state.wallets
    state.security.changed_at_ms = table("security.account", "security.at_ms")
    repeated.young, repeated.old = table("repeated.young", "repeated.young_asked"), table("repeated.old", "repeated.old_asked")
    repeated.habits = table("repeated.habit", "repeated.habit_times")
    repeated.since_ms, repeated.windows, repeated.repeating = small.repeated.since_ms, small.repeated.windows, small.repeated.repeating
    state.holdings.by_key = table("holdings.key", "holdings.state")
    postings.young, postings.old = table("postings.young", "postings.young_told"), table("postings.old", "postings.old_told")
    outputs.young, outputs.old = table("outputs.young", "outputs.young_told"), table("outputs.old", "outputs.old_told")
    wallets.by_id = table("wallets.id", "wallets.wallet")
    state.doubts.waiting = list(columns["doubts"])
    state.usual_postings.by_asset = small.usual_postings
    for owner, by_asset in small.usual_withdrawals.items():
        state.usual_withdrawals[owner].by_asset = by_asset
    state.security.evicted, state.holdings.evicted, state.doubts.dropped, wallets.unfollowed, wallets.changes, state.held.credits_dropped = (
        small.fact_counts
    )


def _thaw_marks(state: State, small: Small, columns: dict[str, Collection[Any]]) -> None:
    marks, incidents = state.marks, state.incidents
    marks.restore(small.layers, columns["marks"], columns["uncovered"], columns["layer_events"])
    restore_small_facts(state, small.facts)
    marks.unpriced = dict.fromkeys(columns["unpriced"])
    marks.sums, marks.total, marks.drain = small.sums, small.total, small.drain
    marks.stages, marks.forgotten_version = small.stages, small.forgotten_version
    incidents.restore(columns["incidents"], small.dirty, small.incident_counts)
    by_key = dict(zip(columns["incidents.key"], columns["incidents.key_ids"], strict=True))
    incidents.keys.restore(incidents.by_id, by_key, small.incident_keys_evicted)
    state.pages = small.pages
    state.incidents.storm = small.page_storm


def _thaw_scoring(state: State, small: Small, columns: dict[str, Collection[Any]], arrays: dict[str, npt.NDArray[Any]]) -> None:
    scoring = state.scoring
    for kind, table in scoring.tables.items():
        table.restore(list(columns[f"names.{kind}"]), arrays[f"seen.{kind}"], small.table_evicted[kind])
    scoring.panel.reserve({kind: len(table.names) for kind, table in scoring.tables.items()})
    scoring.panel.restore({name.removeprefix("panel."): array for name, array in arrays.items() if name.startswith("panel.")})
    scoring.gate.restore({name.removeprefix("gate."): array for name, array in arrays.items() if name.startswith("gate.")})
    scoring.teach = arrays["teach"]
    state.labels.by_id = dict(zip(columns["labels.id"], columns["labels.label"], strict=True))
    state.labels.evicted = small.labels_evicted
    state.approvals.by_event, state.snoozes.by_key, state.snoozes.muted = small.approvals, small.snoozes, small.snoozes_muted
    state.decision_ids.restore(list(columns["decisions"]), small.decisions_forgotten_ms)
    state.proposals = small.proposals
    reviews = scoring.reviews
    reviews.bucket, reviews.overflow, reviews.counts = small.review_bucket, small.review_overflow, small.review_counts
    reviews.asked = dict(zip(columns["reviews.key"], columns["reviews.asked_ms"], strict=True))
    scoring.blocks, scoring.last_run_ms, scoring.ready = small.blocks, small.last_run_ms, small.ready
