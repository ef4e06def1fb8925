"""Local search: every proposer's laws, and where the search goes next."""

from __future__ import annotations

import numpy as np
import pytest

from automl.observations import Observations
from automl.proposers.base import Proposer
from automl.proposers.local_search import LocalSearchProposer
from automl.spaces.base import Space
from tests.contracts.proposer import SingleObjectiveContract, observe, width
from tests.contracts.small_spaces import ChainSpace, ListedSpace


class TestLocalSearchProposer(SingleObjectiveContract):
    def make(self, space: Space) -> Proposer:
        return LocalSearchProposer(space, n_startup=4)


def test_a_proposal_is_one_edit_away_from_the_best() -> None:
    observations = observe(ChainSpace(), 12)
    best = observations.candidates[int(np.argmin(observations.values))]
    proposal = LocalSearchProposer(ChainSpace()).propose(observations, 1, np.random.default_rng(0))[0]
    assert proposal.notes["parent"] == best.digest


def test_a_local_optimum_is_left_for_the_next_best() -> None:
    space = ListedSpace()
    best = min(space.candidates, key=width)
    ball = [c for c in space.candidates if width(c) <= 1]  # the best and its three neighbours
    observations = Observations(tuple(ball), np.array([[width(c)] for c in ball]))
    proposal = LocalSearchProposer(space, n_startup=1).propose(observations, 1, np.random.default_rng(0))[0]
    assert proposal.notes["parent"] != best.digest
    assert width(proposal.candidate) == 2


def test_a_startup_of_no_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="n_startup = 0"):
        LocalSearchProposer(ChainSpace(), n_startup=0)
