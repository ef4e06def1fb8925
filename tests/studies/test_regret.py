"""Statistics of regrets: worked by hand, and against normal approximations."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from studies.benchmark.regret import confidence_band, incumbents, paired_p_value, summary


@settings(max_examples=50, deadline=None)
@given(losses=st.lists(st.floats(-10, 10), min_size=1, max_size=30))
def test_the_incumbent_is_the_first_of_the_least_losses_so_far(losses: list[float]) -> None:
    assert incumbents(losses).tolist() == [int(np.argmin(losses[: t + 1])) for t in range(len(losses))]


def test_a_summary_has_the_mean_and_its_standard_error() -> None:
    found = summary([1.0, 2.0, 3.0, 6.0])
    assert found.mean == 3.0
    assert found.standard_error == pytest.approx(np.sqrt(14 / 3) / 2)
    assert str(found) == "3 +- 1.1"


def test_a_single_seed_has_no_standard_error() -> None:
    assert np.isnan(summary([2.5]).standard_error)
    assert str(summary([2.5])) == "2.5"


def test_the_band_holds_the_mean_and_narrows_with_more_seeds() -> None:
    generator = np.random.default_rng(0)
    few, many = generator.exponential(size=(8, 5)), generator.exponential(size=(200, 5))
    for curves in (few, many):
        low, mean, high = confidence_band(curves)
        assert mean == pytest.approx(curves.mean(axis=0))
        assert (low <= mean).all()
        assert (mean <= high).all()
    assert np.subtract(*confidence_band(many)[::2]).max() > np.subtract(*confidence_band(few)[::2]).max()


def test_the_band_of_many_seeds_is_that_of_the_normal_approximation() -> None:
    curves = np.random.default_rng(1).normal(size=(400, 1))
    low, mean, high = confidence_band(curves, n_resamples=4000)
    error = curves.std(ddof=1) / 20
    assert low[0] == pytest.approx(mean[0] - 1.96 * error, abs=0.15 * error)
    assert high[0] == pytest.approx(mean[0] + 1.96 * error, abs=0.15 * error)


def test_the_paired_test_counts_signed_ranks() -> None:
    # Six pairs, all in favour of the first: two-sided p = 2 / 2^6 (Wilcoxon 1945, exact distribution).
    ours = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    assert paired_p_value(ours, 2 * ours) == pytest.approx(2 / 64)


def test_pairs_that_tie_keep_their_ranks_but_are_not_counted() -> None:
    # Two ties leave the ranks 3 to 10, of whose 2^8 sets 15 sum to at most 10, the rank of the only loss (Pratt 1959).
    differences = np.array([0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, -8.0])
    assert paired_p_value(differences, np.zeros(10)) == pytest.approx(2 * 15 / 256)


def test_equal_regrets_are_no_evidence() -> None:
    assert paired_p_value([0.0, 0.1], [0.0, 0.1]) == 1.0


def test_regrets_of_unequal_numbers_of_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="compare the seeds that both samplers have"):
        paired_p_value([0.1], [0.1, 0.2])
