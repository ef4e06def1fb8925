"""Checks of what users pass to `create_study` and `Study.optimize`, made before anything is written or run."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping
from numbers import Integral, Real
from pathlib import Path
from types import NoneType

import numpy as np
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage

from automl.errors import InputError, listed
from automl.parameters import Categorical, Float, Parameter
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.hyperparameters import DEFAULT_HYPERPARAMETERS, OPTIMISERS
from automl.task import Task
from automl.trainer import TrainerSettings

_logger = logging.getLogger("automl.studies")

_MOST = sys.float_info.max
_TRAINABLE: Mapping[str, tuple[Parameter, str]] = {
    "learning_rate": (Float(0, _MOST), "a number of at least 0"),
    "weight_decay": (Float(0, _MOST), "a number of at least 0"),
    "batch_size": (Float(1, _MOST), "a number of at least 1"),
    "dropout": (Float(0, math.nextafter(1, 0)), "a share from 0 to below 1"),
    "optimizer": (Categorical(OPTIMISERS), f"one of {listed(OPTIMISERS)}"),
}
_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "name": ((str,), "a text"),
    "task": ((Task,), "a Task, such as load_task('digits') or Task.from_csv('FILE.csv', target=...) makes"),
    "space": ((Space, NoneType), "a space, such as MLPSpace()"),
    "sampler": ((str, BaseSampler), "a name, such as 'nasbot', or an Optuna sampler"),
    "settings": ((TrainerSettings, NoneType), "TrainerSettings(...)"),
    "pruner": ((str, BasePruner), "a name, such as 'none', or an Optuna pruner"),
    "seed": ((Integral,), "a whole number"),
    "storage": ((str, BaseStorage, NoneType), "a URL such as 'sqlite:///automl.db', an Optuna storage, or None"),
    "models_dir": ((str, Path, NoneType), "a folder, or None for one beside the storage"),
    "transfer_from": ((str,), "names of studies of the same storage, such as those that study.name tells"),
}


def check_types(**given: object) -> None:
    """Refuses arguments of `create_study` of a wrong type, which would otherwise fail after the study was written.

    Raises:
        InputError: If an argument is of another type than it is said to be.
    """
    for argument, value in given.items():
        types, expected = _TYPES[argument]
        if not isinstance(value, types):
            raise InputError(f"got {argument} = {value!r}, expected {expected}; pass one.")


def fitted_to_task(space: Space, task: Task) -> Space:
    """The space with what follows from the task: its kind, and the size of its images.

    Raises:
        InputError: If the space's networks read images and the task's rows are none.
    """
    if task.image_shape is None and isinstance(space, CNNSpace | CellSpace):
        raise InputError(
            f"got the {type(space).__name__} for task {task.name!r}, whose rows are no images; choose MLPSpace "
            "(--space mlp), or say what images the rows are (--image-shape, or image_shape= in Python)."
        )
    size = None if task.image_shape is None else min(task.image_shape[1:])
    return space.for_task(task.kind, size)


def check_trainable(space: Space, task: Task) -> None:
    """Refuses what the trainer would refuse in the middle of a study.

    Raises:
        InputError: If the space's candidates are no networks for the task, or an end of a range, or a choice, is none
            that the trainer can train with.
    """
    _check_networks(space, task)
    for name, parameter in space.hyperparameters.items():
        if name not in _TRAINABLE:
            continue
        possible, expected = _TRAINABLE[name]
        values = parameter.choices if isinstance(parameter, Categorical) else (parameter.low, parameter.high)
        bad = [value for value in values if not possible.contains(value)]
        if bad:
            raise InputError(
                f"got {name} = {bad[0]!r} in the range {parameter}, expected {expected}; narrow the range."
            )


def _check_networks(space: Space, task: Task) -> None:
    import torch  # late, as commands must start fast

    from automl.network import assemble

    candidate = space.sample(np.random.default_rng(0))
    if candidate.architecture is None:
        raise InputError(
            f"got the {type(space).__name__} for task {task.name!r}, whose candidates are no networks; choose "
            "MLPSpace, CNNSpace or CellSpace, or search it by an objective of your own (optuna.create_study)."
        )
    try:
        with torch.device("meta"):  # neither memory nor random numbers are used
            assemble(
                candidate.architecture, n_inputs=task.n_features, n_outputs=task.n_outputs, image_shape=task.image_shape
            )
    except ValueError as error:
        raise InputError(f"the space has networks that cannot be trained on task {task.name!r}: {error}") from error


def tell_without_effect(space: Space) -> None:
    """Warns of hyperparameters that would be searched in vain, such as those of a wrong name."""
    unknown = [name for name in space.hyperparameters if name not in DEFAULT_HYPERPARAMETERS]
    if unknown:
        _logger.warning(
            "the space has hyperparameters that the trainer does not know and that have no effect on it (%s), expected "
            "some of %s; rename or remove them.",
            listed(unknown),
            listed(list(DEFAULT_HYPERPARAMETERS)),
        )


def check_budget(n_trials: int | None, timeout: float | None, n_workers: int, n_total: int | None = None) -> None:
    """Refuses a budget that makes no sense.

    Raises:
        InputError: If what should be a number is none, one is negative, or there is no worker.
    """
    kinds: Mapping[str, tuple[object, type]] = {
        "n_trials": (n_trials, Integral),
        "timeout": (timeout, Real),
        "n_workers": (n_workers, Integral),
        "n_total": (n_total, Integral),
    }
    for name, (number, kind) in kinds.items():
        if not (isinstance(number, kind) or (number is None and name != "n_workers")):
            wanted = "a whole number" if kind is Integral else "a number of seconds"
            raise InputError(f"got {name} = {number!r}, expected {wanted}; write one.")
    if n_trials is not None and n_trials < 0:
        raise InputError(f"got n_trials = {n_trials}, expected 0 or more, or None for no limit; raise it.")
    if timeout is not None and not timeout >= 0:
        raise InputError(f"got a timeout of {timeout} seconds, expected 0 or more, or None for no limit; raise it.")
    if n_workers < 1:
        raise InputError(f"got n_workers = {n_workers}, expected at least 1; raise it.")
