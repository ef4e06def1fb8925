"""What the layers of a stacked cell compute (Dong and Yang 2020, NAS-Bench-201, section 2.1 and figure 1).

All layers of a stage have its channels, and a layer with several parents reads their sum. Operations: "nor_conv_kxk"
(ReLU, k x k convolution, batch normalisation), "sep_conv_kxk" and "dil_conv_kxk" (the same, separable, and dilated by
two), "avg_pool_kxk", "max_pool_kxk", "skip_connect" and "none". A stem convolution comes first, a residual unit that
halves the image between stages, and a normalised global average before the decision layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.spaces.cell_graphs import REDUCTION, STEM, SUM
from kernels.architecture import DECISIONS, OUTPUT

Shape = tuple[int, ...]
"""Shape of one row's output of a layer: (units,) or (channels, height, width)."""

_CONVOLUTION: Final = re.compile(r"(nor|sep|dil)_conv_([1357])x\2")
_POOL: Final = re.compile(r"(avg|max)_pool_([357])x\2")


class Sum(nn.Module):
    """The sum of several layers of equal shape."""

    def forward(self, *parents: Tensor) -> Tensor:
        """Each parent's shape."""
        total = parents[0]
        for other in parents[1:]:
            total = total + other
        return total


class Zero(nn.Module):
    """Nothing: zeros of the input's shape."""

    def forward(self, x: Tensor) -> Tensor:
        """The input's shape."""
        return torch.zeros_like(x)


class Head(nn.Module):
    """Batch normalisation, ReLU, global average and dropout: [n, channels, h, w] -> [n, channels]."""

    def __init__(self, channels: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """The features that the decision layer reads."""
        x = F.relu(self.norm(x)).mean(dim=(2, 3))
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Reduction(nn.Module):
    """A residual unit that halves the image; its shortcut averages (He et al. 2016; Dong and Yang 2020)."""

    def __init__(self, n_inputs: int, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            *_convolution("nor", n_inputs, channels, 3, stride=2), *_convolution("nor", channels, channels, 3)
        )
        self.shortcut = nn.Sequential(nn.AvgPool2d(2, ceil_mode=True), nn.Conv2d(n_inputs, channels, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_inputs, h, w] -> [n, channels, h / 2, w / 2], rounded up."""
        return torch.add(self.branch(x), self.shortcut(x))


def cell_join(label: str, parents: Sequence[Shape], dropout: float) -> tuple[nn.Module, Shape]:
    """What brings the outputs of a layer's parents together, and the shape of the result.

    Raises:
        ValueError: If the parents differ in shape, which no stacked cell's do.
    """
    if len(set(parents)) > 1:
        raise ValueError(
            f"a layer {label!r} of a cell reads outputs of the shapes {sorted(set(parents))}, expected equal ones, "
            "since it adds them; give the layers of a stage the same units."
        )
    if label in DECISIONS and len(parents[0]) == 3:
        if len(parents) > 1:
            raise ValueError(f"the decision layer {label!r} reads {len(parents)} layers, expected one; add a 'sum'.")
        return Head(parents[0][0], dropout), parents[0][:1]
    return (nn.Identity() if len(parents) == 1 else Sum()), parents[0]


def is_cell_layer(label: str) -> bool:
    """Whether `cell_layer` knows the label; "op" and decision layers are those of every network."""
    return label != OUTPUT and label not in DECISIONS


def cell_layer(label: str, shape: Shape, units: int | None) -> tuple[nn.Module, Shape]:
    """The layer of a label for inputs of that shape, and the shape of its outputs.

    Raises:
        ValueError: If nobody knows what the label computes, or its units do not fit.
    """
    if len(shape) != 3:
        raise ValueError(
            f"a layer {label!r} of a cell follows a flat layer, expected an image before it; mend its edges."
        )
    channels = units or shape[0]
    if label == STEM:
        convolution = nn.Conv2d(shape[0], channels, 3, padding=1, bias=False)
        return nn.Sequential(convolution, nn.BatchNorm2d(channels)), (channels, *shape[1:])
    if label == REDUCTION:
        return Reduction(shape[0], channels), (channels, *(math.ceil(size / 2) for size in shape[1:]))
    if channels != shape[0]:
        raise ValueError(
            f"a layer {label!r} has {channels} units and reads {shape[0]} channels, expected as many; "
            "only 'stem' and 'reduction' change their number."
        )
    return _operation(label, channels), shape


def _operation(label: str, channels: int) -> nn.Module:
    """An operation within a cell, which keeps the shape of the image."""
    if label in (SUM, "skip_connect", "skip"):
        return nn.Identity()
    if label == "none":
        return Zero()
    if found := _CONVOLUTION.fullmatch(label):
        return nn.Sequential(*_convolution(found[1], channels, channels, int(found[2])))
    if found := _POOL.fullmatch(label):
        kernel = int(found[2])
        if found[1] == "max":
            return nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)
        return nn.AvgPool2d(kernel, stride=1, padding=kernel // 2, count_include_pad=False)
    raise ValueError(
        f"got a cell with the operation {label!r}, expected 'none', 'skip_connect', or one like 'nor_conv_3x3', "
        "'sep_conv_5x5', 'dil_conv_3x3', 'avg_pool_3x3', 'max_pool_3x3'; train other operations with code of your own."
    )


def _convolution(sort: str, n_inputs: int, channels: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    """ReLU, convolution and batch normalisation; separable and dilated ones are depthwise, then pointwise."""
    dilation = 2 if sort == "dil" else 1
    padding = dilation * (kernel // 2)
    groups = 1 if sort == "nor" else n_inputs
    width = channels if sort == "nor" else n_inputs
    spatial = nn.Conv2d(n_inputs, width, kernel, stride, padding, dilation, groups=groups, bias=False)
    pointwise = [] if sort == "nor" else [nn.Conv2d(width, channels, 1, bias=False)]
    return [nn.ReLU(), spatial, *pointwise, nn.BatchNorm2d(channels)]
