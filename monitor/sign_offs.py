"""Sign-offs of a compensation file: who may, what is signed, and whether two different persons have. Pure.

The signature is over the statement's SHA-256, so that one changed unit makes it nobody's. Called by `streams.compensation_files`.
"""

from collections.abc import Iterable
from hashlib import sha256

import msgspec

from monitor.contracts.compensation import SignOff, Status
from monitor.decided import may
from monitor.persons import person
from monitor.policy import Policy
from monitor.signatures import is_signature, public_key

PERSONS = 2


def message(incident_id: str, statement_sha256: str, actor: str) -> bytes:
    """What is signed."""
    return msgspec.json.encode(["compensation", incident_id, statement_sha256, actor])


def sign_off_fault(sign_off: SignOff, incident_id: str, statement: bytes, policy: Policy) -> str | None:
    """Why a sign-off doesn't count for a statement under a policy, None if it does."""
    actor = policy.actors.get(sign_off.actor)
    key = None if actor is None else public_key(actor.public_key)
    if actor is None or key is None:
        return f"the policy has no key of {sign_off.actor}"
    if not may(policy, actor, "compensated"):  # a machine never may
        return f"{sign_off.actor} may not decide that something is compensated"
    if (sign_off.incident_id, sign_off.statement_sha256) != (incident_id, sha256(statement).hexdigest()):
        return f"{sign_off.actor} has signed another statement"
    if not is_signature(sign_off.signature, message(incident_id, sign_off.statement_sha256, sign_off.actor), key):
        return f"the signature isn't {sign_off.actor}'s"
    return None


def status(good: Iterable[SignOff], suspected: int, policy: Policy) -> Status:
    """DRAFT until two different persons, by their keys, have signed and nothing is only suspected."""
    persons = {person(policy, sign_off.actor) for sign_off in good}
    return "SIGNED" if len(persons) >= PERSONS and suspected == 0 else "DRAFT"
