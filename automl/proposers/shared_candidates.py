"""SharedCandidatesProposer: transfer between tasks that evaluated the same candidates, with no features at all.

The normal scores of candidates on tasks make a matrix with holes. The portfolio derives a fixed order of trials from it
(greedy average rank). The empirical prior (Wang et al. 2018) and matrix factorisation (Fusi et al. 2018) also learn
from the target's values, and choose by expected improvement. The plain proposer takes over once the matrix, or the
portfolio, is exhausted, and proposes alone where tasks share too few candidates; only it proposes candidates outside
the matrix.
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
from automl.proposers.transfer_decision import Decision, as_source_tasks
from automl.proposers.transfer_pool import Listing, translated
from automl.proposers.uniform import UniformProposer
from automl.scales import comparable, tie
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
class _Inside:
    """Past candidates that lie in the space, by digest, and the normal scores that each source gave to its own."""

    candidates: Mapping[str, Candidate]
    scores: tuple[Mapping[str, float], ...]


@dataclass(frozen=True, eq=False)
class SharedCandidatesProposer:
    """Proposes among the candidates that past tasks evaluated.

    Args:
        space: The space to search; candidates outside it are left out.
        sources: Finished evaluations of past tasks; or observations by the task's name.
        method: "pmf", "empirical" or "portfolio".
        base: The plain proposer; random by default.
        portfolio_size: Number of proposals of the portfolio.
    """

    space: Space
    sources: Sequence[SourceTask] | Mapping[str, Observations]
    method: Method = "pmf"
    base: Proposer | None = None
    portfolio_size: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "sources", as_source_tasks(self.sources))

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        decision = self.decide(observations, generator)
        proposals: list[Proposal] = []
        if decision.model == "transfer":
            proposals = self.transferred(decision, observations, n, generator)
        if len(proposals) == n:
            return proposals
        known = observations.with_pending(proposal.candidate for proposal in proposals)
        plain = self.base or UniformProposer(self.space)
        return proposals + plain.propose(known, n - len(proposals), generator)

    @property
    def refused(self) -> dict[str, str]:
        """Names of the sources that have nothing to offer, each with the reason."""
        outside = "none of its candidates lies in what the target searches"
        alone = f"it shares too few candidates with the other sources, expected {_LEAST_SHARED:.0%} known to two"
        reasons: dict[str, str] = {}
        for source, scores in zip(self._source_tasks, self._inside.scores, strict=True):
            if not scores:
                reasons[source.name] = outside
            elif not self._is_aligned:
                reasons[source.name] = alone
        return reasons

    def decide(self, observations: Observations, generator: np.random.Generator) -> Decision:
        """Past tasks, for as long as they have an untried candidate to offer; draws nothing."""
        if not self._is_aligned:
            return Decision("base", 0.0, "past tasks share too few candidates")
        pairs = zip(self._source_tasks, self._inside.scores, strict=True)
        names = tuple(source.name for source, scores in pairs if scores)
        offered = self._portfolio if self.method == "portfolio" else slice(None)
        if not self._listing.open(set(observations.digests))[offered].any():
            return Decision("base", 0.0, "what past tasks offer has been tried", asked=names)
        return Decision("transfer", 1.0, f"candidates of past tasks, by {self.method}", asked=names)

    def transferred(
        self, decision: Decision, observations: Observations, n: int, generator: np.random.Generator
    ) -> list[Proposal]:
        """Up to `n` candidates of past tasks, see `automl.proposers.transfer_decision.PastTasksProposer`.

        Raises:
            ValueError: If the decision is for the plain proposer.
        """
        if decision.model != "transfer":
            raise ValueError("got a decision for the plain proposer, expected one for past tasks; ask the former.")
        chosen = self._chosen(observations, set(observations.digests), n, generator)
        return [Proposal(candidate, {"origin": self.method, "transfer": decision.notes}) for candidate in chosen]

    @property
    def _source_tasks(self) -> Sequence[SourceTask]:
        assert not isinstance(self.sources, Mapping), "converted when the proposer was made"
        return self.sources

    @cached_property
    def _inside(self) -> _Inside:
        generator = np.random.default_rng(0)
        candidates: dict[str, Candidate] = {}
        known: list[dict[str, float]] = []
        for source in self._source_tasks:
            scores: dict[str, float] = {}
            for candidate, score in zip(source.candidates, source.scores, strict=True):
                is_known = candidate.digest in candidates
                moved = candidate if is_known else translated(self.space, candidate, generator)
                if moved is not None and moved.digest == candidate.digest:
                    candidates.setdefault(candidate.digest, moved)
                    scores[candidate.digest] = float(score)
            known.append(scores)
        return _Inside(candidates, tuple(known))

    @cached_property
    def _listing(self) -> Listing:
        return Listing(tuple(self._inside.candidates.values()))

    @cached_property
    def _matrix(self) -> Floats:
        """Normal scores of the M candidates on each of the T tasks that have any, `T x M`, NaN where unknown."""
        digests = self._inside.candidates
        rows = [[scores.get(digest, np.nan) for digest in digests] for scores in self._inside.scores if scores]
        return np.array(rows).reshape(len(rows), len(digests))

    @property
    def _is_aligned(self) -> bool:
        """Whether tasks share enough candidates to learn from one another."""
        matrix = self._matrix
        if self.method == "portfolio":
            return matrix.size > 0
        counts = (~np.isnan(matrix)).sum(axis=0)
        return len(matrix) > 1 and matrix.size > 0 and float((counts > 1).mean()) >= _LEAST_SHARED

    def _chosen(
        self, observations: Observations, seen: set[str], n: int, generator: np.random.Generator
    ) -> list[Candidate]:
        free = self._listing.open(seen)
        if self.method == "portfolio":
            order = [place for place in self._portfolio if free[place]]
        else:
            order = np.argsort(-np.where(free, self._wanted(observations, generator), -np.inf), kind="stable").tolist()
            order = order[: int(free.sum())]
        return [self._listing.candidates[place] for place in order[:n]]

    @cached_property
    def _portfolio(self) -> list[int]:
        return greedy_portfolio(self._matrix, self.portfolio_size)

    def _wanted(self, observations: Observations, generator: np.random.Generator) -> Floats:
        """Expected improvement of every candidate of the matrix; before the first value, how good it is foreseen."""
        places = self._listing.places
        rows = [i for i, candidate in enumerate(observations.candidates) if candidate.digest in places]
        losses = comparable(observations.values[rows, 0]) if rows else np.empty(0)
        known = {places[observations.candidates[i].digest]: float(loss) for i, loss in zip(rows, losses, strict=True)}
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
        matrix = self._matrix
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
