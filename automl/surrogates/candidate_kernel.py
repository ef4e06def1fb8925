"""The covariance of candidates: structural kernels of the architecture times kernels of the hyperparameters.

    k(x, x') = [sum over counts (Laplacian, `kernels.count_kernel`) + OTMANN terms (`kernels.distance_kernel`)]
               * Matern-5/2 with a lengthscale a number * exponential of the mismatch with a decay a choice.

Each factor is positive semi-definite, so their product is. An input is a row `[i, j, numbers..., choices...]`: where a
candidate stands in the table of counts and in that of OTMANN distances, and its hyperparameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import Kernel, MaternKernel
from gpytorch.priors import LogNormalPrior
from torch import Tensor

from kernels.count_kernel import CountKernel
from kernels.distance_kernel import DistanceTableKernel
from kernels.priors import prior_around, value_of

_INDICES = 2


@dataclass(frozen=True, eq=False)
class Tables:
    """Distances that the structural kernels look up.

    Args:
        counts: L1 distances of counts between r candidates and c others, `G x r x c`; None without such a kernel.
        transport: OTMANN distances between N candidates, `N x N x C`; only those with an anchor need be right.
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


class CandidateKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """The product kernel of this module's text; what a space lacks is left out.

    Args:
        n_numeric: Number p of numeric hyperparameters.
        n_categorical: Number q of categorical ones.
        counts: The kernel of counts, None in a space without architectures.
        transport: The kernel of OTMANN distances, None to do without.
    """

    def __init__(
        self,
        n_numeric: int,
        n_categorical: int,
        *,
        counts: CountKernel | None = None,
        transport: DistanceTableKernel | None = None,
    ) -> None:
        super().__init__()
        self.counts = counts
        self.transport = transport
        self.n_numeric = n_numeric
        self._in_place: Tensor | None = None  # the table of transport that was set last: setting one copies it
        self.numeric = self.categorical = None
        n_all = n_numeric + n_categorical
        if n_numeric:
            self.numeric = _with_prior(MaternKernel(2.5, ard_num_dims=n_numeric), n_all)
        if n_categorical:
            self.categorical = _with_prior(MismatchKernel(ard_num_dims=n_categorical), n_all)
        self.register_parameter("raw_outputscale", torch.nn.Parameter(torch.zeros((), dtype=torch.float64)))
        self.register_constraint("raw_outputscale", _positive())
        self.register_prior("outputscale_prior", prior_around(1.0, 0.5), value_of("outputscale"))

    @property
    def outputscale(self) -> Tensor:
        """The factor of all; the structural kernels have weights of their own beside."""
        outputscale: Tensor = self.raw_outputscale_constraint.transform(self.raw_outputscale)
        return outputscale

    def set_tables(self, tables: Tables) -> None:
        """Puts the distances in place that the next inputs point to."""
        if self.counts is not None and tables.counts is not None:
            self.counts.set_table(tables.counts)
        if self.transport is not None and tables.transport is not None and tables.transport is not self._in_place:
            self.transport.set_table(tables.transport, tables.anchors)
            self._in_place = tables.transport

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k between rows, `n x m`, or its diagonal, `n`."""
        numbers = slice(_INDICES, _INDICES + self.n_numeric)
        choices = slice(_INDICES + self.n_numeric, None)
        shape = x1.shape[:-1] if diag else (*x1.shape[:-1], x2.shape[-2])
        covariance = self._structural(x1, x2, diag).expand(shape)
        for kernel, columns in ((self.numeric, numbers), (self.categorical, choices)):
            if kernel is not None:
                covariance = covariance * kernel.forward(x1[..., columns], x2[..., columns], diag=diag)
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
    kernel.register_constraint("raw_lengthscale", _positive())
    kernel.register_prior("lengthscale_prior", prior, value_of("lengthscale"))
    kernel.double()
    kernel.lengthscale = float(prior.mean.clamp_max(math.sqrt(dimension)))
    return kernel
