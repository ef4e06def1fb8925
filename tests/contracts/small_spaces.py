"""Spaces small enough to reason about: chains of layers with two hyperparameters, a list of eight cells, no networks.

They let contracts and proposers be tested apart from the real spaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.spaces.base import Choose, Space
from automl.spaces.flat import FlatSpace
from automl.spaces.table import Column, TableSpace
from kernels.architecture import Architecture

_LABELS = Categorical(("relu", "tanh", "elu"))
_UNITS = Int(8, 64, log=True)
_RATE = Float(1e-4, 1e-1, log=True)
_OPTIMISER = Categorical(("adam", "sgd"))

_COLUMNS = (Column("width", (1, 2, 4, 8), ordered=True), Column("optimiser", ("adam", "sgd", "rms"), ordered=False))
NUMBERS = FlatSpace({"width": Float(0.0, 1.0), "layers": Int(1, 9), "optimiser": _OPTIMISER})
TABLE = TableSpace(_COLUMNS)
TABLE_WITH_HOLES = TableSpace(_COLUMNS, tuple((i, j) for i in range(4) for j in range(3) if (i, j) != (1, 1)))


def chain(labels: Sequence[str], units: Sequence[int]) -> Architecture:
    """The multilayer perceptron whose hidden layers are these, one after the other."""
    n = len(labels) + 3
    edges = tuple((i, i + 1) for i in range(n - 1))
    return Architecture(("ip", *labels, "softmax", "op"), (None, *units, None, None), edges)


@dataclass(frozen=True)
class ChainSpace(Space):
    """Multilayer perceptrons of up to `max_depth` hidden layers, a learning rate and an optimiser."""

    max_depth: int = 3

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        layers: dict[str, Parameter] = {"depth": Int(1, self.max_depth)}
        for i in range(self.max_depth):
            layers |= {f"label_{i}": _LABELS, f"units_{i}": _UNITS}
        return layers | dict(self.hyperparameters)

    @property
    def hyperparameters(self) -> Mapping[str, Parameter]:
        return {"learning_rate": _RATE, "optimiser": _OPTIMISER}

    def build(self, choose: Choose) -> Candidate:
        labels, units = [], []
        for i in range(int(choose("depth", self.parameters["depth"]))):
            labels.append(str(choose(f"label_{i}", _LABELS)))
            units.append(int(choose(f"units_{i}", _UNITS)))
        hyperparameters = {name: choose(name, parameter) for name, parameter in self.hyperparameters.items()}
        return Candidate(chain(labels, units).canonical(), hyperparameters)

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        graph = candidate.architecture
        if graph is None or len(graph) > self.max_depth + 3:
            raise ValueError("got a candidate of another space.")
        assignment: dict[str, Value] = {"depth": len(graph) - 3}
        for i, layer in enumerate(graph.topological_order[1:-2]):
            assignment |= {f"label_{i}": graph.labels[layer], f"units_{i}": graph.units[layer] or 0}
        return assignment | dict(candidate.hyperparameters)

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        random = {name: parameter.sample(generator) for name, parameter in self.parameters.items()}
        mutant = candidate
        while mutant == candidate:
            name = str(generator.choice(list(random)))
            edit = {name: self.parameters[name].sample(generator)}
            mutant = self.decode(random | self.encode(candidate) | edit)
        return mutant

    def to_dict(self) -> dict[str, Any]:
        return {"type": "chain", "max_depth": self.max_depth}


@dataclass(frozen=True)
class ListedSpace(Space):
    """Eight candidates in all: chains of three cells, each of two kinds, with no hyperparameters."""

    @property
    def parameters(self) -> Mapping[str, Parameter]:
        return {f"cell_{i}": Categorical(("conv", "skip")) for i in range(3)}

    @property
    def hyperparameters(self) -> Mapping[str, Parameter]:
        return {}

    def build(self, choose: Choose) -> Candidate:
        cells = [str(choose(name, parameter)) for name, parameter in self.parameters.items()]
        edges = tuple((i, i + 1) for i in range(4))
        return Candidate(Architecture(("ip", *cells, "op"), (None,) * 5, edges).canonical())

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        if candidate.architecture is None:
            raise ValueError("got a candidate of another space.")
        return {f"cell_{i}": label for i, label in enumerate(candidate.architecture.labels[1:-1])}

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        assignment = self.encode(candidate)
        name = f"cell_{generator.integers(3)}"
        return self.decode(assignment | {name: "conv" if assignment[name] == "skip" else "skip"})

    @cached_property
    def _all(self) -> tuple[Candidate, ...]:
        kinds = ("conv", "skip")
        cells = [(a, b, c) for a in kinds for b in kinds for c in kinds]
        return tuple(self.decode({f"cell_{i}": kind for i, kind in enumerate(chosen)}) for chosen in cells)

    @property
    def candidates(self) -> Sequence[Candidate]:
        return self._all

    def to_dict(self) -> dict[str, Any]:
        return {"type": "listed"}
