"""NASBOT: every proposer's laws, listed and evolving pools, pending candidates, and settings."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from torch import Tensor

from automl.acquisition import ACQUISITIONS, Acquisition, acquisition_values
from automl.observations import Candidate, Observations
from automl.parameters import Categorical
from automl.proposers import nasbot
from automl.proposers.base import Proposer
from automl.proposers.nasbot import NASBOTProposer, PoolSettings
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.flat import FlatSpace
from automl.surrogates.architecture_gp import ArchitectureGP, ArchitectureGPSettings
from automl.surrogates.gaussian_pool import GaussianPool
from automl.surrogates.structure import graph_of
from kernels.layer_costs import LabelCosts, mlp_label_costs
from tests.contracts.proposer import SingleObjectiveContract, observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace, chain

QUICK = ArchitectureGPSettings(max_iterations=5)
SMALL = PoolSettings(n_evaluations=60)


class TestNASBOTProposer(SingleObjectiveContract):
    def make(self, space: Space) -> Proposer:
        return NASBOTProposer(space, n_startup=5, gp=QUICK, pool=SMALL)


def search(proposer: Proposer, n: int, *, seed: int = 0) -> list[float]:
    """The losses of a search of n evaluations."""
    observations = Observations()
    for trial in range(n):
        candidate = proposer.propose(observations, 1, np.random.default_rng([seed, trial]))[0].candidate
        values = np.append(observations.values, [[width(candidate)]], axis=0)
        observations = Observations((*observations.candidates, candidate), values)
    return [float(value) for value in observations.values[:, 0]]


@pytest.mark.slow
def test_it_finds_better_networks_than_chance() -> None:
    found = [min(search(NASBOTProposer(ChainSpace(), gp=QUICK, pool=SMALL), 16, seed=seed)) for seed in range(5)]
    by_chance = [min(search(UniformProposer(ChainSpace()), 16, seed=seed)) for seed in range(5)]
    assert np.mean(found) < 0.7 * np.mean(by_chance)


@pytest.mark.parametrize("space", [ChainSpace(), ListedSpace()], ids=["evolving", "listed"])
@pytest.mark.parametrize("kind", ACQUISITIONS)
def test_every_acquisition_function_proposes_a_batch_beside_pending_candidates(kind: Acquisition, space: Space) -> None:
    seen = observe(space, 5)
    observations = Observations(seen.candidates[:4], seen.values[:4], pending=seen.candidates[4:])
    proposer = NASBOTProposer(space, n_startup=3, acquisition=kind, gp=QUICK, pool=SMALL)
    proposals = proposer.propose(observations, 3, np.random.default_rng(0))
    assert len({p.candidate.digest for p in proposals} | observations.digests) == 8
    assert {p.notes["acquisition"] for p in proposals} == {kind}


def test_start_up_lasts_until_enough_values_are_known() -> None:
    observations = observe(ChainSpace(), 4, n_failed=3)
    notes = [
        NASBOTProposer(ChainSpace(), n_startup=n, gp=QUICK, pool=SMALL)
        .propose(observations, 1, np.random.default_rng(0))[0]
        .notes
        for n in (5, 4)
    ]
    assert notes[0] == {"origin": "random"}
    assert "acquisition_value" in notes[1]


def test_a_pending_candidate_drives_the_next_away() -> None:
    """In a space of eight, what was best is no longer worth it once its likes are being evaluated."""
    space = ListedSpace()
    observations = observe(space, 4)
    proposer = NASBOTProposer(space, n_startup=1, acquisition="ucb", gp=QUICK)
    alone = proposer.propose(observations, 2, np.random.default_rng(0))
    pending = Observations(observations.candidates, observations.values, pending=(alone[0].candidate,))
    beside = proposer.propose(pending, 1, np.random.default_rng(0))[0]
    assert beside.candidate == alone[1].candidate
    assert beside.notes["acquisition_value"] == pytest.approx(alone[1].notes["acquisition_value"], abs=1e-5)


def test_the_incumbent_is_the_best_by_posterior_mean() -> None:
    space = ListedSpace()
    observations = observe(space, 8)
    incumbent = NASBOTProposer(space, n_startup=1, gp=QUICK).incumbent(observations)
    assert incumbent is not None
    assert width(incumbent) == 0
    assert NASBOTProposer(space).incumbent(Observations()) is None


def test_a_space_too_large_to_compare_is_searched_by_an_evolving_pool() -> None:
    space = ListedSpace()
    proposer = NASBOTProposer(space, n_startup=1, gp=QUICK, pool=PoolSettings(listed_at_most=7, n_evaluations=20))
    assert proposer.propose(observe(space, 4), 1, np.random.default_rng(0))[0].notes["origin"] != "listed"


def test_a_space_that_is_used_up_is_not_searched_hundreds_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    space = FlatSpace({"optimiser": Categorical(("adam", "sgd"))})
    known = tuple(Candidate(None, {"optimiser": name}) for name in ("adam", "sgd"))
    draws: list[None] = []
    sample = Space.sample

    def counted(space: Space, generator: np.random.Generator) -> Candidate:
        draws.append(None)
        return sample(space, generator)

    monkeypatch.setattr(Space, "sample", counted)
    proposer = NASBOTProposer(space, n_startup=1, gp=QUICK)
    proposer.propose(Observations(known, np.array([[0.0], [1.0]])), 1, np.random.default_rng(0))
    assert len(draws) < 500


@pytest.mark.usefixtures("first_fits_that_fail")
def test_a_looser_fit_is_noted() -> None:
    proposer = NASBOTProposer(ChainSpace(), n_startup=3, gp=QUICK, pool=SMALL)
    with pytest.warns(RuntimeWarning, match="looser"):
        proposal = proposer.propose(observe(ChainSpace(), 5), 1, np.random.default_rng(0))[0]
    assert proposal.notes["fallback"] == "more noise"


def test_proposers_of_equal_spaces_share_their_list() -> None:
    first, second = NASBOTProposer(ListedSpace()), NASBOTProposer(ListedSpace())
    assert first._everyone is second._everyone


def test_a_list_too_long_for_a_table_of_distances_is_refused_and_may_be_searched_by_an_evolving_pool() -> None:
    space = CellSpace.nas_bench_201()
    observations = observe(space, 4, loss=lambda c: float(len(graph_of(c))))
    kernel = ArchitectureGPSettings(sorts=(), max_iterations=5)
    with pytest.raises(ValueError, match="got a list of 8765 candidates"):
        NASBOTProposer(space, n_startup=1, gp=kernel).propose(observations, 1, np.random.default_rng(0))
    proposer = NASBOTProposer(space, n_startup=1, gp=kernel, pool=PoolSettings(listed_at_most=0, n_evaluations=30))
    assert proposer.propose(observations, 1, np.random.default_rng(0))[0].notes["origin"] != "listed"


def test_label_costs_of_the_user_decide_how_far_networks_lie_apart() -> None:
    layers = chain(("relu",), (8,)), chain(("elu",), (8,))

    def distance(costs: LabelCosts | None) -> float:
        gp = ArchitectureGP({}, ArchitectureGPSettings(label_costs=costs))
        return float(gp.transport_distances([Candidate(layers[0], {})], [Candidate(layers[1], {})]).max())

    labels = mlp_label_costs().labels
    never = LabelCosts(labels, tuple(tuple(0.0 if a == b else np.inf for b in labels) for a in labels))
    assert 0 < distance(None) < distance(never)


def test_candidates_without_architecture_are_searched() -> None:
    class RatesOnly(ChainSpace):
        def build(self, choose):  # type: ignore[no-untyped-def]  # as in ChainSpace
            return Candidate(None, {name: choose(name, p) for name, p in self.hyperparameters.items()})

        def mutate(self, candidate, generator):  # type: ignore[no-untyped-def]  # as in ChainSpace
            return self.sample(generator)

    space = RatesOnly()
    observations = observe(space, 6, loss=lambda c: float(c.hyperparameters["learning_rate"]))
    proposal = NASBOTProposer(space, n_startup=3, pool=SMALL).propose(observations, 1, np.random.default_rng(0))[0]
    assert proposal.candidate.architecture is None
    assert proposal.candidate.digest not in observations.digests


@pytest.mark.parametrize(
    ("arguments", "message"), [({"n_startup": 0}, "n_startup = 0"), ({"acquisition": "lucky"}, "'lucky'")]
)
def test_settings_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NASBOTProposer(ChainSpace(), **arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("kind", ["thompson", "ttei"])
def test_a_pool_evolves_by_log_ei_where_the_function_differs_from_call_to_call(
    kind: Acquisition, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []

    def recorded(kind: Acquisition, pool: GaussianPool, *rest: Any) -> Tensor:
        asked.append((kind, len(pool)))
        return acquisition_values(kind, pool, *rest)

    monkeypatch.setattr(nasbot, "acquisition_values", recorded)
    proposer = NASBOTProposer(ChainSpace(), n_startup=3, acquisition=kind, gp=QUICK, pool=SMALL)
    proposer.propose(observe(ChainSpace(), 5), 1, np.random.default_rng(0))
    *evolution, (last, size) = asked
    assert {name for name, _ in evolution} == {"log-ei"}
    assert (last, size) == (kind, sum(n for _, n in evolution))


def test_the_pool_begins_at_the_least_posterior_mean_and_not_at_the_luckiest_value() -> None:
    bad, good = (
        [Candidate(chain(["relu"], [units]), {"learning_rate": 0.01 + 1e-5 * i, "optimiser": "sgd"}) for i in range(8)]
        for units in (8, 64)
    )
    values = np.array([[-1.0], *[[4.0 + i] for i in range(7)], *[[0.1 * i] for i in range(8)]])
    observations = Observations((*bad, *good), values)
    proposer = NASBOTProposer(
        ChainSpace(),
        n_startup=3,
        gp=ArchitectureGPSettings(smallest_noise=0.3),
        pool=PoolSettings(n_evaluations=20, n_incumbents=1),
    )
    search = proposer._search(observations, np.random.default_rng(0))
    assert isinstance(search, nasbot._EvolvingSearch)
    assert search._incumbents == [proposer.incumbent(observations)]
    assert search._incumbents[0] in good
