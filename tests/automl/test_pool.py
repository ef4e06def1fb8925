"""What proposers begin with, and candidates not yet seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import cast

import numpy as np
import pytest

from automl.observations import Candidate, Observations
from automl.parameters import Int
from automl.proposers import pool
from automl.proposers.base import Proposal, Proposer
from automl.proposers.combined import CombinedProposer
from automl.proposers.evolution import EvolutionProposer
from automl.proposers.local_search import LocalSearchProposer
from automl.proposers.nao import NAOProposer
from automl.proposers.nasbot import NASBOTProposer
from automl.proposers.pool import (
    check_request,
    first_proposal,
    found_or_random,
    mutants_by_rank,
    startup,
    unseen_mutant,
    unseen_sample,
)
from automl.spaces.base import Space
from automl.spaces.flat import FlatSpace
from automl.spaces.mlp import MLPSpace
from tests.contracts.small_spaces import ChainSpace, ListedSpace

SPACE = MLPSpace(max_layers=3)


@pytest.mark.parametrize(
    "make", [NASBOTProposer, NAOProposer, CombinedProposer, EvolutionProposer, LocalSearchProposer]
)
def test_searches_begin_with_the_simple_networks_of_the_space(make: Callable[[Space], Proposer]) -> None:
    proposals = make(SPACE).propose(Observations(), 5, np.random.default_rng(0))
    assert [proposal.candidate for proposal in proposals[:4]] == list(SPACE.initial)
    assert [proposal.notes["origin"] for proposal in proposals] == [*["initial"] * 4, "random"]


def test_models_wait_for_the_simple_networks_and_one_more_or_for_ten_where_there_are_none() -> None:
    assert (startup(SPACE, None), startup(ListedSpace(), None), startup(SPACE, 7)) == (5, 10, 7)


def test_simple_networks_that_were_asked_for_are_not_asked_for_again() -> None:
    first, second, third, fourth = SPACE.initial
    observations = Observations((first, fourth), np.zeros((2, 1)), pending=(third,))
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


def test_chance_is_asked_again_for_what_was_seen() -> None:
    space, generator = FlatSpace({"x": Int(0, 1000)}), np.random.default_rng(0)
    first, second, third = (space.sample(generator) for _ in range(3))
    seen = {first.digest, second.digest}
    assert unseen_sample(space, seen, np.random.default_rng(0)) == third


def test_the_last_candidate_of_a_list_is_found_and_where_there_is_none_a_seen_one_is_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "_TRIES", 0)
    space = ListedSpace()
    seen = {candidate.digest for candidate in space.candidates[:-1]}
    for seed in range(5):
        assert unseen_sample(space, seen, np.random.default_rng(seed)) == space.candidates[-1]
    everything = {candidate.digest for candidate in space.candidates}
    assert unseen_sample(space, everything, np.random.default_rng(0)) in space.candidates


def number(x: int) -> Candidate:
    return Candidate(None, {"x": x})


@dataclass
class Steps:
    """As much of a space as edits need: each adds one, up to `most`."""

    most: int = 99
    n_edits: int = 0

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        self.n_edits += 1
        x = int(candidate.hyperparameters["x"])
        return number(x + 1) if x < self.most else candidate


def mutant(space: Steps, seen: set[str], **settings: int) -> Candidate | None:
    return unseen_mutant(cast(Space, space), number(0), seen, np.random.default_rng(0), **settings)


def test_a_mutant_is_one_edit_away_or_as_few_more_as_chance_needs() -> None:
    seen = [number(x).digest for x in range(6)]
    assert mutant(Steps(), set()) == number(1)
    assert mutant(Steps(), set(seen[:4])) == number(4)
    assert mutant(Steps(), set(seen)) is None
    assert mutant(Steps(), set(seen[:3]), max_edits=2) is None


@pytest.mark.parametrize(("tries", "each"), [(10, 2), (13, 2), (3, 1)])
def test_the_draws_are_divided_evenly_among_the_numbers_of_edits(tries: int, each: int) -> None:
    space = Steps()
    mutant(space, {number(x).digest for x in range(6)}, tries=tries)
    assert space.n_edits == each * (1 + 2 + 3 + 4 + 5)


def test_a_parent_that_has_no_mutant_is_edited_once() -> None:
    space = Steps(most=0)
    assert mutant(space, {number(0).digest}) is None
    assert space.n_edits == 1


def test_where_chance_finds_nothing_and_nothing_is_listed_a_mutant_is_sought(monkeypatch: pytest.MonkeyPatch) -> None:
    space = FlatSpace({"x": Int(0, 1000)})
    first = space.sample(np.random.default_rng(0))
    monkeypatch.setattr(FlatSpace, "sample", lambda space, generator: first)
    assert unseen_sample(space, {first.digest}, np.random.default_rng(0)) != first
    everything = {number(x).digest for x in range(1001)}
    assert unseen_sample(space, everything, np.random.default_rng(0)) == first


def test_what_is_found_is_proposed_once_enough_is_known_or_pending_and_else_something_random() -> None:
    space = ChainSpace()
    first, second, pending, failed, found = (space.sample(np.random.default_rng(seed)) for seed in range(5))
    observations = Observations((first, second), np.zeros((2, 1)), pending=(pending,), failed=(failed,))
    asked: list[set[str]] = []

    def find(seen: set[str]) -> Proposal | None:
        asked.append(set(seen))
        return Proposal(found, {"origin": "found"}) if len(asked) == 2 else None

    proposals = found_or_random(space, observations, 4, np.random.default_rng(9), find, n_random=4)
    digests = [proposal.candidate.digest for proposal in proposals]
    assert [proposal.notes["origin"] for proposal in proposals] == ["random", "random", "found", "random"]
    assert asked == [observations.digests | set(digests[:n]) for n in (1, 2, 3)]
    assert len(set(digests) | observations.digests) == 8


def test_requests_for_none_and_observations_of_another_number_of_objectives_are_refused() -> None:
    generator = np.random.default_rng(0)
    one, two = (Observations((number(0),), np.zeros((1, m))) for m in (1, 2))
    check_request(one, 1, generator)
    check_request(two, 1, generator, objectives=None)
    with pytest.raises(ValueError, match="got 7 as generator, expected such as"):
        check_request(one, 1, 7)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match="got a request for 0 proposals"):
        check_request(one, 0, generator)
    with pytest.raises(ValueError, match=r"got a request for 1\.5 proposals"):
        check_request(one, 1.5, generator)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match=r"got None, expected Observations\(\.\.\.\)"):
        check_request(None, 1, generator)  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ValueError, match="got observations of 2 objectives, this proposer takes 1"):
        check_request(two, 1, generator)
    with pytest.raises(ValueError, match="got observations of 1 objectives, this proposer takes 2"):
        check_request(one, 1, generator, objectives=2)
    with pytest.raises(ValueError, match="got a request for 0 proposals"):
        found_or_random(ChainSpace(), one, 0, np.random.default_rng(0), lambda seen: None, n_random=0)


def test_parents_are_drawn_half_as_often_as_those_five_ranks_before_them() -> None:
    children = count(1)

    class Families:
        def mutate(self, parent: Candidate, generator: np.random.Generator) -> Candidate:
            return Candidate(None, {"parent": parent.hyperparameters["x"], "child": next(children)})

    space, seen, generator = cast(Space, Families()), set[str](), np.random.default_rng(0)
    mutants = mutants_by_rank(space, [number(x) for x in range(6)], 20_000, seen, generator)
    drawn = Counter(child.hyperparameters["parent"] for child in mutants)
    for rank in range(1, 6):
        assert drawn[rank] / drawn[0] == pytest.approx(0.5 ** (rank / 5), abs=0.04)
    assert {child.digest for child in mutants} == seen
    assert len(mutants) == len(seen) == 20_000
    assert not mutants_by_rank(space, [], 10, seen, generator)


def test_a_parent_around_which_nothing_is_unseen_gives_no_mutant() -> None:
    seen = {number(x).digest for x in range(8)}
    found = mutants_by_rank(cast(Space, Steps()), [number(0), number(3)], 50, seen, np.random.default_rng(0))
    assert found == [number(8)]  # five edits from 3; none is as few as that from 0


def test_a_parent_without_unseen_mutants_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = ListedSpace()
    asked: list[Candidate] = []

    def none(space: Space, parent: Candidate, *args: object, **options: object) -> None:
        asked.append(parent)

    monkeypatch.setattr(pool, "unseen_mutant", none)
    parents = list(space.candidates)[:3]
    assert mutants_by_rank(space, parents, 200, set(), np.random.default_rng(0)) == []
    assert sorted(parent.digest for parent in asked) == sorted(parent.digest for parent in parents)
