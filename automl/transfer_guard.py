"""Guard against negative transfer: past tasks are believed only as long as they foretell the new task's own trials.

A model that knows past tasks and one that does not are compared by the log predictive density of each of the new task's
values given all the others. The summed difference is the logarithm of the odds that the first should propose. Single
sources are put to the same test: those whose opinion runs against the values are left out where the others then
foretell them clearly better (the greedy selection of sources by cross-validation of Ax is a precedent).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Floats = NDArray[np.float64]

CHECKPOINTS = (5, 10, 20)
"""Numbers of values at which sources are put to the test."""

CLEARLY = 1.0
"""Nats of summed log predictive density by which a model must be better without a source to drop it."""

_LARGEST_LOG_ODDS = 30.0
_PRIOR_NATS = 3.0
_FADING_FROM = 10


def prior_log_odds(foresight: float, n: int) -> float:
    """Log odds for past tasks before the `n` values speak: what foretold one another may foretell the next task too.

    They fade as values come in, since a model that has learnt to ignore its sources is no better than a plain one.

    Args:
        foresight: Mean correlation with which the sources foretell one another; NaN for a single one.
        n: Number of values.

    Examples:
        >>> prior_log_odds(1.0, 5), prior_log_odds(1.0, 20), prior_log_odds(float("nan"), 5)
        (3.0, 1.5, 0.0)
    """
    return 0.0 if math.isnan(foresight) else _PRIOR_NATS * max(foresight, 0.0) * min(1.0, _FADING_FROM / max(n, 1))


def transfer_weight(with_sources: Floats, without: Floats, log_odds: float = 0.0) -> float:
    """Probability, from 0 to 1, with which the model that knows past tasks should propose.

    Args:
        with_sources: Leave-one-out log predictive density of each value under it, `n`.
        without: The same under the model that knows none, `n`.
        log_odds: For past tasks, before the values.

    Raises:
        ValueError: If the numbers of values differ.

    Examples:
        >>> transfer_weight(np.zeros(3), np.zeros(3))
        0.5
    """
    if with_sources.shape != without.shape:
        raise ValueError(
            f"got log densities of {with_sources.shape} and {without.shape} values, expected as many of both."
        )
    evidence = float(np.clip(log_odds + (with_sources - without).sum(), -_LARGEST_LOG_ODDS, _LARGEST_LOG_ODDS))
    return 1.0 / (1.0 + math.exp(-evidence))


def contradicting(expected: Floats, values: Floats) -> list[int]:
    """Which sources expect an order that runs against the values: those with a negative rank correlation.

    Args:
        expected: What each of T sources expects of the n candidates, `n x T`.
        values: What they were worth, `n`.
    """
    ranks = rankdata(values) - (len(values) + 1) / 2
    against = [(rankdata(column) - (len(values) + 1) / 2) @ ranks < 0 for column in expected.T]
    return [t for t, is_against in enumerate(against) if is_against]


def reached(n: int) -> Sequence[int]:
    """The checkpoints that `n` values have reached."""
    return [checkpoint for checkpoint in CHECKPOINTS if checkpoint <= n]
