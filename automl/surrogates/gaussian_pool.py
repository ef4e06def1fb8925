"""GaussianPool: the posterior of a Gaussian process over a finite pool, as a BoTorch model of indices into the pool.

BoTorch's acquisition functions take a model and points; here a point is the index of a candidate (design decision:
kernels and models take indices, since graphs are no tensors). Mean and variance of all candidates are known at once, so
a whole pool costs one look-up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from botorch.models.model import Model
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from linear_operator.operators import DiagLinearOperator
from torch import Tensor

Covariance = Callable[[Tensor, Tensor], Tensor]
"""Posterior covariance between candidates given by index, `r` and `c` of them: `r x c`."""

_SMALLEST_VARIANCE = 1e-10


class GaussianPool(Model):  # type: ignore[misc]  # botorch is seen without types here
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
            return GPyTorchPosterior(MultivariateNormal(mean, DiagLinearOperator(self.variance[indices])))
        blocks = torch.stack([self._joint(rows) for rows in indices.reshape(-1, indices.shape[-1])])
        return GPyTorchPosterior(MultivariateNormal(mean, blocks.reshape(*indices.shape, indices.shape[-1])))

    def _joint(self, rows: Tensor) -> Tensor:
        block = self.covariance(rows, rows)
        return block + _SMALLEST_VARIANCE * torch.eye(len(rows)).to(block)

    def hallucinated(self, index: int) -> GaussianPool:
        """The pool as it would be if candidate `index` were observed to be worth its mean.

        So variances shrink around candidates that are being evaluated elsewhere while means stay those of the data
        (Desautels et al. 2014, GP-BUCB, section 3; Kandasamy et al. 2018, NASBOT, appendix on parallel evaluations).
        """
        everyone = torch.arange(len(self))
        row = self.covariance(torch.tensor([index]), everyone)[0]
        explained = row / (row[index].clamp_min(0.0) + self.noise).sqrt().clamp_min(_SMALLEST_VARIANCE**0.5)
        before = self.covariance

        def covariance(rows: Tensor, columns: Tensor) -> Tensor:
            return before(rows, columns) - torch.outer(explained[rows], explained[columns])

        return GaussianPool(self.mean, self.variance - explained**2, covariance, self.noise)

    def drawn(self, subset: Tensor, normals: Tensor) -> Tensor:
        """A joint draw of the scores of `subset`, `k` indices, from `k` standard normal numbers."""
        covariance = self.covariance(subset, subset).double()
        values, vectors = torch.linalg.eigh(0.5 * (covariance + covariance.mT))
        return self.mean[subset] + vectors @ (values.clamp_min(0.0).sqrt() * normals)
