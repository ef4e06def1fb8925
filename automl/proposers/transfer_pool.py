"""Where a transfer model looks for its next candidate: a whole listed space, or a pool that is sampled and edited."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.proposers.pool import mutants_by_rank, unseen_sample
from automl.spaces.base import Space
from automl.transfer_features import SourceTask

Floats = NDArray[np.float64]
Wanted = Callable[[Sequence[Candidate]], Floats]
"""How much each candidate is wanted."""


@dataclass(frozen=True)
class TransferPoolSettings:
    """How the pool is made.

    Args:
        listed_at_most: A space of at most that many candidates is compared as a whole.
        n_random: Random candidates.
        n_edited: Edits of the best known candidates, and of the pool's own best in each of two epochs.
        with_graphs: Share of both in spaces of architectures, whose candidates cost more to make and to describe.
    """

    listed_at_most: int = 70_000
    n_random: int = 800
    n_edited: int = 300
    with_graphs: float = 0.3


class Listing:
    """All candidates of a finite space, their places known by digest.

    Args:
        candidates: The candidates.
    """

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self.candidates = tuple(candidates)

    @cached_property
    def places(self) -> dict[str, int]:
        """The place of each candidate by its digest."""
        return {candidate.digest: place for place, candidate in enumerate(self.candidates)}

    def open(self, seen: Set[str]) -> NDArray[np.bool_]:
        """Which candidates are not in `seen`."""
        free = np.ones(len(self.candidates), dtype=bool)
        free[[self.places[digest] for digest in seen if digest in self.places]] = False
        return free


def translated(space: Space, candidate: Candidate, generator: np.random.Generator) -> Candidate | None:
    """A source's candidate as one of the target's space; None where it lies outside.

    Hyperparameters that the space lacks are dropped, those that the candidate lacks are drawn.
    """
    drawn = space.sample(generator)
    if (drawn.architecture is None) != (candidate.architecture is None):
        return None
    known = {name: value for name, value in candidate.hyperparameters.items() if name in space.hyperparameters}
    try:
        return space.decode(space.encode(Candidate(candidate.architecture, {**drawn.hyperparameters, **known})))
    except (ValueError, TypeError, KeyError):
        return None


def sources_best(
    space: Space, sources: Sequence[SourceTask], generator: np.random.Generator, each: int = 3
) -> list[Candidate]:
    """The sources' best candidates that lie in the target's space, all sources' very best first."""
    found: dict[str, Candidate] = {}
    bests = [source.best(each) for source in sources]
    for rank in range(each):
        for candidates in bests:
            inside = translated(space, candidates[rank], generator) if rank < len(candidates) else None
            if inside is not None:
                found.setdefault(inside.digest, inside)
    return list(found.values())


def sampled_best(
    space: Space,
    known: Sequence[Candidate],
    seen: Set[str],
    wanted: Wanted,
    generator: np.random.Generator,
    settings: TransferPoolSettings,
) -> tuple[Candidate, float]:
    """The most wanted candidate of a pool, and how much it is wanted.

    Args:
        space: What is searched.
        known: Good candidates, the best first: those of them not in `seen`, and edits of all, are part of the pool.
        seen: Digests that are not to be proposed.
        wanted: Scores candidates; larger is better.
        generator: Source of all draws.
        settings: How the pool is made.
    """
    share = 1.0 if space.sample(generator).architecture is None else settings.with_graphs
    taken = set(seen)
    pool = _fresh(known, taken)
    pool += _fresh(_random(space, int(share * settings.n_random), taken, generator), taken)
    if not pool:
        return unseen_sample(space, seen, generator), float("-inf")
    pool += mutants_by_rank(space, known, int(share * settings.n_edited), taken, generator)
    values = wanted(pool)
    for _ in range(2):
        ranked = [pool[i] for i in np.argsort(-values, kind="stable")[:20]]
        children = mutants_by_rank(space, ranked, int(share * settings.n_edited), taken, generator)
        pool, values = pool + children, np.concatenate([values, wanted(children) if children else np.empty(0)])
    place = int(values.argmax())
    return pool[place], float(values[place])


def _random(space: Space, n: int, taken: Set[str], generator: np.random.Generator) -> list[Candidate]:
    """Random candidates not in `taken`, the same one perhaps twice: `n`, or none where all that are found are taken."""
    drawn: list[Candidate] = []
    for _ in range(n):
        candidate = unseen_sample(space, taken, generator)
        if candidate.digest in taken:  # hundreds of draws have found nothing, as the next ones would
            break
        drawn.append(candidate)
    return drawn


def _fresh(candidates: Sequence[Candidate], taken: set[str]) -> list[Candidate]:
    fresh = []
    for candidate in candidates:
        if candidate.digest not in taken:
            taken.add(candidate.digest)
            fresh.append(candidate)
    return fresh


def best_observed(observations: Observations, n: int) -> list[Candidate]:
    """The `n` observed candidates with the least values, the best first."""
    order = np.argsort(observations.values[:, 0], kind="stable")[:n]
    return [observations.candidates[i] for i in order]
