"""Silence for Optuna where this project uses it knowingly, and says itself what its users should know.

Python's filters of warnings and Optuna's verbosity belong to the whole process, so what one thread puts back may be
what another one had put in place: the first thread to come in sets them, the last one to leave restores them.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import optuna


class _Shared:
    """A context that several threads may be in at the same time.

    Args:
        make: Makes the context, which the first thread enters and the last one leaves.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._n_inside = 0
        self._context: AbstractContextManager[None] | None = None

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The context, entered or joined."""
        with self._lock:
            if self._n_inside == 0:
                self._context = self._make()
                self._context.__enter__()
            self._n_inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._n_inside -= 1
                if self._n_inside == 0 and self._context is not None:
                    self._context.__exit__(None, None, None)


@contextmanager
def _only_errors() -> Iterator[None]:
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def _without_experimental_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield


_LOG, _WARNINGS = _Shared(_only_errors), _Shared(_without_experimental_warnings)


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silences Optuna's log below errors, and its warnings of experimental features."""
    with _LOG.entered(), experimental_features():
        yield


@contextmanager
def experimental_features() -> Iterator[None]:
    """Silences Optuna's warnings of experimental features, such as heartbeats and metric names.

    What they ask of users, to pin Optuna's version, is done in this project's own constraints.
    """
    with _WARNINGS.entered():
        yield
