"""ABLR: what past tasks teach carries over to a new one, whatever its units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.scales import normal_scores
from automl.surrogates.ablr import ABLR, ABLRSettings, TaskData, TaskEvidence, fit_ablr
from automl.surrogates.bayesian_linear_head import negative_log_likelihood

SETTINGS = ABLRSettings(max_iterations=60)


def loss(inputs: NDArray[np.float64], shift: float) -> NDArray[np.float64]:
    """A family of bowls whose minima lie near (0.7, 0.3)."""
    centre = np.array([0.7 + shift, 0.3 - shift])
    values: NDArray[np.float64] = ((inputs - centre) ** 2).sum(axis=1)
    return values


@pytest.fixture(scope="module")
def model() -> ABLR:
    generator = np.random.default_rng(0)
    tasks = []
    for shift in (-0.05, 0.0, 0.05, 0.02):
        inputs = generator.random((40, 2))
        tasks.append(TaskData(inputs, normal_scores(loss(inputs, shift))))
    return fit_ablr(tasks, seed=0, settings=SETTINGS)


def grid() -> NDArray[np.float64]:
    axis = np.linspace(0.0, 1.0, 21)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def test_the_first_proposal_of_a_new_task_lies_near_the_minima_of_the_others(model: ABLR) -> None:
    mean, of_tasks = model.foreseen(grid())
    assert np.linalg.norm(grid()[mean.argmin()] - [0.7, 0.3]) < 0.15
    assert of_tasks.shape == (len(grid()), 4)


def test_the_fit_is_the_same_for_the_same_seed() -> None:
    inputs = np.random.default_rng(4).random((10, 2))
    tasks = [TaskData(inputs, normal_scores(loss(inputs, 0.0)))]
    means = [fit_ablr(tasks, seed=3, settings=SETTINGS).foreseen(grid())[0] for _ in range(2)]
    np.testing.assert_array_equal(means[0], means[1])


def test_no_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 tasks"):
        fit_ablr([], seed=0)


def evidence(features: torch.Tensor, targets: torch.Tensor, log_precisions: torch.Tensor) -> TaskEvidence:
    moments = (features.mT @ targets.unsqueeze(-1)).squeeze(-1)
    return TaskEvidence(features.mT @ features, moments, log_precisions)


def three_tasks() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, targets and logarithmic precisions."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 12, 5, dtype=torch.float64, generator=generator)
    targets = torch.randn(3, 12, dtype=torch.float64, generator=generator)
    return features, targets, torch.randn(3, 2, dtype=torch.float64, generator=generator)


def test_regression_finds_the_prior_mean_of_largest_posterior_density() -> None:
    features, targets, log_precisions = three_tasks()
    known = evidence(features, targets, log_precisions)
    mean_weights = known.mean_weights().requires_grad_()
    alpha, beta = log_precisions.exp().unbind(-1)
    n_rows = torch.full((3,), 12.0, dtype=torch.float64)
    loss_of_all = negative_log_likelihood(features, targets, mean_weights, alpha, beta, n_rows).sum()
    (slope,) = torch.autograd.grad(loss_of_all + 0.5 * mean_weights.square().sum(), mean_weights)
    torch.testing.assert_close(slope, torch.zeros(5, dtype=torch.float64), atol=1e-9, rtol=0.0)


def test_each_head_s_posterior_is_that_of_the_exact_gaussian_process() -> None:
    features, targets, log_precisions = three_tasks()
    generator = torch.Generator().manual_seed(1)
    new = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    mean_weights = torch.randn(5, dtype=torch.float64, generator=generator)
    heads = evidence(features, targets, log_precisions).heads(mean_weights)
    for head, phi, y, (alpha, beta) in zip(heads, features, targets, log_precisions.exp(), strict=True):
        covariance = phi @ phi.mT / alpha + torch.eye(12, dtype=torch.float64) / beta
        gain = torch.linalg.solve(covariance, phi @ new.mT / alpha).mT
        torch.testing.assert_close(new @ head, new @ mean_weights + gain @ (y - phi @ mean_weights))


def test_a_task_that_is_left_out_no_longer_counts() -> None:
    generator = np.random.default_rng(5)
    inputs = [generator.random((40, 2)) for _ in range(4)]
    tasks = [TaskData(x, (1 if t < 3 else -1) * normal_scores(loss(x, 0.0))) for t, x in enumerate(inputs)]
    rest = fit_ablr(tasks, seed=0, settings=SETTINGS).of_tasks([0, 1, 2])
    mean, of_tasks = rest.foreseen(grid())
    assert of_tasks.shape == (len(grid()), 3)
    assert np.corrcoef(mean, loss(grid(), 0.0))[0, 1] > 0.9


def test_leaving_out_every_task_is_refused(model: ABLR) -> None:
    with pytest.raises(ValueError, match="got no task to keep"):
        model.of_tasks([])
