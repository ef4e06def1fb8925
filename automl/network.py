"""Architecture -> torch.nn.Module: what each label computes, and how layers are joined.

The semantics are NASBOT's (Kandasamy et al. 2018, section 2 and appendix): a layer with several parents reads the
concatenation of their outputs, "op" averages its decision layers, "resk" is a residual unit of two k x k convolutions,
"convk" a convolution with batch normalisation and ReLU, and pooling halves the image. Decision layers ("softmax",
"linear") are linear maps to the outputs: classification gets logits. Where parents differ in image size the larger is
pooled down; before "fc" and decision layers an image is pooled to at most 2 x 2 and flattened.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.cell_network import Shape, cell_join, cell_layer, is_cell_layer
from kernels.architecture import CONVOLUTIONS, DECISIONS, INPUT, OUTPUT, POOLS, RESIDUALS, Architecture

_PROBE_ROWS = 256
_EVALUATION_ROWS = 8192
_DECISION_GAIN = 0.1
_FLATTENED_SIZE = 2


def _crelu(x: Tensor) -> Tensor:
    """Concatenated ReLU (Shang et al. 2016): twice the units, [n, 2 units]."""
    return torch.cat((torch.relu(x), torch.relu(-x)), dim=1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "crelu": _crelu,
    "leaky-relu": F.leaky_relu,
    "softplus": F.softplus,
    "elu": F.elu,
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "fc": torch.relu,
}


class Dense(nn.Module):
    """A fully connected layer with its activation and dropout: [n, n_inputs] -> [n, units], "crelu" twice as many."""

    def __init__(self, n_inputs: int, units: int, label: str, dropout: float) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, units)
        self.activation = ACTIVATIONS[label]
        self.dropout = dropout

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output."""
        x = self.activation(F.linear(x, self.linear.weight, self.linear.bias))
        return F.dropout(x, self.dropout, self.training) if self.dropout else x


class Decision(nn.Module):
    """A linear map to the outputs: [n, n_inputs] -> [n, n_outputs]."""

    def __init__(self, n_inputs: int, n_outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(n_inputs, n_outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, or standardised values."""
        return F.linear(x, self.linear.weight, self.linear.bias)


class Convolution(nn.Module):
    """Convolution, batch normalisation and, unless it ends a residual branch, ReLU."""

    def __init__(self, n_inputs: int, channels: int, kernel: int, stride: int, rectified: bool = True) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(n_inputs, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.rectified = rectified

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_inputs, h, w] -> [n, channels, h / stride, w / stride], rounded up."""
        x = self.norm(self.convolution(x))
        return F.relu(x, inplace=True) if self.rectified else x


class Residual(nn.Module):
    """Two convolutions beside a shortcut (He et al. 2016); the shortcut is 1 x 1 where channels or stride differ."""

    def __init__(self, n_inputs: int, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.first = Convolution(n_inputs, channels, kernel, stride)
        self.second = Convolution(channels, channels, kernel, 1, rectified=False)
        self.stride = stride
        same = n_inputs == channels and stride == 1
        self.shortcut = nn.Identity() if same else Convolution(n_inputs, channels, 1, 1, rectified=False)

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_inputs, h, w] -> [n, channels, h / stride, w / stride], rounded up."""
        # Strides are taken before the shortcut, which computes the same: the gradient of a strided 1 x 1 convolution of
        # few channels that lie last writes outside its memory (torch 2.13 with oneDNN 3.12 on CPUs).
        read = x[:, :, :: self.stride, :: self.stride]
        return torch.relu(self.second(self.first(x)) + self.shortcut(read))


class Join(nn.Module):
    """Brings the outputs of several parents to one shape and concatenates them along their channels.

    Args:
        sizes: The image size that each parent is pooled to, or None where it stays as it is.
        flat: Whether images are flattened.
    """

    def __init__(self, sizes: Sequence[tuple[int, int] | None], flat: bool) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.flat = flat

    def forward(self, *parents: Tensor) -> Tensor:
        """The joined output, [n, units] or [n, channels, h, w]."""
        pooled = [
            x if size is None else F.adaptive_avg_pool2d(x, size) for x, size in zip(parents, self.sizes, strict=True)
        ]
        if self.flat:
            pooled = [x.flatten(1) for x in pooled]
        return pooled[0] if len(pooled) == 1 else torch.cat(pooled, dim=1)


class Average(nn.Module):
    """The mean of several layers of equal shape."""

    def forward(self, *parents: Tensor) -> Tensor:
        """Each parent's shape."""
        return torch.stack(parents).mean(dim=0)


class LayerGraph(nn.Module):
    """Runs layers in topological order; a plain chain runs without any bookkeeping.

    Args:
        joins: What each layer applies to its parents' outputs.
        layers: The layers, without "ip".
        parents: For each layer, the positions of its parents; 0 is the input, i the layer at index i - 1.
        image_shape: What the rows [n, n_inputs] are reshaped to, or None.
    """

    def __init__(
        self,
        joins: Sequence[nn.Module],
        layers: Sequence[nn.Module],
        parents: Sequence[tuple[int, ...]],
        image_shape: Shape | None,
    ) -> None:
        super().__init__()
        self.joins = nn.ModuleList(joins)
        self.layers = nn.ModuleList(layers)
        self.image_shape = image_shape
        self.parents = tuple(parents)
        self._is_chain = all(above == (i,) for i, above in enumerate(self.parents))
        # Built once: attribute look-ups and calls of modules that do nothing cost as much as small layers do.
        self._chain = [m for pair in zip(joins, layers, strict=True) for m in pair if not isinstance(m, nn.Identity)]

    def forward(self, x: Tensor) -> Tensor:
        """[n, n_inputs] -> [n, n_outputs]."""
        if self.image_shape is not None:
            x = _images(x, self.image_shape)
        if self._is_chain:
            for module in self._chain:
                x = module(x)
            return x
        outputs = [x]
        for join, layer, above in zip(self.joins, self.layers, self.parents, strict=True):
            outputs.append(layer(join(*[outputs[i] for i in above])))
        return outputs[-1]

    @torch.no_grad()
    def calibrate(self, rows: Tensor) -> None:
        """Scales and shifts each dense layer so that its units have mean 0 and variance 1 before activation on `rows`.

        Data-dependent initialisation (Salimans and Kingma 2016, section 3; Mishkin and Matas 2016): deep tanh,
        logistic and softplus networks train from it as rectified ones do. Batch normalisation does it for images.

        Args:
            rows: Inputs [n, n_inputs] like those to come.
        """
        outputs = [rows if self.image_shape is None else _images(rows, self.image_shape)]
        for join, layer, above in zip(self.joins, self.layers, self.parents, strict=True):
            x = join(*[outputs[i] for i in above])
            if isinstance(layer, Dense):
                before = layer.linear(x)
                scale = before.std(dim=0).clamp_min(1e-3)
                layer.linear.weight.div_(scale[:, None])
                layer.linear.bias.copy_(-before.mean(dim=0) / scale)
            outputs.append(layer(x))


def _images(rows: Tensor, shape: Shape) -> Tensor:
    """Rows [n, n_inputs] as images [n, channels, h, w].

    On the CPU they lie with their channels last, and so does all that convolutions make of them: a training step is 10
    to 40 % faster, since nothing is reordered on the way from layer to layer.
    """
    images = rows.view(-1, *shape)
    if rows.device.type != "cpu":
        return images
    # Not `contiguous`, which leaves images of one channel as they are, whose strides ask for the other order.
    return torch.empty_like(images, memory_format=torch.channels_last).copy_(images)


def build_network(
    architecture: Architecture,
    *,
    n_inputs: int,
    n_outputs: int,
    image_shape: tuple[int, int, int] | None = None,
    dropout: float = 0.0,
    seed: int = 0,
) -> LayerGraph:
    """The network of an architecture, initialised from the seed alone.

    Args:
        architecture: An MLP, a CNN, or a network of stacked cells (see `automl.cell_network`).
        n_inputs: Numbers in each row of the inputs.
        n_outputs: Outputs of each decision layer.
        image_shape: Channels, height and width of the image that a row holds; a CNN and cells need it.
        dropout: Share of dense units dropped in training.
        seed: Seed of the weights; the global random state is left as it was.

    Returns:
        A module that takes rows `[n, n_inputs]` and gives `[n, n_outputs]`: logits, or standardised values.

    Raises:
        ValueError: As `assemble` does.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = assemble(
            architecture, n_inputs=n_inputs, n_outputs=n_outputs, image_shape=image_shape, dropout=dropout
        )
        _initialise(network)
        network.calibrate(torch.randn(_PROBE_ROWS, n_inputs))
    return network


def assemble(
    architecture: Architecture,
    *,
    n_inputs: int,
    n_outputs: int,
    image_shape: tuple[int, int, int] | None = None,
    dropout: float = 0.0,
) -> LayerGraph:
    """The network of an architecture before its initialisation: what saved weights are loaded into.

    Args:
        architecture: An MLP, a CNN, or a network of stacked cells (see `automl.cell_network`).
        n_inputs: Numbers in each row of the inputs.
        n_outputs: Outputs of each decision layer.
        image_shape: Channels, height and width of the image that a row holds; a CNN and cells need it.
        dropout: Share of dense units dropped in training.

    Raises:
        ValueError: If a CNN or a network of cells has no image or one of another size than the rows, a layer of images
            follows a flat one, no decision layer leads to the output, or nobody knows what a cell's operation computes.
    """
    if not 0.0 <= dropout < 1.0:
        raise ValueError(f"got dropout={dropout}, expected a share from 0 to below 1; lower it.")
    if architecture.family != "mlp" and image_shape is None:
        kind = "CNN" if architecture.family == "cnn" else "network of cells"
        raise ValueError(
            f"got a {kind} for rows of {n_inputs} numbers without an image shape, expected images; "
            "use MLPSpace for tables, or give image_shape."
        )
    if architecture.family != "mlp" and math.prod(image_shape or ()) != n_inputs:
        raise ValueError(
            f"got images of shape {image_shape} in rows of {n_inputs} numbers, expected as many numbers; "
            "mend image_shape or n_inputs."
        )
    undecided = {architecture.labels[layer] for layer in architecture.parents[architecture.output]} - {*DECISIONS}
    if undecided:
        raise ValueError(
            f"got a network that ends in {', '.join(sorted(undecided))}, expected 'softmax' or 'linear' before 'op'; "
            "add such a layer."
        )
    input_shape: Shape = (n_inputs,) if architecture.family == "mlp" else tuple(image_shape or ())
    return _assemble(architecture, input_shape, n_outputs, dropout)


@torch.inference_mode()
def predict_outputs(module: nn.Module, inputs: Tensor) -> NDArray[np.float32]:
    """A module's outputs `[n, n_outputs]` in evaluation mode, some thousand rows at a time."""
    module.eval()
    return np.concatenate([module(rows).cpu().numpy() for rows in inputs.split(_EVALUATION_ROWS)])


def _assemble(architecture: Architecture, input_shape: Shape, n_outputs: int, dropout: float) -> LayerGraph:
    order = [layer for layer in architecture.topological_order if architecture.labels[layer] != INPUT]
    position = {architecture.input: 0} | {layer: i + 1 for i, layer in enumerate(order)}
    shapes: dict[int, Shape] = {architecture.input: input_shape}
    joins: list[nn.Module] = []
    layers: list[nn.Module] = []
    for layer in order:
        label = architecture.labels[layer]
        parents = [shapes[parent] for parent in architecture.parents[layer]]
        is_cell = architecture.family == "graph"
        join, joined = cell_join(label, parents, dropout) if is_cell else _join(label, parents)
        stride = (architecture.strides or {layer: None})[layer] or 1
        if is_cell and is_cell_layer(label):
            module, shapes[layer] = cell_layer(label, joined, architecture.units[layer])
        else:
            module, shapes[layer] = _layer(label, joined, architecture.units[layer], stride, n_outputs, dropout)
        joins.append(join)
        layers.append(module)
    above = [tuple(position[parent] for parent in architecture.parents[layer]) for layer in order]
    return LayerGraph(joins, layers, above, input_shape if len(input_shape) == 3 else None)


def _join(label: str, parents: Sequence[Shape]) -> tuple[nn.Module, Shape]:
    """What brings the parents' outputs together, and the shape of the result."""
    images = [shape for shape in parents if len(shape) == 3]
    if label == OUTPUT:
        return (nn.Identity() if len(parents) == 1 else Average()), parents[0]
    if not images:
        join = nn.Identity() if len(parents) == 1 else Join([None] * len(parents), flat=False)
        return join, (sum(shape[0] for shape in parents),)
    height, width = min(shape[1] for shape in images), min(shape[2] for shape in images)
    flat = label == "fc" or label in DECISIONS
    if flat:
        height, width = min(height, _FLATTENED_SIZE), min(width, _FLATTENED_SIZE)
    elif len(images) < len(parents):
        raise ValueError(f"layer {label!r} reads an image and a flat layer, expected images alone; mend its edges.")
    sizes = [(height, width) if len(shape) == 3 and shape[1:] != (height, width) else None for shape in parents]
    joined: Shape = (sum(shape[0] for shape in images), height, width)
    if flat:
        joined = (math.prod(joined) + sum(shape[0] for shape in parents if len(shape) == 1),)
    if not flat and len(parents) == 1:
        return nn.Identity(), joined
    return Join(sizes, flat), joined


def _layer(
    label: str, shape: Shape, units: int | None, stride: int, n_outputs: int, dropout: float
) -> tuple[nn.Module, Shape]:
    """The layer of a label for inputs of that shape, and the shape of its outputs."""
    if label == OUTPUT:
        return nn.Identity(), shape
    if label in DECISIONS:
        return Decision(shape[0], n_outputs), (n_outputs,)
    if label not in POOLS and units is None:
        raise ValueError(f"a layer {label!r} has no units, expected a positive number; give it some.")
    channels = units or shape[0]
    if label in ACTIVATIONS:
        return Dense(shape[0], channels, label, dropout), (channels * (2 if label == "crelu" else 1),)
    if len(shape) != 3:
        raise ValueError(f"a layer {label!r} follows a flat layer, expected an image before it; mend its edges.")
    size = (math.ceil(shape[1] / stride), math.ceil(shape[2] / stride))
    if label in CONVOLUTIONS:
        return Convolution(shape[0], channels, int(label[-1]), stride), (channels, *size)
    if label in RESIDUALS:
        return Residual(shape[0], channels, int(label[-1]), stride), (channels, *size)
    pool = nn.MaxPool2d(2, ceil_mode=True) if label == "max-pool" else nn.AvgPool2d(2, ceil_mode=True)
    return pool, (channels, math.ceil(shape[1] / 2), math.ceil(shape[2] / 2))


def _initialise(network: nn.Module) -> None:
    """He et al. 2015 for hidden layers, small weights before the outputs, residual units as identities."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    for module in network.modules():
        if isinstance(module, Decision):
            nn.init.normal_(module.linear.weight, std=_DECISION_GAIN / math.sqrt(module.linear.in_features))
        if isinstance(module, Residual):
            nn.init.zeros_(module.second.norm.weight)
