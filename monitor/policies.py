"""Which policy decides: the first term's, then what terms bring, or, where people may decide about policies, what two of them approve.

A worker's configuration is told in its term and so in the journal; whose content differs from what decides is a proposal, or is adopted as the next
version where nobody may approve it. Called by `monitor.engine` and `monitor.commands`.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from monitor.money import parse_amount
from monitor.persons import one_under_two_names
from monitor.policy import Policy

BASE_AMOUNTS = (("four_eyes", "above_base_amount"), ("thresholds", "page_base_amount"), ("thresholds", "unit_confusion_base_amount"))
"""The policy's amounts in the base currency; the layers' are in their own units."""


class Proposal(msgspec.Struct, frozen=True):
    """A policy that waits for its approval, by the hash that people sign."""

    policy: Policy
    sha256: str


PROPOSALS_MAX = 8
"""Policies that wait at once: each worker's file is at most one."""


def propose(proposals: dict[str, Proposal], proposal: Proposal) -> None:
    """A proposal waits until a policy is decided about; over the limit the longest untold goes. Another one, or who is the core's owner, ends none."""
    proposals.pop(proposal.sha256, None)
    proposals[proposal.sha256] = proposal
    if len(proposals) > PROPOSALS_MAX:
        del proposals[next(iter(proposals))]


def digest(policy: Policy) -> str:
    """SHA-256 of a policy's content, hexadecimal, whatever the order of its tables; its version is left out, since the core gives it."""
    return sha256(msgspec.json.encode(msgspec.structs.replace(policy, version=1), order="deterministic")).hexdigest()


def needs_approval(policy: Policy) -> bool:
    """Whether somebody may decide about policies: then nobody else can."""
    return bool(administrators(policy))


def administrators(policy: Policy) -> list[str]:
    """Who may decide about policies; two of them must."""
    able = {name for name, role in policy.roles.items() if "change_policy" in role.commands}
    return [name for name, actor in policy.actors.items() if not actor.machine and not able.isdisjoint(actor.roles)]


def reconciled(standing: Policy, policy: Policy) -> tuple[Policy, list[str]]:
    """A policy as far as it can be had under the standing one, and what of it is refused, because the ledger stands on it.

    Assets that were once known stay known, with the decimals that they had; the base currency never changes, so that an amount in another, or one that
    can't be read in it, is none: the standing one stays. A key belongs to one actor.
    """
    refused = [
        f"asset {name} keeps its {asset.decimals} decimals" for name, asset in standing.assets.items() if policy.assets.get(name, asset) != asset
    ]
    if policy.base_currency != standing.base_currency:
        refused.append(f"the base currency stays {standing.base_currency}")
    foreign, decimals = policy.base_currency != standing.base_currency, standing.assets[standing.base_currency].decimals
    policy = msgspec.structs.replace(policy, assets={**policy.assets, **standing.assets}, base_currency=standing.base_currency)
    for table, name in BASE_AMOUNTS:
        told, stays = (getattr(getattr(each, table), name) for each in (policy, standing))
        if foreign or not isinstance(parse_amount(told, decimals), int):
            policy = msgspec.structs.replace(policy, **{table: msgspec.structs.replace(getattr(policy, table), **{name: stays})})
            if told != stays:
                refused.append(f"{table}.{name} ({told}) is no amount of {standing.base_currency}: {stays} stays")
    faults = [f"actors {one} and {other} have one key, and one person can't be two" for one, other in one_under_two_names(policy.actors)]
    if len(administrators(policy)) == 1:
        faults.append(f"only {administrators(policy)[0]} may change the policy, which needs two")
    if faults:
        policy = msgspec.structs.replace(policy, actors=standing.actors, roles=standing.roles)
        refused.append(f"{'; '.join(faults)}: the former actors and roles stay")
    return policy, refused


def first_policy(policy: Policy) -> Policy:
    """The first policy as far as it can be had: nobody who would be two persons may decide."""
    doubled = {name for pair in one_under_two_names(policy.actors) for name in pair}
    return msgspec.structs.replace(policy, actors={name: actor for name, actor in policy.actors.items() if name not in doubled})


def next_version(standing: Policy, policy: Policy) -> Policy:
    """The policy with a version of its own: what is decided under another content never carries the same number."""
    return msgspec.structs.replace(policy, version=max(policy.version, standing.version + 1))


def differences(standing: Policy, policy: Policy) -> str:
    """The fields in which two policies differ, the version apart, for people."""
    names = [name for name in Policy.__struct_fields__ if name != "version" and getattr(standing, name) != getattr(policy, name)]
    return ", ".join(names) or "nothing"


class Changed(NamedTuple):
    """One value that two policies have otherwise, as JSON; none where it isn't there."""

    setting: str
    standing: str | None
    proposed: str | None


def changes(standing: Policy, policy: Policy) -> list[Changed]:
    """The same value by value; lists are one value."""
    before, after = dict(_values(msgspec.to_builtins(standing), ())), dict(_values(msgspec.to_builtins(policy), ()))
    names = [name for name in dict.fromkeys((*before, *after)) if name != "version" and before.get(name) != after.get(name)]
    return [Changed(name, before.get(name), after.get(name)) for name in names]


def _values(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _values(inner, (*path, str(name)))
    else:
        yield ".".join(path), msgspec.json.encode(value).decode()
