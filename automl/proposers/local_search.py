"""Local search: evaluate the neighbours of the best candidate; where all are known, go on from the next best.

White et al. 2020, "Local Search is State of the Art for Neural Architecture Search". Theirs restarts at random in a
local optimum; here the search continues at the best candidate that has an unseen neighbour, which needs no memory
beside the observations, so that workers that share a study share the search.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.field_checks import check_counts
from automl.observations import Observations
from automl.proposers.base import Proposal
from automl.proposers.pool import found_or_random, unseen_mutant
from automl.spaces.base import Space


@dataclass(frozen=True)
class LocalSearchProposer:
    """Proposes unseen one-edit neighbours of the best candidate that has any.

    Args:
        space: The space whose edits are made.
        n_startup: Number of random candidates before the search begins.

    Raises:
        ValueError: If `n_startup` is below 1.
    """

    space: Space
    n_startup: int = 10

    def __post_init__(self) -> None:
        check_counts(self, "n_startup")

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1 or the observations have several objectives.
        """

        def neighbour(seen: set[str]) -> Proposal | None:
            return self._neighbour(observations, seen, generator)

        return found_or_random(self.space, observations, n, generator, neighbour, n_random=self.n_startup)

    def _neighbour(self, observations: Observations, seen: set[str], generator: np.random.Generator) -> Proposal | None:
        """An unseen neighbour of the best candidate that has any; None where none has."""
        for i in np.argsort(observations.values[:, 0], kind="stable"):
            parent = observations.candidates[int(i)]
            mutant = unseen_mutant(self.space, parent, seen, generator, max_edits=1)
            if mutant is not None:
                return Proposal(mutant, {"origin": "neighbour", "parent": parent.digest})
        return None
