"""What proposers begin with, and candidates not yet seen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from automl.observations import Candidate, Observations
from automl.parameters import Float
from automl.proposers import pool
from automl.proposers.base import Proposer
from automl.proposers.combined import CombinedProposer
from automl.proposers.evolution import EvolutionProposer
from automl.proposers.local_search import LocalSearchProposer
from automl.proposers.nao import NAOProposer
from automl.proposers.nasbot import NASBOTProposer
from automl.proposers.pool import first_proposal, mutants_by_rank, startup, unseen_sample
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace
from automl.spaces.mlp import MLPSpace
from tests.contracts.small_spaces import ChainSpace, ListedSpace

SPACE = MLPSpace(max_layers=3)


@pytest.mark.parametrize(
    "make", [NASBOTProposer, NAOProposer, CombinedProposer, EvolutionProposer, LocalSearchProposer]
)
def test_searches_begin_with_the_simple_networks_of_the_space(make: Callable[[Space], Proposer]) -> None:
    proposals = make(SPACE).propose(Observations(), 4, np.random.default_rng(0))
    assert [proposal.candidate for proposal in proposals[:3]] == list(SPACE.initial)
    assert [proposal.notes["origin"] for proposal in proposals] == ["initial", "initial", "initial", "random"]


def test_models_wait_for_the_simple_networks_and_one_more_or_for_ten_where_there_are_none() -> None:
    assert (startup(SPACE, None), startup(ListedSpace(), None), startup(SPACE, 7)) == (4, 10, 7)


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


def test_where_chance_finds_nothing_the_candidates_that_are_left_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    space, generator = ListedSpace(), np.random.default_rng(0)
    seen = {candidate.digest for candidate in space.candidates[:5]}
    monkeypatch.setattr(pool, "_TRIES", 0)
    drawn = {unseen_sample(space, seen, generator) for _ in range(40)}
    assert drawn == set(space.candidates[5:])


def test_parents_are_drawn_half_as_often_as_those_five_ranks_before_them() -> None:
    space, seen = FlatSpace({"x": Float(0.0, 1.0)}), set[str]()
    ranked = [Candidate(None, {"x": x}) for x in (0.0, 0.5, 0.5, 0.5, 0.5, 1.0)]
    mutants = mutants_by_rank(space, ranked, 4000, seen, np.random.default_rng(0))
    places = np.array([mutant.hyperparameters["x"] for mutant in mutants])
    # Nearly all steps are shorter than a quarter of the range.
    first, last = (places < 0.25).sum(), (places > 0.75).sum()
    assert first / last == pytest.approx(2.0, abs=0.25)
    assert {mutant.digest for mutant in mutants} == seen
    assert len(mutants) == len(seen)
    assert not mutants_by_rank(space, [], 10, seen, np.random.default_rng(0))
