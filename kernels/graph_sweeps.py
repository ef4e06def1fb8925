"""Compiled sweeps along the layers of a graph: path lengths, colours of neighbourhoods, label sequences of paths.

What they are for, and where they come from, is said by the modules that call them: `kernels.path_lengths` and
`kernels.weisfeiler_lehman`. A graph is given by the neighbours of all its layers, layer by layer, and where those of
each layer begin (`packed`).

A sequence of labels is told by a 64-bit number, made from that of the sequence without its last label and from the
digest of that label. The number of sequences can grow exponentially with depth: at every layer those beyond some
hundreds are dropped, those with the largest numbers, so that different graphs keep the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from kernels.compilation import compiled

Floats = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_LARGEST_COUNT = 255  # as `kernels.count_kernel` makes an element of every unit of a count
_MOST_SEQUENCES = 512
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two sequences become one by the same label
_SHIFT = np.uint64(29)
_OF_ABOVE = np.uint64(0xC2B2AE3D27D4EB4F)  # odd too: neighbours on one side are not those on the other
_OF_BELOW = np.uint64(0x165667B19E3779F9)


def packed(neighbours: Sequence[Sequence[int]]) -> tuple[Integers, Integers]:
    """Neighbours of n layers, such as `Architecture.parents`, as two arrays.

    Returns:
        Where those of each layer begin, and where the last end, (n + 1,); and all of them, layer by layer.
    """
    starts = np.array([0, *accumulate(map(len, neighbours))], dtype=np.int64)
    return starts, np.array([layer for layers in neighbours for layer in layers], dtype=np.int64)


@compiled
def swept_lengths(order: Integers, starts: Integers, sources: Integers, weights: Floats) -> Floats:
    """Shortest, longest and mean length of the paths that lead to each of n layers, (n, G, 3) for G groups.

    Args:
        order: The layers, each after its sources, (n,).
        starts: Where the sources of each layer begin in `sources`, and where the last end, (n + 1,).
        sources: The sources of all layers, layer by layer; a layer without any has the length 0.
        weights: What each layer adds to the lengths of each group, (n, G).
    """
    n, n_groups = weights.shape
    lengths = np.zeros((n, n_groups, 3))
    for layer in order:
        first, last = starts[layer], starts[layer + 1]
        if first == last:
            continue
        for group in range(n_groups):
            shortest, longest, total = np.inf, 0.0, 0.0
            for i in range(first, last):
                source = sources[i]
                shortest = min(shortest, lengths[source, group, 0])
                longest = max(longest, lengths[source, group, 1])
                total += lengths[source, group, 2]
            weight = weights[layer, group]
            lengths[layer, group, 0] = weight + shortest
            lengths[layer, group, 1] = weight + longest
            lengths[layer, group, 2] = weight + total / (last - first)
    return lengths


@compiled
def recoloured(
    colours: Numbers, above_starts: Integers, above: Integers, below_starts: Integers, below: Integers
) -> Numbers:
    """Each layer's colour anew, by its own and those of its neighbours on either side, whatever their order, (n,).

    Args:
        colours: The colours before, (n,).
        above_starts: Where the neighbours above each layer begin in `above`, and where the last end, (n + 1,).
        above: The neighbours above all layers, layer by layer.
        below_starts: The same for those below.
        below: The same for those below.
    """
    new = np.empty_like(colours)
    for layer in range(len(colours)):
        colour = _mixed(colours[layer], _MULTIPLIER)
        for i in range(above_starts[layer], above_starts[layer + 1]):
            colour += _mixed(colours[above[i]], _OF_ABOVE)
        for i in range(below_starts[layer], below_starts[layer + 1]):
            colour += _mixed(colours[below[i]], _OF_BELOW)
        new[layer] = _mixed(colour, _MULTIPLIER)
    return new


@compiled
def _mixed(number: np.uint64, multiplier: np.uint64) -> np.uint64:
    """Another number, one for each: as a finaliser of hashes, by shifts and products (Steele et al. 2014)."""
    number = (number ^ (number >> _SHIFT)) * multiplier
    number = (number ^ (number >> np.uint64(32))) * _MULTIPLIER
    return number ^ (number >> np.uint64(31))


@compiled
def label_sequences(
    order: Integers, starts: Integers, parents: Integers, labels: Numbers
) -> tuple[Numbers, Integers, Integers]:
    """The sequences that paths from the input to each of n layers read.

    Args:
        order: The layers, each after its parents, (n,).
        starts: Where the parents of each layer begin in `parents`, and where the last end, (n + 1,).
        parents: The parents of all layers, layer by layer.
        labels: The digest of each layer's label, (n,).

    Returns:
        The numbers of the sequences, layer by layer in `order`; how many paths read each, 255 at most; and where each
        layer's begin, by place in `order`, (n + 1,).
    """
    n = len(order)
    places = np.empty(n, np.int64)
    bounds = np.zeros(n + 1, np.int64)
    sequences, counts = np.empty(n * _MOST_SEQUENCES, np.uint64), np.empty(n * _MOST_SEQUENCES, np.int64)
    for place in range(n):
        layer = order[place]
        places[layer] = place
        above = [places[parents[i]] for i in range(starts[layer], starts[layer + 1])]
        reached, times = _merged(above, bounds, sequences, counts)
        for i in range(len(reached)):
            reached[i] = (reached[i] ^ (reached[i] >> _SHIFT)) * _MULTIPLIER + labels[layer]
        largest = reached.max()
        if len(reached) > _MOST_SEQUENCES:
            largest = np.partition(reached, _MOST_SEQUENCES - 1)[_MOST_SEQUENCES - 1]
        end = bounds[place]
        for i in range(len(reached)):
            if reached[i] <= largest:
                sequences[end], counts[end] = reached[i], times[i]
                end += 1
        bounds[place + 1] = end
    return sequences[: bounds[n]].copy(), counts[: bounds[n]].copy(), bounds


@compiled
def _merged(above: list[int], bounds: Integers, sequences: Numbers, counts: Integers) -> tuple[Numbers, Integers]:
    """The sequences of all layers above with their sums of counts, in new arrays; that of no label for the input."""
    if len(above) == 0:
        return np.zeros(1, np.uint64), np.ones(1, np.int64)
    total = 0
    for place in above:
        total += bounds[place + 1] - bounds[place]
    found, times = np.empty(total, np.uint64), np.empty(total, np.int64)
    end = 0
    for place in above:
        size = bounds[place + 1] - bounds[place]
        found[end : end + size] = sequences[bounds[place] : bounds[place + 1]]
        times[end : end + size] = counts[bounds[place] : bounds[place + 1]]
        end += size
    if len(above) == 1:
        return found, times
    merged, sums = np.empty_like(found), np.empty_like(times)
    n = 0
    for i in np.argsort(found):
        if n > 0 and merged[n - 1] == found[i]:
            sums[n - 1] = min(sums[n - 1] + times[i], _LARGEST_COUNT)
        else:
            merged[n], sums[n] = found[i], times[i]
            n += 1
    return merged[:n], sums[:n]
