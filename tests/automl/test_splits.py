"""Splits: disjoint parts that hold every row and every class, whatever the shares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automl.data.splits import split, strata_of
from automl.data.targets import TargetCoding
from automl.errors import InputError


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


def test_each_part_is_sorted_and_which_rows_it_holds_is_up_to_the_seed() -> None:
    strata = np.zeros(50, dtype=np.intp)
    first, second = split(strata, 0, 0.3, 0.2), split(strata, 1, 0.3, 0.2)
    for ours, theirs in zip(first, second, strict=True):
        assert (np.diff(ours) > 0).all()
        assert not np.array_equal(ours, theirs)


@pytest.mark.parametrize(("n", "n_strata"), [(100, 10), (1000, 10), (57, 5), (9, 1)])
def test_the_strata_of_numbers_are_ranges_of_ranks_tenths_where_rows_suffice_for_ten_of_each(
    n: int, n_strata: int
) -> None:
    values = np.random.default_rng(n).permutation(n).astype(np.float64) ** 3  # far from evenly spread
    strata = strata_of(values, TargetCoding("y", "regression"), 2)
    counts = np.bincount(strata)
    assert len(counts) == n_strata
    assert counts.max() - counts.min() <= 1
    assert (np.diff(strata[np.argsort(values)]) >= 0).all()


def test_classes_with_too_few_rows_are_named_and_others_are_not() -> None:
    column = np.array(["few"] * 2 + ["many"] * 9 + ["single"], dtype=object)
    coding = TargetCoding("y", "classification", ("few", "many", "single"))
    np.testing.assert_array_equal(strata_of(column, coding, 1), [0] * 2 + [1] * 9 + [2])
    with pytest.raises(InputError, match=r"'y' has 2 of 3 classes with too few rows: 'few' \(2\), 'single' \(1\);"):
        strata_of(column, coding, 3)
