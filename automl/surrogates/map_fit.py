"""MAP fit of a Gaussian process: its hyperparameters maximise marginal likelihood times prior, by L-BFGS."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import gpytorch
import torch
from botorch.models.gpytorch import GPyTorchModel
from botorch.optim.fit import fit_gpytorch_mll_scipy
from gpytorch.constraints import GreaterThan
from gpytorch.distributions import MultivariateNormal
from gpytorch.kernels import Kernel
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.models import ExactGP
from gpytorch.priors import NormalPrior
from torch import Tensor

from kernels.priors import prior_around

_TYPICAL_NOISE = 0.05


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


class _Model(ExactGP, GPyTorchModel):  # type: ignore[misc]  # gpytorch and botorch are seen without types
    def __init__(
        self, inputs: Tensor, scores: Tensor, kernel: Kernel, smallest_noise: float, mean_deviation: float
    ) -> None:
        limits = GreaterThan(smallest_noise, transform=torch.exp, inv_transform=torch.log)
        prior = prior_around(_TYPICAL_NOISE, 1.0)
        super().__init__(inputs, scores, GaussianLikelihood(noise_prior=prior, noise_constraint=limits))
        self.mean_module = ConstantMean(constant_prior=NormalPrior(0.0, mean_deviation))
        self.covar_module = kernel
        self.double()
        self.likelihood.noise = max(_TYPICAL_NOISE, 2 * smallest_noise)

    def forward(self, x: Tensor) -> MultivariateNormal:
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))


def fit_by_map(
    kernel: Kernel,
    inputs: Tensor,
    scores: Tensor,
    *,
    smallest_noise: float,
    max_iterations: int,
    mean_deviation: float = 1.0,
) -> FittedPrior:
    """Fits the kernel's parameters, a constant mean and the noise.

    Args:
        kernel: The covariance, its parameters at their starting values; changed in place.
        inputs: Where was observed, `n x d`.
        scores: What was observed, `n`, of about unit variance.
        smallest_noise: Lower bound of the noise's variance.
        max_iterations: L-BFGS iterations; 0 keeps the starting values.
        mean_deviation: Standard deviation of the constant mean's prior, which is centred at 0.

    Raises:
        RuntimeError: If a covariance could not be factorised or a parameter is not finite.
    """
    model = _Model(inputs, scores, kernel, smallest_noise, mean_deviation)
    if max_iterations:
        with warnings.catch_warnings(), gpytorch.settings.max_cholesky_size(len(scores) + 1):
            warnings.simplefilter("ignore")  # L-BFGS and jittered factorisations report what the check below decides
            mll = ExactMarginalLogLikelihood(model.likelihood, model)
            fit_gpytorch_mll_scipy(mll, options={"maxiter": max_iterations})
    if not all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise RuntimeError("a hyperparameter is not finite")
    model.requires_grad_(False)
    return FittedPrior(kernel, float(model.mean_module.constant), float(model.likelihood.noise))
