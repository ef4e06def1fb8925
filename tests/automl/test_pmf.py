"""Matrix factorisation fills holes and foretells a new task from a few of its entries."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from automl.surrogates.pmf import PMF, PMFSettings, completed, fit_pmf

BRIEF = PMFSettings(n_latent=4, max_iterations=25)


def matrix(n_tasks: int, n_candidates: int = 30, seed: int = 0) -> NDArray[np.float64]:
    """Scores of rank two with a mean of their own for every candidate."""
    generator = np.random.default_rng(seed)
    factors = generator.normal(size=(n_tasks, 2)) @ generator.normal(size=(2, n_candidates))
    return factors + generator.normal(size=n_candidates)


def test_holes_are_filled_better_than_by_the_candidates_means() -> None:
    whole = matrix(12)
    holes = np.random.default_rng(1).random(whole.shape) < 0.3
    filled = completed(np.where(holes, np.nan, whole), settings=BRIEF)
    means = np.nanmean(np.where(holes, np.nan, whole), axis=0)
    error = np.square(filled - whole)[holes].mean()
    assert error < 0.3 * np.square(means - whole)[holes].mean()
    np.testing.assert_array_equal(filled[~holes], whole[~holes])


def test_a_new_task_is_foretold_from_some_of_its_entries() -> None:
    whole = matrix(13)
    mean, variance = fit_pmf(whole[:12], settings=BRIEF).posterior(list(range(15)), whole[12, :15])
    assert np.corrcoef(mean[15:], whole[12, 15:])[0, 1] > 0.9
    assert variance[:15].mean() < variance[15:].mean()


def test_the_posterior_is_that_of_a_gaussian_process_over_latent_vectors() -> None:
    latent = np.random.default_rng(0).normal(size=(6, 2))
    model = PMF(np.arange(6.0), latent, amplitude=2.0, noise=0.1)
    covariance = 2.0 * np.exp(-0.5 * np.square(latent[:, None] - latent[None]).sum(-1))
    places, values = [0, 3], np.array([1.0, -1.0])
    gain = covariance[:, places] @ np.linalg.inv(covariance[np.ix_(places, places)] + (0.1 + 1e-6) * np.eye(2))
    mean, variance = model.posterior(places, values)
    np.testing.assert_allclose(mean, np.arange(6.0) + gain @ (values - np.array([0.0, 3.0])))
    np.testing.assert_allclose(variance, (covariance - gain @ covariance[places]).diagonal(), atol=1e-9)


def test_amplitude_and_noise_are_those_of_largest_posterior_density() -> None:
    """Of every task's deviations from the candidates' means; to change either makes them less likely."""
    scores = np.where(np.random.default_rng(2).random((6, 12)) < 0.2, np.nan, 2.0 + matrix(6, 12))
    model = fit_pmf(scores, settings=PMFSettings(n_latent=2, max_iterations=300))
    np.testing.assert_allclose(model.mean, np.nansum(scores, axis=0) / (1 + (~np.isnan(scores)).sum(axis=0)))
    similarity = np.exp(-0.5 * np.square(model.latent[:, None] - model.latent).sum(-1))

    def log_density(amplitude: float, noise: float) -> float:
        covariance = amplitude * similarity + (noise + 1e-6) * np.eye(12)
        known = [np.flatnonzero(~np.isnan(row)) for row in scores]
        densities = [
            multivariate_normal(cov=covariance[np.ix_(places, places)]).logpdf((row - model.mean)[places])
            for places, row in zip(known, scores, strict=True)
        ]
        return float(np.sum(densities) - 0.5 * np.log(amplitude) ** 2 - 0.5 * np.log(noise) ** 2)

    highest = log_density(model.amplitude, model.noise)
    for factor in (0.7, 1.4):
        assert log_density(factor * model.amplitude, model.noise) < highest
        assert log_density(model.amplitude, factor * model.noise) < highest


def test_without_values_it_foresees_the_candidates_means() -> None:
    model = PMF(np.arange(3.0), np.zeros((3, 1)), amplitude=1.0, noise=0.1)
    mean, variance = model.posterior([], np.empty(0))
    assert mean.tolist() == [0.0, 1.0, 2.0]
    assert variance.tolist() == [1.0, 1.0, 1.0]


def test_a_matrix_without_holes_stays_as_it_is() -> None:
    whole = matrix(3, 4)
    np.testing.assert_array_equal(completed(whole), whole)


def test_a_task_that_knows_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="some task knows no candidate"):
        fit_pmf(np.array([[1.0, 2.0], [np.nan, np.nan]]))


def test_a_candidate_s_mean_is_drawn_towards_zero_by_the_weight_of_one_task() -> None:
    known_of_three_two_and_one = np.array([[1.0, 2.0, np.nan], [2.0, 4.0, np.nan], [3.0, np.nan, 5.0]])
    model = fit_pmf(known_of_three_two_and_one, settings=PMFSettings(max_iterations=1))
    assert model.mean == pytest.approx([6.0 / 4.0, 6.0 / 3.0, 5.0 / 2.0])
