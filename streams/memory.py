"""How the process takes memory from the system and gives it back: large tables always as a mapping of their own.

The C library learns from the first large table that is freed to take the next ones from its heap, where each that grows leaves a hole
that nothing fills, and rows that nobody has used are cleared and so cost memory. Called when a process begins that folds.
"""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""
LARGE_BYTES = 262_144
KEPT_FREE_BYTES = 16_777_216
"""So much free memory at the heap's end is kept: the entries of the next round go there."""


def map_large_tables() -> bool:
    """Have blocks from 256 KiB on mapped and unmapped by themselves; False where the C library has no such setting."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)) and bool(mallopt(M_TRIM_THRESHOLD, KEPT_FREE_BYTES))
