"""What can be wrong: the table of rules, and findings, which are values. A new rule is one row here and the code that finds it.

Nothing here judges or marks; `monitor.engine` turns findings into verdicts, marks, incidents and alerts.
"""

from typing import Literal

import msgspec

from monitor.contracts.base import Cause, Owner
from monitor.contracts.outputs import Severity


class Rule(msgspec.Struct, frozen=True):
    """One rule: what it makes of a withdrawal, how much it matters, and its title for a woken person.

    `verdict` is the least verdict that it asks for; `incident` says whether it opens one. A rule of severity critical is never muted.
    """

    title: str
    severity: Severity
    cause: Cause
    verdict: Literal["WATCH", "HOLD"] | None = None
    incident: bool = True


RULES: dict[str, Rule] = {
    "redirect": Rule("Paid to another destination than requested", "critical", "unauthorized_access", "HOLD"),
    "amount_changed": Rule("More paid than requested", "critical", "unauthorized_access", "HOLD"),
    "double_payout": Rule("One withdrawal paid by two transactions", "critical", "system_failure", "HOLD"),
    "more_than_held": Rule("More than is held", "critical", "system_failure", "HOLD"),
    "outflow_without_request": Rule("Assets left without a request", "critical", "unauthorized_access"),
    "surprise": Rule("Unusual for this account", "warning", "unauthorized_access"),
    "half_space_trees": Rule("Unusual combination", "warning", "unauthorized_access"),
    "young_address_payers": Rule("Many accounts pay to a new address", "warning", "unauthorized_access", "WATCH"),
    "first_seen_rate": Rule("Many withdrawals to addresses never seen before", "warning", "unauthorized_access", "WATCH"),
    "shared_device": Rule("One device is new to many accounts", "critical", "unauthorized_access", "HOLD"),
    "shared_network": Rule("One network is new to many accounts", "warning", "unauthorized_access", "WATCH"),
    "shared_api_key": Rule("One API key is new to many accounts", "critical", "unauthorized_access", "HOLD"),
    "batch_accounts": Rule("A batch unlike those before", "critical", "unauthorized_access", "HOLD"),
    "wallet_outflow": Rule("A wallet pays out far more than usual", "critical", "unauthorized_access", "HOLD"),
    "asset_outflow": Rule("Far more than usual of an asset leaves", "warning", "unauthorized_access", "WATCH"),
    "provider_shift": Rule("A provider signs another kind of payouts than before", "critical", "unauthorized_access", "HOLD"),
    "never_requested": Rule("Paid without a request that was seen", "warning", "undecided"),
    "paid_after_cancellation": Rule("Paid after it was cancelled", "critical", "system_failure", "HOLD"),
    "rejected": Rule("A record that could not be read", "warning", "undecided", incident=False),
    "rejected_flood": Rule("Many unreadable withdrawals or outflows", "critical", "undecided"),
    "detectors_failed": Rule("The detectors failed on this withdrawal", "warning", "undecided", incident=False),
    "repeat_conflict": Rule("One event id with two contents", "warning", "undecided"),
    "gap": Rule("Records were deleted before they were read", "critical", "undecided"),
    "replaced": Rule("Another log under a source's name", "critical", "undecided"),
    "hole": Rule("Records are missing and reading again did not help", "critical", "undecided"),
    "blind": Rule("Nothing is heard of a source", "warning", "undecided"),
}


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
    """One thing that is wrong: by which rule, with numbers that a person can check, tied to what (`keys`)."""

    rule: str
    detail: str
    at_ms: int
    keys: tuple[str, ...] = ()
    p_value: float | None = None
    subject: Subject | None = None
