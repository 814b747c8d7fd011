"""The one way to compile a function: the typed decorator `kernel`. Nothing else imports numba's jit.

Kernels are compiled on first use and kept in numba's cache (NUMBA_CACHE_DIR, else `__pycache__`, else the user's cache folder).
Called by the files named `*_kernel.py` and by `detectors.elementary`.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile for one thread, with IEEE arithmetic as written: no fastmath, so no fused or reordered operations.

    Division by zero gives inf or nan as in numpy, not an exception; array bounds aren't checked, so the caller's gate must have
    checked rows (`detectors.panel`). The lock of the interpreter is kept: runs are short.
    """
    compile_it = numba.njit(cache=True, error_model="numpy", fastmath=False, boundscheck=False, nogil=False)
    return cast("Callable[Arguments, Result]", compile_it(function))


def inlined(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """As `kernel`, for a small function that other kernels call: its code becomes part of theirs."""
    compile_it = numba.njit(cache=True, error_model="numpy", fastmath=False, boundscheck=False, nogil=False, forceinline=True)
    return cast("Callable[Arguments, Result]", compile_it(function))
