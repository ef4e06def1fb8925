"""The grammar of valid networks: what each rule accepts, refuses and says."""

from __future__ import annotations

import pytest

from automl.validity import FLAT, check, inverse_image_sizes, is_valid
from kernels.architecture import Architecture, Edge


def network(labels: str, edges: tuple[Edge, ...] | None = None, **given: dict[int, int | None]) -> Architecture:
    """Layers by label, one after another unless edges are given; 8 units and stride 1 where the label has any."""
    names = labels.split()
    conv = [name.rstrip("357") in ("conv", "res") for name in names]
    has_units = [c or name in ("fc", "relu", "tanh") for c, name in zip(conv, names, strict=True)]
    units = {i: 8 if has else None for i, has in enumerate(has_units)} | given.get("units", {})
    strides = {i: 1 if c else None for i, c in enumerate(conv)} | given.get("strides", {})
    chain = tuple((i, i + 1) for i in range(len(names) - 1))
    return Architecture(tuple(names), tuple(units.values()), edges or chain, tuple(strides.values()))


VALID = [
    network("ip relu tanh softmax op"),
    network("ip relu linear op"),
    network("ip linear op"),
    network("ip relu softmax softmax op", ((0, 1), (1, 2), (1, 3), (2, 4), (3, 4))),
    network("ip conv3 max-pool res5 fc fc softmax op"),
    network("ip conv3 linear op"),
    network("ip conv3 conv5 softmax op", ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))),
]


@pytest.mark.parametrize("architecture", VALID)
def test_networks_of_both_families_are_accepted(architecture: Architecture) -> None:
    check(architecture)
    assert is_valid(architecture)


@pytest.mark.parametrize(
    ("architecture", "message"),
    [
        (
            network("ip relu softmax op", units={1: None}),
            r"layer 1 \(relu\) has None units, expected a positive number",
        ),
        (network("ip relu softmax op", units={2: 4}), r"layer 2 \(softmax\) has 4 units, expected None"),
        (network("ip relu softmax op", strides={1: 2}), "perceptron with strides"),
        (network("ip relu op"), r"decision labels \[\]"),
        (
            network("ip relu softmax linear op", ((0, 1), (1, 2), (1, 3), (2, 4), (3, 4))),
            r"decision labels \['linear', 'softmax'\]",
        ),
        (
            network("ip relu softmax op", ((0, 1), (1, 2), (1, 3), (2, 3))),
            r"layer 1 \(relu\) feeds \['softmax', 'op'\]",
        ),
        (network("ip softmax relu softmax op"), r"layer 1 \(softmax\) feeds \['relu'\]"),
        (network("ip softmax softmax op", ((0, 1), (0, 2), (1, 3), (2, 3))), "no layer before them"),
        (network("ip conv3 max-pool softmax op", strides={2: 2}), r"layer 2 \(max-pool\) has stride 2"),
        (network("ip fc softmax op"), r"layer 1 \(fc\) reads the input"),
        (network("ip max-pool conv3 softmax op"), r"layer 1 \(max-pool\) reads the input"),
        (network("ip conv3 fc conv3 softmax op"), r"layer 3 \(conv3\) reads a vector"),
        (
            network("ip conv3 conv3 softmax op", ((0, 1), (1, 2), (1, 3), (2, 3), (3, 4)), strides={2: 2}),
            r"layer 3 \(softmax\) reads images of inverse sizes \[1, 2\]",
        ),
        (
            network("ip conv3 fc fc softmax op", ((0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5))),
            r"layer 3 \(fc\) reads images of inverse sizes \[0, 1\]",
        ),
    ],
)
def test_what_breaks_the_grammar_is_refused_with_the_layer(architecture: Architecture, message: str) -> None:
    assert not is_valid(architecture)
    with pytest.raises(ValueError, match=message):
        check(architecture)


def test_graphs_of_other_families_are_accepted_as_they_are() -> None:
    assert is_valid(network("ip nor_conv_3x3 skip_connect op"))
    assert not is_valid(network("ip relu tanh op"))  # the same graph as a perceptron lacks a decision layer
    assert not is_valid(network("ip conv3 res3 op"))


def test_inverse_sizes_double_with_pools_and_strides_and_end_at_vectors() -> None:
    architecture = network("ip conv3 conv5 max-pool res7 avg-pool fc softmax op", strides={2: 2})
    assert inverse_image_sizes(architecture) == [1, 1, 2, 4, 4, 8, FLAT, FLAT, FLAT]
