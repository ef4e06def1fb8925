"""OTMANN: the reference's distances, a second solver, the laws of a pseudo-metric, and the growing table."""

from __future__ import annotations

import subprocess
import sys
from random import Random
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from kernels import otmann
from kernels.architecture import Architecture
from kernels.compilation import compiled
from kernels.layer_costs import LabelCosts, common_family, label_costs_for, layer_masses
from kernels.otmann import NU_STR, DistanceTable, otmann_distances
from kernels.path_lengths import path_lengths
from kernels.weisfeiler_lehman import weisfeiler_lehman_kernel
from tests.kernels.networks import REFERENCE_GROUPS, cells, chain, cnns, mlps, reference, reference_networks

Floats = npt.NDArray[np.float64]
SAME_FAMILY = st.one_of(*(st.lists(family, min_size=3, max_size=3) for family in (mlps(), cnns(), cells())))
RELATIVE = 1e-9


@pytest.mark.slow
@pytest.mark.parametrize("group", REFERENCE_GROUPS)
def test_distances_equal_the_reference(group: str) -> None:
    settings = reference()["groups"][group]["settings"]
    d, d_bar = otmann_distances(reference_networks(group), nu_str=[setting["struct_coeff"] for setting in settings])
    for g, setting in enumerate(settings):
        expected = np.array(setting["unnormalised"])
        np.testing.assert_allclose(d[:, :, g], expected, rtol=0, atol=RELATIVE * expected.max())
        np.testing.assert_allclose(d_bar[:, :, g], setting["normalised"], rtol=0, atol=RELATIVE)


def distance_by_highs(a: Architecture, b: Architecture, nu_str: float) -> float:
    """The linear programme of the savings form, written down anew and given to HiGHS."""
    family = common_family([a.family, b.family])
    costs = label_costs_for(family, [*a.labels, *b.labels])
    mismatch = costs.array[np.ix_(costs.indices(a), costs.indices(b))]
    first, second = path_lengths(a, family), path_lengths(b, family)
    structure = 0.5 * np.abs(first.from_input[:, None] - second.from_input).mean(axis=2)
    structure += 0.5 * np.abs(first.to_output[:, None] - second.to_output).mean(axis=2)
    saving = np.maximum(2 - mismatch - nu_str * structure, 0)
    n, m = saving.shape
    rows, columns = np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))
    masses = np.concatenate([layer_masses(a, family), layer_masses(b, family)])
    scale = masses.sum()
    result = linprog(-saving.ravel(), A_ub=np.vstack([rows, columns]), b_ub=masses / scale, method="highs")
    return float(scale + scale * result.fun)


@settings(max_examples=30, deadline=None)
@given(SAME_FAMILY)
def test_distances_equal_those_of_a_general_solver(networks: list[Architecture]) -> None:
    a, b, _ = networks
    d, d_bar = otmann_distances([a], [b], (0.1, 0.61))
    total = layer_masses(a).sum() + layer_masses(b).sum()
    for g, nu_str in enumerate((0.1, 0.61)):
        expected = distance_by_highs(a, b, nu_str)
        assert d[0, 0, g] == pytest.approx(expected, abs=RELATIVE * total)
        assert d_bar[0, 0, g] == pytest.approx(d[0, 0, g] / total)


@settings(max_examples=40, deadline=None)
@given(SAME_FAMILY)
def test_d_is_a_pseudo_metric_and_d_bar_lies_between_0_and_1(networks: list[Architecture]) -> None:
    d, d_bar = otmann_distances(networks)
    slack = RELATIVE * d.max()
    np.testing.assert_array_equal(d, d.transpose(1, 0, 2))
    assert not d[range(3), range(3)].any()
    assert (d[:, None, :] <= d[:, :, None] + d[None, :, :] + slack).all()
    assert d_bar.min() >= 0
    assert d_bar.max() <= 1 + RELATIVE


@settings(max_examples=40, deadline=None)
@given(SAME_FAMILY)
def test_swapping_the_lists_transposes_the_distances(networks: list[Architecture]) -> None:
    forward, _ = otmann_distances(networks[:1], networks[1:])
    backward, _ = otmann_distances(networks[1:], networks[:1])
    np.testing.assert_allclose(forward, backward.transpose(1, 0, 2), rtol=RELATIVE, atol=RELATIVE * forward.max())


@settings(max_examples=40, deadline=None)
@given(SAME_FAMILY, st.randoms(use_true_random=False))
def test_distance_is_zero_between_graphs_equal_up_to_relabelling(networks: list[Architecture], random: Random) -> None:
    network, other, _ = networks
    moved = network.permuted(random.sample(range(len(network)), len(network)))
    d, _ = otmann_distances([network, moved], [moved, other])
    assert d[0, 0] == pytest.approx(0, abs=RELATIVE * d.max())
    np.testing.assert_allclose(d[0, 1], d[1, 1], rtol=RELATIVE)


@settings(max_examples=40, deadline=None)
@given(SAME_FAMILY)
def test_d_grows_with_nu_str_and_is_concave_in_it(networks: list[Architecture]) -> None:
    nu_str = np.array([0.0, 0.2, 0.4, 0.6, 0.8, 1.0])
    d, _ = otmann_distances(networks[:1], networks[1:], nu_str.tolist())
    slack = RELATIVE * d.max()
    assert (np.diff(d) >= -slack).all()
    assert (np.diff(d, n=2) <= slack).all()


def test_a_layer_split_into_parallel_copies_is_at_distance_zero() -> None:
    whole = Architecture(("ip", "conv3", "softmax", "op"), (None, 16, None, None), ((0, 1), (1, 2), (2, 3)))
    edges = ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    halves = Architecture(("ip", "conv3", "conv3", "softmax", "op"), (None, 8, 8, None, None), edges)
    assert not otmann_distances([whole], [halves])[0].any()


def test_a_distance_worked_by_hand() -> None:
    # Each end weighs 100. 64 and 96 units of relu and tanh: 64 are moved at 0.25, 32 stay unmatched at 1.
    a, b = chain(("relu", "linear"), (64, None)), chain(("tanh", "linear"), (96, None))
    d, d_bar = otmann_distances([a], [b], (0.0,))
    assert d.item() == pytest.approx(64 * 0.25 + 32)
    assert d_bar.item() == pytest.approx((64 * 0.25 + 32) / (64 + 96 + 600))


def test_networks_without_any_mass_are_at_distance_zero() -> None:
    empty = Architecture(("ip", "op"), (None, None), ((0, 1),))
    cell = chain(("skip",), (None,))
    d, d_bar = otmann_distances(
        [empty, cell], [empty, Architecture(("ip", "op"), (1, None), ((0, 1),))], label_costs=None
    )
    assert np.isfinite(d_bar).all()
    assert not d[0, 0].any()


def test_shapes_are_those_of_the_lists_and_the_weights() -> None:
    networks = reference_networks("cnn")[:3]
    for a, b, shape in ((networks, None, (3, 3, 4)), (networks, networks[:2], (3, 2, 4)), ([], networks, (0, 3, 4))):
        d, d_bar = otmann_distances(a, b)
        assert d.shape == d_bar.shape == shape
        assert d.dtype == np.float64
    assert otmann_distances([])[0].shape == (0, 0, 4)


def test_costs_of_the_users_own_change_the_distance() -> None:
    a, b = chain(("conv3",), (8,)), chain(("conv5",), (8,))
    labels = ("ip", "op", "conv3", "conv5")
    apart = tuple(tuple(0.0 if x == y else np.inf for y in labels) for x in labels)
    assert otmann_distances([a], [b], (0.0,), LabelCosts(labels, apart))[0].item() == pytest.approx(16)


def test_mixed_families_are_refused() -> None:
    with pytest.raises(ValueError, match="got both MLP and CNN architectures, expected one family"):
        otmann_distances(reference_networks("cnn")[:1], reference_networks("mlp-reg")[:1])


def test_a_label_that_the_costs_lack_is_named() -> None:
    costs = LabelCosts(("ip", "op"), ((0, np.inf), (np.inf, 0)))
    with pytest.raises(ValueError, match="layer 1 has label 'conv3', which the cost table lacks"):
        otmann_distances([chain(("conv3",), (8,))], label_costs=costs)


def test_what_is_no_list_of_networks_is_refused() -> None:
    network = Architecture(("ip", "relu", "softmax", "op"), (None, 8, None, None), ((0, 1), (1, 2), (2, 3)))
    lists: Any
    for lists, got in (
        ((network,), "a network, expected a list of networks"),
        (([network], network), "a network, expected a list of networks"),
        (([network, "mlp"],), r"a str in a list of networks, expected Architecture\(...\) alone"),
        ((None,), "None, expected a list of networks"),
    ):
        for compare in (otmann_distances, weisfeiler_lehman_kernel):
            with pytest.raises(ValueError, match=f"got {got}"):
                compare(*lists)


def test_networks_may_come_from_a_generator_or_an_array() -> None:
    networks = reference_networks("cnn")[:3]
    for compare in (lambda *lists: otmann_distances(*lists)[0], weisfeiler_lehman_kernel):
        expected = compare(networks, networks)
        array = np.empty(3, dtype=object)
        array[:] = networks
        np.testing.assert_array_equal(compare(iter(networks), iter(networks)), expected)
        np.testing.assert_array_equal(compare(array, array), expected)


def test_what_are_no_costs_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got label_costs = {}, expected LabelCosts\(\.\.\.\)"):
        otmann_distances([], label_costs={})  # type: ignore[arg-type]  # the mistake under test


@pytest.mark.parametrize("nu_str", [(), (-0.1,), (float("nan"),), (float("inf"), 0.1), ("a",), 0.1])
def test_weights_that_are_no_weights_are_refused(nu_str: Any) -> None:
    with pytest.raises(ValueError, match="expected at least one weight, each finite and not negative"):
        otmann_distances([], nu_str=nu_str)


@pytest.mark.parametrize("number", [0, -1, 1.5])
def test_numbers_below_one_are_refused(number: Any) -> None:
    with pytest.raises(ValueError, match=f"got n_threads = {number}, expected at least 1; raise it"):
        otmann_distances([], n_threads=number)
    with pytest.raises(ValueError, match=f"got max_networks = {number}, expected at least 1; raise it"):
        DistanceTable(max_networks=number)


def test_asking_about_no_network_leaves_the_distances_of_the_next_ones_alone() -> None:
    networks, table = reference_networks("mlp-reg")[:4], DistanceTable()
    assert all(distances.shape == (0, 0, len(NU_STR)) for distances in table.distances([]))
    np.testing.assert_array_equal(table.distances(networks)[0], otmann_distances(networks)[0])


@pytest.mark.slow
def test_pot_steps_in_where_the_simplex_runs_into_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = reference_networks("cnn")[:6]
    expected, _ = otmann_distances(networks)
    monkeypatch.setattr(otmann, "_PIVOT_LIMIT", 0)
    np.testing.assert_allclose(otmann_distances(networks)[0], expected, rtol=0, atol=RELATIVE * expected.max())


def test_threads_do_not_change_the_distances() -> None:
    networks = reference_networks("mlp-class")
    np.testing.assert_array_equal(otmann_distances(networks, n_threads=3)[0], otmann_distances(networks)[0])


def test_a_growing_table_gives_the_same_distances_and_computes_each_pair_once(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = reference_networks("cnn")[:12]
    expected, expected_bar = otmann_distances(networks)
    solved: list[int] = []
    solve = otmann._solve

    def counting(layers: object, pairs: npt.NDArray[np.int64], *rest: object) -> Floats:
        solved.append(len(pairs))
        return solve(layers, pairs, *rest)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(otmann, "_solve", counting)
    table = DistanceTable()
    for n in (3, 7, 12):
        d, d_bar = table.distances(networks[:n], networks[max(n - 4, 0) : n])
        np.testing.assert_allclose(d, expected[:n, max(n - 4, 0) : n], rtol=RELATIVE)
        np.testing.assert_allclose(d_bar, expected_bar[:n, max(n - 4, 0) : n], rtol=RELATIVE)
    table.distances(networks, networks)
    distinct = len(set(networks))  # the reference has one network twice
    assert sum(solved) == distinct * (distinct + 1) // 2
    assert len(table) == distinct


def test_a_table_forgets_the_least_recently_used_networks() -> None:
    networks = reference_networks("cnn")
    table = DistanceTable(max_networks=8)
    expected, _ = otmann_distances(networks)
    for start in (0, 3, 6, 1, 9):
        d, _ = table.distances(networks[:2], networks[start : start + 5])
        np.testing.assert_allclose(d, expected[:2, start : start + 5], rtol=RELATIVE)
        assert len(table) <= 8
    d, _ = table.distances(networks)  # more at once than it may remember
    np.testing.assert_allclose(d, expected, rtol=RELATIVE)


def test_places_of_forgotten_networks_are_taken_by_others_and_tell_nothing_of_them() -> None:
    networks = list(dict.fromkeys(reference_networks("cnn")))
    table, generator = DistanceTable(max_networks=6), np.random.default_rng(0)
    expected, expected_bar = otmann_distances(networks)
    for size in (2, 3, 2, 4, 9, 2, 3, 5, 2, 7, 3, 2):  # some more at once than it may remember
        rows, columns = (generator.choice(len(networks), size, replace=False) for _ in range(2))
        d, d_bar = table.distances([networks[i] for i in rows], [networks[i] for i in columns])
        np.testing.assert_allclose(d, expected[np.ix_(rows, columns)], rtol=RELATIVE)
        np.testing.assert_allclose(d_bar, expected_bar[np.ix_(rows, columns)], rtol=RELATIVE)


def test_a_table_of_cells_takes_in_labels_as_it_meets_them() -> None:
    first, second = chain(("nor_conv_3x3",), (None,)), chain(("skip_connect", "nor_conv_1x1"), (None, None))
    third = chain(("fc",), (None,))  # on its own this would pass for a convolutional network
    table = DistanceTable()
    for networks in ([first], [first, second], [third], [first, second, third]):
        d, _ = table.distances(networks)
    np.testing.assert_allclose(d, otmann_distances([first, second, third])[0])


def test_machine_code_is_kept_in_memory_where_it_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse_to_cache(function: object, *, cache: bool = False, **options: object) -> object:
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return function

    monkeypatch.setattr("numba.njit", refuse_to_cache)

    def function() -> NoReturn:
        raise NotImplementedError

    assert compiled(function) is function


def test_importing_the_module_leaves_numba_and_pot_alone() -> None:
    program = "import sys, kernels.otmann; sys.exit(bool({'numba', 'ot', 'torch'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_default_weights_are_those_of_the_paper() -> None:
    assert NU_STR == (0.1, 0.25, 0.61, 1.5)


@pytest.mark.parametrize("sample", [mlps(), cnns(), cells()], ids=["mlps", "cnns", "cells"])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_a_distance_is_the_same_to_the_last_bit_whatever_was_met_before(
    sample: st.SearchStrategy[Architecture], data: st.DataObject
) -> None:
    networks = data.draw(st.lists(sample, min_size=4, max_size=8))
    d, d_bar = otmann_distances(networks)
    turned, turned_bar = otmann_distances(networks[::-1])
    np.testing.assert_array_equal(turned[::-1, ::-1], d)
    np.testing.assert_array_equal(turned_bar[::-1, ::-1], d_bar)
    table = DistanceTable()
    table.distances(networks[2:])
    np.testing.assert_array_equal(table.distances(networks)[0], d)
