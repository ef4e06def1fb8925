"""Acquisition functions over a finite pool of candidates: how much one wants to evaluate each.

Scores are losses, so improvement means becoming smaller. LogEI, EI and UCB are BoTorch's; Thompson sampling draws the
scores of the pool's most promising candidates jointly; TTEI (Qin et al. 2017, "Improving the expected improvement
algorithm") flips a coin between expected improvement and the expected improvement over its own maximiser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final, Literal, get_args

import numpy as np
import torch
from botorch.acquisition.analytic import LogExpectedImprovement, UpperConfidenceBound
from numpy.typing import NDArray
from torch import Tensor

from automl.surrogates.gaussian_pool import GaussianPool, independent_pool

Acquisition = Literal["log-ei", "ei", "ucb", "thompson", "ttei"]
ACQUISITIONS: Final[tuple[str, ...]] = get_args(Acquisition)

# A joint draw costs the cube of its size; candidates beyond these are not drawn, as they would hardly ever be best.
_DRAWN_JOINTLY = 500


def acquisition_values(
    kind: Acquisition, pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator
) -> Tensor:
    """The acquisition value of every candidate of the pool, `N`; larger is more wanted, -inf is not wanted at all.

    Args:
        kind: Which function.
        pool: The posterior.
        incumbent: The best score so far.
        n_observed: Number of observations, which sets the confidence level of UCB.
        generator: Source of the draws of Thompson sampling and of TTEI's coin.

    Raises:
        ValueError: If the function is unknown.
    """
    check_acquisition(kind)
    return _FUNCTIONS[kind](pool, incumbent, n_observed, generator)


def check_acquisition(kind: str) -> None:
    """Raises ValueError if there is no acquisition function of that name."""
    if kind not in ACQUISITIONS:
        raise ValueError(
            f"got the acquisition function {kind!r}, expected one of {', '.join(ACQUISITIONS)}; choose one of these."
        )


def ucb_beta(n_observed: int) -> float:
    """Square of the number of standard deviations, as in NASBOT's code: 3/2 log(6 t + 1), the dimension taken as 3."""
    return 1.5 * math.log(6 * max(n_observed, 1) + 1)


def log_knowledge_gradient(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], chance: float
) -> NDArray[np.float64]:
    """By how much the least expected score falls if one candidate is evaluated once more, in the mean; its logarithm.

    The knowledge gradient of independent normal beliefs (Frazier, Powell and Dayanik 2008, "A knowledge-gradient policy
    for sequential information collection"): s h(-gap / s), where h(z) = z Phi(z) + phi(z), s is the deviation of what
    the candidate's mean may become (`GaussianPool.after_one_value`), and gap its distance from the best of the others.

    Args:
        mean: What candidates are believed to score, `n >= 2`.
        deviation: How unsure each belief is, `n`.
        chance: Variance of one evaluation around what a candidate is worth.

    Returns:
        The logarithms, `n`.
    """
    best, second = np.sort(mean)[:2]
    gap = mean - best
    gap[int(mean.argmin())] = second - best
    beliefs = independent_pool(torch.from_numpy(gap), torch.from_numpy(np.square(deviation)))
    return _expected_improvement(beliefs.after_one_value(chance), 0.0).numpy()


def _expected_improvement(pool: GaussianPool, incumbent: float) -> Tensor:
    """Logarithms, exact where the improvement is next to nothing (Ament et al. 2023)."""
    return _evaluated(LogExpectedImprovement(pool, best_f=incumbent, maximize=False), pool)


def _log_ei(pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator) -> Tensor:
    return _expected_improvement(pool, incumbent)


def _ei(pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator) -> Tensor:
    return _log_ei(pool, incumbent, n_observed, generator).exp()


def _ucb(pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator) -> Tensor:
    return _evaluated(UpperConfidenceBound(pool, beta=ucb_beta(n_observed), maximize=False), pool)


def _evaluated(function: Callable[[Tensor], Tensor], pool: GaussianPool) -> Tensor:
    return function(pool.indices)


def _thompson(pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator) -> Tensor:
    optimistic = pool.mean - 3 * pool.variance.sqrt()
    subset = optimistic.topk(min(_DRAWN_JOINTLY, len(pool)), largest=False).indices.sort().values
    values = torch.full((len(pool),), -math.inf, dtype=torch.float64)
    values[subset] = -pool.drawn(subset, torch.from_numpy(generator.standard_normal(len(subset)))).double()
    return values


def _ttei(pool: GaussianPool, incumbent: float, n_observed: int, generator: np.random.Generator) -> Tensor:
    values = _log_ei(pool, incumbent, n_observed, generator)
    if generator.random() < 0.5 or len(pool) < 2:
        return values
    top = values.argmax()
    shared = pool.covariance(top[None], torch.arange(len(pool)))[0]
    spread = (pool.variance[top] + pool.variance - 2 * shared).clamp_min(0.0)
    gap = independent_pool(pool.mean - pool.mean[top], spread, pool.noise)
    values = _log_ei(gap, 0.0, n_observed, generator)
    values[top] = -math.inf
    return values


_FUNCTIONS: Mapping[str, Callable[[GaussianPool, float, int, np.random.Generator], Tensor]] = {
    "log-ei": _log_ei,
    "ei": _ei,
    "ucb": _ucb,
    "thompson": _thompson,
    "ttei": _ttei,
}
