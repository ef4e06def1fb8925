"""Architecture: what it refuses, how it travels as JSON, and what does not depend on the order of its layers."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.architecture import Architecture
from tests.kernels.networks import cells, chain, cnns, mlps

FIELDS: dict[str, Any] = {
    "labels": ("ip", "conv3", "conv5", "softmax", "op"),
    "units": (None, 8, 16, None, None),
    "edges": ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4)),
    "strides": (None, 1, 2, None, None),
}
ANY_NETWORK = st.one_of(mlps(), cnns(), cells())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": (None, 8, None, None)}, r"got 4 units for 5 labels; give one entry a layer"),
        ({"strides": (1, 2)}, r"got 2 strides for 5 labels"),
        ({"labels": ("ip", "ip", "conv5", "softmax", "op")}, r"got 2 layers labelled 'ip', expected exactly one"),
        ({"labels": ("ip", "conv3", "conv5", "softmax", "fc")}, r"got 0 layers labelled 'op'"),
        ({"units": (None, 0, 16, None, None)}, r"layer 1 \(conv3\) has 0 units, expected a positive number"),
        ({"units": (None, 8.5, 16, None, None)}, r"got units of 8\.5, expected a whole number or None"),
        ({"units": (None, float("nan"), 16, None, None)}, r"got units of nan"),
        ({"units": (None, "8", 16, None, None)}, r"got units of '8'"),
        ({"units": (None, 10**200, 16, None, None)}, r"choose one from 1 to 1,000,000,000,000,000"),
        ({"units": 3}, "got units = 3, expected a list"),
        ({"labels": "conv3"}, "got labels = 'conv3', expected a list"),
        ({"labels": None}, "got labels = None, expected a list"),
        ({"edges": 3}, "got edges = 3, expected a list"),
        ({"edges": (3,)}, "got the edge 3, expected two layer indices"),
        ({"strides": 3}, "got strides = 3, expected a list"),
        ({"strides": (None, 3, 1, None, None)}, r"layer 1 \(conv3\) has stride 3, expected 1, 2 or None"),
        ({"edges": (*FIELDS["edges"], (1, 7))}, r"edge \(1, 7\) names a layer that does not exist; .* 0 to 4"),
        ({"edges": (*FIELDS["edges"], (1, 3))}, r"got the same edge twice"),
        ({"edges": (*FIELDS["edges"], (3, 1))}, r"got a cycle among the edges"),
        ({"edges": ((0, 1), (1, 3), (2, 3), (3, 4))}, r"layer 2 \(conv5\) has no input, .* add an edge"),
        ({"edges": ((0, 1), (0, 2), (1, 3), (3, 4))}, r"layer 2 \(conv5\) leads nowhere, .* add an edge"),
        ({"edges": ((0, 1, 2),)}, r"got the edge \(0, 1, 2\), expected two layer indices"),
        ({"edges": ((0, None),)}, r"got the edge \(0, None\), expected two layer indices"),
        ({"edges": ((0.5, 1),)}, r"got an edge to or from layer 0\.5, expected a whole number"),
    ],
)
def test_fields_that_are_no_layer_graph_are_refused_in_one_sentence(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(**{**FIELDS, **changes})


@pytest.mark.parametrize(
    ("labels", "edges", "message"),
    [
        (("fc", "ip", "op"), ((0, 1), (1, 2)), r"layer 0 \(fc\) has no input"),
        (("ip", "op", "fc"), ((0, 1), (1, 2)), r"layer 2 \(fc\) leads nowhere"),
    ],
)
def test_edges_into_the_input_and_out_of_the_output_are_refused(
    labels: tuple[str, ...], edges: tuple[tuple[int, int], ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture(labels, (None,) * 3, edges)


def test_lists_and_numpy_integers_are_taken_as_fields() -> None:
    units = [None, np.int64(8), 16.0, None, None]
    lenient = Architecture(list(FIELDS["labels"]), units, np.array(FIELDS["edges"]), list(FIELDS["strides"]))  # type: ignore[arg-type]  # lists on purpose
    assert lenient == Architecture(**FIELDS)
    assert hash(lenient) == hash(Architecture(**FIELDS))


def test_strides_that_are_all_none_are_no_strides() -> None:
    assert Architecture(**{**FIELDS, "strides": (None,) * 5}).strides is None


@pytest.mark.parametrize(
    ("labels", "family"),
    [
        (("relu", "tanh", "softmax"), "mlp"),
        (("conv3", "max-pool", "fc", "softmax"), "cnn"),
        (("nor_conv_3x3",), "graph"),
        (("relu", "conv3", "softmax"), "graph"),
    ],
)
def test_the_family_follows_from_the_labels(labels: tuple[str, ...], family: str) -> None:
    assert chain(labels, [None] * len(labels)).family == family


def test_depth_counts_the_edges_of_the_longest_path() -> None:
    edges = ((0, 1), (1, 2), (2, 3), (0, 3), (3, 4))
    assert Architecture(("ip", "fc", "fc", "softmax", "op"), (None, 2, 2, None, None), edges).depth == 4


@settings(max_examples=50, deadline=None)
@given(ANY_NETWORK)
def test_json_gives_the_architecture_back(architecture: Architecture) -> None:
    assert Architecture.from_json(architecture.to_json()) == architecture
    assert Architecture.from_dict(architecture.to_dict()) == architecture


def test_json_keeps_strides() -> None:
    architecture = Architecture(**FIELDS)
    assert Architecture.from_json(architecture.to_json()).strides == FIELDS["strides"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "got text that is no JSON"),
        ("[1, 2]", "got JSON of type list, expected an object"),
        ('{"labels": ["ip", "op"]}', "got an architecture without units, edges"),
        ('{"labels": ["ip", "op"], "units": [null, null], "edges": [7]}', "got the edge 7, expected two layer indices"),
        ('{"labels": 3, "units": [], "edges": []}', "got labels = 3, expected a list"),
    ],
)
def test_json_that_is_no_architecture_is_refused_in_one_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Architecture.from_json(text)


@settings(max_examples=60, deadline=None)
@given(ANY_NETWORK, st.randoms(use_true_random=False))
def test_digest_and_canonical_form_do_not_depend_on_the_order_of_layers(
    architecture: Architecture, random: Any
) -> None:
    order = random.sample(range(len(architecture)), len(architecture))
    other = architecture.permuted(order)
    assert other.digest == architecture.digest
    assert other.canonical() == architecture.canonical()
    assert other.family == architecture.family
    assert other.depth == architecture.depth


@settings(max_examples=60, deadline=None)
@given(ANY_NETWORK)
def test_the_canonical_form_is_a_fixed_point_in_topological_order(architecture: Architecture) -> None:
    canonical = architecture.canonical()
    assert canonical.canonical() == canonical
    assert all(tail < head for tail, head in canonical.edges)
    assert (canonical.input, canonical.output) == (0, len(canonical) - 1)
    assert Architecture(canonical.labels, canonical.units, canonical.edges, canonical.strides) == canonical


@settings(max_examples=60, deadline=None)
@given(cnns(), st.data())
def test_networks_that_differ_in_units_label_stride_or_edge_have_different_digests(
    architecture: Architecture, data: st.DataObject
) -> None:
    layer = data.draw(st.integers(1, len(architecture) - 3))
    units, labels = list(architecture.units), list(architecture.labels)
    strides: list[int | None] = [None] * len(labels)
    units[layer], labels[layer], strides[layer] = 1000, "res7", 2
    changed = [
        Architecture(architecture.labels, tuple(units), architecture.edges),
        Architecture(tuple(labels), architecture.units, architecture.edges),
        Architecture(architecture.labels, architecture.units, architecture.edges, tuple(strides)),
    ]
    if (0, len(architecture) - 2) not in architecture.edges:
        edges = (*architecture.edges, (0, len(architecture) - 2))
        changed.append(Architecture(architecture.labels, architecture.units, edges))
    digests = {other.digest for other in (architecture, *changed)}
    assert len(digests) == 1 + len(changed)


@settings(max_examples=60, deadline=None)
@given(ANY_NETWORK, st.randoms(use_true_random=False))
def test_the_topological_order_has_every_layer_after_its_parents(architecture: Architecture, random: Any) -> None:
    shuffled = architecture.permuted(random.sample(range(len(architecture)), len(architecture)))
    place = {layer: i for i, layer in enumerate(shuffled.topological_order)}
    assert sorted(place) == list(range(len(shuffled)))
    assert all(place[tail] < place[head] for tail, head in shuffled.edges)


def test_permuted_puts_layer_order_i_at_index_i() -> None:
    architecture = Architecture(**FIELDS)
    permuted = architecture.permuted((4, 2, 0, 3, 1))
    assert permuted.labels == ("op", "conv5", "ip", "softmax", "conv3")
    assert permuted.units == (None, 16, None, None, 8)
    assert permuted.strides == (None, 2, None, None, 1)
    assert permuted.permuted((2, 4, 1, 3, 0)) == architecture


def test_permuted_refuses_what_is_no_permutation() -> None:
    with pytest.raises(ValueError, match=r"expected each index from 0 to 4 once; pass a permutation"):
        Architecture(**FIELDS).permuted((0, 1, 2, 3, 3))


def test_the_module_is_imported_without_numpy() -> None:
    program = "import sys, kernels.architecture; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_a_label_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="layer 1 has the label 3, expected a text"):
        Architecture(("ip", 3, "op"), (None, None, None), ((0, 1), (1, 2)))  # type: ignore[arg-type]  # wrong on purpose
