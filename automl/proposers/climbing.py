"""Hyperparameters moved uphill on an acquisition function by its gradient, many starts at once.

Wilson, Hutter and Deisenroth 2018, "Maximizing acquisition functions for Bayesian optimization": edits drawn by chance
come near a narrow optimum, gradients go there. The starts do not depend on one another, so that one run of L-BFGS-B on
the sum of their values moves all of them (Balandat et al. 2020, "BoTorch", section 5).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

_MAX_ITERATIONS = 50


def climb(wanted: Callable[[Tensor], Tensor], starts: Tensor, n_numeric: int) -> Tensor:
    """Rows of hyperparameters moved to where they are wanted more.

    Args:
        wanted: How much each of `k` rows is wanted, `k`, by which one can differentiate; no row changes the value of
            another one.
        starts: Rows of `automl.surrogates.structure.HyperparameterCodes`, `k x (p + q)`.
        n_numeric: Number p of positions, which stay within 0 and 1; the other columns, choices, stay as they are.

    Returns:
        The moved rows, `k x (p + q)`. A row is where it was if nothing can be said of how much it is wanted.
    """
    choices, shape = starts[:, n_numeric:], (len(starts), n_numeric)

    def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        positions = torch.from_numpy(point.reshape(shape)).requires_grad_()
        total = wanted(torch.cat([positions, choices], dim=1)).sum()
        (gradient,) = torch.autograd.grad(total, positions)
        return -float(total.detach()), -gradient.numpy().ravel()

    bounds = [(0.0, 1.0)] * (len(starts) * n_numeric)
    before = starts[:, :n_numeric].clamp(0.0, 1.0).numpy().ravel()
    found = minimize(loss, before, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_ITERATIONS})
    point = found.x if np.isfinite(found.x).all() and np.isfinite(found.fun) else before
    return torch.cat([torch.from_numpy(point.reshape(shape)), choices], dim=1)
