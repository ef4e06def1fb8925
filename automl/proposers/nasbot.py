"""NASBOT: Bayesian optimisation of architectures (Kandasamy et al. 2018), and what later work added to it.

A proposal fits `ArchitectureGP` to the observations and maximises an acquisition function over candidates that have not
been seen. In a finite space that is small enough all of them are compared. Elsewhere the pool evolves, as in the paper
(section 4): parents are drawn by their acquisition value and edited. Unlike there it begins at one-edit mutants of the
best observed candidates (White et al. 2021, "BANANAS", section 5: most of the gain lies there) and at fresh random
ones, and ends with edits of its own best, so that it does not get stuck; where there are no networks, its best then
climb the acquisition function by gradients. Pending candidates, and those of the same batch, are taken as observed at
their posterior mean.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from automl.acquisition import Acquisition, acquisition_values, check_acquisition
from automl.field_checks import check_counts, check_kinds
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.climbing import climb
from automl.proposers.pool import check_request, first_proposal, mutants_by_rank, startup, unseen_sample
from automl.spaces.base import Space
from automl.surrogates.architecture_gp import ArchitectureGP, ArchitectureGPSettings, FittedArchitectureGP
from automl.surrogates.gaussian_pool import GaussianPool
from automl.surrogates.structure import SORTS_OF_CELLS, CandidatePool, ListedPool

_RANDOM_SHARE = 0.2  # of all evaluations; what edits of incumbents leave goes to the epochs of evolution
_EDITED_SHARE = 0.4
_EPOCHS = 3
_CLIMBED = 5
_LISTED_WITH_DISTANCES = 4096
_TYPICAL_OF_LISTED = 0.4  # Chosen on the development tables, see BENCHMARKS.md.

# Numbers alone tell more of a loss than a network's graph. Chosen on LCBench, see "Climbing" in BENCHMARKS.md.
_TYPICAL_NOISE_OF_NUMBERS = 0.003

_LISTED: WeakKeyDictionary[Space, dict[tuple[str, ...], ListedPool]] = WeakKeyDictionary()


@dataclass(frozen=True)
class PoolSettings:
    """How the pool is made.

    Args:
        listed_at_most: A space of at most that many candidates is compared as a whole.
        n_evaluations: Acquisition evaluations of an evolving pool. The paper's code makes 25 sqrt(n) of them within 100
            and 500; for few observations that finds too little (BENCHMARKS.md, "a smooth trend").
        n_incumbents: Number of best observed candidates whose mutants begin the pool.

    Raises:
        ValueError: If a number of evaluations or incumbents is below 1.
    """

    listed_at_most: int = 30_000
    n_evaluations: int = 500
    n_incumbents: int = 10

    def __post_init__(self) -> None:
        check_counts(self, "n_evaluations", "n_incumbents")


@dataclass(frozen=True)
class NASBOTProposer:
    """Proposes the maximisers of an acquisition function under a Gaussian process of architectures.

    Args:
        space: The space to search.
        n_startup: Number of known values before the model is asked; until then proposals are the space's
            simple networks, as in the authors' code, and random ones. By default one more than there are simple
            networks, or ten where there are none.
        acquisition: "log-ei", "ei", "ucb", "thompson" or "ttei".
        residuals: What the model's noise stands for. "value": for what a candidate is worth beyond what the kernel
            explains, as where it is trained once and kept; improvement is over the best observed value. "noise": for
            chance; improvement is over the best posterior mean. By default "value" where all candidates are compared,
            "noise" where the pool evolves, as measured on tables and on made-up losses.
        gp: Settings of the Gaussian process; by default all terms of its kernel where the pool evolves, with little
            noise where there are no networks, and counts alone where all candidates are compared.
        pool: Settings of the pool.

    Raises:
        ValueError: If `n_startup` is below 1, a name is unknown, or settings are none.
    """

    space: Space
    n_startup: int | None = None
    acquisition: Acquisition = "log-ei"
    residuals: Literal["value", "noise"] | None = None
    gp: ArchitectureGPSettings | None = None
    pool: PoolSettings = field(default_factory=PoolSettings)

    def __post_init__(self) -> None:
        check_acquisition(self.acquisition)
        check_counts(self, "n_startup")
        check_kinds(self, gp=ArchitectureGPSettings, pool=PoolSettings)
        if self.residuals not in (None, "value", "noise"):
            raise ValueError(f"got residuals = {self.residuals!r}, expected 'value', 'noise' or None; choose one.")

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """
        check_request(observations, n, generator)
        seen = set(observations.digests)
        search = self._search(observations, generator) if len(observations) >= self.n_before_model else None
        proposals: list[Proposal] = []
        for _ in range(n):
            found = search.best(seen) if search else None
            if search and found:
                proposal = Proposal(found.candidate, self.notes(found, search.fitted))
                search.take(found)
            else:
                proposal = first_proposal(self.space, seen, generator)
            seen.add(proposal.candidate.digest)
            proposals.append(proposal)
        return proposals

    def incumbent(self, observations: Observations) -> Candidate | None:
        """The observed candidate with the least posterior mean, which noise moves less than the least value.

        None before the first value; during start-up the one with the least value.
        """
        if len(observations) < self.n_before_model:
            return observations.candidates[int(observations.values[:, 0].argmin())] if len(observations) else None
        return observations.candidates[int(self._model.fit(observations).fitted_scores.argmin())]

    def scores(self, observations: Observations) -> NDArray[np.float64]:
        """What the Gaussian process makes of the values before it learns from them, `n`."""
        return self._model.scores(observations.values[:, 0])

    def leave_one_out_log_density(self, observations: Observations) -> NDArray[np.float64]:
        """Log density of each score given all the others under the Gaussian process, `n`.

        Raises:
            ValueError: If there is no value, or there are several objectives.
        """
        return np.asarray(self._model.fit(observations).leave_one_out_log_density.numpy(), dtype=np.float64)

    @cached_property
    def n_before_model(self) -> int:
        """Number of known values before the model is asked."""
        return startup(self.space, self.n_startup)

    def notes(self, found: Found, fitted: FittedArchitectureGP) -> dict[str, Any]:
        """What people may want to know of how a candidate was found."""
        notes: dict[str, Any] = {
            "origin": found.origin,
            "acquisition": self.acquisition,
            "acquisition_value": found.value,
        }
        return notes | ({"fallback": fitted.fallback} if fitted.fallback else {})

    @cached_property
    def _is_listed(self) -> bool:
        candidates = self.space.candidates
        return candidates is not None and len(candidates) <= self.pool.listed_at_most

    @cached_property
    def _model(self) -> ArchitectureGP:
        default = ArchitectureGPSettings()
        if self._is_listed:  # OTMANN distances of tens of thousands would cost more than they tell; cells have no units
            default = replace(
                default,
                transport=False,
                trend=False,
                scores="normal",
                mean_deviation=1.0,
                max_iterations=50,
                sorts=SORTS_OF_CELLS,
                typical=_TYPICAL_OF_LISTED,
            )
        elif len(self.space.hyperparameters) == len(self.space.parameters):  # there are no networks
            default = replace(default, typical_noise=_TYPICAL_NOISE_OF_NUMBERS, smallest_noise=1e-6)
        settings = self.gp or default
        n = len(self.space.candidates or ()) if self._is_listed else 0
        if settings.transport and n > _LISTED_WITH_DISTANCES:
            raise ValueError(
                f"got a list of {n} candidates to compare by OTMANN distances, expected at most "
                f"{_LISTED_WITH_DISTANCES}, as all pairs have a place in memory; let the pool evolve with "
                "PoolSettings(listed_at_most=0), or leave the distances out with "
                "ArchitectureGPSettings(transport=False)."
            )
        return ArchitectureGP(self.space.hyperparameters, settings)

    @property
    def surrogate(self) -> ArchitectureGP:
        """The Gaussian process that candidates are compared with; it remembers its last fits."""
        return self._model

    @cached_property
    def _everyone(self) -> ListedPool:
        """All candidates of a listed space, shared by all proposers of that space in the process."""
        sorts = self._model.settings.sorts
        try:
            known = _LISTED.setdefault(self.space, {})
        except TypeError:  # a space that has no hash is listed anew for every proposer
            known = {}
        if sorts not in known:
            known[sorts] = self._model.listed_pool(self.space.candidates or ())
        return known[sorts]

    @cached_property
    def counts_residuals(self) -> bool:
        """Whether what the kernel leaves unexplained is part of a candidate's value, see `residuals`."""
        return (self.residuals or ("value" if self._is_listed else "noise")) == "value"

    def best_score(self, fitted: FittedArchitectureGP) -> float:
        """The score that a candidate must improve on: the least observed, or the least posterior mean."""
        return float(fitted.scores.min()) if self.counts_residuals else fitted.incumbent

    def _search(self, observations: Observations, generator: np.random.Generator) -> Search:
        fitted = self._model.fit(observations)
        best = self.best_score(fitted)
        ask = Ask(self.acquisition, self.counts_residuals, best, len(observations), generator)
        return self.search(fitted, ask, observations)

    def search(self, fitted: FittedArchitectureGP, ask: Ask, observations: Observations) -> Search:
        """The search for what is wanted most under a posterior."""
        if self._is_listed:
            return _ListedSearch(fitted, ask, self._everyone, observations.pending)
        return _EvolvingSearch(fitted, ask, self.space, self.pool, observations)


@dataclass(frozen=True)
class Found:
    """A candidate with its acquisition value and how it came into the pool."""

    candidate: Candidate
    value: float
    origin: str


@dataclass(frozen=True, eq=False)
class Ask:
    """An acquisition function with all its arguments but the pool.

    Args:
        kind: Which function.
        with_residuals: Whether what the kernel leaves unexplained is part of what a candidate is worth.
        incumbent: The best score so far.
        n_observed: Number of observations.
        generator: Source of the function's randomness, and of the choice among equals.
        chance: Variance of a value around what its candidate is worth, so that one value does not tell all.
    """

    kind: Acquisition
    with_residuals: bool
    incumbent: float
    n_observed: int
    generator: np.random.Generator
    chance: float = 0.0

    def values(self, pool: GaussianPool) -> NDArray[np.float64]:
        """The acquisition value of every candidate."""
        return self.wanted(pool).numpy()

    def wanted(self, pool: GaussianPool) -> Tensor:
        """The acquisition value of every candidate, by which one can differentiate unless it is drawn."""
        pool = pool.with_residuals() if self.with_residuals else pool
        pool = pool.after_one_value(self.chance) if self.chance else pool
        return acquisition_values(self.kind, pool, self.incumbent, self.n_observed, self.generator)

    def argmax(self, values: NDArray[np.float64]) -> int | None:
        """One of the largest, by chance where they are equal; None where nothing is wanted."""
        largest = values.max(initial=-np.inf)
        if largest == -np.inf:
            return None
        return int(self.generator.choice(np.flatnonzero(values == largest)))


class _ListedSearch:
    """All candidates of a finite space are compared."""

    def __init__(
        self, fitted: FittedArchitectureGP, ask: Ask, everyone: ListedPool, pending: Sequence[Candidate]
    ) -> None:
        self.fitted = fitted
        self._ask = ask
        self._everyone = everyone
        places = [everyone.position[c.digest] for c in pending if c.digest in everyone.position]
        self._posterior = fitted.pool(everyone).hallucinated(places)

    def best(self, seen: Set[str]) -> Found | None:
        """The most wanted candidate that is not in `seen`."""
        values = self._ask.values(self._posterior)
        values[[self._everyone.position[digest] for digest in seen if digest in self._everyone.position]] = -np.inf
        place = self._ask.argmax(values)
        return None if place is None else Found(self._everyone.candidates[place], float(values[place]), "listed")

    def take(self, found: Found) -> None:
        """Counts the candidate as pending from now on."""
        self._posterior = self._posterior.hallucinated([self._everyone.position[found.candidate.digest]])


class _EvolvingSearch:
    """A pool of random candidates and edits of good ones evolves."""

    def __init__(
        self,
        fitted: FittedArchitectureGP,
        ask: Ask,
        space: Space,
        settings: PoolSettings,
        observations: Observations,
    ) -> None:
        self.fitted = fitted
        self._ask = ask
        # A draw differs from call to call and TTEI's rival from pool to pool, so LogEI leads evolution for both.
        leads = ask.kind not in ("thompson", "ttei")
        self._guide = ask if leads else replace(ask, kind="log-ei")
        self._space = space
        self._budget = settings.n_evaluations
        order = fitted.fitted_scores.argsort()[: settings.n_incumbents].tolist()
        self._incumbents = [observations.candidates[i] for i in order]
        self._pending = list(observations.pending)

    def take(self, found: Found) -> None:
        """Counts the candidate as pending from now on."""
        self._pending.append(found.candidate)

    def best(self, seen: Set[str]) -> Found | None:
        """The most wanted candidate of a pool that evolves among those not in `seen`."""
        known = set(seen)
        pool = self._evaluated(self._first(known))
        share = (self._budget - len(pool)) // _EPOCHS
        for _ in range(_EPOCHS):
            pool += self._evaluated(self._children(pool, share, known))
        pool += self._evaluated(self._climbed(pool, known))
        if self._guide is not self._ask and pool:
            values = self._values([found.candidate for found in pool], self._ask)
            pool = [replace(found, value=float(value)) for found, value in zip(pool, values, strict=True)]
        place = self._ask.argmax(np.array([found.value for found in pool]))
        return None if place is None else pool[place]

    def _first(self, known: set[str]) -> list[tuple[Candidate, str]]:
        """Random candidates, and mutants of the best observed, the best of all having the most."""
        n_random, n_edited = (int(share * self._budget) for share in (_RANDOM_SHARE, _EDITED_SHARE))
        first: list[tuple[Candidate, str]] = []
        for _ in range(n_random):
            candidate = unseen_sample(self._space, known, self._ask.generator)
            if candidate.digest in known:  # hundreds of draws have found nothing, as the next ones would
                break
            known.add(candidate.digest)
            first.append((candidate, "random"))
        return first + self._edited(self._incumbents, n_edited, known, "edited incumbent")

    def _children(self, pool: Sequence[Found], n: int, known: set[str]) -> list[tuple[Candidate, str]]:
        ranked = sorted(pool, key=lambda found: found.value, reverse=True)
        return self._edited([found.candidate for found in ranked], n, known, "evolved")

    def _climbed(self, pool: Sequence[Found], known: set[str]) -> list[tuple[Candidate, str]]:
        """The pool's best with their numbers moved uphill; beside networks edits of numbers do as well."""
        gp = self.fitted.gp
        if not pool or self.fitted.observed.has_architectures or not gp.codes.numeric:
            return []
        best = sorted(pool, key=lambda found: found.value, reverse=True)[:_CLIMBED]
        starts = gp.pool_of([*self._pending, *(found.candidate for found in best)])
        n_pending = len(self._pending)

        def wanted(rows: Tensor) -> Tensor:
            moved = starts.moved(torch.cat([starts.hyperparameters[:n_pending], rows]))
            return self._guide.wanted(self._posterior(moved))[n_pending:]

        rows = climb(wanted, starts.hyperparameters[n_pending:], len(gp.codes.numeric))
        climbed = {c.digest: c for c in (self._space.nearest(gp.codes.decode(row)) for row in rows.tolist())}
        return [(candidate, "climbed") for digest, candidate in climbed.items() if digest not in known]

    def _edited(self, ranked: Sequence[Candidate], n: int, known: set[str], origin: str) -> list[tuple[Candidate, str]]:
        """About `n` mutants of candidates drawn by rank, each with its origin."""
        return [(mutant, origin) for mutant in mutants_by_rank(self._space, ranked, n, known, self._ask.generator)]

    def _evaluated(self, candidates: Sequence[tuple[Candidate, str]]) -> list[Found]:
        values = self._values([candidate for candidate, _ in candidates], self._guide) if candidates else ()
        return [Found(c, float(value), origin) for (c, origin), value in zip(candidates, values, strict=True)]

    def _values(self, candidates: Sequence[Candidate], ask: Ask) -> NDArray[np.float64]:
        """Acquisition values, pending candidates taken as observed at their means."""
        pool = self.fitted.gp.pool_of((*self._pending, *candidates))
        return ask.values(self._posterior(pool))[len(self._pending) :]

    def _posterior(self, pool: CandidatePool) -> GaussianPool:
        """The posterior of a pool that begins with the pending candidates, which are taken as observed."""
        return self.fitted.pool(pool).hallucinated(range(len(self._pending)))


Search = _ListedSearch | _EvolvingSearch
