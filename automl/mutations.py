"""NASBOT's nine modifiers: one small edit of a network each (Kandasamy et al. 2018, table 2 and appendix B).

Each modifier draws one of its primitives at random, applies it and returns the edited network, or None where the draw
has none. Nothing is enumerated, so that a mutation takes a fraction of a millisecond. A modifier keeps the graph
acyclic and without dead ends; whether the result is a network that one wants is asked of `is_valid`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, TypeVar

import numpy as np

from automl.validity import CONVOLUTIONAL, FLAT, POOLING, inverse_image_sizes
from kernels.architecture import (
    CONVOLUTIONS,
    DECISIONS,
    INPUT,
    OUTPUT,
    POOLS,
    RECTIFIERS,
    RESIDUALS,
    SIGMOIDS,
    Architecture,
    Edge,
)

T = TypeVar("T")
Modifier = Callable[[Architecture, np.random.Generator], Architecture | None]

STEP_PROBABILITIES: Final = (0.5, 0.25, 0.125, 0.075, 0.05)
"""Probabilities of 1, 2, ... single edits in a mutation."""

_PRIMITIVES_TRIED = 6  # Draws before a modifier counts as having no valid primitive; most accept one of the first two.
_UNIT_CHANGE = 1 / 8
_POOL_PROBABILITY = 0.05
_STRIDE_PROBABILITY = 0.05
_STOP_PROBABILITY = 0.2
_KEEP_PROBABILITY = 0.5
_MIN_WALK = 4
_DEFAULT_UNITS = 16

_SWAPS: Final[Mapping[str, tuple[tuple[str, float], ...]]] = {
    "conv3": (("res3", 0.25), ("res5", 0.25), ("conv5", 0.15), ("conv7", 0.25), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "conv5": (("res3", 0.25), ("res5", 0.25), ("conv3", 0.2), ("conv7", 0.2), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "conv7": (("res3", 0.25), ("res5", 0.25), ("conv3", 0.25), ("conv5", 0.15), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "res3": (("conv3", 0.25), ("conv5", 0.25), ("res5", 0.15), ("res7", 0.25), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "res5": (("conv3", 0.25), ("conv5", 0.25), ("res3", 0.2), ("res7", 0.2), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "res7": (("conv3", 0.25), ("conv5", 0.25), ("res3", 0.25), ("res5", 0.15), ("max-pool", 0.05), ("avg-pool", 0.05)),
    "max-pool": (("avg-pool", 1.0),),
    "avg-pool": (("max-pool", 1.0),),
    **{rectifier: tuple((sigmoid, 1.0) for sigmoid in SIGMOIDS) for rectifier in RECTIFIERS},
    **{sigmoid: tuple((rectifier, 1.0) for rectifier in RECTIFIERS) for sigmoid in SIGMOIDS},
}


@dataclass
class _Draft:
    """A network under edit: the fields of an `Architecture`, mutable."""

    labels: list[str]
    units: list[int | None]
    strides: list[int | None]
    edges: list[Edge]

    @classmethod
    def of(cls, architecture: Architecture) -> _Draft:
        strides = architecture.strides or (None,) * len(architecture)
        return cls(list(architecture.labels), list(architecture.units), list(strides), list(architecture.edges))

    def add(self, label: str, units: int | None = None, stride: int | None = None) -> int:
        """Appends a layer without edges and returns its index."""
        self.labels.append(label)
        self.units.append(units)
        self.strides.append(stride)
        return len(self.labels) - 1

    def add_path(self, layers: Iterable[int]) -> None:
        """Links each of `layers` to the next."""
        self.edges.extend(pairwise(layers))

    def finished(self) -> Architecture:
        return Architecture(tuple(self.labels), tuple(self.units), tuple(self.edges), tuple(self.strides))


def inc_single(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """One layer's units grown by an eighth."""
    return _scaled_single(architecture, generator, 1 + _UNIT_CHANGE)


def dec_single(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """One layer's units reduced by an eighth."""
    return _scaled_single(architecture, generator, 1 - _UNIT_CHANGE)


def inc_en_masse(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """The units of a half, quarter or eighth of the layers, one after another, grown by an eighth."""
    return _scaled_group(architecture, generator, 1 + _UNIT_CHANGE)


def dec_en_masse(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """The units of a half, quarter or eighth of the layers, one after another, reduced by an eighth."""
    return _scaled_group(architecture, generator, 1 - _UNIT_CHANGE)


def swap_layer(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """One layer's label exchanged: another kernel, residual or, rarely, pool; a rectifier for a sigmoid and back."""
    swappable = [layer for layer, label in enumerate(architecture.labels) if label in _SWAPS]
    if not swappable:
        return None
    layer = pick(swappable, generator)
    choices = _SWAPS[architecture.labels[layer]]
    label = choices[draw([weight for _, weight in choices], generator)][0]
    draft = _Draft.of(architecture)
    draft.labels[layer] = label
    if label in POOLING:
        draft.units[layer] = draft.strides[layer] = None
    elif label in CONVOLUTIONAL and generator.random() < _STRIDE_PROBABILITY:
        draft.strides[layer] = 1 if draft.strides[layer] == 2 else 2
    return draft.finished()


def wedge_layer(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """A new layer in the place of one edge, unless that leads to the output."""
    free = [(u, v) for u, v in architecture.edges if v != architecture.output]
    if not free:
        return None
    before, after = pick(free, generator)
    draft = _Draft.of(architecture)
    label, stride = _wedge_label(architecture, before, generator)
    units = None if label in POOLING else _wedge_units(architecture, before, after, label)
    draft.edges.remove((before, after))
    draft.add_path((before, draft.add(label, units, stride), after))
    return draft.finished()


def remove_layer(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """One layer taken out; neighbours that it cut off are linked past it, and a halving passes to a neighbour."""
    removable = [layer for layer in range(len(architecture)) if _is_removable(architecture, layer)]
    if not removable:
        return None
    layer = pick(removable, generator)
    draft = _Draft.of(architecture)
    _pass_halving_on(architecture, layer, draft)
    draft.edges = [edge for edge in draft.edges if layer not in edge]
    draft.edges += _links_past(architecture, layer, generator)
    for values in (draft.labels, draft.units, draft.strides):
        del values[layer]
    draft.edges = [(u - (u > layer), v - (v > layer)) for u, v in draft.edges]
    return draft.finished()


def branch(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """A random path duplicated between its two ends, some of its layers left out of the copy."""
    start = _pick_start(architecture, generator, may_be_input=True)
    path = None if start is None else _random_walk(architecture, start, generator)
    if path is None:
        return None
    draft = _Draft.of(architecture)
    copies = [
        draft.add(draft.labels[layer], draft.units[layer], draft.strides[layer])
        for layer in _kept(architecture, path, generator)
    ]
    draft.add_path((path[0], *copies, path[-1]))
    return draft.finished()


def skip(architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
    """A new edge to a layer further on; where the image shrinks on the way, average pools on the edge shrink it too."""
    start = _pick_start(architecture, generator, may_be_input=False)
    if start is None:
        return None
    sizes = _sizes(architecture)
    ends = [end for end in _further_on(architecture, start) if _size_before(architecture, sizes, end) >= sizes[start]]
    if not ends:
        return None
    end = pick(ends, generator)
    draft = _Draft.of(architecture)
    halvings = _size_before(architecture, sizes, end).bit_length() - sizes[start].bit_length()
    draft.add_path((start, *(draft.add("avg-pool") for _ in range(halvings)), end))
    return draft.finished()


MODIFIERS: Final[Mapping[str, tuple[float, Modifier]]] = {
    "inc_single": (0.1, inc_single),
    "dec_single": (0.1, dec_single),
    "inc_en_masse": (0.1, inc_en_masse),
    "dec_en_masse": (0.1, dec_en_masse),
    "swap_layer": (0.2, swap_layer),
    "wedge_layer": (0.1, wedge_layer),
    "remove_layer": (0.1, remove_layer),
    "branch": (0.2, branch),
    "skip": (0.2, skip),
}
"""The nine modifiers by name, each with the mass by which it is drawn (they are normalised)."""


def draw_n_steps(generator: np.random.Generator) -> int:
    """How many single edits a mutation makes: 1 to 5, with `STEP_PROBABILITIES`."""
    return 1 + draw(STEP_PROBABILITIES, generator)


def mutate(
    architecture: Architecture,
    generator: np.random.Generator,
    is_valid: Callable[[Architecture], bool],
    n_steps: int | None = None,
) -> Architecture:
    """A network some single edits away, every one of them valid.

    Args:
        architecture: The parent.
        generator: Source of randomness.
        is_valid: Whether an edited network may stand; what may not is dropped and another edit drawn.
        n_steps: Number of single edits; None draws it by `draw_n_steps`.

    Returns:
        The mutant; with fewer edits where some step finds no valid one, the parent itself where the first finds none.
    """
    for _ in range(draw_n_steps(generator) if n_steps is None else n_steps):
        edited = _edited(architecture, generator, is_valid)
        if edited is None:
            break
        architecture = edited
    return architecture


def _edited(
    architecture: Architecture, generator: np.random.Generator, is_valid: Callable[[Architecture], bool]
) -> Architecture | None:
    left = list(MODIFIERS.values())
    while left:
        _, modifier = left.pop(draw([mass for mass, _ in left], generator))
        for _ in range(_PRIMITIVES_TRIED):
            edited = modifier(architecture, generator)
            if edited is not None and is_valid(edited):
                return edited
    return None


def pick(items: Sequence[T], generator: np.random.Generator) -> T:
    """One of the items, all alike likely."""
    return items[int(generator.random() * len(items))]  # ten times as fast as Generator.choice


def draw(weights: Sequence[float], generator: np.random.Generator) -> int:
    """An index, each with probability proportional to its weight."""
    left = generator.random() * sum(weights)
    for index, weight in enumerate(weights):
        left -= weight
        if left < 0:
            return index
    return len(weights) - 1


def _scaled_single(architecture: Architecture, generator: np.random.Generator, factor: float) -> Architecture | None:
    layers = _with_units(architecture)
    return _scaled(architecture, [pick(layers, generator)], factor) if layers else None


def _scaled_group(architecture: Architecture, generator: np.random.Generator, factor: float) -> Architecture | None:
    layers = _with_units(architecture)
    n = len(layers)
    groups = [(parts, group) for parts in (2, 4, 8) if n >= 2 * parts for group in range(parts)]
    if not groups:
        return None
    parts, group = pick(groups, generator)
    return _scaled(architecture, layers[group * n // parts : (group + 1) * n // parts], factor)


def _scaled(architecture: Architecture, layers: Iterable[int], factor: float) -> Architecture | None:
    """The network with the units of `layers` times `factor`, rounded; None where rounding undoes every change."""
    units = list(architecture.units)
    for layer in layers:
        units[layer] = max(_rounded(factor * (units[layer] or 0)), 1)
    if tuple(units) == architecture.units:
        return None
    return Architecture(architecture.labels, tuple(units), architecture.edges, architecture.strides)


def _with_units(architecture: Architecture) -> list[int]:
    """Layers that have units, in topological order."""
    return [layer for layer in architecture.topological_order if architecture.units[layer] is not None]


def _rounded(value: float) -> int:
    return int(value + 0.5)  # halves go up: `round` would leave 4 units at 4 when they grow by an eighth


def _wedge_label(architecture: Architecture, before: int, generator: np.random.Generator) -> tuple[str, int | None]:
    """Label and stride of a layer to put behind layer `before`."""
    label = architecture.labels[before]
    if architecture.family == "mlp":
        return pick((*RECTIFIERS, *SIGMOIDS), generator), None
    if label == "fc":
        return "fc", None
    if label != INPUT and generator.random() < _POOL_PROBABILITY:
        return pick(POOLS, generator), None
    return pick((*CONVOLUTIONS, *RESIDUALS), generator), 2 if generator.random() < _STRIDE_PROBABILITY else 1


def _wedge_units(architecture: Architecture, before: int, after: int, label: str) -> int:
    """Units of a new layer: the mean of its neighbours', else of the layers around those."""
    units = architecture.units
    if label == "fc":
        return units[before] or _DEFAULT_UNITS
    around = architecture.children[before] if before == architecture.input else architecture.parents[before]
    for layers in ((before, after), around):
        known = [count for layer in layers if (count := units[layer]) is not None]
        if known:
            return _rounded(sum(known) / len(known))
    return _DEFAULT_UNITS


def _is_removable(architecture: Architecture, layer: int) -> bool:
    label = architecture.labels[layer]
    if label == "fc":
        return all(architecture.labels[parent] == "fc" for parent in architecture.parents[layer])
    return label not in (INPUT, OUTPUT, *DECISIONS)


def _pass_halving_on(architecture: Architecture, layer: int, draft: _Draft) -> None:
    """Where `layer` halves the image, lets its children, else its parents, do so, if all of these can."""
    if draft.labels[layer] not in POOLING and draft.strides[layer] != 2:
        return
    for neighbours in (architecture.children[layer], architecture.parents[layer]):
        if all(draft.labels[other] in CONVOLUTIONAL and draft.strides[other] != 2 for other in neighbours):
            for other in neighbours:
                draft.strides[other] = 2
            return


def _links_past(architecture: Architecture, layer: int, generator: np.random.Generator) -> list[Edge]:
    """Edges that reconnect the children without another parent and the parents without another child of `layer`."""
    parents, children = architecture.parents[layer], architecture.children[layer]
    orphans = _shuffled([child for child in children if len(architecture.parents[child]) == 1], generator)
    childless = _shuffled([parent for parent in parents if len(architecture.children[parent]) == 1], generator)
    matched = min(len(orphans), len(childless))
    return [
        *zip(childless, orphans, strict=False),
        *((pick(parents, generator), orphan) for orphan in orphans[matched:]),
        *((parent, pick(children, generator)) for parent in childless[matched:]),
    ]


def _shuffled(items: list[int], generator: np.random.Generator) -> list[int]:
    return [items[i] for i in generator.permutation(len(items))] if len(items) > 1 else items


def _pick_start(architecture: Architecture, generator: np.random.Generator, may_be_input: bool) -> int | None:
    """Where a branch or skip begins: the nearer to the input, the likelier; None where no layer can be its start."""
    never = {OUTPUT, "fc", *DECISIONS} if may_be_input else {INPUT, OUTPUT, "fc", *DECISIONS}
    starts = [layer for layer, label in enumerate(architecture.labels) if label not in never]
    if not starts:
        return None
    distances = _distances(architecture.topological_order, architecture.parents)
    return starts[draw([(1 + distances[layer]) ** -0.5 for layer in starts], generator)]


def _distances(order: Iterable[int], sources: Sequence[Sequence[int]]) -> list[int]:
    """For each layer the number of edges on the shortest path from the first of `order`, found in one sweep."""
    distances = [0] * len(sources)
    for layer in order:
        if sources[layer]:
            distances[layer] = 1 + min([distances[source] for source in sources[layer]])
    return distances


def _random_walk(architecture: Architecture, start: int, generator: np.random.Generator) -> list[int] | None:
    """A random path of four or more layers from `start` on; None where the output comes too soon."""
    path = [start]
    while path[-1] != architecture.output and (len(path) < _MIN_WALK or generator.random() >= _STOP_PROBABILITY):
        path.append(pick(architecture.children[path[-1]], generator))
    return path if len(path) >= _MIN_WALK else None


def _kept(architecture: Architecture, path: Sequence[int], generator: np.random.Generator) -> list[int]:
    """Layers between the ends of `path` that its copy keeps: each with probability 1/2, some always."""
    kept = [
        layer
        for previous, layer in pairwise(path[:-1])
        if _must_keep(architecture, previous, layer) or generator.random() < _KEEP_PROBABILITY
    ]
    return kept or [path[-2]]


def _must_keep(architecture: Architecture, previous: int, layer: int) -> bool:
    labels, strides = architecture.labels, architecture.strides
    if previous == architecture.input or labels[layer] in POOLING or labels[layer] in DECISIONS:
        return True
    return (strides is not None and strides[layer] == 2) or (labels[layer] == "fc" and labels[previous] != "fc")


def _further_on(architecture: Architecture, start: int) -> list[int]:
    """Layers where a skip from `start` may end: more than one edge further from the input and nearer to the output."""
    from_input = _distances(architecture.topological_order, architecture.parents)
    to_output = _distances(reversed(architecture.topological_order), architecture.children)
    before = _ancestors(architecture, start)
    return [
        end
        for end in range(len(architecture))
        if from_input[end] > from_input[start] + 1
        and to_output[end] < to_output[start] - 1
        and end not in before
        and _may_end_skip(architecture, end)
    ]


def _may_end_skip(architecture: Architecture, end: int) -> bool:
    labels = architecture.labels
    if labels[end] == "fc":
        return all(labels[parent] != "fc" for parent in architecture.parents[end])
    return labels[end] not in (OUTPUT, *DECISIONS)


def _ancestors(architecture: Architecture, layer: int) -> set[int]:
    # Distances alone do not exclude these: a layer with a shortcut from the input may be near it, its ancestors far.
    found: set[int] = set()
    stack = [layer]
    while stack:
        for parent in architecture.parents[stack.pop()]:
            if parent not in found:
                found.add(parent)
                stack.append(parent)
    return found


def _sizes(architecture: Architecture) -> list[int]:
    """Inverse sizes of the layers' output images; all `FLAT` in a multilayer perceptron."""
    return [FLAT] * len(architecture) if architecture.family == "mlp" else inverse_image_sizes(architecture)


def _size_before(architecture: Architecture, sizes: Sequence[int], layer: int) -> int:
    return sizes[architecture.parents[layer][0]]
