"""Graphs of cells: operations on edges or on nodes as a layer graph and back, and a cell stacked to a network.

A cell is an `Architecture` whose layers between "ip" and "op" are its operations. Two sorts of cells are known:

- Operations on edges (Dong and Yang 2020, NAS-Bench-201): an operation for every pair i < j of n vertices; vertex j
  is the sum of what arrives there. An operation becomes a layer (edge-to-node conversion), fed by the operations that
  end where it begins. Edges with the zero operation, and whatever they cut off from input or output, compute nothing
  and are left out.
- Operations on nodes (Qin et al. 2022, NAS-Bench-Graph): every operation reads one earlier operation or the input,
  and all loose ends join the output. An identity that only passes on its input is contracted, one that leads from an
  inner operation straight to the output is kept: the equivalence under which NAS-Bench-Graph counts 26,206 cells.

So assignments that compute the same function by construction are one cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import permutations

from kernels.architecture import INPUT, OUTPUT, Architecture, Edge

STEM = "stem"
SUM = "sum"
REDUCTION = "reduction"

Tree = tuple[tuple[str, "Tree"], ...]
"""The operations that read one place: for each its label and the operations that read it, sorted."""

_CACHED = 65_536  # Cells; searches come back to the same ones again and again, and a canonical order takes its time.


def live_edges(operations: Mapping[Edge, str], zero: str) -> dict[Edge, str]:
    """Those of a cell's edges that lie on a path of non-zero operations from vertex 0 to the last vertex."""
    last = max(head for _, head in operations)
    kept = {edge for edge, label in operations.items() if label != zero}
    reached, useful = {0}, {last}
    for tail, head in sorted(kept):
        if tail in reached:
            reached.add(head)
    for tail, head in sorted(kept, reverse=True):
        if head in useful:
            useful.add(tail)
    return {
        (tail, head): label
        for (tail, head), label in operations.items()
        if (tail, head) in kept and tail in reached and head in useful
    }


def edge_cell(operations: Mapping[Edge, str], zero: str) -> Architecture:
    """The cell of operations on edges, in canonical order; a cell without a live edge is a single zero operation."""
    last = max(head for _, head in operations)
    return _edge_cell(tuple((live_edges(operations, zero) or {(0, last): zero}).items()))


@lru_cache(maxsize=_CACHED)
def _edge_cell(operations: tuple[tuple[Edge, str], ...]) -> Architecture:
    live = dict(operations)
    last = max(head for _, head in live)
    layer = {edge: i for i, edge in enumerate(live, start=1)}
    end = len(live) + 1
    edges: list[Edge] = []
    for (tail, head), i in layer.items():
        edges += [(0, i)] if tail == 0 else []
        edges += [(i, end)] if head == last else [(i, layer[other]) for other in layer if other[0] == head]
    return _cell(list(live.values()), edges)


def edge_operations(cell: Architecture, vertices: int) -> Iterator[dict[Edge, str]]:
    """The live edges of every numbering of a cell's vertices that keeps edges pointing upwards: inverse of `edge_cell`.

    Operations begin at the same vertex where they read the same layers, so a vertex is a set of parents.
    """
    operations = [v for v in cell.topological_order if v not in (cell.input, cell.output)]
    inner = list(dict.fromkeys(cell.parents[v] for v in operations if cell.parents[v] != (cell.input,)))
    ends = {v: place for place, parents in enumerate(inner) for v in parents}
    for numbers in permutations(range(1, vertices - 1), len(inner)):
        tails = {parents: number for parents, number in zip(inner, numbers, strict=True)}
        edges = {
            (tails.get(cell.parents[v], 0), numbers[ends[v]] if v in ends else vertices - 1): cell.labels[v]
            for v in operations
        }
        if len(edges) == len(operations) and all(tail < head for tail, head in edges):
            yield edges


def contracted(links: Sequence[int], operations: Sequence[str], identity: str) -> Tree:
    """The tree of operations that do something; empty where all are identities.

    Args:
        links: For each operation what it reads: 0 for the cell's input, k for the k-th operation, k at most its index.
        operations: Their labels.
        identity: The label that passes on its input.
    """
    readers: list[list[int]] = [[] for _ in range(len(links) + 1)]
    for node, source in enumerate(links, start=1):
        readers[source].append(node)

    def expand(place: int) -> Tree:
        found: list[tuple[str, Tree]] = []
        for node in readers[place]:
            below = expand(node)
            if operations[node - 1] != identity or not readers[node]:
                found.append((operations[node - 1], below))
            else:
                found.extend(below or ((identity, ()),))
        return () if [label for label, _ in found] == [identity] else tuple(sorted(found))

    return tuple(branch for branch in expand(0) if branch[0] != identity)


@lru_cache(maxsize=_CACHED)
def node_cell(tree: Tree) -> Architecture:
    """The cell of operations on nodes, in canonical order; operations that nothing reads lead to the output."""
    labels: list[str] = []
    edges: list[Edge] = []
    ends: list[int] = []

    def grow(source: int, branches: Tree) -> None:
        for label, below in branches:
            labels.append(label)
            node = len(labels)
            edges.append((source, node))
            if not below:
                ends.append(node)
            grow(node, below)

    grow(0, tree)
    return _cell(labels, edges + [(node, len(labels) + 1) for node in ends])


def tree_of(cell: Architecture) -> Tree | None:
    """The tree from which `node_cell` makes the cell; None where an operation reads several others."""
    if any(len(cell.parents[v]) > 1 for v in range(len(cell)) if v != cell.output):
        return None

    def branches(v: int) -> Tree:
        return tuple(sorted((cell.labels[w], branches(w)) for w in cell.children[v] if w != cell.output))

    return branches(cell.input)


@lru_cache(maxsize=_CACHED)
def stacked(cell: Architecture, channels: tuple[int, ...], copies: int, decision: str) -> Architecture:
    """The network of a cell, in canonical order: a stem, then stages of `copies` cells each, then the decision layer.

    Every layer of a stage has the stage's channels; a reduction that halves the image leads from stage to stage, and a
    "sum" ends each cell (Dong and Yang 2020, figure 1).
    """
    inner = [v for v in cell.topological_order if v not in (cell.input, cell.output)]
    labels: list[str] = [INPUT]
    units: list[int | None] = [None]
    edges: list[Edge] = []

    def append(label: str, width: int | None, sources: Sequence[int]) -> int:
        labels.append(label)
        units.append(width)
        edges.extend((source, len(labels) - 1) for source in sources)
        return len(labels) - 1

    end = 0
    for stage, width in enumerate(channels):
        end = append(REDUCTION if stage else STEM, width, [end])
        for _ in range(copies):
            place = {cell.input: end}
            for v in inner:
                place[v] = append(cell.labels[v], width, [place[p] for p in cell.parents[v]])
            end = append(SUM, width, [place[v] for v in cell.parents[cell.output]])
    end = append(decision, None, [end])
    append(OUTPUT, None, [end])
    return Architecture(tuple(labels), tuple(units), tuple(edges)).canonical()


def first_cell(network: Architecture) -> Architecture | None:
    """The first cell of a stacked network; None where the network has no stem followed by a cell that ends in a sum."""
    stem = network.labels.index(STEM) if network.labels.count(STEM) == 1 else None
    if stem is None:
        return None
    place = {stem: 0}
    edges: list[Edge] = []
    ends: list[int] = []
    for v in network.topological_order:
        sources = [place[p] for p in network.parents[v] if p in place]
        if not sources:
            continue
        if network.labels[v] == SUM:
            ends += sources
        else:
            place[v] = len(place)
            edges += [(source, place[v]) for source in sources]
    labels = [network.labels[v] for v in list(place)[1:]]
    return _cell(labels, edges + [(v, len(labels) + 1) for v in ends]) if labels and ends else None


def _cell(labels: Sequence[str], edges: Sequence[Edge]) -> Architecture:
    return Architecture((INPUT, *labels, OUTPUT), (None,) * (len(labels) + 2), tuple(edges)).canonical()
