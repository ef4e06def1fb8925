"""The layered layout: rows, bends and positions."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.pictures.layered_layout import Layout, layered_layout

GAP, LANE = 10.0, 2.0


@st.composite
def graphs(draw: st.DrawFn) -> tuple[int, list[tuple[int, int]]]:
    n = draw(st.integers(1, 14))
    pairs = [(u, v) for v in range(n) for u in range(v)]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=30)) if pairs else []
    return n, chosen


def lay_out(n: int, edges: list[tuple[int, int]]) -> tuple[Layout, list[float]]:
    widths = [20.0 + 7.0 * (vertex % 4) for vertex in range(n)]
    return layered_layout(n, edges, widths, gap=GAP, lane=LANE), widths


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_boxes_and_lines_of_a_row_keep_their_distance(graph: tuple[int, list[tuple[int, int]]]) -> None:
    layout, widths = lay_out(*graph)
    half = [width / 2 for width in widths] + [LANE / 2] * (len(layout.sources) - len(widths))
    for row in layout.rows:
        for left, right in pairwise(row):
            distance = layout.centres[right] - layout.centres[left]
            assert distance >= half[left] + half[right] + GAP - 1e-6


@given(graphs())
@settings(max_examples=60, deadline=None)
def test_every_edge_is_a_chain_of_bends_of_its_source_through_the_rows_between(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    layout, widths = lay_out(*graph)
    reached = {(u, v) for u in range(len(widths)) for v in _boxes_below(layout, u, u)}
    assert reached == set(graph[1])


def _boxes_below(layout: Layout, source: int, vertex: int) -> list[int]:
    found = []
    for child in layout.below[vertex]:
        if not layout.is_bend(child):
            found.append(child)
        elif layout.sources[child] == source:
            found.extend(_boxes_below(layout, source, child))
    return found


@given(graphs())
@settings(max_examples=30, deadline=None)
def test_the_leftmost_border_is_at_zero(graph: tuple[int, list[tuple[int, int]]]) -> None:
    layout, widths = lay_out(*graph)
    lefts = [x - width / 2 for x, width in zip(layout.centres, widths, strict=False)]
    bends = [x - LANE / 2 for vertex, x in enumerate(layout.centres) if layout.is_bend(vertex)]
    assert min(lefts + bends) == pytest.approx(0.0, abs=1e-9)


def test_a_chain_with_skip_connections_stands_straight() -> None:
    layout, _ = lay_out(6, [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (0, 3), (1, 4), (0, 5)])
    assert len({round(x, 6) for x in layout.centres[:6]}) == 1


def test_a_trunk_stands_straight_beside_the_boxes() -> None:
    layout, widths = lay_out(5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    bends = [x for vertex, x in enumerate(layout.centres) if layout.is_bend(vertex)]
    assert len(bends) == 3
    assert len({round(x, 6) for x in bends}) == 1
    assert abs(bends[0] - layout.centres[1]) > widths[3] / 2


def test_two_branches_are_drawn_without_a_crossing_whatever_the_order_of_their_layers() -> None:
    layout, _ = lay_out(6, [(0, 1), (0, 2), (1, 4), (2, 3), (3, 5), (4, 5)])
    ((a, b), (c, d)) = layout.rows[1], layout.rows[2]
    assert layout.below[a] == (c,)
    assert layout.below[b] == (d,)


def test_a_wrong_number_of_widths_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 widths for 2 vertices"):
        layered_layout(2, [(0, 1)], [10.0])
