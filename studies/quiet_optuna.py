"""Silence for Optuna where this project uses it knowingly, and says itself what its users should know."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Silences Optuna's log below errors, and its warnings of experimental features."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with experimental_features():
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def experimental_features() -> Iterator[None]:
    """Silences Optuna's warnings of experimental features, such as heartbeats and metric names.

    What they ask of users, to pin Optuna's version, is done in this project's own constraints.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
