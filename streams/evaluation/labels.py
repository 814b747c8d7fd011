"""Which labels people would have given, and when: the policy of labels, and the tracked quantile that alerts.

Pure and seeded; knows no detector. Called by `streams.evaluation.prequential`.
"""

from typing import NamedTuple

import numpy as np

from detectors.contract import Bools, Floats, Ints
from streams.refusals import RefusedError

FIRST_SCORES = 2_000
"""Scores that make the first quantile; nothing is alerted before."""
STEP = 0.2
"""Of the scores' standard deviation, per alert: the fastest that measured no worse days."""
SPREAD_EVENTS = 10_000
"""The standard deviation is that of about so many newest scores."""
POLICY_WORDS = "none, all, or alerted, audit and reported:SHARE joined by +"


class LabelPolicy(NamedTuple):
    """Whose labels are ever told: of every event, of alerted ones, of a random audit, and of a share of the frauds that victims report."""

    text: str
    every: bool = False
    alerted: bool = False
    audit: bool = False
    reported_share: float = 0.0


def parse_policy(text: str) -> LabelPolicy:
    """`none`, `all`, or `alerted+audit+reported:0.5`; RefusedError for anything else."""
    if text == "none":
        return LabelPolicy(text)
    if text == "all":
        return LabelPolicy(text, every=True)
    policy = LabelPolicy(text)
    for word in text.split("+"):
        name, colon, number = word.partition(":")
        if word in {"alerted", "audit"}:
            policy = policy._replace(alerted=policy.alerted or word == "alerted", audit=policy.audit or word == "audit")
        elif name == "reported" and colon:
            policy = policy._replace(reported_share=_share(number, word))
        else:
            raise RefusedError(f"--label-policy: {word or 'nothing'} is no policy; give {POLICY_WORDS}.")
    return policy


def _share(text: str, word: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0.0 < share <= 1.0:
        raise RefusedError(f"--label-policy: {word} needs a share above 0 and at most 1, as reported:0.5.")
    return share


class Labels:
    """Labels in the order in which they fall due; one whose event isn't looked at by anybody never does.

    Parameters
    ----------
    times_ms : int64 [n]
        Event times, never falling.
    frauds : bool [n]
    audit_share
        Share of all events that people look at whatever their score, drawn by `seed`.
    """

    def __init__(self, policy: LabelPolicy, times_ms: Ints, frauds: Bools, *, delay_ms: int, audit_share: float, seed: int) -> None:
        chance = np.random.default_rng(seed)
        audited = chance.random(len(times_ms)) < audit_share
        reported = frauds & (chance.random(len(times_ms)) < policy.reported_share)
        self.policy = policy
        self.told: Bools = np.full(len(times_ms), policy.every) | reported | (audited if policy.audit else False)
        self.delivered = 0
        self._due_ms: Ints = times_ms + delay_ms
        self._next = 0

    def alerted(self, start: int, alerts: Bools) -> None:
        """Take that the events from `start` on were alerted, or not."""
        if self.policy.alerted:
            self.told[start : start + len(alerts)] |= alerts

    def due(self, time_ms: int) -> Ints:
        """Places of the events whose labels fell due before that time and weren't given yet, in order; each is given once."""
        end = int(np.searchsorted(self._due_ms, time_ms))
        given = self._next + np.flatnonzero(self.told[self._next : end])
        self._next = max(self._next, end)
        self.delivered += len(given)
        return given


class TrackedQuantile:
    """The score that a share of events exceeds, followed event by event: after each it moves by the step times (exceeded − share).

    So the mean share of alerts holds under drift, whatever the scores' distribution (adaptive conformal inference).
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.limit = float("inf")
        self._first: list[float] = []
        self._mean = 0.0
        self._variance = 0.0

    def judge(self, scores: Floats) -> Bools:
        """Which of these scores, in order, exceed the quantile as it stood before each of them."""
        alerts = np.zeros(len(scores), np.bool_)
        for place, score in enumerate(scores.tolist()):
            if len(self._first) < FIRST_SCORES:
                self._gather(score)
                continue
            alerts[place] = score > self.limit
            step = STEP * float(np.sqrt(self._variance))
            self.limit += step * (float(alerts[place]) - self.share)
            change = (score - self._mean) / SPREAD_EVENTS
            self._mean += change
            self._variance += (score - self._mean) * (score - self._mean) / SPREAD_EVENTS - self._variance / SPREAD_EVENTS
        return alerts

    def _gather(self, score: float) -> None:
        self._first.append(score)
        if len(self._first) == FIRST_SCORES:
            self.limit = float(np.quantile(self._first, 1.0 - self.share))
            self._mean = float(np.mean(self._first))
            self._variance = float(np.var(self._first))
