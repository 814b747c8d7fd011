"""Which policy decides: the first term's, then what terms bring, or, where people may decide about policies, what two of them approve.

A worker's configuration is told in its term and so in the journal; whose content differs from what decides is a proposal, or is adopted as the next
version where nobody may approve it. Called by `monitor.engine` and `monitor.commands`.
"""

from hashlib import sha256

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


def next_version(standing: Policy, policy: Policy) -> Policy:
    """The policy with a version of its own: what is decided under another content never carries the same number."""
    return msgspec.structs.replace(policy, version=max(policy.version, standing.version + 1))


def differences(standing: Policy, policy: Policy) -> str:
    """The fields in which two policies differ, the version apart, for people."""
    names = [name for name in Policy.__struct_fields__ if name != "version" and getattr(standing, name) != getattr(policy, name)]
    return ", ".join(names) or "nothing"
