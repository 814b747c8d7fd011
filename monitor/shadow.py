"""A proposed policy in shadow: one journal is folded twice, as it was and under the proposed policy, and what both decide is compared.

Pure; publishes nothing. People's decisions stay as they were: those that don't fit what the proposed policy decided are refused in its fold.
Called by `streams.shadow`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from detectors.registry import PlugIns, none_installed
from monitor.contracts.journal import JournalEntry, TermEntry
from monitor.engine import Engine, Scope
from monitor.layers import layer_faults, terms_of
from monitor.policies import digest, first_policy, next_version, reconciled
from monitor.policy import Asset, Policy
from monitor.shadow_differences import LISTED_MAX, TRACKED_MAX, Differences
from monitor.shadow_result import Compared, Difference

BASES_MAX = 64
"""Tables of assets that may have stood when a policy was proposed: as many terms that name new ones, approved or not."""
_decode = msgspec.json.Decoder(JournalEntry).decode
_encode = msgspec.json.Encoder().encode


def term_of(entry: bytes) -> TermEntry | None:
    """The term that an entry is; None for any other. What isn't one is told without decoding it."""
    if b'"policy"' not in entry or b'"partitions"' not in entry:
        return None
    try:
        decoded = _decode(entry)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return decoded if isinstance(decoded, TermEntry) else None


class Terms:
    """What a journal's terms told: its first policy, all assets, and every policy that was or could be proposed, by its hash."""

    def __init__(self) -> None:
        self.first: Policy | None = None
        self.assets: dict[str, Asset] = {}
        self.proposals: dict[str, Policy] = {}
        self._bases: list[Policy] = []

    def take(self, entries: Sequence[bytes]) -> None:
        """The next entries."""
        for entry in entries:
            term = term_of(entry)
            if term is not None:
                self._told(term.policy)

    def _told(self, policy: Policy) -> None:
        if self.first is None:
            self.first = policy = first_policy(policy)
        self.assets = {**policy.assets, **self.assets}
        # Whether an earlier one was approved decides on what assets a proposal is told, and so on its hash: any may have been.
        for base in self._bases or [policy]:
            proposal, _ = reconciled(base, policy)
            self.proposals[digest(proposal)] = proposal
        known = [base.assets for base in self._bases]
        made = [reconciled(base, policy)[0] for base in self._bases] or [policy]
        self._bases += [each for each in made if each.assets not in known]
        del self._bases[BASES_MAX:]


class Proposed(NamedTuple):
    """A policy as it is folded in shadow, and what of what was asked for can't be had."""

    policy: Policy
    refused: list[str]


def proposed_policy(terms: Terms, policy: Policy) -> Proposed | str:
    """The policy as the journal's terms let it be had, or why it can't be, as a sentence."""
    first = terms.first
    if first is None:
        return "The journal has no term: it isn't one that a core has written."
    policy, refused = reconciled(replace(first, assets=terms.assets), policy)
    for field, why in layer_faults(policy):
        return f"The proposed policy can't be had: layers.{field} {why}"
    return Proposed(next_version(first, policy), refused)


class Shadow:
    """Two folds of one journal from its first entry on."""

    def __init__(
        self, journal_id: str, policy: Policy, *, since_ms: int = 0, quarantines: Mapping[int, Scope] | None = None,
        plug_ins: PlugIns = none_installed, tracked_max: int = TRACKED_MAX, listed_max: int = LISTED_MAX,
    ) -> None:  # fmt: skip
        self.policy = policy
        self.standing = Engine(journal_id, quarantines, plug_ins)
        self.proposed = Engine(journal_id, quarantines, plug_ins)
        self._differences = Differences(policy.base_currency, policy.assets[policy.base_currency].decimals, since_ms, tracked_max, listed_max)

    @property
    def next_offset(self) -> int:
        """Of the entry that is folded next."""
        return self.standing.next_offset

    def fold(self, entries: Sequence[bytes]) -> list[Difference]:
        """Take the next entries in both; returns the differences that they bring, and those that end. Raises what `Engine.fold` raises."""
        start = self.next_offset
        outputs = self.standing.fold(start, entries)
        return self._differences.take(outputs, self.proposed.fold(start, [self._shadowed(entry) for entry in entries]))

    def _shadowed(self, entry: bytes) -> bytes:
        """A term tells the proposed policy, whoever tells it; everything else is as it was."""
        term = term_of(entry)
        return entry if term is None else _encode(replace(term, policy=self.policy))

    def result(self) -> Compared:
        """The comparison of all that was folded."""
        return self._differences.result()

    def refused(self) -> list[str]:
        """Why its layers would be refused if it were adopted as things stand now; in shadow it had them from the first entry on."""
        ledger = self.standing.state.marks.ledger
        return ledger.refuses(terms_of(self.policy.layers, self.policy.assets))
