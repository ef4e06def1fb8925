"""Networks of layer graphs: shapes, joins, labels and initialisation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.network import Convolution, Dense, LayerGraph, Residual, build_network
from automl.torch_threads import limited_threads
from kernels.architecture import MLP_LABELS, RECTIFIERS, SIGMOIDS, Architecture


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks on several threads wait for each other."""
    with limited_threads(1):
        yield


DIAMOND = Architecture(
    labels=("ip", "relu", "tanh", "elu", "softmax", "op"),
    units=(None, 8, 4, 6, None, None),
    edges=((0, 1), (0, 2), (1, 3), (2, 3), (0, 3), (3, 4), (4, 5)),
)


def chain(
    *labels: str, units: int = 8, decision: str = "softmax", strides: tuple[int | None, ...] = ()
) -> Architecture:
    """ip -> labels -> decision -> op."""
    inner = tuple(None if "pool" in label else units for label in labels)
    n = len(labels) + 3
    return Architecture(
        labels=("ip", *labels, decision, "op"),
        units=(None, *inner, None, None),
        edges=tuple((i, i + 1) for i in range(n - 1)),
        strides=(None, *strides, None, None) if strides else None,
    )


def dense_layers(network: nn.Module) -> list[Dense]:
    """The hidden dense layers of a network."""
    return [module for module in network.modules() if isinstance(module, Dense)]


def test_an_mlp_computes_what_its_graph_says() -> None:
    network = build_network(DIAMOND, n_inputs=5, n_outputs=3, seed=1).eval()
    x = torch.randn(7, 5)
    first, second, third = dense_layers(network)
    decision = network.layers[3]
    left = F.relu(first.linear(x))
    right = torch.tanh(second.linear(x))
    joined = F.elu(third.linear(torch.cat((x, left, right), dim=1)))
    torch.testing.assert_close(network(x), decision.linear(joined))  # type: ignore[operator]  # a Decision


def test_the_order_of_layers_does_not_matter() -> None:
    shuffled = DIAMOND.permuted((4, 2, 0, 5, 3, 1))
    network = build_network(shuffled, n_inputs=5, n_outputs=3)
    assert network(torch.randn(2, 5)).shape == (2, 3)


def test_several_decision_layers_are_averaged() -> None:
    architecture = Architecture(
        labels=("ip", "relu", "softmax", "softmax", "op"),
        units=(None, 4, None, None, None),
        edges=((0, 1), (0, 2), (1, 3), (2, 4), (3, 4)),
    )
    network = build_network(architecture, n_inputs=5, n_outputs=3).eval()
    x = torch.randn(6, 5)
    hidden, first, second = network.layers[:3]
    expected = (first(x) + second(hidden(x))) / 2
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("label", [*RECTIFIERS, *SIGMOIDS])
def test_every_activation_of_the_mlp_family_is_built(label: str) -> None:
    assert label in MLP_LABELS
    network = build_network(chain(label, label), n_inputs=4, n_outputs=2)
    widths = [layer.linear.in_features for layer in dense_layers(network)]
    assert widths == [4, 16 if label == "crelu" else 8]
    assert network(torch.randn(3, 4)).shape == (3, 2)


@pytest.mark.parametrize("label", ["tanh", "logistic", "softplus", "relu"])
def test_deep_networks_start_with_signal_and_gradient_in_every_layer(label: str) -> None:
    network = build_network(chain(*[label] * 20, units=64), n_inputs=10, n_outputs=2)
    seen: list[Tensor] = []
    for layer in dense_layers(network):
        layer.register_forward_pre_hook(lambda module, args: seen.append(module.linear(args[0])))
    x = torch.randn(512, 10)
    network(x).square().mean().backward()
    spreads = [before.std(dim=0).mean().item() for before in seen]
    assert len(spreads) == 20 and min(spreads) > 0.5 and max(spreads) < 5.0
    norms = [
        float(torch.linalg.vector_norm(grad))
        for layer in dense_layers(network)
        if (grad := layer.linear.weight.grad) is not None
    ]
    assert len(norms) == 20 and min(norms) > 1e-3 * max(norms)


def test_convolutions_residuals_pools_and_strides_keep_their_sizes() -> None:
    labels = ("conv3", "res5", "max-pool", "conv7", "avg-pool", "fc")
    network = build_network(
        chain(*labels, strides=(1, 2, None, 1, None, None)), n_inputs=3 * 13 * 9, n_outputs=4, image_shape=(3, 13, 9)
    )
    sizes: list[tuple[int, ...]] = []
    for layer in network.layers:
        layer.register_forward_hook(lambda _m, _i, out: sizes.append(tuple(out.shape[1:])))
    network(torch.randn(2, 3 * 13 * 9))
    assert sizes[:6] == [(8, 13, 9), (8, 7, 5), (8, 4, 3), (8, 4, 3), (8, 2, 2), (8,)]
    assert sizes[6:] == [(4,)]


def test_residual_units_start_as_the_identity_of_rectified_inputs() -> None:
    unit = next(
        m
        for m in build_network(chain("conv3", "res3"), n_inputs=64, n_outputs=2, image_shape=(1, 8, 8)).modules()
        if isinstance(m, Residual)
    )
    x = torch.rand(2, 8, 8, 8)
    torch.testing.assert_close(unit(x), x)


def test_parents_of_different_image_sizes_are_pooled_to_the_smallest() -> None:
    architecture = Architecture(
        labels=("ip", "conv3", "max-pool", "conv3", "fc", "softmax", "op"),
        units=(None, 4, None, 6, 8, None, None),
        edges=((0, 1), (1, 2), (1, 3), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6)),
    )
    network = build_network(architecture, n_inputs=64, n_outputs=3, image_shape=(1, 8, 8))
    third, fc = network.layers[2], network.layers[3]
    assert third.convolution.in_channels == 8  # type: ignore[union-attr]  # a Convolution
    assert fc.linear.in_features == (4 + 6) * 2 * 2  # type: ignore[union-attr]  # a Dense
    assert network(torch.randn(2, 64)).shape == (2, 3)


@pytest.mark.parametrize("channels", [1, 3])
def test_images_reach_the_layers_pixel_by_pixel_with_channels_last_in_memory(channels: int) -> None:
    shape = (channels, 4, 5)
    network = build_network(chain("conv3", "fc"), n_inputs=channels * 20, n_outputs=2, image_shape=shape).eval()
    seen: list[Tensor] = []
    network.layers[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    rows = torch.randn(6, channels * 20)
    outputs = network(rows)
    assert torch.equal(seen[0], rows.view(6, *shape)) and seen[0].stride() == (20 * channels, 1, 5 * channels, channels)
    convolution, dense, decision = network.layers[:3]
    pooled = F.adaptive_avg_pool2d(convolution(rows.view(6, *shape)), 2)
    torch.testing.assert_close(outputs, decision(dense(pooled.flatten(1))))


def test_the_seed_fixes_the_weights_and_leaves_the_global_state_alone() -> None:
    state = torch.get_rng_state()
    one, two, other = (build_network(DIAMOND, n_inputs=5, n_outputs=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    x = torch.randn(4, 5)
    assert torch.equal(one(x), two(x)) and not torch.equal(one(x), other(x))


def test_dropout_drops_hidden_units_in_training_only() -> None:
    network = build_network(chain("relu", units=2000), n_inputs=4, n_outputs=2, dropout=0.3)
    assert isinstance(network, LayerGraph)
    hidden, x = dense_layers(network)[0], torch.randn(1, 4)
    zeros_in_training = float((hidden.train()(x) == 0).float().mean())
    zeros = float((hidden.eval()(x) == 0).float().mean())
    assert zeros_in_training - zeros == pytest.approx(0.3 * (1 - zeros), abs=0.05)


def test_networks_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(ValueError, match="without an image shape"):
        build_network(chain("conv3"), n_inputs=64, n_outputs=2)
    with pytest.raises(ValueError, match="follows a flat layer"):
        build_network(chain("conv3", "fc", "conv3"), n_inputs=64, n_outputs=2, image_shape=(1, 8, 8))
    with pytest.raises(ValueError, match="has no units"):
        labels, edges = ("ip", "relu", "softmax", "op"), ((0, 1), (1, 2), (2, 3))
        build_network(Architecture(labels, (None, None, None, None), edges), n_inputs=4, n_outputs=2)
    with pytest.raises(ValueError, match=r"dropout=1\.0"):
        build_network(DIAMOND, n_inputs=5, n_outputs=3, dropout=1.0)
    with pytest.raises(ValueError, match="got a network of cells"):
        labels = ("ip", "mystery", "softmax", "op")
        build_network(Architecture(labels, (None, 4, None, None), edges), n_inputs=4, n_outputs=2)


def test_a_network_learns_by_plain_gradient_descent() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(256, 4, generator=generator)
    y = (x[:, 0] * x[:, 1] > 0).long()
    network = build_network(chain("tanh", "relu", units=32), n_inputs=4, n_outputs=2)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(60):
        loss = F.cross_entropy(network(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(np.log(2), abs=0.1) and losses[-1] < 0.2


def test_an_image_shape_that_does_not_fit_the_rows_is_refused() -> None:
    architecture = Architecture(
        ("ip", "conv3", "fc", "softmax", "op"), (None, 4, 8, None, None), ((0, 1), (1, 2), (2, 3), (3, 4))
    )
    with pytest.raises(ValueError, match=r"got images of shape \(1, 5, 5\) in rows of 12 numbers"):
        build_network(architecture, n_inputs=12, n_outputs=3, image_shape=(1, 5, 5))


@pytest.mark.parametrize("labels", [("ip", "relu", "op"), ("ip", "softmax", "relu", "op"), ("ip", "op")])
def test_a_network_that_decides_nothing_is_refused(labels: tuple[str, ...]) -> None:
    units = tuple(5 if label == "relu" else None for label in labels)
    architecture = Architecture(labels, units, tuple((i, i + 1) for i in range(len(labels) - 1)))
    with pytest.raises(ValueError, match=rf"got a network that ends in {labels[-2]}, expected 'softmax' or 'linear'"):
        build_network(architecture, n_inputs=4, n_outputs=3)


@pytest.mark.parametrize("size", [7, 8])
def test_the_shortcut_of_a_residual_unit_with_strides_is_a_strided_convolution(size: int) -> None:
    unit = Residual(3, 16, 3, 2).double()
    shortcut = unit.shortcut
    assert isinstance(shortcut, Convolution)
    x = torch.randn(4, 3, size, size, dtype=torch.float64)
    strided = shortcut.norm(F.conv2d(x, shortcut.convolution.weight, stride=2))
    torch.testing.assert_close(unit(x), torch.relu(unit.second(unit.first(x)) + strided))


_TRAINS_A_STRIDED_RESIDUAL_UNIT = """
import torch
from automl.network import build_network
from kernels.architecture import Architecture

torch.set_num_threads(1)
unit = Architecture(
    ("ip", "res3", "softmax", "op"), (None, 16, None, None), ((0, 1), (1, 2), (2, 3)), strides=(None, 2, None, None)
)
network = build_network(unit, n_inputs=784, n_outputs=10, image_shape=(1, 28, 28))
for _ in range(100):
    network(torch.randn(32, 784)).square().sum().backward()
"""


def test_the_memory_of_a_process_that_trains_strided_residual_units_stays_whole() -> None:
    """Strided 1 x 1 convolutions of one channel wrote outside their memory, and the process was aborted."""
    run = subprocess.run([sys.executable, "-c", _TRAINS_A_STRIDED_RESIDUAL_UNIT], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
