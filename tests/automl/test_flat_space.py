"""FlatSpace holds the laws of every space."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
from scipy.special import ndtr

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter
from automl.spaces.flat import FlatSpace
from automl.spaces.registry import space_from_dict

SPACE = FlatSpace({"rate": Float(1e-4, 1.0, log=True), "depth": Int(1, 3), "kind": Categorical(("a", "b"))})


@pytest.mark.parametrize("seed", range(20))
def test_samples_and_mutants_survive_encoding(seed: int) -> None:
    generator = np.random.default_rng(seed)
    sampled = SPACE.sample(generator)
    mutant = SPACE.mutate(sampled, generator)
    assert SPACE.decode(SPACE.encode(sampled)) == sampled
    assert SPACE.decode(SPACE.encode(mutant)) == mutant
    assert sum(sampled.hyperparameters[name] != mutant.hyperparameters[name] for name in SPACE.parameters) == 1


def test_a_mutation_moves_a_number_by_a_step_of_any_size_on_its_scale() -> None:
    space, generator = FlatSpace({"rate": Float(1e-4, 1.0, log=True)}), np.random.default_rng(0)
    middle = Candidate(None, {"rate": 1e-2})
    moved = [space.mutate(middle, generator).hyperparameters["rate"] for _ in range(3000)]
    steps = np.array([space.ranges["rate"].to_unit(rate) - 0.5 for rate in moved])
    # Standard deviations are log-uniform from .003 to .3 of the range.
    deviations = np.geomspace(0.003, 0.3, 1001)
    assert np.sqrt(np.mean(steps**2)) == pytest.approx(np.sqrt(np.mean(deviations**2)), rel=0.1)
    assert np.mean(np.abs(steps) < 0.01) == pytest.approx(np.mean(2 * ndtr(0.01 / deviations) - 1), abs=0.03)


def test_a_mutation_finds_another_integer_however_few_there_are() -> None:
    space, generator = FlatSpace({"depth": Int(1, 3)}), np.random.default_rng(0)
    middle = Candidate(None, {"depth": 2})
    assert {space.mutate(middle, generator).hyperparameters["depth"] for _ in range(50)} == {1, 3}


def test_its_dict_makes_it_again() -> None:
    again = space_from_dict(SPACE.to_dict())
    assert again == SPACE
    assert hash(again) == hash(SPACE)


def test_a_space_of_one_candidate_has_no_mutant() -> None:
    space = FlatSpace({"x": Float(1.0, 1.0), "c": Categorical(("only",))})
    only = space.sample(np.random.default_rng(0))
    assert space.mutate(only, np.random.default_rng(0)) == only


def test_other_hyperparameters_are_refused() -> None:
    with pytest.raises(ValueError, match="made in another space"):
        SPACE.encode(Candidate(None, {"rate": 0.1}))


def test_no_hyperparameters_are_refused() -> None:
    with pytest.raises(ValueError, match="got no hyperparameters"):
        FlatSpace({})
    with pytest.raises(ValueError, match="got the ranges 3, expected them by name"):
        FlatSpace(cast(Any, 3))
    with pytest.raises(ValueError, match="got the name 1 of a hyperparameter, expected a text"):
        FlatSpace(cast(Any, {1: Float(0, 1)}))


def test_spaces_that_differ_in_the_order_of_their_ranges_are_different_values() -> None:
    ranges: dict[str, Parameter] = {"x": Float(0.0, 1.0), "k": Int(0, 9)}
    space, other = FlatSpace(ranges), FlatSpace({name: ranges[name] for name in reversed(ranges)})
    # As their draws are: what is remembered of one must not answer for the other.
    assert space.sample(np.random.default_rng(0)) != other.sample(np.random.default_rng(0))
    assert space != other
    assert len({space, other, FlatSpace(ranges)}) == 2


def test_bounds_given_as_whole_numbers_make_no_candidate_look_new() -> None:
    space = FlatSpace({"momentum": Float(0, 1)})
    assert space.parameters["momentum"].from_unit(1.0) == 1.0
    edge = Candidate(None, {"momentum": space.parameters["momentum"].from_unit(1.0)})
    assert edge.digest == space.decode(space.encode(edge)).digest
