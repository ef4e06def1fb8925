"""The linear head's likelihood against that of the exact Gaussian process that it is."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from automl.surrogates.bayesian_linear_head import negative_log_likelihood

ALPHA, BETA = torch.tensor(0.7, dtype=torch.float64), torch.tensor(5.0, dtype=torch.float64)


def problem(n: int, width: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(n, width, generator=generator, dtype=torch.float64)
    targets = torch.randn(n, generator=generator, dtype=torch.float64)
    return features, targets, torch.randn(width, generator=generator, dtype=torch.float64)


def exact(features: Tensor, mean_weights: Tensor) -> MultivariateNormal:
    covariance = features @ features.mT / ALPHA + torch.eye(len(features), dtype=torch.float64) / BETA
    return MultivariateNormal(features @ mean_weights, covariance)


@pytest.mark.parametrize(("n", "width"), [(3, 8), (8, 8), (30, 8), (1, 1)])
def test_likelihood_is_that_of_the_multivariate_normal(n: int, width: int) -> None:
    features, targets, mean_weights = problem(n, width)
    nll = negative_log_likelihood(features, targets, mean_weights, ALPHA, BETA, torch.tensor(float(n)))
    torch.testing.assert_close(nll, -exact(features, mean_weights).log_prob(targets))


def test_padded_tasks_in_one_batch_have_the_likelihoods_of_each_alone() -> None:
    short, long = problem(4, 6, seed=1), problem(9, 6, seed=2)
    features, targets = torch.zeros(2, 9, 6, dtype=torch.float64), torch.zeros(2, 9, dtype=torch.float64)
    features[0, :4], targets[0, :4], features[1], targets[1] = short[0], short[1], long[0], long[1]
    weights = torch.stack([short[2], long[2]])
    alpha, beta = ALPHA.repeat(2), BETA.repeat(2)
    both = negative_log_likelihood(features, targets, weights, alpha, beta, torch.tensor([4.0, 9.0]))
    for got, (phi, y, w) in zip(both, (short, long), strict=True):
        torch.testing.assert_close(got, -exact(phi, w).log_prob(y))
