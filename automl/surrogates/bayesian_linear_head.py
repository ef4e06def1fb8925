"""Bayesian linear regression on given features: the marginal likelihood by which ABLR fits its network.

Perrone et al. 2018 (ABLR), section 3: `y | w ~ N(Phi w, I / beta)`, `w ~ N(w0, I / alpha)`. With `r = beta / alpha`
and the residual `z = y - Phi w0` everything needs one Cholesky factor of `K = I + r Phi^T Phi` (`D x D`), so the cost
is linear in n.

Symbols: Phi features `n x D`, y targets `n`, w0 prior mean of the weights `D`, alpha and beta precisions of weights
    and noise.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def negative_log_likelihood(
    features: Tensor, targets: Tensor, mean_weights: Tensor, alpha: Tensor, beta: Tensor, n_rows: Tensor
) -> Tensor:
    """Negative log marginal likelihood `-log N(y | Phi w0, Phi Phi^T / alpha + I / beta)`, one number a task.

    One batch element is a task. A row of zeros in Phi and z leaves every sum unchanged, so tasks of different lengths
    are padded with zeros and told their number of rows.

    Args:
        features: Phi, a `batch_shape x n x D` tensor, rows beyond `n_rows` zero.
        targets: y, a `batch_shape x n` tensor, entries beyond `n_rows` zero.
        mean_weights: w0, a `D` or `batch_shape x D` tensor.
        alpha: Precision of the weights, `batch_shape`.
        beta: Precision of the noise, `batch_shape`.
        n_rows: Number of true rows of each task, `batch_shape`.
    """
    residual = targets - (features @ mean_weights.unsqueeze(-1)).squeeze(-1)
    ratio = beta / alpha
    identity = torch.eye(features.shape[-1], dtype=features.dtype)
    cholesky = torch.linalg.cholesky(identity + ratio.unsqueeze(-1).unsqueeze(-1) * features.mT @ features)
    projected = features.mT @ residual.unsqueeze(-1)
    whitened = torch.linalg.solve_triangular(cholesky, projected, upper=False).squeeze(-1)  # L^-1 Phi^T z
    quadratic = beta * (residual.square().sum(-1) - ratio * whitened.square().sum(-1))
    log_determinant = 2.0 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1) - n_rows * beta.log()
    loss: Tensor = 0.5 * (quadratic + log_determinant + n_rows * math.log(2.0 * math.pi))
    return loss
