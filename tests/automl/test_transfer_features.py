"""Features mean the same in every task, whatever is missing, foreign or out of range."""

from __future__ import annotations

import numpy as np
import pytest

from automl.observations import Candidate
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.scales import normal_scores
from automl.transfer_features import FeatureMap, SourceTask, feature_map, thinned_rows
from tests.contracts.small_spaces import ChainSpace, ListedSpace, chain

PARAMETERS: dict[str, Parameter] = {
    "rate": Float(1e-4, 1.0, log=True),
    "depth": Int(1, 5),
    "kind": Categorical(("a", "b")),
}


def candidate(**values: Value) -> Candidate:
    return Candidate(None, values)


WHOLE = candidate(rate=1e-2, depth=3, kind="b")


def test_numbers_lie_on_the_targets_unit_scale_and_choices_in_columns_of_their_own() -> None:
    row = feature_map(PARAMETERS, [WHOLE])([WHOLE])[0]
    np.testing.assert_allclose(row, [0.5, 0.5, 0.0, np.sqrt(0.5)])


def test_features_of_one_hyperparameter_share_a_group() -> None:
    assert feature_map(PARAMETERS, [WHOLE]).groups == (0, 1, 2, 2)


@pytest.mark.parametrize(("rate", "expected"), [(1e-9, 0.0), (50.0, 1.0), (-3.0, 0.0), (0.0, 0.0)])
def test_values_out_of_range_are_clipped(rate: float, expected: float) -> None:
    other = candidate(rate=rate, depth=3, kind="b")
    assert feature_map(PARAMETERS, [WHOLE, other])([other])[0, 0] == expected


@pytest.mark.parametrize(
    ("other", "column"),
    [
        (candidate(depth=3, kind="b"), 1),
        (candidate(rate="fast", depth=3, kind="b"), 1),
        (candidate(rate=float("nan"), depth=3, kind="b"), 1),
        (candidate(rate=1e-2, depth=True, kind="b"), 2),
        (candidate(rate=1e-2, depth=3, kind="unknown"), 4),
    ],
)
def test_what_is_missing_or_no_value_of_the_parameter_says_so(other: Candidate, column: int) -> None:
    features = feature_map(PARAMETERS, [WHOLE, other])
    rows = features([WHOLE, other])
    assert rows.shape == (2, 5)
    assert rows[:, column].tolist() == [1.0, 0.0]
    assert np.isfinite(rows).all()


def test_foreign_hyperparameters_are_dropped() -> None:
    features = feature_map(PARAMETERS, [WHOLE])
    with_more = Candidate(None, {**WHOLE.hyperparameters, "momentum": 0.9})
    np.testing.assert_array_equal(features([with_more]), features([WHOLE]))


def test_graphs_of_other_spaces_are_described_by_the_same_columns() -> None:
    generator = np.random.default_rng(0)
    ours, theirs = ChainSpace(), ListedSpace()
    candidates = [space.sample(generator) for space in (ours, theirs) for _ in range(20)]
    rows = feature_map(ours.hyperparameters, candidates)(candidates)
    assert np.isfinite(rows).all()
    assert len(np.unique(rows[20:].round(6), axis=0)) == len({c.digest for c in candidates[20:]})


def test_sizes_lie_between_the_smallest_and_the_largest_that_are_known() -> None:
    small, middle, large = (Candidate(chain(["relu"] * n, [8 * n] * n)) for n in (1, 3, 5))
    features = feature_map({}, [small, large])
    huge, none = Candidate(chain(["relu"] * 9, [80] * 9)), Candidate(None)
    np.testing.assert_array_equal(features([small, large, huge, none])[:, :6].T, [[0, 1, 1, 0]] * 6)
    # Layers, edges and depth; units u in all, at most, and multiplied along edges: u^2 inside, u, u and 1 at the ends.
    logarithms = [np.log1p([n * u, u, (n - 1) * u**2 + 2 * u + 1]) for n, u in ((1, 8), (3, 24), (5, 40))]
    places = (logarithms[1] - logarithms[0]) / (logarithms[2] - logarithms[0])
    np.testing.assert_allclose(features([middle])[0, :6], [0.5, 0.5, 0.5, *places])


def test_the_order_of_layers_does_not_matter() -> None:
    graph = chain(("relu", "tanh"), (8, 16))
    other = graph.permuted([0, 2, 1, 3, 4])
    values: dict[str, Value] = {"learning_rate": 1e-2, "optimiser": "sgd"}
    pair = [Candidate(graph, values), Candidate(other, values)]
    space = ChainSpace()
    features = feature_map(space.hyperparameters, [*pair, *(space.sample(np.random.default_rng(i)) for i in range(9))])
    first, second = features(pair)
    np.testing.assert_array_equal(first, second)


def test_counts_of_patterns_together_vary_as_much_as_a_few_hyperparameters() -> None:
    space, generator = ChainSpace(), np.random.default_rng(0)
    candidates = [space.sample(generator) for _ in range(200)]
    features = feature_map({}, candidates)
    counted = features(candidates)[:, 6:]
    assert counted.var(axis=0).sum() == pytest.approx(1.0, rel=0.2)


def test_nothing_to_describe_gives_no_columns() -> None:
    assert FeatureMap({})([WHOLE]).shape == (1, 0)


def test_thinning_keeps_the_best_and_the_scores_among_all() -> None:
    losses = np.random.default_rng(0).random(200)
    task = SourceTask("past", tuple(candidate(depth=i) for i in range(200)), losses)
    few = task.thinned(40)
    assert len(few) == 40
    ranks = np.flatnonzero(np.isin(np.sort(losses), few.losses))
    assert ranks[:10].tolist() == list(range(10))
    spread = np.diff(ranks[10:])  # thirty more, from the eleventh to the worst
    assert (ranks[10], ranks[-1]) == (10, 199)
    assert spread.max() - spread.min() <= 1
    for kept, score in zip(few.candidates, few.scores, strict=True):
        assert score == normal_scores(losses)[int(kept.hyperparameters["depth"])]


def test_thinned_rows_are_distinct_and_ordered() -> None:
    rows = thinned_rows(np.zeros(50), 20)
    assert len(set(rows.tolist())) == 20
    assert (np.diff(rows) > 0).all()


def test_the_best_come_first() -> None:
    task = SourceTask("past", tuple(candidate(depth=i) for i in range(3)), np.array([2.0, 0.0, 1.0]))
    assert [c.hyperparameters["depth"] for c in task.best(2)] == [1, 2]


@pytest.mark.parametrize("losses", [[1.0], [1.0, np.nan], [np.inf, 0.0]])
def test_losses_that_are_not_finite_or_too_few_are_refused(losses: list[float]) -> None:
    with pytest.raises(ValueError, match="expected one finite loss each"):
        SourceTask("past", (WHOLE, WHOLE), np.array(losses))


def test_a_pattern_that_a_stack_repeats_counts_no_more_than_eight_times() -> None:
    deep, deeper, shallow = (Candidate(chain(["relu"] * n, [8] * n)) for n in (14, 40, 3))
    features = feature_map({}, [deep, deeper, shallow])
    counted = features([deep, deeper, shallow])[:, 6:]
    # The repeated layer among layers of its own kind is a pattern of all three, and as frequent in both deep ones.
    columns = (counted > 0).all(axis=0) & (counted[0] != counted[2])
    assert columns.any()
    np.testing.assert_array_equal(counted[0, columns], counted[1, columns])
