"""The trained models that a study keeps on disk, so that its best one need not be trained again.

A trial that is better than all before it saves its model in a folder of its own; once a better trial has finished, the
folder is removed. By default the folders lie beside the storage's file.
"""

from __future__ import annotations

import logging
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from automl.folders import remove
from automl.model import Model
from studies.attributes import StudyDefinition
from studies.storage import beside, file_name

_logger = logging.getLogger("automl.studies")


def models_folder(study_name: str, definition: StudyDefinition, storage: BaseStorage) -> Path | None:
    """Where a study's models are kept; None for a study in memory that names no place."""
    if definition.models_dir is not None:
        return Path(definition.models_dir) / file_name(study_name)
    folder = beside(storage, ".models")
    return None if folder is None else folder / file_name(study_name)


def model_folder(models_dir: Path, trial_number: int) -> Path:
    """Where a trial's model is kept."""
    return models_dir / f"trial-{trial_number}"


def keep_model(model: Model, models_dir: Path, trial_number: int) -> None:
    """Saves a trial's model; where its folder cannot be written the trial's value counts all the same."""
    try:
        model.save(model_folder(models_dir, trial_number))
    except InputError as error:
        _logger.warning("a model is not kept, and is trained again should it be the best: %s", error)


def kept_model(models_dir: Path, trial: FrozenTrial, task_digest: str) -> Model | None:
    """The model that was kept when a trial ended; None where it is gone or damaged, or it is another study's.

    Studies of one name share a folder where their storages do: all that lie on servers, and files of one folder whose
    names differ in their ending alone.

    Args:
        models_dir: Where the study's models are kept.
        trial: The trial, which is complete.
        task_digest: Digest of the study's task.
    """
    folder = model_folder(models_dir, trial.number)
    if not folder.is_dir():
        return None
    try:
        model = Model.load(folder)
    except InputError as error:
        _logger.warning("the model that was kept cannot be used: %s", error)
        return None
    is_own = (model.task_digest, model.evaluation.value) == (task_digest, trial.value)
    return model if is_own else None


def remove_beaten_models(models_dir: Path, study: optuna.Study) -> None:
    """Removes the models of all finished trials but the best; running trials keep what they are about to hand in."""
    if not models_dir.is_dir():
        return
    trials = study.get_trials(deepcopy=False)
    if not any(trial.state == TrialState.COMPLETE for trial in trials):
        return
    best_number = study.best_trial.number
    for trial in trials:
        folder = model_folder(models_dir, trial.number)
        if trial.state.is_finished() and trial.number != best_number and folder.is_dir():
            remove(folder)
