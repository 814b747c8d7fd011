"""The table of topics: name, key, structs, direction. A new event type is one struct file, one entry kind and one row here."""

import msgspec

from monitor.contracts import outputs
from monitor.contracts.account_events import AccountEvent
from monitor.contracts.balances import Balance
from monitor.contracts.base import Event
from monitor.contracts.feedback import Feedback
from monitor.contracts.holdings import Holding
from monitor.contracts.outflows import Outflow
from monitor.contracts.postings import Posting
from monitor.contracts.prices import Price
from monitor.contracts.providers import Provider
from monitor.contracts.reserves import Reserve
from monitor.contracts.wallet_events import WalletEvent
from monitor.contracts.withdrawals import Withdrawal


class InputTopic(msgspec.Struct, frozen=True):
    """One topic that the exchange writes and intake reads."""

    name: str
    key: str
    event: type[Event]
    entry_kind: str
    what: str


class OutputTopic(msgspec.Struct, frozen=True):
    """One topic that the monitor writes; `kept` for ever where an old record still says how something stands, or proves it."""

    name: str
    key: str | None
    records: tuple[type[msgspec.Struct], ...]
    partitions: int
    what: str
    kept: bool = False


INPUTS: tuple[InputTopic, ...] = (
    InputTopic("withdrawals", "account_id", Withdrawal, "withdrawal", "Life cycle of withdrawals."),
    InputTopic("outflows", "wallet_id", Outflow, "outflow", "What was seen leaving wallets on chain."),
    InputTopic("account-events", "account_id", AccountEvent, "account-event", "Logins and security changes of accounts."),
    InputTopic("wallet-events", "wallet_id", WalletEvent, "wallet-event", "Authority changes, send errors and node trouble of wallets."),
    InputTopic("postings", "account_id", Posting, "posting", "Credits and corrections on the internal books."),
    InputTopic("holdings", "account_id", Holding, "holding", "Quantities per customer and asset."),
    InputTopic("balances", "wallet_id", Balance, "balance", "Balances of wallets."),
    InputTopic("prices", "asset", Price, "price", "Prices in the base currency."),
    InputTopic("reserves", "layer_id", Reserve, "reserve", "Funding and draw of reserve layers."),
    InputTopic("providers", "provider_id", Provider, "provider", "Registry of custodians and system providers."),
    InputTopic("feedback", "subject_id", Feedback, "feedback", "People's decisions."),
)
RETRIES = "retries"  # dead letters sent again after a fix; decoded as the topic that its headers name
JOURNAL = "journal"
DEAD_LETTER = "dead-letter"
CONTROL = "control"  # rewinds (core or a person to intake) and quarantines (read by the core before it folds)

OUTPUTS: tuple[OutputTopic, ...] = (
    OutputTopic("verdicts", "account_id", (outputs.Verdict, outputs.Heartbeat), 4, "One verdict per withdrawal and version; a heartbeat a second."),
    OutputTopic("marks", "mark_id", (outputs.Mark,), 1, "Amounts earmarked against the reserve.", kept=True),
    OutputTopic("coverage", None, (outputs.Coverage,), 1, "Reserve against marks."),
    OutputTopic("incidents", "incident_id", (outputs.Incident,), 1, "All findings of one attack or failure.", kept=True),
    OutputTopic("alerts", "incident_id", (outputs.Alert,), 1, "Who is to be woken or told."),
    OutputTopic("audit", None, (outputs.Audit,), 1, "What the core noticed about itself and its sources.", kept=True),
)

INPUT_BY_NAME = {topic.name: topic for topic in INPUTS}
