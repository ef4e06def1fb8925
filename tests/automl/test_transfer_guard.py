"""The guard follows the evidence."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from automl.transfer_guard import (
    clearly_against,
    contradicting,
    largest_weight,
    leads,
    mirror_is_likelier,
    prior_log_odds,
    reached,
    transfer_weight,
)


def test_the_weight_is_the_softmax_of_the_summed_log_densities() -> None:
    with_sources, without = np.array([-1.0, -2.0]), np.array([-1.5, -2.5])
    expected = math.exp(-3.0) / (math.exp(-3.0) + math.exp(-4.0))
    assert transfer_weight(with_sources, without) == pytest.approx(expected)


def test_prior_odds_add_to_the_evidence() -> None:
    zeros = np.zeros(4)
    assert transfer_weight(zeros, zeros, log_odds=2.0) == pytest.approx(1.0 / (1.0 + math.exp(-2.0)))


def test_overwhelming_evidence_gives_a_finite_weight() -> None:
    assert 0.0 < transfer_weight(np.array([-1e9]), np.zeros(1)) < 1e-9


def test_different_numbers_of_values_are_refused() -> None:
    with pytest.raises(ValueError, match="expected as many of both"):
        transfer_weight(np.zeros(2), np.zeros(3))


def test_sources_that_do_not_foretell_one_another_get_no_prior_odds() -> None:
    assert prior_log_odds(-0.5, 5) == 0.0
    assert prior_log_odds(0.9, 5) > prior_log_odds(0.9, 40) > 0.0


def test_sources_that_foretell_one_another_exactly_get_finite_prior_odds() -> None:
    assert prior_log_odds(0.9, 5) < prior_log_odds(1.0, 5) < math.inf


def test_a_flipped_source_contradicts_and_a_true_one_does_not() -> None:
    values = np.array([3.0, 1.0, 2.0, 5.0, 4.0])
    expected = np.column_stack([values, -values, values**3])
    assert contradicting(expected, values) == [1]


def test_a_correlation_that_chance_explains_is_no_clear_contradiction() -> None:
    values = np.arange(8.0)
    weak, strong = np.array([1.0, 0, 3, 2, 5, 4, 7, 6]), -values
    assert contradicting(np.column_stack([-weak[::-1], strong, weak]), values, 1.5) == [1]


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(3, 9), st.sampled_from([0.0, 0.5, 1.5]))
def test_the_correlation_is_spearmans_and_each_source_has_its_own(
    data: st.DataObject, n: int, deviations: float
) -> None:
    orders = st.permutations(range(n)).map(lambda order: np.array(order, dtype=np.float64))
    values, expected = data.draw(orders), np.column_stack(data.draw(st.lists(orders, min_size=1, max_size=4)))
    below = [spearmanr(column, values).statistic * math.sqrt(n - 1) + deviations for column in expected.T]
    assume(min(map(abs, below)) > 1e-9)
    assert contradicting(expected, values, deviations) == [source for source, z in enumerate(below) if z < 0]


def test_the_less_sources_agree_the_less_it_takes_to_disbelieve_them() -> None:
    generator = np.random.default_rng(0)
    expected = np.arange(12.0)
    values = -expected + 9.0 * generator.standard_normal(12)  # Runs against, by one to two deviations of chance.
    assert contradicting(expected[:, None], values, clearly_against(0.5)) == [0]
    assert contradicting(expected[:, None], values, clearly_against(0.97)) == []


def test_constant_values_contradict_nobody() -> None:
    assert contradicting(np.random.default_rng(0).random((5, 3)), np.ones(5)) == []


def test_checkpoints_are_reached_one_after_the_other() -> None:
    assert [len(reached(n)) for n in (0, 4, 5, 10, 19, 20, 500)] == [0, 0, 1, 2, 2, 3, 3]


def test_sources_that_explain_less_than_half_of_one_another_do_not_lead() -> None:
    assert leads(math.sqrt(0.5))
    assert not leads(0.65)
    assert not leads(math.nan)


def test_the_less_sources_agree_and_the_more_values_there_are_the_less_they_may_say() -> None:
    assert largest_weight(0.4, 20) == largest_weight(math.nan, 5) == 1.0
    assert largest_weight(0.9, 100) > largest_weight(0.4, 100) > largest_weight(0.4, 300) > 0.4**2
    assert largest_weight(1.0, 10_000) == 1.0
    assert largest_weight(math.nan, 100) == largest_weight(0.0, 100) == pytest.approx(0.2)


def test_the_mirror_image_must_be_likelier_than_the_odds_allow() -> None:
    assert mirror_is_likelier(-20.0, -15.0, prior_log_odds(0.4, 5))
    assert not mirror_is_likelier(-20.0, -15.0, prior_log_odds(0.9, 5))
    assert not mirror_is_likelier(-15.0, -20.0, 0.0)
