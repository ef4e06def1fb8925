"""Climbing: positions move uphill within their bounds, each row by itself, and the posterior's gradient is right."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from automl.acquisition import Acquisition, acquisition_values
from automl.observations import Candidate, Observations
from automl.parameters import Categorical, Float, Int, Parameter
from automl.proposers import nasbot
from automl.proposers.climbing import climb
from automl.proposers.nasbot import Ask, NASBOTProposer, PoolSettings
from automl.spaces.flat import FlatSpace
from automl.surrogates.architecture_gp import ArchitectureGP, FittedArchitectureGP
from automl.surrogates.structure import HyperparameterCodes
from tests.contracts.proposer import observe
from tests.contracts.small_spaces import ChainSpace

RANGES: Mapping[str, Parameter] = {
    "kind": Categorical(("a", "b", "c")),
    "x": Float(-1.0, 1.0),
    "rate": Float(1e-4, 1e-1, log=True),
    "n": Int(1, 50),
}
SPACE = FlatSpace(RANGES)


def loss(candidate: Candidate) -> float:
    """A bowl with its bottom at x = .25 and a rate of .01, lower for the choice b."""
    values = candidate.hyperparameters
    unit = RANGES["rate"].to_unit(values["rate"])
    return (float(values["x"]) - 0.25) ** 2 + (unit - 2 / 3) ** 2 + 0.3 * (values["kind"] != "b")


def observed(n: int = 14) -> Observations:
    generator = np.random.default_rng(0)
    candidates = tuple(SPACE.sample(generator) for _ in range(n))
    return Observations(candidates, np.array([[loss(candidate)] for candidate in candidates]))


def test_each_row_climbs_to_its_own_top_within_bounds_and_choices_stay() -> None:
    tops = torch.tensor([[0.3, 0.9], [1.4, -0.5]], dtype=torch.float64)  # the second one's lies outside

    def wanted(rows: Tensor) -> Tensor:
        return -(rows[:, :2] - tops[rows[:, 2].long()]).square().sum(1)

    starts = torch.tensor([[0.5, 0.5, 0.0], [0.2, 0.7, 1.0], [1.0, 0.0, 0.0]], dtype=torch.float64)
    moved = climb(wanted, starts, 2)
    expected = torch.tensor([[0.3, 0.9, 0.0], [1.0, 0.0, 1.0], [0.3, 0.9, 0.0]], dtype=torch.float64)
    torch.testing.assert_close(moved, expected, atol=1e-4, rtol=0.0)


def test_rows_stay_where_nothing_can_be_said_of_them() -> None:
    starts = torch.tensor([[0.5, 0.5]], dtype=torch.float64)
    torch.testing.assert_close(climb(lambda rows: rows.sum(1) * float("nan"), starts, 2), starts)


@given(st.integers(0, 10_000))
def test_codes_are_decoded_to_the_hyperparameters_they_came_from(seed: int) -> None:
    candidate = SPACE.sample(np.random.default_rng(seed))
    codes = HyperparameterCodes(RANGES)
    decoded = codes.decode(codes.encode([candidate])[0].tolist())
    assert (decoded["kind"], decoded["n"]) == (candidate.hyperparameters["kind"], candidate.hyperparameters["n"])
    for name in ("x", "rate"):
        assert decoded[name] == pytest.approx(candidate.hyperparameters[name], rel=1e-9, abs=1e-12)


def fitted() -> FittedArchitectureGP:
    return ArchitectureGP(RANGES).fit(observed())


def test_a_moved_pool_is_the_pool_of_the_candidates_it_moved_to() -> None:
    generator = np.random.default_rng(1)
    here, there = ([SPACE.sample(generator) for _ in range(4)] for _ in range(2))
    model = fitted()
    moved = model.pool(model.gp.pool_of(here).moved(model.gp.codes.encode(there)))
    direct = model.pool(model.gp.pool_of(there))
    everyone = torch.arange(4)
    torch.testing.assert_close(moved.mean, direct.mean)
    torch.testing.assert_close(moved.variance, direct.variance)
    torch.testing.assert_close(moved.covariance(everyone, everyone), direct.covariance(everyone, everyone))


@pytest.mark.parametrize("kind", ["log-ei", "ei", "ucb"])
def test_the_gradient_beside_pending_candidates_is_that_of_finite_differences(kind: Acquisition) -> None:
    generator = np.random.default_rng(2)
    model = fitted()
    pool = model.gp.pool_of([SPACE.sample(generator) for _ in range(3)])  # the first one is pending
    ask = Ask(kind, False, model.incumbent, 14, generator)

    def wanted(rows: Tensor) -> Tensor:
        return ask.wanted(model.pool(pool.moved(rows)).hallucinated([0]))[1:].sum()

    rows = pool.hyperparameters.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(wanted(rows), rows)
    for row in (1, 2):
        for column in range(3):
            step = torch.zeros_like(rows)
            step[row, column] = 1e-5
            with torch.no_grad():
                slope = float(wanted(rows + step) - wanted(rows - step)) / 2e-5
            assert float(gradient[row, column]) == pytest.approx(slope, rel=1e-4, abs=1e-8)


def test_a_search_of_numbers_proposes_a_candidate_that_no_small_step_makes_more_wanted() -> None:
    proposer = NASBOTProposer(SPACE, n_startup=5, pool=PoolSettings(n_evaluations=60))
    observations = observed()
    proposal = proposer.propose(observations, 1, np.random.default_rng(3))[0]
    assert proposal.notes["origin"] == "climbed"
    model = proposer.surrogate.fit(observations)
    around = [proposal.candidate]
    for name in ("x", "rate"):
        unit = RANGES[name].to_unit(proposal.candidate.hyperparameters[name])
        around += [moved(proposal.candidate, name, unit + step) for step in (-0.02, 0.02)]
    values = acquisition_values(
        "log-ei", model.pool(model.gp.pool_of(around)), model.incumbent, 14, np.random.default_rng(0)
    )
    assert int(values.argmax()) == 0


def moved(candidate: Candidate, name: str, unit: float) -> Candidate:
    return Candidate(None, {**candidate.hyperparameters, name: RANGES[name].from_unit(unit)})


def test_networks_are_edited_and_not_climbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Edits find the numbers beside networks as well: BENCHMARKS.md, "Climbing"."""
    climbs: list[Tensor] = []

    def counted(wanted: Callable[[Tensor], Tensor], starts: Tensor, n_numeric: int) -> Tensor:
        climbs.append(starts)
        return climb(wanted, starts, n_numeric)

    monkeypatch.setattr(nasbot, "climb", counted)
    small = PoolSettings(n_evaluations=60)
    NASBOTProposer(ChainSpace(), n_startup=5, pool=small).propose(observe(ChainSpace(), 6), 1, np.random.default_rng(0))
    assert not climbs
    NASBOTProposer(SPACE, n_startup=5, pool=small).propose(observed(), 1, np.random.default_rng(0))
    assert [len(starts) for starts in climbs] == [5]


def test_a_space_of_numbers_that_is_used_up_is_searched_on() -> None:
    space = FlatSpace({"n": Int(0, 3)})
    everything = tuple(Candidate(None, {"n": n}) for n in range(4))
    observations = Observations(everything, np.array([[2.0], [1.0], [0.5], [3.0]]))
    proposals = NASBOTProposer(space, n_startup=2).propose(observations, 2, np.random.default_rng(0))
    assert {proposal.candidate for proposal in proposals} <= set(everything)
