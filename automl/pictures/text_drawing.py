"""Pictures of architectures in text, for terminals: one line a layer, other connections as lanes on the right. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from automl.pictures.layer_texts import layer_detail, layer_name
from kernels.architecture import Architecture


@dataclass(frozen=True)
class _Lane:
    """All connections of one layer that do not simply lead to the next line: from line `first` to each of `ends`."""

    first: int
    ends: tuple[int, ...]

    @property
    def last(self) -> int:
        return self.ends[-1]


def architecture_text(architecture: Architecture) -> str:
    """The picture of an architecture as lines of text, the input first.

    Args:
        architecture: The layer graph, of any family.

    Examples:
        >>> print(architecture_text(Architecture(
        ...     ("ip", "relu", "tanh", "softmax", "op"), (None, 64, 32, None, None),
        ...     ((0, 1), (1, 2), (2, 3), (3, 4), (1, 3)),
        ... )))
        ● input
        │
        ● relu, 64 units  ╶─╮
        │                   │
        ● tanh, 32 units    │
        │                   │
        ● softmax         ◂─╯
        │
        ● output
    """
    order = architecture.topological_order
    lanes = _lanes(architecture, order)
    columns = _columns(lanes)
    names = [f"● {_label(architecture, layer)}" for layer in order]
    width = max(map(len, names)) + 2
    lines = []
    for line, layer in enumerate(order):
        lines.append(names[line].ljust(width) + _beside(line, lanes, columns))
        if line + 1 < len(order):
            bond = "│" if order[line + 1] in architecture.children[layer] else " "
            lines.append(bond.ljust(width) + _between(line, lanes, columns))
    return "\n".join(line.rstrip() for line in lines)


def _label(architecture: Architecture, layer: int) -> str:
    detail = layer_detail(architecture, layer)
    return layer_name(architecture.labels[layer]) + (f", {detail}" if detail else "")


def _lanes(architecture: Architecture, order: Sequence[int]) -> list[_Lane]:
    line_of = {layer: line for line, layer in enumerate(order)}
    lanes = []
    for line, layer in enumerate(order):
        ends = tuple(sorted(line_of[child] for child in architecture.children[layer] if line_of[child] != line + 1))
        if ends:
            lanes.append(_Lane(line, ends))
    return lanes


def _columns(lanes: Sequence[_Lane]) -> list[int]:
    """The leftmost free column for each lane, short lanes first, so that long ones run outside."""
    columns = [-1] * len(lanes)
    for i in sorted(range(len(lanes)), key=lambda i: (lanes[i].last - lanes[i].first, lanes[i].first)):
        taken = {
            columns[j]
            for j, other in enumerate(lanes)
            if columns[j] >= 0 and lanes[i].first <= other.last and other.first <= lanes[i].last
        }
        columns[i] = next(column for column in range(len(lanes)) if column not in taken)
    return columns


def _beside(line: int, lanes: Sequence[_Lane], columns: Sequence[int]) -> str:
    """What stands right of a layer: lanes that leave it, end in it, or pass it by."""
    cells = [" "] * (2 * (max(columns, default=-1) + 1) + 1)
    for lane, column in zip(lanes, columns, strict=True):
        if lane.first < line < lane.last and line not in lane.ends:
            cells[2 * column + 2] = "│"
    reach = 0
    for lane, column in zip(lanes, columns, strict=True):
        if line == lane.first or line in lane.ends:
            cells[2 * column + 2] = "╮" if line == lane.first else "╯" if line == lane.last else "┤"
            reach = max(reach, 2 * column + 2)
    for i in range(1, reach):
        cells[i] = {" ": "─", "│": "┼", "╮": "┬", "╯": "┴", "┤": "┼"}[cells[i]]
    if reach:
        cells[0] = "◂" if any(line in lane.ends for lane in lanes) else "╶"
    return "".join(cells)


def _between(line: int, lanes: Sequence[_Lane], columns: Sequence[int]) -> str:
    cells = [" "] * (2 * (max(columns, default=-1) + 1) + 1)
    for lane, column in zip(lanes, columns, strict=True):
        if lane.first <= line < lane.last:
            cells[2 * column + 2] = "│"
    return "".join(cells)
