"""Pictures of architectures as SVG."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from automl.pictures.drawing import architecture_svg
from automl.pictures.layer_texts import layer_kind
from kernels.architecture import Architecture

SVG = "{http://www.w3.org/2000/svg}"

CNN = Architecture(
    labels=("ip", "conv3", "conv5", "res3", "max-pool", "fc", "softmax", "op"),
    units=(None, 16, 32, 64, None, 128, None, None),
    edges=((0, 1), (0, 2), (1, 3), (2, 3), (3, 4), (4, 5), (5, 6), (6, 7), (1, 4), (0, 6)),
    strides=(None, 1, 2, 2, None, None, None, None),
)


def draw(architecture: Architecture, title: str | None = None) -> ElementTree.Element:
    return ElementTree.fromstring(architecture_svg(architecture, title=title))


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, top, right and bottom of every layer's box, in the order of the layers."""
    rects = [group.find(f"{SVG}rect") for group in root.iter(f"{SVG}g")]
    sides = [[float(rect.attrib[key]) for key in ("x", "y", "width", "height")] for rect in rects if rect is not None]
    return [(x, y, x + width, y + height) for x, y, width, height in sides]


def deep_network(layers: int) -> Architecture:
    inner = layers - 3
    edges = {(i, i + 1) for i in range(layers - 1)} | {(i, i + 3) for i in range(0, inner - 1, 2)}
    return Architecture(
        labels=("ip", *(["relu", "tanh", "elu"] * layers)[:inner], "linear", "op"),
        units=(None, *(2 ** (3 + i % 7) for i in range(inner)), None, None),
        edges=tuple(edges),
    )


def test_every_layer_has_one_box_with_its_units_and_stride() -> None:
    root = draw(CNN)
    assert len(boxes(root)) == len(CNN)
    assert {"input", "conv 3×3", "16 channels", "conv 5×5", "32 channels, stride 2", "max pool"} <= set(texts(root))
    assert {"fc", "128 units", "softmax", "output"} <= set(texts(root))


def test_every_edge_ends_in_an_arrow() -> None:
    arrows = [path for path in draw(CNN).iter(f"{SVG}path") if "marker-end" in path.attrib]
    assert len(arrows) == len(CNN.edges)


def test_the_input_is_at_the_top_and_the_output_at_the_bottom() -> None:
    drawn = boxes(draw(CNN))
    assert min(drawn, key=lambda box: box[1]) == drawn[CNN.input]
    assert max(drawn, key=lambda box: box[3]) == drawn[CNN.output]


@pytest.mark.parametrize("architecture", [CNN, deep_network(12), deep_network(60)])
def test_boxes_lie_in_the_picture_and_do_not_overlap(architecture: Architecture) -> None:
    root = draw(architecture, title="a title")
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    drawn = boxes(root)
    for i, (left, top, right, bottom) in enumerate(drawn):
        assert left >= 0 and top >= 0 and right <= width and bottom <= height
        for other in drawn[:i]:
            assert right <= other[0] or other[2] <= left or bottom <= other[1] or other[3] <= top


@pytest.mark.parametrize("architecture", [CNN, deep_network(60)])
def test_no_line_runs_through_a_box(architecture: Architecture) -> None:
    root = draw(architecture)
    drawn = boxes(root)
    for path in root.iter(f"{SVG}path"):
        for x, y in _points(path.attrib["d"]):
            assert not any(left + 1 < x < right - 1 and top + 1 < y < bottom - 1 for left, top, right, bottom in drawn)


def _points(path: str) -> list[tuple[float, float]]:
    """Points along a path of upright lines and cubic curves (absolute M, V and C commands)."""
    points: list[tuple[float, float]] = []
    for command, numbers in re.findall(r"([MVC])([^MVC]*)", path):
        values = [float(number) for number in numbers.split()]
        if command == "M":
            points.append((values[0], values[1]))
            continue
        x, y = points[-1]
        for t in (i / 10 for i in range(1, 11)):
            if command == "V":
                points.append((x, y + t * (values[0] - y)))
            else:
                weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3)
                xs, ys = (x, *values[0::2]), (y, *values[1::2])
                points.append(
                    (sum(map(float.__mul__, weights, xs)), sum(map(float.__mul__, weights, ys))),
                )
    return points


def test_the_same_architecture_gives_the_same_text() -> None:
    assert architecture_svg(CNN) == architecture_svg(Architecture.from_json(CNN.to_json()))


def test_a_layer_is_wider_the_more_units_it_has() -> None:
    network = Architecture(("ip", "relu", "relu", "op"), (None, 1024, 16, None), ((0, 1), (1, 2), (2, 3)))
    (_, wide, narrow, _) = boxes(draw(network))
    assert wide[2] - wide[0] > narrow[2] - narrow[0]


def test_the_title_is_shown_and_read_first_and_its_markup_is_escaped() -> None:
    root = draw(CNN, title="trial 3 <b> & \x00")
    (title, description) = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None and title.text == "trial 3 <b> & �"
    assert "trial 3 <b> & �" in texts(root)
    assert description is not None and "layer 1: conv3, 16 channels leads to" in (description.text or "")
    assert root.attrib["role"] == "img"


def test_labels_of_cells_and_of_the_user_are_drawn_and_escaped() -> None:
    cell = Architecture(
        ("ip", "nor_conv_3x3", "avg_pool_3x3", "skip_connect", "<mine>", "op"),
        (None,) * 6,
        ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 5), (4, 5)),
    )
    assert {"nor conv 3x3", "avg pool 3x3", "skip connect", "<mine>"} <= set(texts(draw(cell)))


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ("ip", "end"),
        ("crelu", "rectifier"),
        ("logistic", "sigmoid"),
        ("conv7", "convolution"),
        ("res5", "residual"),
        ("avg_pool_3x3", "pooling"),
        ("nor_conv_1x1", "convolution"),
        ("fc", "fully connected"),
        ("linear", "decision"),
        ("skip_connect", "other"),
    ],
)
def test_kinds_of_layers_are_told_by_their_labels(label: str, kind: str) -> None:
    assert layer_kind(label) == kind


def test_the_smallest_network_can_be_drawn() -> None:
    assert len(boxes(draw(Architecture(("ip", "op"), (None, None), ((0, 1),))))) == 2
