"""A module's parameters in one flat buffer, and the optimisers that update it in one operation.

Most of an optimiser's step on a small network is dispatching: a loop over layers, the bookkeeping of
`torch.optim.Optimizer`, a pass that clips. Here one fused kernel reads the gradient, divides it by what clipping asks
for, and writes weights and moments. Weight decay is apart from it, since it meets matrices alone. The steps are those
of `torch.optim` with `clip_grad_norm_` (`tests/automl/test_flat_weights.py`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

_ALIGNMENT = 16  # floats: the 64 bytes that torch aligns tensors to, on which the rounding of matrix products depends
_MOMENTUM = 0.9
_BETAS = (0.9, 0.999)
_SMOOTHING = 0.99  # RMSprop's, as torch has it
_EPSILON = 1e-8

_DIVIDING = ("cpu", "cuda")  # devices whose fused kernels divide the gradient themselves; others' pass it over

_aten = torch.ops.aten

Step = Callable[[float, Tensor], None]
"""One update at a learning rate, of the gradient divided by a scalar tensor."""


class FlatWeights:
    """A module's parameters as views of one flat buffer, matrices first, and their gradients alike.

    One optimiser step, one norm or one copy is then a single operation, however many layers there are.
    """

    def __init__(self, module: nn.Module) -> None:
        trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
        # Biases and normalisation are not decayed: shrinking them has no regularising effect (He et al. 2019, 3.1).
        matrices = [parameter for parameter in trained if parameter.dim() > 1]
        self._parameters = [*matrices, *(parameter for parameter in trained if parameter.dim() <= 1)]
        sizes = [-(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT for parameter in self._parameters]
        device = trained[0].device
        self.flat = torch.zeros(sum(sizes), device=device)
        self.gradient = torch.zeros_like(self.flat)
        self._matrices = self.flat[: sum(sizes[: len(matrices)])]
        with torch.no_grad():
            start = 0
            for parameter, size in zip(self._parameters, sizes, strict=True):
                stop = start + parameter.numel()
                self.flat[start:stop] = parameter.flatten()
                parameter.data = self.flat[start:stop].view_as(parameter)
                parameter.grad = self.gradient[start:stop].view_as(parameter)
                start += size

    def excess(self, norm: float | None) -> Tensor:
        """What to divide the gradient by so that its Euclidean norm is at most `norm`: 1 or more, on the device."""
        if norm is None:
            return torch.ones((), device=self.flat.device)
        length: Tensor = torch.linalg.vector_norm(self.gradient)
        return length.div_(norm).clamp_(min=1.0)

    def divisor(self, excess: Tensor) -> Tensor | None:
        """What is left for a fused kernel to divide the gradient by: `excess`, or nothing where it cannot."""
        if self.flat.device.type in _DIVIDING:
            return excess
        self.gradient.div_(excess)
        return None

    def decay(self, share: float) -> None:
        """Shrinks the matrices by a share of themselves: decoupled weight decay (Loshchilov and Hutter 2019)."""
        self._matrices.mul_(1.0 - share)

    def release(self) -> None:
        """Gives every parameter memory of its own again."""
        for parameter in self._parameters:
            parameter.data = parameter.data.clone()
            parameter.grad = None


def optimizer_step(weights: FlatWeights, name: str) -> Step:
    """The step of an optimiser, "adamw", "sgd" (Nesterov, momentum .9) or "rmsprop", with the state that it needs.

    Raises:
        ValueError: If there is no optimiser of that name.
    """
    makers = {"adamw": _adamw, "sgd": _sgd, "rmsprop": _rmsprop}
    if name not in makers:
        raise ValueError(f"got optimizer={name!r}, expected 'adamw', 'sgd' or 'rmsprop'; choose one of these.")
    return makers[name](weights)


def _adamw(weights: FlatWeights) -> Step:
    """Adam (Kingma and Ba 2015); decoupled decay is `FlatWeights.decay`."""
    means, squares = torch.zeros_like(weights.flat), torch.zeros_like(weights.flat)
    steps, none = torch.zeros((), device=weights.flat.device), list[Tensor]()
    beta1, beta2 = _BETAS
    fixed = {"beta1": beta1, "beta2": beta2, "weight_decay": 0.0, "eps": _EPSILON, "amsgrad": False, "maximize": False}

    def step(rate: float, excess: Tensor) -> None:
        steps.add_(1.0)
        state = [weights.flat], [weights.gradient], [means], [squares], none, [steps]
        _aten._fused_adamw_.default(*state, lr=rate, **fixed, grad_scale=weights.divisor(excess))

    return step


def _sgd(weights: FlatWeights) -> Step:
    """Stochastic gradient descent with Nesterov's momentum."""
    momentum = torch.zeros_like(weights.flat)
    fixed = {"weight_decay": 0.0, "momentum": _MOMENTUM, "dampening": 0.0, "nesterov": True, "maximize": False}

    def step(rate: float, excess: Tensor) -> None:
        state = [weights.flat], [weights.gradient], [momentum]
        _aten._fused_sgd_.default(*state, lr=rate, **fixed, is_first_step=False, grad_scale=weights.divisor(excess))

    return step


def _rmsprop(weights: FlatWeights) -> Step:
    """RMSprop (Tieleman and Hinton 2012)."""
    squares = torch.zeros_like(weights.flat)

    def step(rate: float, excess: Tensor) -> None:
        weights.gradient.div_(excess)
        squares.mul_(_SMOOTHING).addcmul_(weights.gradient, weights.gradient, value=1.0 - _SMOOTHING)
        weights.flat.addcdiv_(weights.gradient, squares.sqrt().add_(_EPSILON), value=-rate)

    return step
