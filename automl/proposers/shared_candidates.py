"""SharedCandidatesProposer: transfer between tasks that evaluated the same candidates, with no features at all.

Tasks x candidates make a matrix of normal scores, with holes. The portfolio reads from it an order of trial (greedy
average rank); the empirical prior (Wang et al. 2018) and matrix factorisation (Fusi et al. 2018) go on learning from
the target's values by expected improvement. Candidates outside the matrix are the plain proposer's, and so is all
once the matrix is exhausted or where tasks share too little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from automl.acquisition import acquisition_values
from automl.observations import Candidate, Observations
from automl.portfolio import greedy_portfolio
from automl.proposers.base import Proposal, Proposer
from automl.proposers.pool import check_request
from automl.proposers.transfer_pool import Listing, translated
from automl.proposers.uniform import UniformProposer
from automl.scales import tie
from automl.spaces.base import Space
from automl.surrogates.empirical_prior import fit_empirical_prior
from automl.surrogates.gaussian_pool import independent_pool
from automl.surrogates.pmf import completed, fit_pmf
from automl.transfer_features import SourceTask

Floats = NDArray[np.float64]
Method = Literal["pmf", "empirical", "portfolio"]

_LEAST_SHARED = 0.1  # Share of the matrix that must be known, and of its candidates that two tasks must know.


class _Model(Protocol):
    def posterior(self, places: Sequence[int], values: Floats) -> tuple[Floats, Floats]:
        """Mean and variance of all candidates on the shared scale."""


@dataclass(frozen=True, eq=False)
class SharedCandidatesProposer:
    """Proposes among the candidates that past tasks evaluated.

    Args:
        space: The space to search; candidates outside it are left out.
        sources: Observations of past tasks by the task's name.
        method: "pmf", "empirical" or "portfolio".
        base: The plain proposer; random by default.
        portfolio_size: Number of proposals of the portfolio.
    """

    space: Space
    sources: Mapping[str, Observations]
    method: Method = "pmf"
    base: Proposer | None = None
    portfolio_size: int = 10

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n)
        seen = set(observations.digests)
        chosen = self._chosen(observations, seen, n, generator)
        seen |= {candidate.digest for candidate in chosen}
        proposals = [Proposal(candidate, {"origin": self.method}) for candidate in chosen]
        if len(proposals) == n:
            return proposals
        taken = (*observations.pending, *chosen)
        rest = Observations(observations.candidates, observations.values, taken, observations.failed)
        return proposals + (self.base or UniformProposer(self.space)).propose(rest, n - len(chosen), generator)

    @cached_property
    def _matrix(self) -> tuple[Listing, Floats]:
        """The candidates that lie in the space, and their normal scores on every task, `T x M`, NaN where unknown."""
        generator = np.random.default_rng(0)
        inside: dict[str, Candidate] = {}
        known: list[dict[str, float]] = []
        for name, task in self.sources.items():
            source = SourceTask(name, task.candidates, task.values[:, 0])
            scores: dict[str, float] = {}
            for candidate, score in zip(source.candidates, source.scores, strict=True):
                moved = translated(self.space, candidate, generator) if candidate.digest not in inside else candidate
                if moved is not None and moved.digest == candidate.digest:
                    inside.setdefault(candidate.digest, moved)
                    scores[candidate.digest] = float(score)
            known.append(scores)
        matrix = np.full((len(known), len(inside)), np.nan)
        for row, scores in zip(matrix, known, strict=True):
            row[:] = [scores.get(digest, np.nan) for digest in inside]
        return Listing(tuple(inside.values())), matrix[~np.isnan(matrix).all(axis=1)]

    @property
    def _is_aligned(self) -> bool:
        """Whether tasks share enough candidates to learn from one another."""
        matrix = self._matrix[1]
        if self.method == "portfolio":
            return matrix.size > 0
        counts = (~np.isnan(matrix)).sum(axis=0)
        return len(matrix) > 1 and matrix.size > 0 and float((counts > 1).mean()) >= _LEAST_SHARED

    def _chosen(
        self, observations: Observations, seen: set[str], n: int, generator: np.random.Generator
    ) -> list[Candidate]:
        if not self._is_aligned:
            return []
        listing = self._matrix[0]
        free = listing.open(seen)
        if self.method == "portfolio":
            order = [place for place in self._portfolio if free[place]]
        else:
            order = np.argsort(-np.where(free, self._wanted(observations, generator), -np.inf), kind="stable").tolist()
            order = order[: int(free.sum())]
        return [listing.candidates[place] for place in order[:n]]

    @cached_property
    def _portfolio(self) -> list[int]:
        return greedy_portfolio(self._matrix[1], self.portfolio_size)

    def _wanted(self, observations: Observations, generator: np.random.Generator) -> Floats:
        """Expected improvement of every candidate of the matrix; before the first value, how good it is foreseen."""
        places = self._matrix[0].places
        rows = [i for i, candidate in enumerate(observations.candidates) if candidate.digest in places]
        known = {places[observations.candidates[i].digest]: float(observations.values[i, 0]) for i in rows}
        mean, variance = self._model.posterior((), np.empty(0))
        if not known:
            return -mean
        at, values = list(known), np.array(list(known.values()))
        offset, scale = tie(values, mean[at], variance[at])
        scores = (values - offset) / scale
        mean, variance = self._model.posterior(at, scores)
        pool = independent_pool(torch.from_numpy(mean), torch.from_numpy(variance))
        return np.asarray(acquisition_values("log-ei", pool, float(scores.min()), len(values), generator).numpy())

    @cached_property
    def _model(self) -> _Model:
        matrix = self._matrix[1]
        return fit_pmf(matrix) if self.method == "pmf" else fit_empirical_prior(completed(matrix))


def pmf(space: Space, sources: Mapping[str, Observations]) -> SharedCandidatesProposer:
    """Matrix factorisation, for `automl benchmark --sampler automl.proposers.shared_candidates:pmf`."""
    return SharedCandidatesProposer(space, sources, "pmf")


def empirical(space: Space, sources: Mapping[str, Observations]) -> SharedCandidatesProposer:
    """The empirical prior, for the benchmark likewise."""
    return SharedCandidatesProposer(space, sources, "empirical")


def portfolio(space: Space, sources: Mapping[str, Observations]) -> SharedCandidatesProposer:
    """The portfolio, for the benchmark likewise."""
    return SharedCandidatesProposer(space, sources, "portfolio")
