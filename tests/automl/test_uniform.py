"""Random search: every proposer's laws, and a listed space drawn to its end."""

from __future__ import annotations

import numpy as np

from automl.observations import Observations
from automl.proposers.base import Proposer
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from tests.contracts.proposer import ProposerContract
from tests.contracts.small_spaces import ListedSpace


class TestUniformProposer(ProposerContract):
    def make(self, space: Space) -> Proposer:
        return UniformProposer(space)

    def test_it_draws_every_candidate_of_a_listed_space_once(self) -> None:
        proposals = UniformProposer(ListedSpace()).propose(Observations(), 8, np.random.default_rng(0))
        assert len({p.candidate.digest for p in proposals}) == 8
