"""L-BFGS with a strong Wolfe line search: how every marginal likelihood of transfer is maximised."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def minimise(loss: Callable[[], Tensor], parameters: Sequence[nn.Parameter], max_iterations: int) -> None:
    """Moves the parameters, in place, to where the loss is small.

    Args:
        loss: The loss at the parameters' present values, a scalar with a gradient.
        parameters: What is moved.
        max_iterations: Iterations at most.
    """
    optimizer = torch.optim.LBFGS(
        list(parameters),
        max_iter=max_iterations,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_change=1e-7,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)
