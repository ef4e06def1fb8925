"""ABLR: one feature network shared by many tasks, one Bayesian linear head a task (Perrone et al. 2018).

The network (three layers of 50 tanh units, section 5 of the paper) and every task's precisions are fitted together by
the sum of the tasks' negative log marginal likelihoods (eq. 4). Two things are added to the paper:

- the heads share a prior mean `w0` of their weights, so that the model has an opinion on a new task before its first
  trial;
- a new task is tied to the others by an affine map `y = mu + sigma z` fitted with its own precisions by marginal
  likelihood, so that
  its units do not matter and its few values need no ranks.
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

from automl.surrogates.bayesian_linear_head import (
    LinearPosterior,
    leave_one_out_log_density,
    negative_log_likelihood,
    posterior,
)
from automl.surrogates.lbfgs import minimise

_WIDTH = 50
_LOG_PRECISION_BOUND = math.log(1e6)


@dataclass(frozen=True)
class TaskData:
    """The finished evaluations of one task.

    Args:
        features: What was evaluated, an `n x P` array on the unit scale.
        scores: Their losses on a scale that all tasks share (`automl.scales.normal_scores`), `n`.
    """

    features: NDArray[np.float64]
    scores: NDArray[np.float64]


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


class ABLR:
    """The fitted shared network, prior mean, heads of the tasks and typical precisions; `fit_ablr` makes one."""

    def __init__(self, network: nn.Sequential, mean_weights: Tensor, heads: Tensor, log_precisions: Tensor) -> None:
        self._network = network
        self._mean_weights = mean_weights
        self._heads = heads  # [T, D]
        self._log_precisions = log_precisions  # of the weights and of the noise, [2]

    def features(self, inputs: NDArray[np.float64]) -> Tensor:
        """phi(x) of `n x P` inputs, an `n x D` tensor."""
        with torch.no_grad():
            features: Tensor = self._network(torch.as_tensor(inputs, dtype=torch.float64))
        return features

    def prior(self, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance on the shared scale of a task of which nothing is known, each `n`."""
        features = self.features(inputs)
        alpha = self._log_precisions[0].exp()
        return (features @ self._mean_weights).numpy(), (features.square().sum(-1) / alpha).numpy()

    def task_means(self, inputs: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each of the T tasks that it was fitted to expects of `n x P` inputs, on the shared scale, `n x T`."""
        return np.asarray((self.features(inputs) @ self._heads.mT).numpy(), dtype=np.float64)

    def adapt(self, inputs: NDArray[np.float64], values: NDArray[np.float64]) -> AdaptedTask:
        """The posterior of a task with `n >= 1` evaluations in the task's own units."""
        features, targets = self.features(inputs), torch.as_tensor(values, dtype=torch.float64)
        tie = _fit_tie(features, targets, self._mean_weights, self._log_precisions)
        return AdaptedTask(self, features, targets, tie)


@dataclass(frozen=True)
class Tie:
    """How a task's values follow from the shared scale: `y = mu + sigma z`, with the task's own precisions."""

    mu: Tensor
    sigma: Tensor
    alpha: Tensor
    beta: Tensor


@dataclass(frozen=True, eq=False)
class AdaptedTask:
    """ABLR given the evaluations of one task: a posterior in that task's own units."""

    model: ABLR
    observed: Tensor
    targets: Tensor
    tie: Tie

    @cached_property
    def _standardised(self) -> Tensor:
        return (self.targets - self.tie.mu) / self.tie.sigma

    @cached_property
    def _posterior(self) -> LinearPosterior:
        return posterior(self.observed, self._standardised, self.model._mean_weights, self.tie.alpha, self.tie.beta)

    def predict(self, inputs: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and variance of the noise-free values at `m x P` inputs, each `m`."""
        mean, variance = self._posterior.predict(self.model.features(inputs))
        return (self.tie.mu + self.tie.sigma * mean).numpy(), (self.tie.sigma.square() * variance).numpy()

    def leave_one_out_log_density(self) -> NDArray[np.float64]:
        """Log density of each of the task's values given all its others, `n`, with the tie held fixed."""
        density = leave_one_out_log_density(
            self.observed, self._standardised, self.model._mean_weights, self.tie.alpha, self.tie.beta
        )
        return (density - self.tie.sigma.log()).numpy()


def fit_ablr(tasks: Sequence[TaskData], *, seed: int, settings: ABLRSettings | None = None) -> ABLR:
    """Fits the shared network, the prior mean and every task's precisions by joint marginal likelihood (eq. 4).

    The cost is linear in the number of evaluations: one pass of the network and one `D x D` factor a task.

    Raises:
        ValueError: If there is no task or one of them is empty.
    """
    settings = settings or ABLRSettings()
    if not tasks or any(len(task.scores) == 0 for task in tasks):
        raise ValueError(f"got {len(tasks)} tasks, some or all empty; expected one evaluation or more of each.")
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
        precisions = _bounded(log_precisions)
        shared = mean_weights.detach()
        posteriors = [
            posterior(features[:n], targets[:n], shared, alpha, beta).mean
            for features, targets, n, (alpha, beta) in zip(
                network(rows), scores, n_rows.int().tolist(), precisions.exp(), strict=True
            )
        ]
        return ABLR(network, shared, torch.stack(posteriors), precisions.median(0).values)


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


def _fit_tie(features: Tensor, targets: Tensor, mean_weights: Tensor, log_precisions: Tensor) -> Tie:
    """Fits mu, sigma, alpha and beta of a new task by maximum a posteriori.

    The precisions are drawn towards the sources' typical ones. The scale is drawn towards the spread that the
    observed values have for the spread that the prior mean foresees for these very candidates: a target whose first
    trials are all good ones looks narrow.
    """
    n_rows = torch.tensor(float(len(targets)), dtype=torch.float64)
    foreseen = features @ mean_weights
    noise = (features.square().sum(-1).mean() / log_precisions[0].exp() + 1.0 / log_precisions[1].exp()).sqrt()
    scale = targets.std(correction=0) if len(targets) > 1 else targets.abs().mean()
    start_sigma = (scale / (foreseen.std(correction=0).square() + noise.square()).sqrt()).clamp_min(1e-9)
    start_mu = targets.mean() - start_sigma * foreseen.mean()
    free = nn.Parameter(torch.zeros(4, dtype=torch.float64))

    def tie() -> Tie:
        log_alpha, log_beta = _bounded(log_precisions + free[2:]).unbind()
        return Tie(start_mu + start_sigma * free[0], start_sigma * free[1].exp(), log_alpha.exp(), log_beta.exp())

    def loss() -> Tensor:
        now = tie()
        standardised = (targets - now.mu) / now.sigma
        fit = negative_log_likelihood(features, standardised, mean_weights, now.alpha, now.beta, n_rows)
        return fit + n_rows * now.sigma.log() + 0.5 * (free / torch.tensor([1.0, 0.7, 1.0, 1.0])).square().sum()

    minimise(loss, [free], 40)
    with torch.no_grad():
        return tie()
