"""Written-out gradients against autograd's."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from automl.dense_gradients import ACTIVATION_GRADIENTS, DenseGradients, LossName, loss_and_gradient
from automl.network import ACTIVATIONS, LayerGraph, build_network
from kernels.architecture import RECTIFIERS, SIGMOIDS, Architecture

EVERYTHING = Architecture(
    labels=("ip", *RECTIFIERS, *SIGMOIDS, "softmax", "softmax", "op"),
    units=(None, *range(3, 10), None, None, None),
    edges=(
        *((i, i + 1) for i in range(8)),
        *((0, 3), (1, 4), (2, 7), (0, 8), (1, 8), (5, 9), (3, 9), (8, 10), (9, 10)),
    ),
)
CHAIN = Architecture(("ip", "relu", "linear", "op"), (None, 6, None, None), ((0, 1), (1, 2), (2, 3)))
LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "mse": lambda outputs, targets: F.mse_loss(outputs[:, 0], targets),
    "l1": lambda outputs, targets: F.l1_loss(outputs[:, 0], targets),
}


def targets_for(loss: LossName, n: int, n_outputs: int) -> Tensor:
    """Class indices, or values."""
    return torch.randint(n_outputs, (n,)) if loss == "cross_entropy" else torch.randn(n)


@pytest.mark.parametrize("label", ACTIVATIONS)
def test_every_activation_has_its_gradient(label: str) -> None:
    before = torch.randn(9, 5, dtype=torch.float64, requires_grad=True)
    after = ACTIVATIONS[label](before)
    above = torch.randn_like(after)
    (expected,) = torch.autograd.grad(after, before, above)
    torch.testing.assert_close(ACTIVATION_GRADIENTS[label](above, before.detach(), after.detach()), expected)


@pytest.mark.parametrize("loss", get_args(LossName))
def test_losses_and_their_gradients_are_torchs(loss: LossName) -> None:
    outputs = torch.randn(11, 4, dtype=torch.float64, requires_grad=True)
    targets = targets_for(loss, 11, 4)
    expected = LOSSES[loss](outputs, targets.double() if loss != "cross_entropy" else targets)
    (gradient,) = torch.autograd.grad(expected, outputs)
    value, found = loss_and_gradient(loss, outputs.detach(), targets.double() if loss != "cross_entropy" else targets)
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(found, gradient[:, : found.shape[1]])


@pytest.mark.parametrize("architecture", [EVERYTHING, CHAIN], ids=["everything", "chain"])
@pytest.mark.parametrize("loss", get_args(LossName))
def test_networks_get_autograds_gradients(architecture: Architecture, loss: LossName) -> None:
    n_outputs = 4 if loss == "cross_entropy" else 1
    network = build_network(architecture, n_inputs=5, n_outputs=n_outputs, seed=2)
    x, y = torch.randn(13, 5), targets_for(loss, 13, n_outputs)
    expected = LOSSES[loss](network(x), y)
    gradients = torch.autograd.grad(expected, list(network.parameters()))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    assert DenseGradients.applies(network)
    with torch.no_grad():
        torch.testing.assert_close(DenseGradients(network, loss)(x, y), expected.detach())
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_dropout_keeps_the_expected_gradient() -> None:
    network = build_network(CHAIN, n_inputs=5, n_outputs=1, dropout=0.4)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    x, y = torch.randn(40_000, 5), torch.zeros(40_000)
    with torch.no_grad():
        network.layers[1].linear.bias.fill_(50.0)  # type: ignore[union-attr,operator]  # far from zero: a sign that masks keep
        DenseGradients(network, "l1")(x, y)
    written = [parameter.grad.clone() for parameter in network.parameters() if parameter.grad is not None]
    recorded = torch.autograd.grad(LOSSES["l1"](network.eval()(x), y), list(network.parameters()))
    for one, other in zip(written, recorded, strict=True):
        torch.testing.assert_close(one, other, rtol=0.1, atol=0.02)


def test_dropout_has_autograds_gradients_of_the_same_units() -> None:
    network = build_network(EVERYTHING, n_inputs=5, n_outputs=4, dropout=0.3, seed=2)
    x, y = torch.randn(13, 5), targets_for("cross_entropy", 13, 4)
    torch.manual_seed(6)
    gradients = torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()))
    for parameter in network.parameters():
        parameter.grad = torch.full_like(parameter, torch.nan)
    torch.manual_seed(6)
    with torch.no_grad():
        DenseGradients(network, "cross_entropy")(x, y)
    for parameter, gradient in zip(network.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)


def test_networks_of_images_are_left_to_autograd() -> None:
    cnn = Architecture(("ip", "conv3", "softmax", "op"), (None, 4, None, None), ((0, 1), (1, 2), (2, 3)))
    network = build_network(cnn, n_inputs=16, n_outputs=2, image_shape=(1, 4, 4))
    assert isinstance(network, LayerGraph) and not DenseGradients.applies(network)
