"""NASBOT: every proposer's laws, listed and evolving pools, pending candidates, and settings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from automl.acquisition import ACQUISITIONS, Acquisition, acquisition_values
from automl.observations import Candidate, Observations
from automl.parameters import Categorical, Float
from automl.proposers import nasbot
from automl.proposers.base import Proposer
from automl.proposers.combined import CombinedProposer
from automl.proposers.nasbot import NASBOTProposer, PoolSettings
from automl.proposers.pool import mutants_by_rank
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.flat import FlatSpace
from automl.spaces.table import Column, TableSpace
from automl.surrogates.architecture_gp import ArchitectureGP, ArchitectureGPSettings
from automl.surrogates.gaussian_pool import GaussianPool
from automl.surrogates.structure import SORTS_OF_CELLS, graph_of
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


def test_an_evolving_pool_comes_to_the_answers_of_a_list_beside_pending_candidates_and_in_a_batch() -> None:
    """In a space of eight an evolving pool finds all that is left."""
    known = observe(ListedSpace(), 5)
    observations = Observations(known.candidates[:4], known.values[:4], pending=known.candidates[4:])
    listed, evolving = (
        NASBOTProposer(
            ListedSpace(),
            n_startup=1,
            acquisition="ucb",
            residuals="value",
            gp=QUICK,
            pool=PoolSettings(listed_at_most=most, n_evaluations=20),
        ).propose(observations, 3, np.random.default_rng(0))
        for most in (8, 0)
    )
    assert [p.candidate for p in evolving] == [p.candidate for p in listed]
    wanted = [[p.notes["acquisition_value"] for p in proposals] for proposals in (evolving, listed)]
    assert wanted[0] == pytest.approx(wanted[1], abs=1e-6)
    assert {p.notes["origin"] for p in evolving} <= {"random", "edited incumbent", "evolved"}


def test_the_incumbent_is_the_best_by_posterior_mean() -> None:
    space = ListedSpace()
    observations = observe(space, 8)
    incumbent = NASBOTProposer(space, n_startup=1, gp=QUICK).incumbent(observations)
    assert incumbent is not None
    assert width(incumbent) == 0
    assert NASBOTProposer(space).incumbent(Observations()) is None


def test_a_space_too_large_to_compare_is_searched_by_an_evolving_pool() -> None:
    space = ListedSpace()
    origins = []
    for most in (7, 8):
        settings = PoolSettings(listed_at_most=most, n_evaluations=20)
        proposer = NASBOTProposer(space, n_startup=1, gp=QUICK, pool=settings)
        origins.append(proposer.propose(observe(space, 4), 1, np.random.default_rng(0))[0].notes["origin"])
    assert origins[0] != "listed" == origins[1]


def test_all_terms_of_the_kernel_are_used_where_the_pool_evolves_and_counts_alone_where_all_are_compared() -> None:
    evolving, listed = (NASBOTProposer(s).surrogate.settings for s in (ChainSpace(), CellSpace.nas_bench_201()))
    assert evolving == ArchitectureGPSettings()
    assert evolving.transport and evolving.trend and evolving.sorts
    assert listed.sorts and not listed.transport and not listed.trend


def test_a_listed_space_without_a_hash_gets_the_proposals_of_an_equal_one() -> None:
    class Mutable(ListedSpace):
        __hash__ = None  # type: ignore[assignment]  # as in a dataclass that is not frozen

    observations = observe(ListedSpace(), 4)
    first, second = (
        NASBOTProposer(space, n_startup=1, gp=QUICK).propose(observations, 2, np.random.default_rng(0))
        for space in (ListedSpace(), Mutable())
    )
    assert first == second


def test_of_a_list_the_most_wanted_unseen_candidate_is_proposed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Tensor] = []

    def recorded(*arguments: Any) -> Tensor:
        asked.append(acquisition_values(*arguments))
        return asked[-1].clone()

    monkeypatch.setattr(nasbot, "acquisition_values", recorded)
    space, observations = ListedSpace(), observe(ListedSpace(), 4)
    notes = NASBOTProposer(space, n_startup=1, gp=QUICK).propose(observations, 1, np.random.default_rng(0))[0].notes
    ((values),) = asked
    unseen = [float(v) for v, c in zip(values, space.candidates, strict=True) if c.digest not in observations.digests]
    assert notes["acquisition_value"] == max(unseen) > min(unseen)


@pytest.mark.parametrize(("residuals", "of_values"), [("value", True), ("noise", False), (None, True)])
def test_improvement_is_that_of_a_value_over_the_best_one_or_that_of_a_mean_over_the_best_mean(
    residuals: Literal["value", "noise"] | None, of_values: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[GaussianPool, float, int]] = []

    def recorded(kind: Acquisition, pool: GaussianPool, incumbent: float, n_observed: int, *rest: Any) -> Tensor:
        asked.append((pool, incumbent, n_observed))
        return acquisition_values(kind, pool, incumbent, n_observed, *rest)

    monkeypatch.setattr(nasbot, "acquisition_values", recorded)
    observations = observe(ListedSpace(), 4)
    proposer = NASBOTProposer(ListedSpace(), n_startup=1, gp=QUICK, residuals=residuals)
    proposer.propose(observations, 1, np.random.default_rng(0))
    fitted = proposer.surrogate.fit(observations)
    posterior = fitted.pool(proposer.surrogate.listed_pool(ListedSpace().candidates))
    ((pool, incumbent, n_observed),) = asked
    torch.testing.assert_close(pool.variance, posterior.variance + (posterior.noise if of_values else 0.0))
    assert incumbent == float((fitted.scores if of_values else fitted.fitted_scores).min())
    assert n_observed == 4


def test_residuals_are_part_of_the_value_where_all_candidates_are_compared_and_noise_where_the_pool_evolves() -> None:
    assert NASBOTProposer(ListedSpace()).counts_residuals
    assert not NASBOTProposer(ChainSpace()).counts_residuals


def test_equally_wanted_candidates_are_chosen_among_by_chance_and_unwanted_ones_never() -> None:
    ask = nasbot.Ask("log-ei", True, 0.0, 1, np.random.default_rng(0))
    assert {ask.argmax(np.array([0.0, 1.0, -np.inf, 1.0])) for _ in range(20)} == {1, 3}
    assert ask.argmax(np.full(2, -np.inf)) is ask.argmax(np.empty(0)) is None


def test_observed_and_pending_candidates_that_a_list_lacks_are_no_obstacle() -> None:
    foreign = [Candidate(chain((label,), (8,)), {}) for label in ("relu", "tanh")]
    known = observe(ListedSpace(), 4)
    values = np.append(known.values, [[1.0]], axis=0)
    observations = Observations((*known.candidates, foreign[0]), values, pending=(foreign[1],))
    proposals = NASBOTProposer(ListedSpace(), n_startup=1, gp=QUICK).propose(observations, 1, np.random.default_rng(0))
    assert proposals[0].notes["origin"] == "listed"


def test_a_pool_evolves_from_random_candidates_and_edits_of_the_best_within_its_budget(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool: list[nasbot.Found] = []

    def recorded(*arguments: Any) -> nasbot.Found:
        pool.append(found(*arguments))
        return pool[-1]

    def edited(space: Space, ranked: Sequence[Candidate], *arguments: Any) -> list[Candidate]:
        parents.append(list(ranked))
        return mutants_by_rank(space, ranked, *arguments)

    parents: list[list[Candidate]] = []
    found = nasbot.Found
    monkeypatch.setattr(nasbot, "Found", recorded)
    monkeypatch.setattr(nasbot, "mutants_by_rank", edited)
    space, observations = ChainSpace(max_depth=6), observe(ChainSpace(), 5)
    proposer = NASBOTProposer(space, n_startup=3, gp=QUICK, pool=SMALL)
    proposal = proposer.propose(observations, 1, np.random.default_rng(0))[0]
    assert Counter(made.origin for made in pool) == {"random": 12, "edited incumbent": 24, "evolved": 24}
    assert not {made.candidate.digest for made in pool} & observations.digests
    assert len({made.candidate.digest for made in pool}) == 60
    by_mean = proposer.surrogate.fit(observations).fitted_scores.argsort()
    assert parents[0] == [observations.candidates[i] for i in by_mean]
    for n, ranked in zip((36, 44, 52), parents[1:], strict=True):  # what the pool holds when it is edited
        assert ranked == [made.candidate for made in sorted(pool[:n], key=lambda made: -made.value)]
    best = max(pool, key=lambda made: made.value)
    assert (proposal.candidate, proposal.notes["origin"]) == (best.candidate, best.origin)
    assert proposal.notes["acquisition_value"] == best.value


def test_a_pool_that_evolves_holds_each_unseen_candidate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found, made = nasbot.Found, list[str]()

    def recorded(candidate: Candidate, *arguments: Any) -> nasbot.Found:
        made.append(candidate.digest)
        return found(candidate, *arguments)

    monkeypatch.setattr(nasbot, "Found", recorded)
    observations, settings = observe(ListedSpace(), 4), PoolSettings(listed_at_most=0, n_evaluations=40)
    proposer = NASBOTProposer(ListedSpace(), n_startup=1, gp=QUICK, pool=settings)
    proposer.propose(observations, 1, np.random.default_rng(0))
    unseen = {candidate.digest for candidate in ListedSpace().candidates} - observations.digests
    assert sorted(made) == sorted(unseen)


@pytest.mark.parametrize("kind", ACQUISITIONS)
def test_where_an_evolving_pool_finds_nothing_new_the_proposal_is_random(kind: Acquisition) -> None:
    settings = PoolSettings(listed_at_most=0, n_evaluations=20)
    proposer = NASBOTProposer(ListedSpace(), n_startup=1, acquisition=kind, gp=QUICK, pool=settings)
    (proposal,) = proposer.propose(observe(ListedSpace(), 8), 1, np.random.default_rng(0))
    assert proposal.notes == {"origin": "random"}


def test_hyperparameters_are_learnt_from() -> None:
    space = FlatSpace({"x": Float(0.0, 1.0)})
    places = np.linspace(0.0, 1.0, 9)
    observations = Observations(tuple(Candidate(None, {"x": float(x)}) for x in places), (places[:, None] - 0.7) ** 2)
    (proposal,) = NASBOTProposer(space, n_startup=1, pool=SMALL).propose(observations, 1, np.random.default_rng(0))
    assert float(proposal.candidate.hyperparameters["x"]) == pytest.approx(0.7, abs=0.05)


def test_what_the_values_look_like_to_the_process_and_how_well_it_foretells_them_is_the_model_s_own_answer() -> None:
    observations = observe(ChainSpace(), 8)
    proposer = NASBOTProposer(ChainSpace(), gp=QUICK)
    fitted = ArchitectureGP(ChainSpace().hyperparameters, QUICK).fit(observations)
    np.testing.assert_array_equal(proposer.scores(observations), fitted.scores)
    np.testing.assert_array_equal(proposer.leave_one_out_log_density(observations), fitted.leave_one_out_log_density)


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
    proposals = proposer.propose(Observations(known, np.array([[0.0], [1.0]])), 1, np.random.default_rng(0))
    assert [proposal.notes["origin"] for proposal in proposals] == ["random"]
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
    other = NASBOTProposer(ListedSpace(), gp=replace(first.surrogate.settings, sorts=SORTS_OF_CELLS[:1]))
    assert other._everyone is not first._everyone


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
    ("arguments", "message"),
    [({"n_startup": 0}, "n_startup = 0"), ({"acquisition": "lucky"}, "'lucky'"), ({"residuals": "all"}, "'all'")],
)
def test_settings_that_make_no_sense_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NASBOTProposer(ChainSpace(), **arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("number", ["n_evaluations", "n_incumbents"])
def test_a_pool_of_nothing_is_refused(number: str) -> None:
    with pytest.raises(ValueError, match=f"got {number} = 0, expected at least 1"):
        PoolSettings(**{number: 0})


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


def noisy_observations() -> Observations:
    """One lucky value among eight bad candidates, and eight good ones."""
    bad, good = (
        [Candidate(chain(["relu"], [units]), {"learning_rate": 0.01 + 1e-5 * i, "optimiser": "sgd"}) for i in range(8)]
        for units in (8, 64)
    )
    values = np.array([[-1.0], *[[4.0 + i] for i in range(7)], *[[0.1 * i] for i in range(8)]])
    return Observations((*bad, *good), values)


def test_the_pool_begins_at_the_least_posterior_mean_and_not_at_the_luckiest_value() -> None:
    observations = noisy_observations()
    proposer = NASBOTProposer(
        ChainSpace(),
        n_startup=3,
        gp=ArchitectureGPSettings(smallest_noise=0.3),
        pool=PoolSettings(n_evaluations=20, n_incumbents=1),
    )
    search = proposer._search(observations, np.random.default_rng(0))
    assert isinstance(search, nasbot._EvolvingSearch)
    assert search._incumbents == [proposer.incumbent(observations)]
    assert search._incumbents[0] in observations.candidates[8:]


def test_the_incumbent_has_the_least_value_during_start_up_and_the_least_posterior_mean_after_it() -> None:
    observations = noisy_observations()
    after, during = (
        NASBOTProposer(ChainSpace(), n_startup=n, gp=ArchitectureGPSettings(smallest_noise=0.3)).incumbent(observations)
        for n in (16, 17)
    )
    assert during == observations.candidates[0]
    assert after in observations.candidates[8:]


@pytest.mark.parametrize("make", [NASBOTProposer, CombinedProposer])
def test_tables_of_hyperparameters_are_compared_as_a_whole(make: Callable[..., Proposer]) -> None:
    space = TableSpace((Column("depth", (1, 2, 4, 8), True), Column("activation", ("relu", "tanh"), False)))
    rows = list(space.candidates)
    observations = Observations(tuple(rows[:6]), np.arange(6.0)[:, None])
    proposals = make(space, n_startup=3).propose(observations, 2, np.random.default_rng(0))
    assert {proposal.candidate.digest for proposal in proposals} == {row.digest for row in rows[6:]}
    assert all(proposal.notes["acquisition"] == "log-ei" for proposal in proposals)


def test_little_noise_is_expected_where_there_are_no_networks() -> None:
    of_numbers = NASBOTProposer(FlatSpace({"x": Float(0.0, 1.0)})).surrogate.settings
    of_networks = NASBOTProposer(ChainSpace()).surrogate.settings
    assert (of_numbers.typical_noise, of_numbers.smallest_noise) == (0.003, 1e-6)
    assert of_networks == ArchitectureGPSettings()
