"""Splits: disjoint parts that hold every row and every class, whatever the shares."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.splits import split


@settings(max_examples=100, deadline=None)
@given(
    sizes=st.lists(st.integers(3, 12), min_size=1, max_size=4),
    validation_fraction=st.floats(0.01, 0.98),
    test_fraction=st.floats(0.0, 0.98),
    seed=st.integers(0, 99),
)
def test_parts_are_disjoint_hold_all_rows_and_each_class(
    sizes: list[int], validation_fraction: float, test_fraction: float, seed: int
) -> None:
    strata = np.repeat(np.arange(len(sizes), dtype=np.intp), sizes)
    train, validation, test = split(strata, seed, validation_fraction, test_fraction)
    assert sorted([*train, *validation, *test]) == list(range(len(strata)))
    for part in (train, validation, test) if test_fraction else (train, validation):
        assert set(strata[part]) == set(strata)


def test_rows_that_are_tested_on_are_not_trained_on_where_a_class_has_as_few_as_parts() -> None:
    strata = np.repeat(np.arange(2, dtype=np.intp), [3, 40])
    train, _, test = split(strata, 0, validation_fraction=0.1, test_fraction=0.85)
    assert not set(train) & set(test)


@given(
    classes=st.lists(st.integers(3, 40), min_size=2, max_size=6),
    seed=st.integers(0, 99),
    shares=st.tuples(st.floats(0.05, 0.6), st.floats(0.0, 0.35)),
)
@settings(max_examples=40, deadline=None)
def test_parts_are_disjoint_complete_and_hold_every_class_in_its_share(
    classes: list[int], seed: int, shares: tuple[float, float]
) -> None:
    strata = np.repeat(np.arange(len(classes)), classes)
    parts = split(strata, seed, *shares)
    assert sorted(np.concatenate(parts)) == list(range(len(strata)))
    for part, share in zip(parts[1:], shares, strict=True):
        counts = np.bincount(strata[part], minlength=len(classes))
        assert all(abs(count - n * share) <= 1.5 for count, n in zip(counts, classes, strict=True))
    assert np.bincount(strata[parts[0]], minlength=len(classes)).min() >= 1
    assert all(np.array_equal(a, b) for a, b in zip(parts, split(strata, seed, *shares), strict=True))
