"""Topic `postings`, key account_id: credits and corrections on the exchange's internal books."""

from typing import Literal

from monitor.contracts.base import Amount, AssetId, Event, Id, Owner, Text


class Posting(Event, frozen=True, kw_only=True, gc=False):
    """One posting to an account's balance."""

    posting_id: Id
    account_id: Id
    kind: Literal["credit", "debit"]
    asset: AssetId
    amount: Amount
    owner: Owner = "customer"
    actor: Id | None = None
    batch_id: Id | None = None
    reason: Text | None = None
