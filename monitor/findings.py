"""What can be wrong: the table of rules, and findings, which are values. A new rule is one row here and the code that finds it.

Nothing here judges or marks; `monitor.engine` turns findings into verdicts, marks, incidents and alerts.
"""

from collections.abc import Iterable
from typing import Literal

import msgspec

from monitor.contracts.base import Cause, Owner
from monitor.contracts.outputs import Severity


class Rule(msgspec.Struct, frozen=True):
    """One rule: what it makes of a withdrawal, how much it matters, and its title for a woken person.

    `verdict` is the least verdict that it asks for; `incident` says whether it opens one. A critical rule is never muted, unless it is
    `statistical`, a detector's opinion: then it pages within the budget.
    """

    title: str
    severity: Severity
    cause: Cause
    verdict: Literal["WATCH", "HOLD"] | None = None
    incident: bool = True
    statistical: bool = False


RULES: dict[str, Rule] = {
    "redirect": Rule("Paid to another destination than requested", "critical", "unauthorized_access", "HOLD"),
    "amount_changed": Rule("More paid than requested", "critical", "unauthorized_access", "HOLD"),
    "double_payout": Rule("One withdrawal paid by two transactions", "critical", "system_failure", "HOLD"),
    "more_than_held": Rule("More than is held", "critical", "system_failure", "HOLD"),
    "outflow_without_request": Rule("Assets left without a request", "critical", "unauthorized_access"),
    "account_lane": Rule("Unusual for this account", "warning", "unauthorized_access", statistical=True),
    "destination_lane": Rule("Frauds were reported of this destination", "warning", "unauthorized_access", statistical=True),
    "half_space_trees": Rule("Unusual combination", "warning", "unauthorized_access", statistical=True),
    "young_address_payers": Rule("Many accounts pay to a new address", "critical", "unauthorized_access", "WATCH", statistical=True),
    "first_seen_rate": Rule("Many withdrawals to addresses never seen before", "warning", "unauthorized_access", "WATCH", statistical=True),
    "shared_device": Rule("One device is new to many accounts", "critical", "unauthorized_access", "HOLD", statistical=True),
    "shared_network": Rule("One network is new to many accounts", "warning", "unauthorized_access", "WATCH", statistical=True),
    "shared_api_key": Rule("One API key is new to many accounts", "critical", "unauthorized_access", "HOLD", statistical=True),
    "batch_accounts": Rule("A batch unlike those before", "critical", "unauthorized_access", "HOLD", statistical=True),
    "wallet_outflow": Rule("A wallet pays out far more than usual", "critical", "unauthorized_access", "HOLD", statistical=True),
    "asset_outflow": Rule("Far more than usual of an asset leaves", "warning", "unauthorized_access", "WATCH", statistical=True),
    "provider_shift": Rule("A provider signs another kind of payouts than before", "critical", "unauthorized_access", "WATCH", statistical=True),
    "reported": Rule("People say that it was a loss", "warning", "unauthorized_access", "HOLD"),
    "never_requested": Rule("Paid without a request that was seen", "warning", "undecided"),
    "sent_again": Rule("Sent again after it was paid", "warning", "system_failure", "HOLD"),
    "replayed_request": Rule("One request asked for again", "warning", "system_failure", "HOLD"),
    "repeated_request": Rule("The same payment asked for again", "notice", "system_failure", "WATCH"),
    "step_missing": Rule("Signed or sent without a step that always came before", "warning", "unauthorized_access", "HOLD"),
    "steps_out_of_order": Rule("Steps of a withdrawal out of order", "notice", "system_failure"),
    "clock_disorder": Rule("Times that can't be right", "notice", "system_failure"),
    "unit_confusion": Rule("An amount that makes sense in another asset's units", "warning", "system_failure", "WATCH"),
    "more_than_holding": Rule("More asked for than the account holds", "warning", "undecided", "WATCH"),
    "posting_mismatch": Rule("One posting with two amounts", "warning", "system_failure"),
    "authority_changed": Rule("Who may sign for a wallet changed", "warning", "unauthorized_access"),
    "large_after_authority_change": Rule("A large payment after a wallet's signers changed", "critical", "unauthorized_access", "HOLD"),
    "send_errors": Rule("A wallet's sends fail", "warning", "undecided"),
    "frozen_wallet_pays": Rule("A frozen wallet pays", "critical", "unauthorized_access", "HOLD"),
    "balance_unexplained": Rule("A balance fell without a payment that explains it", "warning", "unauthorized_access"),
    "silent": Rule("A source is silent for far longer than usual", "notice", "undecided"),
    "paid_after_cancellation": Rule("Paid after it was cancelled", "critical", "system_failure", "HOLD"),
    "rejected": Rule("A record that could not be read", "warning", "undecided", incident=False),
    "rejected_flood": Rule("Many unreadable withdrawals or outflows", "critical", "undecided"),
    "detectors_failed": Rule("The detectors failed on this withdrawal", "warning", "undecided", incident=False),
    "repeat_conflict": Rule("One event id with two contents", "warning", "undecided"),
    "gap": Rule("Records were deleted before they were read", "critical", "undecided"),
    "replaced": Rule("Another log under a source's name", "critical", "undecided"),
    "hole": Rule("Records are missing and reading again did not help", "critical", "undecided"),
    "review_budget_spent": Rule("More is odd than people can review", "warning", "undecided"),
    "kept_over_limit": Rule("More losses stand than the limits are made for", "warning", "undecided"),
    "page_budget_spent": Rule("More alarms than people can be woken for", "warning", "undecided"),
    "headroom_low": Rule("Less of the reserve is left than a configured level", "warning", "undecided", incident=False),
    "reserve_nearly_used_up": Rule("The reserve is nearly used up", "critical", "undecided", incident=False),
    "exhaustion_near": Rule("At this drain the reserve is soon used up", "warning", "undecided", incident=False),
    "hot_share_high": Rule("More of customers' assets is in hot wallets than may be", "warning", "undecided", incident=False),
    "guarantee_short": Rule("Customers have more of an asset in hot wallets than its guarantee", "warning", "undecided", incident=False),
    "provider_unknown": Rule("A provider that the registry doesn't know", "warning", "undecided"),
    "provider_unregistered": Rule("A provider that is neither registered nor notified", "warning", "undecided"),
    "blind": Rule("Nothing is heard of a source", "warning", "undecided"),
}


def rule_of(name: str) -> Rule:
    """The rule of that name; of a detector beside ours, which has no row, an opinion that asks for a review and opens no alarm of its own."""
    return RULES.get(name) or Rule(f"Unusual by the detector {name}", "warning", "unauthorized_access", statistical=True)


class Subject(msgspec.Struct, frozen=True):
    """The assets that a finding is about; `mark_id` names the loss, so that one loss is marked once."""

    mark_id: str
    withdrawal_id: str | None
    account_id: str | None
    owner: Owner
    asset: str
    amount_minor: int
    provider_id: str | None = None


class Finding(msgspec.Struct, frozen=True):
    """One thing that is wrong: by which rule, with numbers that a person can check, tied to what (`keys`).

    `beside` are losses that the same finding shows to have happened before.
    """

    rule: str
    detail: str
    at_ms: int
    keys: tuple[str, ...] = ()
    p_value: float | None = None
    subject: Subject | None = None
    beside: tuple[Subject, ...] = ()


AMBIENT = frozenset(("asset", "budget", "clock", "everything", "rejected", "source"))
"""Keys of what all customers share or of our own state: findings under them are one incident, but tie nothing else to it."""


def is_ambient(keys: Iterable[str]) -> bool:
    """Whether any of the keys is of what all share."""
    return any(key.partition(":")[0] in AMBIENT for key in keys)


def ties(finding: Finding) -> tuple[str, ...]:
    """Everything that ties a finding to an incident: what it is about, the account, and, where somebody else signs, the provider.

    Who gets at one wallet of a provider's may get at the others; a customer's mistakes say nothing of it.
    """
    keys = tuple(dict.fromkeys(key for key in finding.keys if not key.endswith(":")))
    subject = finding.subject
    if subject is None or is_ambient(keys):
        return keys
    more = []
    if subject.account_id is not None:
        more.append(f"account:{subject.account_id}")
    rule = rule_of(finding.rule)
    if subject.provider_id is not None and rule.cause == "unauthorized_access" and not rule.statistical:
        more.append(f"provider:{subject.provider_id}")
    return (*keys, *(key for key in more if key not in keys))
