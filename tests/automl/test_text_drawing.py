"""Pictures of architectures in text."""

from __future__ import annotations

from automl.pictures.text_drawing import architecture_text
from kernels.architecture import Architecture


def lines(labels: str, edges: str) -> list[str]:
    """The picture of a network given as "a b c" and "ab bc", layers named by letters; the first is the input."""
    names = labels.split()
    index = {name: i for i, name in enumerate(names)}
    network = Architecture(
        ("ip", *names[1:-1], "op"), (None,) * len(names), tuple((index[e[0]], index[e[1]]) for e in edges.split())
    )
    return architecture_text(network).splitlines()


def test_a_chain_is_one_line_down() -> None:
    assert lines("i a b o", "ia ab bo") == ["● input", "│", "● a", "│", "● b", "│", "● output"]


def test_branches_that_do_not_follow_each_other_are_joined_by_lanes_alone() -> None:
    assert lines("i a b c o", "ia ib ac bc co") == [
        "● input   ╶─╮",
        "│           │",
        "● a       ╶─┼─╮",
        "            │ │",
        "● b       ◂─╯ │",
        "│             │",
        "● c       ◂───╯",
        "│",
        "● output",
    ]


def test_one_layer_that_feeds_several_has_one_lane_with_several_ends() -> None:
    picture = lines("i a b c o", "ia ib ic ab bc co")
    assert picture[0] == "● input   ╶─╮"
    assert picture[4] == "● b       ◂─┤"
    assert picture[6] == "● c       ◂─╯"


def test_units_and_strides_are_told() -> None:
    network = Architecture(("ip", "conv3", "op"), (None, 16, None), ((0, 1), (1, 2)), (None, 2, None))
    assert "● conv 3×3, 16 channels, stride 2" in architecture_text(network).splitlines()
