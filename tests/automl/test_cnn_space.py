"""CNNSpace: the laws of every space, and how labels, strides, joins and the head fit any assignment into a network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Float, Value
from automl.spaces.cnn import CNNSpace
from automl.validity import inverse_image_sizes
from kernels.architecture import Architecture, Edge
from tests.contracts.space import SpaceContract


class TestCNNSpace(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace()


class TestDigitsSpace(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(
            20, 2, image_size=8, units=(1, 3), task_kind="regression", hyperparameters={"lr": Float(1e-3, 1)}
        )


class TestSpaceWithoutAveragePools(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(6, labels=("max-pool", "res3"), strided=False, max_fc_layers=0, hyperparameters={})


class TestSpaceOfOnePixel(SpaceContract):
    def make_space(self) -> CNNSpace:
        return CNNSpace(4, image_size=1)


PLAIN = CNNSpace(hyperparameters={})


def decoded(space: CNNSpace = PLAIN, **assignment: Value) -> Architecture:
    """The network of an assignment in which layers are conv3 of 8 channels unless said otherwise."""
    defaults: dict[str, Value] = {"wiring": "chain", "fc_layers": 0}
    for layer in range(1, space.max_layers + 1):
        defaults |= {f"layer{layer}_label": "conv3", f"layer{layer}_units": 8}
        defaults |= {f"layer{layer}_input": 1, f"layer{layer}_skip": 1}
    architecture = space.decode(defaults | assignment).architecture
    assert architecture is not None
    return architecture


def network(labels: tuple[str, ...], edges: tuple[Edge, ...], strides: dict[int, int] | None = None) -> Candidate:
    """A network of 8 units a layer; convolutions have stride 1 unless said otherwise."""
    convolutions = [label[:4] in ("conv", "res3", "res5", "res7") for label in labels]
    units = tuple(8 if conv or label == "fc" else None for conv, label in zip(convolutions, labels, strict=True))
    given = strides or {}
    return Candidate(
        Architecture(
            labels, units, edges, tuple(given.get(i, 1) if conv else None for i, conv in enumerate(convolutions))
        )
    )


def test_labels_tell_strides_and_the_head_comes_last() -> None:
    architecture = decoded(
        depth=3,
        layer1_label="conv5/2",
        layer2_label="max-pool",
        layer3_label="res7",
        fc_layers=2,
        fc1_units=32,
        fc2_units=16,
    )
    assert architecture.labels == ("ip", "conv5", "max-pool", "res7", "fc", "fc", "softmax", "op")
    assert architecture.strides == (None, 2, None, 1, None, None, None, None)
    assert architecture.units == (None, 8, None, 8, 32, 16, None, None)


def test_a_layer_that_would_halve_the_image_too_often_keeps_its_size() -> None:
    space = CNNSpace(image_size=8, hyperparameters={})
    assert space.halvings == 2
    architecture = decoded(
        space, depth=4, layer1_label="conv3/2", layer2_label="max-pool", layer3_label="res5/2", layer4_label="avg-pool"
    )
    assert architecture.labels == ("ip", "conv3", "max-pool", "res5", "conv3", "softmax", "op")
    assert architecture.strides == (None, 2, None, 1, 1, None, None)


def test_a_pool_that_would_read_the_input_is_a_convolution_of_stride_two() -> None:
    architecture = decoded(depth=2, wiring="free", layer2_label="max-pool", layer2_input=2, layer2_skip=2)
    assert "max-pool" not in architecture.labels
    assert architecture.strides is not None and architecture.strides.count(2) == 1


def test_where_sizes_differ_the_larger_image_is_pooled_down_without_a_parameter() -> None:
    space = PLAIN
    architecture = decoded(depth=4, wiring="skips", layer2_label="conv3/2", layer3_label="max-pool", layer4_skip=3)
    assert architecture.labels.count("avg-pool") == 2
    sizes = inverse_image_sizes(architecture)
    assert sizes[architecture.labels.index("softmax")] == 0 and max(sizes) == 4
    assert space.encode(Candidate(architecture))["depth"] == 4


def test_the_input_is_left_out_of_a_join_that_it_is_too_large_for() -> None:
    architecture = decoded(depth=2, wiring="skips", layer1_label="conv3/2", layer2_skip=2)
    assert architecture.edges == ((0, 1), (1, 2), (2, 3), (3, 4))
    joined = decoded(depth=2, wiring="skips", layer2_skip=2)
    assert (0, 2) in joined.edges


def test_loose_ends_of_different_sizes_meet_before_the_head() -> None:
    architecture = decoded(
        depth=3,
        wiring="free",
        layer2_label="conv3/2",
        layer3_label="conv5",
        layer3_input=2,
        layer3_skip=2,
        fc_layers=1,
        fc1_units=16,
    )
    fully_connected = architecture.labels.index("fc")
    assert sorted(architecture.labels[parent] for parent in architecture.parents[fully_connected]) == [
        "avg-pool",
        "conv3",
    ]


def test_pools_that_a_join_does_not_imply_are_layers_of_their_own() -> None:
    shared = network(
        ("ip", "conv3", "avg-pool", "conv5", "res3", "softmax", "op"),
        ((0, 1), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (5, 6)),
    )
    assert PLAIN.encode(shared)["depth"] == 4
    last = network(("ip", "conv3", "avg-pool", "softmax", "op"), ((0, 1), (1, 2), (2, 3), (3, 4)))
    assert PLAIN.encode(last)["depth"] == 2
    # What is pooled is read elsewhere too, so that it would not join the decision by itself.
    beside = network(
        ("ip", "conv3", "max-pool", "conv5", "avg-pool", "softmax", "op"),
        ((0, 1), (1, 2), (2, 3), (1, 4), (3, 5), (4, 5), (5, 6)),
    )
    assert PLAIN.encode(beside)["depth"] == 4
    assert PLAIN.decode(PLAIN.encode(beside)).digest == beside.digest


@pytest.mark.parametrize(("size", "halvings"), [(1, 0), (2, 0), (4, 1), (8, 2), (28, 3), (32, 4), (224, 4), (None, 4)])
def test_images_keep_at_least_two_pixels_where_they_have_them(size: int | None, halvings: int) -> None:
    assert CNNSpace().for_task("classification", image_size=size).halvings == halvings


def test_the_networks_to_begin_with_are_plain_convolutional_ones() -> None:
    graphs = [candidate.architecture for candidate in CNNSpace(image_size=16).initial]
    assert [None if graph is None else graph.labels[1:-2] for graph in graphs] == [
        ("conv3", "max-pool", "conv3", "max-pool", "fc"),
        ("conv3", "conv3", "max-pool", "conv3", "conv3", "max-pool", "fc"),
        ("res3", "res3", "res3"),
    ]
    assert graphs[2] is not None
    assert graphs[2].strides == (None, 1, 2, 2, None, None)


def test_a_layer_asks_for_at_most_four_parameters() -> None:
    names = CNNSpace(4).parameters
    assert [sum(name.startswith(f"layer{layer}_") for name in names) for layer in range(1, 5)] == [2, 4, 4, 4]


def test_the_first_layer_has_no_pools_to_choose() -> None:
    assert "max-pool" not in CNNSpace().parameters["layer1_label"].to_dict()["choices"]
    assert "max-pool" in CNNSpace().parameters["layer2_label"].to_dict()["choices"]


def test_the_decision_layer_follows_the_kind_of_task() -> None:
    architecture = CNNSpace().for_task("regression").sample(np.random.default_rng(0)).architecture
    assert architecture is not None and "linear" in architecture.labels


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (
            network(("ip", "max-pool", "softmax", "op"), ((0, 1), (1, 2), (2, 3))),
            "reads the input, expected a convolution",
        ),
        (
            network(
                ("ip", "conv3", "max-pool", "res3", "softmax", "op"), ((0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (4, 5))
            ),
            "inverse sizes",
        ),
        (
            network(
                ("ip", *["conv3"] * 5, "softmax", "op"),
                tuple((i, i + 1) for i in range(7)),
                dict.fromkeys(range(1, 6), 2),
            ),
            "5 halvings",
        ),
        (
            network(("ip", "conv3", "fc", "fc", "softmax", "op"), ((0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5))),
            "that branch",
        ),
        (
            network(("ip", "conv3", *["fc"] * 4, "softmax", "op"), tuple((i, i + 1) for i in range(7))),
            "4 fully connected layers",
        ),
        (Candidate(None), "without an architecture"),
    ],
)
def test_networks_outside_the_space_are_refused_with_the_reason(candidate: Candidate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PLAIN.encode(candidate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_layers": 13}, "min_layers and max_layers from 13 to 12"),
        ({"strided": "no"}, "got strided = 'no', expected True or False"),
        ({"units": (16, 8)}, "units from 16 to 8"),
        ({"fc_units": (0, 8)}, "fc_units from 0 to 8"),
        ({"max_fc_layers": -1}, "fully connected layers from 0 to -1"),
        ({"max_halvings": -1}, "halvings from 0 to -1"),
        ({"image_size": 0}, "image_size = 0, expected a whole number of at least 1"),
        ({"image_size": "8"}, "image_size = '8', expected a whole number"),
        ({"labels": ()}, "none at all"),
        ({"labels": ("conv9",)}, r"unknown ones \['conv9'\]"),
        ({"labels": ("max-pool", "avg-pool")}, "expected a convolution among them"),
        ({"task_kind": "ranking"}, "task kind 'ranking'"),
    ],
)
def test_limits_that_leave_no_network_are_refused_with_the_reason(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CNNSpace(**arguments)
