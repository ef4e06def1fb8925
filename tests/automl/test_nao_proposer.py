from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.proposers.nao import Found, LatentSearch, NAOProposer, NewCandidates
from automl.spaces.base import Space
from automl.surrogates.base import Prediction
from automl.surrogates.nao import NAOModel, NAOSettings
from tests.contracts.proposer import SingleObjectiveContract, observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace

SMALL = NAOSettings(width=16, n_unlabelled=200, pretraining_steps=40, refinement_steps=15)


def proposer(space: Space = ChainSpace(), n_startup: int = 5) -> NAOProposer:  # noqa: B008  # a frozen value
    return NAOProposer(space, n_startup=n_startup, refit_every=4, settings=SMALL)


class TestNAOProposer(SingleObjectiveContract):
    def make(self, space: Space) -> NAOProposer:
        return proposer(space)


def test_notes_say_where_a_proposal_comes_from_and_count_duplicates_and_mutants() -> None:
    proposals = proposer().propose(observe(ChainSpace(), 12), 3, np.random.default_rng(0))
    for proposal in proposals:
        assert proposal.notes["origin"] in ("latent", "mutation")
        assert {"seed", "acquisition_value", "predicted_score", "n_new", "n_duplicates", "n_mutants"} <= set(
            proposal.notes
        )


def test_proposals_are_random_before_the_start_up_is_over() -> None:
    proposals = proposer().propose(observe(ChainSpace(), 4), 2, np.random.default_rng(0))
    assert [proposal.notes["origin"] for proposal in proposals] == ["random", "random"]


def test_where_the_latent_steps_run_dry_mutants_fill_the_pool_and_are_counted() -> None:
    still = replace(proposer(), search=LatentSearch(step_sizes=(1e-9,), n_wanted=15))
    proposals = still.propose(observe(ChainSpace(), 12), 1, np.random.default_rng(0))
    assert proposals[0].notes["n_mutants"] > 0
    assert proposals[0].notes["n_duplicates"] > 0


def test_without_latent_steps_every_proposal_is_a_mutant() -> None:
    mutating = replace(proposer(), search=LatentSearch(latent=False))
    proposals = mutating.propose(observe(ChainSpace(), 12), 3, np.random.default_rng(0))
    assert {proposal.notes["origin"] for proposal in proposals} == {"mutation"}


def test_it_prefers_what_its_model_has_learnt_to_be_good() -> None:
    observations = observe(ChainSpace(), 40)
    proposals = proposer().propose(observations, 5, np.random.default_rng(0))
    assert np.mean([width(p.candidate) for p in proposals]) < observations.values.mean() - 0.5


def first(observations: Observations, n: int) -> Observations:
    return Observations(observations.candidates[:n], observations.values[:n])


def test_the_model_of_later_observations_is_that_of_the_last_fit() -> None:
    observations = observe(ChainSpace(), 12)
    maker = proposer()
    at_9 = maker.model(first(observations, 9))
    assert maker.model(first(observations, 11)) is at_9
    assert maker.model(observe(ChainSpace(), 13)) is not at_9


@pytest.mark.parametrize("n, expected", [(3, 3), (5, 5), (8, 5), (9, 9), (44, 41), (45, 45), (64, 63), (73, 69)])
def test_fits_come_every_so_often_and_later_at_growth_by_a_tenth(n: int, expected: int) -> None:
    assert proposer()._fitted_size(n) == expected


def test_the_pool_is_kept_until_the_next_fit_or_a_better_value() -> None:
    observations = observe(ChainSpace(), 12)
    worse = Observations(observations.candidates, np.r_[observations.values[:9, 0], [9.0, 9.0, 9.0]])
    better = Observations(observations.candidates, np.r_[observations.values[:9, 0], [9.0, -9.0, 9.0]])
    maker = proposer()
    at_9 = maker.candidates(first(worse, 9))
    assert maker.candidates(worse) is at_9
    assert maker.candidates(better) is not at_9


def test_a_fresh_proposer_finds_the_pool_that_was_kept() -> None:
    observations = observe(ChainSpace(), 12)
    maker = proposer()
    maker.candidates(first(observations, 9))
    kept = [found.candidate for found in maker.candidates(observations).listed()]
    assert [found.candidate for found in proposer().candidates(observations).listed()] == kept


@pytest.mark.parametrize("k, expected", [(5, 0), (6, 5), (9, 5), (11, 10), (20, 10), (21, 20), (60, 40)])
def test_a_fit_begins_at_the_largest_doubling_of_the_start_up_below_it(k: int, expected: int) -> None:
    assert proposer()._base_size(k) == expected


def test_pending_candidates_and_one_batch_spread_over_the_pool() -> None:
    observations = observe(ChainSpace(), 20)
    batch = proposer().propose(observations, 4, np.random.default_rng(0))
    pending = Observations(observations.candidates, observations.values, pending=(batch[0].candidate,))
    second = proposer().propose(pending, 1, np.random.default_rng(0))[0]
    assert second.candidate.digest != batch[0].candidate.digest


def test_new_candidates_are_kept_once_and_the_rest_is_counted() -> None:
    a, b, c = observe(ChainSpace(), 3).candidates
    new = NewCandidates({a.digest})
    for candidate in (a, b, b, c):
        new.offer(Found(candidate, "latent", a))
    assert [found.candidate for found in new.listed()] == [b, c]
    assert new.n_duplicates == 2


def test_a_number_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_startup = 0, expected at least 1"):
        NAOProposer(ListedSpace(), n_startup=0)
    with pytest.raises(ValueError, match="got refit_every = 0, expected at least 1"):
        NAOProposer(ListedSpace(), refit_every=0)


def test_an_unknown_acquisition_function_is_refused() -> None:
    with pytest.raises(ValueError, match="got the acquisition function 'magic'"):
        NAOProposer(ListedSpace(), acquisition="magic")  # type: ignore[arg-type]  # the point of the test


@pytest.mark.parametrize("sizes", [(), (0.0, 1.0), (2.0, 1.0)])
def test_step_sizes_that_do_not_grow_are_refused(sizes: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="expected positive ones in growing order"):
        LatentSearch(step_sizes=sizes)


def test_a_search_for_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="got n_seeds = 0"):
        LatentSearch(n_seeds=0)


def test_half_of_the_seeds_are_the_best_by_value_and_half_by_prediction() -> None:
    observations = observe(ChainSpace(), 12)
    order = observations.values[:, 0].argsort(kind="stable")

    class Contrary:
        def predict(self, candidates: Sequence[Candidate]) -> Prediction:
            return Prediction(-observations.values[:, 0], np.ones(len(candidates)))

    proposer = NAOProposer(ChainSpace(), search=LatentSearch(n_seeds=4))
    seeds = proposer._seeds(cast(NAOModel, Contrary()), observations)
    assert seeds == [observations.candidates[i] for i in (*order[:2], *order[:-3:-1])]


def test_candidates_observed_since_the_fit_count_as_observed_at_their_means() -> None:
    class Alike:
        """Heads that differ about all candidates in the same way."""

        residual = 0.1

        def head_predictions(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
            return np.tile([[-1.0], [1.0]], (1, len(candidates)))

    observations = observe(ChainSpace(), 8)
    (new,) = observe(ChainSpace(), 1, seed=9).candidates
    proposer = NAOProposer(ChainSpace(), n_startup=5, refit_every=100)

    def deviation(n: int) -> float:
        seen = Observations(observations.candidates[:n], observations.values[:n])
        pool, generator = [Found(new, "latent", new)], np.random.default_rng(0)
        ((_, facts),) = proposer._chosen(cast(NAOModel, Alike()), pool, seen, 1, generator)
        return float(facts["score_deviation"])

    assert deviation(5) == pytest.approx(np.sqrt(2.0 + 0.1))
    assert deviation(8) == pytest.approx(np.sqrt(2.0 * 0.1 / (3 * 2.0 + 0.1) + 0.1))  # after three values, all alike
