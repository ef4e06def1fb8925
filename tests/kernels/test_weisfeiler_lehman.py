"""Counts of graphs: worked by hand, invariant, the same in every process; and the kernel that they make."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.architecture import Architecture
from kernels.count_kernel import CountVectors, elements_of
from kernels.weisfeiler_lehman import (
    Counts,
    count_matrix,
    edge_counts,
    label_depth_counts,
    label_path_counts,
    label_prefix_counts,
    shape_counts,
    weisfeiler_lehman_counts,
    weisfeiler_lehman_kernel,
)
from tests.kernels.networks import cells, chain, cnns, mlps, reference_networks

SORTS: list[Callable[[Architecture], Counts]] = [
    weisfeiler_lehman_counts,
    label_path_counts,
    label_prefix_counts,
    label_depth_counts,
    edge_counts,
    shape_counts,
]
NETWORKS = st.lists(st.one_of(mlps(), cnns(), cells()), min_size=2, max_size=8)

DIAMOND = Architecture(
    ("ip", "conv3", "conv5", "conv3", "op"), (None, 8, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
)


def sizes(counts: object) -> list[int]:
    assert isinstance(counts, Counter)
    return sorted(counts.values())


@settings(max_examples=25, deadline=None)
@given(networks=NETWORKS)
def test_the_kernel_is_positive_semi_definite_with_unit_diagonal(networks: list[Architecture]) -> None:
    gram = weisfeiler_lehman_kernel(networks)
    np.testing.assert_allclose(np.diag(gram), 1)
    assert np.linalg.eigvalsh(gram).min() >= -1e-10
    assert gram.min() >= 0


@pytest.mark.parametrize("counts", SORTS)
@settings(max_examples=25, deadline=None)
@given(network=st.one_of(mlps(), cnns(), cells()), random=st.randoms(use_true_random=False))
def test_counts_do_not_depend_on_the_order_of_layers(
    counts: Callable[[Architecture], Counts], network: Architecture, random: Random
) -> None:
    assert counts(network.permuted(random.sample(range(len(network)), len(network)))) == counts(network)


def test_two_lists_give_a_block_of_the_joint_matrix() -> None:
    networks = reference_networks("cnn")[:9]
    joint = weisfeiler_lehman_kernel(networks)
    np.testing.assert_allclose(weisfeiler_lehman_kernel(networks[:4], networks[4:]), joint[:4, 4:])


def test_rounds_of_recolouring_worked_by_hand() -> None:
    # Labels: ip, op, conv5 once, conv3 twice; after one round all five layers differ, and stay so.
    assert sizes(weisfeiler_lehman_counts(DIAMOND, 0)) == [1, 1, 1, 2]
    assert sizes(weisfeiler_lehman_counts(DIAMOND, 1)) == [1] * 8 + [2]
    # Equal layers side by side keep one colour in every round.
    twins = Architecture(("ip", "fc", "fc", "op"), (None, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3)))
    assert sizes(weisfeiler_lehman_counts(twins, 1)) == [1, 1, 1, 1, 2, 2]


def test_the_last_round_may_be_counted_alone() -> None:
    both, first = weisfeiler_lehman_counts(DIAMOND, 1), weisfeiler_lehman_counts(DIAMOND, 0)
    last = weisfeiler_lehman_counts(DIAMOND, 1, last_alone=True)
    assert sizes(last) == [1] * 5
    assert {**first, **last} == both


def test_direction_tells_which_neighbours_matter() -> None:
    above = chain(("conv3", "fc"), (8, 8)), chain(("conv5", "fc"), (8, 8))
    last = {
        direction: weisfeiler_lehman_kernel([above[0]], [above[1]], 1, direction=direction).item()
        for direction in ("parents", "children", "both")
    }
    # Of eight colours each: shared are ip, fc, op before, and after one round ip or op, and fc seen from below.
    assert last == pytest.approx({"parents": 5 / 8, "children": 5 / 8, "both": 4 / 8})


def test_units_and_strides_count_only_where_asked_for() -> None:
    narrow, wide = chain(("conv3",), (8,)), chain(("conv3",), (64,))
    assert weisfeiler_lehman_kernel([narrow], [wide]).item() == pytest.approx(1)
    assert weisfeiler_lehman_kernel([narrow], [wide], with_units=True).item() < 1
    strided = Architecture(narrow.labels, narrow.units, narrow.edges, (None, 2, None))
    assert weisfeiler_lehman_kernel([narrow], [strided], with_units=True).item() < 1
    assert weisfeiler_lehman_kernel([narrow], [chain(("conv3",), (9,))], with_units=True).item() == pytest.approx(1)


def test_label_paths_are_counted_from_input_to_output() -> None:
    assert sizes(label_path_counts(DIAMOND)) == [1, 1]
    doubled = Architecture(
        ("ip", "fc", "fc", "fc", "op"), (None, 8, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    )
    assert sizes(label_path_counts(doubled)) == [2]
    assert set(label_path_counts(doubled)) == set(label_path_counts(chain(("fc", "fc"), (1, 1))))


@settings(max_examples=25, deadline=None)
@given(networks=st.lists(st.one_of(mlps(), cells()), min_size=2, max_size=4))
def test_paths_counted_layer_by_layer_are_those_followed_one_by_one(networks: list[Architecture]) -> None:
    followed = [Counter(sequences(network, network.input)) for network in networks]
    counted = [label_path_counts(network) for network in networks]
    for a, b in itertools.combinations(range(len(networks)), 2):
        distances = [sum(abs(c[a][key] - c[b][key]) for key in {*c[a], *c[b]}) for c in (followed, counted)]
        assert distances[0] == distances[1]


def sequences(network: Architecture, layer: int) -> Iterator[tuple[str, ...]]:
    """The labels along each path from a layer to the output."""
    own = (network.labels[layer],)
    if layer == network.output:
        yield own
    for child in network.children[layer]:
        yield from (own + rest for rest in sequences(network, child))


def test_paths_to_every_layer_are_counted_as_prefixes() -> None:
    # ip; ip-fc twice; ip-fc-fc twice; and with op at the end twice.
    doubled = Architecture(
        ("ip", "fc", "fc", "fc", "op"), (None, 8, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    )
    assert sizes(label_prefix_counts(doubled)) == [1, 2, 2, 2]
    assert set(label_path_counts(doubled)) <= set(label_prefix_counts(doubled))


def test_label_paths_of_a_graph_with_very_many_are_cut_and_still_invariant() -> None:
    labels, edges, last = ["ip"], [], 0
    for _ in range(14):  # 2 ** 14 paths
        n = len(labels)
        labels += ["conv3", "conv5", "max-pool"]
        edges += [(last, n), (last, n + 1), (n, n + 2), (n + 1, n + 2)]
        last = n + 2
    n = len(labels)
    network = Architecture((*labels, "op"), (None,) * (n + 1), (*edges, (last, n)))
    counts = label_path_counts(network)
    assert 0 < len(counts) < 2**14
    assert label_path_counts(network.permuted(list(reversed(range(n + 1))))) == counts


def test_paths_beyond_counting_are_not_counted_one_by_one() -> None:
    n = 80  # each layer reads the two before it: some 10 ** 16 paths, of few lengths
    edges = [(i, i + 1) for i in range(n + 1)] + [(i, i + 2) for i in range(n)]
    network = Architecture(("ip", *["relu"] * n, "op"), (None, *[8] * n, None), tuple(edges))
    for counts in (label_path_counts(network), label_prefix_counts(network)):
        assert sum(counts.values()) < 255 * len(network) ** 2
        counted, nothing = elements_of(counts), elements_of({})  # an element for each unit of a count
        assert CountVectors([counted]).distances([counted, nothing]).tolist() == [[0], [sum(counts.values())]]


def test_depths_are_counted_along_the_longest_path() -> None:
    skip = Architecture(("ip", "fc", "fc", "op"), (None, 8, 8, None), ((0, 1), (1, 2), (0, 2), (2, 3)))
    assert label_depth_counts(skip) == label_depth_counts(chain(("fc", "fc"), (8, 8)))
    assert sizes(label_depth_counts(DIAMOND)) == [1] * 5


def test_edges_are_counted_by_the_labels_that_they_join() -> None:
    assert sizes(edge_counts(DIAMOND)) == [1] * 5
    doubled = Architecture(("ip", "fc", "fc", "op"), (None, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3)))
    assert sizes(edge_counts(doubled)) == [2, 2]  # from ip to fc, and from fc to op
    assert edge_counts(chain(("fc", "relu"), (8, 8))) != edge_counts(chain(("relu", "fc"), (8, 8)))


def test_shapes_are_those_of_graphs_without_their_labels() -> None:
    assert shape_counts(chain(("fc", "fc"), (8, 8))) == shape_counts(chain(("relu", "conv3"), (8, None)))
    beside = Architecture(("ip", "fc", "fc", "op"), (None, 8, 8, None), ((0, 1), (0, 2), (1, 3), (2, 3)))
    shortcut = Architecture(("ip", "fc", "fc", "op"), (None, 8, 8, None), ((0, 1), (1, 2), (2, 3), (0, 3)))
    graphs = [chain(("fc", "fc"), (8, 8)), chain(("fc",) * 3, (8,) * 3), beside, shortcut]
    assert len({shape for graph in graphs for shape in shape_counts(graph)}) == len(graphs)


def test_rows_of_the_count_matrix_hold_the_counts() -> None:
    matrix = count_matrix([{7: 2, 9: 1}, {}, {9: 3}]).toarray()
    np.testing.assert_array_equal(matrix, [[2, 1], [0, 0], [0, 3]])


def test_colours_are_the_same_in_every_process() -> None:
    program = (
        "from tests.kernels.test_weisfeiler_lehman import DIAMOND\n"
        "from kernels.weisfeiler_lehman import weisfeiler_lehman_counts\n"
        "print(sorted(weisfeiler_lehman_counts(DIAMOND)))"
    )
    printed = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert printed.strip() == str(sorted(weisfeiler_lehman_counts(DIAMOND)))


def test_a_negative_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1 iterations, expected 0 or more"):
        weisfeiler_lehman_kernel([DIAMOND], iterations=-1)


def test_a_broken_number_of_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got 1\.5 iterations, expected 0 or more"):
        weisfeiler_lehman_kernel([DIAMOND], iterations=1.5)  # type: ignore[arg-type]  # the mistake under test


def test_an_unknown_direction_is_refused() -> None:
    with pytest.raises(ValueError, match="got the direction 'up', expected 'parents', 'children' or 'both'"):
        weisfeiler_lehman_counts(DIAMOND, direction="up")
