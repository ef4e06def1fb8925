"""What is counted in layer graphs: Weisfeiler-Lehman subtrees, label paths, labels by depth, edges.

The Weisfeiler-Lehman subtree kernel (Shervashidze et al. 2011; Ru et al. 2021, NAS-BOWL) colours every layer by its
label, then h times anew by its own colour and those of its neighbours, and counts all colours of all rounds. Here
neighbours are told apart by direction. As a kernel on its own it is the cosine of two vectors of counts: positive
semi-definite, 1 for a graph with itself, and linear in the size of the graphs; `kernels.count_kernel` weighs several
sorts of counts. Label paths are the path encoding of BANANAS (White et al. 2021), counted. Colours are 64-bit
digests of what they stand for, so that counts of graphs met at different times, or in different processes, have a
vocabulary in common.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import log2
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

from kernels.architecture import Architecture, is_whole, listed_networks

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.uint64]
Counts = Mapping[int, int]
Direction = Literal["parents", "children", "both"]

_CACHED_NETWORKS = 8192
_CACHED_DIGESTS = 65_536  # mutants share most of what is counted in them


def weisfeiler_lehman_kernel(
    a: Iterable[Architecture],
    b: Iterable[Architecture] | None = None,
    iterations: int = 2,
    *,
    direction: Direction = "both",
    with_units: bool = False,
) -> Floats:
    """Normalised Weisfeiler-Lehman subtree kernel between all graphs of two lists.

    Args:
        a: Graphs.
        b: Graphs; `a` itself by default.
        iterations: Rounds h of recolouring; 0 compares the histograms of labels.
        direction: Which neighbours a round looks at.
        with_units: Whether a layer's first colour is its label with its units, to the nearest power of two, and its
            stride, and not its label alone.

    Returns:
        A float64 array (len(a), len(b)) with entries in [0, 1].

    Raises:
        ValueError: If `iterations` is no number from 0, the direction unknown, or something else stands where a list of
            networks should.
    """
    first = listed_networks(a)
    graphs = [*first, *(() if b is None else listed_networks(b))]
    matrix = count_matrix(
        [weisfeiler_lehman_counts(graph, iterations, direction=direction, with_units=with_units) for graph in graphs]
    )
    norms = np.sqrt(matrix.power(2).sum(axis=1))
    rows, columns = slice(len(first)), slice(len(first)) if b is None else slice(len(first), None)
    products = (matrix[rows] @ matrix[columns].T).toarray()
    cosines: Floats = products / np.outer(norms[rows], norms[columns])
    return cosines


@lru_cache(maxsize=_CACHED_NETWORKS)
def weisfeiler_lehman_counts(
    architecture: Architecture,
    iterations: int = 2,
    *,
    direction: Direction = "both",
    with_units: bool = False,
    last_alone: bool = False,
) -> Counts:
    """How often each colour occurs among the layers; see `weisfeiler_lehman_kernel`.

    Args:
        architecture: The graph.
        iterations: Rounds of recolouring.
        direction: Which neighbours a round looks at.
        with_units: Whether first colours tell units and strides apart.
        last_alone: Whether the colours of the last round alone are counted, and not those of all rounds together.

    Raises:
        ValueError: If `iterations` is no number from 0 or the direction unknown.
    """
    if not is_whole(iterations) or iterations < 0:
        raise ValueError(f"got {iterations} iterations, expected 0 or more; 1 to 3 are usual.")
    if direction not in get_args(Direction):
        raise ValueError(f"got the direction {direction!r}, expected 'parents', 'children' or 'both'; choose one.")
    digests = [_digest(key) for key in _layer_keys(architecture, with_units)]
    counts = Counter(digests)
    if not iterations:
        return counts
    # Deferred: numba takes half a second to import.
    from kernels.graph_sweeps import packed, recoloured

    nowhere = ((),) * len(architecture)
    above = packed(nowhere if direction == "children" else architecture.parents)
    below = packed(nowhere if direction == "parents" else architecture.children)
    colours = np.array(digests, dtype=np.uint64)
    for _ in range(iterations):
        colours = recoloured(colours, *above, *below)
        counts.update(colours.tolist())
    return Counter(colours.tolist()) if last_alone else counts


@lru_cache(maxsize=_CACHED_NETWORKS)
def label_path_counts(architecture: Architecture) -> Counts:
    """How many paths from "ip" to "op" read each sequence of labels, 255 at most; see `kernels.graph_sweeps`."""
    sequences, counts, bounds = _label_sequences(architecture)
    last = slice(bounds[-2], None)  # the output is the last layer of every order
    return Counter(dict(zip(sequences[last].tolist(), counts[last].tolist(), strict=True)))


@lru_cache(maxsize=_CACHED_NETWORKS)
def label_prefix_counts(architecture: Architecture) -> Counts:
    """How many paths from "ip" to any layer read each sequence of labels."""
    prefixes: Counter[int] = Counter()
    sequences, counts, _ = _label_sequences(architecture)
    for sequence, count in zip(sequences.tolist(), counts.tolist(), strict=True):
        prefixes[sequence] += count
    return prefixes


def _label_sequences(architecture: Architecture) -> tuple[Numbers, Integers, Integers]:
    # Deferred: numba takes half a second to import.
    from kernels.graph_sweeps import label_sequences, packed

    return label_sequences(
        np.array(architecture.topological_order),
        *packed(architecture.parents),
        np.array([_digest((label,)) for label in architecture.labels], dtype=np.uint64),
    )


@lru_cache(maxsize=_CACHED_NETWORKS)
def label_depth_counts(architecture: Architecture) -> Counts:
    """How many layers have each label at each depth, the depth being the longest path from "ip"."""
    return Counter(_digest(key) for key in zip(architecture.labels, architecture.depths, strict=True))


def edge_counts(architecture: Architecture) -> Counts:
    """How many edges join each label to each other."""
    labels = architecture.labels
    return Counter(_digest((labels[u], labels[v])) for u, v in architecture.edges)


def shape_counts(architecture: Architecture) -> Counts:
    """One count, of the graph without its labels: its number of layers and the depths that its edges join."""
    depths = architecture.depths
    return {_digest((len(architecture), tuple(sorted((depths[u], depths[v]) for u, v in architecture.edges)))): 1}


def count_matrix(counts: Sequence[Counts]) -> csr_array:
    """Counts as the rows of one sparse float64 matrix (n, number of distinct keys)."""
    columns: dict[int, int] = {}
    indices = [columns.setdefault(key, len(columns)) for row in counts for key in row]
    values = np.array([value for row in counts for value in row.values()], dtype=np.float64)
    starts = np.cumsum([0, *(len(row) for row in counts)])
    return csr_array((values, indices, starts), shape=(len(counts), len(columns)))


def _layer_keys(architecture: Architecture, with_units: bool) -> list[tuple[object, ...]]:
    if not with_units:
        return [(label,) for label in architecture.labels]
    strides = architecture.strides or (None,) * len(architecture)
    sizes = [None if units is None else round(log2(units)) for units in architecture.units]
    return list(zip(architecture.labels, sizes, strides, strict=True))


@lru_cache(maxsize=_CACHED_DIGESTS)
def _digest(key: tuple[object, ...]) -> int:
    return int.from_bytes(blake2b(repr(key).encode(), digest_size=8).digest(), "big")
