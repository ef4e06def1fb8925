"""Acquisition functions over pools: against closed forms, joint draws, and conditioning worked out directly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor

from automl.acquisition import ACQUISITIONS, Acquisition, acquisition_values, log_knowledge_gradient, ucb_beta
from automl.surrogates.gaussian_pool import GaussianPool, independent_pool


def make_pool(n: int = 6, *, seed: int = 0, noise: float = 0.1) -> tuple[GaussianPool, Tensor]:
    """A random joint Gaussian over n candidates, and its covariance."""
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(n, n, generator=generator, dtype=torch.float64)
    covariance = root @ root.mT / n
    mean = torch.randn(n, generator=generator, dtype=torch.float64)
    return GaussianPool(mean, covariance.diagonal(), lambda i, j: covariance[i][:, j], noise), covariance


def values(kind: Acquisition, pool: GaussianPool, *, incumbent: float = 0.0, seed: int = 0) -> np.ndarray:
    return acquisition_values(kind, pool, incumbent, 20, np.random.default_rng(seed)).numpy()


def test_expected_improvement_is_the_closed_form() -> None:
    pool, _ = make_pool()
    mean, deviation = pool.mean.numpy(), pool.variance.sqrt().numpy()
    z = (0.3 - mean) / deviation
    expected = deviation * (z * norm.cdf(z) + norm.pdf(z))
    np.testing.assert_allclose(values("ei", pool, incumbent=0.3), expected, rtol=1e-6)
    np.testing.assert_allclose(values("log-ei", pool, incumbent=0.3), np.log(expected), rtol=1e-5)


def test_log_ei_tells_hopeless_candidates_apart() -> None:
    pool = GaussianPool(torch.tensor([40.0, 41.0]), torch.ones(2), lambda i, j: torch.eye(2)[i][:, j], 0.1)
    better, worse = values("log-ei", pool)
    assert -math.inf < worse < better


def test_ucb_adds_deviations_to_what_is_expected() -> None:
    pool, _ = make_pool()
    expected = -pool.mean + math.sqrt(ucb_beta(20)) * pool.variance.sqrt()
    np.testing.assert_allclose(values("ucb", pool), expected)
    assert ucb_beta(20) == pytest.approx(0.5 * 3 * math.log(2 * 3 * 20 + 1))  # NASBOT's code, the dimension taken as 3


def test_thompson_sampling_draws_from_the_joint_posterior() -> None:
    pool, covariance = make_pool(3)
    draws = np.array([-values("thompson", pool, seed=seed) for seed in range(4000)])
    np.testing.assert_allclose(draws.mean(0), pool.mean, atol=0.1)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.12)


def test_thompson_sampling_leaves_the_hopeless_of_a_large_pool_out() -> None:
    n = 600
    pool = GaussianPool(
        torch.arange(n, dtype=torch.float64), torch.ones(n), lambda i, j: (i[:, None] == j).double(), 0.1
    )
    wanted = values("thompson", pool)
    assert np.isfinite(wanted[:500]).all()
    assert (wanted[500:] == -np.inf).all()


def test_thompson_sampling_draws_the_unsure_of_a_large_pool_though_better_is_expected_of_others() -> None:
    variance = torch.ones(600, dtype=torch.float64)
    variance[-1] = 250.0**2
    pool = independent_pool(torch.arange(600, dtype=torch.float64), variance)
    assert np.isfinite(values("thompson", pool)[-1])


def test_ttei_is_log_ei_or_the_improvement_over_its_maximiser() -> None:
    pool, covariance = make_pool()
    plain = values("log-ei", pool)
    drawn = [values("ttei", pool, seed=seed) for seed in range(20)]
    rivals = [wanted for wanted in drawn if not np.allclose(wanted, plain)]
    assert 0 < len(rivals) < 20
    top = int(plain.argmax())
    others = [other for other in range(len(pool)) if other != top]
    variance = covariance[top, top] + covariance.diagonal() - 2 * covariance[top]
    spread = variance[others].sqrt().numpy()
    z = (pool.mean[top] - pool.mean[others]).numpy() / spread
    assert rivals[0][top] == -np.inf
    np.testing.assert_allclose(rivals[0][others], np.log(spread * (z * norm.cdf(z) + norm.pdf(z))), rtol=1e-5)


def test_hallucination_is_conditioning_on_the_mean() -> None:
    pool, covariance = make_pool(noise=0.2)
    after = pool.hallucinated([1, 4])
    block = covariance[[1, 4]][:, [1, 4]] + (0.2 + 1e-10) * torch.eye(2)
    expected = covariance - covariance[:, [1, 4]] @ torch.linalg.inv(block) @ covariance[[1, 4]]
    torch.testing.assert_close(after.covariance(torch.arange(6), torch.arange(6)), expected)
    torch.testing.assert_close(after.variance, expected.diagonal())
    torch.testing.assert_close(after.mean, pool.mean)


def test_residuals_add_the_noise_of_one_evaluation_to_each_candidate() -> None:
    pool, covariance = make_pool(noise=0.2)
    everyone = torch.arange(6)
    evaluated = pool.with_residuals()
    torch.testing.assert_close(evaluated.covariance(everyone, everyone), covariance + 0.2 * torch.eye(6))
    torch.testing.assert_close(evaluated.variance, covariance.diagonal() + 0.2)


def test_the_pool_answers_botorch_about_several_candidates_jointly() -> None:
    pool, covariance = make_pool()
    posterior = pool.posterior(torch.tensor([[[0.0], [2.0]], [[5.0], [1.0]]]))
    torch.testing.assert_close(posterior.mean[1, :, 0], pool.mean[[5, 1]])
    torch.testing.assert_close(
        posterior.distribution.covariance_matrix[0], covariance[[0, 2]][:, [0, 2]], atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("kind", ACQUISITIONS)
def test_every_function_works_for_a_pool_of_one(kind: Acquisition) -> None:
    pool, _ = make_pool(1)
    assert np.isfinite(values(kind, pool)).all()


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(ValueError, match="'lucky', expected one of log-ei"):
        values("lucky", make_pool()[0])  # type: ignore[arg-type]  # what the test is about


def test_the_knowledge_gradient_is_the_mean_fall_of_the_least_believed_score() -> None:
    mean, deviation, chance = np.array([0.0, 0.3, 1.0]), np.array([0.5, 0.8, 0.2]), 0.4
    generator = np.random.default_rng(0)
    falls = []
    for i in range(
        3
    ):  # Bayes' rule by hand: draw a worth, draw a value of it, update the belief, and look at the least
        worth = mean[i] + deviation[i] * generator.standard_normal(400_000)
        value = worth + math.sqrt(chance) * generator.standard_normal(400_000)
        share = deviation[i] ** 2 / (deviation[i] ** 2 + chance)
        updated = mean[i] + share * (value - mean[i])
        others = np.delete(mean, i).min()
        falls.append(mean.min() - np.minimum(updated, others).mean())
    np.testing.assert_allclose(np.exp(log_knowledge_gradient(mean, deviation, chance)), falls, atol=2e-3)


def test_nothing_is_learnt_of_what_is_known_or_drowned_in_chance() -> None:
    mean = np.array([0.0, 0.1])
    assert log_knowledge_gradient(mean, np.array([1e-6, 1e-6]), 0.1).max() < -100
    unsure = np.array([0.5, 0.5])
    drowned, clear = (log_knowledge_gradient(mean, unsure, chance).max() for chance in (1e6, 1e-6))
    assert drowned < clear


def test_one_value_moves_means_by_no_more_than_what_is_unknown() -> None:
    pool, _ = make_pool()
    np.testing.assert_allclose(pool.after_one_value(0.0).variance, pool.variance)
    moved = pool.after_one_value(0.3)
    np.testing.assert_allclose(moved.variance, pool.variance.square() / (pool.variance + 0.3))
    everyone = torch.arange(len(pool))
    np.testing.assert_allclose(moved.covariance(everyone, everyone).diagonal(), moved.variance)
    assert float(torch.linalg.eigvalsh(moved.covariance(everyone, everyone)).min()) > -1e-9
