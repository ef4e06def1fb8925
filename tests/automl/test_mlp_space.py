"""MLPSpace: the laws of every space, and what its walk, its encoding and its limits do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Float, Int, Value
from automl.spaces.hyperparameters import default_hyperparameters
from automl.spaces.mlp import MLPSpace
from automl.spaces.registry import space_from_dict
from kernels.architecture import Architecture
from tests.contracts.space import SpaceContract

HYPERPARAMETERS: dict[str, Value] = {
    "learning_rate": 0.01,
    "weight_decay": 1e-4,
    "batch_size": 32,
    "dropout": 0.1,
    "optimizer": "adamw",
}


class TestMLPSpace(SpaceContract):
    def make_space(self) -> MLPSpace:
        return MLPSpace()


class TestDeepRegressionSpace(SpaceContract):
    def make_space(self) -> MLPSpace:
        return MLPSpace("regression", 2, 20, (1, 3), ("relu", "crelu"), {"learning_rate": Float(1e-3, 1.0, log=True)})


class TestArchitecturesAlone(SpaceContract):
    def make_space(self) -> MLPSpace:
        return MLPSpace(min_layers=1, max_layers=1, hyperparameters={})


def network(labels: tuple[str, ...], units: tuple[int, ...], edges: tuple[tuple[int, int], ...]) -> Candidate:
    """A classifier with these hidden layers, numbered from 1."""
    end = len(labels) + 1
    architecture = Architecture(("ip", *labels, "softmax", "op"), (None, *units, None, None), (*edges, (end, end + 1)))
    return Candidate(architecture.canonical(), HYPERPARAMETERS)


CHAIN = network(("relu", "tanh"), (16, 32), ((0, 1), (1, 2), (2, 3)))
SKIP = network(("relu", "tanh", "elu"), (16, 32, 64), ((0, 1), (1, 2), (1, 3), (2, 3), (3, 4)))
BRANCHES = network(("relu", "tanh", "elu"), (16, 32, 64), ((0, 1), (0, 2), (1, 3), (2, 4), (3, 4)))


def structure(candidate: Candidate) -> dict[str, Any]:
    encoded = MLPSpace().encode(candidate)
    return {name: value for name, value in encoded.items() if name not in HYPERPARAMETERS}


def test_a_chain_is_told_by_depth_activations_and_units_alone() -> None:
    assert structure(CHAIN) == {
        "depth": 2,
        "wiring": "chain",
        "layer1_activation": "relu",
        "layer1_units": 16,
        "layer2_activation": "tanh",
        "layer2_units": 32,
    }


def test_a_skip_is_told_by_how_far_back_it_starts() -> None:
    encoded = structure(SKIP)
    assert encoded["wiring"] == "skips"
    assert (encoded["layer2_skip"], encoded["layer3_skip"]) == (1, 2)
    assert "layer3_input" not in encoded


def test_branches_join_the_decision_layer() -> None:
    assert structure(BRANCHES)["wiring"] == "free"
    decoded = MLPSpace().decode(MLPSpace().encode(BRANCHES)).architecture
    assert decoded is not None
    assert len(decoded.parents[decoded.labels.index("softmax")]) == 2


def test_the_networks_to_begin_with_are_plain_chains_within_the_limits() -> None:
    graphs = [candidate.architecture for candidate in MLPSpace(max_layers=2, units=(8, 100)).initial]
    assert [None if graph is None else (graph.labels[1:-2], graph.units[1:-2]) for graph in graphs] == [
        (("relu", "relu"), (100, 100)),
        ((), ()),
        (("elu", "elu"), (100, 100)),
        (("tanh",), (64,)),
    ]
    assert [candidate.hyperparameters["learning_rate"] for candidate in MLPSpace().initial] == [3e-3, 1e-2, 1e-3, 1e-2]
    assert [len(candidate.architecture or ()) for candidate in MLPSpace(min_layers=2).initial] == [5, 6, 5]


def test_a_network_without_layers_is_linear_and_grows_by_mutation() -> None:
    space, generator = MLPSpace(), np.random.default_rng(0)
    linear = network((), (), ((0, 1),))
    assert structure(linear) == {"depth": 0}
    assert space.decode(space.encode(linear)) == linear
    mutants = [space.mutate(linear, generator) for _ in range(30)]
    assert all(space.decode(space.encode(mutant)) == mutant != linear for mutant in mutants)
    assert {len(mutant.architecture or ()) for mutant in mutants} >= {3, 4}
    assert any(space.mutate(mutant, generator).architecture == linear.architecture for mutant in mutants)


def test_a_network_without_layers_is_refused_where_layers_are_asked_for() -> None:
    with pytest.raises(ValueError, match="network of 0 layers with parameters, expected 1 to 8"):
        MLPSpace(min_layers=1).encode(network((), (), ((0, 1),)))


def test_networks_to_begin_with_that_limits_make_alike_are_one() -> None:
    space = MLPSpace(min_layers=1, max_layers=1, units=(8, 16), activations=("relu",), hyperparameters={})
    assert len(space.initial) == 1


def test_a_layer_asks_for_at_most_four_parameters() -> None:
    names = MLPSpace(max_layers=5).parameters
    assert [sum(name.startswith(f"layer{layer}_") for name in names) for layer in range(1, 6)] == [2, 4, 4, 4, 4]


def test_uniform_draws_reach_every_depth_and_kind_of_wiring_and_are_mostly_narrow() -> None:
    space, generator = MLPSpace(), np.random.default_rng(0)
    assignments = [space.encode(space.sample(generator)) for _ in range(400)]
    assert {assignment["depth"] for assignment in assignments} == set(range(9))
    wirings = [assignment.get("wiring", "chain") for assignment in assignments]
    assert wirings.count("chain") > max(wirings.count("skips"), wirings.count("free"))
    assert min(wirings.count("skips"), wirings.count("free")) > 40


def test_the_decision_layer_follows_the_kind_of_task() -> None:
    regression = MLPSpace().for_task("regression")
    architecture = regression.sample(np.random.default_rng(0)).architecture
    assert architecture is not None and "linear" in architecture.labels
    assert MLPSpace().for_task("classification") == MLPSpace()
    with pytest.raises(ValueError, match="0 decision layers 'linear'"):
        regression.encode(CHAIN)


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (network(("relu",), (4,), ((0, 1), (1, 2))), "layer1_units = 4"),
        (network(("relu",) * 9, (16,) * 9, tuple((i, i + 1) for i in range(10))), "network of 9 layers"),
        (
            network(("relu",) * 4, (8, 9, 10, 11), ((0, 1), (0, 2), (0, 3), (1, 4), (2, 4), (3, 4), (4, 5))),
            "reads from 3 layers",
        ),
        (network(("relu", "elu"), (8, 8), ((0, 1), (1, 2), (1, 3), (2, 3))), "whose end reads layers"),
        (Candidate(None, HYPERPARAMETERS), "without an architecture"),
        (Candidate(CHAIN.architecture, HYPERPARAMETERS | {"dropout": 0.9}), "dropout = 0.9"),
    ],
)
def test_networks_outside_the_space_are_refused_with_the_reason(candidate: Candidate, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPSpace().encode(candidate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_layers": 5, "max_layers": 2}, "min_layers and max_layers from 5 to 2"),
        ({"min_layers": -1}, "from -1 to 8"),
        ({"units": (64, 8)}, "units from 64 to 8"),
        ({"units": 8}, "got units = 8, expected the fewest and the most"),
        ({"units": (8, 16, 32)}, "got units = \\(8, 16, 32\\), expected the fewest and the most"),
        ({"max_layers": True}, "min_layers and max_layers from 0 to True, expected whole numbers"),
        ({"max_layers": 2.5}, "min_layers and max_layers from 0 to 2.5, expected whole numbers"),
        ({"activations": ()}, "none at all"),
        ({"activations": ("relu", "gelu")}, r"unknown ones \['gelu'\]"),
        ({"activations": ("relu", "relu")}, "repeated ones"),
        ({"task_kind": "ranking"}, "task kind 'ranking'"),
        ({"hyperparameters": {"depth": Int(1, 2)}}, r"hyperparameters \['depth'\]"),
    ],
)
def test_limits_that_leave_no_network_are_refused_with_the_reason(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPSpace(**arguments)


def test_a_dict_of_no_known_space_is_refused() -> None:
    with pytest.raises(ValueError, match="space of type 'transformer'"):
        space_from_dict({"type": "transformer"})
    with pytest.raises(ValueError, match="width"):
        space_from_dict(MLPSpace().to_dict() | {"width": 3})


def test_the_default_hyperparameters_are_those_that_the_trainer_understands() -> None:
    assert list(default_hyperparameters()) == list(HYPERPARAMETERS)
    assert all(parameter.contains(HYPERPARAMETERS[name]) for name, parameter in default_hyperparameters().items())


def test_a_hyperparameter_without_a_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got the hyperparameter learning_rate = 3, expected a range such as Float"):
        MLPSpace(hyperparameters={"learning_rate": 3})  # type: ignore[dict-item]  # what a user may write
