"""Pictures of architectures: a layer graph as SVG text, drawn from the input at the top to the output at the bottom.

Boxes are coloured by what a layer does and as wide as the logarithm of its units; skip connections run beside the
boxes, never through them. Pure and deterministic: the same architecture gives the same text, with no graphviz.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automl.pictures.layer_texts import layer_detail, layer_kind, layer_name
from automl.pictures.layered_layout import Layout, layered_layout
from automl.pictures.svg_text import FONT, escaped
from kernels.architecture import Architecture

# Kind of layer -> (fill, border), readable with dark text on top and told apart by eyes that see few colours.
_COLOURS = {
    "end": ("#f1f5f9", "#475569"),
    "rectifier": ("#dbeafe", "#2563eb"),
    "sigmoid": ("#ccfbf1", "#0d9488"),
    "convolution": ("#e0e7ff", "#4f46e5"),
    "residual": ("#f3e8ff", "#9333ea"),
    "pooling": ("#fef3c7", "#d97706"),
    "fully connected": ("#dcfce7", "#16a34a"),
    "decision": ("#ffe4e6", "#e11d48"),
    "other": ("#f4f4f5", "#71717a"),
}
_MARGIN = 20.0
_CLEARANCE = 12.0  # between two lines side by side; boxes keep half as much on each side of them besides
_PORT = 11.0  # distance between the arrowheads that end in one box
_ARROW = 7.0
_ARROWS = (("arrow", "#64748b"), ("skip", "#818cf8"))
_UPRIGHT = 4.0  # length of a line's last piece, straight down into the arrowhead


@dataclass(frozen=True)
class _Box:
    """One layer as drawn: two lines of text, a kind and a size."""

    name: str
    detail: str
    kind: str
    width: float
    height: float


def architecture_svg(architecture: Architecture, *, title: str | None = None) -> str:
    """The picture of an architecture as the text of an SVG document.

    Args:
        architecture: The layer graph, of any family.
        title: A heading above the drawing; also what screen readers read first. Without it there is no heading.

    Returns:
        A well-formed SVG document on a white ground, about 0.4 kB a layer.
    """
    boxes = [_box(architecture, layer) for layer in range(len(architecture))]
    widths = [box.width + _CLEARANCE for box in boxes]
    layout = layered_layout(len(boxes), architecture.edges, widths, gap=_CLEARANCE, lane=2.0)
    top = _MARGIN + (46.0 if title else 0.0)
    tops, bottoms = _row_bands(layout, boxes, top)
    drawn = max(x + (0.0 if layout.is_bend(v) else widths[v] / 2) for v, x in enumerate(layout.centres))
    subtitle = _facts(architecture)
    heading = max(_text_width(title, 15.0), _text_width(subtitle, 11.5)) if title else 0.0
    width, height = math.ceil(max(drawn, heading) + 2 * _MARGIN), math.ceil(bottoms[-1] + _MARGIN)
    left = (width - drawn) / 2
    parts = [
        *_head(width, height, title or f"Neural network, {subtitle}", _describe(architecture)),
        *(_heading(title, subtitle, width / 2) if title else ()),
        *_wires(layout, boxes, left, tops, bottoms),
        *(
            _box_svg(box, _layer_title(architecture, layer), left + x, _middle(layout, layer, tops, bottoms))
            for layer, (box, x) in enumerate(zip(boxes, layout.centres[: len(boxes)], strict=True))
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# --- Layers as boxes ------------------------------------------------------------------------------------------------


def _box(architecture: Architecture, layer: int) -> _Box:
    name, detail = layer_name(architecture.labels[layer]), layer_detail(architecture, layer)
    units = architecture.units[layer]
    width = 84.0 if units is None else 60.0 + 12.0 * math.log2(units + 1)
    text = max(_text_width(name, 13.0), _text_width(detail, 11.0)) + 26.0
    ports = 24.0 + 7.0 * len(architecture.parents[layer])
    kind = layer_kind(architecture.labels[layer])
    return _Box(name, detail, kind, max(width, text, ports), 42.0 if detail else 30.0)


def _layer_title(architecture: Architecture, layer: int) -> str:
    detail = layer_detail(architecture, layer)
    return f"layer {layer}: {architecture.labels[layer]}" + (f", {detail}" if detail else "")


def _facts(architecture: Architecture) -> str:
    return f"{len(architecture)} layers, depth {architecture.depth}, {len(architecture.edges)} connections"


def _describe(architecture: Architecture) -> str:
    """The whole graph in words, for those who cannot see the picture."""
    sentences = []
    for layer in architecture.topological_order:
        if children := architecture.children[layer]:
            sentences.append(
                f"{_layer_title(architecture, layer)} leads to {' and '.join(f'layer {child}' for child in children)}"
            )
    return "; ".join(sentences) + "."


def _text_width(text: str | None, size: float) -> float:
    """Width of a text in pixels: an estimate on the safe side, since an SVG cannot measure its reader's fonts."""
    narrow = len(re.findall(r"[ijltf .,:'|()-]", text or ""))
    return size * (0.60 * len(text or "") - 0.26 * narrow)


# --- Rows and lines -------------------------------------------------------------------------------------------------


def _row_bands(layout: Layout, boxes: Sequence[_Box], top: float) -> tuple[list[float], list[float]]:
    """Top and bottom of every row; rows stand further apart where a line between them runs far sideways."""
    tops, bottoms = [], []
    for row in layout.rows:
        tops.append(top)
        bottoms.append(top + max((boxes[v].height for v in row if not layout.is_bend(v)), default=24.0))
        reach = max((abs(layout.centres[v] - layout.centres[u]) for u in row for v in layout.below[u]), default=0.0)
        top = bottoms[-1] + min(26.0 + 0.10 * reach, 76.0)
    return tops, bottoms


def _middle(layout: Layout, layer: int, tops: Sequence[float], bottoms: Sequence[float]) -> float:
    row = next(r for r, members in enumerate(layout.rows) if layer in members)
    return (tops[row] + bottoms[row]) / 2


def _wires(
    layout: Layout, boxes: Sequence[_Box], left: float, tops: Sequence[float], bottoms: Sequence[float]
) -> Iterator[str]:
    """Every segment as a curve between two rows; skip connections come first, under the others, in their own tone."""
    ports = _ports(layout, boxes)
    wires: list[tuple[bool, str]] = []
    for r, row in enumerate(layout.rows[:-1]):
        for u in row:
            for v in layout.below[u]:
                middle = (tops[r] + bottoms[r]) / 2
                start = tops[r] if layout.is_bend(u) else middle + boxes[u].height / 2
                next_middle = (tops[r + 1] + bottoms[r + 1]) / 2
                ends = not layout.is_bend(v)
                end = next_middle - boxes[v].height / 2 - _ARROW if ends else tops[r + 1]
                x, y = left + layout.centres[u], left + layout.centres[v] + ports.get((u, v), 0.0)
                skip = layout.is_bend(u) or layout.is_bend(v)
                arrow = f' marker-end="url(#{"skip" if skip else "arrow"})"' if ends else ""
                path = _curve((x, start), (y, end), bottoms[r], min(tops[r + 1], end - _UPRIGHT * ends))
                wires.append((not skip, f'<path class="{"skip" if skip else "wire"}" d="{path}"{arrow}/>'))
    return (wire for _, wire in sorted(wires, key=lambda item: item[0]))


def _ports(layout: Layout, boxes: Sequence[_Box]) -> dict[tuple[int, int], float]:
    """For each segment (u, v) into a box, how far from the box's centre it ends: 0 for the one straight from above."""
    arriving: dict[int, list[int]] = {}
    for u, below in enumerate(layout.below):
        for v in below:
            if not layout.is_bend(v):
                arriving.setdefault(v, []).append(u)
    ports: dict[tuple[int, int], float] = {}
    for v, sources in arriving.items():
        offsets = {u: layout.centres[u] - layout.centres[v] for u in sources}
        step = min(_PORT, (boxes[v].width / 2 - 12.0) / len(sources))
        for side in (-1, 1):
            beside = sorted((u for u in sources if offsets[u] * side > 0.5), key=lambda u: abs(offsets[u]))
            ports |= {(u, v): side * step * place for place, u in enumerate(beside, start=1)}
    return ports


def _curve(start: tuple[float, float], end: tuple[float, float], leave: float, arrive: float) -> str:
    """A line that is upright at both ends and bends only between `leave` and `arrive`, the gap between two rows."""
    (x, top), (y, bottom) = start, end
    if abs(x - y) < 0.5:
        return f"M{x:.1f} {top:.1f}V{bottom:.1f}"
    pull = 0.7 * (arrive - leave)
    return (
        f"M{x:.1f} {top:.1f}V{leave:.1f}"
        f"C{x:.1f} {leave + pull:.1f} {y:.1f} {arrive - pull:.1f} {y:.1f} {arrive:.1f}V{bottom:.1f}"
    )


# --- SVG text -------------------------------------------------------------------------------------------------------


def _head(width: int, height: int, title: str, description: str) -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" class="architecture" role="img" '
        'aria-labelledby="architecture-title architecture-description">'
    )
    yield f'<title id="architecture-title">{escaped(title)}</title>'
    yield f'<desc id="architecture-description">{escaped(description)}</desc>'
    yield (
        f"<style>.architecture text{{font-family:{FONT};text-anchor:middle;fill:#0f172a}}"
        ".architecture .name{font-size:13px;font-weight:600}.architecture .detail{font-size:11px;fill:#475569}"
        ".architecture .heading{font-size:15px;font-weight:700}.architecture .facts{font-size:11.5px;fill:#64748b}"
        ".architecture path{fill:none;stroke-width:1.6;stroke-linecap:round}"
        ".architecture .wire{stroke:#64748b}.architecture .skip{stroke:#818cf8}</style>"
    )
    yield "<defs>" + "".join(_arrowhead(name, colour) for name, colour in _ARROWS) + "</defs>"
    yield f'<rect width="{width}" height="{height}" rx="12" fill="#ffffff"/>'


def _arrowhead(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="1" refY="4" markerWidth="{_ARROW}" markerHeight="{_ARROW}" '
        f'markerUnits="userSpaceOnUse" orient="auto"><polygon points="0,0.5 8,4 0,7.5" fill="{colour}"/></marker>'
    )


def _heading(title: str, facts: str, x: float) -> Iterator[str]:
    yield f'<text class="heading" x="{x:.1f}" y="{_MARGIN + 12:.1f}">{escaped(title)}</text>'
    yield f'<text class="facts" x="{x:.1f}" y="{_MARGIN + 30:.1f}">{escaped(facts)}</text>'


def _box_svg(box: _Box, title: str, x: float, y: float) -> str:
    fill, border = _COLOURS[box.kind]
    radius = box.height / 2 if box.kind == "end" else 8.0
    texts = [f'<text class="name" x="{x:.1f}" y="{y + (-2.0 if box.detail else 4.5):.1f}">{escaped(box.name)}</text>']
    if box.detail:
        texts.append(f'<text class="detail" x="{x:.1f}" y="{y + 13:.1f}">{escaped(box.detail)}</text>')
    return (
        f"<g><title>{escaped(title)}</title>"
        f'<rect x="{x - box.width / 2:.1f}" y="{y - box.height / 2:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{radius:g}" fill="{fill}" stroke="{border}" stroke-width="1.4"/>'
        f"{''.join(texts)}</g>"
    )
