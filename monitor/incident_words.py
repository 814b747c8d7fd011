"""The words of a page: what a person who was just woken must know, in two sentences or three, from numbers that he can check.

Pure: facts in, text out. Called by `monitor.incident_state`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from monitor.contracts.base import Cause
from monitor.findings import rule_of
from monitor.money import print_amount
from monitor.policy import Policy

GOING_ON_MS = 300_000
"""A finding within five minutes: it still goes on, for who must decide whether to stop a wallet."""
ASSETS_TOLD = 4
NEXT: dict[Cause, str] = {
    "unauthorized_access": "stop the wallet or account named here and call its provider; then release what turns out right",
    "system_failure": "stop the job or provider that sends, before it sends again; compare books and chain",
    "undecided": "find out why the records are missing or disagree; until then treat it as a loss",
}
_REGISTRY = "ask who connected this provider; put it into the registry, or stop what goes through it"
_SOURCE = "look at this source's writer and reader; what is judged by absence waits until it is read"
_BUDGET = "look at what went over the budget; find what makes so much odd, or raise the budget"
_KEPT = "decide about what stands, or raise limits.marks and limits.incidents: the core keeps all of it and needs more memory"
NEXT_OF_RULES: dict[str, str] = {
    "provider_unknown": _REGISTRY, "provider_unregistered": _REGISTRY, "blind": _SOURCE, "silent": _SOURCE, "hole": _SOURCE, "gap": _SOURCE,
    "replaced": _SOURCE, "review_budget_spent": _BUDGET, "page_budget_spent": _BUDGET, "kept_over_limit": _KEPT,
}  # fmt: skip
"""Where the cause says too little about what to do."""


class Facts(NamedTuple):
    """What is told of an incident. Amounts are those of standing marks."""

    rule: str
    cause: Cause
    detail: str
    certain: bool
    withdrawals: int
    accounts: int
    marked_minor: Mapping[str, int]
    marked_base_minor: int
    uncovered_base_minor: int
    unpriced: int
    places: Mapping[str, list[str]]
    last_finding_at_ms: int
    reserve: str = ""
    """What is left of the reserve, as a sentence, for whom it is to be told."""


def grouped(amount_minor: int, decimals: int) -> str:
    """An amount for people, its thousands set apart."""
    whole, point, fraction = print_amount(amount_minor, decimals).partition(".")
    return f"{int(whole):,}{point}{fraction}"


def _worth(told: Facts, policy: Policy) -> str:
    base = policy.base_currency
    worth = f"{grouped(told.marked_base_minor, policy.assets[base].decimals)} {base}"
    return f"at least {worth} (value unknown: no price)" if told.unpriced else worth


def title(told: Facts, policy: Policy) -> str:
    """What is wrong, and what it is about in money: one line."""
    name = rule_of(told.rule).title
    return f"{name}: {_worth(told, policy)}" if told.marked_minor else name


def summary(told: Facts, now_ms: int, policy: Policy) -> str:
    """What was found; how much; from where to where; whether it goes on; whether it is covered; what to do next."""
    return " ".join(_sentences(told, now_ms, policy))


def _sentences(told: Facts, now_ms: int, policy: Policy) -> Iterator[str]:
    yield f"{told.detail}."
    counted = f", in {told.withdrawals:,} withdrawal(s) of {told.accounts:,} account(s)" if told.withdrawals else ""
    yield f"{_amounts(told, policy)}{counted}{_places(told)}." if told.marked_minor else f"Nothing is marked as lost{counted}{_about(told)}."
    quiet_ms = now_ms - told.last_finding_at_ms
    yield "It still goes on." if quiet_ms <= GOING_ON_MS else f"Nothing new for {quiet_ms // 60_000:,} min."
    if told.marked_minor:
        yield _cover(told, policy)
    if told.reserve:
        yield told.reserve
    if told.certain or rule_of(told.rule).statistical:
        yield "A fixed rule is broken." if told.certain else "Detectors say so, nothing is proven."
    yield f"Next: {NEXT_OF_RULES.get(told.rule) or NEXT[told.cause]}."


def _amounts(told: Facts, policy: Policy) -> str:
    assets = [f"{grouped(minor, policy.assets[asset].decimals)} {asset}" for asset, minor in list(told.marked_minor.items())[:ASSETS_TOLD]]
    more = len(told.marked_minor) - len(assets)
    return f"{', '.join(assets)}{f' and {more} more asset(s)' if more else ''}, {_worth(told, policy)}"


def _places(told: Facts) -> str:
    words = {"wallet": "from wallet", "provider": "through provider", "address": "to"}
    parts = [f"{words[kind]} {', '.join(told.places[kind])}" for kind in words if told.places.get(kind)]
    return f" {' '.join(parts)}" if parts else ""


def _about(told: Facts) -> str:
    places = [f"{kind} {', '.join(names)}" for kind, names in told.places.items() if names]
    return f"; it is about {', '.join(places)}" if places else ""


def left(left_minor: int, whole_minor: int, policy: Policy) -> str:
    """What is left for one further event, of what the first could draw on (not nothing): a sentence."""
    base, decimals = policy.base_currency, policy.assets[policy.base_currency].decimals
    told, whole = grouped(left_minor, decimals), grouped(whole_minor, decimals)
    return f"Left for one further event of unauthorized access: {told} {base} of {whole} {base}, {left_minor * 100 // whole_minor} %."


def unpaged(number: int, base_minor: int, policy: Policy) -> str:
    """How many other incidents wait for their pages, and what they are worth: a sentence, where there are any."""
    base = policy.base_currency
    worth = f"{grouped(base_minor, policy.assets[base].decimals)} {base}"
    return f"{number:,} more incident(s) are critical, {worth} in all, and wake nobody for now: look at the list." if number else ""


def _cover(told: Facts, policy: Policy) -> str:
    base = policy.base_currency
    if told.uncovered_base_minor:
        return f"NOT COVERED: {grouped(told.uncovered_base_minor, policy.assets[base].decimals)} {base} of it are carried by no layer."
    if told.unpriced:
        return f"Whether it is covered isn't known: {told.unpriced:,} mark(s) have no price."
    return "The reserve covers it."
