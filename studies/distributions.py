"""A space's parameters as Optuna distributions and back: `to_parameter(to_distribution(p)) == p` for every p."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

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


def to_parameter(distribution: BaseDistribution) -> Parameter | None:
    """The parameter with the same range or choices; a parameter has no steps, which `on_grid` puts back.

    None for choices that are no plain values, for ranges too wide for one, and for distributions of other kinds.
    """
    try:
        return _to_parameter(distribution)
    except ValueError:  # Optuna's ranges may be wider than ours
        return None


def _to_parameter(distribution: BaseDistribution) -> Parameter | None:
    match distribution:
        case FloatDistribution():
            return Float(distribution.low, distribution.high, distribution.log)
        case IntDistribution():
            return Int(distribution.low, distribution.high, distribution.log)
        case CategoricalDistribution() if None not in distribution.choices:
            return Categorical(cast(tuple[Value, ...], distribution.choices))
    return None


def on_grid(distribution: BaseDistribution, value: Any) -> Any:
    """The value moved to the nearest step of the distribution, where it has steps."""
    step = getattr(distribution, "step", None)
    if step is None or (isinstance(distribution, IntDistribution) and step == 1):
        return value
    assert isinstance(distribution, FloatDistribution | IntDistribution), "only numbers have steps"
    moved = distribution.low + round((value - distribution.low) / step) * step
    return type(value)(min(max(moved, distribution.low), distribution.high))
