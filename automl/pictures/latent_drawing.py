"""Pictures of latent maps: candidates as points coloured by value, latent steps as lines, in SVG text.

Both axes have one scale, so that distances in the picture are distances in the plane. Pure and deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.pictures.latent_map import LatentMap
from automl.pictures.svg_text import FONT, escaped

_WIDTH, _HEIGHT = 640.0, 470.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 104.0, 78.0, 46.0
_RADIUS = 5.5
_BAR_WIDTH, _BAR_HEIGHT = 14.0, 180.0
_WIDE = 30.0  # the ratio of two values from which colours follow the logarithm
# Viridis, matplotlib's colours for magnitudes: even to the eye, and told apart by those that see few colours.
_VIRIDIS = ("440154", "482878", "3e4989", "31688e", "26828e", "1f9e89", "35b779", "6ece58", "b5de2b", "fde725")


def latent_map_svg(
    shown: LatentMap,
    *,
    title: str = "Latent space",
    metric: str = "loss",
    maximise: bool = False,
    names: Sequence[str] | None = None,
) -> str:
    """The map as the text of an SVG document; the better a candidate, the brighter its point.

    Args:
        shown: The map, its values as losses.
        title: What to write above it.
        metric: Name of the values.
        maximise: Whether the losses are the values of the metric with their sign turned.
        names: What to call the candidates, shown under the pointer; their numbers from 0 where None.

    Returns:
        A well-formed SVG document on a white ground.
    """
    values = -shown.values if maximise else shown.values
    names = names or [str(i) for i in range(len(values))]
    colours = _Colours.of(values, maximise)
    frame = _Frame.around(np.concatenate([shown.points, *shown.paths]))
    return "\n".join(
        [
            *_head(shown, title),
            *_axes(shown),
            *(_path(frame.pixels(path)) for path in shown.paths),
            *_points(shown, frame.pixels(shown.points), values, names, metric, colours),
            *_colour_bar(colours, metric),
            "</svg>\n",
        ]
    )


@dataclass(frozen=True)
class _Frame:
    """The map from the plane to pixels, with one scale for both axes."""

    centre: NDArray[np.float64]
    scale: float

    @classmethod
    def around(cls, points: NDArray[np.float64]) -> _Frame:
        low, high = points.min(axis=0), points.max(axis=0)
        room = np.array([_WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM]) - 4 * _RADIUS
        return cls((low + high) / 2, float((room / np.maximum(high - low, 1e-12)).min()))

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        middle = np.array([(_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2])
        # Pixels count downwards.
        return np.asarray(middle + (points - self.centre) * self.scale * np.array([1.0, -1.0]))


@dataclass(frozen=True)
class _Colours:
    """The map from values to colours: the best is the brightest; logarithmic over several magnitudes."""

    worst: float
    best: float
    log: bool

    @classmethod
    def of(cls, values: NDArray[np.float64], maximise: bool) -> _Colours:
        low, high = float(values.min()), float(values.max())
        worst, best = (low, high) if maximise else (high, low)
        return cls(worst, best, low > 0.0 and high > _WIDE * low)

    def __call__(self, value: float) -> str:
        return _viridis(self.share(value))

    def share(self, value: float) -> float:
        """How good a value is between the worst, 0, and the best, 1."""
        if self.worst == self.best:
            return 1.0
        worst, best, x = (math.log(v) if self.log else v for v in (self.worst, self.best, value))
        return (x - worst) / (best - worst)


def _viridis(share: float) -> str:
    anchors = np.array([[int(colour[i : i + 2], 16) for i in (0, 2, 4)] for colour in _VIRIDIS], dtype=np.float64)
    at = np.linspace(0.0, 1.0, len(anchors))
    return "#" + "".join(f"{round(float(np.interp(share, at, anchors[:, channel]))):02x}" for channel in range(3))


def _head(shown: LatentMap, title: str) -> Iterator[str]:
    steps = f"; lines: latent steps from the {_counted(len(shown.paths), 'best candidate')}" if shown.paths else ""
    facts = f"{_counted(len(shown.points), 'candidate')}{steps}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH:g}" height="{_HEIGHT:g}" '
        f'viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" class="latent" role="img" aria-labelledby="latent-title latent-facts">'
    )
    yield f'<title id="latent-title">{escaped(title)}</title><desc id="latent-facts">{escaped(facts)}</desc>'
    yield (
        f"<style>.latent text{{font-family:{FONT};"
        "font-size:11px;fill:#475569}.latent .heading{font-size:15px;font-weight:700;fill:#0f172a}"
        ".latent .path{fill:none;stroke:#e11d48;stroke-width:1.5;stroke-linejoin:round}"
        ".latent .step{fill:#e11d48}.latent .point{stroke:#334155;stroke-width:.7}"
        ".latent .seed{stroke:#e11d48;stroke-width:2}</style>"
    )
    yield (
        '<defs><marker id="latent-arrow" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="7" markerHeight="7" '
        'markerUnits="userSpaceOnUse" orient="auto"><polygon points="0,0.5 8,4 0,7.5" fill="#e11d48"/></marker></defs>'
    )
    yield f'<rect width="{_WIDTH:g}" height="{_HEIGHT:g}" rx="12" fill="#ffffff"/>'
    yield f'<text class="heading" x="20" y="32">{escaped(title)}</text><text x="20" y="52">{escaped(facts)}</text>'


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")


def _axes(shown: LatentMap) -> Iterator[str]:
    """The frame, and how much of the embeddings' variance is seen along each side of it."""
    width, height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
    yield f'<rect x="{_LEFT}" y="{_TOP}" width="{width}" height="{height}" fill="#f8fafc" stroke="#e2e8f0"/>'
    across, upwards = (
        f"{place} principal component, {share:.0%} of the variance"
        for place, share in zip(("first", "second"), shown.explained, strict=True)
    )
    x, y = _LEFT + width / 2, _TOP + height / 2
    yield f'<text x="{x}" y="{_HEIGHT - 20}" text-anchor="middle">{across}</text>'
    yield f'<text transform="translate(26 {y}) rotate(-90)" text-anchor="middle">{upwards}</text>'


def _path(pixels: NDArray[np.float64]) -> str:
    """The way of one seed's latent steps: a line with an arrowhead, and a dot after each step but the last."""
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in pixels)
    dots = "".join(f'<circle class="step" cx="{x:.1f}" cy="{y:.1f}" r="2"/>' for x, y in pixels[1:-1])
    return f'<path class="path" d="M{line}" marker-end="url(#latent-arrow)"/>{dots}'


def _points(
    shown: LatentMap,
    pixels: NDArray[np.float64],
    values: NDArray[np.float64],
    names: Sequence[str],
    metric: str,
    colours: _Colours,
) -> Iterator[str]:
    """Every candidate as a dot, the best ones last and so on top; where a path begins it is ringed."""
    for i in np.argsort(-shown.values, kind="stable"):
        (x, y), ring = pixels[i], " seed" if i in shown.seeds else ""
        yield (
            f'<circle class="point{ring}" cx="{x:.1f}" cy="{y:.1f}" r="{_RADIUS}" fill="{colours(float(values[i]))}">'
            f"<title>{escaped(f'{names[i]}: {metric} {values[i]:.5g}')}</title></circle>"
        )


def _colour_bar(colours: _Colours, metric: str) -> Iterator[str]:
    x, y, steps = _WIDTH - _RIGHT + 20, _TOP + 26, 30
    yield f'<text x="{x}" y="{y - 12}">{escaped(metric.replace("_", " "))}</text>'
    for step in range(steps):
        colour, height = _viridis(1 - (step + 0.5) / steps), _BAR_HEIGHT / steps
        # Half a pixel of overlap, lest the ground shine through between two pieces.
        yield f'<rect x="{x}" y="{y + step * height:g}" width="{_BAR_WIDTH}" height="{height + 0.5}" fill="{colour}"/>'
    middle = math.sqrt(colours.worst * colours.best) if colours.log else (colours.worst + colours.best) / 2
    for value, share in ((colours.best, 0.0), (middle, 0.5), (colours.worst, 1.0)):
        yield f'<text x="{x + _BAR_WIDTH + 6}" y="{y + 4 + share * _BAR_HEIGHT}">{value:.3g}</text>'
