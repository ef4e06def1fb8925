"""The greedy portfolio covers tasks one after the other."""

from __future__ import annotations

import numpy as np
import pytest

from automl.portfolio import greedy_portfolio, relative_ranks


def test_the_first_candidate_has_the_best_average_rank() -> None:
    losses = np.array([[1.0, 2.0, 3.0], [30.0, 10.0, 20.0], [3.0, 1.0, 2.0]])
    assert greedy_portfolio(losses, 1) == [1]


def test_the_second_candidate_serves_the_tasks_that_the_first_does_not() -> None:
    losses = np.array([[0.0, 1.0, 5.0], [0.0, 1.0, 5.0], [9.0, 8.0, 0.0]])
    assert greedy_portfolio(losses, 2) == [0, 2]


def test_units_of_a_task_do_not_matter() -> None:
    losses = np.random.default_rng(0).random((4, 9))
    scaled = losses * np.array([[1.0], [1e3], [1e-3], [5.0]]) + 7.0
    assert greedy_portfolio(losses, 5) == greedy_portfolio(scaled, 5)


def test_what_was_tried_is_not_chosen_again_and_counts_as_covered() -> None:
    losses = np.array([[0.0, 1.0, 5.0], [9.0, 8.0, 0.0]])
    assert greedy_portfolio(losses, 3, tried=[0])[0] == 2
    assert sorted(greedy_portfolio(losses, 3, tried=[0])) == [1, 2]


def test_unknown_entries_count_as_worst() -> None:
    assert relative_ranks(np.array([[np.nan, 2.0, 1.0]])).tolist() == [[1.0, 1.0, 0.0]]


def test_an_empty_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"got losses of shape \(0, 3\)"):
        greedy_portfolio(np.empty((0, 3)), 1)
