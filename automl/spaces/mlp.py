"""MLPSpace: multilayer perceptrons of variable depth with skip and branch connections, and their hyperparameters.

The networks are those of Kandasamy et al. (2018, NASBOT, section 2): an input layer, layers that each have an
activation and a number of units, one decision layer (softmax or linear) and an output layer. A layer with several
inputs reads their concatenation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from automl.data.targets import Kind
from automl.observations import Candidate
from automl.parameters import Categorical, Int, Parameter, Value
from automl.spaces.base import DECISION_OF_TASK, Choose
from automl.spaces.hyperparameters import (
    DEFAULT_HYPERPARAMETERS,
    Hyperparameters,
    check_names,
    choose_hyperparameters,
    constructor_arguments,
)
from automl.spaces.layered import LayeredSpace
from automl.spaces.limits import (
    as_pair,
    as_several,
    check_assignment,
    check_depth,
    check_labels,
    check_limits,
    check_task_kind,
)
from automl.spaces.wiring import (
    WIRING,
    Inputs,
    choose_inputs,
    encoded_inputs,
    hidden_layers,
    input_parameters,
    loose_ends,
    wiring_of,
    wiring_parameter,
)
from kernels.architecture import INPUT, OUTPUT, RECTIFIERS, SIGMOIDS, Architecture


def _chain(activation: str, n_layers: int, units: int, learning_rate: float) -> Mapping[str, Value]:
    """A plain network: layers that are all alike, one after another."""
    layers = range(1, n_layers + 1)
    activations = {f"layer{layer}_activation": activation for layer in layers}
    sizes = {f"layer{layer}_units": units for layer in layers}
    return {"depth": n_layers, WIRING: "chain", "learning_rate": learning_rate, **activations, **sizes}


_CHAINS = (_chain("relu", 2, 128, 3e-3), _chain("elu", 3, 128, 1e-3), _chain("tanh", 1, 64, 1e-2))
_LINEAR: Mapping[str, Value] = {"depth": 0, "learning_rate": 1e-2}


@dataclass(frozen=True)
class MLPSpace(LayeredSpace):
    """Multilayer perceptrons and the hyperparameters of their training.

    Args:
        task_kind: "classification" (softmax decision layer) or "regression" (linear); `for_task` adapts it.
        min_layers: Fewest layers with units; a network without any is a linear model.
        max_layers: Most layers with units.
        units: Fewest and most units of a layer.
        activations: Labels that layers may have.
        hyperparameters: What else is searched, by name.

    Raises:
        ValueError: If the limits leave no network.

    Example:
        >>> import numpy as np
        >>> space = MLPSpace(max_layers=3)
        >>> candidate = space.sample(np.random.default_rng(0))
        >>> space.decode(space.encode(candidate)) == candidate
        True
    """

    _networks: ClassVar[str] = "a multilayer perceptron"

    task_kind: Kind = "classification"
    min_layers: int = 0
    max_layers: int = 8
    units: tuple[int, int] = (8, 512)
    activations: tuple[str, ...] = (*RECTIFIERS, *SIGMOIDS)
    hyperparameters: Mapping[str, Parameter] = DEFAULT_HYPERPARAMETERS

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", as_pair("units", self.units))
        object.__setattr__(self, "activations", as_several("activations", self.activations))
        object.__setattr__(self, "hyperparameters", Hyperparameters(self.hyperparameters))
        check_task_kind(self.task_kind)
        check_limits("min_layers and max_layers", self.min_layers, self.max_layers, least=0)
        check_limits("units", *self.units)
        check_labels("activations", self.activations, (*RECTIFIERS, *SIGMOIDS))
        check_names(self.hyperparameters, self._structure)

    @property
    def _simple(self) -> Sequence[Mapping[str, Value]]:
        """Chains, and the linear network: where a table is linear no other comes near it."""
        return _CHAINS if self.min_layers else (_CHAINS[0], _LINEAR, *_CHAINS[1:])

    @cached_property
    def _structure(self) -> dict[str, Parameter]:
        parameters: dict[str, Parameter] = {"depth": Int(self.min_layers, self.max_layers)}
        parameters |= wiring_parameter(self.max_layers)
        for layer in range(1, self.max_layers + 1):
            parameters[f"layer{layer}_activation"] = Categorical(self.activations)
            parameters[f"layer{layer}_units"] = Int(*self.units, log=True)
            parameters |= input_parameters(layer)
        return parameters

    def for_task(self, kind: Kind, image_size: int | None = None) -> MLPSpace:
        """The same space with the decision layer of a task of that kind; images are read as rows of numbers."""
        del image_size
        return replace(self, task_kind=kind)

    def build(self, choose: Choose) -> Candidate:
        """Asks for depth and wiring, each layer's activation, units and inputs, and the hyperparameters."""
        parameters = self._structure
        depth = int(choose("depth", parameters["depth"]))
        wiring = choose(WIRING, parameters[WIRING]) if depth > 1 else "chain"
        labels: list[str] = []
        units: list[int] = []
        inputs: list[Inputs] = []
        for layer in range(1, depth + 1):
            labels.append(str(choose(f"layer{layer}_activation", parameters[f"layer{layer}_activation"])))
            units.append(int(choose(f"layer{layer}_units", parameters[f"layer{layer}_units"])))
            inputs.append(choose_inputs(choose, parameters, layer, wiring))
        architecture = self._assembled(labels, units, inputs)
        return Candidate(architecture.canonical(), choose_hyperparameters(choose, self.hyperparameters))

    def _assembled(self, labels: list[str], units: list[int], inputs: list[Inputs]) -> Architecture:
        decision = len(labels) + 1
        edges = [(source, layer) for layer, sources in enumerate(inputs, start=1) for source in sources]
        edges += [(end, decision) for end in loose_ends(inputs)]
        return Architecture(
            labels=(INPUT, *labels, DECISION_OF_TASK[self.task_kind], OUTPUT),
            units=(None, *units, None, None),
            edges=(*edges, (decision, decision + 1)),
        )

    def _encode_architecture(self, architecture: Architecture) -> dict[str, Value]:
        order, inputs = hidden_layers(architecture, DECISION_OF_TASK[self.task_kind])
        check_depth(len(order), self.min_layers, self.max_layers)
        wiring = wiring_of(inputs)
        assignment: dict[str, Value] = {"depth": len(order)}
        if len(order) > 1:
            assignment[WIRING] = wiring
        for layer, (index, sources) in enumerate(zip(order, inputs, strict=True), start=1):
            assignment[f"layer{layer}_activation"] = architecture.labels[index]
            assignment[f"layer{layer}_units"] = architecture.units[index] or 0
            assignment.update(encoded_inputs(layer, sources, wiring))
        check_assignment(assignment, self._structure)
        return assignment

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields."""
        return {
            "type": "mlp",
            "task_kind": self.task_kind,
            "min_layers": self.min_layers,
            "max_layers": self.max_layers,
            "units": list(self.units),
            "activations": list(self.activations),
            "hyperparameters": Hyperparameters(self.hyperparameters).to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> MLPSpace:
        """The space that `to_dict` wrote; raises ValueError where a field is none of a space's."""
        return cls(**constructor_arguments(fields))
