"""Who is one person: whoever holds one private key, under whatever names. Compared by the key's bytes, since base64 has several spellings of them.

Pure values of a policy. Called wherever two must be two: `monitor.policies`, `monitor.decided`, `monitor.mark_commands`, `monitor.sign_offs`.
"""

import base64
from collections.abc import Iterator, Mapping

from monitor.policy import Actor, Policy
from monitor.signatures import public_key


def person(policy: Policy, name: str) -> str:
    """The person behind a name: the key in its one canonical spelling; empty where the policy has none."""
    actor = policy.actors.get(name)
    key = None if actor is None else public_key(actor.public_key)
    return "" if key is None else base64.b64encode(key).decode()


def one_under_two_names(actors: Mapping[str, Actor]) -> Iterator[tuple[str, str]]:
    """Pairs of actors that have one key, each name with the first that has it. One person can't be two."""
    seen: dict[bytes, str] = {}
    for name, actor in actors.items():
        key = public_key(actor.public_key)
        if key is None:
            continue
        if key in seen:
            yield seen[key], name
        seen.setdefault(key, name)
