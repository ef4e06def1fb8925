"""CellSpace: every space's laws for four sorts of cells, which assignments are one cell, and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Value
from automl.spaces.base import Space
from automl.spaces.cell import GRAPH_OPERATIONS, CellSpace
from kernels.architecture import Architecture
from tests.contracts.space import SpaceContract

CONV, SKIP, NONE = "nor_conv_3x3", "skip_connect", "none"
PAIRS = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))


def edges(*operations: str) -> dict[str, Value]:
    """An assignment of NAS-Bench-201 from its operations in the benchmark's order."""
    return {f"operation_{i}_{j}": label for (i, j), label in zip(PAIRS, operations, strict=True)}


def nodes(links: str, *operations: str) -> dict[str, Value]:
    """An assignment of NAS-Bench-Graph."""
    return {"links": links, **{f"operation_{i}": label for i, label in enumerate(operations, start=1)}}


def cell(space: Space, assignment: dict[str, Value]) -> Architecture:
    """The architecture that the assignment decodes to."""
    architecture = space.decode(assignment).architecture
    assert architecture is not None
    return architecture


class TestNASBench201Cells(SpaceContract):
    def make_space(self) -> Space:
        return CellSpace.nas_bench_201()


class TestNASBenchGraphCells(SpaceContract):
    def make_space(self) -> Space:
        return CellSpace.nas_bench_graph()


class TestStackedCells(SpaceContract):
    def make_space(self) -> Space:
        return CellSpace(channels=(8, 16), copies=2, hyperparameters={"learning_rate": Float(1e-4, 1e-1, log=True)})


class TestStackedCellsOfNodes(SpaceContract):
    def make_space(self) -> Space:
        return CellSpace(("gcn", "gat", "skip"), links=((0, 1, 1), (0, 1, 2)), channels=(8,), task_kind="regression")


def test_a_cell_of_six_operations_becomes_the_line_graph_of_its_edges() -> None:
    graph = cell(CellSpace.nas_bench_201(), edges("nor_conv_1x1", CONV, SKIP, "avg_pool_3x3", SKIP, CONV))
    assert len(graph) == 8
    assert len(graph.edges) == 3 + 2 + 1 + 1 + 3  # ip to 01 02 03, 01 to 12 13, 02 to 23, 12 to 23, three to op
    assert graph.depth == 4


def test_zero_operations_and_what_they_cut_off_are_left_out() -> None:
    space = CellSpace.nas_bench_201()
    cut = cell(space, edges(CONV, NONE, NONE, SKIP, NONE, CONV))
    assert cut.labels == ("ip", SKIP, "op")


def test_stacked_cells_begin_with_a_chain_of_convolutions_past_which_the_input_skips() -> None:
    space = CellSpace().for_task("classification", 8)
    (simple,) = space.initial
    chosen = {name: value for name, value in space.encode(simple).items() if name.startswith("operation")}
    assert chosen == edges(CONV, NONE, CONV, SKIP, NONE, CONV)


def test_each_operation_on_edges_is_a_chain_with_the_input_past_it_and_without() -> None:
    space = CellSpace.nas_bench_201()
    operations = ("nor_conv_1x1", CONV, "avg_pool_3x3")
    assert [space.encode(candidate) for candidate in space.initial] == [
        edges(operation, NONE, operation, past, NONE, operation) for past in (SKIP, NONE) for operation in operations
    ]


@pytest.mark.parametrize(
    ("operations", "vertices", "n"),
    [
        (("none", "a"), 4, 1),  # no identity to pass the input on
        (("none", "a", "skip"), 4, 2),
        (("none", "a", "skip"), 2, 1),  # a chain of one operation has no room for anything past it
        (("a", "skip"), 4, 0),  # without the zero operation every pair of vertices is joined
        (("none", "skip"), 4, 0),
    ],
)
def test_there_are_as_many_simple_cells_as_the_operations_make(
    operations: tuple[str, ...], vertices: int, n: int
) -> None:
    space = CellSpace(operations, vertices=vertices, channels=(), hyperparameters={})
    assert len(space.initial) == n
    assert all("a" in cell.architecture.labels for cell in space.initial if cell.architecture)


def test_stacked_cells_of_two_vertices_begin_with_a_convolution() -> None:
    (simple,) = CellSpace(vertices=2).for_task("classification", 8).initial
    assert simple.architecture is not None and CONV in simple.architecture.labels


def test_each_operation_on_nodes_is_alone_in_two_patterns_of_links_that_take_turns() -> None:
    space = CellSpace(("a", "b", "c", "skip"), links=((0, 0), (0, 1)), channels=(), hyperparameters={})
    found = [space.encode(candidate) for candidate in space.initial]
    assert [(fields["links"], fields["operation_1"]) for fields in found] == [
        ("0-0", "a"),
        ("0-1", "b"),
        ("0-0", "c"),
        ("0-1", "a"),
        ("0-0", "b"),
        ("0-1", "c"),
    ]
    assert all(fields["operation_1"] == fields["operation_2"] for fields in found)
    assert len(CellSpace.nas_bench_graph().initial) == 2 * (len(GRAPH_OPERATIONS) - 1)


def test_one_pattern_of_links_gives_one_cell_of_an_operation() -> None:
    space = CellSpace(("a", "b"), links=((0, 1),), channels=(), hyperparameters={})
    assert len(space.initial) == 2


def test_operations_that_do_not_matter_make_no_difference() -> None:
    space = CellSpace.nas_bench_201()
    dead = edges(NONE, CONV, CONV, SKIP, "avg_pool_3x3", CONV)
    assert space.decode(dead) == space.decode(dead | {"operation_1_2": NONE, "operation_1_3": "nor_conv_1x1"})


def test_the_two_inner_vertices_may_exchange_their_names_where_no_edge_joins_them() -> None:
    space = CellSpace.nas_bench_201()
    one = edges("nor_conv_1x1", CONV, NONE, SKIP, "avg_pool_3x3", SKIP)
    other = edges(CONV, "nor_conv_1x1", NONE, SKIP, SKIP, "avg_pool_3x3")
    assert space.decode(one) == space.decode(other)


def test_a_cell_without_a_live_path_is_a_single_zero_operation() -> None:
    space = CellSpace.nas_bench_201()
    assert cell(space, edges(*[NONE] * 6)).labels == ("ip", NONE, "op")
    assert space.encode(space.decode(edges(CONV, NONE, NONE, NONE, NONE, CONV))) == edges(*[NONE] * 6)


def test_a_representative_sets_dead_operations_to_zero() -> None:
    space = CellSpace.nas_bench_201()
    assert space.encode(space.decode(edges(NONE, CONV, CONV, SKIP, CONV, CONV))) == edges(
        NONE, CONV, NONE, SKIP, NONE, CONV
    )


def test_cells_are_one_where_they_compute_the_same_function_and_differ_otherwise() -> None:
    # Counted apart from the graphs, by writing out the function of every assignment as nested sums.
    def function(operations: tuple[str, ...]) -> object:
        labels = dict(zip(PAIRS, operations, strict=True))
        values: dict[int, tuple[object, ...]] = {0: ("x",)}
        for j in (1, 2, 3):
            terms = [(labels[i, j], values[i]) for i in range(j) if labels[i, j] != NONE and values[i]]
            values[j] = tuple(sorted(terms, key=repr))
        return values[3]

    operations = (NONE, SKIP, CONV)
    candidates = CellSpace(operations, channels=(), hyperparameters={}).candidates
    assert candidates is not None
    assert len({candidate.digest for candidate in candidates}) == len(candidates)
    assert len(candidates) == len({function(chosen) for chosen in product(operations, repeat=6)})


def test_nodes_become_layers_and_loose_ends_lead_to_the_output() -> None:
    graph = cell(CellSpace.nas_bench_graph(), nodes("0-0-1-1", "gcn", "gat", "gin", "dense"))
    assert sorted(graph.labels[p] for p in graph.parents[graph.output]) == ["dense", "gat", "gin"]
    assert graph.labels[graph.parents[graph.labels.index("dense")][0]] == "gcn"


def test_an_identity_with_readers_is_contracted() -> None:
    space = CellSpace.nas_bench_graph()
    chain = cell(space, nodes("0-1-2-3", "skip", "gcn", "skip", "gat"))
    assert chain.labels == ("ip", "gcn", "gat", "op")
    assert chain == cell(space, nodes("0-0-0-1", "gcn", "skip", "skip", "gat"))


def test_an_identity_from_an_inner_operation_to_the_output_is_kept() -> None:
    graph = cell(CellSpace.nas_bench_graph(), nodes("0-1-1-2", "gcn", "gat", "skip", "dense"))
    assert sorted(graph.labels[p] for p in graph.parents[graph.output]) == ["dense", "skip"]


def test_identities_alone_stand_for_the_first_operation() -> None:
    space = CellSpace.nas_bench_graph()
    assert cell(space, nodes("0-0-1-3", "skip", "skip", "skip", "skip")).labels == ("ip", "gat", "op")


def test_a_stacked_network_repeats_the_cell_with_the_channels_of_each_stage() -> None:
    space = CellSpace(channels=(8, 16), copies=3, hyperparameters={})
    graph = cell(space, edges(CONV, NONE, NONE, SKIP, NONE, NONE) | edges(NONE, NONE, NONE, CONV, NONE, NONE))
    assert graph.labels == (
        *("ip", "stem", *(CONV, "sum") * 3),
        *("reduction", *(CONV, "sum") * 3, "softmax", "op"),
    )
    assert graph.units == (None, *[8] * 7, *[16] * 7, None, None)


def test_a_task_decides_the_decision_layer_and_how_often_its_images_are_halved() -> None:
    space = CellSpace(channels=(8, 16, 32, 64)).for_task("regression", image_size=8)
    assert space.channels == (8, 16, 32)
    assert "linear" in cell(space, space.encode(space.sample(np.random.default_rng(0)))).labels


def test_mutants_of_a_bare_cell_are_one_operation_away() -> None:
    space, generator = CellSpace.nas_bench_201(), np.random.default_rng(0)
    parent = space.decode(edges(CONV, CONV, CONV, CONV, CONV, CONV))
    for _ in range(20):
        mutant = space.encode(space.mutate(parent, generator))
        assert sum(mutant[name] != CONV for name in mutant) == 1 or NONE in mutant.values()


def test_cells_of_nodes_are_sampled_alike_often_however_many_assignments_they_have() -> None:
    space = CellSpace(("gcn", "skip"), links=((0, 0), (0, 1)), channels=(), hyperparameters={})
    assert space.candidates is not None
    listed, generator = list(space.candidates), np.random.default_rng(0)
    counts = np.bincount([listed.index(space.sample(generator)) for _ in range(600)], minlength=len(listed))
    assert len(listed) == 3  # one gcn, two side by side, two in a row; the eight assignments are shared 6 to 1 to 1
    assert counts.min() > 160  # 200 expected, standard deviation 12


def test_a_space_too_large_to_list_says_so() -> None:
    assert CellSpace(vertices=6, hyperparameters={}).candidates is None
    assert CellSpace().candidates is None


@pytest.mark.parametrize(
    "graph",
    [
        Architecture(("ip", "gcn", "op"), (None,) * 3, ((0, 1), (1, 2))),  # an operation that the space lacks
        Architecture(("ip", CONV, CONV, "op"), (None,) * 4, ((0, 1), (1, 2), (0, 2), (2, 3))),  # no line graph
        Architecture(("ip", *[CONV] * 4, "op"), (None,) * 6, tuple((i, i + 1) for i in range(5))),  # too deep
        None,
    ],
)
def test_a_graph_that_is_no_cell_of_the_space_is_refused(graph: Architecture | None) -> None:
    with pytest.raises(ValueError, match="was the candidate made in another space"):
        CellSpace.nas_bench_201().encode(Candidate(graph))


def test_a_bare_cell_is_no_network_of_a_stacked_space() -> None:
    bare = CellSpace.nas_bench_201().sample(np.random.default_rng(0))
    with pytest.raises(ValueError, match="another space"):
        CellSpace(hyperparameters={}).encode(bare)


@pytest.mark.parametrize("given", [{"copies": 1.5}, {"vertices": "4"}, {"channels": (16.5,)}])
def test_counts_that_are_no_whole_numbers_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"got {next(iter(given))} = .*, expected a whole number"):
        CellSpace(**given)


def test_bad_spaces_are_refused_in_a_sentence() -> None:
    with pytest.raises(ValueError, match="at least one that computes something"):
        CellSpace(("none",))
    with pytest.raises(ValueError, match=r"got the operations \['fc'\], whose labels"):
        CellSpace(("gcn", "fc"))
    with pytest.raises(ValueError, match="got vertices = 1"):
        CellSpace(vertices=1)
    with pytest.raises(ValueError, match="got copies = 0"):
        CellSpace(copies=0)
    with pytest.raises(ValueError, match="channels = 0, expected a whole number of at least 1"):
        CellSpace(channels=(8, 0))
    with pytest.raises(ValueError, match=r"got the links \(0, 2, 0\)"):
        CellSpace(GRAPH_OPERATIONS, links=((0, 0, 1), (0, 2, 0)))
    with pytest.raises(ValueError, match="rename"):
        CellSpace(hyperparameters={"operation_0_1": Float(0, 1)})


def test_an_edit_of_a_cell_changes_it_where_its_hyperparameters_are_fixed() -> None:
    fixed = {"optimizer": Categorical(("adamw",)), "rate": Categorical((0.1,))}
    space = replace(CellSpace.nas_bench_201(), hyperparameters=fixed)
    generator = np.random.default_rng(0)
    candidate = space.sample(generator)
    assert all(space.mutate(candidate, generator) != candidate for _ in range(100))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"channels": 16}, "got channels = 16, expected several such"),
        ({"operations": "abc"}, "got operations = 'abc', expected several such"),
        ({"operations": ("none", 3)}, r"got the operations \('none', 3\), expected texts"),
        ({"links": (0, 1)}, "got a pattern of links = 0, expected several such"),
    ],
)
def test_one_thing_where_several_are_expected_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CellSpace(**arguments)
