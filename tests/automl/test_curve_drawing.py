"""Pictures of learning curves, and several pictures in one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from xml.etree import ElementTree

import pytest

from automl.pictures.curve_drawing import curve_svg
from automl.pictures.drawing import architecture_svg
from automl.pictures.side_by_side import side_by_side
from kernels.architecture import Architecture

SVG = "{http://www.w3.org/2000/svg}"


def draw(curve: Sequence[float | None], best_epoch: int | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(curve_svg(curve, metric="log_loss", best_epoch=best_epoch))


def path_of(root: ElementTree.Element) -> str:
    path = root.find(f"{SVG}path")
    assert path is not None
    return path.attrib["d"]


def test_the_line_has_one_point_an_epoch_and_falls_where_the_metric_falls() -> None:
    path = path_of(draw([3.0, 2.0, 1.0]))
    points = [tuple(map(float, point.split())) for point in path.removeprefix("M").split("L")]
    xs, ys = zip(*points, strict=True)
    assert len(points) == 3
    assert sorted(xs) == list(xs)
    assert sorted(ys) == list(ys)  # pixels count downwards


def test_the_best_epoch_is_marked_and_named_in_the_heading() -> None:
    root = draw([0.9, 0.25, 0.4], best_epoch=2)
    assert len(root.findall(f"{SVG}circle")) == 1
    title = root.find(f"{SVG}title")
    assert title is not None and title.text == "Validation log loss: 0.25 after 2 epochs"


def test_curves_over_several_magnitudes_have_a_logarithmic_scale() -> None:
    path = path_of(draw([1.0, 0.1, 0.01]))
    heights = [float(point.split()[1]) for point in path.removeprefix("M").split("L")]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.2)
    labels = [text.text for text in draw([1.0, 0.1, 0.01]).iter(f"{SVG}text")]
    assert {"1", "0.5", "0.1", "0.05", "0.01"} <= set(labels)


def test_epochs_that_are_not_finite_leave_a_gap() -> None:
    assert path_of(draw([1.0, math.nan, math.inf, None, 2.0])).count("M") == 2


@pytest.mark.parametrize(
    "curve", [[], [math.nan], [0.5], [0.0, 0.0], [1e-300, 2e-300], [1e30, -1e30], [-5.0] * 500, [1e-300, 1e300]]
)
def test_any_curve_can_be_drawn(curve: list[float]) -> None:
    assert "nan" not in (path.attrib["d"] if (path := draw(curve, 1).find(f"{SVG}path")) is not None else "")


def test_pictures_stand_side_by_side_at_their_own_size() -> None:
    network = architecture_svg(Architecture(("ip", "op"), (None, None), ((0, 1),)))
    root = ElementTree.fromstring(side_by_side(network, curve_svg([1.0, 2.0])))
    first, second = root.findall(f"{SVG}svg")
    assert first.attrib["x"] == "0"
    assert float(second.attrib["x"]) > float(first.attrib["width"])
    assert float(root.attrib["width"]) == float(second.attrib["x"]) + float(second.attrib["width"])
    assert float(root.attrib["height"]) == max(float(first.attrib["height"]), float(second.attrib["height"]))


def test_a_text_that_is_no_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 pictures, 0 of them with a size"):
        side_by_side("<p>")
