"""Candidates and observations: identity by content, immutability, and what is refused."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest

from automl.observations import Candidate, Observations
from automl.parameters import Value
from kernels.architecture import Architecture

NETWORK = Architecture(
    ("ip", "relu", "tanh", "softmax", "op"), (None, 8, 16, None, None), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
)
RATES: dict[str, Value] = {"learning_rate": 0.01, "optimizer": "sgd"}


def test_a_candidate_is_a_value() -> None:
    given = dict(RATES)
    candidate = Candidate(NETWORK, given)
    given["learning_rate"] = 1.0
    assert candidate == Candidate(NETWORK, RATES)
    assert hash(candidate) == hash(Candidate(NETWORK, dict(reversed(RATES.items()))))
    assert candidate != Candidate(NETWORK, RATES | {"learning_rate": 0.02})
    assert candidate != Candidate(None, RATES)
    with pytest.raises(TypeError):
        candidate.hyperparameters["learning_rate"] = 1.0  # type: ignore[index]  # that it cannot is what is tested


def test_a_candidate_survives_json_and_pickle() -> None:
    candidate = Candidate(NETWORK, RATES)
    assert Candidate.from_dict(json.loads(json.dumps(candidate.to_dict()))) == candidate
    assert pickle.loads(pickle.dumps(candidate)) == candidate
    bare = Candidate(None, RATES)
    assert Candidate.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare


def test_digests_are_equal_for_isomorphic_networks_and_different_for_other_hyperparameters() -> None:
    candidate = Candidate(NETWORK, RATES)
    assert Candidate(NETWORK.permuted([0, 2, 1, 3, 4]), dict(reversed(RATES.items()))).digest == candidate.digest
    digests = {
        candidate.digest,
        Candidate(None, RATES).digest,
        Candidate(NETWORK, {}).digest,
        Candidate(NETWORK, RATES | {"learning_rate": 0.02}).digest,
    }
    assert len(digests) == 4


def candidates(n: int) -> tuple[Candidate, ...]:
    return tuple(Candidate(None, {"x": i}) for i in range(n))


def test_observations_keep_the_candidates_that_they_were_given() -> None:
    given, failed = list(candidates(2)), list(candidates(1))
    observations = Observations(given, np.zeros(2), failed=failed)  # type: ignore[arg-type]  # lists on purpose
    given.clear()
    failed.clear()
    assert observations.candidates == candidates(2)
    assert observations.failed == candidates(1)


def test_observations_start_empty() -> None:
    empty = Observations()
    assert len(empty) == 0
    assert empty.values.shape == (0, 1)
    assert empty.digests == frozenset()


def test_one_list_of_values_is_one_objective() -> None:
    observed = Observations(candidates(3), np.array([1.0, 2.0, 3.0]))
    assert observed.values.shape == (3, 1)
    assert Observations(candidates(3), np.zeros((3, 2))).values.shape == (3, 2)


def test_everything_seen_is_remembered_by_digest() -> None:
    a, b, c, d = candidates(4)
    observed = Observations((a, b), np.array([[1.0], [2.0]]), pending=(c,), failed=(d,))
    assert observed.digests == {a.digest, b.digest, c.digest, d.digest}


def test_first_observations_are_values_alone() -> None:
    a, b, c, d = candidates(4)
    first = Observations((a, b), np.array([[1.0], [2.0]]), pending=(c,), failed=(d,)).first(1)
    assert (first.candidates, first.values.tolist(), first.pending, first.failed) == ((a,), [[1.0]], (), ())


def test_further_pending_candidates_join_those_that_are() -> None:
    a, b, c, d = candidates(4)
    observed = Observations((a,), np.array([1.0]), pending=(b,), failed=(d,)).with_pending([c])
    assert (observed.candidates, observed.pending, observed.failed) == ((a,), (b, c), (d,))


def test_values_cannot_be_changed_and_the_callers_own_array_stays_writable() -> None:
    given = np.array([[1.0], [2.0]])
    observed = Observations(candidates(2), given)
    with pytest.raises(ValueError, match="read-only"):
        observed.values[0, 0] = 5.0
    given[0, 0] = 7.0
    assert observed.values[0, 0] == 1.0


@pytest.mark.parametrize(
    ("n", "values", "message"),
    [
        (2, np.zeros((3, 1)), r"got values of the shape \(3, 1\) for 2 candidates"),
        (2, np.array([[1.0], [np.nan]]), "NaN or infinite"),
        (1, np.array([[np.inf]]), "NaN or infinite"),
        (0, np.zeros((2, 1)), r"got values of the shape \(2, 1\) for 0 candidates"),
        (2, np.zeros((2, 1, 1)), r"got values of the shape \(2, 1, 1\) for 2 candidates"),
        (2, ["a", "b"], r"got the values \['a', 'b'\], expected numbers"),
        (2, np.zeros(3), r"got values of the shape \(3, 1\) for 2 candidates"),
    ],
)
def test_values_that_are_no_losses_of_the_candidates_are_refused(n: int, values: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Observations(candidates(n), values)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([NETWORK], "got a Architecture among candidates, expected Candidate"),
        (3, "got candidates = 3, expected a list"),
    ],
)
def test_what_is_no_list_of_candidates_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Observations(given, np.zeros((1, 1)))


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, 1.0)])
def test_candidates_are_equal_where_their_digests_are(one: Value, other: Value) -> None:
    first, second = Candidate(NETWORK, {"nesterov": one}), Candidate(NETWORK, {"nesterov": other})
    assert first.digest != second.digest
    assert first != second
    assert first == Candidate(NETWORK, {"nesterov": one})


def test_a_candidate_takes_the_numbers_of_numpy_as_plain_ones() -> None:
    candidate = Candidate(None, {"batch_size": np.int64(32), "dropout": np.float64(0.5)})  # type: ignore[dict-item]  # as NumPy's users write
    assert candidate == Candidate(None, {"batch_size": 32, "dropout": 0.5})
    assert candidate.digest == Candidate(None, {"batch_size": 32, "dropout": 0.5}).digest
