"""Hyperparameters of training, searched jointly with the architecture, and how the walk of a space asks for them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter, Value, coerced, parameter_from_dict
from automl.spaces.base import Choose

OPTIMISERS = ("adamw", "sgd", "rmsprop")
"""What the trainer can train with: AdamW, stochastic gradient descent with momentum, RMSprop."""


class Hyperparameters(Mapping[str, Parameter]):
    """Ranges of hyperparameters by name: an immutable mapping, so that spaces can be values.

    Those of another order are others: random draws and models of a space follow the order of its walk.

    Raises:
        ValueError: If something is no range, or a name is no text.
    """

    def __init__(self, ranges: Mapping[str, Parameter]) -> None:
        if not isinstance(ranges, Mapping):
            raise ValueError(
                f"got the ranges {ranges!r}, expected them by name such as {{'x': Float(0, 1)}}; name them."
            )
        for name, parameter in ranges.items():
            if not isinstance(name, str):
                raise ValueError(f"got the name {name!r} of a hyperparameter, expected a text; write it as one.")
            if not isinstance(parameter, Float | Int | Categorical):
                raise ValueError(
                    f"got the hyperparameter {name} = {parameter!r}, expected a range such as Float(0.001, 0.1, "
                    "log=True); pass one, or a Categorical of one choice for a fixed value."
                )
        self._ranges = dict(ranges)

    def __getitem__(self, name: str) -> Parameter:
        return self._ranges[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ranges)

    def __len__(self) -> int:
        return len(self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mapping) and list(self.items()) == list(other.items())

    def __hash__(self) -> int:
        return hash(tuple(self._ranges.items()))

    def __repr__(self) -> str:
        return repr(self._ranges)

    def to_dict(self) -> dict[str, Any]:
        """The ranges as JSON-ready fields by name, in order."""
        return {name: parameter.to_dict() for name, parameter in self._ranges.items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Hyperparameters:
        """The inverse of `to_dict`; raises ValueError where a parameter is not one."""
        return cls({name: parameter_from_dict(parameter) for name, parameter in fields.items()})


def default_hyperparameters() -> dict[str, Parameter]:
    """The hyperparameters that the trainer understands, by name, each with the range that is searched by default."""
    return {
        "learning_rate": Float(1e-4, 1e-1, log=True),
        "weight_decay": Float(1e-6, 1e-1, log=True),
        "batch_size": Int(16, 256, log=True),
        "dropout": Float(0.0, 0.5),
        "optimizer": Categorical(OPTIMISERS),
    }


COMMON_PRACTICE: Final[Mapping[str, Value]] = {
    "learning_rate": 3e-3,
    "weight_decay": 1e-4,
    "batch_size": 32,
    "dropout": 0.0,
    "optimizer": "adamw",
}
"""Values of `default_hyperparameters` with which small networks usually learn, for the first candidates of a search."""

DEFAULT_HYPERPARAMETERS: Final = Hyperparameters(default_hyperparameters())
"""`default_hyperparameters` as the immutable default of a space's field."""


def choose_hyperparameters(choose: Choose, hyperparameters: Mapping[str, Parameter]) -> dict[str, Value]:
    """Asks `choose` for each of `hyperparameters`, in order; the answers are plain Python values."""
    return {name: coerced(parameter, choose(name, parameter)) for name, parameter in hyperparameters.items()}


def encode_hyperparameters(candidate: Candidate, hyperparameters: Mapping[str, Parameter]) -> dict[str, Value]:
    """The candidate's hyperparameters in the order of the walk: the inverse of `choose_hyperparameters`.

    Raises:
        ValueError: If the candidate has other hyperparameters, or one out of its range.
    """
    values = candidate.hyperparameters
    if values.keys() != hyperparameters.keys():
        raise ValueError(
            f"got the hyperparameters {sorted(values)}, expected {sorted(hyperparameters)}; "
            "was the candidate made in another space?"
        )
    for name, parameter in hyperparameters.items():
        if not parameter.contains(values[name]):
            raise ValueError(
                f"got {name} = {values[name]!r}, expected a value in {parameter}; was it made in another space?"
            )
    return {name: values[name] for name in hyperparameters}


def constructor_arguments(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a space's class among the fields that the space's `to_dict` wrote.

    Raises:
        ValueError: If a hyperparameter is not one.
        KeyError: If there are no hyperparameters.
    """
    arguments = {name: value for name, value in fields.items() if name != "type"}
    return arguments | {"hyperparameters": Hyperparameters.from_dict(fields["hyperparameters"])}


def check_names(hyperparameters: Mapping[str, Parameter], taken: Collection[str]) -> None:
    """Refuses hyperparameters that bear the name of a decision on the architecture.

    Raises:
        ValueError: If a name is taken.
    """
    clashing = sorted(set(hyperparameters) & set(taken))
    if clashing:
        raise ValueError(
            f"got the hyperparameters {clashing}, whose names the architecture's own parameters bear; rename them."
        )
