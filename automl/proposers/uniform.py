"""Random search: candidates drawn from the space's own distribution, each at most once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from automl.observations import Observations
from automl.proposers.base import Proposal
from automl.proposers.pool import check_request, unseen_sample
from automl.spaces.base import Space


@dataclass(frozen=True)
class UniformProposer:
    """Proposes random candidates that the observations do not hold.

    Args:
        space: The space to draw from.
    """

    space: Space

    def propose(self, observations: Observations, n: int, generator: np.random.Generator) -> list[Proposal]:
        """The next `n` candidates, see `automl.proposers.base.Proposer`.

        Raises:
            ValueError: If `n` is below 1.
        """
        check_request(observations, n, generator, objectives=None)
        seen = set(observations.digests)
        proposals = []
        for _ in range(n):
            candidate = unseen_sample(self.space, seen, generator)
            seen.add(candidate.digest)
            proposals.append(Proposal(candidate))
        return proposals
