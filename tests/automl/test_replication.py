"""Replication: known candidates proposed again, judged against simulated draws, exact posteriors and plain NASBOT."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl.observations import Candidate, Observations
from automl.proposers.base import Proposer
from automl.proposers.nasbot import NASBOTProposer, PoolSettings
from automl.proposers.replication import Averaged, ReplicatingProposer, averaged, split_noise
from automl.scales import normal_scores
from automl.spaces.base import Space
from automl.surrogates.architecture_gp import ArchitectureGPSettings
from tests.contracts.proposer import SingleObjectiveContract, observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace

QUICK = ArchitectureGPSettings(max_iterations=5)
SMALL = PoolSettings(n_evaluations=60)


def make(space: Space, *, n_startup: int = 3) -> ReplicatingProposer:
    return ReplicatingProposer(NASBOTProposer(space, n_startup=n_startup, gp=QUICK, pool=SMALL))


class TestReplicatingProposer(SingleObjectiveContract):
    """The laws of a proposer, but for known candidates, which it may propose again."""

    may_repeat = True

    def make(self, space: Space) -> Proposer:
        return make(space, n_startup=5)

    def test_nothing_seen_pending_or_failed_is_proposed_again(self) -> None:
        space = ListedSpace()
        seen = observe(space, 4, n_failed=1)
        rest = [c for c in space.candidates if c.digest not in seen.digests]
        observations = Observations(seen.candidates, seen.values, pending=(rest[0],), failed=seen.failed)
        for seed in range(5):
            proposals = make(space).propose(observations, 2, np.random.default_rng(seed))
            proposed = {p.candidate.digest for p in proposals}
            assert len(proposed) == 2
            assert not proposed & {c.digest for c in (*observations.pending, *observations.failed)}

    def test_constant_values_are_no_obstacle(self) -> None:
        observations = observe(ChainSpace(), 10, loss=lambda _: 1.5)
        assert len(self.make(ChainSpace()).propose(observations, 2, np.random.default_rng(0))) == 2


def repeated(candidates: list[Candidate], values: list[float]) -> Observations:
    return Observations(tuple(candidates), np.array(values))


def test_candidates_count_once_with_the_mean_of_their_values_in_the_order_of_their_first() -> None:
    a, b = observe(ChainSpace(), 2).candidates
    known = averaged(repeated([b, a, b, b], [1.0, 5.0, 2.0, 6.0]))
    assert known.observations.candidates == (b, a)
    assert known.observations.values[:, 0].tolist() == [3.0, 5.0]
    assert [values.tolist() for values in known.evaluations] == [[1.0, 2.0, 6.0], [5.0]]
    assert known.counts.tolist() == [3, 1]


def test_pending_and_failed_candidates_stay_so_when_values_are_averaged() -> None:
    seen = observe(ChainSpace(), 3, n_failed=1)
    pending = observe(ChainSpace(), 1, seed=9).candidates
    known = averaged(Observations(seen.candidates, seen.values, pending, seen.failed)).observations
    assert (known.pending, known.failed) == (pending, seen.failed)


def made_up(n: int, n_values: int, chance: float, *, seed: int = 0) -> tuple[Averaged, np.ndarray]:
    """Candidates worth standard normal numbers, each evaluated `n_values` times, and the scores of their means."""
    generator = np.random.default_rng(seed)
    candidates = observe(ChainSpace(), n).candidates
    values = generator.standard_normal(n)[:, None] + chance * generator.standard_normal((n, n_values))
    known = averaged(Observations(tuple(c for c in candidates for _ in range(n_values)), values.reshape(-1, 1)))
    return known, normal_scores(known.observations.values[:, 0])


@pytest.mark.parametrize("chance", [0.1, 0.3])
def test_the_variance_of_chance_is_found_from_values_of_the_same_candidates(chance: float) -> None:
    known, scores = made_up(300, 3, chance)
    noise = split_noise(0.2, known, scores)
    guessed = 5 * 0.2  # the prior's five differences beside the 600 of the values
    assert noise.chance == pytest.approx((600 * chance**2 + guessed) / 605, rel=0.15)
    assert noise.residual == pytest.approx(0.2 - noise.chance / 3)


def test_without_a_second_value_all_the_noise_is_taken_for_chance() -> None:
    known, scores = made_up(20, 1, 0.3)
    noise = split_noise(0.2, known, scores)
    assert noise.chance == pytest.approx(0.2)
    assert noise.residual == pytest.approx(0.02)


@given(st.floats(-1e3, 1e3), st.floats(0.01, 100.0))
def test_the_unit_of_the_values_does_not_matter_to_how_noise_is_split(offset: float, unit: float) -> None:
    known, scores = made_up(12, 2, 0.2)
    moved = averaged(
        Observations(
            tuple(c for c in known.observations.candidates for _ in range(2)),
            offset + unit * np.concatenate(known.evaluations),
        )
    )
    noise, other = split_noise(0.1, known, scores), split_noise(0.1, moved, scores)
    assert other.chance == pytest.approx(noise.chance, rel=1e-6)


def test_the_posterior_with_split_noise_is_that_of_the_joint_gaussian() -> None:
    observations = observe(ChainSpace(), 12)
    fitted = make(ChainSpace()).nasbot.surrogate.fit(observations)
    residual, chance = 0.07, np.linspace(0.01, 0.2, 12)
    judged = fitted.split(residual, chance)
    kernel = fitted.gp.tables_among(fitted.observed, transport=True)
    fitted.prior.kernel.set_tables(kernel)
    prior = fitted.prior.kernel.forward(fitted.inputs, fitted.inputs).numpy() + residual * np.eye(12)
    # In the form of precisions: values are worth plus noise, both Gaussian.
    precision = np.linalg.inv(prior) + np.diag(1 / chance)
    covariance = np.linalg.inv(precision)
    mean = fitted.prior.mean + covariance @ ((fitted.scores.numpy() - fitted.prior.mean) / chance)
    np.testing.assert_allclose(judged.fitted_scores, mean, atol=1e-6)
    np.testing.assert_allclose(judged.fitted_deviations, np.sqrt(covariance.diagonal()), atol=1e-6)
    assert judged.noise == residual
    assert fitted.noise == fitted.prior.noise  # the fit itself has not changed


def noisy_search(proposer: Proposer, n: int, deviation: float, *, seed: int) -> Observations:
    """The observations of a search of n evaluations whose values are `width` and a normal number."""
    observations = Observations()
    for trial in range(n):
        candidate = proposer.propose(observations, 1, np.random.default_rng([seed, trial]))[0].candidate
        value = width(candidate) + deviation * np.random.default_rng([seed, trial, 1]).standard_normal()
        values = np.append(observations.values, [[value]], axis=0)
        observations = Observations((*observations.candidates, candidate), values)
    return observations


def n_repeats(observations: Observations) -> int:
    return len(observations) - len({candidate.digest for candidate in observations.candidates})


def test_known_candidates_are_evaluated_again_where_values_are_noisy_and_seldom_where_they_are_not() -> None:
    noisy, exact = (
        [n_repeats(noisy_search(make(ChainSpace()), 24, deviation, seed=seed)) for seed in range(3)]
        for deviation in (1.0, 0.0)
    )
    assert sum(noisy) > 2 * sum(exact)
    assert min(noisy) >= 1


def test_what_is_known_again_says_how_often_it_has_been_evaluated() -> None:
    space = ListedSpace()
    observations = observe(space, 8)  # all that there is
    proposal = make(space).propose(observations, 1, np.random.default_rng(0))[0]
    assert proposal.notes["origin"] == "known"
    assert proposal.notes["evaluations"] == 1


def test_a_used_up_space_is_evaluated_again_at_its_best_and_not_anywhere() -> None:
    space = ListedSpace()
    observations = observe(space, 8)
    loss = {c.digest: float(v) for c, v in zip(observations.candidates, observations.values[:, 0], strict=True)}
    proposed = make(space).propose(observations, 1, np.random.default_rng(0))[0].candidate
    assert loss[proposed.digest] <= sorted(loss.values())[1]


def test_two_proposals_of_one_call_do_not_repeat_the_same_candidate() -> None:
    space = ListedSpace()
    proposals = make(space).propose(observe(space, 8), 3, np.random.default_rng(0))
    assert len({p.candidate.digest for p in proposals}) == 3


def test_the_incumbent_is_not_the_luckiest_value_where_others_have_held_their_own() -> None:
    space = ListedSpace()
    candidates = list(space.candidates)
    good, lucky = candidates[0], candidates[7]
    others = [c for c in candidates if c not in (good, lucky)]
    # The lucky one has been good once and bad thrice; the good one has been good four times.
    tried = [*others, *[good] * 4, *[lucky] * 4]
    values = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, *[1.0, 1.1, 0.9, 1.0], *[0.5, 2.4, 2.6, 2.5]]
    observations = repeated(tried, values)
    assert observations.candidates[int(observations.values[:, 0].argmin())] == lucky
    assert make(space).incumbent(observations) == good


def test_during_start_up_it_proposes_and_judges_as_nasbot_does() -> None:
    space = ChainSpace()
    observations = observe(space, 4)
    proposer = make(space, n_startup=6)
    expected = proposer.nasbot.propose(observations, 1, np.random.default_rng(1))
    assert proposer.propose(observations, 1, np.random.default_rng(1)) == expected
    assert proposer.incumbent(observations) == observations.candidates[int(observations.values[:, 0].argmin())]
    assert proposer.incumbent(Observations()) is None


def test_what_is_no_nasbot_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got nasbot = 3, expected NASBOTProposer\(\.\.\.\)"):
        ReplicatingProposer(3)  # type: ignore[arg-type]  # the mistake under test
