"""What past tasks foresee of a new one: a mean, the ways in which they differ, and how far to trust both.

Mean and differences are averages of two opinions: that of a few networks of `automl.surrogates.ablr`, and that of
`automl.surrogates.shared_mean_gp`, which errs elsewhere. The trust is measured, not assumed: the tasks are dealt into
folds, each fold is foreseen by the others, and slope and residual of that foresight become the centres of the priors of
`automl.surrogates.transfer_gp`. Where the tasks do not foretell one another the slope is near 0, and a new task starts
like a plain search.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.surrogates.ablr import ABLR, ABLRSettings, TaskData, fit_ablr
from automl.surrogates.shared_mean_gp import (
    SharedMeanGP,
    SharedMeanGPSettings,
    fit_shared_mean_gp,
    thinned_tasks,
)
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
        n_folds: Folds of tasks by which the trust is measured, each fitted by one network.
        ablr: How a network is fitted; with more iterations it fits the noise of few evaluations.
        process: How the Gaussian process is fitted.
        fold_iterations: L-BFGS iterations of a fold's network.
        fold_rows: Evaluations of all tasks together that folds are fitted to.
        row_iterations: A network's iterations times evaluations at most: a bound of the time it takes.
        gp: Centres of the priors where there is one task alone, and thus nothing to measure.
    """

    n_networks: int = 2
    n_folds: int = 4
    ablr: ABLRSettings = field(default_factory=lambda: ABLRSettings(max_iterations=60))
    process: SharedMeanGPSettings = field(default_factory=SharedMeanGPSettings)
    fold_iterations: int = 60
    fold_rows: int = 1500
    row_iterations: int = 150_000
    gp: TransferGPSettings = field(default_factory=TransferGPSettings)

    def iterations(self, tasks: Sequence[TaskData]) -> int:
        """L-BFGS iterations of a network that is fitted to the tasks."""
        rows = sum(len(task.scores) for task in tasks)
        most = self.ablr.max_iterations
        return int(np.clip(self.row_iterations // max(rows, 1), min(_FEWEST_ITERATIONS, most), most))


@dataclass(frozen=True, eq=False)
class _Opinions:
    """Models of the same tasks."""

    networks: tuple[ABLR, ...]
    process: SharedMeanGP

    def of_tasks(self, kept: Sequence[int]) -> _Opinions:
        return _Opinions(tuple(network.of_tasks(kept) for network in self.networks), self.process.of_tasks(kept))

    def foreseen(self, features: Floats) -> tuple[Floats, Floats]:
        """What they expect of `n x P` features on the whole, on a new task, `n`, and on each of the T, `n x T`."""
        means, tasks = zip(*(network.foreseen(features) for network in self.networks), strict=True)
        mean, of_tasks = self.process.foreseen(features)
        return (np.mean(means, axis=0) + mean) / 2, (np.mean(tasks, axis=0) + of_tasks) / 2


@dataclass(frozen=True, eq=False)
class _Fold:
    """Models that know some tasks, and others that they have not seen; all by number."""

    opinions: _Opinions
    known: tuple[int, ...]
    held_out: tuple[int, ...]

    def of_tasks(self, kept: Sequence[int]) -> _Fold | None:
        """The fold of these tasks alone, numbered in their order; None where it knows none of them or lacks none."""
        place = {task: i for i, task in enumerate(kept)}
        known = [(i, place[task]) for i, task in enumerate(self.known) if task in place]
        held_out = tuple(place[task] for task in self.held_out if task in place)
        if not known or not held_out:
            return None
        return _Fold(self.opinions.of_tasks([i for i, _ in known]), tuple(task for _, task in known), held_out)


@dataclass(frozen=True, eq=False)
class TransferPrior:
    """The fitted prior; `fit_transfer_prior` makes one.

    Args:
        opinions: Models fitted to all tasks.
        folds: What measures how far to trust them.
        tasks: The evaluations of all tasks that folds are fitted to.
        untested: Centres of the priors of a new task's model where nothing measures the trust.
    """

    opinions: _Opinions
    folds: tuple[_Fold, ...]
    tasks: tuple[TaskData, ...]
    untested: TransferGPSettings

    @property
    def gp(self) -> TransferGPSettings:
        """Centres of the priors of a new task's model."""
        if not self._foresights:
            return self.untested
        slope, residual, _ = np.mean(self._foresights, axis=0)
        amplitude = float(np.clip(residual, *_RESIDUALS))
        return replace(self.untested, slope=max(float(slope), _SMALLEST_SLOPE), residual_amplitude=amplitude)

    @property
    def foresight(self) -> float:
        """Mean correlation between what a task was worth and what the others foresaw; NaN for one task."""
        return float(np.mean([correlation for *_, correlation in self._foresights])) if self._foresights else math.nan

    def of_tasks(self, kept: Sequence[int]) -> TransferPrior:
        """The prior that some of the tasks make, by number, by features and hyperparameters that all have shaped.

        Raises:
            ValueError: If none is kept.
        """
        folds = tuple(found for fold in self.folds if (found := fold.of_tasks(kept)) is not None)
        return TransferPrior(
            self.opinions.of_tasks(kept), folds, tuple(self.tasks[task] for task in kept), self.untested
        )

    def inputs(self, features: Floats) -> Inputs:
        """What a new task's model sees of candidates with these features, `n x P`."""
        mean, tasks = self.opinions.foreseen(features)
        return Inputs(features, mean, (tasks - mean[:, None]) / np.sqrt(max(tasks.shape[1], 1)))

    def task_means(self, features: Floats) -> Floats:
        """What each of the T tasks expects of candidates, on the shared scale, `n x T`."""
        return self.opinions.foreseen(features)[1]

    @cached_property
    def _foresights(self) -> list[tuple[float, float, float]]:
        """Slope, variance of the residual, and correlation, of each task's scores on what the other folds foresee."""
        return [
            _foresight(fold.opinions.foreseen(task.features)[0], task.scores)
            for fold in self.folds
            for task in (self.tasks[place] for place in fold.held_out)
            if len(task.scores) > 2
        ]


def fit_transfer_prior(
    tasks: Sequence[TaskData], groups: Sequence[int], *, seed: int, settings: TransferPriorSettings | None = None
) -> TransferPrior:
    """Fits the prior to one or more tasks.

    Args:
        tasks: Their evaluations.
        groups: For each of the P features the number, from 0, of the lengthscale that it shares.
        seed: Seed of the networks' initial weights.
        settings: How.

    Raises:
        ValueError: If there is no task or one of them is empty.
    """
    settings = settings or TransferPriorSettings()
    fitted = replace(settings.ablr, max_iterations=settings.iterations(tasks))
    networks = tuple(fit_ablr(tasks, seed=seed + i, settings=fitted) for i in range(settings.n_networks))
    opinions = _Opinions(networks, fit_shared_mean_gp(tasks, groups, settings.process))
    fewer = tuple(thinned_tasks(tasks, settings.fold_rows))
    return TransferPrior(opinions, _folds(fewer, opinions.process, seed, settings), fewer, settings.gp)


def _folds(
    tasks: Sequence[TaskData], process: SharedMeanGP, seed: int, settings: TransferPriorSettings
) -> tuple[_Fold, ...]:
    """Deals the tasks into folds, each unknown to models of its own; none for a single task.

    The process is conditioned anew and keeps its few hyperparameters, which hardly depend on a fold.
    """
    n_folds = min(settings.n_folds, len(tasks))
    fitted = replace(settings.ablr, max_iterations=settings.fold_iterations)
    found = []
    for fold in range(n_folds if n_folds > 1 else 0):
        held_out = tuple(range(fold, len(tasks), n_folds))
        known = tuple(place for place in range(len(tasks)) if place not in held_out)
        network = fit_ablr([tasks[place] for place in known], seed=seed, settings=fitted)
        found.append(_Fold(_Opinions((network,), process.of_tasks(known)), known, held_out))
    return tuple(found)


def _foresight(foreseen: Floats, scores: Floats) -> tuple[float, float, float]:
    """Slope, residual variance and correlation of a regression; zeros where nothing was foreseen."""
    spread = float(foreseen.var())
    if spread < 1e-9 or float(scores.var()) < 1e-9:
        return 0.0, float(scores.var()), 0.0
    covariance = float(np.mean((foreseen - foreseen.mean()) * (scores - scores.mean())))
    slope = covariance / spread
    residual = float((scores - scores.mean() - slope * (foreseen - foreseen.mean())).var())
    return slope, residual, covariance / float(np.sqrt(spread * scores.var()))
