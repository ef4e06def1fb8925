"""NASBOT's nine modifiers: what each changes and leaves alone, and how often mutations take which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl import mutations
from automl.mutations import MODIFIERS, STEP_PROBABILITIES, draw_n_steps, mutate
from automl.validity import inverse_image_sizes, is_valid
from kernels.architecture import POOLS, Architecture, Edge

SEEDS = st.integers(0, 2**32 - 1)
law = settings(max_examples=15, deadline=None)


def chain(*layers: tuple[str | int | None, ...]) -> Architecture:
    """Input, layers one after another as (label, units) or (label, units, stride), softmax, output."""
    fields = [
        ("ip", None, None),
        *[(*layer, None)[:3] for layer in layers],
        ("softmax", None, None),
        ("op", None, None),
    ]
    edges = tuple((i, i + 1) for i in range(len(fields) - 1))
    labels, units, strides = zip(*fields, strict=True)
    return Architecture(labels, units, edges, strides)


VGG = chain(
    *[("conv3", 64, 1), ("conv3", 72, 1), ("max-pool", None), ("conv5", 128, 2), ("res3", 128, 1), ("res7", 100, 1)],
    *[("avg-pool", None), ("conv7", 256, 1), ("conv3", 256, 1), ("res5", 256, 1), ("fc", 128), ("fc", 512)],
)
HALVING = chain(("conv3", 16, 2))
MLP = chain(("relu", 64), ("tanh", 128), ("elu", 256), ("logistic", 512), ("crelu", 32))
DIAMOND = Architecture(
    ("ip", "relu", "tanh", "elu", "logistic", "softmax", "op"),
    (None, 10, 20, 30, 40, None, None),
    ((0, 1), (1, 2), (1, 3), (2, 4), (3, 4), (4, 5), (5, 6)),
)
NETWORKS = st.sampled_from([VGG, MLP, DIAMOND])


def grown(units: int) -> int:
    return int(units * 9 / 8 + 0.5)


def reduced(units: int) -> int:
    return int(units * 7 / 8 + 0.5)


def several(name: str, architecture: Architecture, n: int = 300) -> list[Architecture]:
    """What a modifier makes of a network in many draws."""
    generator = np.random.default_rng(0)
    drawn = [MODIFIERS[name][1](architecture, generator) for _ in range(n)]
    return [edited for edited in drawn if edited is not None]


def changed_layers(before: Architecture, after: Architecture) -> list[int]:
    return [layer for layer in range(len(before)) if before.units[layer] != after.units[layer]]


def test_modifiers_are_drawn_with_the_masses_of_the_paper() -> None:
    masses = {name: mass for name, (mass, _) in MODIFIERS.items()}
    assert masses == {
        "inc_single": 0.1,
        "dec_single": 0.1,
        "inc_en_masse": 0.1,
        "dec_en_masse": 0.1,
        "swap_layer": 0.2,
        "wedge_layer": 0.1,
        "remove_layer": 0.1,
        "branch": 0.2,
        "skip": 0.2,
    }


@pytest.mark.parametrize("name", MODIFIERS)
def test_every_modifier_finds_edits_of_every_network_of_many_layers(name: str) -> None:
    assert all(several(name, network, 20) for network in (VGG, MLP))


@pytest.mark.parametrize(("name", "scaled"), [("inc_single", grown), ("dec_single", reduced)])
def test_single_modifiers_change_the_units_of_one_layer_by_an_eighth(name: str, scaled: Callable[[int], int]) -> None:
    seen = set()
    for edited in several(name, VGG):
        (layer,) = changed_layers(VGG, edited)
        assert edited.units[layer] == scaled(VGG.units[layer] or 0)
        assert (edited.labels, edited.edges, edited.strides) == (VGG.labels, VGG.edges, VGG.strides)
        seen.add(layer)
    assert seen == {layer for layer, units in enumerate(VGG.units) if units is not None}


@pytest.mark.parametrize(("name", "scaled"), [("inc_en_masse", grown), ("dec_en_masse", reduced)])
def test_en_masse_modifiers_change_a_half_or_quarter_of_ten_layers(name: str, scaled: Callable[[int], int]) -> None:
    with_units = [layer for layer, units in enumerate(VGG.units) if units is not None]
    groups = {tuple(changed_layers(VGG, edited)) for edited in several(name, VGG)}
    halves = {tuple(with_units[:5]), tuple(with_units[5:])}
    quarters = {tuple(with_units[start:end]) for start, end in ((0, 2), (2, 5), (5, 7), (7, 10))}
    assert groups == halves | quarters
    for edited in several(name, VGG, 20):
        assert all(edited.units[layer] == scaled(VGG.units[layer] or 0) for layer in changed_layers(VGG, edited))


def test_networks_of_three_layers_have_no_groups_and_those_of_four_have_halves() -> None:
    assert not several("inc_en_masse", chain(("relu", 8), ("elu", 8), ("tanh", 8)), 20)
    four = chain(("relu", 8), ("elu", 8), ("tanh", 8), ("relu", 8))
    assert {tuple(changed_layers(four, edited)) for edited in several("inc_en_masse", four, 20)} == {(1, 2), (3, 4)}


def test_growing_units_that_rounding_leaves_alone_is_no_edit() -> None:
    assert not several("inc_single", chain(("relu", 3)), 20)
    assert [edited.units[1] for edited in several("inc_single", chain(("relu", 4)), 2)] == [5, 5]


def test_a_swap_draws_the_new_label_with_the_probabilities_of_the_paper() -> None:
    drawn = Counter(edited.labels[1] for edited in several("swap_layer", chain(("conv3", 16, 1)), 4000))
    expected = {"res3": 0.25, "res5": 0.25, "conv5": 0.15, "conv7": 0.25, "max-pool": 0.05, "avg-pool": 0.05}
    assert set(drawn) == set(expected)
    for label, probability in expected.items():
        assert drawn[label] / 4000 == pytest.approx(probability, abs=4 * (probability / 4000) ** 0.5)


def test_a_swap_flips_a_stride_rarely_and_drops_stride_and_units_of_a_pool() -> None:
    flipped = 0
    for edited in several("swap_layer", chain(("conv3", 16, 1)), 2000):
        stride = None if edited.strides is None else edited.strides[1]
        if edited.labels[1] in ("max-pool", "avg-pool"):
            assert (stride, edited.units[1]) == (None, None)
        else:
            assert edited.units[1] == 16
            flipped += stride == 2
    assert 0.03 < flipped / (2000 * 0.9) < 0.07
    kept = Counter(network.strides and network.strides[1] for network in several("swap_layer", HALVING, 400))
    assert set(kept) == {None, 1, 2}
    assert kept[1] < kept[2]


@pytest.mark.parametrize(
    ("label", "others"),
    [
        ("elu", {"logistic", "tanh"}),
        ("tanh", {"relu", "crelu", "leaky-relu", "softplus", "elu"}),
    ],
)
def test_rectifiers_swap_with_sigmoids_alone(label: str, others: set[str]) -> None:
    assert {edited.labels[1] for edited in several("swap_layer", chain((label, 16)))} == others


def test_pools_swap_with_each_other_alone() -> None:
    edited = several("swap_layer", chain(("conv3", 16, 1), ("max-pool", None)))
    assert {network.labels[2] for network in edited if network.labels[1] == "conv3"} == {"avg-pool"}


def test_a_wedge_takes_the_place_of_one_edge_with_the_mean_units_of_its_ends() -> None:
    for edited in several("wedge_layer", MLP):
        new = len(MLP)
        (before,), (after,) = edited.parents[new], edited.children[new]
        assert set(MLP.edges) - set(edited.edges) == {(before, after)}
        assert set(edited.edges) - set(MLP.edges) == {(before, new), (new, after)}
        known = [units for units in (MLP.units[before], MLP.units[after]) if units is not None]
        assert edited.units[new] == int(sum(known) / len(known) + 0.5)
        assert edited.labels[after] != "op"


def test_no_wedge_fits_between_input_and_output_alone() -> None:
    assert mutations.wedge_layer(Architecture(("ip", "op"), (None, None), ((0, 1),)), np.random.default_rng(0)) is None


def test_a_wedge_behind_a_fully_connected_layer_copies_it_and_none_behind_the_input_is_a_pool() -> None:
    for edited in several("wedge_layer", VGG, 600):
        new = len(VGG)
        (before,) = edited.parents[new]
        if edited.labels[before] == "fc":
            assert (edited.labels[new], edited.units[new]) == ("fc", edited.units[before])
        if edited.labels[new] in POOLS:
            assert (edited.units[new], (edited.strides or ())[new]) == (None, None)
        if edited.labels[before] == "ip":
            assert edited.labels[new][:3] in ("con", "res")


def test_removing_a_layer_of_a_chain_links_its_neighbours() -> None:
    for edited in several("remove_layer", MLP, 60):
        assert len(edited) == len(MLP) - 1
        assert edited.edges == tuple((i, i + 1) for i in range(len(edited) - 1))


def test_removing_where_paths_part_or_meet_leaves_no_dead_end_and_no_layer_that_is_not_its_neighbour_changes() -> None:
    sizes = Counter(len(edited) for edited in several("remove_layer", DIAMOND))
    assert set(sizes) == {len(DIAMOND) - 1}
    without_branch = [edited for edited in several("remove_layer", DIAMOND) if "tanh" not in edited.labels]
    assert all(edited.edges == ((0, 1), (1, 2), (2, 3), (3, 4), (4, 5)) for edited in without_branch)


def removed(architecture: Architecture, label: str) -> Architecture:
    """The network without its one layer of that label."""
    return next(edited for edited in several("remove_layer", architecture) if label not in edited.labels)


def test_a_removed_halving_passes_to_the_children_else_to_the_parents() -> None:
    to_child = removed(chain(("conv3", 8, 1), ("max-pool", None), ("conv5", 8, 1)), "max-pool")
    assert to_child.strides == (None, 1, 2, None, None)
    to_parent = removed(chain(("conv3", 8, 1), ("max-pool", None), ("fc", 8)), "max-pool")
    assert to_parent.strides == (None, 2, None, None, None)
    labels = ("ip", "conv3", "max-pool", "conv5", "conv7", "softmax", "op")
    edges = ((0, 1), (1, 2), (2, 3), (2, 4), (3, 5), (4, 5), (5, 6))
    forked = Architecture(labels, (None, 8, None, 8, 8, None, None), edges, (None, 1, None, 1, 2, None, None))
    assert removed(forked, "max-pool").strides == (None, 2, 1, 2, None, None)  # not all the children could
    to_neither = removed(chain(("conv3", 8, 2), ("max-pool", None), ("fc", 8)), "max-pool")
    assert to_neither.strides == (None, 2, None, None, None)


def test_the_first_fully_connected_layer_is_never_removed() -> None:
    for edited in several("remove_layer", VGG):
        assert edited.labels.count("fc") >= 1
        assert edited.units[list(edited.labels).index("fc")] == 128


def is_subsequence(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(label in rest for label in part)


@pytest.mark.parametrize("network", [VGG, MLP])
def test_a_branch_duplicates_part_of_a_path_of_four_layers_or_more_beside_it(network: Architecture) -> None:
    spans = set()
    for edited in several("branch", network):
        copies = list(range(len(network), len(edited)))
        assert copies
        assert edited.labels[: len(network)] == network.labels
        assert set(network.edges) <= set(edited.edges)
        (start,), (end,) = edited.parents[copies[0]], edited.children[copies[-1]]
        spans.add(end - start)
        inside = list(network.labels[start + 1 : end])
        copied = [edited.labels[layer] for layer in copies]
        assert is_subsequence(copied, inside)
        for label in ("max-pool", "avg-pool", "softmax"):
            assert copied.count(label) == inside.count(label)
    assert min(spans) == 3


def test_branches_around_a_halving_keep_it_so_that_images_meet_in_equal_sizes() -> None:
    assert all(is_valid(edited) for edited in several("branch", VGG))


def test_a_skip_adds_one_edge_between_layers_apart_in_a_perceptron() -> None:
    found: set[Edge] = set()
    for edited in several("skip", MLP):
        ((start, end),) = set(edited.edges) - set(MLP.edges)
        found.add((start, end))
    assert found == {(start, end) for start in range(1, 6) for end in range(start + 2, 6)}


def test_a_skip_across_a_halving_pools_as_often_as_the_path_beside_it() -> None:
    sizes = inverse_image_sizes(VGG)
    for edited in several("skip", VGG):
        assert is_valid(edited)
        added = edited.labels[len(VGG) :]
        assert set(added) <= {"avg-pool"}
        new = [edge for edge in edited.edges if edge not in VGG.edges]
        start, end = min(u for u, _ in new), next(v for _, v in new if v < len(VGG))
        assert 2 ** len(added) == sizes[end - 1] // sizes[start]
        assert VGG.labels[end] != "softmax"


def test_a_skip_never_leads_back_although_a_shortcut_makes_a_late_layer_look_early() -> None:
    labels = ("ip", "relu", "tanh", "elu", "relu", "tanh", "elu", "relu", "tanh", "softmax", "op")
    edges = (*[(i, i + 1) for i in range(10)], (0, 5), (4, 9))
    network = Architecture(labels, (None, *[8] * 8, None, None), edges)
    assert several("skip", network)
    assert all((5, early) not in edited.edges for edited in several("skip", network) for early in (3, 4))


@law
@given(seed=SEEDS, network=NETWORKS)
def test_modifiers_keep_networks_free_of_cycles_and_dead_ends_along_chains_of_edits(
    seed: int, network: Architecture
) -> None:
    generator = np.random.default_rng(seed)
    for _ in range(8):
        for _, modifier in MODIFIERS.values():
            edited = modifier(network, generator)  # the constructor refuses cycles and dead ends
            assert edited is None or edited.digest != network.digest
        network = mutate(network, generator, is_valid)
        assert is_valid(network)


def test_mutations_take_one_to_five_steps_with_the_probabilities_of_the_paper() -> None:
    generator = np.random.default_rng(0)
    drawn = Counter(draw_n_steps(generator) for _ in range(4000))
    assert STEP_PROBABILITIES == (0.5, 0.25, 0.125, 0.075, 0.05)
    for steps, probability in enumerate(STEP_PROBABILITIES, start=1):
        assert drawn[steps] / 4000 == pytest.approx(probability, abs=4 * (probability / 4000) ** 0.5)


def test_a_mutation_makes_the_steps_that_it_is_asked_for_each_of_them_valid() -> None:
    accepted: list[Architecture] = []

    def holds(architecture: Architecture) -> bool:
        if is_valid(architecture) and len(architecture) <= len(VGG) + 2:
            accepted.append(architecture)
            return True
        return False

    mutant = mutate(VGG, np.random.default_rng(0), holds, n_steps=4)
    assert len(accepted) == 4
    assert mutant is accepted[-1]


def test_a_mutation_keeps_the_steps_made_before_none_is_valid() -> None:
    allowed = {edited.digest for edited in several("inc_single", MLP)}
    generator = np.random.default_rng(1)
    first = mutate(MLP, generator, lambda architecture: architecture.digest in allowed, n_steps=1)
    assert first.digest in allowed
    assert mutate(MLP, generator, lambda _: False) is MLP


def test_the_same_generator_state_gives_the_same_mutant() -> None:
    first, second = (mutate(VGG, np.random.default_rng(3), is_valid, n_steps=5) for _ in range(2))
    assert first == second


def test_draws_follow_their_weights() -> None:
    generator = np.random.default_rng(0)
    drawn = Counter(mutations.draw((0.0, 3.0, 1.0), generator) for _ in range(2000))
    assert set(drawn) == {1, 2}
    assert drawn[1] / 2000 == pytest.approx(0.75, abs=0.04)
