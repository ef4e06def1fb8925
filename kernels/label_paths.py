"""The sequences of labels that paths from the input read, counted: the path encoding of BANANAS (White et al. 2021).

A sequence is told by a 64-bit number, made from that of the sequence without its last label and from the digest of that
label. The number of sequences can grow exponentially with depth: at every layer those beyond some hundreds are dropped,
those with the largest numbers, so that different graphs keep the same ones.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from kernels.compilation import compiled

Numbers = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]

_LARGEST_COUNT = 255  # as `kernels.count_kernel` makes an element of every unit of a count
_MOST_SEQUENCES = 512
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, so that no two sequences become one by the same label
_SHIFT = np.uint64(29)


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
