"""The values of a study's finished trials, and, on request, the parameters of some of them.

Optuna builds an object for every trial, which takes half a millisecond; with a hundred past studies that is most of the
wait for the first proposal. So only the values are read from a relational storage here, and later the parameters of a
few trials. Other storages are read in Optuna's way. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, json_to_distribution
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages._rdb import models
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import func, select

from studies.history import trial_values
from studies.storage import relational

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)
_AT_A_TIME = 500  # Databases bound the number of variables of a query; SQLite's bound was 999 for long.

Params = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class FinishedTrials:
    """Finished trials with a finite value, in the order of their numbers.

    Args:
        losses: Their values as losses, smaller is better; of a pruned trial the best of its curve.
        params: Gives the parameters of the trials at some places.
    """

    losses: NDArray[np.float64]
    params: Callable[[Sequence[int]], list[Params]]


def n_finished(storage: BaseStorage, study_id: int) -> int:
    """Number of a study's finished trials, with or without a value.

    Raises:
        KeyError: If there is no such study, as storages do.
    """
    backend = relational(storage)
    if backend is None:
        return len(storage.get_all_trials(study_id, deepcopy=False, states=_FINISHED))
    storage.get_study_name_from_id(study_id)  # raises where the study has vanished
    trial = models.TrialModel
    wanted = select(func.count()).where(trial.study_id == study_id, trial.state.in_(_FINISHED))
    with backend.engine.connect() as connection:
        return int(connection.execute(wanted).scalar_one())


def finished_trials(storage: BaseStorage, study_id: int) -> FinishedTrials:
    """Reads the values of a study of one objective.

    Raises:
        KeyError: If there is no such study.
    """
    direction = storage.get_study_directions(study_id)[0]
    backend = relational(storage)
    if backend is not None:
        return _of_relational(backend, study_id, direction)
    trials = storage.get_all_trials(study_id, deepcopy=False, states=_FINISHED)
    return _of_trials([trial for trial in trials if trial_values(trial, [direction]) is not None], direction)


def asked_for(storage: BaseStorage, study_id: int) -> dict[str, BaseDistribution]:
    """What a study's finished trials asked for, by name, the last trial's where several differ."""
    backend = relational(storage)
    if backend is None:
        trials = storage.get_all_trials(study_id, deepcopy=False, states=_FINISHED)
        return {name: distribution for trial in trials for name, distribution in trial.distributions.items()}
    trial, param = models.TrialModel, models.TrialParamModel
    wanted = (
        select(param.param_name, param.distribution_json)
        .join(trial, trial.trial_id == param.trial_id)
        .where(trial.study_id == study_id, trial.state.in_(_FINISHED))
        .group_by(param.param_name, param.distribution_json)
        .order_by(func.max(param.param_id))
    )
    with backend.engine.connect() as connection:
        return {name: _distribution(text) for name, text in connection.execute(wanted)}


def _of_trials(trials: Sequence[FrozenTrial], direction: StudyDirection) -> FinishedTrials:
    values = [trial_values(trial, [direction]) for trial in trials]
    losses = np.array([value[0] for value in values if value is not None], dtype=np.float64)
    return FinishedTrials(_signed(losses, direction), lambda places: [trials[place].params for place in places])


def _of_relational(backend: RDBStorage, study_id: int, direction: StudyDirection) -> FinishedTrials:
    trial, value, step = models.TrialModel, models.TrialValueModel, models.TrialIntermediateValueModel
    best = func.max if direction == StudyDirection.MAXIMIZE else func.min
    complete = (
        select(trial.trial_id, value.value)
        .join(value, value.trial_id == trial.trial_id)
        .where(trial.study_id == study_id, trial.state == TrialState.COMPLETE)
        .where(value.value_type == models.TrialValueModel.TrialValueType.FINITE)
    )
    pruned = (
        select(trial.trial_id, best(step.intermediate_value))
        .join(step, step.trial_id == trial.trial_id)
        .where(trial.study_id == study_id, trial.state == TrialState.PRUNED)
        .where(step.intermediate_value_type == step.TrialIntermediateValueType.FINITE)
        .group_by(trial.trial_id)
    )
    with backend.engine.connect() as connection:
        known = sorted((int(i), float(v)) for query in (complete, pruned) for i, v in connection.execute(query))
    losses = _signed(np.array([v for _, v in known], dtype=np.float64), direction)
    return FinishedTrials(losses, lambda places: _params(backend, [known[place][0] for place in places]))


def _params(backend: RDBStorage, trial_ids: Sequence[int]) -> list[Params]:
    found: dict[int, dict[str, Any]] = {trial_id: {} for trial_id in trial_ids}
    with backend.engine.connect() as connection:
        for some in _chunks(list(found)):
            param = models.TrialParamModel
            wanted = select(param.trial_id, param.param_name, param.param_value, param.distribution_json)
            for trial_id, name, value, text in connection.execute(
                wanted.where(param.trial_id.in_(some)).order_by(param.param_id)
            ):
                found[trial_id][name] = _distribution(text).to_external_repr(value)
    return [found[trial_id] for trial_id in trial_ids]


def _chunks(trial_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    for first in range(0, len(trial_ids), _AT_A_TIME):
        yield trial_ids[first : first + _AT_A_TIME]


@lru_cache(maxsize=4096)
def _distribution(text: str) -> BaseDistribution:
    """The distribution that its JSON describes; remembered, since many trials ask for the same one."""
    return json_to_distribution(text)


def _signed(values: NDArray[np.float64], direction: StudyDirection) -> NDArray[np.float64]:
    return -values if direction == StudyDirection.MAXIMIZE else values
