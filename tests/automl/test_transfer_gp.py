"""TransferGP: its posterior is that of universal kriging, and it believes past tasks as far as they are right."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import multivariate_normal

from automl.surrogates.transfer_gp import Inputs, TransferGP, fit_transfer_gp

Floats = NDArray[np.float64]
GROUPS = (0, 1)


def inputs(n: int, seed: int, *, foreseen: float = 1.0) -> Inputs:
    """Random places; past tasks foresee `foreseen` times the bowl around (0.3, 0.7)."""
    features = np.random.default_rng(seed).random((n, 2))
    return Inputs(features, foreseen * bowl(features), features[:, :1] - 0.5)


def bowl(features: Floats) -> Floats:
    """A loss of about unit spread."""
    return np.asarray(6.0 * ((features - [0.3, 0.7]) ** 2).sum(axis=1) - 1.0)


def fitted(n: int, *, foreseen: float = 1.0, unit: float = 1.0) -> tuple[TransferGP, Inputs]:
    observed = inputs(n, 0, foreseen=foreseen)
    return fit_transfer_gp(observed, unit * bowl(observed.features), GROUPS), inputs(50, 1, foreseen=foreseen)


def error(model: TransferGP, at: Inputs) -> float:
    return float(np.sqrt(np.square(model.predict(at)[0] - bowl(at.features)).mean()))


def test_true_foresight_helps_from_the_second_value_on() -> None:
    model, at = fitted(3)
    observed = inputs(3, 0)
    plain = fit_transfer_gp(observed.plain(), bowl(observed.features), GROUPS)
    assert error(model, at) < 0.5 * error(plain, at.plain())


def test_false_foresight_is_unlearnt() -> None:
    misled, at = fitted(25, foreseen=-1.0)
    assert error(misled, at) < 0.15
    assert misled.slope < 0.3


def test_foresight_that_runs_backwards_is_less_likely_than_its_mirror_image() -> None:
    backwards = inputs(6, 0, foreseen=-1.0)
    values = bowl(backwards.features)
    as_it_is, mirrored = (fit_transfer_gp(seen, values, GROUPS) for seen in (backwards, backwards.mirrored()))
    assert mirrored.log_marginal_likelihood > as_it_is.log_marginal_likelihood + 3.0
    np.testing.assert_array_equal(backwards.mirrored().mirrored().deviations, backwards.deviations)


def test_the_marginal_likelihood_is_that_of_all_contrasts() -> None:
    """With mu integrated out only differences between values count: Harville 1974, REML."""
    model, _ = fitted(7)
    observed, known = inputs(7, 0), model._known
    covariance = known.covariance(model._rows, model._rows).numpy()
    covariance += (float(known.noise) + 1e-7 * covariance.diagonal().mean()) * np.eye(7)
    residual = model._targets.numpy() - float(known.slope) * observed.mean
    contrasts = np.linalg.svd(np.ones((1, 7)))[2][1:]  # orthonormal, each adding up to zero
    log_density = multivariate_normal(cov=contrasts @ covariance @ contrasts.T).logpdf(contrasts @ residual)
    constant = -0.5 * 6 * np.log(2 * np.pi) + 0.5 * np.log(7)  # |1'1| of the seven
    assert model.log_marginal_likelihood + constant == pytest.approx(log_density, abs=1e-5)


def test_the_posterior_is_that_of_universal_kriging() -> None:
    """A flat mu is a constant of boundless prior variance: Rasmussen and Williams 2006, section 2.7."""
    model, at = fitted(6)
    known, boundless, new = model._known, 1e6, type(model._rows).of(at)
    covariance = known.covariance(model._rows, model._rows).numpy()
    covariance += (float(known.noise) + 1e-7 * covariance.diagonal().mean()) * np.eye(6) + boundless
    cross = known.covariance(new, model._rows).numpy() + boundless
    slope, scale = float(known.slope), model._scale
    gain = np.linalg.solve(covariance, cross.T).T
    mean = slope * at.mean + gain @ (model._targets.numpy() - slope * model._rows.mean.numpy())
    variance = known.variance(new).numpy() + boundless - (gain * cross).sum(axis=1)
    got = model.predict(at)
    np.testing.assert_allclose(got[0], model._offset + scale * mean, atol=1e-5)
    np.testing.assert_allclose(got[1], scale**2 * variance, rtol=1e-3, atol=1e-7)


def test_other_units_give_the_same_posterior_in_those_units() -> None:
    model, at = fitted(8)
    scaled, _ = fitted(8, unit=1e-7)
    for ours, theirs, factor in zip(model.predict(at), scaled.predict(at), (1e-7, 1e-14), strict=True):
        np.testing.assert_allclose(theirs, factor * ours, rtol=1e-4, atol=factor * 1e-6)


def test_leaving_one_out_is_predicting_it_from_the_others() -> None:
    model, _ = fitted(7)
    observed = inputs(7, 0)
    values = bowl(observed.features)
    known, scale = model._known, model._scale
    covariance = known.covariance(model._rows, model._rows).numpy() + (
        float(known.noise) + 1e-7 * float(known.variance(model._rows).mean())
    ) * np.eye(7)
    target = model._targets.numpy() - float(known.slope) * observed.mean
    for left_out in range(7):
        rest = [i for i in range(7) if i != left_out]
        inverse = np.linalg.inv(covariance[np.ix_(rest, rest)])
        ones = np.ones(6)
        mu = ones @ inverse @ target[rest] / (ones @ inverse @ ones)
        cross = covariance[left_out, rest]
        mean = mu + cross @ inverse @ (target[rest] - mu)
        variance = covariance[left_out, left_out] - cross @ inverse @ cross
        variance += (1 - ones @ inverse @ cross) ** 2 / (ones @ inverse @ ones)
        expected = -0.5 * ((target[left_out] - mean) ** 2 / variance + np.log(2 * np.pi * variance)) - np.log(scale)
        assert model.leave_one_out_log_density[left_out] == pytest.approx(expected, abs=1e-5)
    assert len(values) == 7


def test_hallucinated_values_leave_means_and_shrink_variances() -> None:
    model, at = fitted(6)
    there = at[:3]
    after = model.hallucinated(there)
    np.testing.assert_allclose(after.predict(at)[0], model.predict(at)[0], atol=1e-6)
    assert (after.predict(there)[1] < 0.7 * model.predict(there)[1]).all()


@pytest.mark.parametrize("values", [[0.5], [0.0, 0.0], [2.0, 2.0, 2.0], [0.0, 1e12, -1e12]])
def test_few_equal_or_extreme_values_give_a_finite_posterior(values: list[float]) -> None:
    observed = inputs(len(values), 0)
    mean, variance = fit_transfer_gp(observed, np.array(values), GROUPS).predict(inputs(20, 1))
    assert np.isfinite(mean).all()
    assert (variance > 0).all()


def test_the_same_candidate_observed_twice_is_no_obstacle() -> None:
    once = inputs(4, 0)
    twice = once.followed_by(once)
    mean, _ = fit_transfer_gp(twice, np.tile(bowl(once.features), 2), GROUPS).predict(once)
    np.testing.assert_allclose(mean, bowl(once.features), atol=0.1)


def test_no_values_are_refused() -> None:
    with pytest.raises(ValueError, match="got 0 values"):
        fit_transfer_gp(inputs(0, 0), np.empty(0), GROUPS)
