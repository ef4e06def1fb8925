"""The optimiser of NAO's network: AdamW (Loshchilov and Hutter 2019) on a one-cycle schedule.

Written out, in the operations on lists that torch's own optimisers are made of, because importing `torch.optim` brings
torch's compiler, which takes seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

_CLIP = 5.0  # the largest gradient norm, as in the paper's code


class Descent:
    """AdamW with clipped gradients; each call takes one step down the gradient of a loss.

    The learning rate rises over the first tenth of the steps and then falls as a cosine.

    Args:
        groups: Parameters, and by what their learning rate is multiplied.
        learning_rate: The peak rate.
        weight_decay: Decoupled weight decay.
        n_steps: Number of calls to come.
    """

    def __init__(
        self,
        groups: Sequence[tuple[Iterable[nn.Parameter], float]],
        learning_rate: float,
        weight_decay: float,
        n_steps: int,
    ) -> None:
        self._parameters: list[Tensor] = [parameter for group, _ in groups for parameter in group]
        self._rates = [rate * learning_rate for group, rate in groups for _ in group]
        self._decay = weight_decay
        self._n_steps = n_steps
        self._step = 0
        self._mean = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._square = [torch.zeros_like(parameter) for parameter in self._parameters]

    def __call__(self, loss: Tensor) -> None:
        # Zeros for what the loss does not reach: without a reconstruction term that is the decoder.
        gradients = list(torch.autograd.grad(loss, self._parameters, materialize_grads=True))
        norm = torch.stack(torch._foreach_norm(gradients)).norm()
        scale = min(1.0, _CLIP / (norm.item() + 1e-12))
        self._step += 1
        t, warm = self._step, max(self._n_steps // 10, 1)
        phase = t / warm if t < warm else 0.5 + 0.5 * math.cos(math.pi * (t - warm) / (self._n_steps + 1 - warm))
        correction = math.sqrt(1.0 - 0.999**t) / (1.0 - 0.9**t)
        with torch.no_grad():
            torch._foreach_mul_(self._mean, 0.9)
            torch._foreach_add_(self._mean, gradients, alpha=0.1 * scale)
            torch._foreach_mul_(self._square, 0.999)
            torch._foreach_addcmul_(self._square, gradients, gradients, value=0.001 * scale**2)
            torch._foreach_mul_(self._parameters, [1.0 - rate * phase * self._decay for rate in self._rates])
            lengths = torch._foreach_add(torch._foreach_sqrt(self._square), 1e-8)
            moves = [-rate * phase * correction for rate in self._rates]
            torch._foreach_addcdiv_(self._parameters, self._mean, lengths, moves)
