"""CNNSpace: convolutional networks of variable depth with skips and branches, and their hyperparameters.

The networks are those of Kandasamy et al. (2018, NASBOT, section 2): convolutions and residual units of kernel 3, 5 and
7, with stride 1 or 2, maximum and average pools, then fully connected layers, one decision layer and an output layer. A
layer with several inputs reads their concatenation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Final

from automl.data.targets import Kind
from automl.field_checks import check_kinds
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
    check_least,
    check_limits,
    check_task_kind,
)
from automl.spaces.pooling import Drawing, implied_pools
from automl.spaces.wiring import (
    WIRING,
    Inputs,
    check_loose_ends,
    choose_inputs,
    decision_layer,
    encoded_inputs,
    input_parameters,
    loose_ends,
    topological_order,
    wiring_of,
    wiring_parameter,
)
from automl.validity import CONVOLUTIONAL, POOLING, check_cnn
from kernels.architecture import CONVOLUTIONS, OUTPUT, POOLS, RESIDUALS, Architecture

_HALVED: Final = "/2"  # "conv3/2" is a conv3 layer of stride 2


def _chain(learning_rate: float, layers: str, fc_units: int | None = None) -> Mapping[str, Value]:
    """A plain network: layers such as "conv3:16" or "max-pool" one after another, and a fully connected one, if any."""
    wanted: dict[str, Value] = {"learning_rate": learning_rate, WIRING: "chain"}
    for layer, text in enumerate(layers.split(), start=1):
        label, _, channels = text.partition(":")
        wanted |= {"depth": layer, f"layer{layer}_label": label, f"layer{layer}_units": int(channels or 0)}
    return {**wanted, "fc_layers": 0 if fc_units is None else 1, "fc1_units": fc_units or 0}


_CHAINS = (
    _chain(3e-3, "conv3:16 max-pool conv3:32 max-pool", 64),
    _chain(1e-3, "conv3:32 conv3:32 max-pool conv3:64 conv3:64 max-pool", 128),
    _chain(3e-3, "res3:16 res3/2:32 res3/2:64"),
)


@dataclass(frozen=True)
class CNNSpace(LayeredSpace):
    """Convolutional networks and the hyperparameters of their training.

    Every assignment is a network: where layers of different image sizes join, the larger images are pooled down; a
    layer that would halve the image once too often keeps its size; a pool that reads the input, which only
    convolutions may, is a convolution of stride 2.

    Args:
        max_layers: Most convolutions and pools; pools that joins imply come on top.
        min_layers: Fewest.
        image_size: The smaller side of the images in pixels, if known: they are never made smaller than 2 pixels.
        max_halvings: How often an image is halved at most.
        units: Fewest and most channels of a convolution.
        max_fc_layers: Most fully connected layers before the decision.
        fc_units: Fewest and most units of a fully connected layer.
        labels: Labels that convolutions and pools may have, at least one convolution among them.
        strided: Whether convolutions may have stride 2.
        task_kind: "classification" (softmax decision layer) or "regression" (linear); `for_task` adapts it.
        hyperparameters: What else is searched, by name.

    Raises:
        ValueError: If the limits leave no network.

    Example:
        >>> import numpy as np
        >>> space = CNNSpace(image_size=8)
        >>> candidate = space.sample(np.random.default_rng(0))
        >>> space.decode(space.encode(candidate)) == candidate
        True
    """

    _networks: ClassVar[str] = "a convolutional network"

    max_layers: int = 12
    min_layers: int = 1
    image_size: int | None = None
    max_halvings: int = 4
    units: tuple[int, int] = (8, 64)
    max_fc_layers: int = 3
    fc_units: tuple[int, int] = (16, 256)
    labels: tuple[str, ...] = (*CONVOLUTIONS, *RESIDUALS, *POOLS)
    strided: bool = True
    task_kind: Kind = "classification"
    hyperparameters: Mapping[str, Parameter] = DEFAULT_HYPERPARAMETERS

    def __post_init__(self) -> None:
        for name in ("units", "fc_units"):
            object.__setattr__(self, name, as_pair(name, getattr(self, name)))
        object.__setattr__(self, "labels", as_several("labels", self.labels))
        object.__setattr__(self, "hyperparameters", Hyperparameters(self.hyperparameters))
        check_task_kind(self.task_kind)
        check_kinds(self, strided=bool)
        check_limits("min_layers and max_layers", self.min_layers, self.max_layers)
        check_limits("units", *self.units)
        check_limits("fc_units", *self.fc_units)
        check_limits("fully connected layers", 0, self.max_fc_layers, least=0)
        check_limits("halvings", 0, self.max_halvings, least=0)
        if self.image_size is not None:
            check_least("image_size", self.image_size, 1)
        check_labels("labels", self.labels, (*CONVOLUTIONS, *RESIDUALS, *POOLS))
        if not self._convolutions:
            raise ValueError(
                f"got the labels {list(self.labels)}, expected a convolution among them, since the first layer is one; "
                f"add one of {[*CONVOLUTIONS, *RESIDUALS]}."
            )
        check_names(self.hyperparameters, self._structure)

    @property
    def _simple(self) -> Sequence[Mapping[str, Value]]:
        return _CHAINS

    @cached_property
    def halvings(self) -> int:
        """How often a network of the space halves its images at most."""
        if self.image_size is None:
            return self.max_halvings
        return min(self.max_halvings, max(self.image_size.bit_length() - 2, 0))

    @cached_property
    def _convolutions(self) -> tuple[str, ...]:
        plain = tuple(label for label in self.labels if label in CONVOLUTIONAL)
        halved = tuple(f"{label}{_HALVED}" for label in plain) if self.strided else ()
        return (*plain, *halved)

    @cached_property
    def _structure(self) -> dict[str, Parameter]:
        pools = tuple(label for label in self.labels if label in POOLING)
        parameters: dict[str, Parameter] = {"depth": Int(self.min_layers, self.max_layers)}
        parameters |= wiring_parameter(self.max_layers)
        for layer in range(1, self.max_layers + 1):
            choices = self._convolutions if layer == 1 else (*self._convolutions, *pools)
            parameters |= input_parameters(layer)
            parameters[f"layer{layer}_label"] = Categorical(choices)
            parameters[f"layer{layer}_units"] = Int(*self.units, log=True)
        parameters["fc_layers"] = Int(0, self.max_fc_layers)
        for layer in range(1, self.max_fc_layers + 1):
            parameters[f"fc{layer}_units"] = Int(*self.fc_units, log=True)
        return parameters

    def for_task(self, kind: Kind, image_size: int | None = None) -> CNNSpace:
        """The same space with the decision layer of a task of that kind, for images of that size where one is given."""
        return replace(self, task_kind=kind, image_size=self.image_size if image_size is None else image_size)

    def build(self, choose: Choose) -> Candidate:
        """Asks for depth and wiring, each layer's inputs, label and units, the head, and the hyperparameters."""
        parameters = self._structure
        drawing = Drawing()
        depth = int(choose("depth", parameters["depth"]))
        wiring = choose(WIRING, parameters[WIRING]) if depth > 1 else "chain"
        layers, inputs = [0], list[Inputs]()
        for layer in range(1, depth + 1):
            inputs.append(choose_inputs(choose, parameters, layer, wiring))
            sources = drawing.joined([layers[source] for source in inputs[-1]])
            layers.append(self._add_layer(choose, drawing, layer, sources))
        self._add_head(choose, drawing, drawing.joined([layers[end] for end in loose_ends(inputs)]))
        return Candidate(drawing.finished().canonical(), choose_hyperparameters(choose, self.hyperparameters))

    def _add_layer(self, choose: Choose, drawing: Drawing, layer: int, sources: list[int]) -> int:
        chosen = str(choose(f"layer{layer}_label", self._structure[f"layer{layer}_label"]))
        label, stride = self._fitted(chosen, drawing.sizes[sources[0]], reads_input=0 in sources)
        if label in POOLING:
            return drawing.add(sources, label)
        units = int(choose(f"layer{layer}_units", self._structure[f"layer{layer}_units"]))
        return drawing.add(sources, label, units, stride)

    def _fitted(self, chosen: str, size: int, reads_input: bool) -> tuple[str, int]:
        """Label and stride of a layer on images of that inverse size: as chosen, so far as they can be halved."""
        can_halve = size < 2**self.halvings
        if chosen in POOLING:
            if can_halve and not reads_input:
                return chosen, 1
            chosen = self._convolutions[0] + _HALVED
        stride = 2 if can_halve and self.strided and chosen.endswith(_HALVED) else 1
        return chosen.removesuffix(_HALVED), stride

    def _add_head(self, choose: Choose, drawing: Drawing, sources: list[int]) -> None:
        for layer in range(1, int(choose("fc_layers", self._structure["fc_layers"])) + 1):
            units = int(choose(f"fc{layer}_units", self._structure[f"fc{layer}_units"]))
            sources = [drawing.add(sources, "fc", units)]
        drawing.add([drawing.add(sources, DECISION_OF_TASK[self.task_kind])], OUTPUT)

    def _encode_architecture(self, architecture: Architecture) -> dict[str, Value]:
        halvings = max(check_cnn(architecture)).bit_length() - 1
        check_depth(halvings, 0, self.halvings, "halvings of its images")
        head = self._head(architecture)
        implied = implied_pools(architecture, head[0])
        outside = {architecture.input, architecture.output, *head, *implied}
        order = [layer for layer in topological_order(architecture) if layer not in outside]
        check_depth(len(order), self.min_layers, self.max_layers, "convolutions and pools")
        number = {architecture.input: 0} | {layer: i for i, layer in enumerate(order, start=1)}
        number |= {pool: number[source] for pool, source in implied.items()}
        inputs = [tuple(sorted([number[parent] for parent in architecture.parents[layer]])) for layer in order]
        check_loose_ends([number[parent] for parent in architecture.parents[head[0]]], inputs)
        assignment = self._encode_layers(architecture, order, inputs) | self._encode_head(architecture, head[:-1])
        check_assignment(assignment, self._structure)
        return assignment

    def _head(self, architecture: Architecture) -> list[int]:
        """The fully connected layers, first to last, and the decision layer.

        Raises:
            ValueError: If these do not form a chain.
        """
        head = [decision_layer(architecture, DECISION_OF_TASK[self.task_kind])]
        while any(architecture.labels[parent] == "fc" for parent in architecture.parents[head[0]]):
            if len(architecture.parents[head[0]]) > 1:
                break
            head.insert(0, architecture.parents[head[0]][0])
        if architecture.labels.count("fc") != len(head) - 1:
            raise ValueError(
                "got fully connected layers that branch, expected a chain of them; drop their other edges."
            )
        return head

    def _encode_layers(self, architecture: Architecture, order: list[int], inputs: list[Inputs]) -> dict[str, Value]:
        wiring = wiring_of(inputs)
        assignment: dict[str, Value] = {"depth": len(order)}
        if len(order) > 1:
            assignment[WIRING] = wiring
        for layer, (index, sources) in enumerate(zip(order, inputs, strict=True), start=1):
            assignment.update(encoded_inputs(layer, sources, wiring))
            halved = architecture.strides is not None and architecture.strides[index] == 2
            assignment[f"layer{layer}_label"] = architecture.labels[index] + (_HALVED if halved else "")
            units = architecture.units[index]
            if units is not None:
                assignment[f"layer{layer}_units"] = units
        return assignment

    def _encode_head(self, architecture: Architecture, layers: list[int]) -> dict[str, Value]:
        check_depth(len(layers), 0, self.max_fc_layers, "fully connected layers")
        units = {f"fc{i}_units": architecture.units[layer] or 0 for i, layer in enumerate(layers, start=1)}
        return {"fc_layers": len(layers), **units}

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields."""
        return {
            "type": "cnn",
            "max_layers": self.max_layers,
            "min_layers": self.min_layers,
            "image_size": self.image_size,
            "max_halvings": self.max_halvings,
            "units": list(self.units),
            "max_fc_layers": self.max_fc_layers,
            "fc_units": list(self.fc_units),
            "labels": list(self.labels),
            "strided": self.strided,
            "task_kind": self.task_kind,
            "hyperparameters": Hyperparameters(self.hyperparameters).to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CNNSpace:
        """The space that `to_dict` wrote; raises ValueError where a field is none of a space's."""
        return cls(**constructor_arguments(fields))
