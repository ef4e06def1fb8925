"""Metrics of predictions: what a task is judged by, each a pure function of targets and predictions.

Classification metrics take class indices [n] and probabilities [n, classes]; regression metrics take values [n] and
values [n] in the target's own units. They agree with scikit-learn's functions of the same names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from automl.data.targets import Kind
from automl.errors import InputError, nearest

Direction = Literal["minimize", "maximize"]
Array = NDArray[Any]


@dataclass(frozen=True)
class Metric:
    """A metric: its name, whether less or more of it is better, what it judges, and how."""

    name: str
    direction: Direction
    kind: Kind
    function: Callable[[Array, Array], float]
    binary_only: bool = False

    def better(self, value: float, than: float) -> bool:
        """Whether `value` is strictly better than `than`; anything is better than NaN."""
        if np.isnan(than):
            return not np.isnan(value)
        return value < than if self.direction == "minimize" else value > than


def log_loss(targets: Array, probabilities: Array) -> float:
    """Mean negative log-likelihood in nats, probabilities clipped at the resolution of float64."""
    likelihood = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.clip(likelihood, np.finfo(np.float64).eps, 1.0)).mean())


def accuracy(targets: Array, probabilities: Array) -> float:
    """Share of rows whose most probable class is the true one."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def balanced_accuracy(targets: Array, probabilities: Array) -> float:
    """Mean recall over the classes that occur."""
    hits = probabilities.argmax(axis=1) == targets
    return float(np.mean([hits[targets == label].mean() for label in np.unique(targets)]))


def f1_macro(targets: Array, probabilities: Array) -> float:
    """Mean F1 score over the classes that occur or are predicted."""
    predicted = probabilities.argmax(axis=1)
    scores = []
    for label in np.union1d(targets, predicted):
        hits = float(((targets == label) & (predicted == label)).sum())
        scores.append(2 * hits / float((targets == label).sum() + (predicted == label).sum()))
    return float(np.mean(scores))


def roc_auc(targets: Array, probabilities: Array) -> float:
    """Area under the ROC curve of the second class, by the Mann-Whitney statistic with ties counted half.

    NaN where only one class occurs.
    """
    positive = targets == 1
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return float("nan")
    _, codes, counts = np.unique(probabilities[:, 1], return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[codes]
    return float((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def rmse(targets: Array, values: Array) -> float:
    """Root of the mean squared error, in the target's units."""
    return float(np.sqrt(np.mean((values - targets) ** 2)))


def mae(targets: Array, values: Array) -> float:
    """Mean absolute error, in the target's units."""
    return float(np.mean(np.abs(values - targets)))


def r2(targets: Array, values: Array) -> float:
    """Coefficient of determination; NaN where the targets are constant."""
    spread = float(np.sum((targets - targets.mean()) ** 2))
    return 1.0 - float(np.sum((values - targets) ** 2)) / spread if spread else float("nan")


METRICS = {
    metric.name: metric
    for metric in (
        Metric("log_loss", "minimize", "classification", log_loss),
        Metric("accuracy", "maximize", "classification", accuracy),
        Metric("balanced_accuracy", "maximize", "classification", balanced_accuracy),
        Metric("f1_macro", "maximize", "classification", f1_macro),
        Metric("roc_auc", "maximize", "classification", roc_auc, binary_only=True),
        Metric("rmse", "minimize", "regression", rmse),
        Metric("mae", "minimize", "regression", mae),
        Metric("r2", "maximize", "regression", r2),
    )
}


def metrics_for(kind: Kind, n_classes: int) -> tuple[Metric, ...]:
    """The metrics that apply to a task of that kind, its default first."""
    return tuple(m for m in METRICS.values() if m.kind == kind and (n_classes == 2 or not m.binary_only))


def find_metric(name: str | None, kind: Kind, n_classes: int) -> Metric:
    """The metric of that name; for None the default: log_loss for classification, rmse for regression.

    Raises:
        InputError: If there is no such metric or it does not apply to the task.
    """
    known = {metric.name: metric for metric in metrics_for(kind, n_classes)}
    if name is None:
        return next(iter(known.values()))
    if name not in known:
        what = f"a {kind} with {n_classes} classes" if n_classes else f"a {kind}"
        raise InputError(f"got the metric {name!r}, expected one for {what}; choose one of {nearest(name, known, 8)}.")
    return known[name]
