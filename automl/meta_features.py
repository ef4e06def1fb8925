"""Meta-features: what a task looks like before anything is trained on it, to tell which past tasks resemble it.

Sizes, classes, the balance of classes, and two landmarks (Pfahringer et al. 2000): how well a linear least-squares fit
and one nearest neighbour do on a few hundred rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from automl.task import Part, Task

Floats = NDArray[np.float64]

_ROWS = 300  # Of the training and of the validation part, for the landmarks.
_COLUMNS = 200
_RIDGE = 1e-2


def meta_features(task: Task) -> dict[str, float]:
    """The task's meta-features by name, all finite; those in logarithms or shares, so that differences compare."""
    targets = np.asarray(task.train.targets)
    is_classified = task.kind == "classification"
    n_classes = len(task.classes) if is_classified else 0
    shares = np.bincount(targets.astype(np.int64), minlength=1) / len(targets) if is_classified else np.ones(1)
    linear, nearest = _landmarks(task.train, task.validation, is_classified)
    return {
        "is_classification": float(is_classified),
        "is_image": float(task.image_shape is not None),
        "log_rows": math.log(len(targets)),
        "log_features": math.log(max(task.n_features, 1)),
        "log_classes": math.log(max(n_classes, 1)),
        "imbalance": float(shares.max() - shares[shares > 0].min()),
        "linear_landmark": linear,
        "neighbour_landmark": nearest,
    }


def nearest_tasks(own: Mapping[str, float], others: Sequence[Mapping[str, float]], k: int) -> list[int]:
    """Places of the `k` tasks whose meta-features are nearest, in their given order; those without any come last.

    Args:
        own: Meta-features of the task at hand; empty if unknown.
        others: Those of other tasks.
        k: Number of tasks wanted.
    """
    names = sorted(own)
    known = [place for place, other in enumerate(others) if names and set(names) <= set(other)]
    rows = np.array([[float(others[place][name]) for name in names] for place in known]).reshape(len(known), len(names))
    centre = np.array([float(own[name]) for name in names])
    spread = np.vstack([rows, centre[None]]).std(axis=0)
    distances = np.abs(rows - centre)[:, spread > 0] / spread[spread > 0]
    by_distance = [known[i] for i in np.argsort(distances.sum(axis=1), kind="stable")]
    unknown = [place for place in range(len(others)) if place not in set(known)]
    return sorted([*by_distance, *unknown][:k])


def _landmarks(train: Part, validation: Part, is_classified: bool) -> tuple[float, float]:
    """Share of right answers, or R^2 held at 0 and above, of a linear fit and of one nearest neighbour."""
    inputs, held_out = _few(train.inputs), _few(validation.inputs)
    answers, truth = np.asarray(train.targets)[:_ROWS], np.asarray(validation.targets)[:_ROWS]
    neighbours = answers[_squared_distances(held_out, inputs).argmin(axis=1)]
    targets = np.eye(int(answers.max()) + 1)[answers] if is_classified else answers.astype(np.float64)[:, None]
    design = np.hstack([inputs, np.ones((len(inputs), 1))])
    gram = design.T @ design + _RIDGE * len(design) * np.eye(design.shape[1])
    outputs = np.hstack([held_out, np.ones((len(held_out), 1))]) @ np.linalg.solve(gram, design.T @ targets)
    predicted = outputs.argmax(axis=1) if is_classified else outputs[:, 0]
    return _score(predicted, truth, is_classified), _score(neighbours, truth, is_classified)


def _few(inputs: NDArray[np.float32]) -> Floats:
    return np.nan_to_num(np.asarray(inputs[:_ROWS, :_COLUMNS], dtype=np.float64))


def _squared_distances(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.square(a).sum(axis=1)[:, None] + np.square(b).sum(axis=1)[None] - 2.0 * a @ b.T)


def _score(predicted: NDArray[np.generic], truth: NDArray[np.generic], is_classified: bool) -> float:
    if is_classified:
        return float(np.mean(predicted == truth))
    numbers, answers = predicted.astype(np.float64), truth.astype(np.float64)
    variance = float(answers.var())
    return max(0.0, 1.0 - float(np.square(numbers - answers).mean()) / variance) if variance > 0 else 0.0
