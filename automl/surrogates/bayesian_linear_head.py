"""Bayesian linear regression on given features: the head shared by ABLR and by Fourier features.

Perrone et al. 2018 (ABLR), section 3: `y | w ~ N(Phi w, I / beta)`, `w ~ N(w0, I / alpha)`. With `r = beta / alpha`
and the residual `z = y - Phi w0` everything needs one Cholesky factor of `K = I + r Phi^T Phi` (`D x D`), so the cost
is linear in n.

Symbols: Phi features `n x D`, y targets `n`, w0 prior mean of the weights `D`, alpha and beta precisions of weights
    and noise. All functions take leading batch dimensions (one batch element a task); a row of zeros in Phi and z
    leaves every sum unchanged, so tasks of different lengths are padded with zeros and told their number of rows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


def negative_log_likelihood(
    features: Tensor, targets: Tensor, mean_weights: Tensor, alpha: Tensor, beta: Tensor, n_rows: Tensor
) -> Tensor:
    """Negative log marginal likelihood `-log N(y | Phi w0, Phi Phi^T / alpha + I / beta)`, one number a task.

    Args:
        features: Phi, a `batch_shape x n x D` tensor, rows beyond `n_rows` zero.
        targets: y, a `batch_shape x n` tensor, entries beyond `n_rows` zero.
        mean_weights: w0, a `D` or `batch_shape x D` tensor.
        alpha: Precision of the weights, `batch_shape`.
        beta: Precision of the noise, `batch_shape`.
        n_rows: Number of true rows of each task, `batch_shape`.
    """
    residual = targets - (features @ mean_weights.unsqueeze(-1)).squeeze(-1)
    cholesky, whitened = _whiten(features, residual, alpha, beta)
    ratio = beta / alpha
    quadratic = beta * (residual.square().sum(-1) - ratio * whitened.square().sum(-1))
    log_determinant = 2.0 * cholesky.diagonal(dim1=-2, dim2=-1).log().sum(-1) - n_rows * beta.log()
    return 0.5 * (quadratic + log_determinant + n_rows * math.log(2.0 * math.pi))


@dataclass(frozen=True)
class LinearPosterior:
    """Posterior of the weights after n rows: what `predict` needs and nothing of the rows themselves.

    Args:
        mean: Posterior mean of the weights, `D`.
        cholesky: Lower factor L of `I + r Phi^T Phi`, `D x D`.
        alpha: Precision of the weights, a scalar tensor.
        beta: Precision of the noise, a scalar tensor.
    """

    mean: Tensor
    cholesky: Tensor
    alpha: Tensor
    beta: Tensor

    def predict(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the noise-free function at `m x D` features, each of shape `m`."""
        spread = torch.linalg.solve_triangular(self.cholesky, features.mT, upper=False)
        return features @ self.mean, spread.square().sum(0) / self.alpha


def posterior(features: Tensor, targets: Tensor, mean_weights: Tensor, alpha: Tensor, beta: Tensor) -> LinearPosterior:
    """The weights' posterior given `n x D` features and `n` targets; the prior itself where n is 0."""
    residual = targets - features @ mean_weights
    cholesky, whitened = _whiten(features, residual, alpha, beta)
    shift = torch.linalg.solve_triangular(cholesky.mT, whitened.unsqueeze(-1), upper=True).squeeze(-1)
    return LinearPosterior(mean_weights + beta / alpha * shift, cholesky, alpha, beta)


def leave_one_out_log_density(
    features: Tensor, targets: Tensor, mean_weights: Tensor, alpha: Tensor, beta: Tensor
) -> Tensor:
    """Log predictive density of each target given all others, `n` (Rasmussen and Williams 2006, eqs. 5.10-5.12)."""
    n = targets.shape[0]
    covariance = features @ features.mT / alpha + torch.eye(n, dtype=features.dtype) / beta
    precision = torch.cholesky_inverse(torch.linalg.cholesky(covariance))
    residual = targets - features @ mean_weights
    variance = 1.0 / precision.diagonal()
    error = (precision @ residual) * variance
    return -0.5 * (error.square() / variance + variance.log() + math.log(2.0 * math.pi))


def _whiten(features: Tensor, residual: Tensor, alpha: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
    """L with `L L^T = I + r Phi^T Phi`, and `e = L^-1 Phi^T z`."""
    ratio = (beta / alpha).unsqueeze(-1).unsqueeze(-1)
    identity = torch.eye(features.shape[-1], dtype=features.dtype)
    cholesky = torch.linalg.cholesky(identity + ratio * features.mT @ features)
    projected = features.mT @ residual.unsqueeze(-1)
    return cholesky, torch.linalg.solve_triangular(cholesky, projected, upper=False).squeeze(-1)
