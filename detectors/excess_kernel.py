"""Bounds of tail probabilities in nats, and their p-values with an over-dispersion that follows the past. Compiled.

The bounds are Chernoff's. Called by the kernels of the scope monitors and by `detectors.excess`.

References
----------
S. Boucheron, G. Lugosi, P. Massart, Concentration Inequalities, 2013, chapter 2.
"""

from detectors.compiled import inlined, kernel
from detectors.contract import Bools, Floats
from detectors.elementary import exp, log

LN10 = 2.302585092994046
ONCE_NATS = 12.06
"""Nats of 1 in 172,800: in a day of two observations a second it comes once."""
BLOCKS_ONCE = 675.0
"""Blocks in which 172,800 observations lie."""
FIRST_BLOCKS = 100.0
"""For so many blocks from being READY the limit is the highest that was seen, then it is tracked."""
LIMIT_STEP = 0.02
"""The limit rises by so much of itself in a block that exceeds it: an attack of an hour at two observations a second lifts it by 3/4 at most."""
UNTAUGHT_PACE = 0.1
ALARMED_NATS = 9.21
"""Nats of 1 in 10,000: what is odder teaches ten times slower."""
EVIDENCE_MAX = 6.9
"""Nats that one withdrawal's p-value counts at most (1 in 1,000): a crowd is many that are odd, not one that is very odd."""


@inlined
def poisson_nats(count: float, expected: float) -> float:
    """Bound of the chance of at least `count` where `expected` are: -ln P(N >= count) is at least this."""
    return count * log(count / expected) - count + expected if count > expected else 0.0


@inlined
def binomial_nats(count: float, n: float, share: float) -> float:
    """Bound of the chance that at least `count` of n are marked where the share is expected (below 1)."""
    if count <= n * share:
        return 0.0
    rest = n - count
    nats = count * log(count / (n * share))
    return nats + rest * log(rest / (n * (1.0 - share))) if rest > 0.0 else nats


@inlined
def gamma_nats(total: float, n: float) -> float:
    """Bound of the chance that n exponential numbers of mean 1 sum up to at least `total`."""
    return total - n - n * log(total / n) if total > n else 0.0


@inlined
def evidence_of(p_value: float) -> float:
    """Nats of a p-value, up to a limit."""
    return min(-log(max(p_value, 1e-9)), EVIDENCE_MAX)


@kernel
def weigh(nats: Floats, limits: Floats, notes: Floats, alarmed: Bools, filled: int, value: Floats, p_value: Floats, winner: Floats) -> None:
    """The best column of each row: its p-value times the number of columns (Bonferroni), and which it is.

    nats float64 [n, k]; limits [k]; notes [256, k] and alarmed bool [256] keep the nats, and whether they are odd, for the end of the block.
    """
    columns = nats.shape[1]
    for i in range(nats.shape[0]):
        best = 0.0
        chosen = 0
        for k in range(columns):
            notes[filled + i, k] = nats[i, k]
            weighed = nats[i, k] * (ONCE_NATS / limits[k])
            if weighed > best:
                best = weighed
                chosen = k
        alarmed[filled + i] = best >= ALARMED_NATS
        value[i] = best / LN10
        p_value[i] = min(1.0, max(columns * exp(-best), 1e-300)) if best > 0.0 else 1.0
        winner[i] = float(chosen)


@kernel
def follow(notes: Floats, teach: Bools, blocks: float, least: Floats, limits: Floats) -> None:
    """Move each column's limit by the block's highest nats; what may not teach moves it ten times slower."""
    for k in range(limits.size):
        taught = 0.0
        untaught = 0.0
        for i in range(teach.size):
            if teach[i]:
                taught = max(taught, notes[i, k])
            else:
                untaught = max(untaught, notes[i, k])
        if blocks < FIRST_BLOCKS:
            limits[k] = max(limits[k], taught)
        elif taught > limits[k]:
            limits[k] *= 1.0 + LIMIT_STEP
        elif untaught > limits[k]:
            limits[k] *= 1.0 + LIMIT_STEP * UNTAUGHT_PACE
        else:
            limits[k] = max(limits[k] * (1.0 - LIMIT_STEP / BLOCKS_ONCE), least[k])
