"""Optuna is silent for as long as any thread wants it to be, and as before afterwards."""

from __future__ import annotations

import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.exceptions import ExperimentalWarning

from studies.quiet_optuna import quiet_optuna


def _is_quiet() -> bool:
    """Whether neither a warning nor a remark of Optuna would be seen."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.warn("new", ExperimentalWarning, stacklevel=1)
    return not seen and optuna.logging.get_verbosity() >= optuna.logging.ERROR


def test_the_last_of_several_threads_ends_the_silence() -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    first_may_leave, first_is_in, first_is_out = threading.Event(), threading.Event(), threading.Event()

    def first() -> None:
        with quiet_optuna():
            first_is_in.set()
            first_may_leave.wait(10)
        first_is_out.set()

    with warnings.catch_warnings(), ThreadPoolExecutor(1) as threads:
        warnings.simplefilter("always", ExperimentalWarning)
        assert not _is_quiet()
        other = threads.submit(first)
        assert first_is_in.wait(10)
        with quiet_optuna():
            first_may_leave.set()
            assert first_is_out.wait(10)
            assert _is_quiet()
        other.result()
        assert not _is_quiet()
    assert optuna.logging.get_verbosity() == optuna.logging.INFO


def test_an_error_within_ends_the_silence_too() -> None:
    optuna.logging.set_verbosity(optuna.logging.INFO)
    with pytest.raises(KeyError), quiet_optuna(), quiet_optuna():
        raise KeyError("within")
    assert optuna.logging.get_verbosity() == optuna.logging.INFO
