"""The optimiser of NAO's network against torch's AdamW, gradient clipping and a schedule written out anew."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from automl.surrogates.nao_descent import Descent

RATE, DECAY, FASTER = 0.03, 0.2, 3.0


def parameters() -> list[nn.Parameter]:
    """A matrix, a vector, and one number that no loss reaches."""
    generator = torch.Generator().manual_seed(0)
    shapes: tuple[tuple[int, ...], ...] = ((3, 2), (4,), (1,))
    return [nn.Parameter(torch.randn(shape, dtype=torch.float64, generator=generator)) for shape in shapes]


def loss(matrix: Tensor, vector: Tensor, step: int) -> Tensor:
    """Its gradients are of a norm around 1 in some steps and far above 5, where they are clipped, in others."""
    return (0.3, 8.0)[step % 2] * ((matrix - 1.0).square().sum() + (vector + step).sin().sum())


def by_torch(n_steps: int) -> list[nn.Parameter]:
    matrix, vector, unreached = parameters()
    groups = [{"params": [matrix, unreached], "factor": 1.0}, {"params": [vector], "factor": FASTER}]
    optimiser = torch.optim.AdamW(groups, weight_decay=DECAY)
    peak = max(n_steps // 10, 1)
    for step in range(1, n_steps + 1):
        fall = (step - peak) / (n_steps - peak + 1)  # reaches 1 where one step more would be taken
        share = step / peak if step <= peak else (1.0 + math.cos(math.pi * fall)) / 2.0
        for group in optimiser.param_groups:
            group["lr"] = RATE * group["factor"] * share
        optimiser.zero_grad()
        loss(matrix, vector, step).backward()
        unreached.grad = torch.zeros_like(unreached)
        nn.utils.clip_grad_norm_([matrix, vector], 5.0)
        optimiser.step()
    return [matrix, vector, unreached]


@pytest.mark.parametrize("n_steps", [5, 30])
def test_it_is_adamw_with_clipped_gradients_on_a_schedule_that_rises_and_falls(n_steps: int) -> None:
    matrix, vector, unreached = found = parameters()
    descend = Descent([([matrix, unreached], 1.0), ([vector], FASTER)], RATE, DECAY, n_steps)
    for step in range(1, n_steps + 1):
        descend(loss(matrix, vector, step))
    for parameter, expected in zip(found, by_torch(n_steps), strict=True):
        torch.testing.assert_close(parameter, expected, rtol=1e-6, atol=1e-6)
