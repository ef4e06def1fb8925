"""What the covariance of candidates sees of them: distances of counts, and hyperparameters as numbers."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache, partial
from typing import cast

import numpy as np
import torch
from torch import Tensor

from automl.observations import Candidate
from automl.parameters import Categorical, Parameter, Value
from kernels.architecture import Architecture
from kernels.count_kernel import CountVectors, Distances, Elements, elements_of
from kernels.graph_summary import summary
from kernels.weisfeiler_lehman import (
    Counts,
    edge_counts,
    label_depth_counts,
    label_path_counts,
    label_prefix_counts,
    shape_counts,
    weisfeiler_lehman_counts,
)

SORTS: Mapping[str, Callable[[Architecture], Counts]] = {
    "labels": partial(weisfeiler_lehman_counts, iterations=0),
    "labels with units": partial(weisfeiler_lehman_counts, iterations=0, with_units=True),
    "labels by depth": label_depth_counts,
    "edges": edge_counts,
    "ancestries": partial(weisfeiler_lehman_counts, iterations=3, direction="parents"),
    "neighbourhoods": partial(weisfeiler_lehman_counts, iterations=1),
    "stars": partial(weisfeiler_lehman_counts, iterations=1, last_alone=True),
    "paths": label_path_counts,
    "prefixes": label_prefix_counts,
    "shape": shape_counts,
}
"""What is counted in a graph, by name."""

SORTS_OF_LAYERS = ("labels", "labels with units", "labels by depth", "ancestries", "neighbourhoods", "paths")
"""For networks of many layers with units."""

SORTS_OF_CELLS = ("labels", "edges", "stars", "shape", "prefixes")
"""For bare cells, whose layers have no units."""

_REMEMBERED_ROWS = 512
_REMEMBERED_COUNTS = 16_384  # those of the observed networks are asked for at every proposal


class HyperparameterCodes:
    """Hyperparameters as columns: p positions from 0 to 1, then q indices of choices; -1 where a candidate lacks one.

    Args:
        parameters: The hyperparameters of a space, by name.
    """

    def __init__(self, parameters: Mapping[str, Parameter]) -> None:
        self.numeric = {name: p for name, p in parameters.items() if not isinstance(p, Categorical)}
        self.categorical = {name: p for name, p in parameters.items() if isinstance(p, Categorical)}

    def encode(self, candidates: Sequence[Candidate]) -> Tensor:
        """The columns, an `n x (p + q)` tensor of float64."""
        columns = {**self.numeric, **self.categorical}
        rows = [
            [p.to_unit(c.hyperparameters[name]) if name in c.hyperparameters else -1.0 for name, p in columns.items()]
            for c in candidates
        ]
        return torch.tensor(rows, dtype=torch.float64).reshape(len(rows), len(columns))

    def decode(self, row: Sequence[float]) -> dict[str, Value]:
        """The hyperparameters nearest to one row of `p + q` columns: the inverse of `encode` where none is lacking."""
        columns = {**self.numeric, **self.categorical}
        return {name: parameter.from_unit(float(x)) for (name, parameter), x in zip(columns.items(), row, strict=True)}


class CandidatePool:
    """N candidates, what kernels see of them taken once.

    Args:
        candidates: The candidates, all with an architecture or all without.
        sorts: Names in `SORTS` of the G sorts of counts; without architectures nothing is counted.
        codes: What turns hyperparameters into columns.
    """

    def __init__(self, candidates: Sequence[Candidate], sorts: Sequence[str], codes: HyperparameterCodes) -> None:
        self.candidates = tuple(candidates)
        self.has_architectures = any(candidate.architecture is not None for candidate in self.candidates)
        self.sorts = tuple(sorts) if self.has_architectures else ()
        self._codes = codes

    def __len__(self) -> int:
        return len(self.candidates)

    @cached_property
    def hyperparameters(self) -> Tensor:
        """The candidates' hyperparameters, `N x (p + q)`."""
        return self._codes.encode(self.candidates)

    def summaries(self, labels: Sequence[str]) -> Tensor:
        """What each network is in numbers (`kernels.graph_summary`), one row a network."""
        rows = [summary(graph_of(candidate), labels) for candidate in self.candidates]
        return torch.from_numpy(np.stack(rows))

    @cached_property
    def _counted(self) -> list[list[Elements]]:
        graphs = [graph_of(candidate) for candidate in self.candidates] if self.sorts else []
        return [[_elements(sort, graph) for graph in graphs] for sort in self.sorts]

    @cached_property
    def _vectors(self) -> list[CountVectors]:
        return [CountVectors(counted) for counted in self._counted]

    def moved(self, hyperparameters: Tensor) -> CandidatePool:
        """The pool as if the candidates had these hyperparameters, `N x (p + q)`, by which one may differentiate."""
        other = copy.copy(self)
        other.hyperparameters = hyperparameters
        return other

    def part(self, places: Sequence[int]) -> CandidatePool:
        """A pool of some of the candidates."""
        return CandidatePool([self.candidates[place] for place in places], self.sorts, self._codes)

    def distances(self, others: CandidatePool) -> Distances:
        """L1 distances of the counts of other candidates from those of the pool, `G x len(others) x N`."""
        tables = [v.distances(counted).T for v, counted in zip(others._vectors, self._counted, strict=True)]
        return _stacked(tables) if tables else np.empty((0, len(others), len(self)), dtype=np.uint8)


class ListedPool(CandidatePool):
    """All candidates of a finite space: the distances of the last few hundred that asked are remembered, by digest."""

    def __init__(self, candidates: Sequence[Candidate], sorts: Sequence[str], codes: HyperparameterCodes) -> None:
        super().__init__(candidates, sorts, codes)
        self._remembered: dict[str, Distances] = {}

    @cached_property
    def position(self) -> Mapping[str, int]:
        """The place of each candidate, by digest."""
        return {candidate.digest: i for i, candidate in enumerate(self.candidates)}

    def distances(self, others: CandidatePool) -> Distances:
        """As in `CandidatePool`; only others that did not ask lately cost a computation."""
        if not self.sorts:
            return super().distances(others)
        new = {other.digest: i for i, other in enumerate(others.candidates) if other.digest not in self._remembered}
        if new:
            asking = others.part(list(new.values()))._counted
            computed = _stacked([v.distances(counted) for v, counted in zip(self._vectors, asking, strict=True)])
            self._remembered |= dict(zip(new, computed.swapaxes(0, 1), strict=True))
        table = _stacked([self._remembered[other.digest] for other in others.candidates], axis=1)
        for digest in list(self._remembered)[: -max(_REMEMBERED_ROWS, len(others))]:
            del self._remembered[digest]
        return table


def graph_of(candidate: Candidate) -> Architecture:
    """The candidate's architecture.

    Raises:
        ValueError: If it has none.
    """
    if candidate.architecture is None:
        raise ValueError(
            "got a candidate without an architecture among others that have one; "
            "pass candidates of one space, with or without architectures."
        )
    return candidate.architecture


@lru_cache(maxsize=_REMEMBERED_COUNTS)
def _elements(sort: str, graph: Architecture) -> Elements:
    return elements_of(SORTS[sort](graph))


def _stacked(tables: Sequence[Distances], axis: int = 0) -> Distances:
    return cast(Distances, np.stack(tables, axis=axis))
