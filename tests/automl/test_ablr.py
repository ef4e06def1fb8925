"""ABLR: what past tasks teach carries over to a new one, whatever its units."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl.scales import normal_scores
from automl.surrogates.ablr import ABLR, ABLRSettings, TaskData, TaskEvidence, fit_ablr
from automl.surrogates.bayesian_linear_head import negative_log_likelihood, posterior

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
    mean, variance = model.prior(grid())
    assert np.linalg.norm(grid()[mean.argmin()] - [0.7, 0.3]) < 0.15
    assert (variance > 0).all()


def test_adapting_explains_the_observed_values(model: ABLR) -> None:
    inputs = np.random.default_rng(1).random((12, 2))
    values = loss(inputs, 0.03)
    mean, _ = model.adapt(inputs, values).predict(inputs)
    assert np.corrcoef(mean, values)[0, 1] > 0.95


def test_other_units_of_the_target_give_the_same_posterior_in_those_units(model: ABLR) -> None:
    inputs = np.random.default_rng(2).random((8, 2))
    values = loss(inputs, 0.0)
    mean, variance = model.adapt(inputs, values).predict(grid())
    scaled_mean, scaled_variance = model.adapt(inputs, 1000.0 * values - 7.0).predict(grid())
    np.testing.assert_allclose(scaled_mean, 1000.0 * mean - 7.0, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(scaled_variance, 1e6 * variance, rtol=1e-3)


def test_the_fit_is_the_same_for_the_same_seed() -> None:
    inputs = np.random.default_rng(4).random((10, 2))
    tasks = [TaskData(inputs, normal_scores(loss(inputs, 0.0)))]
    means = [fit_ablr(tasks, seed=3, settings=SETTINGS).prior(grid())[0] for _ in range(2)]
    np.testing.assert_array_equal(means[0], means[1])


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5, 0.5]])
def test_one_value_or_constant_values_give_a_finite_posterior(model: ABLR, values: list[float]) -> None:
    inputs = np.random.default_rng(5).random((len(values), 2))
    mean, variance = model.adapt(inputs, np.array(values)).predict(grid())
    assert np.isfinite(mean).all()
    assert (variance >= 0).all()


def test_no_tasks_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 tasks"):
        fit_ablr([], seed=0)


def evidence(features: torch.Tensor, targets: torch.Tensor, log_precisions: torch.Tensor) -> TaskEvidence:
    moments = (features.mT @ targets.unsqueeze(-1)).squeeze(-1)
    return TaskEvidence(features.mT @ features, moments, log_precisions)


def test_regression_finds_the_prior_mean_of_largest_likelihood_and_the_heads_of_the_exact_posterior() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 12, 5, dtype=torch.float64, generator=generator)
    targets = torch.randn(3, 12, dtype=torch.float64, generator=generator)
    log_precisions = torch.randn(3, 2, dtype=torch.float64, generator=generator)
    known = evidence(features, targets, log_precisions)
    mean_weights = known.mean_weights().requires_grad_()
    alpha, beta = log_precisions.exp().unbind(-1)
    n_rows = torch.full((3,), 12.0, dtype=torch.float64)
    loss_of_all = negative_log_likelihood(features, targets, mean_weights, alpha, beta, n_rows).sum()
    (slope,) = torch.autograd.grad(loss_of_all + 0.5 * mean_weights.square().sum(), mean_weights)
    torch.testing.assert_close(slope, torch.zeros(5, dtype=torch.float64), atol=1e-9, rtol=0.0)
    exact = [
        posterior(*of_task).mean
        for of_task in zip(features, targets, [mean_weights.detach()] * 3, alpha, beta, strict=True)
    ]
    torch.testing.assert_close(known.heads(mean_weights.detach()), torch.stack(exact))


def test_a_task_that_is_left_out_no_longer_counts() -> None:
    generator = np.random.default_rng(5)
    inputs = [generator.random((40, 2)) for _ in range(4)]
    tasks = [TaskData(x, (1 if t < 3 else -1) * normal_scores(loss(x, 0.0))) for t, x in enumerate(inputs)]
    rest = fit_ablr(tasks, seed=0, settings=SETTINGS).of_tasks([0, 1, 2])
    assert rest.task_means(grid()).shape == (len(grid()), 3)
    assert np.corrcoef(rest.prior(grid())[0], loss(grid(), 0.0))[0, 1] > 0.9


def test_leaving_out_every_task_is_refused(model: ABLR) -> None:
    with pytest.raises(ValueError, match="got no task to keep"):
        model.of_tasks([])
