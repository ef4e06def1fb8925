"""Probabilistic matrix factorisation of tasks x candidates with holes (Fusi, Sheth and Elibol 2018).

Every candidate has a latent vector; on every task the scores are a Gaussian process of it, with one covariance (squared
exponential and noise) for all tasks. Latent vectors, lengthscale, amplitude and noise maximise the sum of the tasks'
log marginal likelihoods over the entries that are known, starting from the principal components of the matrix with
holes filled by the candidates' means. A new task is then a Gaussian process over latent vectors. Unlike there,
the prior mean is the candidates' mean over tasks, shrunk where few tasks know it, and the optimiser is L-BFGS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.surrogates.lbfgs import minimise

Floats = NDArray[np.float64]

_JITTER = 1e-6
_FEW = 1.0  # Tasks whose weight a candidate's mean is shrunk by.


@dataclass(frozen=True)
class PMFSettings:
    """How the factorisation is fitted.

    Args:
        n_latent: Q, length of a latent vector; at most the number of tasks is used.
        max_iterations: L-BFGS iterations.
        latent_precision: Weight of the squared latent vectors, a Gaussian prior as in the GPLVM.
    """

    n_latent: int = 20
    max_iterations: int = 60
    latent_precision: float = 1.0


@dataclass(frozen=True, eq=False)
class PMF:
    """The fitted factorisation; `fit_pmf` makes one.

    Args:
        mean: Prior mean of every candidate, `M`.
        latent: Latent vectors divided by the lengthscale, `M x Q`.
        amplitude: Variance of a task's scores around the mean.
        noise: Variance of the noise.
    """

    mean: Floats
    latent: Floats
    amplitude: float
    noise: float

    def posterior(self, places: Sequence[int], values: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of all M candidates given `t` values of a new task on the shared scale.

        Raises:
            ValueError: If the numbers of places and values differ.
        """
        if len(places) != len(values):
            raise ValueError(f"got {len(values)} values for {len(places)} places, expected one each.")
        if not len(places):
            return self.mean, np.full(len(self.mean), self.amplitude)
        observed = torch.from_numpy(self.latent[list(places)])
        covariance = self.amplitude * _squared_exponential(observed, observed)
        covariance += (self.noise + _JITTER) * torch.eye(len(places), dtype=torch.float64)
        cross = self.amplitude * _squared_exponential(observed, torch.from_numpy(self.latent))
        whitened = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), cross, upper=False)
        residual = torch.from_numpy(np.asarray(values) - self.mean[list(places)])
        weights = torch.linalg.solve(covariance, residual)
        variance = self.amplitude - whitened.square().sum(0)
        return self.mean + (weights @ cross).numpy(), variance.clamp_min(0.0).numpy()


def fit_pmf(scores: Floats, *, settings: PMFSettings | None = None) -> PMF:
    """Factorises tasks x candidates.

    Args:
        scores: `T x M` on a shared scale, NaN where a task does not know a candidate.
        settings: How it is fitted.

    Raises:
        ValueError: If a task knows no candidate.
    """
    settings = settings or PMFSettings()
    known = ~np.isnan(scores)
    if scores.ndim != 2 or 0 in scores.shape or not known.any(axis=1).all():
        raise ValueError(
            f"got scores of shape {scores.shape} in which some task knows no candidate, expected one or more each; "
            "drop such tasks."
        )
    mean = np.nansum(scores, axis=0) / (known.sum(axis=0) + _FEW)
    latent = nn.Parameter(
        torch.from_numpy(_principal_components(np.where(known, scores - mean, 0.0), settings.n_latent))
    )
    log_scales = nn.Parameter(torch.tensor([0.5, -1.0, -3.0], dtype=torch.float64))  # lengthscale, amplitude, noise
    tasks = [
        (torch.from_numpy(np.flatnonzero(row)), torch.from_numpy((y - mean)[row]))
        for row, y in zip(known, scores, strict=True)
    ]

    def loss() -> Tensor:
        lengthscale, amplitude, noise = log_scales.clamp(-8.0, 8.0).exp()
        prior = 0.5 * settings.latent_precision * latent.square().sum() + 0.5 * log_scales.square().sum()
        fits = [_negative_log_likelihood(latent[rows] / lengthscale, y, amplitude, noise) for rows, y in tasks]
        return torch.stack(fits).sum() + prior

    minimise(loss, [latent, log_scales], settings.max_iterations)
    lengthscale, amplitude, noise = log_scales.detach().clamp(-8.0, 8.0).exp().tolist()
    return PMF(mean, latent.detach().numpy() / lengthscale, amplitude, noise)


def completed(scores: Floats, *, settings: PMFSettings | None = None) -> Floats:
    """The matrix with its holes filled by each task's posterior mean; known entries stay as they are."""
    if not np.isnan(scores).any():
        return scores
    model = fit_pmf(scores, settings=settings)
    filled = scores.copy()
    for row in filled:
        known = np.flatnonzero(~np.isnan(row))
        mean, _ = model.posterior(known.tolist(), row[known])
        row[np.isnan(row)] = mean[np.isnan(row)]
    return filled


def _principal_components(centred: Floats, n_latent: int) -> Floats:
    """Scores of the candidates on the leading components, the first of unit variance, `M x min(Q, T)`."""
    _, values, vectors = np.linalg.svd(centred, full_matrices=False)
    q = min(n_latent, len(values))
    weighted = vectors[:q].T * (values[:q] / max(float(values[0]), 1e-12))
    return np.ascontiguousarray(weighted * np.sqrt(len(weighted)))


def _squared_exponential(a: Tensor, b: Tensor) -> Tensor:
    squared = a.square().sum(-1)[:, None] + b.square().sum(-1)[None, :] - 2.0 * a @ b.mT
    kernel: Tensor = (-0.5 * squared.clamp_min(0.0)).exp()
    return kernel


def _negative_log_likelihood(latent: Tensor, residual: Tensor, amplitude: Tensor, noise: Tensor) -> Tensor:
    covariance = amplitude * _squared_exponential(latent, latent)
    cholesky = torch.linalg.cholesky(covariance + (noise + _JITTER) * torch.eye(len(residual), dtype=torch.float64))
    whitened = torch.linalg.solve_triangular(cholesky, residual[:, None], upper=False)
    loss: Tensor = 0.5 * whitened.square().sum() + cholesky.diagonal().log().sum()
    return loss
