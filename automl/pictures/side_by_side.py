"""Several SVG pictures in one, side by side: what a page shows where it has room for one picture only."""

from __future__ import annotations

import re

_SIZE = re.compile(r'<svg [^>]*?width="(\d+)" height="(\d+)"')
_GAP = 16


def side_by_side(*pictures: str) -> str:
    """The pictures from left to right, aligned at the top, as the text of one SVG document.

    Args:
        pictures: SVG documents of `automl.pictures.drawing` and `automl.pictures.curve_drawing`, one of each kind at
            most, since the styles of a kind hold for the whole document.

    Raises:
        ValueError: If there is no picture, or one does not begin with its size in pixels.
    """
    sizes = [match.groups() for picture in pictures if (match := _SIZE.match(picture))]
    if not pictures or len(sizes) != len(pictures):
        raise ValueError(
            f"got {len(pictures)} pictures, {len(sizes)} of them with a size; expected one or more SVG documents that "
            "automl.pictures.drawing or automl.pictures.curve_drawing made; pass their texts as they are."
        )
    width = sum(int(w) for w, _ in sizes) + _GAP * (len(pictures) - 1)
    height = max(int(h) for _, h in sizes)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    ]
    x = 0
    for picture, (own_width, _) in zip(pictures, sizes, strict=True):
        parts.append(picture.replace("<svg ", f'<svg x="{x}" ', 1))
        x += int(own_width) + _GAP
    return "\n".join([*parts, "</svg>"]) + "\n"
