"""exp and log from + - * / alone: the same bits on every machine, which the platform's own do not promise.

Nothing else. Compiled; called by kernels, and by plain Python where a number over state is needed. Within 2 units in the last
place of the exact value (tested); the argument is reduced by powers of two, the rest is a Taylor series [1].

References
----------
[1] J.-M. Muller, Elementary Functions: Algorithms and Implementation, 3rd edition, 2016, chapters 3 and 11.
"""

import numpy as np

from detectors.compiled import inlined

LN2_HIGH = 0.6931471803691238
"""ln 2 to 32 bits, so that its product with an exponent is exact; LN2_LOW is the rest."""
LN2_LOW = 1.9082149292705877e-10
ONE_OVER_LN2 = 1.4426950408889634
ONE_OVER_LN10 = 0.4342944819032518
SQRT_HALF_BITS = 0x3FE6A09E00000000
"""Bits of about sqrt(1/2): log's argument is reduced to 0.707 to 1.414."""

EXP_MAX = 709.0
EXP_MIN = -708.0


@inlined
def exp(x: float) -> float:
    """Exponential of x. Above 709 infinite, below -708 zero (no subnormal results); nan of nan."""
    if not EXP_MIN <= x <= EXP_MAX:
        if x < EXP_MIN:
            return 0.0
        return np.inf if x > EXP_MAX else x
    power = np.floor(x * ONE_OVER_LN2 + 0.5)
    high = x - power * LN2_HIGH
    low = power * LN2_LOW
    r = high - low
    # |r| <= 0.35: terms to the 13th power reach 1e-17. Even and odd terms apart: two short chains run at once.
    z = r * r
    even = 1 / 2 + z * (1 / 24 + z * (1 / 720 + z * (1 / 40320 + z * (1 / 3628800 + z * (1 / 479001600)))))
    odd = 1 / 6 + z * (1 / 120 + z * (1 / 5040 + z * (1 / 362880 + z * (1 / 39916800 + z * (1 / 6227020800)))))
    correction = (high - r) - low
    mantissa = 1.0 + (r + (z * (even + r * odd) + correction))
    scale = np.int64((np.int64(power) + 1023) << 52).view(np.float64)
    return float(mantissa * scale)


@inlined
def log(x: float) -> float:
    """Natural logarithm. Minus infinity of zero; nan below zero and of nan."""
    if not 0.0 < x < np.inf:
        if x == 0.0:
            return -np.inf
        return x if x == np.inf else np.nan
    exponent = 0
    if x < 2.2250738585072014e-308:  # subnormal: lift it, exactly
        x *= 18014398509481984.0
        exponent = -54
    bits = np.float64(x).view(np.int64)
    shift = (bits - SQRT_HALF_BITS) >> 52
    exponent += int(shift)
    f = np.int64(bits - (shift << 52)).view(np.float64) - 1.0
    # log(1 + f) = f - f²/2 + s (f²/2 + R(s²)) with s = f / (2 + f); |s| <= 0.172: terms to s^20 reach 1e-17.
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = 2 / 5 + w * (2 / 9 + w * (2 / 13 + w * (2 / 17 + w * (2 / 21))))
    odd = 2 / 3 + w * (2 / 7 + w * (2 / 11 + w * (2 / 15 + w * (2 / 19))))
    half_square = 0.5 * f * f
    rest = s * (half_square + (w * even + z * odd))
    return float(exponent * LN2_HIGH - ((half_square - (rest + exponent * LN2_LOW)) - f))


@inlined
def log10(x: float) -> float:
    """Decimal logarithm, as `log`."""
    return log(x) * ONE_OVER_LN10
