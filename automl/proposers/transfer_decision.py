"""Who proposes the next candidate of a new task, past tasks or the plain proposer, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from automl.observations import Observations
from automl.proposers.base import Proposal
from automl.proposers.transfer_knowledge import Knowledge
from automl.spaces.base import Space
from automl.surrogates.transfer_gp import TransferGP
from automl.transfer_features import SourceTask


@dataclass(frozen=True, eq=False)
class Decision:
    """Who proposes, and why.

    Args:
        model: "transfer" or "base".
        weight: Probability with which past tasks were to be believed.
        reason: What decided, in words.
        knowledge: What past tasks know; None where no model of theirs is asked.
        dropped: Names of sources that were left out because they contradict the target.
        fitted: The model of the target's values; None before the first.
        asked: Names of the sources that are asked; those of the knowledge by default.
    """

    model: Literal["transfer", "base"]
    weight: float
    reason: str
    knowledge: Knowledge | None = None
    dropped: tuple[str, ...] = ()
    fitted: TransferGP | None = None
    asked: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources that have a say; empty where there is nothing to learn from."""
        return self.asked if self.knowledge is None else self.knowledge.names

    @property
    def notes(self) -> dict[str, Any]:
        """The decision as JSON-ready facts."""
        return {
            "model": self.model,
            "weight": round(self.weight, 4),
            "reason": self.reason,
            "sources": list(self.sources),
            "dropped": list(self.dropped),
        }


class PastTasksProposer(Protocol):
    """Proposes from past tasks where it decides for them; what studies ask."""

    @property
    def space(self) -> Space:
        """The space that is searched."""

    @property
    def refused(self) -> dict[str, str]:
        """Names of the sources that cannot inform the space, each with the reason."""

    def decide(self, observations: Observations, generator: np.random.Generator) -> Decision:
        """Who proposes next."""

    def transferred(
        self, decision: Decision, observations: Observations, n: int, generator: np.random.Generator
    ) -> list[Proposal]:
        """Up to `n` candidates that past tasks propose, at least one, given a decision for them.

        Raises:
            ValueError: If the decision is for the plain proposer.
        """


def as_source_tasks(sources: Sequence[SourceTask] | Mapping[str, Observations]) -> Sequence[SourceTask]:
    """Past tasks given as such, or as observations by the task's name."""
    if not isinstance(sources, Mapping):
        return sources
    return [SourceTask(name, task.candidates, task.values[:, 0]) for name, task in sources.items()]
