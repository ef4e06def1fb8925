"""Canonical order of layer graphs: invariance, also under extreme symmetry, and agreement with an isomorphism test."""

from __future__ import annotations

from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.architecture import Architecture
from kernels.canonical_order import canonical_order


def parallel_chains(n_chains: int, length: int) -> Architecture:
    """Equal chains side by side between input and decision: n_chains! symmetries."""
    n = n_chains * length
    edges = []
    for chain in range(n_chains):
        layers = [0, *range(1 + chain * length, 1 + (chain + 1) * length), n + 1]
        edges += list(pairwise(layers))
    labels = ("ip", *["relu"] * n, "softmax", "op")
    return Architecture(labels, (None, *[16] * n, None, None), (*edges, (n + 1, n + 2)))


def two_rings(sizes: tuple[int, ...]) -> Architecture:
    """Rings of layers that alternate between two depths: refinement cannot tell one ring of six from two of three."""
    n = sum(sizes)
    edges = []
    start = 0
    for size in sizes:
        for i in range(size):
            upper, lower = 1 + start + i, 1 + n + start + i
            edges += [(0, upper), (upper, lower), (upper, 1 + n + start + (i + 1) % size), (lower, 2 * n + 1)]
        start += size
    labels = ("ip", *["relu"] * n, *["tanh"] * n, "softmax", "op")
    return Architecture(labels, (None, *[8] * (2 * n), None, None), (*edges, (2 * n + 1, 2 * n + 2)))


def shuffled(architecture: Architecture, seed: int) -> Architecture:
    return architecture.permuted([int(i) for i in np.random.default_rng(seed).permutation(len(architecture))])


@pytest.mark.parametrize(
    "architecture", [parallel_chains(8, 2), parallel_chains(5, 4), two_rings((3, 3)), two_rings((6,))]
)
def test_the_canonical_order_of_very_symmetric_graphs_is_found_whatever_order_they_come_in(
    architecture: Architecture,
) -> None:
    canonical = architecture.canonical()
    for seed in range(3):
        other = shuffled(architecture, seed)
        assert other.canonical() == canonical
        assert other.digest == architecture.digest
    assert canonical.canonical() == canonical
    assert canonical_order(architecture.labels, architecture.parents, architecture.children)[1]


def test_graphs_that_refinement_cannot_tell_apart_have_different_digests() -> None:
    assert two_rings((3, 3)).digest != two_rings((6,)).digest


def test_a_canonical_graph_has_the_digest_of_the_graph_that_it_was_made_of() -> None:
    architecture = parallel_chains(2, 3)
    afresh = Architecture.from_dict(architecture.canonical().to_dict())
    assert architecture.canonical().digest == architecture.digest == afresh.digest


def random_graph(generator: np.random.Generator, most: int = 5) -> Architecture:
    """Few labels and no units, so that many pairs of graphs, or of layers, are nearly or wholly alike."""
    n = int(generator.integers(2, most + 1))
    edges = {(int(generator.integers(0, layer)), layer) for layer in range(1, n + 1)}
    edges |= {(int(generator.integers(0, layer)), layer) for layer in range(1, n + 1)}
    edges |= {(layer, n + 1) for layer in range(n + 1) if not any(u == layer for u, _ in edges)}
    labels = ("ip", *["ab"[int(generator.integers(2))] for _ in range(n)], "op")
    return Architecture(labels, (None,) * (n + 2), tuple(edges))


def are_isomorphic(a: Architecture, b: Architecture) -> bool:
    """By trying every order of the layers between "ip" and "op"."""
    last = len(b) - 1
    if len(a) != len(b):
        return False
    orders = ((0, *inner, last) for inner in permutations(range(1, last)))
    return any(
        all(a.labels[layer] == b.labels[i] for i, layer in enumerate(order))
        and {(order[u], order[v]) for u, v in b.edges} == set(a.edges)
        for order in orders
    )


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_digests_are_equal_exactly_for_isomorphic_graphs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    graphs = [random_graph(generator) for _ in range(8)]
    for a in graphs:
        for b in graphs:
            same = are_isomorphic(a, b)
            assert (a.digest == b.digest) == same
            assert (a.canonical() == b.canonical()) == same


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_graphs_of_layers_that_are_hard_to_tell_apart_are_the_same_in_any_order_of_them(seed: int) -> None:
    graph = random_graph(np.random.default_rng(seed), most=12)
    for other in (shuffled(graph, seed) for seed in range(4)):
        assert other.digest == graph.digest
        assert other.canonical() == graph.canonical()
