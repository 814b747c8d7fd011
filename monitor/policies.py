"""Which policy decides: the first term's, then what terms bring, or, where people may decide about policies, what two of them approve.

A worker's configuration is told in its term and so in the journal; whose content differs from what decides is a proposal, or is adopted as the next
version where nobody may approve it. Called by `monitor.engine` and `monitor.commands`.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec

from monitor.policy import Policy


class Proposal(msgspec.Struct, frozen=True):
    """A policy that waits for its approval, by the hash that people sign."""

    policy: Policy
    sha256: str


def digest(policy: Policy) -> str:
    """SHA-256 of a policy's content, hexadecimal; its version is left out, since the core gives it."""
    return sha256(msgspec.json.encode(msgspec.structs.replace(policy, version=1))).hexdigest()


def needs_approval(policy: Policy) -> bool:
    """Whether somebody may decide about policies: then nobody else can."""
    people = [actor for actor in policy.actors.values() if not actor.machine]
    return any(role in policy.roles and "change_policy" in policy.roles[role].commands for actor in people for role in actor.roles)


def reconciled(standing: Policy, policy: Policy) -> tuple[Policy, list[str]]:
    """A policy as far as it can be had under the standing one, and what of it is refused, because the ledger stands on it.

    Assets that were once known stay known, with the decimals that they had; the base currency never changes.
    """
    refused = [
        f"asset {name} keeps its {asset.decimals} decimals" for name, asset in standing.assets.items() if policy.assets.get(name, asset) != asset
    ]
    if policy.base_currency != standing.base_currency:
        refused.append(f"the base currency stays {standing.base_currency}")
    return msgspec.structs.replace(policy, assets={**policy.assets, **standing.assets}, base_currency=standing.base_currency), refused


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
