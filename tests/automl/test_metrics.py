"""Metrics against scikit-learn's functions of the same names."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sklearn.metrics as reference

from automl.data.metrics import METRICS, find_metric, metrics_for
from automl.errors import InputError


@pytest.mark.parametrize("n_classes", [2, 5])
def test_classification_metrics_agree_with_scikit_learn(n_classes: int) -> None:
    generator = np.random.default_rng(n_classes)
    targets = generator.integers(n_classes, size=200)
    probabilities = np.round(generator.dirichlet(np.ones(n_classes), 200), 2)  # rounded, so that scores tie
    probabilities = np.clip(probabilities, 1e-3, None)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    predicted = probabilities.argmax(axis=1)
    expected = {
        "log_loss": reference.log_loss(targets, probabilities),
        "accuracy": reference.accuracy_score(targets, predicted),
        "balanced_accuracy": reference.balanced_accuracy_score(targets, predicted),
        "f1_macro": reference.f1_score(targets, predicted, average="macro"),
    }
    if n_classes == 2:
        expected["roc_auc"] = reference.roc_auc_score(targets, probabilities[:, 1])
    found = {
        metric.name: metric.function(targets, probabilities) for metric in metrics_for("classification", n_classes)
    }
    assert found == pytest.approx(expected, rel=1e-12)


def test_regression_metrics_agree_with_scikit_learn() -> None:
    generator = np.random.default_rng(0)
    targets, values = generator.normal(size=(2, 100))
    expected = {
        "rmse": reference.root_mean_squared_error(targets, values),
        "mae": reference.mean_absolute_error(targets, values),
        "r2": reference.r2_score(targets, values),
    }
    assert {m.name: m.function(targets, values) for m in metrics_for("regression", 0)} == pytest.approx(expected)


def test_undefined_metrics_are_nan_and_nothing_is_worse() -> None:
    ones = np.ones(4, dtype=np.int64)
    for one_class in (ones, 0 * ones):
        assert math.isnan(METRICS["roc_auc"].function(one_class, np.full((4, 2), 0.5)))
    assert math.isnan(METRICS["r2"].function(np.ones(4), np.zeros(4)))
    assert METRICS["r2"].better(-5.0, math.nan) and not METRICS["r2"].better(math.nan, -5.0)
    assert METRICS["rmse"].better(1.0, 2.0) and METRICS["accuracy"].better(0.9, 0.8)


def test_what_is_equal_is_no_better() -> None:
    assert not any(metric.better(0.5, 0.5) for metric in METRICS.values())


def test_defaults_follow_the_kind_and_unknown_names_are_refused() -> None:
    assert find_metric(None, "classification", 3).name == "log_loss"
    assert find_metric(None, "regression", 0).name == "rmse"
    assert find_metric("mae", "regression", 0) is METRICS["mae"]
    with pytest.raises(InputError, match="for a regression; choose one of 'rmse'"):
        find_metric("rsme", "regression", 0)
