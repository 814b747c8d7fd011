"""Topic `journal`: all that the core reacts to, in one order. Entries are events as they came, or facts of our own.

Written by intake (`monitor.intake`) and by the core's owner (terms and Ticks); read by the core alone and by the archive.
An entry that stands for a source record says which: `source` is "topic/partition"; its writer read the source from `start`
to `offset` and met nothing between. The event's own bytes are embedded as they came.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from monitor.contracts.account_events import AccountEvent
from monitor.contracts.balances import Balance
from monitor.contracts.base import Id, Text, TimeMs
from monitor.contracts.feedback import Feedback
from monitor.contracts.holdings import Holding
from monitor.contracts.outflows import Outflow
from monitor.contracts.postings import Posting
from monitor.contracts.prices import Price
from monitor.contracts.providers import Provider
from monitor.contracts.reserves import Reserve
from monitor.contracts.wallet_events import WalletEvent
from monitor.contracts.withdrawals import Withdrawal
from monitor.policy import Policy

Offset = Annotated[int, Meta(ge=0)]


class Entry(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag_field="kind"):
    """What every entry carries: the writer's clock."""

    clock_ms: Annotated[TimeMs, Meta(description="The writer's clock when it wrote the entry.")]


class Sourced(Entry, frozen=True, kw_only=True, gc=False):
    """An entry that stands for one record of an input topic."""

    source: Annotated[str, Meta(description='"topic/partition", the topic without the prefix.')]
    start: Annotated[Offset, Meta(description="First offset that the writer read for this entry.")]
    offset: Annotated[Offset, Meta(description="Offset of the record.")]
    retry_of: Annotated[str | None, Meta(description='"topic/partition@offset" of the rejected record that this one repairs.')] = None


class WithdrawalEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="withdrawal"):
    event: Withdrawal


class OutflowEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="outflow"):
    event: Outflow
    time_replaced: Annotated[bool, Meta(description="The event's own time was absurd: clock_ms stands in for it.")] = False


class AccountEventEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="account-event"):
    event: AccountEvent


class WalletEventEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="wallet-event"):
    event: WalletEvent


class PostingEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="posting"):
    event: Posting


class HoldingEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="holding"):
    event: Holding


class BalanceEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="balance"):
    event: Balance


class PriceEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="price"):
    event: Price


class ReserveEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="reserve"):
    event: Reserve


class ProviderEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="provider"):
    event: Provider


class FeedbackEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="feedback"):
    event: Feedback


class RejectedEntry(Sourced, frozen=True, kw_only=True, gc=False, tag="rejected"):
    """A record that could not be accepted; its bytes are in `dead-letter` under the same position."""

    reason: str
    detail: Text
    value_sha256: Annotated[str | None, Meta(description="SHA-256 of the record's value, hexadecimal; none for a null value.")] = None
    value_bytes: Annotated[int, Meta(ge=0)] = 0
    withdrawal_id: Id | None = None
    account_id: Id | None = None


class SourceOpenedEntry(Entry, frozen=True, kw_only=True, gc=False, tag="source-opened"):
    """An intake worker took a source over and reads on from `position`."""

    source: str
    position: Offset
    log_start: Offset
    log_end: Offset
    why: Literal["first", "resumed", "rewound"]
    writer: Annotated[str, Meta(description="Which worker wrote it.")]
    previous_sha256: Annotated[str | None, Meta(description="SHA-256 of the value at position - 1, hexadecimal, while that is in the log.")] = None


class ProgressEntry(Entry, frozen=True, kw_only=True, gc=False, tag="progress"):
    """The source's reader stands at its end: nothing older than clock_ms is still to come from it."""

    source: str
    position: Offset
    log_end: Offset


class SourceAcceptedEntry(Entry, frozen=True, kw_only=True, gc=False, tag="source-accepted"):
    """A person accepts a source that was replaced or has a hole: reading goes on from `position`."""

    source: str
    position: Offset
    actor: Id
    reason: Text


class TermEntry(Entry, frozen=True, kw_only=True, gc=False, tag="term"):
    """A worker became the core's owner. Policy is taken from here and from nowhere else."""

    term: Id
    engine_version: str
    policy: Policy
    partitions: Annotated[dict[str, int], Meta(description="Partitions of each input topic, by name without the prefix.")]


class TickEntry(Entry, frozen=True, kw_only=True, gc=False, tag="tick"):
    """Wall time, once a second, from the term's owner."""

    term: Id


EventEntry = (
    WithdrawalEntry | OutflowEntry | AccountEventEntry | WalletEventEntry | PostingEntry | HoldingEntry
    | BalanceEntry | PriceEntry | ReserveEntry | ProviderEntry | FeedbackEntry
)  # fmt: skip
JournalEntry = (
    EventEntry | RejectedEntry | SourceOpenedEntry | ProgressEntry | SourceAcceptedEntry | TermEntry | TickEntry
)  # fmt: skip
