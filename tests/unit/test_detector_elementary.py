"""exp and log are accurate, equal their plain twins bit for bit, and no kernel fuses a multiplication with an addition."""

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.compiled import kernel
from detectors.elementary import exp, log, log10
from tests.unit import detector_twins

ULPS_MAX = 1.0


def bits(x: float) -> bytes:
    return struct.pack("<d", x)


@settings(deadline=None)  # the first call compiles
@given(st.floats(-708.0, 709.0) | st.floats(-1.0, 1.0) | st.floats(-1e-9, 1e-9))
def test_exp_is_accurate_and_equals_its_twin(x: float) -> None:
    assert abs(exp(x) - math.exp(x)) <= ULPS_MAX * math.ulp(math.exp(x))
    assert bits(exp(x)) == bits(detector_twins.exp(x))


@settings(deadline=None)  # the first call compiles
@given(st.floats(5e-324, 1.7e308) | st.floats(0.5, 2.0) | st.floats(1.0 - 1e-9, 1.0 + 1e-9))
def test_log_is_accurate_and_equals_its_twin(x: float) -> None:
    assert abs(log(x) - math.log(x)) <= ULPS_MAX * math.ulp(math.log(x))
    assert bits(log(x)) == bits(detector_twins.log(x))
    assert log10(x) == pytest.approx(math.log10(x), rel=1e-14, abs=1e-25)


def test_borders() -> None:
    assert exp(0.0) == 1.0 and log(1.0) == 0.0
    assert exp(-709.0) == exp(-math.inf) == 0.0 and exp(709.5) == exp(math.inf) == math.inf
    assert log(0.0) == -math.inf and log(math.inf) == math.inf
    assert math.isnan(exp(math.nan)) and math.isnan(log(math.nan)) and math.isnan(log(-1.0))


@kernel
def product_and_sum(a: float, b: float, c: float) -> float:
    return a * b + c


def test_kernels_round_after_each_operation() -> None:
    a = 1.0 + 2.0**-30
    assert product_and_sum(a, a, -(1.0 + 2.0**-29)) == 0.0  # fused, it would be 2^-60
