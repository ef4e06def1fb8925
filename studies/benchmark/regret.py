"""Statistics of a comparison of samplers: regret curves, their mean and error, and paired tests. Pure functions.

The regret of a search after t trials is that of its incumbent, the best candidate by its observed value; on noisy
tables the incumbent's noise-free regret may therefore rise. Samplers are compared over seeds by the Wilcoxon
signed-rank test (Demsar 2006), two-sided, pairs of equal seed, ties of a pair shared between both signs (Pratt).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

CHECKPOINTS = (10, 25, 50, 100, 150)
"""Numbers of trials at which regrets are reported."""


@dataclass(frozen=True)
class Summary:
    """Mean over n seeds and its standard error (NaN for a single seed)."""

    mean: float
    standard_error: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3g}" if self.n < 2 else f"{self.mean:.3g} +- {self.standard_error:.2g}"


def incumbents(losses: ArrayLike) -> NDArray[np.int64]:
    """For every trial t the index of the least of the first t + 1 losses, the earliest of equal ones.

    Args:
        losses: Observed losses in the order of the trials, [n].

    Returns:
        Indices [n].

    Examples:
        >>> incumbents([3.0, 1.0, 2.0, 0.5]).tolist()
        [0, 1, 1, 3]
    """
    losses = np.asarray(losses, dtype=np.float64)
    best = np.minimum.accumulate(losses)
    is_new = np.r_[True, best[1:] < best[:-1]]
    return np.maximum.accumulate(np.where(is_new, np.arange(len(losses)), 0)).astype(np.int64)


def summary(regrets: ArrayLike) -> Summary:
    """Mean and standard error of one number per seed, [seeds]."""
    values = np.asarray(regrets, dtype=np.float64)
    error = float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return Summary(float(values.mean()), error, len(values))


def confidence_band(
    curves: ArrayLike, *, level: float = 0.95, n_resamples: int = 1000, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean curve with a pointwise bootstrap confidence band: percentiles of the means of resampled seeds.

    Args:
        curves: A curve per seed, [seeds, trials].
        level: Probability that the band covers the mean.
        n_resamples: Number of bootstrap samples.
        seed: Seed of the resampling.

    Returns:
        Lower bound, mean and upper bound, each [trials].
    """
    curves = np.asarray(curves, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(len(curves), size=(n_resamples, len(curves)))
    weights = np.apply_along_axis(np.bincount, 1, drawn, minlength=len(curves)) / len(curves)
    low, high = np.quantile(weights @ curves, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, curves.mean(axis=0), high


def paired_p_value(ours: ArrayLike, theirs: ArrayLike) -> float:
    """Two-sided p-value of the Wilcoxon signed-rank test between paired regrets; 1 where all pairs are ties.

    Args:
        ours: One number per seed, [seeds].
        theirs: The same seeds in the same order, [seeds].

    Raises:
        ValueError: If the numbers of seeds differ or there is none.
    """
    from scipy.stats import wilcoxon

    first, second = np.asarray(ours, dtype=np.float64), np.asarray(theirs, dtype=np.float64)
    if first.shape != second.shape or not first.size:
        raise ValueError(
            f"got regrets of {first.shape} and {second.shape} seeds, expected as many, at least one; "
            "compare the seeds that both samplers have."
        )
    if np.array_equal(first, second):
        return 1.0
    return float(wilcoxon(first, second, zero_method="pratt").pvalue)
