"""Neighbours of a candidate: one edit of its architecture, one step of a hyperparameter, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from automl.mutations import mutate, pick
from automl.observations import Candidate
from automl.parameters import Categorical, Int, Parameter, Value
from kernels.architecture import Architecture

_ARCHITECTURE_ALONE: Final = 0.6
_BOTH: Final = 0.1  # what is left edits a hyperparameter alone
_STEP: Final = 0.15  # standard deviation of a hyperparameter's step, of its whole range


def mutate_candidate(
    candidate: Candidate,
    generator: np.random.Generator,
    is_valid: Callable[[Architecture], bool],
    hyperparameters: Mapping[str, Parameter],
) -> Candidate:
    """A candidate one edit of its architecture, one step of a hyperparameter, or both away from `candidate`.

    Args:
        candidate: The parent, with an architecture.
        generator: Source of randomness.
        is_valid: Whether an edited architecture may stand.
        hyperparameters: Ranges of the candidate's hyperparameters.

    Returns:
        The mutant, its architecture in canonical order; `candidate` itself where no edit is possible.
    """
    kind = generator.random()
    architecture, values = candidate.architecture, candidate.hyperparameters
    assert architecture is not None, "spaces of hyperparameters alone mutate those"
    if kind >= _ARCHITECTURE_ALONE:
        values = perturbed(values, hyperparameters, generator)
    if kind < _ARCHITECTURE_ALONE + _BOTH or values == candidate.hyperparameters:
        edited = mutate(architecture, generator, is_valid, n_steps=1)
        architecture = architecture if edited is architecture else edited.canonical()
    if architecture is candidate.architecture and values == candidate.hyperparameters:
        values = perturbed(values, hyperparameters, generator)
    return Candidate(architecture, values)


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
        return int(value) + (
            1 if value == parameter.low or (value < parameter.high and generator.random() < 0.5) else -1
        )
    return parameter.sample(generator)
