"""What a network is in a few numbers: how deep, how wide, with how many shortcuts, and of what labels.

Counts of subtrees and distances between graphs tell how alike two networks are; what a network is worth follows its
size and the sorts of its layers first (BENCHMARKS.md, "a smooth trend"). These numbers are what a kernel over
vectors sees of a graph.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kernels.architecture import DECISIONS, INPUT, OUTPUT, Architecture

_ENDS = frozenset({INPUT, OUTPUT, *DECISIONS})  # every network has them


_NUMBERS_OF_SIZE = 5


def summary_length(labels: Sequence[str]) -> int:
    """How many numbers `summary` gives."""
    return _NUMBERS_OF_SIZE + len(labels)


def labels_between(architectures: Iterable[Architecture]) -> tuple[str, ...]:
    """The labels of all layers between the ends, each once, in the order of the alphabet."""
    return tuple(sorted({label for architecture in architectures for label in architecture.labels} - _ENDS))


def summary(architecture: Architecture, labels: Sequence[str]) -> NDArray[np.float64]:
    """The numbers of a network, each of the order of 1, `summary_length(labels)`.

    These are the logarithm of the number of layers between input and decision; mean, least and largest logarithm of
    their units; the number of edges more than a chain would have; and the share of each label among those layers.

    Args:
        architecture: The network.
        labels: Whose shares are asked for; layers of other labels have none.

    Examples:
        >>> chain = Architecture(("ip", "relu", "tanh", "linear", "op"), (None, 16, 64, None, None),
        ...                      ((0, 1), (1, 2), (2, 3), (3, 4)))
        >>> summary(chain, ("relu", "tanh", "elu")).tolist()
        [0.5, 1.25, 1.0, 1.5, 0.0, 0.5, 0.5, 0.0]
    """
    between = [label for label in architecture.labels if label not in _ENDS]
    units = [math.log2(units) / 4 for units in architecture.units if units is not None] or [0.0]
    depth = math.log2(max(len(between), 1)) / 2
    shortcuts = (len(architecture.edges) - len(architecture.labels) + 1) / 4
    shares = [between.count(label) / max(len(between), 1) for label in labels]
    return np.array([depth, sum(units) / len(units), min(units), max(units), shortcuts, *shares], dtype=np.float64)
