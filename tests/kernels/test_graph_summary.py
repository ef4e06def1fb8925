"""The summary of a network: its numbers by hand, and what it does not depend on."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from kernels.architecture import Architecture
from kernels.graph_summary import labels_between, summary, summary_length
from tests.kernels.networks import mlps

BRANCHED = Architecture(
    labels=("ip", "relu", "tanh", "relu", "relu", "softmax", "op"),
    units=(None, 16, 64, 256, 16, None, None),
    edges=((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6)),
)


def test_a_branched_network_by_hand() -> None:
    labels = ("relu", "elu", "tanh")
    expected = [1.0, (4 + 6 + 8 + 4) / 16, 1.0, 2.0, 2 / 4, 0.75, 0.0, 0.25]
    np.testing.assert_allclose(summary(BRANCHED, labels), expected)
    assert summary_length(labels) == len(expected)


def test_a_network_without_layers_of_its_own_is_all_zeros() -> None:
    straight = Architecture(("ip", "linear", "op"), (None, None, None), ((0, 1), (1, 2)))
    np.testing.assert_array_equal(summary(straight, ("relu",)), np.zeros(6))
    assert labels_between([straight, BRANCHED]) == ("relu", "tanh")


def test_labels_are_those_of_all_networks_in_the_order_of_the_alphabet() -> None:
    hidden = ("tanh", "relu", "swish", "elu", "logistic", "crelu")
    networks = [
        Architecture(("ip", label, "linear", "op"), (None, 8, None, None), ((0, 1), (1, 2), (2, 3))) for label in hidden
    ]
    assert labels_between(networks) == tuple(sorted(hidden))


@given(mlps())
def test_the_order_of_the_layers_does_not_matter(network: Architecture) -> None:
    labels = labels_between([network])
    shares = summary(network, labels)[-len(labels) :]
    assert shares.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(summary(network.canonical(), labels), summary(network, labels))
