"""Flat weights and their optimisers take torch's steps, layer by layer."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from automl import flat_weights
from automl.flat_weights import FlatWeights, optimizer_step
from automl.network import build_network
from kernels.architecture import Architecture

MLP = Architecture(("ip", "relu", "tanh", "softmax", "op"), (None, 8, 8, None, None), ((0, 1), (1, 2), (2, 3), (3, 4)))
RATE = 0.01
THEIRS: dict[str, Callable[[list[nn.Parameter]], torch.optim.Optimizer]] = {
    "adamw": lambda parameters: torch.optim.Adam(parameters, lr=RATE),
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=RATE, momentum=0.9, nesterov=True),
    "rmsprop": lambda parameters: torch.optim.RMSprop(parameters, lr=RATE),
}


@pytest.mark.parametrize("dividing", [("cpu",), ()], ids=["kernels divide", "kernels do not divide"])
@pytest.mark.parametrize("clip", [0.5, None])
@pytest.mark.parametrize("name", THEIRS)
def test_steps_are_those_of_torch_layer_by_layer(
    name: str, clip: float | None, dividing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat_weights, "_DIVIDING", dividing)
    flat, plain = (build_network(MLP, n_inputs=5, n_outputs=3, seed=1) for _ in "ab")
    x, y = torch.randn(16, 5), torch.randint(3, (16,))
    weights = FlatWeights(flat)
    step, theirs = optimizer_step(weights, name), THEIRS[name](list(plain.parameters()))
    for _ in range(5):
        weights.gradient.zero_()
        nn.functional.cross_entropy(flat(x) * 30, y).backward()
        step(RATE, weights.excess(clip))
        theirs.zero_grad()
        nn.functional.cross_entropy(plain(x) * 30, y).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(plain.parameters(), clip)
        theirs.step()
    for one, other in zip(flat.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_matrices_alone_decay() -> None:
    network = build_network(MLP, n_inputs=5, n_outputs=3, seed=1)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    FlatWeights(network).decay(0.25)
    for parameter, was in zip(network.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), was * 0.75 if was.dim() > 1 else was)


def test_every_parameter_is_aligned_as_torch_aligns_tensors() -> None:
    network = build_network(MLP, n_inputs=5, n_outputs=3, seed=1)
    weights = FlatWeights(network)
    start = weights.flat.data_ptr()
    assert all((parameter.data_ptr() - start) % 64 == 0 for parameter in network.parameters())


def test_released_parameters_share_nothing() -> None:
    network = build_network(MLP, n_inputs=5, n_outputs=3, seed=1)
    weights = FlatWeights(network)
    weights.release()
    before = [parameter.detach().clone() for parameter in network.parameters()]
    weights.flat.zero_()
    for parameter, was in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
        assert parameter.grad is None


def test_small_gradients_are_left_as_they_are() -> None:
    weights = FlatWeights(build_network(MLP, n_inputs=5, n_outputs=3, seed=1))
    weights.gradient[:4] = torch.tensor([3.0, 0.0, 4.0, 0.0])
    assert weights.excess(10.0).item() == weights.excess(None).item() == 1.0
    assert weights.excess(2.5).item() == pytest.approx(2.0)


def test_an_unknown_optimiser_is_refused() -> None:
    weights = FlatWeights(build_network(MLP, n_inputs=5, n_outputs=3, seed=1))
    with pytest.raises(ValueError, match="optimizer='adam'"):
        optimizer_step(weights, "adam")
