"""The latent space of a study as NAO sees it: its map, and which trial each point of the map is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from optuna.study import StudyDirection

from automl.errors import InputError
from automl.observations import Observations
from automl.pictures.latent_drawing import latent_map_svg
from automl.pictures.latent_map import LatentMap, latent_map
from studies.history import decoded, trial_values
from studies.samplers import CombinedSampler, NAOSampler
from studies.study import Study

if TYPE_CHECKING:
    from automl.proposers.nao import NAOProposer

MIN_TRIALS = 3


@dataclass(frozen=True, eq=False)
class StudyMap:
    """A map of a study's latent space.

    Args:
        shown: The map; its values are losses.
        numbers: Number of each point's trial.
    """

    shown: LatentMap
    numbers: tuple[int, ...]


def study_map(study: Study) -> StudyMap | None:
    """The latent space of a study: its trials whose values are known, and the latent steps from the best of them.

    Args:
        study: The study. If NAO has searched it, alone or combined, the map shows the model that its next proposal
            is made with; else NAO's model is fitted to its trials.

    Returns:
        The map; None for fewer than `MIN_TRIALS` trials whose values are known.
    """
    from automl.proposers.nao import NAOProposer  # brings torch, which few callers of this module need

    direction = StudyDirection.MAXIMIZE if study.definition.maximises else StudyDirection.MINIMIZE
    sign = -1.0 if study.definition.maximises else 1.0
    known = [
        (trial.number, candidate, sign * values[0])
        for trial in study.trials
        if (values := trial_values(trial, [direction])) is not None
        and (candidate := decoded(study.space, trial.params)) is not None
    ]
    if len(known) < MIN_TRIALS:
        return None
    numbers, candidates, losses = zip(*known, strict=True)
    observations = Observations(candidates, np.array(losses))
    proposer = _proposer(study) or NAOProposer(study.space)
    return StudyMap(latent_map(proposer.model(observations), observations), numbers)


def study_map_svg(study: Study) -> str | None:
    """The map of a study's latent space as the text of an SVG document; None where there is none."""
    found = study_map(study)
    if found is None:
        return None
    return latent_map_svg(
        found.shown,
        title=f"Latent space of study {study.name}",
        metric=study.definition.metric,
        maximise=study.definition.maximises,
        names=[f"trial {number}" for number in found.numbers],
    )


def is_searched_by_nao(study: Study) -> bool:
    """Whether NAO proposes the study's trials, alone or combined, so that it has a latent space of its own."""
    return _proposer(study) is not None


def _proposer(study: Study) -> NAOProposer | None:
    """NAO's proposer in the study's sampler, with the models that it has fitted so far."""
    try:
        sampler = study.optuna.sampler
    except InputError:  # the study was made with a sampler object that only its maker has
        return None
    sampler = getattr(sampler, "base_sampler", sampler)  # a sampler that learns from past studies wraps another
    return sampler.nao if isinstance(sampler, NAOSampler | CombinedSampler) else None
