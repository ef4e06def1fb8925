"""SharedMeanGP: past tasks as one exact Gaussian process with a mean that they share.

    y_t = c_t + m(x) + d_t(x) + e,   c_t ~ N(0, a_c),   m ~ GP(0, a_m k),   d_t ~ GP(0, a_d k'),   e ~ N(0, s)

k and k' are Matern-5/2 kernels with lengthscales of their own; tasks are exchangeable, so that the kernel of tasks is a
constant plus the identity (the intrinsic coregionalisation of Swersky et al. 2013 with two kernels). Its opinion of a
new task is the posterior mean of m. Hyperparameters are fitted by MAP to some of the evaluations; the posterior is
conditioned on more, and leaving a task out costs one factorisation.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.surrogates.ablr import TaskData
from automl.surrogates.lbfgs import minimise
from automl.surrogates.transfer_gp import matern

Floats = NDArray[np.float64]

_SMALLEST_NOISE = 1e-4
_FARTHEST = 4.0  # Deviations from the centre of its prior that a hyperparameter may take.
_CHUNK = 2048
# Centres of the priors, on a scale on which each task's scores have variance 1.
_OFFSET, _SHARED, _DEVIATING, _NOISE = 0.05, 1.0, 0.15, 0.05


@dataclass(frozen=True)
class SharedMeanGPSettings:
    """How the process is fitted.

    Args:
        fitted_rows: Evaluations of all tasks together that hyperparameters are fitted to.
        known_rows: Those that the posterior is conditioned on; the cost is cubic in both.
        max_iterations: L-BFGS iterations of the fit.
    """

    fitted_rows: int = 400
    known_rows: int = 1500
    max_iterations: int = 25


@dataclass(frozen=True, eq=False)
class _Hyperparameters:
    offset: Tensor  # a_c
    shared: Tensor  # a_m
    deviating: Tensor  # a_d
    noise: Tensor  # s
    shared_lengthscales: Tensor  # [P]
    deviating_lengthscales: Tensor  # [P]

    def of_mean(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of m, `n x m`."""
        return self.shared * matern(a / self.shared_lengthscales, b / self.shared_lengthscales)

    def of_deviations(self, a: Tensor, b: Tensor) -> Tensor:
        """Covariance of one task's d, `n x m`."""
        return self.deviating * matern(a / self.deviating_lengthscales, b / self.deviating_lengthscales)

    def cholesky(self, rows: _Rows) -> Tensor:
        """The lower factor of the covariance of all evaluations, `n x n`."""
        x, noise = rows.features, self.noise * torch.eye(len(rows.scores), dtype=torch.float64)
        within = rows.same_task * (self.offset + self.of_deviations(x, x))
        factor: Tensor = torch.linalg.cholesky(self.of_mean(x, x) + within + noise)
        return factor


@dataclass(frozen=True, eq=False)
class _Rows:
    """The evaluations of all tasks one below the other."""

    features: Tensor  # [n, P]
    scores: Tensor  # [n]
    members: Tensor  # 1 where an evaluation is a task's, [n, T]

    @classmethod
    def of(cls, tasks: Sequence[TaskData]) -> _Rows:
        numbers = np.repeat(np.arange(len(tasks)), [len(task.scores) for task in tasks])
        return cls(
            torch.from_numpy(np.concatenate([task.features for task in tasks])),
            torch.from_numpy(np.concatenate([task.scores for task in tasks])),
            torch.from_numpy((numbers[:, None] == np.arange(len(tasks))).astype(np.float64)),
        )

    @property
    def same_task(self) -> Tensor:
        return self.members @ self.members.mT


@dataclass(frozen=True, eq=False)
class SharedMeanGP:
    """The posterior given tasks; `fit_shared_mean_gp` makes one.

    Args:
        tasks: What it is conditioned on.
        known: Its hyperparameters.
    """

    tasks: tuple[TaskData, ...]
    known: _Hyperparameters

    def of_tasks(self, kept: Sequence[int]) -> SharedMeanGP:
        """The posterior given some of the tasks, by number, with the same hyperparameters.

        Raises:
            ValueError: If none is kept.
        """
        if not len(kept):
            raise ValueError("got no task to keep, expected one or more; name those that may be believed.")
        return SharedMeanGP(tuple(self.tasks[task] for task in kept), self.known)

    def foreseen(self, features: Floats) -> tuple[Floats, Floats]:
        """What is expected of `n x P` features on a new task, `n`, and on each of the T tasks, `n x T`."""
        parts = [self._foreseen(torch.from_numpy(features[i : i + _CHUNK])) for i in range(0, len(features), _CHUNK)]
        if not parts:
            return np.empty(0), np.empty((0, len(self.tasks)))
        mean, tasks = (torch.cat(part).numpy() for part in zip(*parts, strict=True))
        return mean, tasks

    def _foreseen(self, features: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.known.of_mean(features, self._rows.features) @ self._weights
        weights = self._rows.members * self._weights[:, None]
        tasks = self.known.of_deviations(features, self._rows.features) @ weights + self.known.offset * weights.sum(0)
        return mean, mean[:, None] + tasks

    @cached_property
    def _rows(self) -> _Rows:
        return _Rows.of(self.tasks)

    @cached_property
    def _weights(self) -> Tensor:
        """`K^-1 y`, `n`."""
        weights: Tensor = torch.cholesky_solve(self._rows.scores[:, None], self.known.cholesky(self._rows))[:, 0]
        return weights


def fit_shared_mean_gp(
    tasks: Sequence[TaskData], groups: Sequence[int], settings: SharedMeanGPSettings | None = None
) -> SharedMeanGP:
    """Fits the process to one or more tasks.

    Args:
        tasks: Their evaluations.
        groups: For each of the P features the number, from 0, of the lengthscale that it shares.
        settings: How.

    Raises:
        ValueError: If there is no task or one of them is empty.
    """
    settings = settings or SharedMeanGPSettings()
    if not tasks or any(len(task.scores) == 0 for task in tasks):
        raise ValueError(f"got {len(tasks)} tasks, some or all empty; expected one evaluation or more of each.")
    rows = _Rows.of(thinned_tasks(tasks, settings.fitted_rows))
    known = _priors(groups)
    free = nn.Parameter(torch.zeros(4 + 2 * (max(groups, default=-1) + 1), dtype=torch.float64))

    def loss() -> Tensor:
        cholesky = known(free).cholesky(rows)
        whitened = torch.linalg.solve_triangular(cholesky, rows.scores[:, None], upper=False)
        total: Tensor = 0.5 * (whitened.square().sum() + free.square().sum()) + cholesky.diagonal().log().sum()
        return total

    minimise(loss, [free], settings.max_iterations)
    with torch.no_grad():
        return SharedMeanGP(tuple(thinned_tasks(tasks, settings.known_rows)), known(free))


def _priors(groups: Sequence[int]) -> Callable[[Tensor], _Hyperparameters]:
    """Maps standard normal numbers to log-normal hyperparameters; lengthscales as in `transfer_gp`."""
    n = max(groups, default=-1) + 1
    places = torch.tensor(list(groups), dtype=torch.long)
    lengthscale = 0.5 * math.log(max(n, 1))
    centres = torch.tensor([_OFFSET, _SHARED, _DEVIATING, _NOISE], dtype=torch.float64).log()

    def known(unbounded: Tensor) -> _Hyperparameters:
        free = _FARTHEST * (unbounded / _FARTHEST).tanh()
        offset, shared, deviating, noise = (centres + free[:4]).exp()
        scales = (lengthscale + free[4:]).exp()
        return _Hyperparameters(
            offset, shared, deviating, noise + _SMALLEST_NOISE, scales[:n][places], scales[n:][places]
        )

    return known


def thinned_tasks(tasks: Sequence[TaskData], n: int) -> list[TaskData]:
    """At most about `n` evaluations of all tasks together, of each evenly spread over their order."""
    each = max(n // len(tasks), 2)
    return [_thinned(task, each) for task in tasks]


def _thinned(task: TaskData, n: int) -> TaskData:
    rows = np.linspace(0, len(task.scores) - 1, min(n, len(task.scores))).round().astype(int)
    return TaskData(task.features[rows], task.scores[rows])
