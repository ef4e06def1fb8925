"""How people call the layers of an architecture, in drawings and in text."""

from __future__ import annotations

from kernels.architecture import (
    CONVOLUTIONS,
    DECISIONS,
    INPUT,
    OUTPUT,
    POOLS,
    RECTIFIERS,
    RESIDUALS,
    SIGMOIDS,
    Architecture,
)

_KINDS = {
    **dict.fromkeys((INPUT, OUTPUT), "end"),
    **dict.fromkeys(RECTIFIERS, "rectifier"),
    **dict.fromkeys(SIGMOIDS, "sigmoid"),
    **dict.fromkeys(CONVOLUTIONS, "convolution"),
    **dict.fromkeys(RESIDUALS, "residual"),
    **dict.fromkeys(POOLS, "pooling"),
    "fc": "fully connected",
    **dict.fromkeys(DECISIONS, "decision"),
}
# Labels of the user's own and of cells ("nor_conv_3x3", "avg_pool_3x3") are told by the words in them.
_WORDS = (("pool", "pooling"), ("res", "residual"), ("conv", "convolution"), ("linear", "fully connected"))
_HAVE_CHANNELS = ("convolution", "residual", "pooling")


def layer_kind(label: str) -> str:
    """What a layer with this label does: "convolution", "pooling", ..., "other" where nothing tells.

    Examples:
        >>> layer_kind("crelu"), layer_kind("avg_pool_3x3"), layer_kind("skip_connect")
        ('rectifier', 'pooling', 'other')
    """
    if label in _KINDS:
        return _KINDS[label]
    return next((kind for word, kind in _WORDS if word in label.lower()), "other")


def layer_name(label: str) -> str:
    """The label as people say it.

    Examples:
        >>> layer_name("ip"), layer_name("conv3"), layer_name("max-pool"), layer_name("nor_conv_1x1")
        ('input', 'conv 3×3', 'max pool', 'nor conv 1x1')
    """
    if label in (INPUT, OUTPUT):
        return "input" if label == INPUT else "output"
    if label in CONVOLUTIONS or label in RESIDUALS:
        return f"{label[:-1]} {label[-1]}×{label[-1]}"
    return label.replace("-", " ").replace("_", " ")


def layer_detail(architecture: Architecture, layer: int) -> str:
    """Units (or channels) and stride of a layer: "64 channels, stride 2"; empty where it has neither."""
    kind = layer_kind(architecture.labels[layer])
    units = architecture.units[layer]
    stride = architecture.strides[layer] if architecture.strides else None
    parts = []
    if units is not None and kind != "end":
        word = "channel" if kind in _HAVE_CHANNELS else "unit"
        parts.append(f"{units} {word}{'' if units == 1 else 's'}")
    if stride is not None and stride > 1:
        parts.append(f"stride {stride}")
    return ", ".join(parts)
