"""Layer masses and label costs: the reference's values, the rule for any list of labels, refusals."""

from __future__ import annotations

import math
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.architecture import Architecture, Family
from kernels.layer_costs import (
    LabelCosts,
    cnn_label_costs,
    common_family,
    label_costs,
    label_costs_for,
    layer_masses,
    mlp_label_costs,
    operation_attributes,
)
from tests.kernels.networks import (
    CELL_OPERATIONS,
    REFERENCE_GROUPS,
    cells,
    chain,
    cnns,
    mlps,
    reference,
    reference_networks,
)

LABELS = (
    *CELL_OPERATIONS,
    "skip",
    "gcn",
    "gat",
    "fc",
    "sep_conv_5x5",
    "max-pool",
    "relu",
    "tanh",
    "my-layer",
    "softmax",
)


@pytest.mark.parametrize("group", REFERENCE_GROUPS)
def test_masses_equal_the_reference(group: str) -> None:
    for network, expected in zip(reference_networks(group), reference()["groups"][group]["networks"], strict=True):
        np.testing.assert_allclose(layer_masses(network), expected["layer_masses"], rtol=1e-12)


@pytest.mark.parametrize("group", REFERENCE_GROUPS)
def test_label_costs_equal_the_reference(group: str) -> None:
    expected = reference()["label_tables"][group]
    costs = cnn_label_costs() if group == "cnn" else mlp_label_costs()
    rows = [costs.index[label] for label in expected["labels"]]
    table = np.array([[np.inf if cost is None else cost for cost in row] for row in expected["cost"]])
    np.testing.assert_allclose(costs.array[np.ix_(rows, rows)], table, rtol=1e-12, atol=1e-15)


def test_masses_of_a_small_network_worked_by_hand() -> None:
    # in x out: 1*16, 16*32 and a pool of 32 channels; a tenth of 32*10; each end max(592 / 10, 100).
    network = chain(("conv3", "conv3", "max-pool", "fc", "softmax"), (16, 32, None, 10, None))
    np.testing.assert_allclose(layer_masses(network), [100, 16, 512, 32, 32, 100, 100])


def test_decision_layers_share_one_mass() -> None:
    edges = ((0, 1), (1, 2), (1, 3), (2, 4), (3, 4))
    network = Architecture(("ip", "relu", "linear", "linear", "op"), (None, 5000, None, None, None), edges)
    np.testing.assert_allclose(layer_masses(network), [500, 5000, 250, 250, 500])


def test_units_that_ends_pools_and_decisions_carry_are_ignored() -> None:
    labels = ("ip", "conv3", "max-pool", "fc", "softmax", "op")
    edges = tuple((i, i + 1) for i in range(5))
    plain = Architecture(labels, (None, 8, None, 4, None, None), edges)
    loud = Architecture(labels, (64, 8, 99, 4, 10, 10), edges)
    np.testing.assert_array_equal(layer_masses(plain), layer_masses(loud))


def test_a_layer_whose_mass_needs_units_is_refused_without() -> None:
    with pytest.raises(ValueError, match=r"layer 1 \(conv3\) has no units, expected a positive number .* give"):
        layer_masses(chain(("conv3", "softmax"), (None, None)))


def test_operations_of_a_cell_weigh_one_each_and_its_ends_a_tenth_of_all() -> None:
    edges = ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))  # the third reads two others, and weighs no more for that
    network = Architecture(("ip", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "op"), (None,) * 5, edges)
    np.testing.assert_allclose(layer_masses(network), [0.3, 1, 1, 1, 0.3])


def test_a_graph_with_units_weighs_channels_and_passes_them_through_layers_without() -> None:
    network = chain(("nor_conv_3x3", "skip_connect", "nor_conv_1x1"), (4, None, 8))
    np.testing.assert_allclose(layer_masses(network), [4, 4, 4, 32, 4])


@settings(max_examples=40, deadline=None)
@given(st.one_of(mlps(), cnns(), cells()), st.randoms(use_true_random=False))
def test_masses_move_with_the_layers(architecture: Architecture, random: Random) -> None:
    order = random.sample(range(len(architecture)), len(architecture))
    np.testing.assert_allclose(layer_masses(architecture.permuted(order)), layer_masses(architecture)[order])


@pytest.mark.parametrize("costs", [cnn_label_costs(), mlp_label_costs(), label_costs(LABELS)])
def test_costs_are_a_metric_on_labels(costs: LabelCosts) -> None:
    table = costs.array
    assert (table[~np.eye(len(table), dtype=bool)] > 0).all()
    assert (table[:, None, :] <= table[:, :, None] + table[None, :, :] + 1e-12).all()


def test_default_costs_rank_operations_by_likeness() -> None:
    costs = label_costs(("conv3x3", "conv5x5", "gcn", "max_pool_3x3", "skip_connect", "none"))
    of_conv = [costs.table[costs.index["conv3x3"]][costs.index[label]] for label in costs.labels[2:]]
    assert of_conv == sorted(of_conv)
    assert of_conv[0] == 0
    assert max(of_conv) < 2


def test_default_costs_never_match_the_ends() -> None:
    costs = label_costs(("skip", "softmax"))
    assert costs.labels == ("ip", "op", "skip", "softmax")
    off_diagonal = costs.array[~np.eye(4, dtype=bool)]
    assert np.isinf(off_diagonal).all()


@pytest.mark.parametrize(
    ("label", "family", "parametric", "receptive_field"),
    [
        ("nor_conv_3x3", "convolution", True, 3),
        ("conv7", "convolution", True, 7),
        ("res5", "convolution", True, 5),
        ("avg_pool_3x3", "pool", False, 3),
        ("max-pool", "pool", False, 1),
        ("skip_connect", "identity", False, 1),
        ("none", "none", False, 1),
        ("gat", "message passing", True, 1),
        ("leaky-relu", "rectifier", True, 1),
        ("tanh", "sigmoid", True, 1),
        ("my-layer", "my-layer", True, 1),
    ],
)
def test_attributes_are_read_off_the_label(label: str, family: str, parametric: bool, receptive_field: int) -> None:
    attributes = operation_attributes(label)
    assert (attributes.family, attributes.parametric) == (family, parametric)
    assert attributes.receptive_field == receptive_field


def test_label_costs_for_picks_the_table_of_the_family() -> None:
    assert label_costs_for("mlp") is mlp_label_costs()
    assert label_costs_for("cnn") is cnn_label_costs()
    assert label_costs_for("graph", ["nor_conv_3x3"]).labels == ("ip", "op", "nor_conv_3x3")


@pytest.mark.parametrize(
    ("families", "common"), [(["cnn", "cnn"], "cnn"), (["graph", "mlp"], "graph"), (["cnn", "graph"], "graph")]
)
def test_networks_of_one_family_keep_it_and_a_graph_takes_in_the_others(families: list[Family], common: Family) -> None:
    assert common_family(families) == common


def test_perceptrons_and_convolutional_networks_have_no_common_family() -> None:
    with pytest.raises(ValueError, match="got both MLP and CNN architectures, expected one family"):
        common_family(["mlp", "graph", "cnn"])


def test_blocks_gather_labels_that_can_be_matched() -> None:
    costs = cnn_label_costs()
    blocks = {label: costs.blocks[costs.index[label]] for label in costs.labels}
    assert blocks["conv3"] == blocks["res7"]
    assert blocks["max-pool"] == blocks["avg-pool"]
    assert len({blocks[label] for label in ("ip", "op", "fc", "softmax", "conv3", "max-pool")}) == 6


@pytest.mark.parametrize(
    ("labels", "table", "message"),
    [
        (("a", "a"), ((0, 1), (1, 0)), "expected one or more, each once"),
        ((), (), "expected one or more, each once"),
        (("a",), 3, "got the cost table 3, expected a row of numbers"),
        (("a",), (("x",),), "expected a row of numbers"),
        (("a", "b"), ((0, 1),), "expected 2 x 2 for 2 labels"),
        (("a", "b"), ((0, 1), (1,)), "expected 2 x 2 for 2 labels"),
        (("a", "b"), ((0, 1), (2, 0)), "symmetric table of costs with a zero diagonal"),
        (("a", "b"), ((0, -1), (-1, 0)), "symmetric table"),
        (("a", "b"), ((1, 1), (1, 0)), "zero diagonal"),
        (("a", "b"), ((0, math.nan), (math.nan, 0)), "symmetric table"),
    ],
)
def test_tables_that_are_no_costs_are_refused(
    labels: tuple[str, ...], table: tuple[tuple[float, ...], ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        LabelCosts(labels, table)


def test_a_label_without_costs_is_named() -> None:
    costs = label_costs(("skip",))
    with pytest.raises(ValueError, match=r"layer 1 has label 'gcn', which the cost table lacks; .*Add the label"):
        costs.indices(chain(("gcn",), (None,)))
