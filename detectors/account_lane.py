"""The account lane asks whether a withdrawal is odd for its account in a way that takeovers are: large, hurried, to new places, in bursts.

Its value is the lane's logit, its parts add up to it. The work is done in the observer's pass (`detectors.lanes`); made by the registry.
"""

from detectors.contract import Arrays, Bools, Family, Floats, Rows, Run, Scope, Scores
from detectors.lanes import Lanes
from detectors.lanes_kernel import ACCOUNT, MODEL_INPUTS
from detectors.tables import restore_fixed
from detectors.words import one_in

SHOWN = 3
SHOWN_MIN = 0.05
SHARE = MODEL_INPUTS + 4
WORDS = {
    "account_filter": "earlier frauds of the account", "hour": "hour of the day", "destination_evidence": "recent evidence against the destination",
    "evidence_12h": "recent evidence", "evidence_7d": "evidence of the week",
}  # fmt: skip


class AccountLane:
    """Logit of the account lane.

    Parameters
    ----------
    input_names
        What the inputs are called. Parts: what each adds to the logit, then the account's filter, the hour, the destination's evidence
        and the base, the lane's share of the chance of fraud, and the decades of each input ("1 in 10 to the power of").
    lanes
        Shared with the observer, which does the work, and stored there.
    """

    name = "account_lane"
    scope: Scope = "account"
    family: Family = "account_takeover"
    calibrated = True

    def __init__(self, input_names: tuple[str, ...], lanes: Lanes) -> None:
        names = input_names[:MODEL_INPUTS]
        self.part_names = (*names, "account_filter", "hour", "destination_evidence", "base", "cause_share", *(f"{name}_decades" for name in names))
        self._lanes = lanes

    def reserve(self, rows: dict[str, int]) -> None:
        """Nothing to grow: the observer keeps the rows."""

    def fold(self, run: Run, inputs: Floats) -> Scores:  # noqa: ARG002  the observer's pass has scored the run
        """The lane's scores of the run that the observer took last."""
        return self._lanes.scores(ACCOUNT)

    def learn(self, block: Run, inputs: Floats, teach: Bools) -> None:
        """Nothing to learn here: the observer teaches the lanes."""

    def forget(self, kind: str, rows: Rows) -> None:
        """Nothing to forget: the observer keeps the rows."""

    def explain(self, parts: Floats) -> str:
        """Such as "account 100 %: amount over mean 1 in 93,000 (+5.8), amount z 1 in 20,000 (+3.8), recent evidence (+2.6)"."""
        order = sorted(range(SHARE - 1), key=lambda part: (-parts[part], part))[:SHOWN]
        shown = [f"{self._words(part, parts)} (+{parts[part]:.1f})" for part in order if parts[part] > SHOWN_MIN]
        return f"account {100.0 * parts[SHARE]:.0f} %: " + (", ".join(shown) or "nothing unusual")

    def _words(self, part: int, parts: Floats) -> str:
        name = self.part_names[part]
        words = WORDS.get(name, name.replace("_", " "))
        if part >= MODEL_INPUTS or name in WORDS:
            return words
        decades = float(parts[SHARE + 1 + part])
        return f"{words} {one_in(decades)}" if decades > 0.0 else words

    def arrays(self) -> Arrays:
        """No state of its own."""
        return {}

    def restore(self, arrays: Arrays) -> None:
        """Nothing to take over; ValueError if something is given."""
        restore_fixed({}, arrays)
