"""Equal networks with their layers in another order: what a model of layer sequences must take for one and the same."""

from __future__ import annotations

import numpy as np

from kernels.architecture import Architecture


def in_random_order(architecture: Architecture, generator: np.random.Generator) -> Architecture:
    """The same graph with its layers in a random topological order."""
    waiting = [len(parents) for parents in architecture.parents]
    ready = [architecture.input]
    order: list[int] = []
    while ready:
        layer = ready.pop(int(generator.integers(len(ready))))
        order.append(layer)
        for child in architecture.children[layer]:
            waiting[child] -= 1
            if waiting[child] == 0:
                ready.append(child)
    return architecture.permuted(order)
