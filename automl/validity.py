"""The grammar of valid multilayer perceptrons and convolutional networks (Kandasamy et al. 2018, NASBOT, appendix B).

`Architecture` already sees to an acyclic graph with one input and one output and no dead ends. Here is what else a
network must satisfy to be built and trained: labels of its family, units and strides where they belong, decision layers
before the output and nowhere else, and, in convolutional networks, parents whose images have the same size.

Image sizes are told as inverse sizes: 1 for the input's own, doubled by each pooling layer and stride of 2, and `FLAT`
after a layer whose output is no image.
"""

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

FLAT = 0
"""Inverse image size of a layer whose output is a vector."""

ACTIVATIONS = frozenset({*RECTIFIERS, *SIGMOIDS})
CONVOLUTIONAL = frozenset({*CONVOLUTIONS, *RESIDUALS})
POOLING = frozenset(POOLS)
_WITH_UNITS = ACTIVATIONS | CONVOLUTIONAL | {"fc"}
_IMAGE_LAYERS = CONVOLUTIONAL | POOLING


def is_valid(architecture: Architecture) -> bool:
    """Whether the graph is a valid network of its family; any graph of another family is."""
    try:
        check(architecture)
    except ValueError:
        return False
    return True


def check(architecture: Architecture) -> None:
    """Refuses graphs that are no valid multilayer perceptron or convolutional network.

    Graphs that have labels of neither family (cells, say) are accepted as they are.

    Raises:
        ValueError: If the graph breaks the grammar of its family; the sentence names the layer.
    """
    if architecture.family == "mlp":
        check_mlp(architecture)
    elif architecture.family == "cnn":
        check_cnn(architecture)


def check_mlp(architecture: Architecture) -> None:
    """Refuses graphs that are no valid multilayer perceptron.

    Raises:
        ValueError: If a layer breaks the grammar.
    """
    _check_units(architecture)
    _check_decisions(architecture)
    _check_size(architecture)
    if architecture.strides is not None:
        raise ValueError("got a multilayer perceptron with strides, expected none; leave the strides out.")


def check_cnn(architecture: Architecture) -> list[int]:
    """Refuses graphs that are no valid convolutional network.

    Returns:
        For each layer the inverse size of its output image, as `inverse_image_sizes` tells it.

    Raises:
        ValueError: If a layer breaks the grammar.
    """
    _check_units(architecture)
    _check_decisions(architecture)
    _check_size(architecture)
    labels = architecture.labels
    for layer, stride in enumerate(architecture.strides or ()):
        if stride is not None and labels[layer] not in CONVOLUTIONAL:
            raise ValueError(
                f"layer {layer} ({labels[layer]}) has stride {stride}, expected None; only convolutions have strides."
            )
    for child in architecture.children[architecture.input]:
        if labels[child] not in CONVOLUTIONAL and len(labels) > 3:
            raise ValueError(
                f"layer {child} ({labels[child]}) reads the input, expected a convolution; put one between the two."
            )
    return inverse_image_sizes(architecture)


def inverse_image_sizes(architecture: Architecture) -> list[int]:
    """For each layer the inverse size of its output image, `FLAT` where that is none.

    Raises:
        ValueError: If parents of a layer differ in size, or a layer that needs an image reads none.
    """
    labels, strides = architecture.labels, architecture.strides or (None,) * len(architecture)
    sizes = [FLAT] * len(labels)
    for layer in architecture.topological_order:
        label = labels[layer]
        if label == INPUT:
            sizes[layer] = 1
            continue
        incoming = {sizes[parent] for parent in architecture.parents[layer]}
        if len(incoming) > 1:
            raise ValueError(
                f"layer {layer} ({label}) reads images of inverse sizes {sorted(incoming)}, expected equal ones; "
                "pool the larger down."
            )
        if label in _IMAGE_LAYERS:
            (size,) = incoming
            if size == FLAT:
                raise ValueError(
                    f"layer {layer} ({label}) reads a vector, expected an image; put it before those that give one."
                )
            sizes[layer] = 2 * size if label in POOLING or strides[layer] == 2 else size
    return sizes


def _check_units(architecture: Architecture) -> None:
    for layer, (label, units) in enumerate(zip(architecture.labels, architecture.units, strict=True)):
        if (units is None) == (label in _WITH_UNITS):
            expected = "a positive number" if units is None else "None"
            raise ValueError(
                f"layer {layer} ({label}) has {units} units, expected {expected}; mend its entry in units."
            )


def _check_decisions(architecture: Architecture) -> None:
    labels = architecture.labels
    kinds = {label for label in labels if label in DECISIONS}
    if len(kinds) != 1:
        raise ValueError(
            f"got the decision labels {sorted(kinds)}, expected one of {list(DECISIONS)}; end in layers of one kind."
        )
    for layer, label in enumerate(labels):
        leads_out = architecture.output in architecture.children[layer]
        if leads_out != (label in DECISIONS) or (leads_out and len(architecture.children[layer]) > 1):
            raise ValueError(
                f"layer {layer} ({label}) feeds {[labels[child] for child in architecture.children[layer]]}, expected "
                f"decision layers, and them alone, to feed {OUTPUT!r} and nothing else; mend its edges."
            )


def _check_size(architecture: Architecture) -> None:
    processing = sum(label in _WITH_UNITS or label in POOLING for label in architecture.labels)
    if not processing and len(architecture) != 3:
        raise ValueError(
            "got several decision layers and no layer before them, expected a network that processes its input; "
            "add a layer or drop a decision."
        )
