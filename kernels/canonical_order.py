"""Canonical order of the layers of a graph: the same for isomorphic graphs, whatever order their layers come in.

Colour refinement (the directed one-dimensional Weisfeiler-Lehman test) splits the layers into classes; where layers
remain tied, each in turn is singled out and refined further, and the order whose edges are least wins (McKay 1981,
"Practical graph isomorphism"). Two branches of that search that reach the same edges are images of each other under
a symmetry of the graph, so one of them is enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

_SEARCH_LIMIT: Final = 512  # complete orders looked at; only graphs that refinement cannot tell apart come near it

Colours = list[int]
"""For each layer the number of layers that come before its class; all different in a complete order."""

Neighbours = Sequence[Sequence[int]]
_Edges = tuple[tuple[int, int], ...]


def canonical_order(keys: Sequence[Any], parents: Neighbours, children: Neighbours) -> tuple[tuple[int, ...], bool]:
    """The canonical order of the layers.

    Args:
        keys: What distinguishes a layer by itself; comparable. Layers are ordered by key first.
        parents: For each layer, those it reads from.
        children: For each layer, those that read from it.

    Returns:
        The layers in order, and whether the search was complete (if so, isomorphic graphs get equal orders).
    """
    search = _Search(parents, children)
    best, _ = search.explore(refined(_ranks(keys), parents, children))
    return tuple(sorted(range(len(keys)), key=best.colours.__getitem__)), search.leaves <= _SEARCH_LIMIT


def stable_colours(keys: Sequence[Any], parents: Neighbours, children: Neighbours) -> Colours:
    """The classes of layers that colour refinement cannot tell apart: invariant, but no complete order."""
    return refined(_ranks(keys), parents, children)


def refined(colours: Colours, parents: Neighbours, children: Neighbours) -> Colours:
    """Splits classes by the colours of parents and children until none splits, keeping the order of the classes."""
    n = len(colours)
    while len(set(colours)) < n:
        keys = [
            (colour, sorted([colours[p] for p in parents[layer]]), sorted([colours[c] for c in children[layer]]))
            for layer, colour in enumerate(colours)
        ]
        split = _ranks([(own, tuple(above), tuple(below)) for own, above, below in keys])
        if split == colours:
            break
        colours = split
    return colours


@dataclass(frozen=True, order=True)
class _Leaf:
    """A complete order, and the graph's edges told in it."""

    edges: _Edges
    colours: Colours


@dataclass
class _Search:
    parents: Neighbours
    children: Neighbours
    leaves: int = 0

    def explore(self, colours: Colours) -> tuple[_Leaf, _Leaf]:
        """The best of the complete orders that refine `colours`, and the one found by always taking the first layer."""
        tied = _first_tied_class(colours)
        if not tied:
            leaf = self._leaf(colours)
            return leaf, leaf
        best = first = None
        reached: set[_Edges] = set()
        for layer in self._without_twins(tied):
            split = self._singled_out(colours, layer)
            if first is None or best is None:
                best, first = self.explore(split)
                reached.add(first.edges)
            elif (leaf := self._first_leaf(split)).edges not in reached and self.leaves <= _SEARCH_LIMIT:
                reached.add(leaf.edges)
                best = min(best, self.explore(split)[0])
        assert first is not None and best is not None, "a tied class has layers"
        return best, first

    def _first_leaf(self, colours: Colours) -> _Leaf:
        while tied := _first_tied_class(colours):
            colours = self._singled_out(colours, tied[0])
        return self._leaf(colours)

    def _leaf(self, colours: Colours) -> _Leaf:
        self.leaves += 1
        edges = [(colours[u], colours[v]) for u, layers in enumerate(self.children) for v in layers]
        return _Leaf(tuple(sorted(edges)), colours)

    def _singled_out(self, colours: Colours, layer: int) -> Colours:
        tied = colours[layer]
        split = [colour + (colour == tied and other != layer) for other, colour in enumerate(colours)]
        return refined(split, self.parents, self.children)

    def _without_twins(self, tied: Sequence[int]) -> list[int]:
        # Exchanging two layers with the same neighbours changes nothing: one stands for both.
        return list({(tuple(self.parents[layer]), tuple(self.children[layer])): layer for layer in tied}.values())


def _ranks(keys: Sequence[Any]) -> Colours:
    """Each key replaced by the number of keys smaller than it: a class of n equal keys leaves room to be split."""
    first: dict[Any, int] = {}
    for position, key in enumerate(sorted(keys)):
        first.setdefault(key, position)
    return [first[key] for key in keys]


def _first_tied_class(colours: Colours) -> list[int]:
    """The layers of the first class that holds more than one; empty where none does."""
    if len(set(colours)) == len(colours):
        return []
    classes: dict[int, list[int]] = {}
    for layer, colour in enumerate(colours):
        classes.setdefault(colour, []).append(layer)
    return classes[min([colour for colour, layers in classes.items() if len(layers) > 1])]
