"""Loss and gradients of layer graphs of dense layers, written out instead of recorded by autograd.

In networks of some hundred units most of autograd's time goes into recording and dispatching. Here every layer is
five operations backwards, its weights' gradients are written straight where the optimiser reads them, and nothing is
recorded: about twice the steps per second. The numbers are autograd's (`tests/automl/test_dense_gradients.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.network import ACTIVATIONS, Average, Decision, Dense, Join, LayerGraph

LossName = Literal["cross_entropy", "mse", "l1"]

_aten = torch.ops.aten
_MEAN = 1  # torch's code for the reduction
_NO_INDEX = -100  # of a class to leave out


def _crelu_gradient(gradient: Tensor, before: Tensor, _after: Tensor) -> Tensor:
    positive, negative = gradient.chunk(2, dim=1)
    return torch.where(before > 0, positive, torch.where(before < 0, -negative, 0.0))


def _leaky_relu_gradient(gradient: Tensor, before: Tensor, _after: Tensor) -> Tensor:
    return torch.where(before > 0, gradient, 0.01 * gradient)


_threshold = _aten.threshold_backward.default
_softplus = _aten.softplus_backward.default
_elu = _aten.elu_backward.default
_sigmoid = _aten.sigmoid_backward.default
_tanh = _aten.tanh_backward.default

ACTIVATION_GRADIENTS: dict[str, Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    "relu": lambda gradient, before, after: _threshold(gradient, after, 0),
    "crelu": _crelu_gradient,
    "leaky-relu": _leaky_relu_gradient,
    "softplus": lambda gradient, before, after: _softplus(gradient, before, 1, 20),
    "elu": lambda gradient, before, after: _elu(gradient, 1, 1, 1, True, after),
    "logistic": lambda gradient, before, after: _sigmoid(gradient, after),
    "tanh": lambda gradient, before, after: _tanh(gradient, after),
    "fc": lambda gradient, before, after: _threshold(gradient, after, 0),
}
"""Gradient with respect to what went into an activation [n, units], of the gradient [n, units or twice as many] with
respect to what came out, and both of these."""


def loss_and_gradient(name: LossName, outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss of outputs [n, n_outputs] against targets [n], and its gradient with respect to the outputs."""
    n = len(targets)
    if name == "cross_entropy":
        log_probabilities = F.log_softmax(outputs, dim=1)
        loss, weight = _aten.nll_loss_forward.default(log_probabilities, targets, None, _MEAN, _NO_INDEX)
        above = _aten.nll_loss_backward.default(
            torch.ones_like(loss), log_probabilities, targets, None, _MEAN, _NO_INDEX, weight
        )
        return loss, _aten._log_softmax_backward_data.default(above, log_probabilities, 1, outputs.dtype)
    residual = outputs[:, 0] - targets
    if name == "mse":
        return residual.square().mean(), residual.mul(2.0 / n).unsqueeze(1)
    return residual.abs().mean(), residual.sign().div_(n).unsqueeze(1)


class DenseGradients:
    """Computes a loss and every parameter's gradient of a network whose layers are dense.

    Args:
        network: Its parameters hold gradient tensors, which each call overwrites.
        loss: The loss.
    """

    def __init__(self, network: LayerGraph, loss: LossName) -> None:
        self._loss = loss
        self._layers = [layer for layer in network.layers if isinstance(layer, Dense | Decision)]
        self._parents = network.parents[: len(self._layers)]
        self._decisions = network.parents[len(self._layers)]
        self._dropout = [layer.dropout if isinstance(layer, Dense) else 0.0 for layer in self._layers]
        names = {function: name for name, function in ACTIVATIONS.items()}
        labels = [names[layer.activation] if isinstance(layer, Dense) else None for layer in self._layers]
        self._forward = [None if label is None else ACTIVATIONS[label] for label in labels]
        self._backward = [None if label is None else ACTIVATION_GRADIENTS[label] for label in labels]
        self._weights = [(layer.linear.weight, layer.linear.bias) for layer in self._layers]

    @staticmethod
    def applies(network: LayerGraph) -> bool:
        """Whether a network is made of dense layers alone, joined by nothing but concatenation."""
        if network.image_shape is not None:
            return False
        *hidden, last = network.layers
        joins = all(isinstance(join, nn.Identity | Average) or _concatenates(join) for join in network.joins)
        return joins and isinstance(last, nn.Identity) and all(isinstance(layer, Dense | Decision) for layer in hidden)

    def __call__(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """The mean loss of a batch, inputs [n, n_inputs] and targets [n]; the parameters' gradients are those of it.

        Call it without gradients being recorded (`torch.no_grad`).
        """
        outputs, passes = self._run(inputs)
        decisions = [outputs[decision] for decision in self._decisions]
        average = decisions[0] if len(decisions) == 1 else torch.stack(decisions).mean(dim=0)
        loss, gradient = loss_and_gradient(self._loss, average, targets)
        if len(decisions) > 1:
            gradient = gradient / len(decisions)
        gradients: list[Tensor | None] = [None] * len(outputs)
        for decision in self._decisions:
            gradients[decision] = gradient
        for layer in range(len(self._layers) - 1, -1, -1):
            self._run_back(layer, passes[layer], outputs, gradients)
        return loss

    def _run(self, inputs: Tensor) -> tuple[list[Tensor], list[_Pass]]:
        """The outputs, the inputs first among them, and what each layer met on the way."""
        outputs, passes = [inputs], []
        for parents, (weight, bias), activation, dropout in zip(
            self._parents, self._weights, self._forward, self._dropout, strict=True
        ):
            x = outputs[parents[0]] if len(parents) == 1 else torch.cat([outputs[i] for i in parents], dim=1)
            before = torch.addmm(bias, x, weight.t())
            after = before if activation is None else activation(before)
            mask = torch.empty_like(after).bernoulli_(1.0 - dropout).div_(1.0 - dropout) if dropout else None
            passes.append(_Pass(x, before, after, mask))
            outputs.append(after if mask is None else after * mask)
        return outputs, passes

    def _run_back(self, layer: int, passed: _Pass, outputs: list[Tensor], gradients: list[Tensor | None]) -> None:
        """Writes the gradients of one layer's parameters, and adds to those of its parents' outputs."""
        gradient = gradients[layer + 1]
        assert gradient is not None, "every layer leads to the output, and those after it have been run back"
        if passed.mask is not None:
            gradient = gradient * passed.mask
        backward = self._backward[layer]
        if backward is not None:
            gradient = backward(gradient, passed.before, passed.after)
        weight, bias = self._weights[layer]
        torch.mm(gradient.t(), passed.inputs, out=weight.grad)
        torch.sum(gradient, dim=0, out=bias.grad)
        parents = self._parents[layer]
        if parents == (0,):
            return  # nobody asks for the gradient of the data
        to_inputs = torch.mm(gradient, weight)
        widths = [outputs[parent].shape[1] for parent in parents]
        parts = to_inputs.split(widths, dim=1) if len(parents) > 1 else (to_inputs,)
        for parent, part in zip(parents, parts, strict=True):
            above = gradients[parent]
            gradients[parent] = part if above is None else above + part


class _Pass(NamedTuple):
    """What a layer read, what went into and came out of its activation, and its dropout's mask, 0 or 1 / (1 - p)."""

    inputs: Tensor
    before: Tensor
    after: Tensor
    mask: Tensor | None


def _concatenates(join: nn.Module) -> bool:
    return isinstance(join, Join) and not join.flat and not any(join.sizes)
