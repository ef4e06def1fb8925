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


def test_tasks_described_by_different_numbers_of_features_are_refused() -> None:
    tasks = [TaskData(np.zeros((3, width)), np.arange(3.0)) for width in (2, 4)]
    with pytest.raises(ValueError, match="tasks of 2 and 4 features, expected one number"):
        fit_ablr(tasks, seed=0)


def three_tasks(n: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Features, targets and logarithmic precisions."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, n, 5, dtype=torch.float64, generator=generator)
    targets = torch.randn(3, n, dtype=torch.float64, generator=generator)
    return features, targets, torch.randn(3, 2, dtype=torch.float64, generator=generator)


def test_regression_finds_the_prior_mean_of_largest_posterior_density() -> None:
    features, targets, log_precisions = three_tasks()
    known = TaskEvidence.of(features, targets, log_precisions)
    mean_weights = known.mean_weights().requires_grad_()
    alpha, beta = log_precisions.exp().unbind(-1)
    n_rows = torch.full((3,), 12.0, dtype=torch.float64)
    loss_of_all = negative_log_likelihood(features, targets, mean_weights, alpha, beta, n_rows).sum()
    (slope,) = torch.autograd.grad(loss_of_all + 0.5 * mean_weights.square().sum(), mean_weights)
    torch.testing.assert_close(slope, torch.zeros(5, dtype=torch.float64), atol=1e-9, rtol=0.0)


def exact_posterior(
    phi: torch.Tensor,
    y: torch.Tensor,
    new: torch.Tensor,
    mean_weights: torch.Tensor,
    alpha: torch.Tensor,
    beta: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance by the `n x n` covariance (Rasmussen and Williams 2006, equations 2.25 and 2.26)."""
    covariance = phi @ phi.mT / alpha + torch.eye(len(phi), dtype=torch.float64) / beta
    cross = new @ phi.mT / alpha
    gain = torch.linalg.solve(covariance, cross.mT).mT
    return (
        new @ mean_weights + gain @ (y - phi @ mean_weights),
        new.square().sum(-1) / alpha - (gain * cross).sum(-1),
    )


@pytest.mark.parametrize("n", [3, 12], ids=["fewer rows than features", "more rows than features"])
def test_each_head_s_posterior_is_that_of_the_exact_gaussian_process(n: int) -> None:
    features, targets, log_precisions = three_tasks(n)
    generator = torch.Generator().manual_seed(1)
    new = torch.randn(7, 5, dtype=torch.float64, generator=generator)
    mean_weights = torch.randn(5, dtype=torch.float64, generator=generator)
    known = TaskEvidence.of(features, targets, log_precisions)
    tasks = zip(known.heads(mean_weights), known.variances(new), features, targets, log_precisions.exp(), strict=True)
    for head, variance, phi, y, (alpha, beta) in tasks:
        expected_mean, expected_variance = exact_posterior(phi, y, new, mean_weights, alpha, beta)
        torch.testing.assert_close(new @ head, expected_mean)
        torch.testing.assert_close(variance, expected_variance)


def test_rows_that_a_task_lacks_beside_larger_ones_say_nothing() -> None:
    generator = np.random.default_rng(7)
    inputs = [generator.random((n, 2)) for n in (5, 30, 12)]
    tasks = [TaskData(x, normal_scores(loss(x, 0.1))) for x in inputs]
    model = fit_ablr(tasks, seed=0, settings=ABLRSettings(max_iterations=5))
    new, of_tasks = model.features(grid()), model.foreseen(grid())[1]
    for place, (task, (alpha, beta)) in enumerate(zip(tasks, model._evidence.log_precisions.exp(), strict=True)):
        phi, y = model.features(task.features), torch.from_numpy(task.scores)
        expected, _ = exact_posterior(phi, y, new, model._mean_weights, alpha, beta)
        np.testing.assert_allclose(of_tasks[:, place], expected, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("n", [1, 6, 50, 90])  # of 50 features
def test_a_new_task_s_posterior_is_that_of_the_exact_gaussian_process(model: ABLR, n: int) -> None:
    inputs = np.random.default_rng(6).random((n, 2))
    known = TaskData(inputs, normal_scores(loss(inputs, 0.03)) + 0.5)
    phi, new = model.features(inputs), model.features(grid())
    prior = torch.from_numpy(model.posterior(grid())[1])
    noisy = torch.from_numpy(model.posterior(grid(), with_noise=True)[1])
    alpha, beta = (new.square().sum(-1) / prior).mean(), 1.0 / (noisy - prior).mean()
    mean_weights = torch.linalg.lstsq(new, torch.from_numpy(model.foreseen(grid())[0])).solution
    expected = exact_posterior(phi, torch.from_numpy(known.scores), new, mean_weights, alpha, beta)
    mean, variance = model.posterior(grid(), known)
    torch.testing.assert_close(torch.from_numpy(mean), expected[0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(torch.from_numpy(variance), expected[1], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(model.posterior(grid(), known, with_noise=True)[1], variance + 1.0 / float(beta))


def test_of_a_task_without_values_the_shared_mean_is_expected_and_what_tasks_typically_vary(model: ABLR) -> None:
    mean, variance = model.posterior(grid())
    np.testing.assert_allclose(mean, model.foreseen(grid())[0], rtol=1e-9)
    empty = TaskData(np.empty((0, 2)), np.empty(0))
    np.testing.assert_array_equal(model.posterior(grid(), empty), (mean, variance))
    assert (model.posterior(grid(), with_noise=True)[1] > variance).all()


def test_values_of_a_new_task_make_its_neighbourhood_surer(model: ABLR) -> None:
    inputs = np.array([[0.2, 0.8], [0.7, 0.3]])
    mean, variance = model.posterior(inputs, TaskData(inputs[:1], np.array([3.0])))
    assert (variance < model.posterior(inputs)[1]).all()
    assert variance[0] < variance[1]
    assert mean[0] > model.posterior(inputs)[0][0]


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


@pytest.mark.parametrize(
    ("features", "scores", "message"),
    [
        (np.zeros((3, 2)), np.zeros(4), r"got features of shape \(3, 2\) for scores of shape \(4,\)"),
        (np.zeros(3), np.zeros(3), "expected n x P and n"),
        (np.full((3, 2), np.nan), np.zeros(3), "NaN or infinite"),
        (np.zeros((3, 2)), np.array([0.0, np.inf, 1.0]), "NaN or infinite"),
    ],
)
def test_evaluations_that_are_no_data_of_a_task_are_refused(
    features: NDArray[np.float64], scores: NDArray[np.float64], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        TaskData(features, scores)
