"""What every search space must hold (`automl.spaces.base.Space`): one class of laws, inherited by the tests of each."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from automl.layer_orders import in_random_order
from automl.observations import Candidate
from automl.parameters import Categorical, Int, Parameter, Value
from automl.spaces.base import Choose, Space
from automl.spaces.registry import space_from_dict
from automl.validity import check

SEEDS = st.integers(0, 2**32 - 1)

# Each space's class inherits the same test functions, which hypothesis otherwise takes for a mistake.
law = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.differing_executors])


def values_of(parameter: Parameter) -> st.SearchStrategy[Value]:
    """Any value within the range of a parameter."""
    if isinstance(parameter, Categorical):
        return st.sampled_from(parameter.choices)
    if isinstance(parameter, Int):
        return st.integers(parameter.low, parameter.high)
    return st.floats(parameter.low, parameter.high)


class Recorder:
    """A chooser that writes down what it was asked."""

    def __init__(self, choose: Choose) -> None:
        self.choose = choose
        self.asked: dict[str, Parameter] = {}
        self.answers: dict[str, Value] = {}

    def __call__(self, name: str, parameter: Parameter) -> Value:
        assert name not in self.asked, f"the walk asks for {name} twice"
        self.asked[name] = parameter
        self.answers[name] = self.choose(name, parameter)
        return self.answers[name]


class SpaceContract:
    """Laws of a space; a subclass says in `make_space` which."""

    def make_space(self) -> Space:
        raise NotImplementedError

    @law
    @given(data=st.data())
    def test_every_assignment_within_the_ranges_is_a_valid_candidate(self, data: st.DataObject) -> None:
        space = self.make_space()
        walk = Recorder(lambda name, parameter: data.draw(values_of(parameter), label=name))
        candidate = space.build(walk)
        assert {name: space.parameters[name] for name in walk.asked} == walk.asked
        assert space.decode(walk.answers) == candidate
        assert space.decode(space.encode(candidate)) == candidate
        if candidate.architecture is not None:
            check(candidate.architecture)
            assert candidate.architecture == candidate.architecture.canonical()

    def test_simple_networks_to_begin_with_are_candidates_of_the_space(self) -> None:
        space = self.make_space()
        assert len(set(space.initial)) == len(space.initial)
        for candidate in space.initial:
            assert space.decode(space.encode(candidate)) == candidate

    @law
    @given(data=st.data())
    def test_the_candidate_nearest_to_an_assignment_within_the_ranges_is_its_own(self, data: st.DataObject) -> None:
        space = self.make_space()
        walk = Recorder(lambda name, parameter: data.draw(values_of(parameter), label=name))
        candidate = space.build(walk)
        assert space.nearest(walk.answers) == candidate

    @law
    @given(seed=SEEDS)
    def test_decoding_inverts_encoding_along_chains_of_mutations(self, seed: int) -> None:
        space, generator = self.make_space(), np.random.default_rng(seed)
        candidate = space.sample(generator)
        for _ in range(6):
            assert space.decode(space.encode(candidate)) == candidate
            candidate = space.mutate(candidate, generator)

    @law
    @given(seed=SEEDS)
    def test_a_mutant_differs_from_its_parent_and_is_a_valid_network(self, seed: int) -> None:
        space, generator = self.make_space(), np.random.default_rng(seed)
        candidate = space.sample(generator)
        for _ in range(6):
            mutant = space.mutate(candidate, generator)
            assert mutant.digest != candidate.digest
            if mutant.architecture is not None:
                check(mutant.architecture)
            candidate = mutant

    @law
    @given(seed=SEEDS)
    def test_every_order_of_a_networks_layers_encodes_the_same_candidate(self, seed: int) -> None:
        space, generator = self.make_space(), np.random.default_rng(seed)
        candidate = space.mutate(space.sample(generator), generator)
        if candidate.architecture is None:
            return
        any_order = generator.permutation(len(candidate.architecture)).tolist()
        topological = in_random_order(candidate.architecture, generator)
        for other in (topological, candidate.architecture.permuted(any_order)):
            assert space.decode(space.encode(Candidate(other, candidate.hyperparameters))) == candidate

    @law
    @given(seed=SEEDS)
    def test_an_encoding_names_what_the_walk_asks_in_that_order_and_survives_json(self, seed: int) -> None:
        space, generator = self.make_space(), np.random.default_rng(seed)
        candidate = space.mutate(space.sample(generator), generator)
        assignment = space.encode(candidate)
        walk = Recorder(lambda name, _: assignment[name])
        space.build(walk)
        assert list(walk.asked) == list(assignment)
        order = list(space.parameters)
        assert sorted(assignment, key=order.index) == list(assignment)
        assert all(type(value) in (bool, int, float, str) for value in assignment.values())
        assert space.decode(json.loads(json.dumps(assignment))) == candidate

    @law
    @given(seed=SEEDS)
    def test_sampling_and_mutating_repeat_with_the_generators_seed(self, seed: int) -> None:
        def drawn() -> Candidate:
            generator = np.random.default_rng(seed)
            return self.make_space().mutate(self.make_space().sample(generator), generator)

        assert drawn() == drawn()

    def test_a_space_is_read_back_from_its_dict_and_from_pickle(self) -> None:
        space = self.make_space()
        again = space_from_dict(json.loads(json.dumps(space.to_dict())))
        assert again == space
        assert dict(again.parameters) == dict(space.parameters)
        assert list(again.parameters) == list(space.parameters)
        assert pickle.loads(pickle.dumps(space)) == space
        assert hash(space) == hash(again)

    def test_candidates_carry_the_hyperparameters_of_the_space(self) -> None:
        space = self.make_space()
        candidate = space.sample(np.random.default_rng(0))
        assert list(candidate.hyperparameters) == list(space.hyperparameters)
        for name, parameter in space.hyperparameters.items():
            assert space.parameters[name] == parameter
            assert parameter.contains(candidate.hyperparameters[name])

    def test_decoding_an_assignment_without_a_value_names_what_is_missing(self) -> None:
        with pytest.raises(ValueError, match=f"no value for '{next(iter(self.make_space().parameters))}'"):
            self.make_space().decode({})

    def test_decoding_a_value_out_of_range_names_it(self) -> None:
        space = self.make_space()
        assignment: dict[str, Any] = dict(space.encode(space.sample(np.random.default_rng(0))))
        first = next(iter(assignment))
        with pytest.raises(ValueError, match=f"{first} = 'nothing of the kind'"):
            space.decode(assignment | {first: "nothing of the kind"})

    def test_encoding_a_candidate_with_foreign_hyperparameters_is_refused(self) -> None:
        space = self.make_space()
        candidate = space.sample(np.random.default_rng(0))
        foreign = Candidate(candidate.architecture, {**candidate.hyperparameters, "momentum_of_another_space": 0.9})
        with pytest.raises(ValueError, match="momentum_of_another_space"):
            space.encode(foreign)
