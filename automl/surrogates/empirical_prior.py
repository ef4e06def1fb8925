"""The prior of a Gaussian process taken from past tasks that share candidates (Wang, Kim and Kaelbling 2018).

From N tasks on the same M candidates: mean `mu = mean(Y)` and covariance `S = (Y - mu)'(Y - mu) / (N - 1)`. After t
values of a new task (their section 3, with Z the observed places):

    mu_t(x) = mu(x) + S(x, Z) S(Z, Z)^-1 (y - mu(Z))
    k_t(x, x) = (N - 1) / (N - t - 1) [S(x, x) - S(x, Z) S(Z, Z)^-1 S(Z, x)]

which is unbiased and needs N > t + 1. Where tasks are fewer than that S has too low a rank: it is shrunk towards its
diagonal (Ledoit and Wolf 2004 motivate the convex combination), and the factor is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_JITTER = 1e-9


@dataclass(frozen=True, eq=False)
class EmpiricalPrior:
    """Mean and covariance of past tasks; `fit_empirical_prior` makes one.

    Args:
        mean: mu, `M`.
        deviations: `(Y - mu) / sqrt(N - 1)`, `N x M`: the covariance is never formed, as M may be large.
    """

    mean: Floats
    deviations: Floats

    @property
    def variance(self) -> Floats:
        """The diagonal of S, `M`."""
        return np.asarray(np.square(self.deviations).sum(axis=0))

    def posterior(self, places: Sequence[int], values: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of all M candidates given `t` values of a new task on the shared scale.

        Args:
            places: Which candidates were observed, each once.
            values: What they were worth, `t`.

        Raises:
            ValueError: If the numbers of places and values differ.
        """
        if len(places) != len(values):
            raise ValueError(f"got {len(values)} values for {len(places)} places, expected one each.")
        if not len(places):
            return self.mean, self.variance
        n, t = len(self.deviations), len(places)
        unbiased = n > t + 1
        shrinkage = 0.0 if unbiased else (t + 1.0) / (t + n)
        observed = self.deviations[:, list(places)]  # [N, t]
        known = (1.0 - shrinkage) * observed.T @ observed
        diagonal = np.square(observed).sum(axis=0)
        known += np.diag(shrinkage * diagonal + _JITTER * max(float(diagonal.mean()), 1e-12))
        cross = (1.0 - shrinkage) * observed.T @ self.deviations  # [t, M]
        cross[np.arange(t), list(places)] += shrinkage * diagonal
        solved = np.linalg.solve(known, cross)
        mean = self.mean + solved.T @ (np.asarray(values) - self.mean[list(places)])
        variance = np.maximum(self.variance - (cross * solved).sum(axis=0), 0.0)
        return mean, variance * ((n - 1) / (n - t - 1) if unbiased else 1.0)


def fit_empirical_prior(scores: Floats) -> EmpiricalPrior:
    """The prior of tasks on a shared scale.

    Args:
        scores: `N x M`, without holes (`automl.surrogates.pmf.completed` fills them).

    Raises:
        ValueError: If there are fewer than two tasks or a score is not finite.
    """
    if scores.ndim != 2 or len(scores) < 2 or not np.isfinite(scores).all():
        raise ValueError(
            f"got scores of shape {scores.shape}, expected finite ones of two or more tasks; add a task or fill holes."
        )
    mean = scores.mean(axis=0)
    return EmpiricalPrior(mean, (scores - mean) / np.sqrt(len(scores) - 1))
