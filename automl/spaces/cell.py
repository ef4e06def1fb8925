"""CellSpace: cells of operations on edges or on nodes, alone or stacked to a network.

Two published search spaces are instances: `nas_bench_201()` (Dong and Yang 2020: six edges of a four-vertex graph, five
operations) and `nas_bench_graph()` (Qin et al. 2022: nine patterns of links between four operations, nine operations).

Assignments whose cells compute the same function by construction (see `automl.spaces.cell_graphs`) are one candidate,
so that no training and no trial of a search is spent on it twice: NAS-Bench-201's 15,625 assignments are 8,765
candidates, NAS-Bench-Graph's 59,049 are its 26,206 published cells. Every assignment stays valid; `encode` answers with
one representative of a candidate, always the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import permutations, product
from typing import Any, Final

import numpy as np

from automl.data.targets import Kind
from automl.observations import Candidate
from automl.parameters import Categorical, Parameter, Value
from automl.spaces.base import DECISION_OF_TASK, Choose, Space
from automl.spaces.cell_graphs import (
    Tree,
    contracted,
    edge_cell,
    edge_operations,
    first_cell,
    live_edges,
    node_cell,
    stacked,
    tree_of,
)
from automl.spaces.hyperparameters import (
    COMMON_PRACTICE,
    DEFAULT_HYPERPARAMETERS,
    Hyperparameters,
    check_names,
    choose_hyperparameters,
    constructor_arguments,
    encode_hyperparameters,
)
from automl.spaces.limits import as_several, check_least, check_task_kind
from automl.spaces.neighbours import perturbed
from kernels.architecture import CNN_LABELS, MLP_LABELS, Architecture, Edge
from kernels.layer_costs import operation_attributes

EDGE_OPERATIONS: Final = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""NAS-Bench-201's operations; "none" is the zero operation."""

GRAPH_OPERATIONS: Final = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "dense", "skip")
"""NAS-Bench-Graph's operations; "skip" is the identity, "dense" the benchmark's "fc", a name that CNNs have taken."""

GRAPH_LINKS: Final = (
    (0, 0, 0, 0),
    (0, 0, 0, 1),
    (0, 0, 1, 1),
    (0, 0, 1, 2),
    (0, 0, 1, 3),
    (0, 1, 1, 1),
    (0, 1, 1, 2),
    (0, 1, 2, 2),
    (0, 1, 2, 3),
)
"""NAS-Bench-Graph's patterns: what each of the four operations reads, 0 for the input, k for the k-th operation."""

_LINKS = "links"
_CONVOLUTION, _SKIP = "nor_conv_3x3", "skip_connect"
_LIST_LIMIT = 100_000  # Assignments; a larger space is not listed, and no more are remembered.


@dataclass(frozen=True)
class CellSpace(Space):
    """Cells of operations, alone or stacked to a network.

    Args:
        operations: Labels of the operations.
        vertices: Of a cell with operations on edges: an operation is chosen for each pair of vertices.
        links: Patterns of a cell with operations on nodes, instead of `vertices`: for each operation what it reads, 0
            for the cell's input, k for the k-th operation.
        zero: The operation on an edge that stands for no edge.
        identity: The operation on a node that passes on its input.
        channels: Units of every layer of a stage, one entry a stage; without any the candidate is the bare cell.
        copies: Cells of a stage.
        task_kind: "classification" (softmax decision layer) or "regression" (linear); `for_task` adapts it.
        hyperparameters: What else is searched, by name.

    Raises:
        ValueError: If there is no operation to choose from, or a pattern links forward.

    Example:
        >>> space = CellSpace.nas_bench_201()
        >>> candidate = space.sample(np.random.default_rng(0))
        >>> space.decode(space.encode(candidate)) == candidate
        True
    """

    operations: tuple[str, ...] = EDGE_OPERATIONS
    vertices: int = 4
    links: tuple[tuple[int, ...], ...] = ()
    zero: str = "none"
    identity: str = "skip"
    channels: tuple[int, ...] = (16, 32)
    copies: int = 1
    task_kind: Kind = "classification"
    hyperparameters: Mapping[str, Parameter] = DEFAULT_HYPERPARAMETERS

    def __post_init__(self) -> None:
        for name in ("operations", "channels"):
            object.__setattr__(self, name, as_several(name, getattr(self, name)))
        patterns = [as_several("a pattern of links", pattern) for pattern in as_several("links", self.links)]
        object.__setattr__(self, "links", tuple(patterns))
        object.__setattr__(self, "hyperparameters", Hyperparameters(self.hyperparameters))
        check_task_kind(self.task_kind)
        self._check_operations()
        self._check_stages()
        for pattern in self.links:
            _check_pattern(pattern, len(self.links[0]))
        check_names(self.hyperparameters, self._structure)

    def _check_operations(self) -> None:
        if not all(isinstance(label, str) for label in self.operations):
            raise ValueError(f"got the operations {self.operations}, expected texts; write the labels of operations.")
        taken = set(self.operations) & (CNN_LABELS | MLP_LABELS)
        if taken:
            raise ValueError(
                f"got the operations {sorted(taken)}, whose labels are those of layers of an MLP or CNN; rename them."
            )
        if not self._at_work:
            raise ValueError(
                f"got the operations {self.operations}, expected at least one that computes something; add one."
            )

    def _check_stages(self) -> None:
        check_least("vertices", self.vertices, 2)
        check_least("copies", self.copies, 1)
        for width in self.channels:
            check_least("channels", width, 1)

    @classmethod
    def nas_bench_201(cls) -> CellSpace:
        """The bare cells of NAS-Bench-201 (Dong and Yang 2020), without hyperparameters."""
        return cls(channels=(), hyperparameters={})

    @classmethod
    def nas_bench_graph(cls, operations: Sequence[str] = GRAPH_OPERATIONS) -> CellSpace:
        """The bare cells of NAS-Bench-Graph (Qin et al. 2022); its data set "proteins" knows fewer operations."""
        return cls(tuple(operations), links=GRAPH_LINKS, channels=(), hyperparameters={})

    @cached_property
    def _pairs(self) -> tuple[Edge, ...]:
        """The edges in NAS-Bench-201's order: by head, then by tail."""
        return tuple((tail, head) for head in range(1, self.vertices) for tail in range(head))

    @cached_property
    def _structure(self) -> dict[str, Parameter]:
        operation: Parameter = Categorical(self.operations)
        if not self.links:
            return {f"operation_{tail}_{head}": operation for tail, head in self._pairs}
        patterns: Parameter = Categorical(tuple(_pattern_name(pattern) for pattern in self.links))
        return {_LINKS: patterns} | {f"operation_{node}": operation for node in range(1, len(self.links[0]) + 1)}

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """Every parameter that `build` asks for, by name, in the order of the walk."""
        return {**self._structure, **self.hyperparameters}

    @cached_property
    def initial(self) -> tuple[Candidate, ...]:
        """Of bare cells those of one operation each, in two patterns; of stacked ones a residual chain of convolutions.

        What an operation is worth shows plainest without others beside it. Where operations are on edges the patterns
        are a chain and a chain past which the input skips, as in residual networks (He et al. 2016; BENCHMARKS.md,
        "cells of one operation").
        """
        return tuple(dict.fromkeys(map(self._beginning, self._simple())))

    def _simple(self) -> Iterable[tuple[str, ...]]:
        """The choices of links and operations that make the simple cells."""
        if self.links:
            return () if self.channels else self._alone_on_nodes()
        if self.zero not in self.operations:  # every pair of vertices is joined, so that there are no chains
            return ()
        if not self.channels:
            return self._alone_on_edges()
        return [self._chain(_CONVOLUTION, past=_SKIP)] if {_CONVOLUTION, _SKIP} <= set(self.operations) else ()

    def _alone_on_edges(self) -> Iterator[tuple[str, ...]]:
        """Choices of a chain of each operation, first with an identity past it and then without."""
        identities = [label for label in self.operations if operation_attributes(label).family == "identity"]
        for past in (*identities[:1], self.zero):
            for operation in self._at_work:
                if operation not in identities:
                    yield self._chain(operation, past=past)

    def _chain(self, operation: str, past: str) -> tuple[str, ...]:
        """The choice of a chain of one operation, and what joins its ends."""
        ends = {(0, self.vertices - 1): past}
        return tuple(operation if b == a + 1 else ends.get((a, b), self.zero) for a, b in self._pairs)

    @property
    def _at_work(self) -> tuple[str, ...]:
        """The operations that compute something."""
        idle = self.identity if self.links else self.zero
        return tuple(label for label in self.operations if label != idle)

    def _alone_on_nodes(self) -> Iterator[tuple[str, ...]]:
        """Choices of links and operations in which all operations are the same.

        Each operation takes two patterns that are far apart, the next operation the next two: all patterns take turns.
        """
        n = len(self.links)
        for shift in (0, n // 2):
            for i, operation in enumerate(self._at_work):
                pattern = self.links[(i + shift) % n]
                yield (_pattern_name(pattern), *[operation] * len(pattern))

    def _beginning(self, chosen: Sequence[str]) -> Candidate:
        """A choice of links and operations with the hyperparameters of common practice."""
        return self.nearest({**COMMON_PRACTICE, **dict(zip(self._structure, chosen, strict=True))})

    def for_task(self, kind: Kind, image_size: int | None = None) -> CellSpace:
        """The same cells with the decision layer of a task, and no stage that its images are too small for."""
        halvings = len(self.channels) if image_size is None else max(int(image_size).bit_length() - 1, 1)
        return replace(self, task_kind=kind, channels=self.channels[:halvings])

    def build(self, choose: Choose) -> Candidate:
        """Asks for the links if any, for every operation, then for the hyperparameters."""
        chosen = tuple(str(choose(name, parameter)) for name, parameter in self._structure.items())
        return Candidate(self._network(self._cell(chosen)), choose_hyperparameters(choose, self.hyperparameters))

    def _cell(self, chosen: Sequence[str]) -> Architecture:
        if self.links:
            return node_cell(self._tree(chosen))
        return edge_cell(dict(zip(self._pairs, chosen, strict=True)), self.zero)

    def _tree(self, chosen: Sequence[str]) -> Tree:
        """The tree of a choice of links and operations; identities alone stand for the first operation that is none."""
        links = [int(source) for source in chosen[0].split("-")]
        tree = contracted(links, chosen[1:], self.identity)
        return tree or ((next(label for label in self.operations if label != self.identity), ()),)

    def _network(self, cell: Architecture) -> Architecture:
        if not self.channels:
            return cell
        return stacked(cell, self.channels, self.copies, DECISION_OF_TASK[self.task_kind])

    def encode(self, candidate: Candidate) -> dict[str, Value]:
        """The representative of the assignments that make `candidate`: the first in the order of the choices.

        Raises:
            ValueError: If the candidate lies outside the space.
        """
        graph = candidate.architecture
        cell = first_cell(graph) if self.channels and graph is not None else graph
        chosen = None if cell is None else self._representative(cell)
        if graph is None or cell is None or chosen is None or self._network(self._cell(chosen)).digest != graph.digest:
            raise ValueError(
                f"got {'no architecture' if graph is None else f'a network of the layers {graph.labels}'}, expected "
                f"a cell of {', '.join(self.operations)}; was the candidate made in another space?"
            )
        structure: dict[str, Value] = dict(zip(self._structure, chosen, strict=True))
        return structure | encode_hyperparameters(candidate, self.hyperparameters)

    @cached_property
    def _representatives(self) -> dict[str, tuple[str, ...] | None]:
        return {}

    def _representative(self, cell: Architecture) -> tuple[str, ...] | None:
        """The first choice of links and operations that makes the cell; None where none does."""
        known = self._representatives
        if cell.digest not in known:
            if len(known) >= _LIST_LIMIT:
                known.clear()
            known[cell.digest] = self._first_choice(cell)
        return known[cell.digest]

    def _first_choice(self, cell: Architecture) -> tuple[str, ...] | None:
        return next(self._node_choices(cell) if self.links else self._edge_choices(cell), None)

    def _edge_choices(self, cell: Architecture) -> Iterator[tuple[str, ...]]:
        rank = {label: i for i, label in enumerate(self.operations)}
        found = [tuple(live.get(e, self.zero) for e in self._pairs) for live in edge_operations(cell, self.vertices)]
        known = [chosen for chosen in found if set(chosen) <= rank.keys()]
        yield from sorted(known, key=lambda chosen: [rank[label] for label in chosen])

    def _node_choices(self, cell: Architecture) -> Iterator[tuple[str, ...]]:
        size = len(self.links[0])
        labels = [label for v, label in enumerate(cell.labels) if v not in (cell.input, cell.output)]
        tree = tree_of(cell)
        if tree is None or len(labels) > size or not set(labels) <= set(self.operations):
            return
        labels = sorted([*labels, *[self.identity] * (size - len(labels))], key=self.operations.index)
        for pattern, order in product(self.links, dict.fromkeys(permutations(labels))):
            if contracted(pattern, order, self.identity) == tree:
                yield (_pattern_name(pattern), *order)

    def sample(self, generator: np.random.Generator) -> Candidate:
        """A random candidate, drawn as the authors of the two published spaces list theirs.

        With operations on edges every assignment is equally probable, with operations on nodes every cell: of its
        assignments, whose number differs from cell to cell, the representative alone is accepted.
        """
        while True:
            assignment = {name: parameter.sample(generator) for name, parameter in self.parameters.items()}
            candidate = self.decode(assignment)
            if not self.links or self.encode(candidate) == assignment:
                return candidate

    def mutate(self, candidate: Candidate, generator: np.random.Generator) -> Candidate:
        """A candidate with one operation, the pattern of links, or one hyperparameter changed."""
        n_cell, n_other = len(self._structure), len(self.hyperparameters)
        if n_other and generator.random() < n_other / (n_cell + n_other):
            changed = perturbed(candidate.hyperparameters, self.hyperparameters, generator)
            if changed is not candidate.hyperparameters:  # else every range holds one value alone
                return Candidate(candidate.architecture, changed)
        assignment = self.encode(candidate)
        edits = [
            (name, choice)
            for name, parameter in self._structure.items()
            if isinstance(parameter, Categorical)
            for choice in parameter.choices
            if choice != assignment[name]
        ]
        for i in generator.permutation(len(edits)):
            name, choice = edits[int(i)]
            mutant = self.decode({**assignment, name: choice})
            if mutant != candidate:
                return mutant
        return candidate

    @cached_property
    def _listed(self) -> tuple[Candidate, ...] | None:
        choices = [p.choices for p in self.parameters.values() if isinstance(p, Categorical)]
        if len(choices) < len(self.parameters) or math.prod(map(len, choices)) > _LIST_LIMIT:
            return None
        alike: dict[object, dict[str, Value]] = {}
        for chosen in product(*choices):
            cell = tuple(map(str, chosen[: len(self._structure)]))
            alike.setdefault((self._key(cell), chosen[len(cell) :]), dict(zip(self.parameters, chosen, strict=True)))
        return tuple(dict.fromkeys(map(self.decode, alike.values())))

    def _key(self, chosen: Sequence[str]) -> object:
        """Equal only for choices of one cell, and computed ten times as fast as the cell."""
        if self.links:
            return self._tree(chosen)
        return tuple(live_edges(dict(zip(self._pairs, chosen, strict=True)), self.zero).items())

    @property
    def candidates(self) -> Sequence[Candidate] | None:
        """All candidates, each once, in the order of their first assignment; None in a space too large to list."""
        return self._listed

    def to_dict(self) -> dict[str, Any]:
        """The space as JSON-ready fields, read back by `from_dict`."""
        return {
            "type": "cell",
            "operations": list(self.operations),
            "vertices": self.vertices,
            "links": [list(pattern) for pattern in self.links],
            "zero": self.zero,
            "identity": self.identity,
            "channels": list(self.channels),
            "copies": self.copies,
            "task_kind": self.task_kind,
            "hyperparameters": Hyperparameters(self.hyperparameters).to_dict(),
        }

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> CellSpace:
        """The inverse of `to_dict`; raises ValueError where the fields make no space."""
        return cls(**constructor_arguments(fields))


def _pattern_name(pattern: Sequence[int]) -> str:
    return "-".join(map(str, pattern))


def _check_pattern(pattern: Sequence[int], size: int) -> None:
    if len(pattern) != size or not all(0 <= source <= i for i, source in enumerate(pattern)):
        raise ValueError(
            f"got the links {tuple(pattern)}, expected {size} numbers, the i-th (from 0) at most i; "
            "let each operation read the input (0) or an earlier operation."
        )
