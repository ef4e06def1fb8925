"""ABLR: one feature network shared by many tasks, one Bayesian linear head a task (Perrone et al. 2018).

The network (three layers of 50 tanh units, section 5 of the paper) and every task's precisions are fitted together by
the sum of the tasks' negative log marginal likelihoods (eq. 4). Beyond the paper the heads share a prior mean `w0` of
their weights, so that the model has an opinion on a new task before its first trial, and network, w0 and precisions
have weak Gaussian priors. Given values of a new task on the shared scale `ABLR.posterior` is the exact posterior; the
transfer model takes the heads' means alone, as `automl.surrogates.transfer_gp` ties a task in its own units to them by
an affine map that it fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.surrogates.bayesian_linear_head import negative_log_likelihood
from automl.surrogates.lbfgs import minimise

_WIDTH = 50
_LOG_PRECISION_BOUND = math.log(1e6)


@dataclass(frozen=True)
class TaskData:
    """The finished evaluations of one task.

    Args:
        features: What was evaluated, an `n x P` array on the unit scale.
        scores: Their losses on a scale that all tasks share (`automl.scales.normal_scores`), `n`.

    Raises:
        ValueError: If there is not one row of features a score, or a number is not finite.
    """

    features: NDArray[np.float64]
    scores: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.scores.shape != self.features.shape[:1]:
            raise ValueError(
                f"got features of shape {self.features.shape} for scores of shape {self.scores.shape}, "
                "expected n x P and n; give one row a score."
            )
        if not (np.isfinite(self.features).all() and np.isfinite(self.scores).all()):
            raise ValueError(
                "got features or scores that are NaN or infinite, expected finite ones; leave such rows out."
            )


@dataclass(frozen=True)
class ABLRSettings:
    """How the shared network is fitted.

    Args:
        width: Units of each of the three layers, and number of features D.
        max_iterations: L-BFGS iterations of the joint fit.
        weight_decay: Weight of the squared weights of the network, a weak Gaussian prior for few tasks.
    """

    width: int = _WIDTH
    max_iterations: int = 120
    weight_decay: float = 1e-3


@dataclass(frozen=True, eq=False)
class TaskEvidence:
    """All that T tasks say of their weights, given the features: `Phi^T Phi`, `Phi^T y` and the precisions."""

    grams: Tensor  # [T, D, D]
    moments: Tensor  # [T, D]
    log_precisions: Tensor  # of the weights and of the noise, [T, 2]

    @classmethod
    def of(cls, features: Tensor, scores: Tensor, log_precisions: Tensor) -> TaskEvidence:
        """What `T x n x D` features and `T x n` scores say; rows of zeros in both say nothing."""
        return cls(features.mT @ features, (features.mT @ scores.unsqueeze(-1)).squeeze(-1), log_precisions)

    def of_tasks(self, kept: Sequence[int]) -> TaskEvidence:
        rows = list(kept)
        return TaskEvidence(self.grams[rows], self.moments[rows], self.log_precisions[rows])

    def heads(self, mean_weights: Tensor) -> Tensor:
        """The posterior mean of each task's weights, `T x D`: `A^-1 (alpha w0 + beta Phi^T y)`."""
        alpha, beta = self._precisions
        wanted = alpha[..., 0] * mean_weights + beta[..., 0] * self.moments
        heads: Tensor = torch.cholesky_solve(wanted.unsqueeze(-1), self._cholesky).squeeze(-1)
        return heads

    def variances(self, features: Tensor) -> Tensor:
        """The variance of each task's noise-free scores at `n x D` features, `T x n`: `phi^T A^-1 phi`."""
        whitened = torch.linalg.solve_triangular(self._cholesky, features.mT, upper=False)
        variances: Tensor = whitened.square().sum(-2)
        return variances

    def mean_weights(self) -> Tensor:
        """The w0 of largest posterior density, by generalised least squares under `w0 ~ N(0, I)`.

        With the covariance `S = Phi Phi^T / alpha + I / beta` of a task, Woodbury's identity gives
        `Phi^T S^-1 Phi = alpha beta Phi^T Phi A^-1` and `Phi^T S^-1 y = alpha beta A^-1 Phi^T y`.
        """
        alpha, beta = self._precisions
        solved = torch.cholesky_solve(torch.cat([self.grams, self.moments.unsqueeze(-1)], dim=-1), self._cholesky)
        total = (alpha * beta * solved).sum(0)
        precision = torch.eye(len(total), dtype=total.dtype) + 0.5 * (total[:, :-1] + total[:, :-1].mT)
        found: Tensor = torch.linalg.solve(precision, total[:, -1])
        return found

    @property
    def _precisions(self) -> tuple[Tensor, Tensor]:
        """Each task's alpha and beta, `T x 1 x 1`."""
        alpha, beta = self.log_precisions.exp()[..., None, None].unbind(1)
        return alpha, beta

    @cached_property
    def _cholesky(self) -> Tensor:
        """The lower factor of each task's `A = alpha I + beta Phi^T Phi`, `T x D x D`."""
        alpha, beta = self._precisions
        identity = torch.eye(self.grams.shape[-1], dtype=self.grams.dtype)
        factor: Tensor = torch.linalg.cholesky(alpha * identity + beta * self.grams)
        return factor


class ABLR:
    """The fitted shared network, prior mean and heads of the tasks; `fit_ablr` makes one."""

    def __init__(self, network: nn.Sequential, mean_weights: Tensor, evidence: TaskEvidence) -> None:
        self._network = network
        self._mean_weights = mean_weights
        self._evidence = evidence
        self._heads = evidence.heads(mean_weights)  # [T, D]

    def of_tasks(self, kept: Sequence[int]) -> ABLR:
        """The model of some of its tasks, by number: the same network, prior mean and heads fitted anew.

        That is linear regression, a thousandth of the work of fitting the network.

        Raises:
            ValueError: If none is kept.
        """
        if not len(kept):
            raise ValueError("got no task to keep, expected one or more; name those that may be believed.")
        evidence = self._evidence.of_tasks(kept)
        return ABLR(self._network, evidence.mean_weights(), evidence)

    def features(self, inputs: NDArray[np.float64]) -> Tensor:
        """phi(x) of `n x P` inputs, an `n x D` tensor."""
        with torch.no_grad():
            features: Tensor = self._network(torch.as_tensor(inputs, dtype=torch.float64))
        return features

    def foreseen(self, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """What is expected of `n x P` inputs on the shared scale, on a new task, `n`, and on each of the T, `n x T`."""
        features = self.features(inputs)
        return (features @ self._mean_weights).numpy(), (features @ self._heads.mT).numpy()

    def posterior(
        self, inputs: NDArray[np.float64], known: TaskData | None = None, *, with_noise: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of a new task's scores given those that it has so far, each `n`.

        That is the posterior of the Gaussian process with mean `phi(x)^T w0`, covariance `phi(x)^T phi(x') / alpha` and
        noise `1 / beta` (section 3 of the paper), at a cost linear in the known scores whether they are fewer than the
        features or more; alpha and beta are the medians of the fitted tasks'.

        Args:
            inputs: Where to predict, `n x P`.
            known: The task's evaluations, its scores on the shared scale; None before the first.
            with_noise: Whether the variance is that of an evaluation, and not that of the noise-free score.
        """
        known = known or TaskData(np.empty((0, np.shape(inputs)[1])), np.empty(0))
        scores = torch.as_tensor(known.scores, dtype=torch.float64)
        log_precisions = self._evidence.log_precisions.median(0, keepdim=True).values
        evidence = TaskEvidence.of(self.features(known.features)[None], scores[None], log_precisions)
        features = self.features(inputs)
        mean = features @ evidence.heads(self._mean_weights)[0]
        noise = float((-log_precisions[0, 1]).exp()) if with_noise else 0.0
        return mean.numpy(), (evidence.variances(features)[0] + noise).numpy()


def fit_ablr(tasks: Sequence[TaskData], *, seed: int, settings: ABLRSettings | None = None) -> ABLR:
    """Fits the shared network, the prior mean and every task's precisions by joint marginal likelihood (eq. 4).

    Unlike in the paper each has a Gaussian prior: the network's weights that of the settings, w0 of variance 1, the
    logarithm of a precision of deviation 3. The cost is linear in the number of evaluations: one pass of the network
    and one `D x D` factor a task.

    Raises:
        ValueError: If there is no task, one of them is empty, or they have different numbers of features.
    """
    settings = settings or ABLRSettings()
    if not tasks or any(len(task.scores) == 0 for task in tasks):
        raise ValueError(f"got {len(tasks)} tasks, some or all empty; expected one evaluation or more of each.")
    widths = {task.features.shape[1] for task in tasks}
    if len(widths) > 1:
        raise ValueError(
            f"got tasks of {' and '.join(map(str, sorted(widths)))} features, expected one number for all, as they "
            "share one network; describe their candidates alike."
        )
    rows, scores, n_rows = _padded(tasks)
    network = _feature_network(rows.shape[-1], settings.width, seed)
    mean_weights = nn.Parameter(torch.zeros(settings.width, dtype=torch.float64))
    log_precisions = nn.Parameter(torch.tensor([[0.0, math.log(10.0)]], dtype=torch.float64).repeat(len(tasks), 1))
    parameters = [*network.parameters(), mean_weights, log_precisions]
    mask = (torch.arange(rows.shape[1]) < n_rows.unsqueeze(-1)).unsqueeze(-1)

    def loss() -> Tensor:
        alpha, beta = _bounded(log_precisions).exp().unbind(-1)
        features = network(rows) * mask
        fit = negative_log_likelihood(features, scores, mean_weights, alpha, beta, n_rows).sum()
        prior = settings.weight_decay * sum(parameter.square().sum() for parameter in network.parameters())
        return fit + prior + 0.5 * mean_weights.square().sum() + 0.5 * (log_precisions / 3.0).square().sum()

    minimise(loss, parameters, settings.max_iterations)
    with torch.no_grad():
        evidence = TaskEvidence.of(network(rows) * mask, scores, _bounded(log_precisions))
        return ABLR(network, mean_weights.detach(), evidence)


def _feature_network(n_inputs: int, width: int, seed: int) -> nn.Sequential:
    sizes = [n_inputs, width, width, width]
    layers: list[nn.Module] = []
    generator = torch.Generator().manual_seed(seed)
    for fan_in, fan_out in pairwise(sizes):
        linear = nn.Linear(fan_in, fan_out, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.normal_(0.0, math.sqrt(2.0 / (fan_in + fan_out)), generator=generator)
            linear.bias.normal_(0.0, 0.1, generator=generator)
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers)


def _padded(tasks: Sequence[TaskData]) -> tuple[Tensor, Tensor, Tensor]:
    """All tasks as one `T x n_max x P` and one `T x n_max` tensor, zero beyond each task's rows."""
    longest = max(len(task.scores) for task in tasks)
    rows = torch.zeros(len(tasks), longest, tasks[0].features.shape[1], dtype=torch.float64)
    scores = torch.zeros(len(tasks), longest, dtype=torch.float64)
    for t, task in enumerate(tasks):
        rows[t, : len(task.scores)] = torch.as_tensor(task.features)
        scores[t, : len(task.scores)] = torch.as_tensor(task.scores)
    return rows, scores, torch.tensor([float(len(task.scores)) for task in tasks], dtype=torch.float64)


def _bounded(log_precisions: Tensor) -> Tensor:
    return log_precisions.clamp(-_LOG_PRECISION_BOUND, _LOG_PRECISION_BOUND)
