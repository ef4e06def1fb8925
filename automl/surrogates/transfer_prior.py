"""What past tasks foresee of a new one: a mean, the ways in which they differ, and how far to trust both.

Mean and differences come from `automl.surrogates.ablr`, averaged over a few networks. The trust is measured, not
assumed: the tasks are dealt into folds, each fold is foreseen by the others, and slope and residual of that foresight
become the centres of the priors of `automl.surrogates.transfer_gp`. Tasks that do not foretell one another so yield a
slope near 0: a new task then starts like a plain search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from automl.surrogates.ablr import ABLR, ABLRSettings, TaskData, fit_ablr
from automl.surrogates.transfer_gp import Inputs, TransferGPSettings

Floats = NDArray[np.float64]

_SMALLEST_SLOPE = 0.02
_RESIDUALS = (0.01, 1.0)
_FEWEST_ITERATIONS = 40


@dataclass(frozen=True)
class TransferPriorSettings:
    """How the prior is fitted.

    Args:
        n_networks: Networks whose means are averaged.
        n_folds: Folds of tasks by which the trust is measured, each fitted by one network of fewer iterations.
        ablr: How a network is fitted.
        fold_iterations: L-BFGS iterations of a fold's network.
        fold_rows: Evaluations of all tasks together that folds are fitted to.
        row_iterations: A network's iterations times evaluations at most: a bound of the time it takes.
        gp: Centres of the priors where there is one task alone, and thus nothing to measure.
    """

    n_networks: int = 2
    n_folds: int = 4
    ablr: ABLRSettings = field(default_factory=ABLRSettings)
    fold_iterations: int = 60
    fold_rows: int = 1500
    row_iterations: int = 150_000

    def iterations(self, tasks: Sequence[TaskData]) -> int:
        """L-BFGS iterations of a network that is fitted to the tasks."""
        rows = sum(len(task.scores) for task in tasks)
        most = self.ablr.max_iterations
        return int(np.clip(self.row_iterations // max(rows, 1), min(_FEWEST_ITERATIONS, most), most))

    gp: TransferGPSettings = field(default_factory=TransferGPSettings)


@dataclass(frozen=True, eq=False)
class TransferPrior:
    """The fitted prior; `fit_transfer_prior` makes one.

    Args:
        networks: Fitted to all tasks.
        gp: Centres of the priors of a new task's model.
        foresight: Mean correlation between what a task was worth and what the others foresaw; NaN for one task.
    """

    networks: tuple[ABLR, ...]
    gp: TransferGPSettings
    foresight: float

    def inputs(self, features: Floats) -> Inputs:
        """What a new task's model sees of candidates with these features, `n x P`."""
        mean = np.mean([network.prior(features)[0] for network in self.networks], axis=0)
        tasks = self.task_means(features)
        return Inputs(features, mean, (tasks - mean[:, None]) / np.sqrt(max(tasks.shape[1], 1)))

    def task_means(self, features: Floats) -> Floats:
        """What each of the T tasks expects of candidates, on the shared scale, `n x T`."""
        return np.asarray(np.mean([network.task_means(features) for network in self.networks], axis=0))


def fit_transfer_prior(
    tasks: Sequence[TaskData], *, seed: int, settings: TransferPriorSettings | None = None
) -> TransferPrior:
    """Fits the prior to one or more tasks.

    Raises:
        ValueError: If there is no task or one of them is empty.
    """
    settings = settings or TransferPriorSettings()
    fitted = replace(settings.ablr, max_iterations=settings.iterations(tasks))
    networks = tuple(fit_ablr(tasks, seed=seed + i, settings=fitted) for i in range(settings.n_networks))
    slopes, residuals, correlations = _foresights(tasks, seed, settings)
    if not slopes:
        return TransferPrior(networks, settings.gp, float("nan"))
    trusted = replace(
        settings.gp,
        slope=max(float(np.mean(slopes)), _SMALLEST_SLOPE),
        residual_amplitude=float(np.clip(np.mean(residuals), *_RESIDUALS)),
    )
    return TransferPrior(networks, trusted, float(np.mean(correlations)))


def _foresights(
    tasks: Sequence[TaskData], seed: int, settings: TransferPriorSettings
) -> tuple[list[float], list[float], list[float]]:
    """Slope, variance of the residual, and correlation, of each task's scores on what the other folds foresee."""
    n_folds = min(settings.n_folds, len(tasks))
    rows = max(settings.fold_rows // len(tasks), 1)
    tasks = [_thinned(task, rows) for task in tasks]
    fitted = replace(settings.ablr, max_iterations=settings.fold_iterations)
    found: list[tuple[float, float, float]] = []
    for fold in range(n_folds if n_folds > 1 else 0):
        known = [task for t, task in enumerate(tasks) if t % n_folds != fold]
        network = fit_ablr(known, seed=seed, settings=fitted)
        held_out = [task for t, task in enumerate(tasks) if t % n_folds == fold and len(task.scores) > 2]
        found += [_foresight(network.prior(task.features)[0], task.scores) for task in held_out]
    slopes, residuals, correlations = ([one[k] for one in found] for k in range(3))
    return slopes, residuals, correlations


def _thinned(task: TaskData, n: int) -> TaskData:
    """At most `n` of the evaluations, evenly spread over their order."""
    rows = np.linspace(0, len(task.scores) - 1, min(n, len(task.scores))).round().astype(int)
    return TaskData(task.features[rows], task.scores[rows])


def _foresight(foreseen: Floats, scores: Floats) -> tuple[float, float, float]:
    """Slope, residual variance and correlation of a regression; zeros where nothing was foreseen."""
    spread = float(foreseen.var())
    if spread < 1e-9 or float(scores.var()) < 1e-9:
        return 0.0, float(scores.var()), 0.0
    covariance = float(np.mean((foreseen - foreseen.mean()) * (scores - scores.mean())))
    slope = covariance / spread
    residual = float((scores - scores.mean() - slope * (foreseen - foreseen.mean())).var())
    return slope, residual, covariance / float(np.sqrt(spread * scores.var()))
