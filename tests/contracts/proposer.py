"""What every proposer must do: subclass `ProposerContract` and say how the proposer of a space is made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from automl.observations import Candidate, Observations
from automl.proposers.base import Proposer
from automl.spaces.base import Space
from tests.contracts.small_spaces import NUMBERS, TABLE, TABLE_WITH_HOLES, ChainSpace, ListedSpace


def width(candidate: Candidate) -> float:
    """A loss that depends on the layers: the share of units missing to 64 a layer, plus one for each tanh.

    Without a network it is the hyperparameter of that name.
    """
    graph = candidate.architecture
    if graph is None:
        return float(candidate.hyperparameters["width"])
    units = [u for u in graph.units if u is not None]
    return sum(1 - u / 64 for u in units) + graph.labels.count("tanh") + graph.labels.count("skip")


def observe(
    space: Space, n: int, *, seed: int = 0, loss: Callable[[Candidate], float] = width, n_failed: int = 0
) -> Observations:
    """`n` random candidates of the space with their losses, and as many failed ones as asked, all different."""
    generator = np.random.default_rng(seed)
    found: dict[str, Candidate] = {}
    while len(found) < n + n_failed:
        candidate = space.sample(generator)
        found.setdefault(candidate.digest, candidate)
    candidates = list(found.values())
    values = np.array([loss(c) for c in candidates[:n]]).reshape(n, 1)
    return Observations(tuple(candidates[:n]), values, failed=tuple(candidates[n:]))


class ProposerContract:
    """The laws of `automl.proposers.base.Proposer`."""

    may_repeat = False  # whether observed candidates may be proposed again, as where values are noisy

    def make(self, space: Space) -> Proposer:
        """A fresh proposer of that space, its start-up phase shorter than 8 observations."""
        raise NotImplementedError

    def test_it_proposes_from_no_observations(self) -> None:
        proposals = self.make(ChainSpace()).propose(Observations(), 3, np.random.default_rng(0))
        assert len({proposal.candidate.digest for proposal in proposals}) == 3

    @pytest.mark.parametrize("n", [1, 2, 12])
    def test_a_fresh_instance_proposes_the_same(self, n: int) -> None:
        observations = observe(ChainSpace(), n)
        first, second = self.make(ChainSpace()), self.make(ChainSpace())
        first.propose(observe(ChainSpace(), 9, seed=5), 1, np.random.default_rng(1))  # fills caches of the first alone
        again = [p.propose(observations, 2, np.random.default_rng(3)) for p in (first, second)]
        assert [p.candidate for p in again[0]] == [p.candidate for p in again[1]]

    def test_every_proposal_decodes_to_itself_in_the_space(self) -> None:
        space = ChainSpace()
        for proposal in self.make(space).propose(observe(space, 10), 3, np.random.default_rng(0)):
            assert space.decode(space.encode(proposal.candidate)) == proposal.candidate

    def test_nothing_seen_pending_or_failed_is_proposed_again(self) -> None:
        space = ListedSpace()
        seen = observe(space, 4, n_failed=1)
        rest = [c for c in space.candidates if c.digest not in seen.digests]
        observations = Observations(seen.candidates, seen.values, pending=(rest[0],), failed=seen.failed)
        proposals = self.make(space).propose(observations, 2, np.random.default_rng(0))
        assert {p.candidate.digest for p in proposals} == {c.digest for c in rest[1:]}

    def test_it_still_answers_when_the_space_is_exhausted(self) -> None:
        space = ListedSpace()
        assert len(self.make(space).propose(observe(space, 8), 1, np.random.default_rng(0))) == 1

    def test_constant_values_are_no_obstacle(self) -> None:
        observations = observe(ChainSpace(), 10, loss=lambda _: 1.5)
        proposals = self.make(ChainSpace()).propose(observations, 2, np.random.default_rng(0))
        assert not {p.candidate.digest for p in proposals} & observations.digests

    @pytest.mark.parametrize("n", [0, 1, 3])
    def test_more_failures_than_values_are_no_obstacle(self, n: int) -> None:
        observations = observe(ChainSpace(), n, n_failed=9)
        proposals = self.make(ChainSpace()).propose(observations, 1, np.random.default_rng(0))
        assert proposals[0].candidate.digest not in observations.digests

    def test_extreme_values_are_no_obstacle(self) -> None:
        observations = observe(ChainSpace(), 10, loss=lambda c: 1e12 * width(c) ** 9)
        assert len(self.make(ChainSpace()).propose(observations, 1, np.random.default_rng(0))) == 1

    @pytest.mark.parametrize("space", [NUMBERS, TABLE, TABLE_WITH_HOLES], ids=["numbers", "table", "table with holes"])
    def test_hyperparameters_alone_are_searched_as_networks_are(self, space: Space) -> None:
        observations = observe(space, 9)
        first, second = (self.make(space).propose(observations, 2, np.random.default_rng(0)) for _ in range(2))
        digests = {proposal.candidate.digest for proposal in first}
        assert len(digests) == 2 and (self.may_repeat or not digests & observations.digests)
        assert [p.candidate for p in first] == [p.candidate for p in second]
        assert all(space.decode(space.encode(p.candidate)) == p.candidate for p in first)

    def test_a_request_for_none_is_refused(self) -> None:
        with pytest.raises(ValueError, match="got a request for 0 proposals"):
            self.make(ChainSpace()).propose(Observations(), 0, np.random.default_rng(0))


class SingleObjectiveContract(ProposerContract):
    """Those, and the refusal of several objectives."""

    def test_several_objectives_are_refused(self) -> None:
        one = observe(ChainSpace(), 9)
        two = Observations(one.candidates, np.hstack([one.values, one.values]))
        with pytest.raises(ValueError, match="2 objectives"):
            self.make(ChainSpace()).propose(two, 1, np.random.default_rng(0))
