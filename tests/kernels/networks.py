"""Networks for the tests of kernels: the reference's own, and random ones by hypothesis."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from kernels.architecture import CONVOLUTIONS, POOLS, RECTIFIERS, RESIDUALS, SIGMOIDS, Architecture

REFERENCE_GROUPS = ("cnn", "mlp-reg", "mlp-class")
CELL_OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


@cache
def reference() -> dict[str, Any]:
    """What the reference implementation of OTMANN computed; see `tests/reference/README.md`, section otmann."""
    path = Path(__file__).parents[1] / "reference" / "otmann.json"
    content: dict[str, Any] = json.loads(path.read_text())
    return content


@cache
def reference_networks(group: str) -> tuple[Architecture, ...]:
    """The networks of one group of the reference."""
    return tuple(
        Architecture(network["layer_labels"], network["units"], network["edges"], network.get("strides"))
        for network in reference()["groups"][group]["networks"]
    )


def chain(labels: Sequence[str], units: Sequence[int | None]) -> Architecture:
    """A network of these layers one after another, between "ip" and "op"."""
    n = len(labels)
    return Architecture(("ip", *labels, "op"), (None, *units, None), tuple((i, i + 1) for i in range(n + 1)))


@st.composite
def networks(draw: st.DrawFn, operations: Sequence[str], decision: str | None, with_units: bool = True) -> Architecture:
    """Random layer graphs: up to nine operations, each reading one to three earlier layers."""
    n = draw(st.integers(1, 9))
    labels = draw(st.lists(st.sampled_from(operations), min_size=n, max_size=n))
    units = draw(st.lists(st.sampled_from((1, 3, 8, 8, 16, 64)), min_size=n, max_size=n))
    edges = set()
    for layer in range(1, n + 1):
        edges |= {(parent, layer) for parent in draw(st.sets(st.integers(0, layer - 1), min_size=1, max_size=3))}
    ends = [layer for layer in range(1, n + 1) if all(tail != layer for tail, _ in edges)]
    edges |= {(layer, n + 1) for layer in ends}
    tail = (decision, "op") if decision else ("op",)
    if decision:
        edges.add((n + 1, n + 2))
    own = [count if with_units and label not in POOLS else None for label, count in zip(labels, units, strict=True)]
    return Architecture(("ip", *labels, *tail), (None, *own, *[None] * len(tail)), tuple(edges))


def mlps() -> st.SearchStrategy[Architecture]:
    """Random perceptrons for regression."""
    return networks((*RECTIFIERS[:2], *SIGMOIDS), "linear")


def cnns() -> st.SearchStrategy[Architecture]:
    """Random convolutional networks; image sizes do not matter here."""
    return networks((*CONVOLUTIONS, *RESIDUALS[:2], *POOLS, "fc", "conv3"), "softmax")


def cells() -> st.SearchStrategy[Architecture]:
    """Random cells with operations that have no units."""
    return networks(CELL_OPERATIONS, None, with_units=False)
