"""Joining images of different sizes: the larger is pooled down by average pools that no parameter has to name.

`Drawing` puts a convolutional network together and adds those pools where layers join; `implied_pools` finds them again
in a finished network. Sizes are inverse ones: 1 for the input's, doubled by every halving.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from automl.validity import POOLING
from kernels.architecture import INPUT, Architecture, Edge

_POOL = "avg-pool"


@dataclass
class Drawing:
    """A convolutional network under construction; layer 0 is its input."""

    labels: list[str] = field(default_factory=lambda: [INPUT])
    units: list[int | None] = field(default_factory=lambda: [None])
    strides: list[int | None] = field(default_factory=lambda: [None])
    edges: list[Edge] = field(default_factory=list)
    sizes: list[int] = field(default_factory=lambda: [1])

    def add(self, sources: Sequence[int], label: str, units: int | None = None, stride: int | None = None) -> int:
        """Adds a layer that reads `sources`, whose sizes are equal, and returns its index."""
        layer = len(self.labels)
        self.labels.append(label)
        self.units.append(units)
        self.strides.append(stride)
        self.edges.extend((source, layer) for source in sources)
        halves = label in POOLING or stride == 2
        self.sizes.append(self.sizes[sources[0]] * (2 if halves else 1))
        return layer

    def joined(self, sources: Sequence[int]) -> list[int]:
        """Layers of equal image size that stand for `sources`: the larger images are pooled down to the smallest.

        The input itself cannot be pooled (only convolutions may read it): it is left out where it is too large.
        """
        size = max(self.sizes[source] for source in sources)
        return [self._shrunk(source, size) for source in sources if source != 0 or size == 1]

    def _shrunk(self, layer: int, size: int) -> int:
        while self.sizes[layer] < size:
            layer = self.add([layer], _POOL)
        return layer

    def finished(self) -> Architecture:
        """The network as it stands."""
        return Architecture(tuple(self.labels), tuple(self.units), tuple(self.edges), tuple(self.strides))


def implied_pools(architecture: Architecture, head: int) -> dict[int, int]:
    """The average pools that `Drawing.joined` would add by itself, each with the layer that it stands for.

    Where several layers join, each of them but one may end in a chain of average pools that nothing else reads; the
    one with the shortest chain is kept as it is, since its size is what the others are pooled down to.

    Args:
        architecture: A valid convolutional network.
        head: Its first layer that reads no image as such: the first fully connected one, or the decision.
    """
    implied: dict[int, int] = {}
    for layer, parents in enumerate(architecture.parents):
        if len(parents) < 2:
            continue
        chains = [_chain(architecture, parent, source_is_end=layer == head) for parent in parents]
        chains.remove(min(chains, key=len))
        for *pools, source in chains:
            implied.update(dict.fromkeys(pools, source))
    return implied


def _chain(architecture: Architecture, layer: int, source_is_end: bool) -> list[int]:
    """The chain of private average pools that ends in `layer`, last first, and after them the layer that they pool.

    With `source_is_end` that layer is one that nothing else reads: only such ends join the head by themselves.
    """
    chain = [layer]
    while _is_private_pool(architecture, chain[-1]):
        (source,) = architecture.parents[chain[-1]]
        if source_is_end and len(architecture.children[source]) > 1:
            break
        chain.append(source)
    return chain


def _is_private_pool(architecture: Architecture, layer: int) -> bool:
    return (
        architecture.labels[layer] == _POOL
        and len(architecture.parents[layer]) == 1
        and len(architecture.children[layer]) == 1
    )
