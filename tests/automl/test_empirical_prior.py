"""The empirical prior against the formulas of Wang, Kim and Kaelbling 2018, written out."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.surrogates.empirical_prior import fit_empirical_prior


def scores(n_tasks: int, n_candidates: int, seed: int = 0) -> NDArray[np.float64]:
    """Tasks that mix three functions of the candidates."""
    generator = np.random.default_rng(seed)
    return generator.normal(size=(n_tasks, 3)) @ generator.normal(size=(3, n_candidates)) + generator.normal(
        0, 0.1, (n_tasks, n_candidates)
    )


def test_the_posterior_is_the_papers_with_its_unbiased_variance() -> None:
    y, places, values = scores(20, 8), [1, 4, 6], np.array([0.3, -0.5, 1.2])
    mean, variance = fit_empirical_prior(y).posterior(places, values)
    mu, covariance = y.mean(axis=0), np.cov(y.T)
    gain = covariance[:, places] @ np.linalg.inv(covariance[np.ix_(places, places)])
    expected = (20 - 1) / (20 - 3 - 1) * (covariance - gain @ covariance[places])
    np.testing.assert_allclose(mean, mu + gain @ (values - mu[places]), rtol=1e-5)
    np.testing.assert_allclose(variance, expected.diagonal().clip(0), atol=1e-6)


def test_without_values_it_is_the_mean_and_variance_of_the_tasks() -> None:
    y = scores(6, 5)
    mean, variance = fit_empirical_prior(y).posterior([], np.empty(0))
    np.testing.assert_allclose(mean, y.mean(axis=0))
    np.testing.assert_allclose(variance, y.var(axis=0, ddof=1))


def test_the_variance_is_unbiased_over_draws_of_the_tasks() -> None:
    generator = np.random.default_rng(1)
    root = generator.normal(size=(4, 4))
    covariance = root @ root.T
    gain = covariance[0, 1:] @ np.linalg.inv(covariance[1:, 1:])
    true = covariance[0, 0] - gain @ covariance[1:, 0]
    draws = [
        fit_empirical_prior(generator.normal(size=(12, 4)) @ root.T).posterior([1, 2, 3], np.zeros(3))[1][0]
        for _ in range(2000)
    ]
    assert np.mean(draws) == pytest.approx(true, rel=0.05)


def test_few_tasks_still_give_a_posterior_that_follows_many_values() -> None:
    y = scores(3, 30)
    target = scores(4, 30, seed=0)[3]
    mean, variance = fit_empirical_prior(y).posterior(list(range(20)), target[:20])
    assert np.isfinite(mean).all()
    assert (variance >= 0).all()
    assert variance[:20].mean() < y.var(axis=0, ddof=1)[:20].mean()


def test_one_task_or_holes_are_refused() -> None:
    with pytest.raises(ValueError, match="two or more tasks"):
        fit_empirical_prior(np.ones((1, 3)))
    with pytest.raises(ValueError, match="fill holes"):
        fit_empirical_prior(np.array([[1.0, np.nan], [0.0, 1.0]]))


def test_places_without_values_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 values for 2 places"):
        fit_empirical_prior(scores(4, 5)).posterior([0, 1], np.zeros(1))


@pytest.mark.parametrize("n_tasks", [2, 3, 4])  # the paper's posterior of three values needs five
def test_of_too_few_tasks_the_covariance_is_drawn_towards_its_diagonal(n_tasks: int) -> None:
    y, places, values = scores(n_tasks, 8), [1, 4, 6], np.array([0.3, -0.5, 1.2])
    mean, variance = fit_empirical_prior(y).posterior(places, values)
    mu, shrinkage = y.mean(axis=0), (3 + 1) / (3 + n_tasks)
    covariance = (1 - shrinkage) * np.cov(y.T) + shrinkage * np.diag(y.var(axis=0, ddof=1))
    gain = covariance[:, places] @ np.linalg.inv(covariance[np.ix_(places, places)])
    np.testing.assert_allclose(mean, mu + gain @ (values - mu[places]), rtol=1e-5)
    np.testing.assert_allclose(variance, (covariance - gain @ covariance[places]).diagonal(), atol=1e-6)
