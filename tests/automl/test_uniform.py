"""Random search: every proposer's laws, and a listed space drawn to its end."""

from __future__ import annotations

import numpy as np
import pytest

from automl.observations import Candidate, Observations
from automl.proposers.base import Proposer
from automl.proposers.uniform import UniformProposer
from automl.spaces.base import Space
from automl.spaces.mlp import MLPSpace
from tests.contracts.proposer import ProposerContract
from tests.contracts.small_spaces import ListedSpace


class TestUniformProposer(ProposerContract):
    def make(self, space: Space) -> Proposer:
        return UniformProposer(space)

    def test_it_draws_every_candidate_of_a_listed_space_once(self) -> None:
        proposals = UniformProposer(ListedSpace()).propose(Observations(), 8, np.random.default_rng(0))
        assert len({p.candidate.digest for p in proposals}) == 8


def test_a_space_of_one_network_is_not_edited_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    space = MLPSpace(min_layers=1, max_layers=1, units=(8, 8), activations=("relu",), hyperparameters={})
    known = space.sample(np.random.default_rng(0))
    edits: list[None] = []
    mutate = MLPSpace.mutate

    def counted(self: MLPSpace, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        edits.append(None)
        return mutate(self, candidate, generator)

    monkeypatch.setattr(MLPSpace, "mutate", counted)
    proposals = UniformProposer(space).propose(Observations((known,), np.zeros(1)), 1, np.random.default_rng(0))
    assert [proposal.candidate for proposal in proposals] == [known]
    assert len(edits) == 1
