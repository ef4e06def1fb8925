"""Candidates not yet seen: fresh random ones, and edits of known ones, what every proposer's pool is made of.

"Seen" is a set of candidate digests, so isomorphic graphs count as one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set

import numpy as np

from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.spaces.base import Space
from kernels.architecture import is_whole

_HALF_AS_LIKELY = 5  # A parent is drawn half as often as the one that many ranks before it.
_TRIES_FOR_A_MUTANT = 10  # Draws that a mutant of a drawn parent may take before that parent counts as exhausted.
# Draws before giving up on chance: a space of which 95 % has been seen still yields a new candidate in 0.994 of calls.
_TRIES = 100
_RANDOM_STARTUP = 10


def check_request(
    observations: Observations, n: int, generator: np.random.Generator, *, objectives: int | None = 1
) -> None:
    """Refuses a number of proposals below one and, where `objectives` is given, observations with another number.

    Args:
        observations: What is known.
        n: Number of proposals.
        generator: What draws.
        objectives: Number of objectives that the proposer takes; None for any.

    Raises:
        ValueError: If `n` is below 1, there are no observations or of another number of objectives, or the generator
            is none.
    """
    if not isinstance(observations, Observations):
        raise ValueError(f"got {observations!r}, expected Observations(...); make and pass them.")
    if not isinstance(generator, np.random.Generator):
        raise ValueError(f"got {generator!r} as generator, expected such as np.random.default_rng(0) makes; pass one.")
    if not is_whole(n) or n < 1:
        raise ValueError(f"got a request for {n!r} proposals, expected at least 1; ask for one or more.")
    m = observations.values.shape[1]
    if objectives is not None and m != objectives:
        raise ValueError(
            f"got observations of {m} objectives, this proposer takes {objectives}; "
            "pass one column of the values or choose a proposer for several objectives."
        )


def found_or_random(
    space: Space,
    observations: Observations,
    n: int,
    generator: np.random.Generator,
    find: Callable[[set[str]], Proposal | None],
    n_random: int,
) -> list[Proposal]:
    """`n` unseen proposals, made one after another: what `find` finds, else `first_proposal`.

    Args:
        space: The space to search.
        observations: What is known.
        n: Number of proposals.
        generator: Draws the random candidates.
        find: Proposes a candidate whose digest is not among those given; None where it finds none.
        n_random: `find` is not asked before so many candidates have values or are pending, failed ones not counted.

    Raises:
        ValueError: If `n` is below 1 or the observations have several objectives.
    """
    check_request(observations, n, generator)
    seen = set(observations.digests)
    begun = len(observations) + len(observations.pending)
    proposals = []
    for number in range(begun, begun + n):
        proposal = find(seen) if number >= n_random else None
        proposal = proposal or first_proposal(space, seen, generator)
        seen.add(proposal.candidate.digest)
        proposals.append(proposal)
    return proposals


def startup(space: Space, wanted: int | None) -> int:
    """How many values a model waits for: as many as are wanted or, where that is None, ten.

    Where a search begins with simple networks, one more than these suffices: they have every parameter in a sensible
    place, and what is drawn at random after them is seldom better (BENCHMARKS.md, "simple networks at the beginning").
    """
    if wanted is not None:
        return wanted
    return len(space.initial) + 1 if space.initial else _RANDOM_STARTUP


def first_proposal(space: Space, seen: Set[str], generator: np.random.Generator) -> Proposal:
    """What a search begins with: the first of the space's simple networks that is not in `seen`, else a random one."""
    for candidate in space.initial:
        if candidate.digest not in seen:
            return Proposal(candidate, {"origin": "initial"})
    return Proposal(unseen_sample(space, seen, generator), {"origin": "random"})


def unseen_sample(space: Space, seen: Set[str], generator: np.random.Generator) -> Candidate:
    """A random candidate of the space that is not in `seen`; a seen one only if sampling and listing find no other."""
    candidate = space.sample(generator)
    for _ in range(_TRIES):
        if candidate.digest not in seen:
            return candidate
        candidate = space.sample(generator)
    if space.candidates is None:
        return unseen_mutant(space, candidate, seen, generator) or candidate
    rest = [other for other in space.candidates if other.digest not in seen]
    return rest[int(generator.integers(len(rest)))] if rest else candidate


def unseen_mutant(
    space: Space,
    parent: Candidate,
    seen: Set[str],
    generator: np.random.Generator,
    *,
    max_edits: int = 5,
    tries: int = _TRIES,
) -> Candidate | None:
    """A candidate not in `seen`, one edit away from `parent`, or a few more where chance finds no unseen one.

    Args:
        space: Whose edits are made.
        parent: The candidate to edit.
        seen: Digests that are not to be returned.
        generator: Draws the edits.
        max_edits: After that many edits without success the answer is None.
        tries: Draws in all, divided evenly among the numbers of edits.
    """
    for edits in range(1, max_edits + 1):
        for _ in range(max(tries // max_edits, 1)):
            mutant = parent
            for _ in range(edits):
                mutant = space.mutate(mutant, generator)
            if mutant.digest not in seen:
                return mutant
            if mutant is parent:  # the space has no other, which is costly to find out
                return None
    return None


def mutants_by_rank(
    space: Space, ranked: Sequence[Candidate], n: int, seen: set[str], generator: np.random.Generator
) -> list[Candidate]:
    """About `n` mutants of parents drawn by rank; their digests join `seen`.

    Args:
        space: Whose edits are made.
        ranked: The parents, the best first; each is drawn half as often as the one five ranks before it.
        n: Number of draws; a drawn parent around which nothing unseen is found gives no mutant.
        seen: Digests that are not to be returned.
        generator: Draws parents and edits.
    """
    if not ranked:
        return []
    weights = 0.5 ** (np.arange(len(ranked)) / _HALF_AS_LIKELY)
    mutants = []
    exhausted: set[int] = set()  # asked again, they would cost tens of edits each time
    for place in generator.choice(len(ranked), size=n, p=weights / weights.sum()).tolist():
        if place in exhausted:
            continue
        mutant = unseen_mutant(space, ranked[place], seen, generator, tries=_TRIES_FOR_A_MUTANT)
        if mutant is None:
            exhausted.add(place)
        else:
            seen.add(mutant.digest)
            mutants.append(mutant)
    return mutants
