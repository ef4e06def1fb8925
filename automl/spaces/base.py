"""Space: what may be searched, described once as a walk through its decisions.

`build(choose)` walks the conditional structure of the space and asks `choose(name, parameter)` for every decision it
meets. Sampling passes a random chooser, Optuna `trial.suggest_*`, decoding a look-up, so that one description serves
them all. The names and values of the decisions, in the order of the walk, are also the token sequence that
`automl.surrogates.nao` learns to encode and decode.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from automl.data.targets import Kind
from automl.observations import Candidate
from automl.parameters import Parameter, Value, coerced, nearest

DECISION_OF_TASK: Mapping[str, str] = {"classification": "softmax", "regression": "linear"}
"""Label of the decision layer by kind of task."""

Choose = Callable[[str, Parameter], Value]
"""Answers a decision: given the parameter's name and range, a value within the range."""


class Space(ABC):
    """A search space of candidates.

    What must hold (`tests/contracts/space.py`):
    - Every assignment within the ranges that `build` asks for gives a valid candidate, its architecture in canonical
      order.
    - `decode(encode(c)) == c` for every candidate that `sample` and `mutate` make.
    - Every name that `build` can ever ask is a key of `parameters`, always with that same range.
    - `initial` holds candidates of the space, each once.
    - `space_from_dict(space.to_dict())` of `automl.spaces.registry` gives an equal space.
    """

    @property
    @abstractmethod
    def parameters(self) -> Mapping[str, Parameter]:
        """Every parameter that `build` can ever ask for, by name, in the order of the walk."""

    @property
    @abstractmethod
    def hyperparameters(self) -> Mapping[str, Parameter]:
        """Those of `parameters` that end up in `Candidate.hyperparameters`, by name."""

    @abstractmethod
    def build(self, choose: Choose) -> Candidate:
        """Walks the decisions of the space, asks `choose` for each, and returns the candidate they make."""

    @abstractmethod
    def encode(self, candidate: Candidate) -> dict[str, Value]:
        """The assignment from which `decode` makes `candidate`, in the order of the walk.

        The layers of `candidate.architecture` may stand in any topological order; each order gives an equivalent
        assignment.

        Raises:
            ValueError: If the candidate lies outside the space.
        """

    @abstractmethod
    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """A valid candidate one edit away from `candidate`; `candidate` itself only where there is no other."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields, `type` among them, read back by `automl.spaces.registry.space_from_dict`."""

    @property
    def candidates(self) -> Sequence[Candidate] | None:
        """All candidates of a small finite space; None where they cannot be listed."""
        return None

    @property
    def initial(self) -> Sequence[Candidate]:
        """Simple networks, which a search begins with; none by default.

        The code of NASBOT's authors begins with a pool of plain feed-forward networks alike (Kandasamy et al. 2018).
        """
        return ()

    def for_task(self, kind: Kind, image_size: int | None = None) -> Space:
        """The same space with networks that fit a task.

        Args:
            kind: What the task's networks predict: it decides their decision layer.
            image_size: The smaller side of the task's images in pixels; None where its inputs are no images.

        Returns:
            The adapted space; this one where it does not depend on the task.
        """
        del kind, image_size
        return self

    def decode(self, assignment: Mapping[str, Value]) -> Candidate:
        """The candidate that an assignment describes; names that the walk does not ask for are ignored.

        Raises:
            ValueError: If a value that the walk asks for is missing or out of range.
        """

        def look_up(name: str, parameter: Parameter) -> Value:
            if name not in assignment:
                raise ValueError(
                    f"got no value for {name!r}, expected one in {parameter}; was it made in another space?"
                )
            value = assignment[name]
            if not parameter.contains(value):
                raise ValueError(
                    f"got {name} = {value!r}, expected a value in {parameter}; was it made in another space?"
                )
            return coerced(parameter, value)

        return self.build(look_up)

    def nearest(self, wanted: Mapping[str, Value]) -> Candidate:
        """The candidate that an assignment describes, as near as the ranges allow, see `automl.parameters.nearest`.

        Unlike in `decode`, values may lie out of range, and names that the walk asks for may be missing.
        """
        return self.build(lambda name, parameter: nearest(parameter, wanted.get(name)))

    def sample(self, generator: np.random.Generator) -> Candidate:
        """A random candidate: every decision drawn uniformly on its scale, unless the space says otherwise."""
        return self.build(lambda _, parameter: parameter.sample(generator))
