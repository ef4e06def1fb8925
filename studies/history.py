"""Optuna's trials as the observations that proposers learn from.

- COMPLETE: a candidate with its values; objectives that are maximised change sign, so all values are losses.
- PRUNED: a candidate with its best intermediate value. A training that was cut short could have become better, so the
  value is pessimistic; but a complete training too is worth its best epoch, so both are on one scale.
- FAIL, and finished trials without a finite value: failed, not to be proposed again; unless the trial was interrupted
  or its worker died and it has been queued once more, which says nothing of the candidate.
- RUNNING and WAITING: pending. A running trial's candidate is known from its published proposal before its objective
  has asked for a single parameter.

Trials whose parameters make no candidate of the space are foreign: they are left out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from automl.observations import Candidate, Observations
from automl.spaces.base import Space
from studies.attributes import PROPOSAL, RETRY_HISTORY, retried_numbers

_logger = logging.getLogger("automl.studies")

# Optuna's own name for the parameters that `Study.enqueue_trial` fixes.
_FIXED_PARAMS = "fixed_params"


@dataclass
class History:
    """Turns the trials of one study into observations, each finished trial once.

    Args:
        space: The space whose candidates the trials evaluate.
    """

    space: Space
    _study: object = None
    _finished: dict[int, tuple[Mapping[str, Any], Candidate | None]] = field(default_factory=dict)
    _told: bool = False

    def observations(
        self,
        study: object,
        trials: Sequence[FrozenTrial],
        directions: Sequence[StudyDirection],
        asking: int | None = None,
    ) -> Observations:
        """All that the trials tell of the space.

        Args:
            study: What identifies the study; what is remembered of another study is forgotten.
            trials: Its trials, by increasing number.
            directions: Its m objectives' directions.
            asking: Number of the trial that asks, which is not its own observation; None where nobody asks.

        Returns:
            Observations with losses `n x m`, in the order of the trials' numbers.
        """
        if study != self._study:
            self._study, self._finished, self._told = study, {}, False
        signs = np.array([-1.0 if direction == StudyDirection.MAXIMIZE else 1.0 for direction in directions])
        retried = retried_numbers(trials)
        known: list[tuple[Candidate, Sequence[float]]] = []
        pending: list[Candidate] = []
        failed: list[Candidate] = []
        for trial in trials:
            candidate = None if trial.number == asking else self._candidate(trial)
            if candidate is None:
                continue
            values = trial_values(trial, directions)
            if not trial.state.is_finished():
                pending.append(candidate)
            elif values is not None:
                known.append((candidate, values))
            elif trial.number not in retried:
                failed.append(candidate)
        losses = np.array([values for _, values in known], dtype=np.float64).reshape(len(known), len(signs)) * signs
        return Observations(tuple(candidate for candidate, _ in known), losses, tuple(pending), tuple(failed))

    def _candidate(self, trial: FrozenTrial) -> Candidate | None:
        """The trial's candidate; None for a foreign trial or one that has not said yet."""
        if not trial.state.is_finished():
            return decoded(self.space, open_assignment(trial))
        params, candidate = self._finished.get(trial.number, (None, None))
        if params != trial.params:  # studies of one name in two storages cannot be told apart by what identifies them
            params, candidate = trial.params, decoded(self.space, trial.params)
            self._finished[trial.number] = params, candidate
            if candidate is None and trial.state == TrialState.COMPLETE:
                self._tell_foreign(trial.number)
        return candidate

    def _tell_foreign(self, number: int) -> None:
        """Says, once for a study, that a trial is left out."""
        if not self._told:
            self._told = True
            _logger.warning(
                "trial %d has no candidate of the sampler's space %s, so nothing is learnt from it or others like it; "
                "let the objective ask for the parameters of that space, or start a new study.",
                number,
                type(self.space).__name__,
            )


def trial_values(trial: FrozenTrial, directions: Sequence[StudyDirection]) -> Sequence[float] | None:
    """What a finished trial is known to be worth, in the objectives' own directions; None where that is not finite.

    A pruned trial is worth the best of its finite intermediate values.
    """
    if trial.state == TrialState.COMPLETE:
        return trial.values if trial.values is not None and np.isfinite(trial.values).all() else None
    if trial.state == TrialState.PRUNED:
        curve = [value for value in trial.intermediate_values.values() if np.isfinite(value)]
        best = max if directions[0] == StudyDirection.MAXIMIZE else min
        return [best(curve)] if curve and len(directions) == 1 else None
    return None


def best_trial_of(
    candidate: Candidate, space: Space, trials: Sequence[FrozenTrial], direction: StudyDirection
) -> FrozenTrial:
    """Of a candidate's finished trials, at least one of which has a finite value, the best; the first of equal ones."""
    own: list[tuple[float, FrozenTrial]] = []
    for trial in trials:
        values = trial_values(trial, [direction])
        known = None if values is None else decoded(space, trial.params)
        if values is not None and known is not None and known.digest == candidate.digest:
            own.append((values[0], trial))
    best = max if direction == StudyDirection.MAXIMIZE else min
    return best(own, key=lambda pair: pair[0])[1]


def open_assignment(trial: FrozenTrial) -> Mapping[str, Any]:
    """The parameters known of a trial that has not finished: proposed, fixed by the user, or already asked for."""
    proposed = trial.system_attrs.get(PROPOSAL, {}).get("params", {})
    return {**proposed, **trial.system_attrs.get(_FIXED_PARAMS, {}), **trial.params}


def is_decided(space: Space, trial: FrozenTrial) -> bool:
    """Whether the known parameters of an unfinished trial make a whole candidate, so that none need be proposed."""
    return decoded(space, open_assignment(trial)) is not None


def is_queued(trial: FrozenTrial) -> bool:
    """Whether a trial that asks for its parameters was queued with some of them, by a user or after an interrupt."""
    return bool(trial.params) or bool(trial.system_attrs.get(_FIXED_PARAMS)) or RETRY_HISTORY in trial.system_attrs


def decoded(space: Space, assignment: Mapping[str, Any]) -> Candidate | None:
    """The candidate of some parameters; None where they make none of the space."""
    try:
        return space.decode(assignment)
    except ValueError:
        return None
