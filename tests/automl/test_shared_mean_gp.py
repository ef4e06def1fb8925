"""SharedMeanGP: several tasks as one exact Gaussian process."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal, norm
from sklearn.gaussian_process.kernels import Matern

from automl.scales import normal_scores
from automl.surrogates.ablr import TaskData
from automl.surrogates.shared_mean_gp import SharedMeanGP, SharedMeanGPSettings, fit_shared_mean_gp, thinned_tasks

Floats = NDArray[np.float64]


def loss(inputs: Floats, shift: float) -> Floats:
    """A family of bowls whose minima lie near (0.7, 0.3)."""
    values: Floats = ((inputs - [0.7 + shift, 0.3 - shift]) ** 2).sum(axis=1)
    return values


def family(sign: float = 1.0, shifts: tuple[float, ...] = (-0.05, 0.0, 0.05)) -> list[TaskData]:
    generator = np.random.default_rng(0)
    drawn = [(generator.random((25, 2)), shift) for shift in shifts]
    return [TaskData(inputs, sign * normal_scores(loss(inputs, shift))) for inputs, shift in drawn]


def grid() -> Floats:
    axis = np.linspace(0.0, 1.0, 11)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


@pytest.fixture(scope="module")
def model() -> SharedMeanGP:
    return fit_shared_mean_gp(family(), (0, 1))


def test_what_is_foreseen_of_a_new_task_has_its_minimum_near_those_of_the_others(model: SharedMeanGP) -> None:
    mean, tasks = model.foreseen(grid())
    assert np.linalg.norm(grid()[mean.argmin()] - [0.7, 0.3]) < 0.15
    assert tasks.shape == (121, 3)


def test_its_hyperparameters_are_those_of_largest_posterior_density() -> None:
    """Each is log-normal around its centre; to change any one makes data and prior together less likely."""
    tasks = family()
    found = fit_shared_mean_gp(tasks, (0, 1), SharedMeanGPSettings(max_iterations=200)).known
    x, y = np.concatenate([task.features for task in tasks]), np.concatenate([task.scores for task in tasks])
    same = np.equal.outer(*[np.repeat(np.arange(3), 25)] * 2)
    centres = np.array([0.05, 1.0, 0.15, 0.05, *[np.sqrt(2.0)] * 4])  # typical lengthscales grow with the dimension
    amplitudes = [float(part) for part in (found.offset, found.shared, found.deviating, found.noise)]
    best = np.array([*amplitudes, *found.shared_lengthscales, *found.deviating_lengthscales])

    def log_density(values: Floats) -> float:
        of_mean, of_deviations = Matern(values[4:6], nu=2.5)(x), Matern(values[6:], nu=2.5)(x)
        covariance = values[1] * of_mean + same * (values[0] + values[2] * of_deviations) + values[3] * np.eye(len(y))
        prior = norm.logpdf(np.log(values / centres)).sum()
        return float(multivariate_normal(cov=covariance).logpdf(y) + prior)

    highest = log_density(best)
    for place in range(8):
        for factor in (0.7, 1.4):
            assert log_density(np.where(np.arange(8) == place, factor, 1.0) * best) < highest


def test_it_is_the_posterior_of_the_kernel_written_out(model: SharedMeanGP) -> None:
    known, tasks = model.known, model.tasks
    x, y = np.concatenate([task.features for task in tasks]), np.concatenate([task.scores for task in tasks])
    number = np.repeat(np.arange(3), 25)
    of_mean = Matern(known.shared_lengthscales.numpy(), nu=2.5)
    of_deviations = Matern(known.deviating_lengthscales.numpy(), nu=2.5)
    within = float(known.deviating) * of_deviations(x, x) + float(known.offset)
    covariance = float(known.shared) * of_mean(x, x) + within * (number[:, None] == number)
    weights = np.linalg.solve(covariance + float(known.noise) * np.eye(len(y)), y)
    shared = float(known.shared) * of_mean(grid(), x)
    own = (float(known.deviating) * of_deviations(grid(), x) + float(known.offset)) * (number == 1)
    mean, of_tasks = model.foreseen(grid())
    np.testing.assert_allclose(mean, shared @ weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(of_tasks[:, 1], (shared + own) @ weights, rtol=1e-5, atol=1e-6)


def test_a_task_that_is_left_out_no_longer_counts() -> None:
    both = fit_shared_mean_gp([*family(), *family(sign=-1.0, shifts=(0.02, -0.02, 0.01))], (0, 1))
    opposed, agreed = (model.foreseen(grid())[0] for model in (both, both.of_tasks([0, 1, 2])))
    assert opposed.std() < 0.3 * agreed.std()
    assert np.corrcoef(agreed, loss(grid(), 0.0))[0, 1] > 0.7


def test_a_task_whose_scores_are_all_shifted_leaves_the_shape_of_the_others() -> None:
    tasks = family()
    shifted = [*tasks[:2], TaskData(tasks[2].features, tasks[2].scores + 1.0)]
    mean, of_tasks = fit_shared_mean_gp(shifted, (0, 1)).foreseen(grid())
    assert np.corrcoef(mean, loss(grid(), 0.0))[0, 1] > 0.9
    assert (of_tasks[:, 2] - of_tasks[:, 0]).mean() > 0.5


def test_no_more_evaluations_are_fitted_than_asked_for() -> None:
    assert [len(task.scores) for task in thinned_tasks(family(), 30)] == [10, 10, 10]
    settings = SharedMeanGPSettings(fitted_rows=15, known_rows=30, max_iterations=3)
    assert [len(task.scores) for task in fit_shared_mean_gp(family(), (0, 1), settings).tasks] == [10, 10, 10]


def test_no_candidates_are_answered_with_nothing(model: SharedMeanGP) -> None:
    assert model.foreseen(np.empty((0, 2)))[1].shape == (0, 3)


def test_without_a_task_it_refuses_to_fit(model: SharedMeanGP) -> None:
    with pytest.raises(ValueError, match="got 0 tasks"):
        fit_shared_mean_gp([], (0, 1))
    with pytest.raises(ValueError, match="got no task to keep"):
        model.of_tasks([])
