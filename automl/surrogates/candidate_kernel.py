"""The covariance of candidates: a smooth trend, and structural kernels of the graph for what the trend leaves over.

    k(x, x') = s [ m(summary, hyperparameters) + w g(graph) m(hyperparameters) ]

where g sums Laplacian kernels of counts (`kernels.count_kernel`) and OTMANN terms (`kernels.distance_kernel`), and each
m is a Matern-5/2 kernel with a lengthscale a number times the exponential of the mismatch with a decay a choice. The
summary is what a network is in a few numbers (`kernels.graph_summary`). Sums and products of positive semi-definite
kernels are such. Without the trend, as in the paper, s g m is left.

An input is a row `[i, j, summary..., numbers..., choices...]`: where a candidate stands in the table of counts and in
that of OTMANN distances, what its network is, and its hyperparameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from gpytorch.constraints import GreaterThan, Positive
from gpytorch.kernels import Kernel, MaternKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from kernels.count_kernel import CountKernel
from kernels.distance_kernel import DistanceTableKernel
from kernels.priors import prior_around, value_of

_INDICES = 2
_SMALLEST_LENGTHSCALE = 0.01  # of a range of 1; what is shorter tells no more, and distances of 1e10 lose all digits
_TYPICAL_WEIGHT_OF_GRAPHS = 0.1  # beside the trend, chosen on development tasks, see BENCHMARKS.md


@dataclass(frozen=True, eq=False)
class Tables:
    """Distances that the structural kernels look up.

    Args:
        counts: L1 distances of counts between r candidates and c others, `G x r x c`; None without such a kernel.
        transport: OTMANN distances of the observed candidates from N, `a x N x C`; None without such a kernel.
        anchors: Which of the N candidates have been observed, `a` indices.
    """

    counts: Tensor | None
    transport: Tensor | None
    anchors: Tensor


class MismatchKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """exp(-sum_j [x_j != x'_j] / l_j): the exponential kernel of the Hamming distance.

    Unlike BoTorch's `CategoricalKernel` its diagonal costs no square matrix.
    """

    has_lengthscale = True

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k between rows of choices, `n x m`, or the diagonal, `n`."""
        if diag:
            return torch.ones(x1.shape[:-1]).to(x1)
        exponent = torch.zeros(()).to(x1)
        for j, decay in enumerate(1 / self.lengthscale.squeeze(-2)):
            exponent = exponent + decay * (x1[..., :, None, j] != x2[..., None, :, j])
        return torch.exp(-exponent)


class MixedKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """Matern-5/2 of numbers times the exponential of the mismatch of choices; 1 where there is neither.

    Args:
        n_numeric: Number of columns that are numbers; they come first.
        n_categorical: Number of columns that are indices of choices.
    """

    def __init__(self, n_numeric: int, n_categorical: int) -> None:
        super().__init__()
        self.n_numeric = n_numeric
        self.numeric = self.categorical = None
        n_all = n_numeric + n_categorical
        if n_numeric:
            self.numeric = _with_prior(MaternKernel(2.5, ard_num_dims=n_numeric), n_all)
        if n_categorical:
            self.categorical = _with_prior(MismatchKernel(ard_num_dims=n_categorical), n_all)

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k between rows, `n x m`, or its diagonal, `n`."""
        factors = [
            kernel.forward(x1[..., columns], x2[..., columns], diag=diag)
            for kernel, columns in (
                (self.numeric, slice(self.n_numeric)),
                (self.categorical, slice(self.n_numeric, None)),
            )
            if kernel is not None
        ]
        return math.prod(factors, start=torch.ones(()).to(x1))


class CandidateKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """The kernel of this module's text; what a space lacks is left out.

    Args:
        n_numeric: Number p of numeric hyperparameters.
        n_categorical: Number q of categorical ones.
        n_summary: Length of a network's summary; 0 to do without the trend.
        counts: The kernel of counts, None in a space without architectures.
        transport: The kernel of OTMANN distances, None to do without.
    """

    def __init__(
        self,
        n_numeric: int,
        n_categorical: int,
        *,
        n_summary: int = 0,
        counts: CountKernel | None = None,
        transport: DistanceTableKernel | None = None,
    ) -> None:
        super().__init__()
        self.counts = counts
        self.transport = transport
        self._in_place: Tensor | None = None  # the table of transport that was set last: setting one copies it
        self.n_summary = n_summary
        self.of_hyperparameters = MixedKernel(n_numeric, n_categorical)
        self.trend = MixedKernel(n_summary + n_numeric, n_categorical) if n_summary else None
        self._register("outputscale", 1.0, 0.5)
        if self.trend is not None:
            self._register("weight_of_graphs", _TYPICAL_WEIGHT_OF_GRAPHS, 1.0)

    def _register(self, name: str, typical: float, deviation: float) -> None:
        """A positive number to be fitted."""
        start = torch.tensor(math.log(typical), dtype=torch.float64)
        self.register_parameter(f"raw_{name}", torch.nn.Parameter(start))
        self.register_constraint(f"raw_{name}", _positive())
        self.register_prior(f"{name}_prior", prior_around(typical, deviation), value_of(name))

    @property
    def outputscale(self) -> Tensor:
        """The factor s of all; the structural kernels have weights of their own beside."""
        outputscale: Tensor = self.raw_outputscale_constraint.transform(self.raw_outputscale)
        return outputscale

    @property
    def weight_of_graphs(self) -> Tensor:
        """The factor w of the structural kernels beside the trend."""
        weight: Tensor = self.raw_weight_of_graphs_constraint.transform(self.raw_weight_of_graphs)
        return weight

    def set_tables(self, tables: Tables) -> None:
        """Puts the distances in place that the next inputs point to."""
        if self.counts is not None and tables.counts is not None:
            self.counts.set_table(tables.counts)
        if self.transport is not None and tables.transport is not None and tables.transport is not self._in_place:
            self.transport.set_table(tables.transport, tables.anchors)
            self._in_place = tables.transport

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k between rows, `n x m`, or its diagonal, `n`."""
        summaries, hyperparameters = slice(_INDICES, None), slice(_INDICES + self.n_summary, None)
        shape = x1.shape[:-1] if diag else (*x1.shape[:-1], x2.shape[-2])
        covariance = self._structural(x1, x2, diag).expand(shape)
        covariance = covariance * self.of_hyperparameters.forward(
            x1[..., hyperparameters], x2[..., hyperparameters], diag=diag
        )
        if self.trend is not None:
            trend = self.trend.forward(x1[..., summaries], x2[..., summaries], diag=diag)
            covariance = trend + self.weight_of_graphs * covariance
        return self.outputscale * covariance

    def _structural(self, x1: Tensor, x2: Tensor, diag: bool) -> Tensor:
        terms = [
            kernel.forward(x1[..., i : i + 1], x2[..., i : i + 1], diag=diag)
            for i, kernel in enumerate((self.counts, self.transport))
            if kernel is not None
        ]
        return sum(terms[1:], terms[0]) if terms else torch.ones(()).to(x1)


def _positive() -> Positive:
    return Positive(transform=torch.exp, inv_transform=torch.log)


def _with_prior(kernel: Kernel, dimension: int) -> Kernel:
    """The kernel with a log-normal prior of its lengthscales that is wider where there are more dimensions.

    Hvarfner et al. 2024, "Vanilla Bayesian optimization performs great in high dimensions", equation 7.
    """
    prior = LogNormalPrior(math.sqrt(2) + 0.5 * math.log(dimension), math.sqrt(3))
    limits = GreaterThan(_SMALLEST_LENGTHSCALE, transform=torch.exp, inv_transform=torch.log)
    kernel.register_constraint("raw_lengthscale", limits)
    kernel.register_prior("lengthscale_prior", prior, value_of("lengthscale"))
    kernel.double()
    kernel.lengthscale = math.sqrt(dimension)  # where the search for the most likely ones begins
    return kernel
