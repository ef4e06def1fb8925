"""TransferGP: a Gaussian process of a new task around what past tasks foresee.

    y = mu + sigma (rho m(x) + t(x) + g(x) + e),   t = psi(x)' v,  v ~ N(0, a_t I),   g ~ GP(0, a_g k),   e ~ N(0, s)

m is the mean of past tasks on their shared scale, psi how they differ from one another
(`automl.surrogates.transfer_prior`), k a Matern-5/2 kernel on features. mu has a flat prior and is integrated out
(Rasmussen and Williams 2006, section 2.7); sigma, which ties the shared scale to the units of the task, rho, both
amplitudes, the lengthscales and the noise are fitted by MAP. Where past tasks mislead, rho and a_t fall towards 0 and
what is left is a plain Gaussian process: a head start, and asymptotics no worse (cf. the stacked residuals of Golovin
et al. 2017, section 3.3, and the covariance of past tasks of Wang et al. 2018).
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

from automl.surrogates.lbfgs import minimise

Floats = NDArray[np.float64]

_SMALLEST_NOISE = 1e-6
_JITTER = 1e-7  # Of the mean variance; covariances of alike candidates are near singular.
_FARTHEST = 4.0  # Deviations from the centre of its prior that a hyperparameter may take.
_CHUNK = 8192


@dataclass(frozen=True, eq=False)
class Inputs:
    """What the model sees of n candidates.

    Args:
        features: `n x P`, on the unit scale.
        mean: What past tasks foresee on their shared scale, `n`.
        deviations: How past tasks differ from that mean, `n x T`.
    """

    features: Floats
    mean: Floats
    deviations: Floats

    def __len__(self) -> int:
        return len(self.mean)

    def __getitem__(self, rows: Sequence[int] | slice | NDArray[np.int64]) -> Inputs:
        return Inputs(self.features[rows], self.mean[rows], self.deviations[rows])

    def followed_by(self, others: Inputs) -> Inputs:
        """These candidates and then others."""
        return Inputs(
            np.concatenate([self.features, others.features]),
            np.concatenate([self.mean, others.mean]),
            np.concatenate([self.deviations, others.deviations]),
        )

    def plain(self) -> Inputs:
        """The same candidates without past tasks."""
        return Inputs(self.features, np.zeros(len(self)), np.empty((len(self), 0)))

    def mirrored(self) -> Inputs:
        """The same candidates as past tasks would see them if each had preferred the opposite."""
        return Inputs(self.features, -self.mean, -self.deviations)


@dataclass(frozen=True)
class TransferGPSettings:
    """Centres of the priors, on the shared scale, on which a task's losses have variance 1.

    Args:
        slope: rho, how much of what past tasks foresee comes true.
        task_amplitude: a_t.
        residual_amplitude: a_g.
        noise: Variance of e.
        max_iterations: L-BFGS iterations of a fit.
    """

    slope: float = 1.0
    task_amplitude: float = 1.0
    residual_amplitude: float = 0.2
    noise: float = 0.003
    max_iterations: int = 30


@dataclass(frozen=True, eq=False)
class _Rows:
    """`Inputs` as tensors."""

    features: Tensor
    mean: Tensor
    deviations: Tensor

    @classmethod
    def of(cls, inputs: Inputs) -> _Rows:
        return cls(*(torch.from_numpy(part) for part in (inputs.features, inputs.mean, inputs.deviations)))


@dataclass(frozen=True, eq=False)
class _Hyperparameters:
    """All in units of the standardised values; amplitudes and noise carry sigma^2 and the slope sigma."""

    slope: Tensor
    task_amplitude: Tensor
    residual_amplitude: Tensor
    noise: Tensor
    lengthscales: Tensor  # [P]

    def covariance(self, a: _Rows, b: _Rows) -> Tensor:
        """Prior covariance of t + g, `n x m`."""
        tasks = self.task_amplitude * a.deviations @ b.deviations.mT
        return tasks + self.residual_amplitude * matern(a.features / self.lengthscales, b.features / self.lengthscales)

    def variance(self, rows: _Rows) -> Tensor:
        """The diagonal of `covariance(rows, rows)`."""
        return self.task_amplitude * rows.deviations.square().sum(-1) + self.residual_amplitude


def matern(a: Tensor, b: Tensor) -> Tensor:
    squared = a.square().sum(-1)[:, None] + b.square().sum(-1)[None, :] - 2.0 * a @ b.mT
    distance = (5.0 * squared.clamp_min(1e-12)).sqrt()
    return (1.0 + distance + distance.square() / 3.0) * (-distance).exp()


@dataclass(frozen=True, eq=False)
class _Conditioned:
    """The factor of the observations' covariance, and mu by generalised least squares."""

    cholesky: Tensor  # L, [n, n]
    ones: Tensor  # L^-1 1, [n]
    residual: Tensor  # L^-1 (y - mu - rho m), [n]
    mu: Tensor

    @classmethod
    def on(cls, known: _Hyperparameters, rows: _Rows, targets: Tensor) -> _Conditioned:
        covariance = known.covariance(rows, rows)
        noise = known.noise + _JITTER * covariance.diagonal().mean()
        cholesky = torch.linalg.cholesky(covariance + noise * torch.eye(len(targets), dtype=torch.float64))
        both = torch.stack([torch.ones_like(targets), targets - known.slope * rows.mean], dim=-1)
        ones, values = torch.linalg.solve_triangular(cholesky, both, upper=False).unbind(-1)
        mu = (ones @ values) / (ones @ ones)
        return cls(cholesky, ones, values - mu * ones, mu)

    def loss(self) -> Tensor:
        """Negative log marginal likelihood with mu integrated out, up to a constant."""
        log_determinant = self.cholesky.diagonal().log().sum()
        return 0.5 * self.residual.square().sum() + log_determinant + 0.5 * self.ones.square().sum().log()


class TransferGP:
    """The fitted model; `fit_transfer_gp` makes one."""

    def __init__(
        self,
        rows: _Rows,
        targets: Tensor,
        known: _Hyperparameters,
        conditioned: _Conditioned,
        unit: tuple[float, float],
    ) -> None:
        self._rows = rows
        self._targets = targets
        self._known = known
        self._conditioned = conditioned
        self._offset, self._scale = unit

    @property
    def slope(self) -> float:
        """rho sigma: how the values of the task, standardised, follow what past tasks foresee."""
        return float(self._known.slope)

    @property
    def unit(self) -> float:
        """The spread of the observed values, in which predictions are numbers of ordinary size."""
        return self._scale

    @property
    def log_marginal_likelihood(self) -> float:
        """Of the standardised values under the fitted hyperparameters, mu integrated out, up to a constant of n."""
        return -float(self._conditioned.loss())

    def hallucinated(self, inputs: Inputs) -> TransferGP:
        """The model as it would be if these candidates were observed to be worth their means (GP-BUCB)."""
        if not len(inputs):
            return self
        added = _Rows.of(inputs)
        foreseen = torch.from_numpy((self.predict(inputs)[0] - self._offset) / self._scale)
        rows = _Rows(
            torch.cat([self._rows.features, added.features]),
            torch.cat([self._rows.mean, added.mean]),
            torch.cat([self._rows.deviations, added.deviations]),
        )
        targets = torch.cat([self._targets, foreseen])
        known = _Conditioned.on(self._known, rows, targets)
        return TransferGP(rows, targets, self._known, known, (self._offset, self._scale))

    def predict(self, inputs: Inputs) -> tuple[Floats, Floats]:
        """Mean and variance of the noise-free values, in the task's own units, each `n`."""
        parts = [self._standardised(inputs[i : i + _CHUNK]) for i in range(0, len(inputs), _CHUNK)]
        mean, variance = (np.concatenate([part[k] for part in parts]) if parts else np.empty(0) for k in (0, 1))
        return self._offset + self._scale * mean, self._scale**2 * variance

    def _standardised(self, inputs: Inputs) -> tuple[Floats, Floats]:
        rows, at = _Rows.of(inputs), self._conditioned
        shared = torch.linalg.solve_triangular(at.cholesky, self._known.covariance(self._rows, rows), upper=False)
        mean = at.mu + self._known.slope * rows.mean + at.residual @ shared
        of_mu = (1.0 - at.ones @ shared).square() / at.ones.square().sum()
        variance = self._known.variance(rows) - shared.square().sum(0) + of_mu
        return mean.numpy(), variance.clamp_min(1e-12).numpy()

    @cached_property
    def leave_one_out_log_density(self) -> Floats:
        """Log density of each observed value given all the others, `n`; mu is estimated anew without it.

        A flat mu makes the precision singular along 1: `P = K^-1 - K^-1 1 1' K^-1 / (1' K^-1 1)`, and Rasmussen and
        Williams 2006, equations 5.10 to 5.12, hold with it. Zeros for a single value.
        """
        at = self._conditioned
        n = len(at.ones)
        if n < 2:
            return np.zeros(n)
        inverse = torch.linalg.solve_triangular(at.cholesky, torch.eye(n, dtype=torch.float64), upper=False)
        weights = inverse.mT @ at.ones
        precision = inverse.square().sum(0) - weights.square() / at.ones.square().sum()
        variance = 1.0 / precision.clamp_min(1e-12)
        error = (inverse.mT @ at.residual) * variance
        density = -0.5 * (error.square() / variance + variance.log() + math.log(2.0 * math.pi))
        return np.asarray(density.numpy() - math.log(self._scale), dtype=np.float64)


def fit_transfer_gp(
    inputs: Inputs, values: Floats, groups: Sequence[int], settings: TransferGPSettings | None = None
) -> TransferGP:
    """Fits the model to `n >= 1` evaluations of a task in its own units.

    Args:
        inputs: The candidates.
        values: Their losses, `n`.
        groups: For each of the P features the number, from 0, of the lengthscale that it shares.
        settings: Centres of the priors.

    Raises:
        ValueError: If there is no value or not one a candidate.
    """
    if len(values) == 0 or len(values) != len(inputs):
        raise ValueError(f"got {len(values)} values of {len(inputs)} candidates, expected one each, at least one.")
    settings = settings or TransferGPSettings()
    offset, scale = float(values.mean()), float(values.std()) or max(abs(float(values.mean())), 1.0)
    rows, targets = _Rows.of(inputs), torch.from_numpy((values - offset) / scale)
    free = nn.Parameter(torch.zeros(5 + max(groups, default=-1) + 1, dtype=torch.float64))
    known = _priors(settings, rows, groups)
    if len(values) > 1:
        minimise(
            lambda: _Conditioned.on(known(free), rows, targets).loss() + 0.5 * free.square().sum(),
            [free],
            settings.max_iterations,
        )
    with torch.no_grad():
        found = known(free)
        return TransferGP(rows, targets, found, _Conditioned.on(found, rows, targets), (offset, scale))


def _priors(settings: TransferGPSettings, rows: _Rows, groups: Sequence[int]) -> Callable[[Tensor], _Hyperparameters]:
    """Maps standard normal numbers to hyperparameters that are log-normal around the settings.

    sigma is drawn towards 1 / the spread foreseen for the observed candidates, since the values are standardised: a
    task whose first trials are all good ones looks narrow. Lengthscales: Hvarfner et al. 2024, equation 7, narrower.
    """
    deviating = (rows.deviations - rows.deviations.mean(0)).square().sum(-1).mean()
    foreseen = settings.slope**2 * rows.mean.var(correction=0) + settings.task_amplitude * deviating
    log_sigma = -0.5 * (foreseen + settings.residual_amplitude + settings.noise).log()
    typical = [
        math.log(max(v, 1e-4))
        for v in (settings.slope, settings.task_amplitude, settings.residual_amplitude, settings.noise)
    ]
    lengthscale = 0.5 * math.log(max(groups, default=0) + 1)
    places = torch.tensor(list(groups), dtype=torch.long)

    def known(unbounded: Tensor) -> _Hyperparameters:
        free = _FARTHEST * (unbounded / _FARTHEST).tanh()
        sigma = (log_sigma + 0.7 * free[0]).clamp(-10.0, 10.0)
        slope, tasks, residual, noise = ((centre + free[i + 1]) for i, centre in enumerate(typical))
        return _Hyperparameters(
            (sigma + slope).exp(),
            (2.0 * sigma + tasks).exp(),
            (2.0 * sigma + residual).exp(),
            (2.0 * sigma + noise).exp() + _SMALLEST_NOISE,
            (lengthscale + free[5:]).exp()[places],
        )

    return known
