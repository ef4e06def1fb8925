"""What a target space can learn from sources: which of them are usable, and the prior that they make together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from automl.observations import Candidate
from automl.spaces.base import Space
from automl.surrogates.ablr import TaskData
from automl.surrogates.transfer_gp import Inputs
from automl.surrogates.transfer_prior import TransferPrior, TransferPriorSettings, fit_transfer_prior
from automl.transfer_features import FeatureMap, SourceTask, feature_map

Floats = NDArray[np.float64]

_FEWEST_EVALUATIONS = 3
_SAMPLED = 200  # Candidates of the target's space that take part in choosing features.
_ROWS_PER_SOURCE = (30, 1000)


@dataclass(frozen=True)
class SourceSettings:
    """Which sources are used, and how much of them.

    Args:
        min_overlap: A source must know at least this share of what the target searches.
        rows_at_most: Evaluations of all sources together that the prior is fitted to.
    """

    min_overlap: float = 0.5
    rows_at_most: int = 4_000


def overlap(space: Space, source: SourceTask) -> float:
    """Share of what the space searches that the source's candidates have: its hyperparameters, and graphs as one more.

    Graphs count by the share of the labels of the space's networks that the source's networks have.
    """
    sampled = space.sample(np.random.default_rng(0))
    wanted = list(space.hyperparameters)
    # A parameter counts by the share of evaluations that have it: conditional ones are absent from some.
    shares = [float(np.mean([name in candidate.hyperparameters for candidate in source.candidates])) for name in wanted]
    if sampled.architecture is not None:
        shares.append(_shared_labels(space, source))
    return float(np.mean(shares)) if shares else 0.0


def _shared_labels(space: Space, source: SourceTask) -> float:
    generator = np.random.default_rng(0)
    ours = {label for _ in range(20) for label in _labels(space.sample(generator))}
    theirs = {label for candidate in source.candidates[:200] for label in _labels(candidate)}
    return len(ours & theirs) / max(len(ours), 1)


def _labels(candidate: Candidate) -> frozenset[str]:
    return frozenset() if candidate.architecture is None else frozenset(candidate.architecture.labels) - {"ip", "op"}


def usable(
    space: Space, sources: Sequence[SourceTask], settings: SourceSettings
) -> tuple[list[SourceTask], dict[str, str]]:
    """The sources that can inform the space, thinned to what is fitted, and why each of the others cannot."""
    kept: list[SourceTask] = []
    refused: dict[str, str] = {}
    for source in sources:
        if len(source) < _FEWEST_EVALUATIONS:
            refused[source.name] = f"it has {len(source)} finite evaluations, expected at least {_FEWEST_EVALUATIONS}"
        elif np.ptp(source.scores) == 0:
            refused[source.name] = f"all its {len(source)} evaluations are worth the same"
        elif (share := overlap(space, source)) < settings.min_overlap:
            refused[source.name] = (
                f"it shares {share:.0%} of what the target searches, expected at least {settings.min_overlap:.0%}"
            )
        else:
            kept.append(source)
    rows = int(np.clip(settings.rows_at_most // max(len(kept), 1), *_ROWS_PER_SOURCE))
    return [source.thinned(rows) for source in kept], refused


@dataclass(frozen=True, eq=False)
class Knowledge:
    """A prior made of some sources, and the features it reads.

    Args:
        sources: The sources.
        features: How candidates are described.
        prior: What the sources foresee.
    """

    sources: tuple[SourceTask, ...]
    features: FeatureMap
    prior: TransferPrior

    def inputs(self, candidates: Sequence[Candidate]) -> Inputs:
        """What a new task's model sees of candidates."""
        return self.prior.inputs(self.features(candidates))

    def without(self, places: Sequence[int]) -> Knowledge:
        """What is known without the sources at these places; the features stay.

        Raises:
            ValueError: If no source is left.
        """
        kept = [place for place in range(len(self.sources)) if place not in places]
        return Knowledge(tuple(self.sources[place] for place in kept), self.features, self.prior.of_tasks(kept))

    @property
    def names(self) -> tuple[str, ...]:
        """The sources' names."""
        return tuple(source.name for source in self.sources)


def learn(space: Space, sources: Sequence[SourceTask], settings: TransferPriorSettings, seed: int) -> Knowledge:
    """Fits the prior of some sources for a target space.

    Raises:
        ValueError: If there is no source.
    """
    generator = np.random.default_rng(0)
    own = [space.sample(generator) for _ in range(_SAMPLED)]
    features = feature_map(space.hyperparameters, [*(c for source in sources for c in source.candidates), *own])
    tasks = [TaskData(features(source.candidates), source.scores) for source in sources]
    return Knowledge(tuple(sources), features, fit_transfer_prior(tasks, features.groups, seed=seed, settings=settings))
