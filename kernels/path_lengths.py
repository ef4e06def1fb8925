"""Path lengths from the input and to the output of every layer, by group of labels.

Kandasamy et al. 2018 (NASBOT), section 3 and appendix A: the structural penalty of OTMANN compares, for two layers, the
shortest, the longest and the random-walk length of the paths between the layer and both ends of its network, counting
all layers or only those of one group. With w(u) = 1 where u belongs to the group, else 0,

    to_output(op) = 0,   to_output(u)  = w(u) + combine of to_output(v) over the children v of u,
    from_input(ip) = 0,  from_input(u) = w(u) + combine of from_input(v) over the parents v of u,

where combine is min (shortest), max (longest) or the arithmetic mean (the expected length of a uniform random walk).
Both tables count the layer itself, so "op" and "ip" count 1 where all labels do. One sweep in topological order fills a
table: O(E k) for E edges and k columns (`kernels.graph_sweeps`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from kernels.architecture import CONVOLUTIONS, POOLS, RECTIFIERS, RESIDUALS, SIGMOIDS, Architecture, Family
from kernels.layer_costs import operation_attributes

TYPES = ("shortest", "longest", "rw")
_CNN_GROUPS: Mapping[str, frozenset[str]] = {
    "conv": frozenset((*CONVOLUTIONS, *RESIDUALS)),
    "pool": frozenset(POOLS),
    "fc": frozenset(("fc",)),
}
_MLP_GROUPS: Mapping[str, frozenset[str]] = {"rectifier": frozenset(RECTIFIERS), "sigmoid": frozenset(SIGMOIDS)}

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PathLengths:
    """The path lengths of one network.

    Args:
        columns: k names "group-type", such as "conv-longest".
        from_input: A table (n layers, k) of lengths from "ip".
        to_output: A table (n layers, k) of lengths to "op".
    """

    columns: tuple[str, ...]
    from_input: Floats
    to_output: Floats


def path_length_columns(family: Family) -> tuple[str, ...]:
    """The names of the columns for a family: 12 for "cnn", 9 for "mlp" and "graph".

    >>> path_length_columns("mlp")[:4]
    ('all-shortest', 'all-longest', 'all-rw', 'rectifier-shortest')
    """
    return tuple(f"{group}-{kind}" for group in _group_names(family) for kind in TYPES)


def path_lengths(architecture: Architecture, family: Family | None = None) -> PathLengths:
    """Shortest, longest and random-walk path lengths of every layer, by group of labels.

    The groups are those of the paper for its two families ("cnn": all, conv, pool, fc; "mlp": all, rectifier, sigmoid).
    A "graph" with labels of its own has the groups all, parametric and non-parametric, by
    `kernels.layer_costs.operation_attributes`.

    Args:
        architecture: A network of n layers.
        family: Whose groups to use; the architecture's own by default.

    Returns:
        Two tables (n, k) in the order of the architecture's layers.
    """
    # Deferred: numba takes half a second to import, and who asks for no distance should not wait for it.
    from kernels.graph_sweeps import packed, swept_lengths

    family = family or architecture.family
    weights = np.array(_group_weights(architecture.labels, family))
    order, n = np.array(architecture.topological_order), len(architecture)
    return PathLengths(
        columns=path_length_columns(family),
        from_input=swept_lengths(order, *packed(architecture.parents), weights).reshape(n, -1),
        to_output=swept_lengths(np.flip(order).copy(), *packed(architecture.children), weights).reshape(n, -1),
    )


def _group_names(family: Family) -> tuple[str, ...]:
    if family == "cnn":
        return ("all", *_CNN_GROUPS)
    return ("all", *_MLP_GROUPS) if family == "mlp" else ("all", "parametric", "non-parametric")


def _group_weights(labels: Sequence[str], family: Family) -> list[tuple[float, ...]]:
    """For each layer, 1 for each group that counts it and 0 for the others."""
    known = {label: _label_weights(label, family) for label in set(labels)}
    return [known[label] for label in labels]


def _label_weights(label: str, family: Family) -> tuple[float, ...]:
    if family == "graph":
        attributes = operation_attributes(label)
        members: Iterable[bool] = (attributes.parametric, attributes.is_operation and not attributes.parametric)
    else:
        groups = _CNN_GROUPS if family == "cnn" else _MLP_GROUPS
        members = (label in group for group in groups.values())
    return (1.0, *(float(member) for member in members))
