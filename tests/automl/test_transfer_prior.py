"""TransferPrior: what past tasks foresee and how they differ, and trust in both as it is measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.scales import normal_scores
from automl.surrogates.ablr import ABLRSettings, TaskData
from automl.surrogates.transfer_gp import TransferGPSettings
from automl.surrogates.transfer_prior import TransferPrior, TransferPriorSettings, fit_transfer_prior

Floats = NDArray[np.float64]
SMALL = TransferPriorSettings(
    n_networks=1, n_folds=3, fold_iterations=15, ablr=ABLRSettings(width=8, max_iterations=15), gp=TransferGPSettings()
)


def task(seed: int, *, sign: float = 1.0, noise: float = 0.0) -> TaskData:
    """A slope along the first of two features."""
    generator = np.random.default_rng(seed)
    features = generator.random((25, 2))
    return TaskData(features, normal_scores(sign * features[:, 0] + noise * generator.standard_normal(25)))


@pytest.fixture(scope="module")
def prior() -> TransferPrior:
    return fit_transfer_prior([task(seed, noise=0.2) for seed in range(4)], (0, 1), seed=0, settings=SMALL)


def test_deviations_carry_the_mean_square_by_which_tasks_differ(prior: TransferPrior) -> None:
    features = np.random.default_rng(9).random((30, 2))
    seen, tasks = prior.inputs(features), prior.task_means(features)
    expected = np.square(tasks - seen.mean[:, None]).mean(axis=1)
    np.testing.assert_allclose(np.square(seen.deviations).sum(axis=1), expected)


def test_networks_together_and_the_process_have_one_voice_each() -> None:
    tasks = [task(seed) for seed in range(2)]
    found = fit_transfer_prior(tasks, (0, 1), seed=0, settings=replace(SMALL, n_networks=2))
    features = np.random.default_rng(9).random((5, 2))
    (first, of_first), (second, of_second) = (network.foreseen(features) for network in found.opinions.networks)
    process, of_process = found.opinions.process.foreseen(features)
    np.testing.assert_allclose(found.inputs(features).mean, 0.25 * first + 0.25 * second + 0.5 * process)
    np.testing.assert_allclose(found.task_means(features), 0.25 * of_first + 0.25 * of_second + 0.5 * of_process)
    assert not np.allclose(first, second), "networks of seeds of their own, or this compares nothing"


def test_the_trust_is_the_regression_of_tasks_on_what_the_other_folds_foresee(prior: TransferPrior) -> None:
    slopes, residuals, correlations = [], [], []
    for fold in prior.folds:
        for place in fold.held_out:
            foreseen, scores = fold.opinions.foreseen(prior.tasks[place].features)[0], prior.tasks[place].scores
            slope, offset = np.polyfit(foreseen, scores, 1)
            slopes.append(slope)
            residuals.append(np.mean(np.square(scores - slope * foreseen - offset)))
            correlations.append(np.corrcoef(foreseen, scores)[0, 1])
    assert len(slopes) == 4
    assert prior.gp.slope == pytest.approx(np.mean(slopes))
    assert prior.gp.residual_amplitude == pytest.approx(np.mean(residuals))
    assert prior.foresight == pytest.approx(np.mean(correlations))
    assert 0.01 < prior.gp.residual_amplitude < 1.0, "within its bounds, or this compares nothing"


def test_tasks_that_want_the_opposite_earn_no_trust() -> None:
    opposed = [task(0), task(1, sign=-1.0)]
    found = fit_transfer_prior(opposed, (0, 1), seed=0, settings=SMALL)
    assert found.foresight < -0.5
    assert found.gp.slope == 0.02  # the least
    assert found.gp.residual_amplitude < 0.3  # the slope alone is wrong: what is left beside it is little


def test_of_a_single_task_nothing_measures_the_trust(prior: TransferPrior) -> None:
    for alone in (fit_transfer_prior([task(0)], (0, 1), seed=0, settings=SMALL), prior.of_tasks([2])):
        assert math.isnan(alone.foresight)
        assert alone.gp == SMALL.gp


def test_without_some_tasks_folds_know_and_test_the_others_alone(prior: TransferPrior) -> None:
    rest = prior.of_tasks([0, 2, 3])
    np.testing.assert_array_equal(rest.tasks[1].scores, prior.tasks[2].scores)
    assert sorted(place for fold in rest.folds for place in fold.held_out) == [0, 1, 2]
    assert all(set(fold.known).isdisjoint(fold.held_out) for fold in rest.folds)
    assert rest.task_means(np.zeros((1, 2))).shape == (1, 3)


def test_no_task_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0 tasks"):
        fit_transfer_prior([], (0, 1), seed=0, settings=SMALL)
