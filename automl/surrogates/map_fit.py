"""MAP fit of a Gaussian process: its hyperparameters maximise marginal likelihood times prior, by L-BFGS.

The derivative of the log marginal likelihood by the covariance is known in closed form (Rasmussen and Williams 2006,
"Gaussian processes for machine learning", equation 5.9), so only the kernel itself is differentiated automatically.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from gpytorch.kernels import Kernel
from gpytorch.priors import LogNormalPrior
from numpy.typing import NDArray
from scipy.optimize import minimize
from torch import Tensor

from automl.surrogates.gaussian_pool import stable_cholesky
from kernels.priors import prior_around

TYPICAL_NOISE = 0.05
"""Variance of the noise that its prior is placed around by default, that of the scores being 1."""

_Prior = tuple[LogNormalPrior, Callable[[], Tensor]]  # with what gives the parameter's value


@dataclass(frozen=True, eq=False)
class FittedPrior:
    """A Gaussian process before it sees data: what a fit found.

    Args:
        kernel: The covariance, its parameters fitted.
        mean: The constant mean.
        noise: Variance of the noise of an observation.
    """

    kernel: Kernel
    mean: float
    noise: float


def fit_by_map(
    kernel: Kernel,
    inputs: Tensor,
    scores: Tensor,
    *,
    smallest_noise: float,
    max_iterations: int,
    mean_deviation: float = 1.0,
    typical_noise: float = TYPICAL_NOISE,
) -> FittedPrior:
    """Fits the kernel's parameters, a constant mean and the noise.

    Args:
        kernel: The covariance, its parameters at their starting values and its priors log-normal; changed in place.
        inputs: Where was observed, `n x d`.
        scores: What was observed, `n`, of about unit variance.
        smallest_noise: Lower bound of the noise's variance.
        max_iterations: L-BFGS iterations; 0 keeps the starting values.
        mean_deviation: Standard deviation of the constant mean's prior, which is centred at 0.
        typical_noise: Median of the noise's variance under its log-normal prior, whose logarithm has the deviation 1.

    Raises:
        RuntimeError: If a covariance could not be factorised or a parameter is not finite.
    """
    process = _Process(kernel, smallest_noise, mean_deviation, typical_noise)
    if max_iterations:
        process.maximise(inputs, scores, max_iterations)
    if not all(bool(torch.isfinite(parameter).all()) for parameter in process.parameters):
        raise RuntimeError("a hyperparameter is not finite")
    kernel.requires_grad_(False)
    return FittedPrior(kernel, float(process.mean.detach()), float(process.noise.detach()))


class _Process:
    """A kernel with a constant mean and noise, and the priors of all three."""

    def __init__(self, kernel: Kernel, smallest_noise: float, mean_deviation: float, typical_noise: float) -> None:
        self._kernel = kernel
        self._smallest_noise = smallest_noise
        self._mean_deviation = mean_deviation
        above_smallest = max(typical_noise, 2 * smallest_noise) - smallest_noise
        self._log_noise = torch.tensor(math.log(above_smallest), dtype=torch.float64, requires_grad=True)
        self.mean = torch.zeros((), dtype=torch.float64, requires_grad=True)
        self.parameters = [self._log_noise, self.mean, *kernel.parameters()]
        self._priors = _LogNormals([*_priors(kernel), (prior_around(typical_noise, 1.0), lambda: self.noise)])

    @property
    def noise(self) -> Tensor:
        """Variance of the noise."""
        return self._log_noise.exp() + self._smallest_noise

    def maximise(self, inputs: Tensor, scores: Tensor, max_iterations: int) -> None:
        """Moves the parameters to where the joint density of scores and parameters is large."""

        def loss(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            self._put(point)
            density = self._differentiated(inputs, scores)
            return -density / len(scores), -self._gradient() / len(scores)

        start = torch.cat([parameter.detach().flatten() for parameter in self.parameters]).numpy()
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": max_iterations})
        self._put(found.x)

    def _put(self, point: NDArray[np.float64]) -> None:
        values = torch.from_numpy(point).split([parameter.numel() for parameter in self.parameters])
        with torch.no_grad():
            for parameter, value in zip(self.parameters, values, strict=True):
                parameter.copy_(value.reshape(parameter.shape))
                parameter.grad = None

    def _gradient(self) -> NDArray[np.float64]:
        gradients = [parameter.grad for parameter in self.parameters]
        flat = [
            torch.zeros(p.numel()) if g is None else g.flatten()
            for p, g in zip(self.parameters, gradients, strict=True)
        ]
        gradient: NDArray[np.float64] = torch.cat(flat).double().numpy()
        return gradient

    def _differentiated(self, inputs: Tensor, scores: Tensor) -> float:
        """Log density of scores and parameters, up to a constant; its derivative is left in the parameters."""
        covariance = self._kernel.forward(inputs, inputs)
        with torch.no_grad():
            factor = stable_cholesky(covariance, float(self.noise))
            residuals = scores - self.mean
            weights = torch.cholesky_solve(residuals[:, None], factor)[:, 0]
            by_covariance = 0.5 * (torch.outer(weights, weights) - torch.cholesky_inverse(factor))
            likelihood = -0.5 * residuals @ weights - factor.diagonal().log().sum()
        prior = self._priors.log_density() - 0.5 * (self.mean / self._mean_deviation).square()
        torch.autograd.backward(
            [covariance, self.noise, self.mean, prior],
            [by_covariance, by_covariance.trace(), weights.sum(), torch.ones_like(prior)],
        )
        return float(likelihood + prior.detach())


class _LogNormals:
    """Log-normal priors of several parameters at once, as one vector: their densities cost more apart than a kernel."""

    def __init__(self, priors: Sequence[_Prior]) -> None:
        self._values = [value for _, value in priors]
        sizes = [value().numel() for value in self._values]
        self._location = torch.cat([prior.loc.expand(size) for (prior, _), size in zip(priors, sizes, strict=True)])
        self._scale = torch.cat([prior.scale.expand(size) for (prior, _), size in zip(priors, sizes, strict=True)])

    def log_density(self) -> Tensor:
        """The sum of the log densities, up to a constant."""
        logarithms = torch.cat([value().flatten() for value in self._values]).log()
        density: Tensor = -(0.5 * ((logarithms - self._location) / self._scale).square() + logarithms).sum()
        return density


def _priors(kernel: Kernel) -> list[_Prior]:
    return [(prior, partial(value, module)) for _, module, prior, value, _ in kernel.named_priors()]
