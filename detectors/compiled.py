"""The one way to compile a function: the typed decorators `kernel` and `inlined`. Nothing else imports numba's jit.

Kernels are compiled on first use and kept in numba's cache, in a folder named after the digest of this package's source: numba itself
looks only at the file that a kernel stands in, and would run old code after a change in a function that the kernel calls. The cache
is below NUMBA_CACHE_DIR, else `__pycache__`; where neither can be written, in the user's cache folder, else nowhere.
Called by the files named `*_kernel.py` and by `detectors.elementary`.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

import numba

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def source_digest() -> str:
    """SHA-256 over the names and texts of this package's files, hexadecimal."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(f"{path.name}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


config = cast("Any", numba.config)  # made from the environment when it is imported: no type checker can know its names
config.CACHE_DIR = str(Path(config.CACHE_DIR or Path(__file__).parent / "__pycache__") / f"kernels-{source_digest()[:16]}")


def kernel(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Compile for one thread, with IEEE arithmetic as written: no fastmath, so no fused or reordered operations.

    Division by zero gives inf or nan as in numpy, not an exception; array bounds aren't checked, so the caller's gate must have
    checked rows (`detectors.panel`). The lock of the interpreter is kept: runs are short.
    """
    return _compiled(function, inline=False)


def inlined(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """As `kernel`, for a small function that other kernels call: its code becomes part of theirs."""
    return _compiled(function, inline=True)


def _compiled(function: Callable[Arguments, Result], *, inline: bool) -> Callable[Arguments, Result]:
    try:
        return _with_cache(function, cache=True, inline=inline)
    except RuntimeError:  # numba found no folder that it may write to: compile at each start
        return _with_cache(function, cache=False, inline=inline)


def _with_cache(function: Callable[Arguments, Result], *, cache: bool, inline: bool) -> Callable[Arguments, Result]:
    compile_it = numba.njit(cache=cache, error_model="numpy", fastmath=False, boundscheck=False, nogil=False, forceinline=inline)
    return cast("Callable[Arguments, Result]", compile_it(function))
