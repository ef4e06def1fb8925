"""What proposers begin with, and candidates not yet seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from automl.observations import Observations
from automl.proposers.base import Proposer
from automl.proposers.combined import CombinedProposer
from automl.proposers.evolution import EvolutionProposer
from automl.proposers.local_search import LocalSearchProposer
from automl.proposers.nao import NAOProposer
from automl.proposers.nasbot import NASBOTProposer
from automl.proposers.pool import first_proposal
from automl.spaces.base import Space
from automl.spaces.mlp import MLPSpace
from tests.contracts.small_spaces import ChainSpace

SPACE = MLPSpace(max_layers=3)


@pytest.mark.parametrize(
    "make", [NASBOTProposer, NAOProposer, CombinedProposer, EvolutionProposer, LocalSearchProposer]
)
def test_searches_begin_with_the_simple_networks_of_the_space(make: Callable[[Space], Proposer]) -> None:
    proposals = make(SPACE).propose(Observations(), 4, np.random.default_rng(0))
    assert [proposal.candidate for proposal in proposals[:3]] == list(SPACE.initial)
    assert [proposal.notes["origin"] for proposal in proposals] == ["initial", "initial", "initial", "random"]


def test_simple_networks_that_were_asked_for_are_not_asked_for_again() -> None:
    first, second, third = SPACE.initial
    observations = Observations((first,), np.zeros((1, 1)), pending=(third,))
    proposals = NASBOTProposer(SPACE).propose(observations, 2, np.random.default_rng(0))
    assert proposals[0].candidate == second
    assert proposals[1].candidate not in SPACE.initial


def test_a_space_without_simple_networks_begins_at_random() -> None:
    proposal = first_proposal(ChainSpace(), set(), np.random.default_rng(0))
    assert proposal.notes == {"origin": "random"}
    assert proposal.candidate == ChainSpace().sample(np.random.default_rng(0))
