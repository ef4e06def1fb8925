"""Neighbours of a candidate: steps of hyperparameters, and which edits a mutation makes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.observations import Candidate, Observations
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.proposers.evolution import EvolutionProposer
from automl.spaces.mlp import MLPSpace
from automl.spaces.neighbours import perturbed

RANGES: dict[str, Parameter] = {
    "rate": Float(1e-4, 1e-1, log=True),
    "dropout": Float(0.0, 0.5),
    "batch": Int(16, 256, log=True),
    "bit": Int(0, 1),
    "optimizer": Categorical(("adamw", "sgd", "rmsprop")),
    "fixed": Int(3, 3),
}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_perturbation_changes_one_value_within_its_range(seed: int) -> None:
    generator = np.random.default_rng(seed)
    values = {name: parameter.sample(generator) for name, parameter in RANGES.items()}
    changed = perturbed(values, RANGES, generator)
    assert list(changed) == list(values)
    (name,) = [name for name in values if changed[name] != values[name]]
    assert RANGES[name].contains(changed[name])
    assert type(changed[name]) is type(values[name])


def test_steps_are_short_on_the_scale_of_the_parameter_also_at_its_bounds() -> None:
    generator, ranges = np.random.default_rng(0), {"rate": RANGES["rate"]}
    for start in (1e-4, 3e-3, 1e-1):
        units = [ranges["rate"].to_unit(perturbed({"rate": start}, ranges, generator)["rate"]) for _ in range(300)]
        steps = np.abs(np.array(units) - ranges["rate"].to_unit(start))
        assert np.sqrt(np.mean(steps**2)) == pytest.approx(0.15, abs=0.02)


def test_an_integer_that_a_short_step_leaves_alone_goes_up_as_often_as_down() -> None:
    generator, ranges = np.random.default_rng(0), {"n": Int(1, 3)}
    ups = sum(perturbed({"n": 2}, ranges, generator)["n"] == 3 for _ in range(400))
    assert ups / 400 == pytest.approx(0.5, abs=0.1)


def test_a_choice_is_replaced_by_every_other_one() -> None:
    generator, ranges = np.random.default_rng(0), {"optimizer": RANGES["optimizer"]}
    drawn = {perturbed({"optimizer": "sgd"}, ranges, generator)["optimizer"] for _ in range(40)}
    assert drawn == {"adamw", "rmsprop"}


def test_where_every_range_holds_one_value_nothing_changes() -> None:
    values: dict[str, Value] = {"fixed": 3}
    assert perturbed(values, {"fixed": RANGES["fixed"]}, np.random.default_rng(0)) is values


def test_mutations_edit_the_architecture_the_hyperparameters_or_both() -> None:
    space, generator = MLPSpace(), np.random.default_rng(0)
    parent = space.sample(generator)
    edits: Counter[tuple[bool, bool]] = Counter()
    for _ in range(600):
        mutant = space.mutate(parent, generator)
        edits[mutant.architecture != parent.architecture, mutant.hyperparameters != parent.hyperparameters] += 1
    assert edits[True, False] / 600 == pytest.approx(0.65, abs=0.07)
    assert edits[False, True] / 600 == pytest.approx(0.25, abs=0.07)
    assert edits[True, True] / 600 == pytest.approx(0.1, abs=0.05)


def test_without_hyperparameters_every_mutation_edits_the_architecture() -> None:
    space, generator = MLPSpace(hyperparameters={}), np.random.default_rng(0)
    parent = space.sample(generator)
    assert all(space.mutate(parent, generator).architecture != parent.architecture for _ in range(50))


def test_where_no_edit_is_possible_the_candidate_itself_comes_back() -> None:
    space = MLPSpace(min_layers=1, max_layers=1, units=(8, 8), activations=("relu",), hyperparameters={})
    candidate = space.sample(np.random.default_rng(0))
    assert space.mutate(candidate, np.random.default_rng(1)) is candidate


def test_mutations_connect_spaces_whose_labels_no_modifier_exchanges() -> None:
    space, generator = MLPSpace(max_layers=2, activations=("relu", "elu"), hyperparameters={}), np.random.default_rng(0)
    candidate = space.sample(generator)
    seen: set[tuple[str, ...]] = set()
    for _ in range(200):
        candidate = space.mutate(candidate, generator)
        assert candidate.architecture is not None
        seen.add(tuple(sorted(candidate.architecture.labels[1:-2])))
    assert seen == {(), ("relu",), ("elu",), ("elu", "relu"), ("elu", "elu"), ("relu", "relu")}


def test_a_candidate_of_a_space_without_networks_is_no_parent_of_one() -> None:
    flat = Observations(tuple(Candidate(None, {"x": x / 20}) for x in range(20)), np.arange(20.0))
    proposer = EvolutionProposer(MLPSpace(), population=10, sample=5)
    with pytest.raises(ValueError, match="without an architecture, expected one with; was it made in another space"):
        proposer.propose(flat, 1, np.random.default_rng(0))
