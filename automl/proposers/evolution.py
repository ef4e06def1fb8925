"""Regularised evolution: tournament selection in a population from which the oldest, not the worst, dies.

Real et al. 2019, "Regularized Evolution for Image Classifier Architecture Search", algorithm 1. The population is no
state of its own: it is the last `population` observations, so workers that share a study share the population.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.field_checks import check_counts
from automl.observations import Candidate, Observations
from automl.proposers.base import Proposal
from automl.proposers.pool import found_or_random, unseen_mutant
from automl.spaces.base import Space


@dataclass(frozen=True)
class EvolutionProposer:
    """Proposes one-edit mutants of tournament winners.

    Args:
        space: The space whose edits are made.
        population: Number of youngest observations that may become parents (P; 100 in the paper). As many are drawn at
            random before evolution begins.
        sample: Number of them, drawn with replacement, that compete to be the parent (S; 25 in the paper).

    Raises:
        ValueError: If `population` or `sample` is below 1.
    """

    space: Space
    population: int = 100
    sample: int = 25

    def __post_init__(self) -> None:
        check_counts(self, "population", "sample")

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """

        def mutant(seen: set[str]) -> Proposal | None:
            return self._mutant(observations, seen, generator)

        return found_or_random(self.space, observations, n, generator, mutant, n_random=self.population)

    def _mutant(self, observations: Observations, seen: set[str], generator: np.random.Generator) -> Proposal | None:
        """A mutant of a tournament's winner; None without a value, or where everything around it has been seen."""
        if not len(observations):
            return None
        parent = self._winner(observations, generator)
        mutant = unseen_mutant(self.space, parent, seen, generator)
        return None if mutant is None else Proposal(mutant, {"origin": "mutation", "parent": parent.digest})

    def _winner(self, observations: Observations, generator: np.random.Generator) -> Candidate:
        alive = range(max(len(observations) - self.population, 0), len(observations))
        tournament = generator.choice(alive, size=self.sample)
        return observations.candidates[int(min(tournament, key=lambda i: observations.values[i, 0]))]
