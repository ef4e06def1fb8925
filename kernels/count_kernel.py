"""Laplacian kernels of counts: sums of exp(-beta |c(x) - c(y)|_1) for several sorts of counts c of a graph.

The L1 distance is of negative type, so exp(-beta L1) is positive semi-definite for every beta >= 0 (Schoenberg 1938),
and so is k(x, y) = sum_g outputscale_g exp(-beta_g L1_g(x, y) / scale_g), whatever is counted: labels,
Weisfeiler-Lehman colours, label paths (`kernels.weisfeiler_lehman`). Weights and decays are found by marginal
likelihood, so a sort of counts that does not help fades.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch
from gpytorch.constraints import Positive
from gpytorch.kernels import Kernel
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from kernels.priors import prior_around, value_of
from kernels.weisfeiler_lehman import Counts

Elements = NDArray[np.uint64]
Distances = NDArray[np.float32] | NDArray[np.uint8]

_LARGEST_BYTE = 255
_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd, and far from the differences of small keys
_BEYOND = np.array([np.iinfo(np.uint64).max], dtype=np.uint64)  # no element comes after it


def elements_of(counts: Counts) -> Elements:
    """Counts as a set: a key counted m times becomes the m elements (key, 1) to (key, m), each a number.

    So the sum of the minima of two counts is the size of the intersection of their sets.

    Args:
        counts: Numbers of times by key; keys are 64-bit digests or small, so that no two elements coincide.

    Returns:
        As many numbers as was counted, in no order.
    """
    keys = np.fromiter(counts.keys(), dtype=np.uint64, count=len(counts))
    numbers = np.fromiter(counts.values(), dtype=np.int64, count=len(counts))
    ends = numbers.cumsum()
    nth = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - numbers, numbers)
    elements: Elements = np.repeat(keys, numbers) + nth.astype(np.uint64) * _STEP
    return elements


class CountVectors:
    """Counts of one sort for n graphs, ready for L1 distances from other graphs.

    |c - c'|_1 = |c|_1 + |c'|_1 - 2 sum_k min(c_k, c'_k), and the last sum is a sparse matrix product of rows of bits.

    Args:
        graphs: The counts of each graph, as `elements_of` gives them.
    """

    def __init__(self, graphs: Sequence[Elements]) -> None:
        self._columns = np.unique(np.concatenate([*graphs, _BEYOND]))
        self._totals = _totals(graphs)
        self._transposed = self._bits(graphs).T.tocsr()

    def _bits(self, graphs: Sequence[Elements]) -> csr_array:
        """A row a graph, a column an element; elements that no graph of this collection has are left out."""
        everything = np.concatenate([*graphs, _BEYOND[:0]])
        columns = np.searchsorted(self._columns, everything)
        known = self._columns[columns] == everything
        rows = np.repeat(np.arange(len(graphs)), [len(graph) for graph in graphs])
        starts = np.searchsorted(rows[known], np.arange(len(graphs) + 1))
        shape = (len(graphs), len(self._columns))
        return csr_array((np.ones(starts[-1], dtype=np.float32), columns[known], starts), shape=shape)

    def distances(self, graphs: Sequence[Elements]) -> Distances:
        """L1 distances from other graphs, an array `len(graphs) x n`; bytes where they fit, to keep tables small."""
        shared = (self._bits(graphs) @ self._transposed).toarray()
        distances: NDArray[np.float32] = np.add.outer(_totals(graphs), self._totals) - 2 * shared
        return distances.astype(np.uint8) if distances.max(initial=0) <= _LARGEST_BYTE else distances


class CountKernel(Kernel):  # type: ignore[misc]  # gpytorch has no types
    """Sum of Laplacian kernels over a table of L1 distances, set by `set_table`.

    Inputs are indices into the table, an `n x 1` tensor: of its rows the first argument's, of its columns the second's.

    Args:
        scales: What the distances of each of the G sorts are divided by: typical distances.
        typical: What the priors are placed around: each decay, and the variance of all sorts together.
        active_dims: The column of the inputs that holds the index.
    """

    scales: Tensor
    table: Tensor

    def __init__(self, scales: Tensor, *, typical: float = 1.0, active_dims: tuple[int, ...] | None = None) -> None:
        super().__init__(active_dims=active_dims)
        n_sorts = len(scales)
        self.register_buffer("scales", scales)
        self.register_buffer("table", torch.zeros(n_sorts, 0, 0).to(scales))
        starts = {"beta": math.log(typical), "outputscale": math.log(typical / n_sorts)}
        for name, start in starts.items():
            parameter = torch.nn.Parameter(torch.full((n_sorts,), start).to(scales))
            self.register_parameter(f"raw_{name}", parameter)
            self.register_constraint(f"raw_{name}", Positive(transform=torch.exp, inv_transform=torch.log))
            self.register_prior(f"{name}_prior", prior_around(math.exp(start), 1.0).to(scales), value_of(name))

    @property
    def beta(self) -> Tensor:
        """Decay of each sort, `G`."""
        beta: Tensor = self.raw_beta_constraint.transform(self.raw_beta)
        return beta

    @property
    def outputscale(self) -> Tensor:
        """Variance that each sort contributes, `G`."""
        outputscale: Tensor = self.raw_outputscale_constraint.transform(self.raw_outputscale)
        return outputscale

    def set_table(self, distances: Tensor) -> None:
        """Puts L1 distances `G x r x c` between r candidates and c others in place, as numbers of any dtype."""
        self.table = distances

    def forward(self, x1: Tensor, x2: Tensor, diag: bool = False, **params: Any) -> Tensor:
        """k between rows and columns of the table, `n x m`, or the constant diagonal, `n`."""
        if diag:
            return self.outputscale.sum().expand(x1.shape[:-1])
        weights, decays = self.outputscale, self.beta / self.scales
        table = self.table[:, consecutive(x1[..., 0].long())][:, :, consecutive(x2[..., 0].long())]
        terms = (w * torch.exp(-decay * d.to(w)) for w, decay, d in zip(weights, decays, table, strict=True))
        total: Tensor = reduce(torch.add, terms)
        return total


def consecutive(indices: Tensor) -> slice | Tensor:
    """Indices, `n`, as a slice where they are consecutive: the usual case, which then copies nothing of a table."""
    if len(indices) and bool((indices.diff() == 1).all()):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _totals(graphs: Sequence[Elements]) -> NDArray[np.float32]:
    return np.array([len(graph) for graph in graphs], dtype=np.float32)
