"""Regularised evolution: every proposer's laws, tournaments, and who is too old for them."""

from __future__ import annotations

import numpy as np
import pytest

from automl.observations import Observations
from automl.proposers.base import Proposer
from automl.proposers.evolution import EvolutionProposer
from automl.spaces.base import Space
from tests.contracts.proposer import SingleObjectiveContract, observe
from tests.contracts.small_spaces import ChainSpace


class TestEvolutionProposer(SingleObjectiveContract):
    def make(self, space: Space) -> Proposer:
        return EvolutionProposer(space, population=6, sample=3)


def test_the_parent_is_the_best_of_a_tournament_of_all() -> None:
    observations = observe(ChainSpace(), 12)
    best = observations.candidates[int(np.argmin(observations.values))]
    proposer = EvolutionProposer(ChainSpace(), population=12, sample=200)
    assert proposer.propose(observations, 1, np.random.default_rng(0))[0].notes["parent"] == best.digest


def test_the_oldest_observations_are_no_parents() -> None:
    old, young = observe(ChainSpace(), 5, loss=lambda _: 0.0), observe(ChainSpace(), 5, seed=1, loss=lambda _: 1.0)
    observations = Observations(old.candidates + young.candidates, np.vstack([old.values, young.values]))
    proposer = EvolutionProposer(ChainSpace(), population=5, sample=3)
    parents = {p.notes["parent"] for p in proposer.propose(observations, 20, np.random.default_rng(0))}
    assert parents <= {c.digest for c in young.candidates}


def test_pending_candidates_count_towards_the_first_population() -> None:
    seen = observe(ChainSpace(), 5)
    observations = Observations(seen.candidates[:2], seen.values[:2], pending=seen.candidates[2:])
    proposer = EvolutionProposer(ChainSpace(), population=6, sample=2)
    origins = [p.notes["origin"] for p in proposer.propose(observations, 2, np.random.default_rng(0))]
    assert origins == ["random", "mutation"]


@pytest.mark.parametrize("sizes", [(0, 1), (1, 0)])
def test_empty_populations_and_tournaments_are_refused(sizes: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="expected at least 1"):
        EvolutionProposer(ChainSpace(), population=sizes[0], sample=sizes[1])
