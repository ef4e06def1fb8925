"""Covariances over rows of a table: kernels whose inputs are indices, the precedent being gpytorch's `IndexKernel`.

Graphs are no tensors, so distances between them are computed once, into a table, and a kernel is elementwise over it
(Kandasamy et al. 2018, NASBOT, section 3.2):

    k(x, y) = sum over groups g of outputscale_g exp(-sum over columns i in g of beta_i (d_i(x, y) / scale_i)^power_g).

Such a k need not be positive semi-definite: exp(-d_bar^2) is not. So all covariances given here are those of one kernel
k' that is, and that is as near to k as it can be at the anchors Z (the observed networks, or all rows of the table):

    k'(x, y) = phi(x) . phi(y) + [x = y] (k(x, x) - |phi(x)|^2)_+,    phi(x) = L_+^(-1/2) V_+^T k(Z, x),

where K_ZZ = V L V^T and + takes the positive eigenvalues. Among anchors k' is K_ZZ with its negative eigenvalues cut
off; between an anchor and another row it is k projected likewise; another row keeps its variance k(x, x) and is
correlated with its like through the anchors (Nystroem features with a diagonal correction, as in FITC). Training, cross
and posterior covariances are blocks of this one matrix, whichever rows are asked for together. Where K_ZZ has no
negative eigenvalue, as a Cholesky factorisation tells, k' = k for every pair with an anchor, and no eigenvalue is
computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from gpytorch.constraints import Interval, Positive
from gpytorch.kernels import Kernel
from gpytorch.priors import Prior
from linear_operator.utils.errors import NanError  # type: ignore[import-untyped]  # it publishes no types
from torch import Tensor

from kernels.count_kernel import consecutive
from kernels.priors import value_of

# Eigenvalues above minus this, relative to the mean of the diagonal, count as rounding and not as indefiniteness.
_TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-5}


class DistanceTableKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """Sum of exponentials of distances read from a table, made positive semi-definite (see the module's text).

    Inputs are indices into the table, a `batch_shape x n x 1` tensor of any dtype.

    Args:
        distances: A table `N x N x C` of C distances between N rows, float32 or float64; the parameters take its dtype.
            Where only `a` of the rows are anchors, `a x N x C` is enough, in their order.
        groups: The columns of each of G exponentials; all columns in one by default.
        powers: The power of each group's distances, above 0 and at most 2; all 1 by default.
        anchors: The rows Z at which k is kept, an index tensor `a`; all by default. With the observed rows as anchors a
            growing pool of other rows costs O(a^2) each, and the training covariance does not depend on the pool.
        scales: What each column is divided by, `C`; by default its median positive distance among anchors.
        batch_shape: Batch shape of the parameters.
        active_dims: The column of the inputs that holds the index.
        beta_prior: Prior over `beta`, `batch_shape x C`.
        beta_constraint: Constraint of `beta`; positive by default.
        outputscale_prior: Prior over `outputscale`, `batch_shape x G`.
        outputscale_constraint: Constraint of `outputscale`; positive by default.

    Raises:
        ValueError: If the table has another shape or type, groups, powers and columns disagree, or an anchor is no row.
    """

    table: Tensor  # (a, N, C), raised to its groups' powers
    among_anchors: Tensor  # (a, a, C), of the same
    scales: Tensor  # (C,)
    membership: Tensor  # (C, G), 1 where a column is of a group
    anchors: Tensor  # (a,)
    position: Tensor  # (N,): a row's place among the anchors, -1 for others

    def __init__(
        self,
        distances: Tensor,
        *,
        groups: Sequence[Sequence[int]] | None = None,
        powers: Sequence[float] | None = None,
        anchors: Tensor | None = None,
        scales: Tensor | None = None,
        batch_shape: torch.Size | None = None,
        active_dims: tuple[int, ...] | None = None,
        beta_prior: Prior | None = None,
        beta_constraint: Interval | None = None,
        outputscale_prior: Prior | None = None,
        outputscale_constraint: Interval | None = None,
    ) -> None:
        super().__init__(batch_shape=batch_shape or torch.Size(), active_dims=active_dims)
        _check_dtype(distances)
        n_columns = distances.shape[-1]
        self.groups = [list(group) for group in (groups or [range(n_columns)])]
        self.powers = list(powers or [1.0] * len(self.groups))
        self._check_groups(n_columns)
        _check_table(distances, n_columns, anchors)
        for name in ("table", "among_anchors", "scales", "anchors", "position"):
            self.register_buffer(name, torch.empty(0))
        self.register_buffer("membership", _membership(self.groups, n_columns).to(distances))
        self.scales = _median_distances(distances, anchors) if scales is None else scales.to(distances)
        self.set_table(distances, anchors)
        self._register("beta", n_columns, distances.dtype, beta_prior, beta_constraint)
        self._register("outputscale", len(self.groups), distances.dtype, outputscale_prior, outputscale_constraint)
        self.beta = 1.0 / n_columns
        self.outputscale = 1.0 / len(self.groups)

    def _check_groups(self, n_columns: int) -> None:
        if sorted(column for group in self.groups for column in group) != list(range(n_columns)):
            raise ValueError(
                f"got groups {self.groups} for {n_columns} columns, expected each column in exactly one group; "
                f"divide the columns 0 to {n_columns - 1} among the groups."
            )
        if len(self.powers) != len(self.groups) or not all(0 < power <= 2 for power in self.powers):
            raise ValueError(
                f"got powers {self.powers} for {len(self.groups)} groups, expected one a group, above 0 and at most 2; "
                "pass one such power a group."
            )

    def _register(self, name: str, size: int, dtype: torch.dtype, prior: Prior | None, limits: Interval | None) -> None:
        raw = torch.nn.Parameter(torch.zeros(*self.batch_shape, size, dtype=dtype))
        self.register_parameter(f"raw_{name}", raw)
        self.register_constraint(f"raw_{name}", limits or Positive())
        if prior is not None:
            setter = partial(DistanceTableKernel._set, name=name)
            self.register_prior(f"{name}_prior", prior, value_of(name), setter)

    def _set(self, value: Tensor | float, name: str) -> None:
        raw = getattr(self, f"raw_{name}")
        constraint = getattr(self, f"raw_{name}_constraint")
        self.initialize(**{f"raw_{name}": constraint.inverse_transform(torch.as_tensor(value).to(raw))})

    @property
    def beta(self) -> Tensor:
        """Weight of each column's scaled distance, `batch_shape x C`."""
        beta: Tensor = self.raw_beta_constraint.transform(self.raw_beta)
        return beta

    @beta.setter
    def beta(self, value: Tensor | float) -> None:
        self._set(value, "beta")

    @property
    def outputscale(self) -> Tensor:
        """Variance that each group contributes, `batch_shape x G`."""
        outputscale: Tensor = self.raw_outputscale_constraint.transform(self.raw_outputscale)
        return outputscale

    @outputscale.setter
    def outputscale(self, value: Tensor | float) -> None:
        self._set(value, "outputscale")

    def set_table(self, distances: Tensor, anchors: Tensor | None = None) -> None:
        """Puts another table, `N x N x C` or `a x N x C`, in place, with the scales and parameters as they are.

        So a fitted model can be asked about new rows: put the observed rows first as they were, with them as anchors.

        Raises:
            ValueError: If the table has another shape, or an anchor is no row.
        """
        _check_table(distances, len(self.scales), anchors)
        n = distances.shape[1]
        anchors = torch.arange(n) if anchors is None else anchors.long()
        is_whole = len(distances) == n
        self.table = self._powers(distances[consecutive(anchors)] if is_whole else distances).to(self.scales)
        self.anchors = anchors
        self.position = torch.full((n,), -1).scatter(0, anchors, torch.arange(len(anchors)))
        self.among_anchors = self.table[:, consecutive(anchors)].contiguous()

    def _powers(self, distances: Tensor) -> Tensor:
        """The distances raised to their groups' powers."""
        if all(power == 1 for power in self.powers):
            return distances
        return distances ** (self.membership @ torch.tensor(self.powers).to(self.membership)).to(distances)

    def _exponentials(self, table: Tensor) -> Tensor:
        """k from entries `... x n x m x C` of the table; the parameters' batch shape stands before n and m."""
        decays = (self.beta / self._powers(self.scales))[..., None] * self.membership
        weights = self.outputscale[..., None]
        if self.batch_shape:
            decays, weights = decays[..., None, :, :], weights[..., None, :, :]
        total: Tensor = (torch.exp(-(table @ decays)) @ weights)[..., 0]
        return total

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k' between rows, `batch_shape x n x m`; only the diagonal, `batch_shape x n`, where `diag` is true.

        Gradients with respect to the parameters are exact among anchors. Where K_ZZ is indefinite its eigenvectors are
        held constant in the covariances of other rows.
        """
        among_anchors = self._exponentials(self.among_anchors)
        basis = _basis(among_anchors.detach())
        rows = _indices(x1)
        if diag:
            return self._diagonal(rows, basis)
        columns = _indices(x2)
        if torch.equal(rows, self.anchors) and torch.equal(columns, self.anchors):
            return among_anchors if basis.is_complete else _positive_part(among_anchors)
        return self._block(rows, columns, among_anchors, basis)

    def _diagonal(self, rows: Tensor, basis: _Basis) -> Tensor:
        own = self.outputscale.sum(-1, keepdim=True)
        known = self._features(rows, basis).square().sum(-2)
        is_anchor = self.position[rows] >= 0
        return torch.where(is_anchor, own if basis.is_complete else known, torch.maximum(own, known))

    def _block(self, rows: Tensor, columns: Tensor, among_anchors: Tensor, basis: _Basis) -> Tensor:
        i, j = rows[..., :, None], columns[..., None, :]
        are_anchors = (self.position[i] >= 0, self.position[j] >= 0)
        if basis.is_complete and are_anchors[0].all():
            return self._exponentials(self._rows(self.position[rows], columns))
        neither = ~(are_anchors[0] | are_anchors[1])
        nystroem = self._features(rows, basis).mT @ self._features(columns, basis)
        own = self.outputscale.sum(-1)[..., None, None]
        corrected = torch.where(neither & (i == j), torch.maximum(own, nystroem), nystroem)
        if basis.is_complete:
            from_row = self.table[self.position[i].clamp_min(0), j]
            from_column = self.table[self.position[j].clamp_min(0), i]
            k = self._exponentials(torch.where(are_anchors[0][..., None], from_row, from_column))
            return torch.where(neither, corrected, k)
        positive = _positive_part(among_anchors)
        kept = _gather(positive, self.position[i].clamp_min(0), self.position[j].clamp_min(0))
        return torch.where(are_anchors[0] & are_anchors[1], kept, corrected)

    def _rows(self, places: Tensor, columns: Tensor) -> Tensor:
        """Entries of the table between anchors, given by place, and rows: `... x n x m x C`."""
        if places.dim() == columns.dim() == 1:
            return self.table[consecutive(places)][:, consecutive(columns)]
        return self.table[places[..., :, None], columns[..., None, :]]

    def _features(self, rows: Tensor, basis: _Basis) -> Tensor:
        """phi of rows, `batch_shape x r x n`."""
        return basis.features(self._exponentials(self._rows(torch.arange(len(self.anchors)), rows)))


@dataclass(frozen=True, eq=False)
class _Basis:
    """What turns k(Z, x) into the features phi(x).

    Args:
        matrix: The Cholesky factor of K_ZZ where that is complete, else L_+^(-1/2) V_+^T; `batch_shape x a x a`.
        is_complete: Whether K_ZZ has no negative eigenvalue.
    """

    matrix: Tensor
    is_complete: bool

    def features(self, covariances: Tensor) -> Tensor:
        """phi from k(Z, x), both `batch_shape x a x n`."""
        phi: Tensor
        if not self.is_complete:
            phi = self.matrix @ covariances
            return phi
        # solve_triangular would copy the factor for every batch in front, so those become columns.
        extra = max(covariances.dim() - self.matrix.dim(), 0)
        batches, n = covariances.shape[:extra], covariances.shape[-1]
        columns = covariances.reshape(-1, *covariances.shape[extra:]).movedim(0, -2).flatten(-2)
        solved = torch.linalg.solve_triangular(self.matrix, columns, upper=False)
        phi = solved.unflatten(-1, (-1, n)).movedim(-2, 0).unflatten(0, batches) if extra else solved
        return phi


def _basis(covariance: Tensor) -> _Basis:
    if not covariance.isfinite().all():
        raise NanError(
            "got a covariance that is not finite, expected finite ones; bound beta and outputscale by priors."
        )
    tolerance = _TOLERANCE[covariance.dtype] * covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[..., None, None]
    factor, failed = torch.linalg.cholesky_ex(covariance + tolerance * torch.eye(covariance.shape[-1]).to(covariance))
    if not failed.any():
        return _Basis(factor, is_complete=True)
    values, vectors = torch.linalg.eigh(covariance)
    positive = values[..., None, :] > tolerance
    inverse_roots = torch.where(positive, values[..., None, :].clamp_min(tolerance).rsqrt(), 0.0)
    return _Basis((vectors * inverse_roots).mT, is_complete=False)


class _PositivePart(torch.autograd.Function):
    """V L_+ V^T for symmetric V L V^T, with the derivative of Daleckii and Krein, finite for equal eigenvalues too."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        values, vectors = torch.linalg.eigh(matrix)
        ctx.save_for_backward(values, vectors)
        return torch.matmul(vectors * values.clamp_min(0.0)[..., None, :], vectors.mT)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        values, vectors = ctx.saved_tensors
        upper, lower = values[..., :, None], values[..., None, :]
        gap = upper - lower
        quotient = (upper.clamp_min(0.0) - lower.clamp_min(0.0)) / torch.where(gap == 0, 1.0, gap)
        quotient = torch.where(gap == 0, (upper > 0).to(gap), quotient)
        inner = vectors.mT @ (0.5 * (gradient + gradient.mT)) @ vectors
        return torch.matmul(vectors @ (quotient * inner), vectors.mT)


def _positive_part(matrix: Tensor) -> Tensor:
    positive: Tensor = _PositivePart.apply(matrix)  # type: ignore[no-untyped-call]  # torch leaves `apply` untyped
    return positive


def _gather(matrix: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Entries of `batch_shape x a x a` at index tensors that broadcast to `... x batch_shape x n x m`."""
    batch = matrix.shape[:-2]
    grids = [torch.arange(size).reshape(size, *[1] * (len(batch) - place + 1)) for place, size in enumerate(batch)]
    return matrix[(*grids, rows, columns)]


def _check_dtype(distances: Tensor) -> None:
    if not isinstance(distances, Tensor) or distances.dtype not in (torch.float32, torch.float64):
        raise ValueError(
            f"got distances as a {type(distances).__name__} of {getattr(distances, 'dtype', 'no type')}, "
            "expected a tensor of float32 or float64; convert them, torch.as_tensor takes arrays."
        )


def _check_table(distances: Tensor, n_columns: int, anchors: Tensor | None) -> None:
    n = distances.shape[1] if distances.dim() == 3 else len(distances)
    rows = {n} if anchors is None else {n, len(anchors)}
    if distances.dim() != 3 or len(distances) not in rows or distances.shape[2] != n_columns:
        raise ValueError(
            f"got distances of shape {tuple(distances.shape)}, expected N x N x {n_columns}, "
            f"or a x N x {n_columns} for a anchors; pass one such table for every column."
        )
    if anchors is not None and len(anchors) and not 0 <= int(anchors.min()) <= int(anchors.max()) < n:
        raise ValueError(
            f"got anchors from {int(anchors.min())} to {int(anchors.max())}, expected rows of the table, "
            f"from 0 to {n - 1}; pass indices of rows."
        )


def _membership(groups: Sequence[Sequence[int]], n_columns: int) -> Tensor:
    membership = torch.zeros(n_columns, len(groups))
    for g, group in enumerate(groups):
        membership[list(group), g] = 1.0
    return membership


def _indices(x: Tensor) -> Tensor:
    return x[..., 0].round().long()


def _median_distances(distances: Tensor, anchors: Tensor | None) -> Tensor:
    """The median positive distance of each column among anchors, 1 where there is none."""
    if anchors is not None:
        rows = distances[anchors.long()] if len(distances) == distances.shape[1] else distances
        distances = rows[:, anchors.long()]
    columns = distances.reshape(-1, distances.shape[-1]).T
    medians = [column[column > 0].median() if (column > 0).any() else torch.ones(()).to(column) for column in columns]
    return torch.stack(medians).to(distances)
