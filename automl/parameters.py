"""One parameter of a search space: a range of floats, a range of integers, or a set of choices.

The names and meanings are those of Optuna's distributions, which `studies.distributions` maps one to one; this module
knows no Optuna.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np

Value = bool | int | float | str
"""What a parameter can be set to."""


_LARGEST_INTEGER = 2**53  # beyond, not every integer is a float: positions in a range could not tell them apart


@dataclass(frozen=True)
class Float:
    """A real number from `low` to `high`, both included; searched on a logarithmic scale with `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        if not math.isfinite(float(self.high) - float(self.low)):
            raise ValueError(
                f"got the range {self.low} to {self.high}, whose width is beyond the largest number; narrow it, or "
                "search the logarithm."
            )
        for bound in ("low", "high"):
            object.__setattr__(self, bound, float(getattr(self, bound)))

    def sample(self, generator: np.random.Generator) -> float:
        """A draw, uniform on the parameter's scale."""
        return self.from_unit(float(generator.random()))

    def contains(self, value: Value) -> bool:
        """Whether `value` is a finite number within the range."""
        return _is_number(value) and self.low <= float(value) <= self.high

    def to_unit(self, value: Value) -> float:
        """Position of `value` in the range, from 0 to 1 on the parameter's scale."""
        return _to_unit(float(value), self.low, self.high, self.log)

    def from_unit(self, unit: float) -> float:
        """The value at position `unit`, clipped to the range: the inverse of `to_unit`."""
        return min(max(_from_unit(unit, self.low, self.high, self.log), self.low), self.high)

    def to_dict(self) -> dict[str, Any]:
        """The parameter as JSON-ready fields, read back by `parameter_from_dict`."""
        return {"type": "float", "low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Int:
    """An integer from `low` to `high`, both included; searched on a logarithmic scale with `log`."""

    low: int
    high: int
    log: bool = False

    def __post_init__(self) -> None:
        _check_range(self.low, self.high, self.log)
        for bound in ("low", "high"):
            if not float(getattr(self, bound)).is_integer():
                raise ValueError(f"got the range {self.low} to {self.high}, expected whole bounds; round them.")
            if abs(getattr(self, bound)) > _LARGEST_INTEGER:
                raise ValueError(
                    f"got the range {self.low} to {self.high}, expected bounds of at most {_LARGEST_INTEGER:,}; narrow "
                    "it, or search the logarithm."
                )
            object.__setattr__(self, bound, int(getattr(self, bound)))

    def sample(self, generator: np.random.Generator) -> int:
        """A draw, uniform on the parameter's scale; on a logarithmic one each integer owns the half-unit around it."""
        if not self.log:
            return int(generator.integers(self.low, self.high + 1))
        edges = math.log(self.low - 0.5), math.log(self.high + 0.5)
        return min(max(round(math.exp(generator.uniform(*edges))), self.low), self.high)

    def contains(self, value: Value) -> bool:
        """Whether `value` is an integer within the range."""
        return _is_number(value) and float(value).is_integer() and self.low <= value <= self.high  # type: ignore[operator]  # a number by the first test

    def to_unit(self, value: Value) -> float:
        """Position of `value` in the range, from 0 to 1 on the parameter's scale."""
        return _to_unit(float(value), self.low, self.high, self.log)

    def from_unit(self, unit: float) -> int:
        """The integer nearest to position `unit`, clipped to the range."""
        return min(max(round(_from_unit(unit, self.low, self.high, self.log)), self.low), self.high)

    def to_dict(self) -> dict[str, Any]:
        """The parameter as JSON-ready fields, read back by `parameter_from_dict`."""
        return {"type": "int", "low": self.low, "high": self.high, "log": self.log}


@dataclass(frozen=True)
class Categorical:
    """One of several choices without an order; True, 1 and 1.0 are different choices, though Python holds them equal.

    Raises:
        ValueError: If the choices are no list, none, or not each once.
    """

    choices: tuple[Value, ...]
    _types: tuple[type, ...] = field(init=False, repr=False)  # compared too, so that equal ranges have equal candidates

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple([_choice(choice) for choice in _listed(self.choices)]))
        object.__setattr__(self, "_types", tuple([type(choice) for choice in self.choices]))
        if not self.choices or len(set(self.choices)) != len(self.choices):
            raise ValueError(f"got the choices {self.choices}, expected one or more, each once; drop repeated choices.")

    def sample(self, generator: np.random.Generator) -> Value:
        """A draw, uniform over the choices."""
        return self.choices[int(generator.integers(len(self.choices)))]

    def contains(self, value: Value) -> bool:
        """Whether `value` is one of the choices."""
        return value in self.choices

    def to_unit(self, value: Value) -> float:
        """Index of `value` among the choices: an identity, not a position."""
        return float(self.choices.index(value))

    def from_unit(self, unit: float) -> Value:
        """The choice with that index: the inverse of `to_unit`."""
        return self.choices[min(max(round(unit), 0), len(self.choices) - 1)]

    def to_dict(self) -> dict[str, Any]:
        """The parameter as JSON-ready fields, read back by `parameter_from_dict`."""
        return {"type": "categorical", "choices": list(self.choices)}


Parameter = Float | Int | Categorical


def parameter_from_dict(fields: Mapping[str, Any]) -> Parameter:
    """The parameter that `to_dict` wrote.

    Raises:
        ValueError: If the type is unknown.
    """
    kind = fields.get("type")
    if kind == "float":
        return Float(float(fields["low"]), float(fields["high"]), bool(fields["log"]))
    if kind == "int":
        return Int(int(fields["low"]), int(fields["high"]), bool(fields["log"]))
    if kind == "categorical":
        return Categorical(tuple(fields["choices"]))
    raise ValueError(
        f"got a parameter of type {kind!r}, expected 'float', 'int' or 'categorical'; was a newer version used?"
    )


def coerced(parameter: Parameter, value: Value) -> Value:
    """A value of the parameter as the plain int, float or choice that it equals: storages turn 3 into 3.0."""
    if isinstance(parameter, Float):
        return float(value)
    if isinstance(parameter, Int):
        return int(value)
    return parameter.choices[parameter.choices.index(value)]


def nearest(parameter: Parameter, wanted: Value | None) -> Value:
    """The value of the parameter that is nearest to `wanted`.

    Args:
        parameter: The range.
        wanted: A number, clipped to the range, or a choice. Where it is no choice, or None, the answer is the first
            choice or the middle of the range.
    """
    if isinstance(parameter, Categorical):
        return wanted if wanted is not None and parameter.contains(wanted) else parameter.choices[0]
    if wanted is None or isinstance(wanted, str):
        return parameter.from_unit(0.5)
    return coerced(parameter, min(max(wanted, parameter.low), parameter.high))


def _is_number(value: Value) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def plain(value: Any) -> Any:
    """The value, a NumPy scalar as the Python number or text that it equals: JSON knows no others."""
    return value.item() if isinstance(value, np.generic) else value


def _choice(choice: Any) -> Value:
    choice = plain(choice)
    if choice is not None and not isinstance(choice, bool | int | float | str):
        raise ValueError(
            f"got the choice {choice!r}, expected a text, a number or a truth value; "
            "name the choice and look up in the objective what it stands for."
        )
    return cast(Value, choice)


def _listed(choices: Any) -> Iterable[Any]:
    if isinstance(choices, str) or not isinstance(choices, Iterable):
        raise ValueError(f"got the choices {choices!r}, expected a list or tuple of them; put them in one.")
    return choices


def _check_range(low: float, high: float, log: bool) -> None:
    for bound in (low, high):
        if not isinstance(bound, int | float | np.integer | np.floating):
            raise ValueError(f"got the bound {bound!r}, expected a number; give the lowest and the highest value.")
    if not (_is_finite(low) and _is_finite(high) and low <= high):
        raise ValueError(
            f"got the range {low} to {high}, expected finite bounds with low <= high; exchange or mend them."
        )
    if log and low <= 0:
        raise ValueError(
            f"got the lower bound {low} on a logarithmic scale, expected a positive one; raise it or use log=False."
        )


def _is_finite(bound: float) -> bool:
    try:
        return math.isfinite(bound)
    except OverflowError:  # an integer of hundreds of digits
        return False


def _to_unit(value: float, low: float, high: float, log: bool) -> float:
    if low == high:
        return 0.5
    if log:
        value, low, high = math.log(value), math.log(low), math.log(high)
    return (value - low) / (high - low)


def _from_unit(unit: float, low: float, high: float, log: bool) -> float:
    unit = min(max(unit, 0.0), 1.0)  # before the exponential, which positions far outside would overflow
    if log:
        return math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    return low + unit * (high - low)
