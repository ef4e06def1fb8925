"""Which layers a layer reads from: the decisions on skips and branches that every space of layer graphs shares.

Layers are numbered 1, 2, ... in a topological order; 0 is the input. A layer reads from one or two earlier ones, and
layers that nobody reads from join the decision layer. Three kinds of wiring keep uniform draws sensible, and the
parameters of plain networks few:

- "chain": every layer reads from the one before; nothing is asked.
- "skips": it also reads from a second one, `layerI_skip` layers back.
- "free": the first one, too, may lie anywhere, `layerI_input` layers back: branches.

Both count layers back on a logarithmic scale, so that near layers are the likelier inputs; a second input that equals
the first is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from automl.parameters import Categorical, Int, Parameter, Value
from automl.spaces.base import Choose
from kernels.architecture import Architecture

Wiring = Literal["chain", "skips", "free"]
WIRING = "wiring"
_KINDS: tuple[Wiring, ...] = ("chain", "skips", "free")

Inputs = tuple[int, ...]
"""The one or two layers that a layer reads from, in increasing order."""


def wiring_parameter(max_layers: int) -> dict[str, Parameter]:
    """The decision on the kind of wiring, asked once; networks of one layer have none."""
    return {WIRING: Categorical(_KINDS)} if max_layers > 1 else {}


def input_parameters(layer: int) -> dict[str, Parameter]:
    """The decisions on what a layer reads from; the first layer has none."""
    if layer == 1:
        return {}
    return {f"layer{layer}_input": Int(1, layer, log=True), f"layer{layer}_skip": Int(1, layer, log=True)}


def choose_inputs(choose: Choose, parameters: Mapping[str, Parameter], layer: int, wiring: Value) -> Inputs:
    """Asks for the inputs of a layer, as far as the wiring leaves a choice."""
    if layer == 1 or wiring == "chain":
        return (layer - 1,)
    back = 1
    if wiring == "free":
        back = int(choose(f"layer{layer}_input", parameters[f"layer{layer}_input"]))
    back_too = int(choose(f"layer{layer}_skip", parameters[f"layer{layer}_skip"]))
    return tuple(sorted({layer - back, layer - back_too}))


def wiring_of(inputs: Sequence[Inputs]) -> Wiring:
    """The narrowest kind of wiring that layers 1, 2, ... with these inputs have.

    Raises:
        ValueError: If a layer reads from more than two.
    """
    for layer, sources in enumerate(inputs, start=1):
        if len(sources) > 2:
            raise ValueError(
                f"layer {layer} reads from {len(sources)} layers, expected at most 2; drop some of its edges."
            )
    if all(sources == (layer - 1,) for layer, sources in enumerate(inputs, start=1)):
        return "chain"
    return "skips" if all(layer - 1 in sources for layer, sources in enumerate(inputs, start=1)) else "free"


def encoded_inputs(layer: int, sources: Inputs, wiring: Wiring) -> Iterator[tuple[str, Value]]:
    """Names and values of the decisions by which `choose_inputs` gives `sources`."""
    if layer == 1 or wiring == "chain":
        return
    if wiring == "free":
        yield f"layer{layer}_input", layer - sources[-1]
    yield f"layer{layer}_skip", layer - sources[0]


def loose_ends(inputs: Sequence[Inputs]) -> list[int]:
    """Those of layers 0 (the input), 1, 2, ... that no other reads from: they join the decision layer."""
    read = {source for sources in inputs for source in sources}
    return [layer for layer in range(len(inputs) + 1) if layer not in read]


def topological_order(architecture: Architecture) -> tuple[int, ...]:
    """The order in which the layers stand, where that is a topological one, else one that is."""
    if all(u < v for u, v in architecture.edges):
        return tuple(range(len(architecture)))
    return architecture.topological_order


def decision_layer(architecture: Architecture, decision: str) -> int:
    """The one decision layer of a network.

    Raises:
        ValueError: If the network does not end in exactly one decision layer of that label.
    """
    labels = architecture.labels
    if labels.count(decision) != 1 or architecture.parents[architecture.output] != (labels.index(decision),):
        raise ValueError(
            f"got {labels.count(decision)} decision layers {decision!r}, expected one, the only layer that feeds "
            "the output; mend the network's end or the space's task kind."
        )
    return labels.index(decision)


def check_loose_ends(ends: Sequence[int], inputs: Sequence[Inputs]) -> None:
    """Raises ValueError unless `ends`, which a network's end reads, are the layers that no other layer reads."""
    if sorted(ends) != loose_ends(inputs):
        raise ValueError(
            f"got a network whose end reads layers {sorted(ends)}, expected those that no other layer reads, "
            f"{loose_ends(inputs)}; drop its other edges."
        )


def hidden_layers(architecture: Architecture, decision: str) -> tuple[list[int], list[Inputs]]:
    """The layers between input and decision, in topological order, and what each reads from, numbered in that order.

    Raises:
        ValueError: If the network does not end in one decision layer of that label that is fed by all loose ends and
            by nothing else.
    """
    end = decision_layer(architecture, decision)
    outside = (architecture.input, end, architecture.output)
    order = [layer for layer in topological_order(architecture) if layer not in outside]
    number = {architecture.input: 0} | {layer: i for i, layer in enumerate(order, start=1)}
    inputs = [tuple(sorted([number[parent] for parent in architecture.parents[layer]])) for layer in order]
    check_loose_ends([number[parent] for parent in architecture.parents[end]], inputs)
    return order, inputs
