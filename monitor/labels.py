"""Labels: what people say a withdrawal was, as votes. A label counts for the detectors when enough people agree, and no longer when they don't.

Pure state over votes; who may vote is checked before (`monitor.decided`). Bounded: the oldest labels can't be revoked any more, what they
taught stays.
"""

from itertools import islice
from typing import Literal

import msgspec

from monitor.entities import EVICTED_SHARE

Vote = Literal["confirm", "clear"]


class Label(msgspec.Struct, frozen=True):
    """What each person (by key) says of one withdrawal, and what counts: True a fraud, False none, None not agreed."""

    observation: int
    votes: dict[str, Vote] = {}
    counted: bool | None = None


class Labels:
    """Labels by withdrawal."""

    def __init__(self) -> None:
        self.by_id: dict[str, Label] = {}
        self.evicted = 0

    def vote(self, withdrawal_id: str, observation: int, person: str, vote: Vote | None, approvals: int, limit: int) -> tuple[Label, Label]:
        """One person's newest word on a withdrawal, None takes the former one back; the label before and after."""
        before = self.by_id.get(withdrawal_id, Label(observation))
        votes = {other: said for other, said in before.votes.items() if other != person}
        if vote is not None:
            votes[person] = vote
        after = Label(before.observation, votes, agreed(votes, approvals))
        self.by_id.pop(withdrawal_id, None)
        self.by_id[withdrawal_id] = after
        if len(self.by_id) > limit:
            for old in list(islice(self.by_id, limit // EVICTED_SHARE)):
                del self.by_id[old]
                self.evicted += 1
        return before, after


def agreed(votes: dict[str, Vote], approvals: int) -> bool | None:
    """What enough people agree on: nothing if as many say the opposite."""
    frauds = sum(vote == "confirm" for vote in votes.values())
    honest = len(votes) - frauds
    if frauds >= approvals > honest:
        return True
    return False if honest >= approvals > frauds else None
