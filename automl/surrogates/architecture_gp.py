"""ArchitectureGP: a Gaussian process over candidates, architecture and hyperparameters together.

NASBOT's surrogate (Kandasamy et al. 2018) with a wider kernel (`automl.surrogates.candidate_kernel`): OTMANN distances
are one of its structural terms, counts of labels, subtrees and paths are others, and a smooth trend in what a network
is in a few numbers goes before them; all weights, decays and the noise are fitted by MAP. Losses become scores in which
outliers, such as networks that did not learn, leave the resolution near the best alone (`automl.scales`).

Hyperparameters are fitted to observations chosen by their number and values alone, from the modes of the priors; so a
prediction is a function of the observations, whatever was fitted before, and fits are remembered by content.
"""

from __future__ import annotations

import copy
import hashlib
import math
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.field_checks import check_counts, check_kinds, check_positive
from automl.observations import Candidate, Observations
from automl.parameters import Parameter
from automl.scales import excess_scores, normal_scores
from automl.surrogates.base import Prediction
from automl.surrogates.candidate_kernel import CandidateKernel, Tables
from automl.surrogates.gaussian_pool import GaussianPool, stable_cholesky
from automl.surrogates.map_fit import TYPICAL_NOISE, FittedPrior, fit_by_map
from automl.surrogates.structure import (
    SORTS,
    SORTS_OF_LAYERS,
    CandidatePool,
    HyperparameterCodes,
    ListedPool,
    graph_of,
)
from kernels.architecture import is_whole
from kernels.count_kernel import CountKernel, Distances
from kernels.distance_kernel import DistanceTableKernel
from kernels.graph_summary import labels_between, summary_length
from kernels.layer_costs import LabelCosts
from kernels.otmann import NU_STR, DistanceTable, checked_weights
from kernels.priors import prior_around

_SCORES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "excess": excess_scores,
    "normal": normal_scores,
}
_REMEMBERED_FITS = 16
_SMALLEST_VARIANCE = 1e-10
_CHUNK = 512
# Above that many candidates covariances are taken in single precision, which halves the time of the exponentials.
_SINGLE_PRECISION_ABOVE = 4096


@dataclass(frozen=True)
class ArchitectureGPSettings:
    """How the Gaussian process is built and fitted.

    Args:
        sorts: What is counted in graphs, names in `automl.surrogates.structure.SORTS`.
        transport: Whether OTMANN distances are a term of the kernel.
        trend: Whether a smooth trend in the summaries of networks (`kernels.graph_summary`) is a term of the kernel.
        scores: What losses become before they are modelled: "excess" keeps how far apart they are, "normal" their ranks
            alone (`automl.scales`).
        nu_str: Weights of OTMANN's structural cost.
        label_costs: OTMANN's costs of matching layers of different labels; by default those of
            `kernels.layer_costs` that suit the networks.
        typical: What the priors of each structural kernel are placed around: its decay at a typical distance, and its
            variance, that of the scores being 1.
        refit_always_below: Up to that many observations the hyperparameters are fitted anew to each new one.
        refit_every: Beyond, to every so many.
        fitted_at_most: Hyperparameters are fitted to at most that many observations, the best half and others evenly
            spread; predictions use all.
        max_iterations: L-BFGS iterations of a fit.
        smallest_noise: Lower bound of the noise's variance, that of the scores being 1.
        typical_noise: What the prior of the noise's variance is placed around.
        mean_deviation: Standard deviation of the prior of the constant mean, around the mean of the scores. A search
            crowds around what is good, and a few bad networks far away from it say that all the unknown is bad, unless
            the mean is held.

    Raises:
        ValueError: If a sort is unknown or a number out of range.
    """

    sorts: tuple[str, ...] = SORTS_OF_LAYERS
    transport: bool = True
    trend: bool = True
    scores: Literal["excess", "normal"] = "excess"
    nu_str: tuple[float, ...] = NU_STR
    label_costs: LabelCosts | None = None
    typical: float = 1.0
    refit_always_below: int = 50
    refit_every: int = 5
    fitted_at_most: int = 120
    max_iterations: int = 25
    smallest_noise: float = 1e-4
    typical_noise: float = TYPICAL_NOISE
    mean_deviation: float = 0.05

    def __post_init__(self) -> None:
        unknown = [sort for sort in self.sorts if sort not in SORTS]
        if unknown:
            raise ValueError(f"got the sorts {unknown}, expected some of {sorted(SORTS)}; remove or rename them.")
        if self.scores not in _SCORES:
            raise ValueError(
                f"got the scores {self.scores!r}, expected one of {', '.join(_SCORES)}; choose one of these."
            )
        check_counts(self, "refit_every", "fitted_at_most", "max_iterations")
        check_kinds(self, transport=bool, trend=bool, label_costs=LabelCosts)
        checked_weights(self.nu_str)
        if not is_whole(self.refit_always_below) or self.refit_always_below < self.refit_every - 1:
            raise ValueError(
                f"got refit_always_below = {self.refit_always_below}, expected at least refit_every - 1 = "
                f"{self.refit_every - 1}, since fewer observations would not be fitted to; raise it."
            )
        check_positive(self, "typical", "smallest_noise", "typical_noise", "mean_deviation")


@dataclass(frozen=True)
class _Rung:
    """One rung of the ladder of ever looser fits."""

    name: str
    smallest_noise: float
    transport: bool
    max_iterations: int


@dataclass(frozen=True, eq=False)
class Fit:
    """A fit to some observations.

    Args:
        prior: The fitted hyperparameters.
        labels: Those of the networks that were fitted to, whose shares the trend follows; None without a trend.
        fallback: The looser rung that was needed, empty if none was.
    """

    prior: FittedPrior
    labels: tuple[str, ...] | None
    fallback: str


class ArchitectureGP:
    """The Gaussian process of a space; see the module's text.

    Args:
        hyperparameters: The space's hyperparameters, by name.
        settings: How it is built and fitted.
    """

    def __init__(
        self, hyperparameters: Mapping[str, Parameter], settings: ArchitectureGPSettings | None = None
    ) -> None:
        self.settings = settings or ArchitectureGPSettings()
        self.codes = HyperparameterCodes(hyperparameters)
        self.distances = DistanceTable(self.settings.nu_str, label_costs=self.settings.label_costs)
        self._fits: OrderedDict[str, Fit] = OrderedDict()

    def fit(self, observations: Observations) -> FittedArchitectureGP:
        """The posterior given the observations; see `automl.surrogates.base.Surrogate`.

        Raises:
            ValueError: If there is no value, or there are several objectives.
        """
        if len(observations) == 0 or observations.values.shape[1] != 1:
            raise ValueError(
                f"got values of shape {observations.values.shape}, expected at least one, of one objective; "
                "observe a candidate first, or pass one column of the values."
            )
        return FittedArchitectureGP(self, observations, self._fit(observations))

    def _fit(self, observations: Observations) -> Fit:
        """The fit to the scheduled observations, remembered by content."""
        rows = scheduled(observations.values[:, 0], self.settings)
        candidates = tuple(observations.candidates[i] for i in rows)
        scores = self.scores(observations.values[rows, 0])
        key = hashlib.sha256("".join(c.digest for c in candidates).encode() + scores.tobytes()).hexdigest()
        if key not in self._fits:
            self._fits[key] = self._first_that_works(candidates, torch.from_numpy(scores))
            if len(self._fits) > _REMEMBERED_FITS:
                self._fits.popitem(last=False)
        return self._fits[key]

    def scores(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """What `n` losses become before they are modelled: smaller is better, of about unit variance."""
        return _SCORES[self.settings.scores](losses)

    def _ladder(self) -> tuple[_Rung, ...]:
        s = self.settings
        more = max(100 * s.smallest_noise, 1e-2)
        return (
            _Rung("", s.smallest_noise, s.transport, s.max_iterations),
            _Rung("more noise", more, s.transport, s.max_iterations),
            _Rung("more noise, no OTMANN distances", more, False, s.max_iterations),
            _Rung("typical hyperparameters, not fitted", 0.1, False, 0),
        )

    def _first_that_works(self, candidates: Sequence[Candidate], scores: Tensor) -> Fit:
        *looser, loosest = self._ladder()
        for rung, following in zip(looser, [*looser[1:], loosest], strict=True):
            try:
                return self._fitted(candidates, scores, rung)
            except RuntimeError as error:  # as linear algebra and gpytorch's NotPSDError and NanError are
                warnings.warn(
                    f"the Gaussian process of {len(scores)} observations could not be fitted ({error}); "
                    f"the next fit is looser: {following.name}.",
                    RuntimeWarning,
                    stacklevel=2,
                )
        return self._fitted(candidates, scores, loosest)

    def _fitted(self, candidates: Sequence[Candidate], scores: Tensor, rung: _Rung) -> Fit:
        pool = self.pool_of(candidates)
        labels = None
        if self.settings.trend and pool.has_architectures:
            labels = labels_between(map(graph_of, candidates))
        tables = self.tables_among(pool, transport=rung.transport)
        typical, counts, transport = self.settings.typical, tables.counts, tables.transport
        kernel = CandidateKernel(
            len(self.codes.numeric),
            len(self.codes.categorical),
            n_summary=0 if labels is None else summary_length(labels),
            counts=None if counts is None else CountKernel(_scales(counts), typical=typical),
            transport=None if transport is None else _transport_kernel(transport, typical),
        )
        kernel.set_tables(tables)
        prior = fit_by_map(
            kernel,
            inputs(pool, 0, labels),
            scores,
            smallest_noise=rung.smallest_noise,
            max_iterations=rung.max_iterations,
            mean_deviation=self.settings.mean_deviation,
            typical_noise=self.settings.typical_noise,
        )
        return Fit(prior, labels, rung.name)

    def pool_of(self, candidates: Sequence[Candidate]) -> CandidatePool:
        """A pool to ask a posterior about once."""
        return CandidatePool(candidates, self.settings.sorts, self.codes)

    def listed_pool(self, candidates: Sequence[Candidate]) -> ListedPool:
        """A pool to ask posteriors about again and again as observations come in."""
        return ListedPool(candidates, self.settings.sorts, self.codes)

    def tables_among(self, observed: CandidatePool, *, transport: bool) -> Tables:
        """The distances among observed candidates."""
        counts = torch.from_numpy(observed.distances(observed)).double() if observed.sorts else None
        has_transport = transport and observed.has_architectures
        return Tables(
            counts,
            self.transport_distances(observed.candidates, observed.candidates) if has_transport else None,
            torch.arange(len(observed)),
        )

    def transport_distances(self, observed: Sequence[Candidate], others: Sequence[Candidate]) -> Tensor:
        """OTMANN distances d and d_bar of `n` observed candidates from `m` others, `n x m x C`."""
        graphs = [[graph_of(candidate) for candidate in candidates] for candidates in (observed, others)]
        return torch.from_numpy(np.concatenate(self.distances.distances(*graphs), axis=-1))


class FittedArchitectureGP:
    """The posterior of an `ArchitectureGP`; made by `ArchitectureGP.fit`.

    Args:
        gp: What made it.
        observations: What it is conditioned on.
        fit: The hyperparameters.
    """

    def __init__(self, gp: ArchitectureGP, observations: Observations, fit: Fit) -> None:
        self.gp = gp
        self.prior = fit.prior
        self.fallback = fit.fallback
        self.noise = fit.prior.noise  # of what the kernel leaves unexplained of a candidate that has not been observed
        self.observed = gp.pool_of(observations.candidates)
        self.labels = fit.labels
        self.inputs = inputs(self.observed, 0, fit.labels)
        self._kernels = {torch.float64: cast(CandidateKernel, fit.prior.kernel)}
        self.has_transport = self.kernel(torch.float64).transport is not None
        self.tables = gp.tables_among(self.observed, transport=self.has_transport)
        self.scores = torch.from_numpy(gp.scores(observations.values[:, 0]))
        self._condition(0.0, torch.full_like(self.scores, fit.prior.noise))

    def kernel(self, dtype: torch.dtype) -> CandidateKernel:
        """The fitted covariance in a precision; its user puts tables in place before every use."""
        if dtype not in self._kernels:
            self._kernels[dtype] = copy.deepcopy(self._kernels[torch.float64]).to(dtype)
        return self._kernels[dtype]

    def split(self, residual: float, chance: NDArray[np.float64]) -> FittedArchitectureGP:
        """The posterior of what candidates are worth, where the noise is taken to be of two sorts.

        What the kernel does not explain of a candidate's worth has the covariance `residual` I, and the scores lie
        around what candidates are worth with the covariance diag(chance).

        Args:
            residual: Variance of what a candidate is worth beyond the kernel, above 0.
            chance: Variance of each observed candidate's score around that, `n`, above 0.
        """
        other = copy.copy(self)
        other.noise = residual
        other._condition(residual, torch.from_numpy(chance))
        return other

    def _condition(self, residual: float, chance: Tensor) -> None:
        """Factorises the covariance of the observations and solves for the weight of each.

        Mean m + C (C + D)^-1 (y - m) and covariance C - C (C + D)^-1 C of the observed candidates with C = K + residual
        I and D = diag(chance) (Rasmussen and Williams 2006, equations 2.23 and 2.24).
        """
        kernel = self.kernel(torch.float64)
        kernel.set_tables(self.tables)
        covariance = kernel.forward(self.inputs, self.inputs) + residual * torch.eye(len(chance), dtype=torch.float64)
        self.factor = stable_cholesky(covariance + torch.diag(chance), 0.0)
        self.weights = torch.cholesky_solve((self.scores - self.prior.mean)[:, None], self.factor)[:, 0]
        self.fitted_scores = self.prior.mean + covariance @ self.weights
        self._covariance = covariance

    @property
    def fitted_deviations(self) -> Tensor:
        """Standard deviation of what each observed candidate is worth, `n`."""
        explained = torch.linalg.solve_triangular(self.factor, self._covariance, upper=False).square().sum(0)
        deviations: Tensor = (self._covariance.diagonal() - explained).clamp_min(_SMALLEST_VARIANCE).sqrt()
        return deviations

    @property
    def incumbent(self) -> float:
        """The least posterior mean among the observed candidates: the best score, unmoved by noise."""
        return float(self.fitted_scores.min())

    @property
    def leave_one_out_log_density(self) -> Tensor:
        """Log density of each observed score given all the others, `n` (Rasmussen and Williams 2006, section 5.4.2)."""
        identity = torch.eye(len(self.scores), dtype=torch.float64)
        precision = torch.linalg.solve_triangular(self.factor, identity, upper=False).square().sum(0)
        density: Tensor = 0.5 * (precision.log() - self.weights.square() / precision - math.log(2.0 * math.pi))
        return density

    def predict(self, candidates: Sequence[Candidate]) -> Prediction:
        """Mean and deviation of the scores of candidates; see `automl.surrogates.base.FittedSurrogate`."""
        chunks = [candidates[i : i + _CHUNK] for i in range(0, len(candidates), _CHUNK)]
        pools = [self.pool(self.gp.pool_of(chunk)) for chunk in chunks]
        mean = torch.cat([torch.empty(0, dtype=torch.float64), *(pool.mean for pool in pools)])
        variance = torch.cat([torch.empty(0, dtype=torch.float64), *(pool.variance for pool in pools)])
        return Prediction(mean.numpy(), variance.sqrt().numpy())

    def pool(self, pool: CandidatePool) -> GaussianPool:
        """The joint posterior of the candidates of a pool."""
        dtype = torch.float32 if len(pool) > _SINGLE_PRECISION_ABOVE else torch.float64
        return _PoolPosterior(self, pool, dtype).gaussian()


class _PoolPosterior:
    """The posterior of a pool in closed form: m + k(x, X) w and k(x, x') - |L^-1 k(X, x)|^2, X the observed ones.

    GPyTorch's own prediction would form the covariance of the whole pool, which has tens of thousands of candidates.
    """

    def __init__(self, fitted: FittedArchitectureGP, pool: CandidatePool, dtype: torch.dtype) -> None:
        self._kernel = fitted.kernel(dtype)
        self._pool = pool
        self._n = len(fitted.observed)
        self._inputs = inputs(pool, self._n, fitted.labels).to(dtype)
        self._transport = _joined(fitted, pool)
        self._noise = fitted.noise
        self._set_tables(pool.distances(fitted.observed))
        known = self._kernel.forward(fitted.inputs.to(dtype), self._inputs)
        self._explained = torch.linalg.solve_triangular(fitted.factor.to(dtype), known, upper=False)
        self._mean = fitted.prior.mean + fitted.weights.to(dtype) @ known

    def _set_tables(self, counts: Distances) -> None:
        self._kernel.set_tables(Tables(torch.from_numpy(counts), self._transport, torch.arange(self._n)))

    def gaussian(self) -> GaussianPool:
        """Mean, variances and covariances, as BoTorch takes them."""
        prior = self._kernel.forward(self._inputs, self._inputs, diag=True)
        variance = prior - self._explained.square().sum(0)
        return GaussianPool(self._mean.double(), variance.double(), self._covariance, self._noise)

    def _covariance(self, rows: Tensor, columns: Tensor) -> Tensor:
        some = self._pool.part(rows.tolist())
        self._set_tables(self._pool.distances(some)[:, :, columns.numpy()])
        x1, x2 = self._inputs[rows], self._inputs[columns]
        x1[:, 0], x2[:, 0] = torch.arange(len(rows)), torch.arange(len(columns))
        known: Tensor = self._explained[:, rows].mT @ self._explained[:, columns]
        return self._kernel.forward(x1, x2).double() - known.double()


def _joined(fitted: FittedArchitectureGP, pool: CandidatePool) -> Tensor | None:
    """OTMANN distances of the observed candidates from themselves and then from those of the pool."""
    among = fitted.tables.transport
    if among is None:
        return None
    return torch.cat([among, fitted.gp.transport_distances(fitted.observed.candidates, pool.candidates)], dim=1)


def inputs(pool: CandidatePool, n_before: int, labels: Sequence[str] | None) -> Tensor:
    """Rows for `CandidateKernel`: places in the table of counts and, after `n_before` others, in that of transport.

    Then come the networks' summaries with the shares of `labels`, unless these are None, and the hyperparameters.
    """
    places = torch.arange(len(pool), dtype=torch.float64)[:, None]
    summaries = [] if labels is None else [pool.summaries(labels)]
    return torch.hstack([places, places + n_before, *summaries, pool.hyperparameters])


def scheduled(values: NDArray[np.float64], settings: ArchitectureGPSettings) -> list[int]:
    """Which of n observations hyperparameters are fitted to, in order: a function of their number and values."""
    n = len(values)
    if n > settings.refit_always_below:
        n -= n % settings.refit_every
    if n <= settings.fitted_at_most:
        return list(range(n))
    best = np.argsort(values[:n], kind="stable")[: settings.fitted_at_most // 2]
    others = np.setdiff1d(np.arange(n), best)
    spread = np.linspace(0, len(others) - 1, settings.fitted_at_most - len(best)).round().astype(int)
    return sorted({*best.tolist(), *others[spread].tolist()})


def _scales(counts: Tensor) -> Tensor:
    """Mean positive distance of each sort, 1 where there is none."""
    positive = (counts > 0).sum((1, 2))
    return torch.where(positive > 0, counts.sum((1, 2)) / positive.clamp_min(1), 1.0)


def _transport_kernel(table: Tensor, typical: float) -> DistanceTableKernel:
    """Two exponentials, of d and of d_bar, each over all nu; power 1, as exp(-d_bar^2) is indefinite."""
    n_nu = table.shape[-1] // 2
    return DistanceTableKernel(
        table,
        groups=(range(n_nu), range(n_nu, 2 * n_nu)),
        beta_prior=prior_around(typical / n_nu, 1.0),
        outputscale_prior=prior_around(typical / 2, 1.0),
    )
