"""Compilation of numerical loops by numba; imported only where they run, since numba takes half a second to import."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., Any])

_FASTMATH = {"reassoc", "contract", "nnan", "nsz"}  # lets sums and minima be vectorised; inf is still respected


def compiled(function: Function) -> Function:
    """Compiles on first use, keeping the machine code on disk where a place can be written."""
    try:
        dispatcher = numba.njit(function, cache=True, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    except RuntimeError:  # neither the package's folder nor the user's cache folder is writable
        dispatcher = numba.njit(function, nogil=True, error_model="numpy", fastmath=_FASTMATH)
    return cast(Function, dispatcher)
