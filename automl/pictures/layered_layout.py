"""Layered layout of a directed acyclic graph: a row and a horizontal position for every vertex (Sugiyama et al. 1981).

Rows are longest-path depths; an edge over several rows passes through a bend in each row between, and all such edges
of one vertex share their bends, so a vertex that feeds many others far below draws one trunk with branches. Rows are
ordered by barycentre sweeps and exchanges of neighbours; positions are those of Brandes and Koepf 2001 (four
alignments, balanced), where trunks and vertex-to-vertex edges are kept straight first.

Symbols: vertices 0 to n - 1 are the graph's own, vertices from n on are bends.
"""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from itertools import pairwise

Rows = tuple[tuple[int, ...], ...]
Neighbours = tuple[tuple[int, ...], ...]

_SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """Where the vertices and bends of a graph are drawn.

    Args:
        rows: Vertices and bends of each row, left to right.
        sources: For each vertex itself, for each bend the vertex whose edges pass through it.
        below: For each vertex and bend, those of the next row that it leads to.
        centres: Horizontal centre of each vertex and bend, in the units of the widths, the leftmost border at 0.
    """

    rows: Rows
    sources: tuple[int, ...]
    below: Neighbours
    centres: tuple[float, ...]

    def is_bend(self, vertex: int) -> bool:
        """Whether `vertex` is a bend of a long edge, not a vertex of the graph."""
        return self.sources[vertex] != vertex


@dataclass(frozen=True)
class _Graph:
    """The graph with its bends: every segment leads from one row to the next."""

    row: tuple[int, ...]
    sources: tuple[int, ...]
    above: Neighbours
    below: Neighbours

    def is_bend(self, vertex: int) -> bool:
        return self.sources[vertex] != vertex


def layered_layout(
    n: int, edges: Iterable[tuple[int, int]], widths: Sequence[float], *, gap: float = 28.0, lane: float = 10.0
) -> Layout:
    """Rows and horizontal positions for an acyclic graph whose every vertex is drawn as a box.

    Args:
        n: Number of vertices, at least 1.
        edges: Pairs (from, to) of vertices, acyclic.
        widths: Width of each vertex's box.
        gap: Least distance between two boxes of a row.
        lane: Width kept free around the line of a long edge.

    Returns:
        The layout; the same for the same arguments.

    Raises:
        ValueError: If the number of widths is not `n`, or the edges have a cycle (graphlib.CycleError).
    """
    if len(widths) != n:
        raise ValueError(f"got {len(widths)} widths for {n} vertices, expected one each; give every box its width.")
    graph = _with_bends(n, list(edges))
    rows = _ordered(graph)
    bends = len(graph.row) - n
    centres = _balanced(graph, rows, half_widths=[width / 2 for width in widths] + [lane / 2] * bends, gap=gap)
    return Layout(rows, graph.sources, graph.below, tuple(centres))


def _with_bends(n: int, edges: list[tuple[int, int]]) -> _Graph:
    row = _depths(n, edges)
    sources = list(range(n))
    trunk: dict[tuple[int, int], int] = {}  # (source, row) -> bend
    segments: dict[tuple[int, int], None] = {}  # a dict keeps their order, a set would not
    for u, v in sorted(edges):
        last = u
        for r in range(row[u] + 1, row[v]):
            if (u, r) not in trunk:
                trunk[u, r] = len(sources)
                sources.append(u)
                row.append(r)
            segments[last, trunk[u, r]] = None
            last = trunk[u, r]
        segments[last, v] = None
    above: list[list[int]] = [[] for _ in row]
    below: list[list[int]] = [[] for _ in row]
    for u, v in segments:
        above[v].append(u)
        below[u].append(v)
    return _Graph(tuple(row), tuple(sources), tuple(map(tuple, above)), tuple(map(tuple, below)))


def _depths(n: int, edges: Iterable[tuple[int, int]]) -> list[int]:
    parents: dict[int, list[int]] = {vertex: [] for vertex in range(n)}
    for u, v in edges:
        parents[v].append(u)
    depths = [0] * n
    for vertex in TopologicalSorter(parents).static_order():
        depths[vertex] = max((depths[parent] + 1 for parent in parents[vertex]), default=0)
    return depths


# --- The order within rows ------------------------------------------------------------------------------------------


def _ordered(graph: _Graph) -> Rows:
    """Rows with few crossings, bends to the right of the boxes where nothing else decides."""
    rows: list[list[int]] = [[] for _ in range(max(graph.row) + 1)]
    for vertex, row in enumerate(graph.row):
        rows[row].append(vertex)
    best, fewest = [list(row) for row in rows], _crossings(rows, graph)
    for _ in range(_SWEEPS):
        if fewest == 0:
            break
        _sweep(rows, graph)
        _exchange_neighbours(rows, graph)
        if (crossings := _crossings(rows, graph)) < fewest:
            best, fewest = [list(row) for row in rows], crossings
    return tuple(map(tuple, best))


def _sweep(rows: list[list[int]], graph: _Graph) -> None:
    """Sorts each row by the mean position of its neighbours: those above on the way down, those below on the way up."""
    for order, neighbours in ((range(1, len(rows)), graph.above), (range(len(rows) - 2, -1, -1), graph.below)):
        for r in order:
            position = _positions(rows[r - 1] if neighbours is graph.above else rows[r + 1])
            keys = {vertex: float(place) for place, vertex in enumerate(rows[r])}
            for vertex in rows[r]:
                if near := neighbours[vertex]:
                    keys[vertex] = sum(position[other] for other in near) / len(near)
            rows[r].sort(key=keys.__getitem__)


def _exchange_neighbours(rows: list[list[int]], graph: _Graph) -> None:
    """Exchanges two neighbours of a row wherever that undoes a crossing, one pass down."""
    for r, row in enumerate(rows):
        up = _positions(rows[r - 1]) if r else {}
        down = _positions(rows[r + 1]) if r + 1 < len(rows) else {}
        for i in range(len(row) - 1):
            ends = [
                [sorted(position[other] for other in neighbours[vertex]) for vertex in (row[i], row[i + 1])]
                for position, neighbours in ((up, graph.above), (down, graph.below))
            ]
            kept = sum(_inversions(left, right) for left, right in ends)
            if sum(_inversions(right, left) for left, right in ends) < kept:
                row[i], row[i + 1] = row[i + 1], row[i]


def _inversions(left: Sequence[int], right: Sequence[int]) -> int:
    """Crossings between the segments of two neighbours, given the sorted positions of their other ends."""
    return sum(bisect_left(right, end) for end in left)


def _crossings(rows: Sequence[Sequence[int]], graph: _Graph) -> int:
    total = 0
    for upper, lower in pairwise(rows):
        position = _positions(lower)
        seen: list[int] = []
        for vertex in upper:
            ends = sorted(position[child] for child in graph.below[vertex])
            total += sum(len(seen) - bisect_left(seen, end + 1) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _positions(row: Sequence[int]) -> dict[int, int]:
    return {vertex: place for place, vertex in enumerate(row)}


# --- Horizontal positions -------------------------------------------------------------------------------------------


def _balanced(graph: _Graph, rows: Rows, half_widths: Sequence[float], gap: float) -> list[float]:
    """Brandes and Koepf's balanced positions: the mean of the two middle ones of the four extreme alignments."""
    straight = _straight_segments(graph, rows)
    layouts: list[list[float]] = []
    for upward in (False, True):
        for rightward in (False, True):
            order = tuple(row[::-1] if rightward else row for row in (rows[::-1] if upward else rows))
            roots = _align(order, straight, upward)
            xs = _compact(order, roots, half_widths, gap)
            layouts.append([-x for x in xs] if rightward else xs)
    borders = [
        (
            min(x - h for x, h in zip(xs, half_widths, strict=True)),
            max(x + h for x, h in zip(xs, half_widths, strict=True)),
        )
        for xs in layouts
    ]
    low, high = min(borders, key=lambda border: border[1] - border[0])
    for i, xs in enumerate(layouts):
        shift = high - borders[i][1] if i % 2 else low - borders[i][0]
        layouts[i] = [x + shift for x in xs]
    centres = [sum(sorted(xs)[1:3]) / 2 for xs in zip(*layouts, strict=True)]
    left = min(x - h for x, h in zip(centres, half_widths, strict=True))
    return [x - left for x in centres]


def _straight_segments(graph: _Graph, rows: Rows) -> dict[int, list[int]]:
    """For each vertex the vertices above it that it may stand straight below.

    Trunks come first, then edges between boxes that cross no trunk; an edge from a box into a trunk bends, unless the
    box leads nowhere else.
    """
    straight: dict[int, list[int]] = {}
    for upper, lower in pairwise(rows):
        up, down = _positions(upper), _positions(lower)
        segments = [(u, v) for u in upper for v in graph.below[u]]
        trunks = [(up[u], down[v]) for u, v in segments if graph.is_bend(u) and graph.is_bend(v)]
        for u, v in segments:
            is_trunk = graph.is_bend(u) and graph.is_bend(v)
            between_boxes = not graph.is_bend(u) and not graph.is_bend(v)
            only_trunk = graph.is_bend(v) and len(graph.below[u]) == 1
            crosses = any((up[u] - a) * (down[v] - b) < 0 for a, b in trunks)
            if is_trunk or ((between_boxes or only_trunk) and not crosses):
                straight.setdefault(v, []).append(u)
    return straight


def _align(rows: Rows, straight: Mapping[int, Sequence[int]], upward: bool) -> list[int]:
    """For each vertex the root of the block it is aligned with: its median neighbour's, where that crosses none."""
    neighbours: dict[int, list[int]] = {}
    for v, above in straight.items():
        for u in above:
            neighbours.setdefault(u if upward else v, []).append(v if upward else u)
    roots = list(range(sum(map(len, rows))))
    taken: set[int] = set()  # each vertex continues into one block only
    for upper, lower in pairwise(rows):
        position = _positions(upper)
        previous = -1
        for vertex in lower:
            near = sorted(neighbours.get(vertex, ()), key=position.__getitem__)
            middle = (len(near) - 1) / 2
            for other in near[math.floor(middle) : math.ceil(middle) + 1] if near else ():
                if roots[vertex] == vertex and previous < position[other] and other not in taken:
                    roots[vertex] = roots[other]
                    taken.add(other)
                    previous = position[other]
    return roots


def _compact(rows: Rows, roots: Sequence[int], half_widths: Sequence[float], gap: float) -> list[float]:
    """Leftmost positions of the blocks, each then moved right as far as its right neighbours leave room.

    Two longest-path passes over the graph of blocks, which avoid the known fault in the paper's own compaction.
    """
    left: dict[int, dict[int, float]] = {root: {} for root in roots}
    right: dict[int, dict[int, float]] = {root: {} for root in roots}
    for row in rows:
        for a, b in pairwise(row):
            distance = half_widths[a] + half_widths[b] + gap
            u, v = roots[a], roots[b]
            left[v][u] = right[u][v] = max(distance, left[v].get(u, 0.0))
    order = list(TopologicalSorter(left).static_order())
    xs: dict[int, float] = {}
    for root in order:
        xs[root] = max((xs[u] + distance for u, distance in left[root].items()), default=0.0)
    for root in reversed(order):
        xs[root] = max(xs[root], min((xs[v] - d for v, d in right[root].items()), default=-math.inf))
    return [xs[root] for root in roots]
