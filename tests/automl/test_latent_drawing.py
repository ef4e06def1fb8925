"""Pictures of latent maps."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from automl.pictures.latent_drawing import latent_map_svg
from automl.pictures.latent_map import LatentMap

SVG = "{http://www.w3.org/2000/svg}"


def a_map(values: list[float], n_paths: int = 1) -> LatentMap:
    """Points on a circle, and paths from the best ones to the middle and beyond."""
    angles = np.linspace(0, 2 * np.pi, len(values), endpoint=False)
    points = np.stack([3 * np.cos(angles), np.sin(angles)], axis=1)
    seeds = tuple(int(i) for i in np.argsort(values)[:n_paths])
    paths = tuple(np.stack([points[seed], 0.5 * points[seed], -0.2 * points[seed]]) for seed in seeds)
    return LatentMap(points, np.array(values), paths, seeds, (0.6, 0.3))


def circles(root: ElementTree.Element) -> dict[str, ElementTree.Element]:
    """The candidates' points by what is shown under the pointer."""
    found = {}
    for circle in root.iter(f"{SVG}circle"):
        title = circle.find(f"{SVG}title")
        if title is not None and title.text is not None:
            found[title.text] = circle
    return found


def position(circle: ElementTree.Element) -> tuple[float, float]:
    return float(circle.attrib["cx"]), float(circle.attrib["cy"])


def brightness(circle: ElementTree.Element) -> int:
    colour = circle.attrib["fill"].removeprefix("#")
    return sum(int(colour[i : i + 2], 16) for i in (0, 2, 4))


def test_every_candidate_is_a_point_with_its_name_and_value() -> None:
    root = ElementTree.fromstring(latent_map_svg(a_map([0.3, 0.1, 0.2]), metric="rmse", names=["a", "b<", "c"]))
    assert set(circles(root)) == {"a: rmse 0.3", "b<: rmse 0.1", "c: rmse 0.2"}


def test_a_study_s_name_may_hold_characters_that_xml_cannot() -> None:
    picture = latent_map_svg(a_map([1.0, 2.0]), title="study \x01 <of\x1b mine>")
    assert ElementTree.fromstring(picture).findtext(f"{SVG}title") == "study \ufffd <of\ufffd mine>"


def test_distances_in_the_picture_are_in_proportion_to_those_of_the_map() -> None:
    shown = a_map([1.0, 2.0, 3.0, 4.0, 5.0])
    root = ElementTree.fromstring(latent_map_svg(shown))
    drawn = np.array([position(circles(root)[f"{i}: loss {value:.5g}"]) for i, value in enumerate(shown.values)])
    ratios = np.linalg.norm(drawn[1:] - drawn[0], axis=1) / np.linalg.norm(shown.points[1:] - shown.points[0], axis=1)
    np.testing.assert_allclose(ratios, ratios[0], rtol=2e-3)


@pytest.mark.parametrize("maximise", [False, True])
def test_the_better_a_candidate_the_brighter_its_point(maximise: bool) -> None:
    losses = [-0.9, -0.6, -0.1] if maximise else [0.1, 0.6, 0.9]
    root = ElementTree.fromstring(latent_map_svg(a_map(losses), metric="m", maximise=maximise))
    shown = circles(root)
    best, middle, worst = ("0: m 0.9", "1: m 0.6", "2: m 0.1") if maximise else ("0: m 0.1", "1: m 0.6", "2: m 0.9")
    assert brightness(shown[best]) > brightness(shown[middle]) > brightness(shown[worst])


def test_a_path_begins_at_the_ringed_point_of_its_seed() -> None:
    root = ElementTree.fromstring(latent_map_svg(a_map([0.5, 0.1, 0.4, 0.2], n_paths=2)))
    rings = {position(circle) for circle in circles(root).values() if "seed" in circle.attrib["class"]}
    lines = [path.attrib["d"] for path in root.iter(f"{SVG}path")]
    starts = set()
    for line in lines:
        match = re.match(r"M([\d.]+) ([\d.]+)L", line)
        assert match is not None
        starts.add((float(match[1]), float(match[2])))
    assert len(rings) == 2 and starts == rings


def test_values_of_several_magnitudes_have_their_geometric_mean_in_the_middle_of_the_bar() -> None:
    texts = [text.text for text in ElementTree.fromstring(latent_map_svg(a_map([1e-4, 0.5, 1.0]))).iter(f"{SVG}text")]
    assert texts[-3:] == ["0.0001", "0.01", "1"]
    even = [text.text for text in ElementTree.fromstring(latent_map_svg(a_map([1.0, 2.0, 3.0]))).iter(f"{SVG}text")]
    assert even[-3:] == ["1", "2", "3"]


@pytest.mark.parametrize("values", [[0.5], [1.0, 1.0], [0.0, -3.0, 2.0]])
def test_any_map_can_be_drawn_within_the_picture(values: list[float]) -> None:
    root = ElementTree.fromstring(latent_map_svg(a_map(values)))
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    for x, y in map(position, circles(root).values()):
        assert 0 < x < width and 0 < y < height
