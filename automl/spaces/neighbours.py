"""Neighbours of a candidate: one edit of its architecture, one step of a hyperparameter, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np

from automl.mutations import draw, mutate, pick
from automl.observations import Candidate
from automl.parameters import Categorical, Int, Parameter, Value
from automl.spaces.base import Space
from kernels.architecture import Architecture

_STEP: Final = 0.15  # standard deviation of a parameter's step, of its whole range
_ATTEMPTS: Final = 20  # draws of a decision before a network counts as having no other decision to make

Edit = Callable[[Candidate], Candidate]


def mutate_candidate(
    space: Space, candidate: Candidate, generator: np.random.Generator, is_valid: Callable[[Architecture], bool]
) -> Candidate:
    """A candidate one edit away from `candidate`.

    The edit is one of NASBOT's modifiers, another answer to one decision on the architecture (these connect the space
    and take longer strides than an eighth of the units), a step of one hyperparameter, or a modifier and a step.

    Args:
        space: The space of the candidate.
        candidate: The parent, with an architecture.
        generator: Source of randomness.
        is_valid: Whether an edited architecture lies in the space.

    Returns:
        The mutant, its architecture in canonical order; `candidate` itself where no edit is possible.
    """

    def modified(parent: Candidate) -> Candidate:
        return _modified(parent, generator, is_valid)

    def redecided(parent: Candidate) -> Candidate:
        return _redecided(space, parent, generator)

    def stepped(parent: Candidate) -> Candidate:
        return replace(parent, hyperparameters=perturbed(parent.hyperparameters, space.hyperparameters, generator))

    ways: list[tuple[float, tuple[Edit, ...]]] = [
        (0.5, (modified,)),
        (0.15, (redecided,)),
        (0.25, (stepped,)),
        (0.1, (modified, stepped)),
    ]
    drawn = ways[draw([weight for weight, _ in ways], generator)][1]
    for edits in (drawn, (modified,), (redecided,), (stepped,)):
        mutant = candidate
        for edit in edits:
            mutant = edit(mutant)
        if mutant != candidate:
            return mutant
    return candidate


def _modified(
    candidate: Candidate, generator: np.random.Generator, is_valid: Callable[[Architecture], bool]
) -> Candidate:
    if candidate.architecture is None:
        raise ValueError("got a candidate without an architecture, expected one with; was it made in another space?")
    edited = mutate(candidate.architecture, generator, is_valid, n_steps=1)
    return candidate if edited is candidate.architecture else replace(candidate, architecture=edited.canonical())


def _redecided(space: Space, candidate: Candidate, generator: np.random.Generator) -> Candidate:
    """The candidate with one of its architecture's decisions made anew; those that this opens are drawn at random."""
    assignment = space.encode(candidate)
    ranges = {name: space.parameters[name] for name in assignment if name not in space.hyperparameters}
    for _ in range(_ATTEMPTS):
        known = {**assignment, **perturbed({name: assignment[name] for name in ranges}, ranges, generator)}
        mutant = _built(space, known, generator)
        if mutant != candidate:
            return mutant
    return candidate


def _built(space: Space, known: Mapping[str, Value], generator: np.random.Generator) -> Candidate:
    return space.build(lambda name, parameter: known[name] if name in known else parameter.sample(generator))


def perturbed(
    values: Mapping[str, Value], ranges: Mapping[str, Parameter], generator: np.random.Generator
) -> Mapping[str, Value]:
    """The values with one of them changed: a short step on its scale, another choice for a categorical parameter.

    Returns:
        The changed values; `values` itself where every range holds one value alone.
    """
    movable = [name for name, parameter in ranges.items() if _has_alternatives(parameter)]
    if not movable:
        return values
    name = pick(movable, generator)
    return {**values, name: _stepped(values[name], ranges[name], generator)}


def _has_alternatives(parameter: Parameter) -> bool:
    return len(parameter.choices) > 1 if isinstance(parameter, Categorical) else parameter.low < parameter.high


def _stepped(value: Value, parameter: Parameter, generator: np.random.Generator) -> Value:
    """Another value of the parameter, near `value` where it has an order; a step beyond a bound is reflected."""
    if isinstance(parameter, Categorical):
        return pick([choice for choice in parameter.choices if choice != value], generator)
    unit = parameter.to_unit(value) + _STEP * generator.standard_normal()
    unit = abs(unit) if unit < 1 else 2 - unit
    stepped = parameter.from_unit(unit)
    if stepped != value:
        return stepped
    if isinstance(parameter, Int):
        goes_up = value == parameter.low or (value < parameter.high and generator.random() < 0.5)
        return int(value) + (1 if goes_up else -1)
    return parameter.sample(generator)
