"""Classical multidimensional scaling."""

from __future__ import annotations

import numpy as np
import pytest

from automl.pictures.multidimensional_scaling import classical_scaling


def test_points_of_the_plane_get_their_distances_back() -> None:
    points = np.random.default_rng(0).normal(size=(12, 2))
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    scaled = classical_scaling(distances)
    assert np.allclose(np.linalg.norm(scaled[:, None] - scaled[None], axis=-1), distances)
    assert np.allclose(scaled.mean(axis=0), 0.0)


def test_the_widest_direction_comes_first() -> None:
    points = np.random.default_rng(1).normal(size=(30, 2)) * (0.1, 5.0)
    spread = classical_scaling(np.linalg.norm(points[:, None] - points[None], axis=-1)).std(axis=0)
    assert spread[0] > spread[1]


def test_distances_that_no_plane_holds_still_give_finite_points() -> None:
    distances = np.ones((5, 5)) - np.eye(5)
    distances[0, 1] = distances[1, 0] = 3.0  # breaks the triangle inequality
    assert np.isfinite(classical_scaling(distances)).all()


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_points_lie_at_the_origin(n: int) -> None:
    assert np.array_equal(classical_scaling(np.zeros((n, n))), np.zeros((n, 2)))


def test_an_array_that_is_not_square_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a square array"):
        classical_scaling(np.zeros((2, 3)))
