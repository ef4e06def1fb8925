"""The MAP fit: its joint density and derivatives are GPyTorch's, and its optimum that of BoTorch's own fit."""

from __future__ import annotations

import copy
import math

import gpytorch
import pytest
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

from automl.surrogates.candidate_kernel import MixedKernel
from automl.surrogates.map_fit import fit_by_map
from kernels.priors import prior_around

SMALLEST_NOISE, MEAN_DEVIATION = 1e-3, 0.3


class PlainProcess(ExactGP, GPyTorchModel):  # type: ignore[misc]  # gpytorch and botorch are seen without types
    """The same process as GPyTorch has it, each prior registered where it belongs."""

    def __init__(self, inputs: Tensor, scores: Tensor, kernel: Kernel) -> None:
        limits = GreaterThan(SMALLEST_NOISE, transform=torch.exp, inv_transform=torch.log)
        noise = GaussianLikelihood(noise_prior=prior_around(0.05, 1.0), noise_constraint=limits)
        super().__init__(inputs, scores, noise)
        self.mean_module = ConstantMean(constant_prior=NormalPrior(0.0, MEAN_DEVIATION))
        self.covar_module = kernel
        self.double()
        self.likelihood.noise = 0.05

    def forward(self, x: Tensor) -> MultivariateNormal:
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))


def problem(n: int = 25, seed: int = 0) -> tuple[Kernel, Tensor, Tensor]:
    """A kernel of two numbers and a choice, with what was observed of a function of them."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.rand(n, 2, generator=generator, dtype=torch.float64)
    choices = torch.randint(0, 3, (n, 1), generator=generator).double()
    noise = 0.1 * torch.randn(n, generator=generator, dtype=torch.float64)
    scores = torch.sin(5 * numbers[:, 0]) + 0.5 * (choices[:, 0] == 1) + noise
    return MixedKernel(2, 1).double(), torch.hstack([numbers, choices]), scores


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_optimum_is_the_one_that_botorch_finds(seed: int) -> None:
    kernel, inputs, scores = problem(seed=seed)
    plain = PlainProcess(inputs, scores, copy.deepcopy(kernel))
    with gpytorch.settings.max_cholesky_size(100):
        fit_gpytorch_mll_scipy(ExactMarginalLogLikelihood(plain.likelihood, plain))
    fitted = fit_by_map(
        kernel, inputs, scores, smallest_noise=SMALLEST_NOISE, max_iterations=500, mean_deviation=MEAN_DEVIATION
    )
    assert fitted.noise == pytest.approx(plain.likelihood.noise.item(), rel=1e-3)
    assert fitted.mean == pytest.approx(plain.mean_module.constant.item(), abs=1e-3)
    for ours, theirs in zip(fitted.kernel.parameters(), plain.covar_module.parameters(), strict=True):
        torch.testing.assert_close(ours.detach(), theirs.detach(), rtol=1e-2, atol=1e-2)


def test_the_joint_density_of_gpytorch_is_stationary_at_the_fit() -> None:
    kernel, inputs, scores = problem()
    fitted = fit_by_map(
        kernel, inputs, scores, smallest_noise=SMALLEST_NOISE, max_iterations=500, mean_deviation=MEAN_DEVIATION
    )
    plain = PlainProcess(inputs, scores, fitted.kernel.requires_grad_(True))
    plain.likelihood.noise = fitted.noise
    plain.mean_module.constant = fitted.mean
    ExactMarginalLogLikelihood(plain.likelihood, plain)(plain(inputs), scores).backward()
    gradients = [parameter.grad for parameter in plain.parameters()]
    assert len(gradients) == 4  # noise, mean, the numbers' lengthscales and the choice's decay
    for gradient in gradients:
        assert gradient is not None
        assert float(gradient.abs().max()) < 1e-4


def test_without_iterations_all_stays_where_it_starts() -> None:
    kernel, inputs, scores = problem()
    before = copy.deepcopy(kernel.state_dict())
    fitted = fit_by_map(kernel, inputs, scores, smallest_noise=1e-4, max_iterations=0)
    assert fitted.mean == 0.0
    assert fitted.noise == pytest.approx(0.05)
    for name, value in kernel.state_dict().items():
        torch.testing.assert_close(value, before[name])


def test_noise_starts_above_a_large_lower_bound_and_stays_there() -> None:
    kernel, inputs, scores = problem()
    assert fit_by_map(kernel, inputs, scores, smallest_noise=0.2, max_iterations=0).noise == pytest.approx(0.4)
    kernel, inputs, _ = problem()
    fitted = fit_by_map(kernel, inputs, torch.sin(5 * inputs[:, 0]), smallest_noise=0.2, max_iterations=100)
    assert fitted.noise > 0.2


def test_a_mean_that_is_held_stays_near_nothing_where_a_free_one_goes_to_the_scores() -> None:
    means = {}
    for deviation in (0.01, 10.0):
        kernel, inputs, scores = problem()
        fitted = fit_by_map(
            kernel, inputs, scores + 3.0, smallest_noise=1e-3, max_iterations=200, mean_deviation=deviation
        )
        means[deviation] = fitted.mean
    assert abs(means[0.01]) < 0.1
    assert abs(means[10.0] - 3.0) < 1.5


def test_scores_that_are_no_numbers_are_a_runtime_error() -> None:
    kernel, inputs, scores = problem()
    scores[3] = math.nan
    with pytest.raises(RuntimeError):
        fit_by_map(kernel, inputs, scores, smallest_noise=1e-3, max_iterations=10)
