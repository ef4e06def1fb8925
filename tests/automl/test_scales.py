"""Scales: orders are kept, units and outliers do not matter; and the tie between a shared scale and a task's own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

from automl.scales import comparable, excess_scores, normal_scores, tie

VALUES = st.lists(st.integers(-20, 20), min_size=1, max_size=30).map(lambda values: np.array(values, dtype=np.float64))


@given(st.lists(st.floats(-1e308, 1e308), min_size=1, max_size=12))
@example([0.0, 0.0, 0.0, 4469617551094705.0, 1.026134200324594e19])  # the quotient was rounded up beyond the bound
@example([-1e308, 0.0, 1e308])  # the difference overflows
@example([-1e308, 1e-9, 2e-9])  # the quotient by the largest overflows
@example([0.0, 1e-320, 1e-320, 1e-320, 1.0])  # the quotient by the quartile overflows
@settings(max_examples=30, deadline=None)
def test_comparable_losses_are_small_numbers_in_the_same_order(losses: list[float]) -> None:
    found = comparable(np.array(losses))
    assert found.min() == 0.0
    assert found.max() <= 10.0
    order = np.argsort(losses, kind="stable")
    assert (np.diff(found[order]) >= 0.0).all()


def test_an_exploded_training_is_merely_a_bad_one() -> None:
    found = comparable(np.array([0.1, 0.2, 0.3, 0.5, 1e30]))
    np.testing.assert_allclose(found, [0.0, 0.25, 0.5, 1.0, 10.0])
    np.testing.assert_array_equal(comparable(np.array([3.0, 3.0])), [0.0, 0.0])


def test_where_three_quarters_are_the_least_the_worst_is_the_unit() -> None:
    np.testing.assert_allclose(comparable(np.array([3.0] * 7 + [3.5, 4.0])), [0.0] * 7 + [0.5, 1.0])


@given(
    st.lists(st.floats(0.0, 100.0), min_size=2, max_size=12, unique=True),
    st.floats(0.1, 1000.0),
    st.floats(-100.0, 100.0),
)
@settings(max_examples=30, deadline=None)
def test_scores_do_not_depend_on_the_units_and_keep_the_order(losses: list[float], scale: float, offset: float) -> None:
    values = np.array(losses)
    assume(np.diff(np.sort(values)).min() > 1e-3)
    for scores in (normal_scores, excess_scores):
        found = scores(values)
        np.testing.assert_allclose(scores(scale * values + offset), found, atol=1e-6)
        assert (np.diff(found[values.argsort()]) >= 0.0).all()


def test_excess_scores_are_standardised_logarithms() -> None:
    values = np.array([1.0, 2.0, 3.0, 5.0, 9.0])  # the upper quartile lies 4 above the least
    expected = np.log1p((values - 1.0) / 4.0)
    np.testing.assert_allclose(excess_scores(values), (expected - expected.mean()) / expected.std())


@pytest.mark.parametrize("scores", [normal_scores, excess_scores])
def test_constant_losses_have_scores_of_zero(scores: Callable[[NDArray[np.float64]], NDArray[np.float64]]) -> None:
    np.testing.assert_array_equal(scores(np.full(3, 7.0)), np.zeros(3))


def test_excess_scores_tell_a_narrow_lead_from_a_wide_one() -> None:
    narrow, wide = excess_scores(np.array([1.0, 1.01, 3.0, 4.0])), excess_scores(np.array([1.0, 2.9, 3.0, 4.0]))
    assert narrow[1] - narrow[0] < 0.05
    assert wide[1] - wide[0] > 1.0


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_normal_scores_keep_the_order_are_symmetric_and_blind_to_increasing_transforms(
    values: NDArray[np.float64],
) -> None:
    scores = normal_scores(values)
    np.testing.assert_array_equal(np.sign(scores[:, None] - scores), np.sign(values[:, None] - values))
    np.testing.assert_allclose(normal_scores(-values), -scores, atol=1e-12)
    np.testing.assert_array_equal(normal_scores(np.exp(values / 4.0)), scores)


def test_normal_scores_are_quantiles_at_bloms_positions() -> None:
    expected = norm.ppf([(5 - 0.375) / 5.25, (1.5 - 0.375) / 5.25, (1.5 - 0.375) / 5.25, 0.5, (4 - 0.375) / 5.25])
    np.testing.assert_allclose(normal_scores(np.array([9.0, 1.0, 1.0, 2.0, 7.0])), expected, atol=1e-12)
    assert normal_scores(np.empty(0)).shape == (0,)
    assert not normal_scores(np.full(4, 3.0)).any()


def test_a_tie_finds_the_offset_and_scale_that_made_the_values_of_what_was_foreseen_and_how_unsurely() -> None:
    generator = np.random.default_rng(0)
    mean, variance = generator.normal(2.0, 0.5, 20_000), generator.exponential(0.5, 20_000)
    truth = mean + np.sqrt(variance) * generator.standard_normal(20_000)
    assert tie(50.0 + 7.0 * truth, mean, variance) == pytest.approx((50.0, 7.0), rel=0.02)


def test_values_that_do_not_vary_or_of_which_nothing_was_foreseen_are_tied_at_scale_one() -> None:
    flat, varied, zeros = np.full(3, 5.0), np.array([1.0, 2.0, 6.0]), np.zeros(3)
    assert tie(flat, varied, zeros) == (2.0, 1.0)
    assert tie(varied, flat, zeros) == (-2.0, 1.0)
