"""Meta-features tell alike tasks from others."""

from __future__ import annotations

import math

import numpy as np
import pytest

from automl.meta_features import meta_features, nearest_tasks
from automl.task import Task


def task(*, n: int = 80, classes: int = 2, noise: float = 0.0, seed: int = 0) -> Task:
    """Rows whose class is where the first of three inputs lies."""
    generator = np.random.default_rng(seed)
    inputs = generator.random((n, 3))
    labels = np.floor(classes * inputs[:, 0]).astype(int)
    flipped = generator.random(n) < noise
    labels[flipped] = generator.integers(0, classes, int(flipped.sum()))
    return Task.from_arrays(inputs, [f"class {label}" for label in labels], seed=seed)


def test_sizes_and_classes_are_told() -> None:
    found = meta_features(task(n=100, classes=4))
    assert found["is_classification"] == 1.0
    assert found["log_features"] == pytest.approx(math.log(3))
    assert found["log_classes"] == pytest.approx(math.log(4))
    assert all(math.isfinite(value) for value in found.values())


def test_landmarks_are_higher_where_the_classes_can_be_told() -> None:
    clear, noisy = meta_features(task()), meta_features(task(noise=1.0))
    assert clear["linear_landmark"] > noisy["linear_landmark"]


def test_a_linear_regression_has_a_linear_landmark_near_one() -> None:
    inputs = np.random.default_rng(0).random((120, 3))
    found = meta_features(Task.from_arrays(inputs, inputs @ [1.0, -2.0, 0.5], kind="regression"))
    assert found["linear_landmark"] > 0.8
    assert found["is_classification"] == 0.0


def test_the_nearest_task_is_the_one_alike() -> None:
    own, alike = meta_features(task(seed=0)), meta_features(task(seed=1))
    inputs = np.random.default_rng(0).random((300, 9))
    other = meta_features(Task.from_arrays(inputs, inputs[:, 0], kind="regression"))
    assert nearest_tasks(own, [other, alike, {}], 1) == [1]


def test_tasks_without_meta_features_come_last() -> None:
    assert nearest_tasks({"a": 1.0}, [{}, {"a": 5.0}, {"a": 1.0}], 2) == [1, 2]
    assert nearest_tasks({}, [{"a": 5.0}, {"a": 1.0}], 1) == [0]
