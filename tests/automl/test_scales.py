"""Scales: ranks as normal quantiles, and the tie between a shared scale and a task's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from automl.scales import normal_scores, tie

VALUES = st.lists(st.integers(-20, 20), min_size=1, max_size=30).map(lambda values: np.array(values, dtype=np.float64))


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_normal_scores_keep_the_order_are_symmetric_and_blind_to_increasing_transforms(values: np.ndarray) -> None:
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
    mean, variance = generator.normal(2.0, 0.5, 20_000), generator.uniform(0.0, 1.0, 20_000)
    truth = mean + np.sqrt(variance) * generator.standard_normal(20_000)
    assert tie(50.0 + 7.0 * truth, mean, variance) == pytest.approx((50.0, 7.0), rel=0.02)


def test_values_that_do_not_vary_or_of_which_nothing_was_foreseen_are_tied_at_scale_one() -> None:
    flat, varied, zeros = np.full(3, 5.0), np.array([1.0, 2.0, 6.0]), np.zeros(3)
    assert tie(flat, varied, zeros) == (2.0, 1.0)
    assert tie(varied, flat, zeros) == (-2.0, 1.0)
