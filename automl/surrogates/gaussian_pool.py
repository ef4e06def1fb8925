"""GaussianPool: the posterior of a Gaussian process over a finite pool, as a BoTorch model of indices into the pool.

BoTorch's acquisition functions take a model and points; here a point is the index of a candidate (design decision:
kernels and models take indices, since graphs are no tensors). Mean and variance of all candidates are known at once, so
a whole pool costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from torch import Tensor

Covariance = Callable[[Tensor, Tensor], Tensor]
"""Posterior covariance between candidates given by index, `r` and `c` of them: `r x c`."""

_SMALLEST_VARIANCE = 1e-10


class GaussianPool(Model):
    """A joint Gaussian over the scores of N candidates.

    Args:
        mean: Expected scores, `N`.
        variance: Variances of the noise-free scores, `N`.
        covariance: Covariances between some of them, given by two index tensors.
        noise: Variance of the noise of one observation.
    """

    def __init__(self, mean: Tensor, variance: Tensor, covariance: Covariance, noise: float) -> None:
        super().__init__()
        self.mean = mean
        self.variance = variance.clamp_min(_SMALLEST_VARIANCE)
        self.covariance = covariance
        self.noise = noise

    def __len__(self) -> int:
        return len(self.mean)

    @property
    def num_outputs(self) -> int:
        """One score a candidate."""
        return 1

    @property
    def indices(self) -> Tensor:
        """All candidates as BoTorch takes them, `N x 1 x 1`."""
        return torch.arange(len(self), dtype=torch.float64)[:, None, None]

    def posterior(self, X: Tensor, *args: Any, **kwargs: Any) -> GPyTorchPosterior:
        """The joint posterior of q candidates given by index, `X` a `batch_shape x q x 1` tensor."""
        indices = X[..., 0].round().long()
        mean = self.mean[indices]
        if indices.shape[-1] == 1:
            return GPyTorchPosterior(MultivariateNormal(mean, self.variance[indices][..., None]))
        blocks = torch.stack([self._joint(rows) for rows in indices.reshape(-1, indices.shape[-1])])
        return GPyTorchPosterior(MultivariateNormal(mean, blocks.reshape(*indices.shape, indices.shape[-1])))

    def _joint(self, rows: Tensor) -> Tensor:
        block = self.covariance(rows, rows)
        return block + _SMALLEST_VARIANCE * torch.eye(len(rows)).to(block)

    def hallucinated(self, indices: Sequence[int]) -> GaussianPool:
        """The pool as it would be if these candidates were observed to be worth their means.

        So variances shrink around candidates that are being evaluated elsewhere while means stay those of the data
        (Desautels et al. 2014, GP-BUCB, section 3; Kandasamy et al. 2018, NASBOT, on parallel evaluations).
        """
        if not indices:
            return self
        pending = torch.tensor(list(indices))
        rows = self.covariance(pending, torch.arange(len(self)))
        factor = stable_cholesky(rows[:, pending], self.noise)
        explained = torch.linalg.solve_triangular(factor, rows, upper=False)

        def covariance(rows: Tensor, columns: Tensor) -> Tensor:
            shared: Tensor = explained[:, rows].mT @ explained[:, columns]
            return self.covariance(rows, columns) - shared

        return GaussianPool(self.mean, self.variance - explained.square().sum(0), covariance, self.noise)

    def with_residuals(self) -> GaussianPool:
        """The Gaussian over what single evaluations would give: each candidate's variance is larger by the noise's."""

        def covariance(rows: Tensor, columns: Tensor) -> Tensor:
            return self.covariance(rows, columns) + self.noise * (rows[:, None] == columns)

        return GaussianPool(self.mean, self.variance + self.noise, covariance, self.noise)

    def after_one_value(self, chance: float) -> GaussianPool:
        """The Gaussian over what each candidate's mean may be once it has been evaluated.

        A value that lies around the score with the variance `chance` moves the mean by a normal amount of variance v^2
        / (v + chance), v being the score's variance (Frazier, Powell and Dayanik 2008).
        """
        share = (self.variance / (self.variance + chance)).sqrt()

        def covariance(rows: Tensor, columns: Tensor) -> Tensor:
            return share[rows][:, None] * self.covariance(rows, columns) * share[columns]

        return GaussianPool(self.mean, self.variance * share.square(), covariance, self.noise)

    def drawn(self, subset: Tensor, normals: Tensor) -> Tensor:
        """A joint draw of the scores of `subset`, `k` indices, from `k` standard normal numbers."""
        covariance = self.covariance(subset, subset).double()
        values, vectors = torch.linalg.eigh(0.5 * (covariance + covariance.mT))
        draw: Tensor = self.mean[subset] + vectors @ (values.clamp_min(0.0).sqrt() * normals)
        return draw


def independent_pool(mean: Tensor, variance: Tensor, noise: float = 0.0) -> GaussianPool:
    """Candidates whose scores have nothing to do with one another: mean and variance, `N` each."""

    def covariance(rows: Tensor, columns: Tensor) -> Tensor:
        return torch.where(rows[:, None] == columns[None, :], variance[rows][:, None], 0.0)

    return GaussianPool(mean, variance, covariance, noise)


def stable_cholesky(covariance: Tensor, noise: float) -> Tensor:
    """The factor of covariance plus noise, with ever more noise where rounding has made that indefinite.

    Raises:
        RuntimeError: If a hundredth of the variance of the scores is not enough.
    """
    for jitter in (0.0, 1e-8, 1e-6, 1e-4, 1e-2):
        factor, failed = torch.linalg.cholesky_ex(covariance + (noise + jitter) * torch.eye(len(covariance)))
        if not failed:
            return cast(Tensor, factor)
    raise RuntimeError("the covariance of the observations is far from positive definite")
