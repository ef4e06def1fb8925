"""ArchitectureGP: every surrogate's laws, GPyTorch's own posterior beside ours, and what failed fits fall back to."""

from __future__ import annotations

import math
from typing import Any

import gpytorch
import numpy as np
import pytest
import torch
from gpytorch.distributions import MultivariateNormal
from gpytorch.likelihoods import GaussianLikelihood
from gpytorch.means import ConstantMean
from gpytorch.models import ExactGP
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.parameters import Categorical, Float
from automl.spaces.base import Space
from automl.surrogates import architecture_gp
from automl.surrogates.architecture_gp import ArchitectureGP, ArchitectureGPSettings, inputs, scheduled
from automl.surrogates.base import Surrogate
from automl.surrogates.candidate_kernel import CandidateKernel, Tables
from automl.surrogates.map_fit import fit_by_map
from automl.surrogates.structure import HyperparameterCodes
from tests.contracts.proposer import observe
from tests.contracts.small_spaces import ChainSpace, ListedSpace, chain
from tests.contracts.surrogate import SurrogateContract

QUICK = ArchitectureGPSettings(max_iterations=5)


class TestArchitectureGP(SurrogateContract):
    def make(self, space: Space) -> Surrogate:
        return ArchitectureGP(space.hyperparameters)


class TestWithoutOTMANN(SurrogateContract):
    def make(self, space: Space) -> Surrogate:
        return ArchitectureGP(space.hyperparameters, ArchitectureGPSettings(transport=False))


class TestAsInThePaper(SurrogateContract):
    """Without the trend, and with ranks for scores."""

    def make(self, space: Space) -> Surrogate:
        return ArchitectureGP(space.hyperparameters, ArchitectureGPSettings(trend=False, scores="normal"))


class _PlainGP(ExactGP):  # type: ignore[misc]  # gpytorch has no types
    """GPyTorch's own exact GP with a given covariance."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor, kernel: CandidateKernel, mean: float, noise: float) -> None:
        super().__init__(x, y, GaussianLikelihood().double())
        self.likelihood.noise = noise
        self.mean_module = ConstantMean().double()
        self.mean_module.constant = mean
        self.covar_module = kernel

    def forward(self, x: torch.Tensor) -> MultivariateNormal:
        return MultivariateNormal(self.mean_module(x), self.covar_module(x))


def test_the_posterior_is_the_one_that_gpytorch_computes() -> None:
    space = ChainSpace()
    gp = ArchitectureGP(space.hyperparameters, ArchitectureGPSettings(max_iterations=5, transport=False))
    observations, asked = observe(space, 12), observe(space, 5, seed=1).candidates
    fitted = gp.fit(observations)
    both = gp.pool_of((*observations.candidates, *asked))
    kernel = fitted.prior.kernel
    assert isinstance(kernel, CandidateKernel)
    kernel.set_tables(Tables(torch.from_numpy(both.distances(both)), None, torch.arange(12)))
    x, y = inputs(both, 0, fitted.labels), fitted.scores
    plain = _PlainGP(x[:12], y, kernel, fitted.prior.mean, fitted.prior.noise).eval()
    with gpytorch.settings.fast_pred_var(False), torch.no_grad():
        expected = plain(x[12:])
    pool = fitted.pool(gp.pool_of(asked))
    np.testing.assert_allclose(pool.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(pool.variance, expected.variance, atol=1e-6)
    everyone = torch.arange(5)
    np.testing.assert_allclose(pool.covariance(everyone, everyone), expected.covariance_matrix, atol=1e-6)


def test_the_trend_foretells_networks_that_share_no_layer_with_the_observed_ones() -> None:
    """Losses that fall with the width of a single layer tell of wide and narrow networks of two."""
    observed = [(Candidate(chain([label], [2**i])), -float(i)) for i in range(3, 9) for label in ("relu", "elu")]
    candidates, losses = zip(*observed, strict=True)
    observations = Observations(candidates, np.array(losses)[:, None])
    asked = [Candidate(chain(["relu", "relu"], [units, units])) for units in (10, 40, 160)]

    def foreseen(*, trend: bool) -> NDArray[np.float64]:
        return ArchitectureGP({}, ArchitectureGPSettings(trend=trend)).fit(observations).predict(asked).mean

    assert (np.diff(foreseen(trend=True)) < -0.4).all()
    assert np.abs(np.diff(foreseen(trend=False))).max() < 0.1


def test_what_is_unknown_is_not_taken_for_bad_because_a_few_networks_were() -> None:
    """A crowd of good networks that are alike, and two bad ones far away."""
    crowd = [Candidate(chain(["relu"], [2**i]), {"rate": 0.1 + 0.01 * i}) for i in range(3, 9)]
    bad = [
        Candidate(chain(["tanh"] * 3, [8] * 3), {"rate": 0.9}),
        Candidate(chain(["elu"] * 2, [8] * 2), {"rate": 0.6}),
    ]
    losses = [1.0, 1.1, 1.05, 1.2, 1.15, 1.1, 4.0, 5.0]
    observations = Observations((*crowd, *bad), np.array(losses)[:, None])

    def mean(deviation: float) -> float:
        settings = ArchitectureGPSettings(mean_deviation=deviation)
        return ArchitectureGP({"rate": Float(0.0, 1.0)}, settings).fit(observations).prior.mean

    assert mean(1.0) > 0.3
    assert abs(mean(0.05)) < 0.05


def test_leaving_one_out_is_the_joint_density_over_that_of_the_others() -> None:
    space = ChainSpace()
    fitted = ArchitectureGP(space.hyperparameters, QUICK).fit(observe(space, 9))
    covariance = fitted.factor @ fitted.factor.mT

    def log_density(rows: list[int]) -> float:
        mean = torch.full((len(rows),), fitted.prior.mean, dtype=torch.float64)
        normal = torch.distributions.MultivariateNormal(mean, covariance[rows][:, rows])
        return float(normal.log_prob(fitted.scores[rows]))

    every = list(range(9))
    expected = [log_density(every) - log_density([j for j in every if j != i]) for i in every]
    np.testing.assert_allclose(fitted.leave_one_out_log_density, expected, atol=1e-8)


def test_the_joint_posterior_of_observed_and_other_candidates_is_positive_semi_definite() -> None:
    space = ChainSpace()
    gp = ArchitectureGP(space.hyperparameters, QUICK)
    observations = observe(space, 15)
    pool = gp.pool_of((*observe(space, 15, seed=1).candidates, *observations.candidates[:5]))
    everyone = torch.arange(20)
    covariance = gp.fit(observations).pool(pool).covariance(everyone, everyone)
    torch.testing.assert_close(covariance, covariance.mT)
    assert torch.linalg.eigvalsh(covariance).min() > -1e-7


def test_covariances_of_some_of_a_pool_are_a_block_of_those_of_all() -> None:
    space = ChainSpace()
    gp = ArchitectureGP(space.hyperparameters, QUICK)
    pool = gp.fit(observe(space, 10)).pool(gp.pool_of(observe(space, 6, seed=1).candidates))
    some, everyone = torch.tensor([4, 1]), torch.arange(6)
    block = pool.covariance(everyone, everyone)[[4, 1]]
    torch.testing.assert_close(pool.covariance(some, everyone), block)
    torch.testing.assert_close(pool.covariance(everyone, everyone).diagonal(), pool.variance)


def test_a_listed_pool_predicts_as_one_asked_once_does() -> None:
    space = ListedSpace()
    gp = ArchitectureGP({}, ArchitectureGPSettings(max_iterations=5, transport=False))
    listed = gp.listed_pool(space.candidates)
    for n in (3, 5):
        fitted = gp.fit(observe(space, n))
        mean = fitted.pool(listed).mean
        np.testing.assert_allclose(mean, fitted.predict(space.candidates).mean, atol=1e-9)


def test_hyperparameters_alone_are_learnt_from() -> None:
    rates = np.linspace(0.0, 1.0, 9)
    candidates = tuple(Candidate(None, {"rate": float(r), "kind": "ab"[i % 2]}) for i, r in enumerate(rates))
    values = np.array(
        [[(r - 0.6) ** 2 + (c.hyperparameters["kind"] == "b")] for r, c in zip(rates, candidates, strict=True)]
    )
    gp = ArchitectureGP({"rate": Float(0, 1), "kind": Categorical(("a", "b"))})
    asked = [Candidate(None, {"rate": 0.55, "kind": kind}) for kind in "ab"]
    mean = gp.fit(Observations(candidates, values)).predict(asked).mean
    assert mean[0] < mean[1]


def test_a_failed_fit_falls_back_to_a_looser_one_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fit_by_map

    def fails_twice(*args: Any, **limits: Any) -> Any:
        if args[0].transport is not None:
            raise RuntimeError("singular")
        return real(*args, **limits)

    monkeypatch.setattr(architecture_gp, "fit_by_map", fails_twice)
    gp = ArchitectureGP(ChainSpace().hyperparameters, QUICK)
    with pytest.warns(RuntimeWarning, match=r"could not be fitted \(singular\)"):
        fitted = gp.fit(observe(ChainSpace(), 6))
    assert fitted.fallback == "more noise, no OTMANN distances"


def test_typical_hyperparameters_remain_when_no_fit_works(monkeypatch: pytest.MonkeyPatch) -> None:
    real = fit_by_map

    def fails(*args: Any, **limits: Any) -> Any:
        if limits["max_iterations"]:
            raise RuntimeError("singular")
        return real(*args, **limits)

    monkeypatch.setattr(architecture_gp, "fit_by_map", fails)
    with pytest.warns(RuntimeWarning):
        fitted = ArchitectureGP(ChainSpace().hyperparameters, QUICK).fit(observe(ChainSpace(), 6))
    assert fitted.fallback == "typical hyperparameters, not fitted"
    assert np.isfinite(fitted.incumbent)


def test_the_schedule_of_fits_waits_for_five_more_beyond_the_start() -> None:
    settings = ArchitectureGPSettings(refit_always_below=30, refit_every=5)
    sizes = [len(scheduled(np.arange(float(n)), settings)) for n in (7, 29, 30, 34, 35)]
    assert sizes == [7, 29, 30, 30, 35]


def test_many_observations_are_thinned_out_but_for_the_best_half() -> None:
    values = np.random.default_rng(0).permutation(200).astype(float)
    rows = scheduled(values, ArchitectureGPSettings(fitted_at_most=40))
    assert len(rows) == 40
    assert set(np.argsort(values)[:20]) <= set(rows)


def test_missing_hyperparameters_have_a_code_of_their_own() -> None:
    codes = HyperparameterCodes({"momentum": Float(0, 1), "optimiser": Categorical(("adam", "sgd"))})
    rows = codes.encode(
        [Candidate(None, {"momentum": 0.0, "optimiser": "sgd"}), Candidate(None, {"optimiser": "adam"})]
    )
    assert rows.tolist() == [[0.0, 1.0], [-1.0, 0.0]]


def test_candidates_with_and_without_architecture_do_not_mix() -> None:
    mixed = (Candidate(chain(["relu"], [8])), Candidate(None))
    with pytest.raises(ValueError, match="without an architecture among others"):
        ArchitectureGP({}).fit(Observations(mixed, np.array([[0.0], [1.0]])))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"sorts": ("labels", "colours")}, r"got the sorts \['colours'\], expected some of"),
        ({"scores": "ranks"}, "got the scores 'ranks', expected one of excess, normal"),
        ({"refit_every": 0}, "got refit_every = 0, expected at least 1"),
        ({"refit_always_below": 0}, "got refit_always_below = 0, expected at least refit_every - 1 = 4"),
        ({"fitted_at_most": 0}, "got fitted_at_most = 0, expected at least 1"),
        ({"max_iterations": 0}, "got max_iterations = 0, expected at least 1"),
        ({"refit_always_below": 5.5}, "got refit_always_below = 5.5, expected"),
        ({"refit_every": "a"}, "got refit_every = 'a', expected a whole number"),
        ({"fitted_at_most": 2.5}, "got fitted_at_most = 2.5, expected a whole number"),
        ({"typical": 0.0}, "got typical = 0.0, expected a positive, finite number"),
        ({"typical": math.inf}, "got typical = inf, expected a positive, finite number"),
        ({"typical": None}, "got typical = None, expected a positive, finite number"),
        ({"mean_deviation": 0.0}, "got mean_deviation = 0.0, expected a positive, finite number"),
        ({"smallest_noise": -1.0}, "got smallest_noise = -1.0, expected a positive, finite number"),
        ({"smallest_noise": math.inf}, "got smallest_noise = inf, expected a positive, finite number"),
        ({"label_costs": 3}, r"got label_costs = 3, expected LabelCosts\(...\)"),
        ({"transport": "no"}, "got transport = 'no', expected True or False"),
        ({"nu_str": ("a",)}, r"got nu_str \('a',\), expected at least one weight"),
    ],
)
def test_settings_that_leave_no_process_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ArchitectureGPSettings(**fields)
