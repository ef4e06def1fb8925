"""What a layer weighs, and what it costs to match layers of different labels (OTMANN's masses and label mismatch).

Kandasamy et al. 2018 (NASBOT), section 3 and appendix A. A layer's mass is the computation it does: incoming times
outgoing channels for convolutions and activations, a tenth of that for fully connected layers, the incoming channels
for pools; "ip", "op" and all decision layers together weigh a tenth of the rest each. The mismatch tables for
convolutional networks and perceptrons are those of the authors' implementation; for any other list of labels there is
a default from the attributes of the operations. Costs are in units of the penalty for leaving a layer unmatched.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

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
    Family,
)

Floats = npt.NDArray[np.float64]

FULLY_CONNECTED_FACTOR = 0.1
END_FRACTION = 0.1  # mass of "ip", of "op", and of all decision layers together, as a fraction of the processing mass
END_FLOOR = 100.0  # ... and at least this, in networks whose masses count channels
POOL_MISMATCH = 0.5
SAME_SHAPE_MISMATCH = 0.1  # two rectifiers, two sigmoids, or a convolution and a residual unit of one kernel size
ACTIVATION_MISMATCH = 0.25
KERNEL_SCALE = math.sqrt(2) / 10
FORBIDDEN = 2.0  # a match that costs this is no better than leaving both layers unmatched, at 1 each

_ENDS = (INPUT, OUTPUT, *DECISIONS)
_NONE_NAMES = frozenset({"none", "zero", "zeroize", "zeros"})
_IDENTITY_NAMES = frozenset(
    {"skip", "identity", "skip_connect", "skip_connection", "id", "noop", "sum", "add", "concat"}
)
_MESSAGE_PASSING = frozenset({"gcn", "gat", "gin", "sage", "graph", "cheb", "arma", "graphsage", "appnp", "sgc"})


@dataclass(frozen=True)
class LabelCosts:
    """Costs of matching a layer of one label with a layer of another, 0 for the same and inf for "never".

    Costs of 2 and more forbid a match as well, since leaving both layers unmatched costs no more.

    Args:
        labels: L distinct labels.
        table: L rows of L costs, symmetric, zero on the diagonal, inf where two labels can never be matched.

    Raises:
        ValueError: If the table is not such a table.
    """

    labels: tuple[str, ...]
    table: tuple[tuple[float, ...], ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "labels", tuple(self.labels))
        try:
            object.__setattr__(self, "table", tuple(tuple(float(cost) for cost in row) for row in self.table))
        except (TypeError, ValueError):
            raise ValueError(
                f"got the cost table {self.table!r}, expected a row of numbers for each label; write such rows."
            ) from None
        n = len(self.labels)
        if not n or len(set(self.labels)) != n:
            raise ValueError(f"got the labels {list(self.labels)}, expected one or more, each once; mend the list.")
        if len(self.table) != n or any(len(row) != n for row in self.table):
            raise ValueError(
                f"got a cost table of {len(self.table)} rows with {sorted({len(row) for row in self.table})} entries, "
                f"expected {n} x {n} for {n} labels; give one row and one column a label."
            )
        costs = self.array
        if np.isnan(costs).any() or (costs < 0).any() or np.diag(costs).any() or not np.array_equal(costs, costs.T):
            raise ValueError(
                "got label costs that are negative, nan, asymmetric or not zero on the diagonal, "
                "expected a symmetric table of costs with a zero diagonal; use inf where labels never match."
            )

    @cached_property
    def array(self) -> Floats:
        """The table as a float64 array (L, L)."""
        array = np.array(self.table, dtype=np.float64).reshape(len(self.table), -1)
        array.flags.writeable = False
        return array

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Each label's row."""
        return {label: i for i, label in enumerate(self.labels)}

    @cached_property
    def blocks(self) -> npt.NDArray[np.int64]:
        """For each label the block it belongs to, (L,): labels of different blocks never match, even through others."""
        _, blocks = connected_components(self.array < FORBIDDEN, directed=False)
        return blocks.astype(np.int64)

    def indices(self, architecture: Architecture) -> npt.NDArray[np.int64]:
        """The row of each layer's label, an array (n,).

        Raises:
            ValueError: If the table lacks one of the labels.
        """
        try:
            return np.array([self.index[label] for label in architecture.labels], dtype=np.int64)
        except KeyError:
            layer, label = next((i, name) for i, name in enumerate(architecture.labels) if name not in self.index)
            raise ValueError(
                f"layer {layer} has label {label!r}, which the cost table lacks; it knows {sorted(self.labels)}. "
                "Add the label to LabelCosts or map it when building the Architecture."
            ) from None


@dataclass(frozen=True)
class OperationAttributes:
    """What the default costs know of an operation.

    Args:
        family: Kind of operation; an unknown label is a family of its own.
        parametric: Whether it has weights to learn.
        receptive_field: Kernel size (1 where it looks at one position).
        is_zero: Whether it passes nothing on.
        is_operation: False for "ip", "op" and decision layers.
    """

    family: str
    parametric: bool
    receptive_field: int = 1
    is_zero: bool = False
    is_operation: bool = True


@cache
def cnn_label_costs() -> LabelCosts:
    """The mismatch table of convolutional networks, that of the authors' implementation."""
    labels = (INPUT, OUTPUT, "fc", *POOLS, *DECISIONS, "conv3", "res3", "conv5", "res5", "conv7", "res7")
    return LabelCosts(labels, tuple(tuple(_cnn_cost(a, b) for b in labels) for a in labels))


@cache
def mlp_label_costs() -> LabelCosts:
    """The mismatch table of multi-layer perceptrons, for regression and classification alike."""
    labels = (INPUT, OUTPUT, *RECTIFIERS, *SIGMOIDS, *DECISIONS)
    return LabelCosts(labels, tuple(tuple(_mlp_cost(a, b) for b in labels) for a in labels))


def label_costs(labels: Iterable[str]) -> LabelCosts:
    """Default mismatch table for any list of labels, from the attributes of the operations.

    The cost of two different operations is

        0.1 + 0.4 [families differ] + 0.5 [one has weights, the other none] + 0.5 [one passes nothing on, the other
        does] + (sqrt(2) / 10) sqrt(|difference of receptive fields|),

    a sum of metrics, hence a metric, below 2 unless kernels differ by tens. "ip", "op" and the decision layers match
    only themselves. So a convolution is near another convolution, farther from another family with weights, far from
    "skip" and farthest from "none". "ip" and "op" are added where missing.

    >>> costs = label_costs(["conv_3x3", "conv_5x5", "skip", "none"])
    >>> conv = dict(zip(costs.labels, costs.table[costs.index["conv_3x3"]]))
    >>> [round(conv[label], 3) for label in ("conv_3x3", "conv_5x5", "skip", "none", "ip")]
    [0.0, 0.3, 1.2, 1.7, inf]
    """
    names = tuple(dict.fromkeys((INPUT, OUTPUT, *labels)))
    return LabelCosts(names, tuple(tuple(_default_cost(a, b) for b in names) for a in names))


def label_costs_for(family: Family, labels: Iterable[str] = ()) -> LabelCosts:
    """The table by which networks of a family are compared: NASBOT's for its two, else `label_costs` of the labels."""
    if family == "graph":
        return label_costs(labels)
    return mlp_label_costs() if family == "mlp" else cnn_label_costs()


def common_family(families: Iterable[Family]) -> Family:
    """The family under which networks of these families can be compared.

    Networks of one family keep it. A "graph" takes in the others, since a cell may happen to use only labels that
    NASBOT knows as well.

    Raises:
        ValueError: If perceptrons and convolutional networks are mixed.
    """
    distinct = set(families)
    if {"mlp", "cnn"} <= distinct:
        raise ValueError(
            "got both MLP and CNN architectures, expected one family, since their layers have no common cost table; "
            "compare each family in a call of its own."
        )
    return distinct.pop() if len(distinct) == 1 else "graph"


def operation_attributes(label: str) -> OperationAttributes:
    """Attributes of an operation read off its label: "nor_conv_3x3", "avg_pool_3x3", "sep_conv_5x5", "skip", "gcn", ...

    A label that says nothing known is taken for an operation with weights, of a family of its own.
    """
    if label in _ENDS:
        return OperationAttributes(label, parametric=False, is_operation=False)
    name = label.lower().replace("-", "_")
    field = _receptive_field(name)
    if name in _NONE_NAMES:
        return OperationAttributes("none", parametric=False, is_zero=True)
    if name in _IDENTITY_NAMES:
        return OperationAttributes("identity", parametric=False)
    if "pool" in name:
        return OperationAttributes("pool", parametric=False, receptive_field=field)
    if "conv" in name or label in RESIDUALS:
        return OperationAttributes("convolution", parametric=True, receptive_field=field)
    if name in _MESSAGE_PASSING:
        return OperationAttributes("message passing", parametric=True, receptive_field=field)
    if label in RECTIFIERS or label in SIGMOIDS:
        return OperationAttributes("rectifier" if label in RECTIFIERS else "sigmoid", parametric=True)
    return OperationAttributes(label, parametric=True, receptive_field=field)


def layer_masses(architecture: Architecture, family: Family | None = None) -> Floats:
    """The mass of every layer, a float64 array (n,) in the order of the layers.

    Units that "ip", "op", pools or decision layers carry are ignored; the input counts as one channel. In a "graph"
    whose operations have no units every operation weighs 1; where some have, a layer with units weighs incoming times
    outgoing channels, and one without weighs its incoming channels and passes them on. There "ip", "op" and the
    decision layers weigh a tenth of the rest without a floor.

    Args:
        architecture: A network of n layers.
        family: By whose rule to weigh; the architecture's own by default.

    Raises:
        ValueError: If a layer whose mass depends on its units has none.
    """
    family = family or architecture.family
    masses = _processing_masses(architecture, family)
    return _with_ends(architecture, masses, 0.0 if family == "graph" else END_FLOOR)


def _processing_masses(architecture: Architecture, family: Family) -> Floats:
    """Masses of all layers but the ends, which stay 0; see `layer_masses`."""
    labels, units = architecture.labels, architecture.units
    if family == "graph" and all(u is None for u, label in zip(units, labels, strict=True) if label not in _ENDS):
        return np.array([0.0 if label in _ENDS else 1.0 for label in labels])
    masses = [0.0] * len(labels)
    outgoing = [1.0] * len(labels)
    for layer in architecture.topological_order:
        label = labels[layer]
        if label == INPUT:
            continue
        incoming = sum(outgoing[parent] for parent in architecture.parents[layer])
        passes_on = label in POOLS or label in _ENDS or (family == "graph" and units[layer] is None)
        outgoing[layer] = incoming if passes_on else _own_channels(architecture, layer)
        if label not in _ENDS:
            factor = FULLY_CONNECTED_FACTOR if label == "fc" else 1.0
            masses[layer] = incoming if passes_on else factor * incoming * outgoing[layer]
    return np.array(masses)


def _own_channels(architecture: Architecture, layer: int) -> float:
    units = architecture.units[layer]
    if units is None:
        raise ValueError(
            f"layer {layer} ({architecture.labels[layer]}) has no units, expected a positive number since its mass "
            "depends on it; give every layer but 'ip', 'op', pools and decision layers its units."
        )
    return float(units)


def _with_ends(architecture: Architecture, masses: Floats, floor: float) -> Floats:
    """Adds the masses of "ip", "op" and the decision layers, which depend on the sum of the others."""
    end = max(END_FRACTION * float(masses.sum()), floor)
    decisions = [layer for layer, label in enumerate(architecture.labels) if label in DECISIONS]
    masses[[architecture.input, architecture.output]] = end
    if decisions:
        masses[decisions] = end / len(decisions)
    return masses


def _receptive_field(name: str) -> int:
    found = re.search(r"\d+", name)
    return int(found.group()) if found else 1


def _kernel_cost(a: str, b: str) -> float:
    return KERNEL_SCALE * math.sqrt(abs(_receptive_field(a) - _receptive_field(b)))


def _cnn_cost(a: str, b: str) -> float:
    if a == b:
        return 0.0
    if a in POOLS and b in POOLS:
        return POOL_MISMATCH
    convolutional = (*CONVOLUTIONS, *RESIDUALS)
    if a not in convolutional or b not in convolutional:
        return math.inf
    cost = _kernel_cost(a, b)
    if (a in RESIDUALS) == (b in RESIDUALS) or cost > 1.0:
        return cost
    return (1.0 - SAME_SHAPE_MISMATCH) * cost + SAME_SHAPE_MISMATCH


def _mlp_cost(a: str, b: str) -> float:
    if a == b:
        return 0.0
    activations = (*RECTIFIERS, *SIGMOIDS)
    if a not in activations or b not in activations:
        return math.inf
    return SAME_SHAPE_MISMATCH if (a in RECTIFIERS) == (b in RECTIFIERS) else ACTIVATION_MISMATCH


def _default_cost(a: str, b: str) -> float:
    if a == b:
        return 0.0
    first, second = operation_attributes(a), operation_attributes(b)
    if not (first.is_operation and second.is_operation):
        return math.inf
    return (
        0.1
        + 0.4 * (first.family != second.family)
        + 0.5 * (first.parametric != second.parametric)
        + 0.5 * (first.is_zero != second.is_zero)
        + KERNEL_SCALE * math.sqrt(abs(first.receptive_field - second.receptive_field))
    )
