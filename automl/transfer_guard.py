"""Guard against negative transfer: past tasks are believed only as long as they foretell the new task's own trials.

A model that knows past tasks and one that does not are compared by the log predictive density of each of the new task's
values given all the others. The summed difference is the logarithm of the odds that the first should propose. Single
sources are put to the same test: those whose opinion runs against the values are left out where the others then
foretell them clearly better (the greedy selection of sources by cross-validation of Ax is a precedent).

If only what past tasks think best were tried, little could be learnt of how far to trust them: among values that are
all bad there is no order to foretell. So sources that hardly foretell one another share the first trials with the plain
proposer; and from the third value on they are compared with their mirror image, past tasks that prefer the opposite.
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

MIRRORED_FROM = 3
"""Number of values from which on past tasks are held against their mirror image."""

CLEARLY = 1.0
"""Nats of summed log predictive density by which a model must be better without a source to drop it."""

_AGAINST_FOR_ALIKE = 1.8
_LEAST_AGAINST = 0.5
_LARGEST_LOG_ODDS = 30.0
_LARGEST_FORESIGHT = 0.95
_PRIOR_VALUES = 10
_FADING_FROM = 20
_LEADING = 0.7  # Correlation from which on sources explain half of one another's variance.


def prior_log_odds(foresight: float, n: int) -> float:
    """Log odds in favour of past tasks before the `n` values are looked at.

    Tasks that foretold one another may foretell the next one too: a correlation r is worth `-log(1 - r^2) / 2` nats for
    each of ten values that were not observed, and less once many have been. Without these odds the guard would be
    unfair. Past tasks propose good candidates only, and cannot tell much about the order among those; that they have
    spared the target all the bad candidates leaves no trace in the density of its values.

    Args:
        foresight: Mean correlation with which the sources foretell one another; NaN for a single one.
        n: Number of values.

    Examples:
        >>> round(prior_log_odds(0.9, 5), 2), round(prior_log_odds(0.3, 5), 2), prior_log_odds(float("nan"), 5)
        (8.3, 0.47, 0.0)
    """
    if math.isnan(foresight):
        return 0.0
    r = min(max(foresight, 0.0), _LARGEST_FORESIGHT)
    return -0.5 * math.log(1.0 - r**2) * _PRIOR_VALUES * min(1.0, _FADING_FROM / max(n, 1))


def leads(foresight: float) -> bool:
    """Whether sources that foretell one another with that correlation have the first trials to themselves.

    Other sources leave every second trial to the plain proposer: two or three trials of each show whether what past
    tasks think best is any better than chance. The correlation is NaN for a single source, whose worth nobody has
    measured.

    Examples:
        >>> leads(0.9), leads(0.4), leads(float("nan"))
        (True, False, False)
    """
    return foresight >= _LEADING


def largest_weight(foresight: float, n: int) -> float:
    """The most that past tasks are to be believed at `n` values, whatever these say.

    With a correlation r, other tasks cannot explain a share of `1 - r^2` of a task's variance; the more values there
    are, the better the plain proposer knows that share.

    Examples:
        >>> largest_weight(0.4, 20), round(largest_weight(0.4, 50), 2), round(largest_weight(0.9, 50), 2)
        (1.0, 0.5, 0.89)
    """
    r = 0.0 if math.isnan(foresight) else min(max(foresight, 0.0), 1.0)
    return 1.0 - (1.0 - r**2) * max(0.0, 1.0 - _FADING_FROM / max(n, 1))


def mirror_is_likelier(as_they_are: float, mirrored: float, log_odds: float) -> bool:
    """Whether the values speak for past tasks that prefer the opposite, clearly and against the odds.

    Args:
        as_they_are: Log marginal likelihood of the values under the model that knows past tasks.
        mirrored: The same where what these foresee has the other sign.
        log_odds: For past tasks, before the values.

    Examples:
        >>> mirror_is_likelier(-9.0, -6.0, 0.9), mirror_is_likelier(-9.0, -6.0, 8.3)
        (True, False)
    """
    return mirrored - as_they_are > CLEARLY + log_odds


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


def contradicting(expected: Floats, values: Floats, deviations: float = 0.0) -> list[int]:
    """Which sources expect an order that runs against the values: those with a negative rank correlation.

    Args:
        expected: What each of T sources expects of the n candidates, `n x T`.
        values: What they were worth, `n`.
        deviations: How many standard deviations of chance the correlation must lie below zero.
    """
    n = len(values)
    ranks = rankdata(values) - (n + 1) / 2
    theirs = np.column_stack([rankdata(column) - (n + 1) / 2 for column in expected.T])
    scale = np.linalg.norm(ranks) * np.linalg.norm(theirs, axis=0)
    correlations = ranks @ theirs / np.where(scale > 0, scale, 1.0)
    return np.flatnonzero(correlations * math.sqrt(max(n - 1, 1)) < -deviations).tolist()


def clearly_against(foresight: float) -> float:
    """Standard deviations below zero at which what is foreseen runs against the values.

    Twice the correlation with which sources foretell one another: from sources that agree, a few good candidates in an
    unexpected order prove little; those that hardly agree need little to be disbelieved.

    Args:
        foresight: Mean correlation with which the sources foretell one another; NaN for a single one.

    Examples:
        >>> clearly_against(0.9), clearly_against(0.5), clearly_against(0.1), clearly_against(float("nan"))
        (1.8, 1.0, 0.5, 1.8)
    """
    return _AGAINST_FOR_ALIKE if math.isnan(foresight) else max(2.0 * foresight, _LEAST_AGAINST)


def reached(n: int) -> Sequence[int]:
    """The checkpoints that `n` values have reached."""
    return [checkpoint for checkpoint in CHECKPOINTS if checkpoint <= n]
