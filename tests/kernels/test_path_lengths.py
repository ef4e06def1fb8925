"""Path lengths: the reference's tables, enumeration of all paths, and laws."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.architecture import Architecture, Family
from kernels.path_lengths import path_length_columns, path_lengths
from tests.kernels.networks import REFERENCE_GROUPS, cells, cnns, mlps, reference, reference_networks


@pytest.mark.parametrize("group", REFERENCE_GROUPS)
def test_path_lengths_equal_the_reference(group: str) -> None:
    for network, expected in zip(reference_networks(group), reference()["groups"][group]["networks"], strict=True):
        lengths = path_lengths(network)
        assert list(lengths.columns) == expected["path_length_columns"]
        np.testing.assert_allclose(lengths.from_input, expected["path_lengths_from_ip"], rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(lengths.to_output, expected["path_lengths_to_op"], rtol=1e-12, atol=1e-12)


def paths_to_output(architecture: Architecture, layer: int) -> list[tuple[list[int], float]]:
    """Every path from a layer to "op" with the probability that a random walk takes it."""
    if layer == architecture.output:
        return [([layer], 1.0)]
    children = architecture.children[layer]
    return [
        ([layer, *path], probability / len(children))
        for child in children
        for path, probability in paths_to_output(architecture, child)
    ]


def reversed_network(architecture: Architecture) -> Architecture:
    swap = {"ip": "op", "op": "ip"}
    labels = tuple(swap.get(label, label) for label in architecture.labels)
    return Architecture(labels, architecture.units, tuple((v, u) for u, v in architecture.edges))


@settings(max_examples=40, deadline=None)
@given(cnns())
def test_lengths_to_the_output_agree_with_enumerating_all_paths(architecture: Architecture) -> None:
    counted = {"all": None, "conv": ("conv", "res"), "pool": ("max-pool", "avg-pool"), "fc": ("fc",)}
    lengths = path_lengths(architecture).to_output
    for layer in range(len(architecture)):
        paths = paths_to_output(architecture, layer)
        for group, (_, prefixes) in enumerate(counted.items()):
            charged = [
                sum(1 for u in path[:-1] if prefixes is None or architecture.labels[u].startswith(prefixes))
                for path, _ in paths
            ]
            walk = sum(length * probability for length, (_, probability) in zip(charged, paths, strict=True))
            expected = [min(charged), max(charged), walk]
            np.testing.assert_allclose(lengths[layer, 3 * group : 3 * group + 3], expected, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(mlps())
def test_lengths_from_the_input_are_those_to_the_output_of_the_reversed_network(architecture: Architecture) -> None:
    forward, backward = path_lengths(architecture), path_lengths(reversed_network(architecture))
    np.testing.assert_allclose(forward.from_input, backward.to_output)


@settings(max_examples=40, deadline=None)
@given(st.one_of(mlps(), cnns(), cells()), st.randoms(use_true_random=False))
def test_path_lengths_move_with_the_layers(architecture: Architecture, random: Random) -> None:
    order = random.sample(range(len(architecture)), len(architecture))
    lengths, moved = path_lengths(architecture), path_lengths(architecture.permuted(order))
    np.testing.assert_allclose(moved.from_input, lengths.from_input[order])
    np.testing.assert_allclose(moved.to_output, lengths.to_output[order])


@settings(max_examples=40, deadline=None)
@given(st.one_of(mlps(), cnns(), cells()))
def test_a_random_walk_is_neither_shorter_than_the_shortest_path_nor_longer_than_the_longest(
    architecture: Architecture,
) -> None:
    lengths = path_lengths(architecture)
    for table in (lengths.from_input, lengths.to_output):
        assert (table[:, 0::3] <= table[:, 2::3] + 1e-12).all()
        assert (table[:, 2::3] <= table[:, 1::3] + 1e-12).all()


@pytest.mark.parametrize(("family", "count"), [("cnn", 12), ("mlp", 9), ("graph", 9)])
def test_each_family_has_its_columns(family: Family, count: int) -> None:
    assert len(path_length_columns(family)) == count


def test_a_graph_counts_operations_with_and_without_weights() -> None:
    labels = ("ip", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "op")
    cell = Architecture(labels, (None,) * 5, ((0, 1), (1, 2), (2, 3), (3, 4)))
    lengths = path_lengths(cell)
    longest = {name: i for i, name in enumerate(lengths.columns) if name.endswith("longest")}
    from_input = {name: lengths.from_input[4, column] for name, column in longest.items()}
    assert from_input == {"all-longest": 4, "parametric-longest": 2, "non-parametric-longest": 1}
