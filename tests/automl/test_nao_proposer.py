"""NAO's proposer: rounds of latent steps and mutants, what the model is fitted to and when, choice and notes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from torch import Tensor

from automl.acquisition import acquisition_values
from automl.observations import Candidate, Observations
from automl.proposers import nao
from automl.proposers.nao import Found, LatentSearch, NAOProposer, NewCandidates, search_latent_space
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.surrogates.base import Prediction
from automl.surrogates.gaussian_pool import GaussianPool
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
    (proposal,) = proposer().propose(observe(ChainSpace(), 5), 1, np.random.default_rng(0))
    assert "acquisition_value" in proposal.notes


def test_where_the_pool_holds_too_few_the_rest_is_random_and_nothing_is_proposed_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observations = observe(ListedSpace(), 6)
    left = [candidate for candidate in ListedSpace().candidates if candidate.digest not in observations.digests]

    def pooled(model: NAOModel, seeds: Sequence[Candidate], *rest: Any) -> NewCandidates:
        new = NewCandidates(set())
        new.offer(Found(left[0], "latent", seeds[0]))
        return new

    monkeypatch.setattr(nao, "search_latent_space", pooled)
    maker = proposer(ListedSpace())
    for seed in range(8):
        by_chance = proposer(ListedSpace(), n_startup=7).propose(observations, 2, np.random.default_rng(seed))
        assert {proposal.candidate for proposal in by_chance} == set(left)
        proposals = maker.propose(observations, 2, np.random.default_rng(seed))
        assert [proposal.candidate for proposal in proposals] == left
        assert [proposal.notes["origin"] for proposal in proposals] == ["latent", "random"]


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


def test_the_model_of_other_candidates_or_other_values_is_another_one() -> None:
    observations, others = observe(ChainSpace(), 5), observe(ChainSpace(), 5, seed=1)
    maker = proposer()
    model = maker.model(observations)
    assert maker.model(Observations(observations.candidates, observations.values.copy())) is model
    assert maker.model(Observations(observations.candidates, observations.values[::-1])) is not model
    assert maker.model(Observations(others.candidates, observations.values)) is not model


@pytest.mark.parametrize("n, expected", [(3, 3), (5, 5), (8, 5), (9, 9), (44, 41), (45, 45), (64, 63), (73, 69)])
def test_fits_come_every_so_often_and_later_at_growth_by_a_tenth(n: int, expected: int) -> None:
    assert proposer()._fitted_size(n) == expected


def test_the_pool_is_kept_until_the_next_fit_or_a_better_value() -> None:
    observations = observe(ChainSpace(), 12)
    worse = Observations(observations.candidates, np.r_[observations.values[:9, 0], [9.0, 9.0, 9.0]])
    maker = proposer()
    at_9 = maker.candidates(first(worse, 9))
    assert maker.candidates(worse) is at_9
    for late in ([9.0, -9.0, 9.0], [-9.0, 9.0, 9.0]):
        better = Observations(observations.candidates, np.r_[observations.values[:9, 0], late])
        assert maker.candidates(first(worse, 9)) is not maker.candidates(better)


def test_a_fresh_proposer_finds_the_pool_that_was_kept() -> None:
    observations = observe(ChainSpace(), 12)
    maker = proposer()
    maker.candidates(first(observations, 9))
    kept = [found.candidate for found in maker.candidates(observations).listed()]
    assert [found.candidate for found in proposer().candidates(observations).listed()] == kept


@pytest.mark.parametrize("k, expected", [(5, 0), (6, 5), (9, 5), (11, 10), (20, 10), (21, 20), (60, 40)])
def test_a_fit_begins_at_the_largest_doubling_of_the_start_up_below_it(k: int, expected: int) -> None:
    assert proposer()._base_size(k) == expected


def test_a_model_is_fitted_on_from_that_of_half_as_many_values_and_so_on_down_to_the_pre_trained_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observations = observe(ChainSpace(), 44)

    @dataclass(frozen=True)
    class Fitted:
        sizes: tuple[int, ...] = ()

        def refine(self, candidates: Sequence[Candidate], losses: NDArray[np.float64]) -> Fitted:
            assert candidates == observations.candidates[: len(losses)]
            np.testing.assert_array_equal(losses, observations.values[: len(losses), 0])
            return Fitted((*self.sizes, len(losses)))

    asked: list[tuple[Space, NAOSettings]] = []

    def pretrained(space: Space, settings: NAOSettings) -> Fitted:
        asked.append((space, settings))
        return Fitted()

    monkeypatch.setattr(nao, "pretrain", pretrained)
    model = cast(Fitted, proposer().model(observations))
    assert model.sizes == (5, 10, 20, 40, 41)
    assert asked == [(ChainSpace(), SMALL)]


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


def number(x: float) -> Candidate:
    return Candidate(None, {"x": x})


def x_of(candidate: Candidate) -> float:
    return float(candidate.hyperparameters["x"])


@dataclass
class Line:
    """As much of a model as a search needs, over numbers: less is better, and a latent step makes a number less."""

    mutants: Sequence[float] = ()
    heads: list[list[int]] = field(default_factory=list)
    starts: list[list[float]] = field(default_factory=list)
    n_mutated: int = 0
    settings = SimpleNamespace(n_heads=3)

    @property
    def vocabulary(self) -> object:
        return SimpleNamespace(encode=lambda candidate: candidate, space=self)

    def improve(
        self, seeds: Sequence[Candidate], step_sizes: Sequence[float], *, heads: Sequence[int], beam_width: int
    ) -> list[list[Candidate]]:
        self.heads.append(list(heads))
        self.starts.append([x_of(seed) for seed in seeds])
        return [
            [number(x_of(seed) - size - 0.25 * place) for place in range(beam_width)]
            for size in step_sizes
            for seed in seeds
        ]

    def predict(self, candidates: Sequence[Candidate]) -> Prediction:
        return Prediction(np.array([x_of(candidate) for candidate in candidates]), np.ones(len(candidates)))

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        self.n_mutated += 1
        return number(self.mutants[(self.n_mutated - 1) % len(self.mutants)])


def found_by(line: Line, seeds: Sequence[float], search: LatentSearch, seen: Sequence[float] = ()) -> NewCandidates:
    digests = {number(x).digest for x in seen}
    starts = [number(x) for x in seeds]
    return search_latent_space(cast(NAOModel, line), starts, digests, search, np.random.default_rng(0))


def test_each_round_steps_from_the_best_of_what_the_one_before_found() -> None:
    line = Line()
    search = LatentSearch(n_seeds=2, step_sizes=(1.0, 2.0), n_rounds=2, n_wanted=1)
    new = found_by(line, (10.0, 20.0, 30.0), search, seen=(19.0,))
    steps = [(x_of(f.candidate), x_of(f.seed), f.round, f.step_size) for f in new.listed()]
    first = [(9.0, 10.0, 0, 1.0), (29.0, 30.0, 0, 1.0), (8.0, 10.0, 0, 2.0), (18.0, 20.0, 0, 2.0), (28.0, 30.0, 0, 2.0)]
    assert steps == [*first, (7.0, 8.0, 1, 1.0), (6.0, 8.0, 1, 2.0)]  # from 9 come 8 and 7, which are not new
    assert {f.origin for f in new.listed()} == {"latent"}
    assert new.n_duplicates == 3
    assert line.starts == [[10.0, 20.0, 30.0], [8.0, 9.0]]
    assert line.n_mutated == 0


def test_each_step_follows_a_head_drawn_at_random() -> None:
    line = Line()
    found_by(line, range(60), LatentSearch(n_rounds=1, n_wanted=1))
    assert len(line.heads[0]) == 60
    assert set(line.heads[0]) == {0, 1, 2}


def test_every_decoding_of_a_beam_is_offered() -> None:
    search = LatentSearch(step_sizes=(1.0,), n_rounds=1, n_wanted=1, beam_width=2)
    assert [x_of(f.candidate) for f in found_by(Line(), (5.0, 7.0), search).listed()] == [4.0, 3.75, 6.0, 5.75]


def test_where_steps_find_too_few_mutants_of_random_starts_are_added_until_a_round_s_worth_was_found() -> None:
    line = Line(mutants=[100.0 + 10.0 * i for i in range(99)])
    search = LatentSearch(n_seeds=5, step_sizes=(1.0,), n_rounds=2, n_wanted=20)
    new = found_by(line, (10.0, 20.0), search)
    assert [(f.origin, f.round) for f in new.listed()] == [
        *[("latent", 0)] * 2,
        *[("mutation", 0)] * 18,
        *[("latent", 1)] * 5,
        *[("mutation", 1)] * 15,
    ]
    assert {x_of(f.seed) for f in new.listed()[2:20]} == {10.0, 20.0}
    assert line.n_mutated == 18 + 15
    assert line.starts[1] == [9.0, 19.0, 100.0, 110.0, 120.0]


def test_rounds_that_found_more_than_their_share_make_up_for_later_ones() -> None:
    line = Line(mutants=[-99.0])
    found_by(line, range(0, 80, 2), LatentSearch(n_seeds=3, step_sizes=(0.5,), n_rounds=2, n_wanted=20))
    assert line.n_mutated == 0


def test_a_round_begins_at_what_the_one_before_found_though_earlier_ones_found_better() -> None:
    line = Line(mutants=range(30))
    search = LatentSearch(latent=False, n_seeds=10, n_rounds=3, n_wanted=10)
    seeds = {(found.round, x_of(found.seed) // 10) for found in found_by(line, (-5.0,), search).listed()}
    assert seeds == {(0, -1.0), (1, 0.0), (2, 1.0)}


def test_mutants_that_are_not_new_are_tried_three_times_as_often_as_they_are_wanted_and_then_the_search_ends() -> None:
    line = Line(mutants=[1.0])
    new = found_by(line, (1.0,), LatentSearch(latent=False, n_wanted=5), seen=(1.0,))
    assert (len(new), new.n_duplicates, line.n_mutated) == (0, 15, 15)
    assert not line.starts


def test_what_was_found_is_listed_from_any_number_on() -> None:
    new = NewCandidates(set())
    for x in range(3):
        new.offer(Found(number(x), "latent", number(9)))
    assert [x_of(found.candidate) for found in new.listed(1)] == [1.0, 2.0]


@pytest.mark.parametrize("name", ["n_seeds", "n_rounds", "n_wanted", "beam_width"])
def test_counts_of_a_search_below_one_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"got {name} = 0, expected at least 1"):
        LatentSearch(**{name: 0})  # type: ignore[arg-type]  # every one of them is a count


def test_notes_tell_how_a_candidate_was_found_what_spoke_for_it_and_what_the_pool_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    observations = observe(ChainSpace(), 10)
    late = Observations(observations.candidates[:9], observations.values[:9], pending=observations.candidates[9:])
    others = observe(ChainSpace(), 12, seed=7).candidates[:3]
    asked: list[tuple[GaussianPool, float, int, Tensor]] = []

    def pooled(model: NAOModel, seeds: Sequence[Candidate], seen: Any, *rest: Any) -> NewCandidates:
        assert seen == first(observations, max(8, int(late.values.argmin()) + 1)).digests
        new = NewCandidates(set())
        new.offer(Found(others[0], "latent", seeds[0], 2, 0.5))
        new.offer(Found(others[0], "latent", seeds[0], 2, 4.0))
        new.offer(Found(observations.candidates[9], "mutation", seeds[0]))  # pending: cannot be proposed
        new.offer(Found(others[1], "mutation", seeds[1], 1))
        new.offer(Found(others[2], "mutation", seeds[2], 1))
        return new

    def recorded(kind: Any, pool: GaussianPool, incumbent: float, n_observed: int, *rest: Any) -> Tensor:
        values = acquisition_values(kind, pool, incumbent, n_observed, *rest)
        asked.append((pool, incumbent, n_observed, values.clone()))
        return values

    monkeypatch.setattr(nao, "search_latent_space", pooled)
    monkeypatch.setattr(nao, "acquisition_values", recorded)
    maker = replace(proposer(), refit_every=3)  # fitted to 5, and then to 8
    proposals = maker.propose(late, 3, np.random.default_rng(0))
    assert {p.candidate for p in proposals} == set(others)
    model = maker.model(late)
    for proposal, (pool, incumbent, n_observed, values) in zip(proposals, asked, strict=True):
        place = others.index(proposal.candidate)
        notes = dict(proposal.notes)
        assert (notes["n_new"], notes["n_duplicates"], notes["n_mutants"]) == (3, 1, 2)
        assert notes["origin"] == ("latent", "mutation", "mutation")[place]
        assert notes["round"] == (2, 1, 1)[place]
        assert notes.get("step_size") == (0.5, None, None)[place]
        assert notes["seed"] in {c.digest for c in observations.candidates[:9]}
        assert notes["acquisition_value"] == float(values[place])
        assert notes["predicted_score"] == pytest.approx(model.predict([proposal.candidate]).mean[0], abs=1e-5)
        assert notes["score_deviation"] == pytest.approx(float(pool.variance[place].sqrt()))
        assert incumbent == normal_scores(observations.values[:8, 0]).min()
        assert n_observed == 9
    assert proposals[0].notes["acquisition_value"] == float(asked[0][3][:3].max())


def test_where_nothing_new_is_left_and_nothing_is_pending_the_proposal_is_random() -> None:
    (proposal,) = proposer(ListedSpace(), n_startup=8).propose(observe(ListedSpace(), 8), 1, np.random.default_rng(0))
    assert proposal.notes == {"origin": "random"}


def test_one_head_proposes_by_its_mean_and_the_residual() -> None:
    maker = replace(proposer(), settings=replace(SMALL, n_heads=1))
    (proposal,) = maker.propose(observe(ChainSpace(), 8), 1, np.random.default_rng(0))
    assert np.isfinite(proposal.notes["acquisition_value"])
    assert proposal.notes["score_deviation"] == pytest.approx(1.0)  # the largest residual, that of a lone head


def test_the_choice_is_by_mean_and_covariance_of_the_heads_beside_all_that_is_pending_and_the_residual() -> None:
    """The posterior deviation of a candidate, by hand, once its like is pending."""
    observations, (new,) = observe(ChainSpace(), 5), observe(ChainSpace(), 1, seed=9).candidates
    (pending,) = observe(ChainSpace(), 1, seed=8).candidates
    predictions = np.array([[0.0, 1.0], [1.0, 1.5], [2.0, 3.5]])  # of three heads, of the new one and the pending one

    class Heads:
        residual = 0.2

        def head_predictions(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
            return predictions[:, : len(candidates)]

    def facts(pendings: tuple[Candidate, ...]) -> dict[str, Any]:
        known = Observations(observations.candidates, observations.values, pending=pendings)
        maker = NAOProposer(ChainSpace(), n_startup=5)
        pool, generator = [Found(new, "latent", new)], np.random.default_rng(0)
        ((_, facts),) = maker._chosen(cast(NAOModel, Heads()), pool, known, 1, generator)
        return facts

    covariance = np.cov(predictions.T)
    left = covariance[0, 0] - covariance[0, 1] ** 2 / (covariance[1, 1] + 0.2)
    assert facts(())["score_deviation"] == pytest.approx(np.sqrt(covariance[0, 0] + 0.2))
    assert facts((pending,))["score_deviation"] == pytest.approx(np.sqrt(left + 0.2))
    assert facts((pending,))["predicted_score"] == pytest.approx(1.0)
