"""What the spaces of layered networks share: parameters in two parts, encoding, and mutation within their limits."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np

from automl.observations import Candidate
from automl.parameters import Parameter, Value
from automl.spaces.base import Space
from automl.spaces.hyperparameters import COMMON_PRACTICE, encode_hyperparameters
from automl.spaces.neighbours import mutate_candidate
from kernels.architecture import Architecture


class LayeredSpace(Space):
    """A space of networks that are trained layer upon layer, each with hyperparameters.

    A space says which parameters describe its networks, and how a network is told in them.
    """

    _networks: ClassVar[str]
    """What the space's networks are, for refusals: "a multilayer perceptron"."""

    @property
    @abstractmethod
    def _simple(self) -> Sequence[Mapping[str, Value]]:
        """Assignments of simple networks to begin with; what they do not name is common practice."""

    @property
    @abstractmethod
    def _structure(self) -> Mapping[str, Parameter]:
        """The parameters of a network, by name, in the order of the walk."""

    @abstractmethod
    def _encode_architecture(self, architecture: Architecture) -> dict[str, Value]:
        """The values of `_structure` that make a network.

        Raises:
            ValueError: If the network lies outside the space.
        """

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """Every parameter that `build` can ask for, by name, in the order of the walk."""
        return {**self._structure, **self.hyperparameters}

    @cached_property
    def initial(self) -> tuple[Candidate, ...]:
        """A few plain networks, fewer where the limits make them alike."""
        return tuple(dict.fromkeys(self.nearest({**COMMON_PRACTICE, **wanted}) for wanted in self._simple))

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        """The assignment from which `decode` makes `candidate`; its layers may stand in any topological order.

        Raises:
            ValueError: If the candidate lies outside the space.
        """
        if candidate.architecture is None:
            raise ValueError(f"got a candidate without an architecture, expected {self._networks}; give it one.")
        structure = self._encode_architecture(candidate.architecture)
        return structure | encode_hyperparameters(candidate, self.hyperparameters)

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """A candidate one edit of its architecture, one step of a hyperparameter, or both away from `candidate`."""
        return mutate_candidate(self, candidate, generator, self._holds)

    def _holds(self, architecture: Architecture) -> bool:
        try:
            self._encode_architecture(architecture)
        except ValueError:
            return False
        return True
