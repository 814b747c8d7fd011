"""Large tables are mapped by themselves, so that one that is freed is given back at once, whatever was freed before."""

import subprocess
import sys

import pytest

GROW = """
import sys
import numpy as np
import psutil
from streams.memory import map_large_tables
if not map_large_tables():
    sys.exit(3)
np.ones(3_000_000).sum()  # of which the C library would learn to take such blocks from its heap
table, pins = np.ones(1_000_000), []
for _ in range(8):
    grown = np.ones(len(table) + 100_000)
    pins.append(np.ones(30_000))  # stays above the table that goes
    table = grown
del table, grown
print(psutil.Process().memory_info().rss)
table = np.ones(2_500_000)
print(psutil.Process().memory_info().rss)
"""


def test_a_large_table_that_goes_leaves_no_hole() -> None:
    done = subprocess.run([sys.executable, "-c", GROW], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip("the C library here has no mallopt")
    assert done.returncode == 0, done.stderr
    without, with_it = map(int, done.stdout.split())
    assert with_it - without > 18_000_000  # all of it is new memory: nothing had been kept
