"""FlatSpace: hyperparameters alone, each with its range and none depending on another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from automl.observations import Candidate
from automl.parameters import Categorical, Parameter, Value
from automl.spaces.base import Choose, Space
from automl.spaces.hyperparameters import Hyperparameters, choose_hyperparameters, encode_hyperparameters

# Standard deviations of a mutated number, as shares of its range: far enough to get away, near enough to settle.
_SHORTEST_STEP, _LONGEST_STEP = 0.003, 0.3
_STEPS_TRIED = 12


@dataclass(frozen=True)
class FlatSpace(Space):
    """Independent hyperparameters, the search space of a plain Optuna study.

    Args:
        ranges: The hyperparameters by name, at least one.

    Raises:
        ValueError: If there is none.

    Example:
        >>> from automl.parameters import Float
        >>> space = FlatSpace({"x": Float(0.0, 1.0)})
        >>> space.decode({"x": 0.25}).hyperparameters["x"]
        0.25
    """

    ranges: Mapping[str, Parameter]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ranges", Hyperparameters(self.ranges))
        if not self.ranges:
            raise ValueError("got no hyperparameters, expected at least one; give the space a range to search.")

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        """The hyperparameters by name."""
        return self.ranges

    @property
    def hyperparameters(self) -> Mapping[str, Parameter]:
        """All of them."""
        return self.ranges

    def build(self, choose: Choose) -> Candidate:
        """Asks for every hyperparameter, in order."""
        return Candidate(None, choose_hyperparameters(choose, self.ranges))

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        """The candidate's own hyperparameters; raises ValueError where they are not those of the space."""
        if candidate.architecture is not None:
            raise ValueError("got a candidate with an architecture, expected hyperparameters alone; use its own space.")
        return encode_hyperparameters(candidate, self.ranges)

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """The candidate with one hyperparameter changed: a number by a step of any size, a choice at random.

        The logarithm of a step's standard deviation is uniform, so that a search that edits good candidates comes
        closer and closer to the best one; its root mean square is a tenth of the range.
        """
        values = dict(candidate.hyperparameters)
        for name in generator.permutation(list(self.ranges)).tolist():
            changed = _other(self.ranges[name], values[name], generator)
            if changed != values[name]:
                return Candidate(None, values | {name: changed})
        return candidate

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields, read back by `from_dict`."""
        return {"type": "flat", "ranges": Hyperparameters(self.ranges).to_dict()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> FlatSpace:
        """The inverse of `to_dict`; raises ValueError where a range is none."""
        return cls(Hyperparameters.from_dict(fields["ranges"]))


def _other(parameter: Parameter, value: Value, generator: np.random.Generator) -> Value:
    """Another value near `value`; `value` itself where there is none, or chance finds none."""
    if isinstance(parameter, Categorical):
        rest = [choice for choice in parameter.choices if choice != value]
        return rest[int(generator.integers(len(rest)))] if rest else value
    step = _SHORTEST_STEP * (_LONGEST_STEP / _SHORTEST_STEP) ** generator.random()
    for attempt in range(_STEPS_TRIED):  # Twice as far each time: whole numbers lie further apart than short steps go.
        changed = parameter.from_unit(parameter.to_unit(value) + 2**attempt * step * float(generator.standard_normal()))
        if changed != value:
            return changed
    return value
