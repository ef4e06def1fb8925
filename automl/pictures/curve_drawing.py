"""Pictures of learning curves: a metric after every epoch as a line chart in SVG text. Pure and deterministic."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from automl.pictures.svg_text import FONT, escaped

_WIDTH, _HEIGHT = 440, 280
_WIDE = 20.0  # the ratio of the largest value to the smallest from which the scale is logarithmic
_LEFT, _RIGHT, _TOP, _BOTTOM = 58.0, 18.0, 58.0, 42.0


@dataclass(frozen=True)
class _Scale:
    """A map from the interval of an axis to pixels, linear or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            share = (math.log(value) - low) / (high - low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def curve_svg(
    curve: Sequence[float | None],
    *,
    metric: str = "metric",
    best_epoch: int | None = None,
    heading: str | None = None,
    axis: str = "epoch",
) -> str:
    """The learning curve as the text of an SVG document.

    Args:
        curve: The metric on the validation part after every epoch; None and values that are not finite leave a gap.
        metric: Name of the metric, for the heading.
        best_epoch: Number of epochs, from 1, after which the value that counts was reached; marked on the curve.
        heading: What to write above the curve, where it is no learning curve.
        axis: What is counted from left to right.

    Returns:
        A well-formed SVG document on a white ground.
    """
    points = [(epoch, v) for epoch, v in enumerate(curve, start=1) if v is not None and math.isfinite(v)]
    best = next(((epoch, value) for epoch, value in points if epoch == best_epoch), None)
    reached = f"{best[1]:.4g} after {_epochs(best[0])}" if best else f"{_epochs(len(curve))}, no best value"
    title = heading or f"Validation {metric.replace('_', ' ')}: {reached}"
    return "\n".join([*_head(title), *(_chart(points, len(curve), best, axis) if points else ()), "</svg>"]) + "\n"


def _epochs(count: int) -> str:
    return f"{count} epoch" + ("" if count == 1 else "s")


def _head(title: str) -> Iterator[str]:
    text = escaped(title)
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" class="curve" role="img" aria-labelledby="curve-title">'
    )
    yield f'<title id="curve-title">{text}</title>'
    yield (
        f"<style>.curve text{{font-family:{FONT};"
        "font-size:11px;fill:#475569}.curve .heading{font-size:15px;font-weight:700;fill:#0f172a}"
        ".curve .grid{stroke:#e2e8f0}.curve path{fill:none;stroke:#2563eb;stroke-width:2;stroke-linejoin:round}</style>"
    )
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" rx="12" fill="#ffffff"/>'
    yield f'<text class="heading" x="20" y="32">{text}</text>'


def _chart(
    points: Sequence[tuple[int, float]], epochs: int, best: tuple[int, float] | None, axis: str
) -> Iterator[str]:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    log = 0.0 < low < high / _WIDE
    marks = _decades(low, high) if log else _ticks(low, high)
    x = _Scale(1, max(epochs, 2), _LEFT, _WIDTH - _RIGHT)
    y = _Scale(min(low, *marks), max(high, *marks), _HEIGHT - _BOTTOM, _TOP, log)
    for mark in marks:
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(mark):.1f}" y2="{y(mark):.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y(mark) + 4:.1f}" text-anchor="end">{mark:.6g}</text>'
    for epoch in sorted({round(mark) for mark in _ticks(1, max(epochs, 2)) if 1 <= mark <= epochs} | {1}):
        yield f'<text x="{x(epoch):.1f}" y="{_HEIGHT - _BOTTOM + 17}" text-anchor="middle">{epoch}</text>'
    yield f'<text x="{(_LEFT + _WIDTH - _RIGHT) / 2:.1f}" y="{_HEIGHT - 9}" text-anchor="middle">{escaped(axis)}</text>'
    yield f'<path d="{_path(points, x, y)}"/>'
    if best:
        yield f'<circle cx="{x(best[0]):.1f}" cy="{y(best[1]):.1f}" r="4.5" fill="#e11d48" stroke="#fff"/>'


def _path(points: Sequence[tuple[int, float]], x: _Scale, y: _Scale) -> str:
    """The line through the points, broken where epochs are missing."""
    parts, last = [], -1
    for epoch, value in points:
        parts.append(f"{'L' if epoch == last + 1 else 'M'}{x(epoch):.1f} {y(value):.1f}")
        last = epoch
    return "".join(parts)


def _ticks(low: float, high: float) -> list[float]:
    """Three to seven round numbers (1, 2 or 5 times a power of ten apart) that cover the interval."""
    span = (high - low) or abs(high) or 1.0
    rough = span / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first, last = math.floor(low / step), math.ceil(high / step)
    last = max(last, first + 1)
    return [i * step for i in range(first, last + 1)]


def _decades(low: float, high: float) -> list[float]:
    """Powers of ten within the interval, at most seven, and their 2- and 5-fold where the interval is short."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    step = math.ceil((last - first) / 6)
    factors = (1, 2, 5) if last - first <= 3 else (1,)
    marks = (factor * 10.0**power for power in range(first, last + 1, step) for factor in factors)
    return [mark for mark in marks if low <= mark <= high]
