"""A space's parameters as Optuna distributions, one to one: `to_parameter(to_distribution(p)) == p` for every p."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from automl.parameters import Categorical, Float, Int, Parameter, Value


def to_distribution(parameter: Parameter) -> BaseDistribution:
    """The Optuna distribution with the same range or choices."""
    match parameter:
        case Float(low, high, log):
            return FloatDistribution(low, high, log=log)
        case Int(low, high, log):
            return IntDistribution(low, high, log=log)
        case Categorical(choices):
            return CategoricalDistribution(choices)


def to_distributions(parameters: Mapping[str, Parameter]) -> dict[str, BaseDistribution]:
    """The distributions of several parameters by name, in the same order."""
    return {name: to_distribution(parameter) for name, parameter in parameters.items()}


def to_parameter(distribution: BaseDistribution) -> Parameter:
    """The parameter with the same range or choices: the inverse of `to_distribution`.

    Raises:
        ValueError: If no parameter has that range: a step other than 1 for integers, a step for floats, a choice of
            None.
    """
    match distribution:
        case FloatDistribution() if distribution.step is None:
            return Float(distribution.low, distribution.high, distribution.log)
        case IntDistribution() if distribution.step == 1:
            return Int(distribution.low, distribution.high, distribution.log)
        case CategoricalDistribution() if None not in distribution.choices:
            return Categorical(cast(tuple[Value, ...], distribution.choices))
    raise ValueError(
        f"got {distribution}, expected floats without a step, integers with step 1, or choices without None; "
        "give the search space such a range, or name the values as choices."
    )
