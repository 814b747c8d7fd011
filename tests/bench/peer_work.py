"""The work that every peer does, fixed here so that peers differ only in how records reach it and verdicts leave it.

Decode every record, take it into the account's profile; for every withdrawal requested also score and learn with river's
half-space trees (10 trees of height 8) and encode a verdict. The monitor gives one verdict per withdrawal, so the peers score
one record in five as well: scoring all five would make them several times slower and us look better by as much. `every_record`
does that, for a second figure. Never reads or writes Kafka; called by the peer programs.
"""

import time
from typing import Any

import msgspec
from river import anomaly

from monitor.contracts.withdrawals import Withdrawal

TREES = 10
HEIGHT = 8
WINDOW = 250
HOLD_SCORE = 0.98
Profile = list[float]
"""Of one account: records seen, requests seen, mean amount, largest amount, time of the last request in ms."""


class PeerVerdict(msgspec.Struct, frozen=True, gc=False):
    """What a peer says about one withdrawal."""

    withdrawal_id: str
    account_id: str
    verdict: str
    score: float
    features: dict[str, float]


class PeerWork:
    """One peer's detector. `first_s` is the wall time at which the first record was decoded, 0 before."""

    def __init__(self, every_record: bool = False) -> None:
        self.first_s = 0.0
        self._every_record = every_record
        self._decode = msgspec.json.Decoder(Withdrawal).decode
        self._encode = msgspec.json.Encoder().encode
        self._trees: Any = anomaly.HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, seed=1)

    def decode(self, value: bytes) -> Withdrawal:
        """The typed event; the first call says on stdout when it was, which starts the clock."""
        if not self.first_s:
            self.first_s = time.time()
            print(f"first {self.first_s:.6f}", flush=True)
        return self._decode(value)

    def judge(self, profile: Profile, event: Withdrawal) -> bytes | None:
        """Take the event into `profile`, which changes in place; an encoded verdict if the event is one to be scored."""
        profile[0] += 1.0
        if event.status != "requested" and not self._every_record:
            return None
        features = self._features(profile, event)
        score = float(self._trees.score_one(features))
        self._trees.learn_one(features)
        verdict = "HOLD" if score > HOLD_SCORE else "CLEAR"
        return self._encode(PeerVerdict(event.withdrawal_id, event.account_id, verdict, score, features))

    @staticmethod
    def _features(profile: Profile, event: Withdrawal) -> dict[str, float]:
        _, requests, mean, largest, last_ms = profile
        amount = float(event.amount)
        gap_s = (event.occurred_at_ms - last_ms) / 1_000.0 if requests else 0.0
        ratio = amount / mean if mean else 1.0
        profile[1] = requests + 1.0
        profile[2] = mean + (amount - mean) / min(requests + 1.0, 20.0)
        profile[3] = max(largest * 0.999, amount)
        profile[4] = float(event.occurred_at_ms)
        return {
            "amount_over_mean": ratio / (ratio + 3.0),
            "amount_over_largest": amount / (amount + largest) if largest else 0.5,
            "gap": max(gap_s, 0.0) / (max(gap_s, 0.0) + 3_600.0),
            "requests": requests / (requests + 10.0),
            "hour": event.occurred_at_ms // 3_600_000 % 24 / 24.0,
        }


def new_profile() -> Profile:
    """The profile of an account not seen before."""
    return [0.0, 0.0, 0.0, 0.0, 0.0]
