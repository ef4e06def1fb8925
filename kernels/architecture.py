"""Architecture: the frozen, labelled layer graph that everything else speaks of.

A neural network is a directed acyclic graph whose vertices are layers, each with a label ("conv3", "relu", "fc",
...), a number of units where its label has any, and, in convolutional networks, a stride (Kandasamy et al. 2018,
NASBOT, section 2). The input layer is labelled "ip", the output layer "op". Layers are only names here: what a label
computes is the business of `automl.network`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Integral
from typing import Any, Literal, TypeVar

from kernels.canonical_order import canonical_order, stable_colours

INPUT = "ip"
OUTPUT = "op"
CONVOLUTIONS = ("conv3", "conv5", "conv7")
RESIDUALS = ("res3", "res5", "res7")
POOLS = ("max-pool", "avg-pool")
RECTIFIERS = ("relu", "crelu", "leaky-relu", "softplus", "elu")
SIGMOIDS = ("logistic", "tanh")
DECISIONS = ("softmax", "linear")
MOST_UNITS = 10**15  # of a layer; sums of products of two such are still numbers
CNN_LABELS = frozenset({INPUT, OUTPUT, "fc", *DECISIONS, *CONVOLUTIONS, *RESIDUALS, *POOLS})
MLP_LABELS = frozenset({INPUT, OUTPUT, *RECTIFIERS, *SIGMOIDS, *DECISIONS})

Family = Literal["mlp", "cnn", "graph"]
Edge = tuple[int, int]
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Architecture:
    """A layer graph: labels, units and strides by layer, and directed edges between layer indices.

    Equality is that of the fields as given; `digest` is equal for isomorphic graphs, whatever the order of their
    layers.

    Args:
        labels: One label a layer; exactly one "ip" and one "op".
        units: One entry a layer: a positive number of units (channels) up to 10^15, or None where the layer has none of
            its own.
        edges: Pairs (from, to) of layer indices; acyclic, and every layer lies on a path from "ip" to "op".
        strides: One entry a layer (1, 2 or None), or None for a network without strides.

    Raises:
        ValueError: If the fields do not describe such a graph; the sentence says which layer or edge, and how to mend
            it.
    """

    labels: tuple[str, ...]
    units: tuple[int | None, ...]
    edges: tuple[Edge, ...]
    strides: tuple[int | None, ...] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", _several(self.labels, "labels"))
        object.__setattr__(self, "units", tuple([_whole(u, "units of") for u in _several(self.units, "units")]))
        object.__setattr__(self, "edges", tuple(sorted([_edge(edge) for edge in _several(self.edges, "edges")])))
        if self.strides is not None:
            strides = tuple([_whole(s, "a stride of") for s in _several(self.strides, "strides")])
            object.__setattr__(self, "strides", None if all(s is None for s in strides) else strides)
        self._check_fields()
        self._check_graph()

    def _check_fields(self) -> None:
        n = len(self.labels)
        for name, values in (("units", self.units), ("strides", self.strides)):
            if values is not None and len(values) != n:
                raise ValueError(
                    f"got {len(values)} {name} for {n} labels; give one entry a layer, None where a layer has none."
                )
        for layer, text in enumerate(self.labels):
            if not isinstance(text, str):
                raise ValueError(f"layer {layer} has the label {text!r}, expected a text; name the layer's operation.")
        for label in (INPUT, OUTPUT):
            if self.labels.count(label) != 1:
                raise ValueError(
                    f"got {self.labels.count(label)} layers labelled {label!r}, expected exactly one; "
                    "give the network one input and one output layer."
                )
        for layer, units in enumerate(self.units):
            if units is not None and not 1 <= units <= MOST_UNITS:
                raise ValueError(
                    f"layer {layer} ({self.labels[layer]}) has {units} units, expected a positive number or None; "
                    f"choose one from 1 to {MOST_UNITS:,}."
                )
        for layer, stride in enumerate(self.strides or ()):
            if stride not in (None, 1, 2):
                raise ValueError(
                    f"layer {layer} ({self.labels[layer]}) has stride {stride}, expected 1, 2 or None; choose one."
                )

    def _check_graph(self) -> None:
        n = len(self.labels)
        for u, v in self.edges:
            if not (0 <= u < n and 0 <= v < n):
                raise ValueError(
                    f"edge {(u, v)} names a layer that does not exist; expected indices from 0 to {n - 1}."
                )
        if len(set(self.edges)) != len(self.edges):
            raise ValueError(
                "got the same edge twice, expected each pair of layers at most once; drop the repeated edge."
            )
        if len(self.topological_order) != n:
            raise ValueError("got a cycle among the edges, expected an acyclic graph; remove an edge that leads back.")
        # Acyclic: if "ip" alone has no parents and "op" alone no children, every layer lies on a path between them.
        for layer, (parents, children) in enumerate(zip(self.parents, self.children, strict=True)):
            if not parents and layer != self.input:
                raise ValueError(
                    f"layer {layer} ({self.labels[layer]}) has no input, expected a path from 'ip' to it; "
                    "add an edge that leads to it."
                )
            if not children and layer != self.output:
                raise ValueError(
                    f"layer {layer} ({self.labels[layer]}) leads nowhere, expected a path to 'op'; add an edge from it."
                )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def input(self) -> int:
        """Index of the layer labelled "ip"."""
        return self.labels.index(INPUT)

    @cached_property
    def output(self) -> int:
        """Index of the layer labelled "op"."""
        return self.labels.index(OUTPUT)

    @cached_property
    def parents(self) -> tuple[tuple[int, ...], ...]:
        """For each layer, the layers it reads from, in increasing order."""
        return _adjacency(len(self.labels), [(v, u) for u, v in self.edges])

    @cached_property
    def children(self) -> tuple[tuple[int, ...], ...]:
        """For each layer, the layers that read from it, in increasing order."""
        return _adjacency(len(self.labels), self.edges)

    @cached_property
    def topological_order(self) -> tuple[int, ...]:
        """Layer indices, every layer after all of its parents (Kahn's algorithm, first in first out)."""
        waiting = [len(parents) for parents in self.parents]
        order = [layer for layer, count in enumerate(waiting) if count == 0]
        children = self.children
        for layer in order:
            for child in children[layer]:
                waiting[child] -= 1
                if waiting[child] == 0:
                    order.append(child)
        return tuple(order)

    @cached_property
    def family(self) -> Family:
        """The family whose labels NASBOT lists, "mlp" or "cnn"; else "graph" (cells and the user's own labels)."""
        labels = set(self.labels)
        if labels <= MLP_LABELS:
            return "mlp"
        return "cnn" if labels <= CNN_LABELS else "graph"

    @cached_property
    def depth(self) -> int:
        """Number of edges on the longest path from "ip" to "op"."""
        return self.depths[self.output]

    @cached_property
    def depths(self) -> tuple[int, ...]:
        """Number of edges on the longest path from "ip" to each layer."""
        depths = [0] * len(self.labels)
        for layer in self.topological_order:
            if self.parents[layer]:
                depths[layer] = 1 + max([depths[parent] for parent in self.parents[layer]])
        return tuple(depths)

    @cached_property
    def digest(self) -> str:
        """Hexadecimal digest, equal for isomorphic graphs and different for others, but for some of extreme symmetry.

        It tells the graph in its exact canonical order (`kernels.canonical_order`); a graph for which that search is
        given up gets the digest of its stable colours, which distinct graphs may share. Where the search ends just
        below or above its limit, which of both it is can depend on the order of the layers.
        """
        form = self._canonical_form
        return hashlib.sha256(repr(form).encode()).hexdigest()[:32]

    def canonical(self) -> Architecture:
        """The same graph in canonical topological order, equal for isomorphic graphs; "ip" first and "op" last."""
        reordered = self._reordered(self._canonical_order[0])
        reordered.__dict__["_canonical_form"] = self._canonical_form  # spares it a search of its own
        return reordered

    def permuted(self, order: Sequence[int]) -> Architecture:
        """The same graph with layer `order[i]` at index i.

        Raises:
            ValueError: If `order` is not a permutation of the layer indices.
        """
        if sorted(order) != list(range(len(self))):
            raise ValueError(
                f"got the order {list(order)}, expected each index from 0 to {len(self) - 1} once; pass a permutation."
            )
        return self._reordered(order)

    def _reordered(self, order: Sequence[int]) -> Architecture:
        """`permuted` without a check: what holds for a graph holds for it in any order of its layers."""
        fields = {
            "labels": tuple([self.labels[layer] for layer in order]),
            "units": tuple([self.units[layer] for layer in order]),
            "edges": self._edges_in(order),
            "strides": None if self.strides is None else tuple([self.strides[layer] for layer in order]),
        }
        reordered = object.__new__(Architecture)
        reordered.__dict__.update(fields)
        return reordered

    @cached_property
    def _layer_keys(self) -> tuple[tuple[int, str, int, int], ...]:
        strides = self.strides or (None,) * len(self)
        return tuple(
            (depth, label, units or 0, stride or 0)
            for depth, label, units, stride in zip(self.depths, self.labels, self.units, strides, strict=True)
        )

    @cached_property
    def _canonical_order(self) -> tuple[tuple[int, ...], bool]:
        return canonical_order(self._layer_keys, self.parents, self.children)

    @cached_property
    def _canonical_form(self) -> tuple[object, ...]:
        order, complete = self._canonical_order
        if complete:
            return tuple([self._layer_keys[layer] for layer in order]), self._edges_in(order)
        colours = stable_colours(self._layer_keys, self.parents, self.children)
        return (
            tuple(sorted(zip(colours, self._layer_keys, strict=True))),
            tuple(sorted((colours[u], colours[v]) for u, v in self.edges)),
        )

    def _edges_in(self, order: Sequence[int]) -> tuple[Edge, ...]:
        position = {layer: i for i, layer in enumerate(order)}
        return tuple(sorted([(position[u], position[v]) for u, v in self.edges]))

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-ready lists; `strides` only where the network has any."""
        fields: dict[str, Any] = {
            "labels": list(self.labels),
            "units": list(self.units),
            "edges": [list(edge) for edge in self.edges],
        }
        if self.strides is not None:
            fields["strides"] = list(self.strides)
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Architecture:
        """The inverse of `to_dict`.

        Raises:
            ValueError: If a field is missing or does not describe a layer graph.
        """
        missing = [name for name in ("labels", "units", "edges") if name not in fields]
        if missing:
            raise ValueError(
                f"got an architecture without {', '.join(missing)}; expected what Architecture.to_dict writes."
            )
        return cls(fields["labels"], fields["units"], fields["edges"], fields.get("strides"))

    def to_json(self) -> str:
        """`to_dict` as one line of JSON."""
        return json.dumps(self.to_dict(), separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Architecture:
        """The inverse of `to_json`; raises ValueError as `from_dict` does."""
        try:
            fields = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"got text that is no JSON ({error}); expected what Architecture.to_json writes."
            ) from None
        if not isinstance(fields, dict):
            raise ValueError(
                f"got JSON of type {type(fields).__name__}, expected an object; pass what Architecture.to_json writes."
            )
        return cls.from_dict(fields)


def listed_networks(networks: Iterable[Architecture]) -> list[Architecture]:
    """The networks of any iterable, a generator or an array too, as a list.

    Raises:
        ValueError: If it is none, such as a single network, or holds something else, such as candidates.
    """
    if isinstance(networks, Architecture):
        raise ValueError("got a network, expected a list of networks; put it in brackets: [x].")
    if not isinstance(networks, Iterable):
        raise ValueError(f"got {networks!r}, expected a list of networks; put them in one.")
    listed = list(networks)
    strange = next((x for x in listed if not isinstance(x, Architecture)), None)
    if strange is not None:
        raise ValueError(
            f"got a {type(strange).__name__} in a list of networks, expected Architecture(...) alone; of "
            "candidates pass candidate.architecture."
        )
    return listed


def _several(entries: Iterable[Entry], what: str) -> tuple[Entry, ...]:
    if isinstance(entries, str) or not isinstance(entries, Iterable):
        raise ValueError(f"got {what} = {entries!r}, expected a list of them; put them in one.")
    return tuple(entries)


def is_whole(number: object) -> bool:
    """Whether that is a whole number, of Python's or of another type."""
    return isinstance(number, Integral)


def _whole(value: int | None, what: str) -> int | None:
    """The value as an int, where it is a whole number of any type."""
    if value is None or type(value) is int:
        return value
    try:
        whole = int(value)
    except (TypeError, ValueError, OverflowError):
        whole = None
    if whole is None or whole != value:
        raise ValueError(f"got {what} {value!r}, expected a whole number or None; round it.")
    return whole


def _edge(edge: Iterable[int]) -> Edge:
    if not isinstance(edge, Iterable):
        raise ValueError(f"got the edge {edge!r}, expected two layer indices; give each edge as (from, to).")
    ends = tuple([_whole(end, "an edge to or from layer") for end in edge])
    if len(ends) != 2 or ends[0] is None or ends[1] is None:
        raise ValueError(f"got the edge {tuple(edge)}, expected two layer indices; give each edge as (from, to).")
    return ends[0], ends[1]


def _adjacency(n: int, edges: Iterable[Edge]) -> tuple[tuple[int, ...], ...]:
    """For each layer the ends of its edges, in the order of `edges`."""
    neighbours: list[list[int]] = [[] for _ in range(n)]
    for u, v in edges:
        neighbours[u].append(v)
    return tuple([tuple(layers) for layers in neighbours])
