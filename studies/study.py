"""Study: neural networks searched on a task, kept in an Optuna storage; the Python face of the project.

A study's definition (task, space, trainer settings, sampler, seed) lives in the storage beside its trials, so
`load_study(name, storage)` alone can go on with it, in another process or on another day.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError, nearest
from automl.meta_features import meta_features
from automl.model import Model
from automl.observations import Candidate
from automl.spaces.base import Space
from automl.spaces.mlp import MLPSpace
from automl.spaces.registry import space_from_dict
from automl.task import Task, task_from_reference
from automl.trainer import TrainerSettings
from studies.attributes import BUDGET, DEFINITION, META_FEATURES, StudyDefinition, read_definition
from studies.kept_models import kept_model, models_folder, remove_beaten_models
from studies.objective import Objective
from studies.progress import trial_bar
from studies.quiet_optuna import quiet_optuna
from studies.resumption import agreed, is_in_memory
from studies.sampler_names import check_names, make_pruner, make_sampler
from studies.storage import (
    DEFAULT_STORAGE,
    STORAGE_VARIABLE,
    beside,
    check_exists,
    open_storage,
    storage_failures_told,
    storage_url,
)
from studies.study_arguments import check_budget, check_trainable, check_types, fitted_to_task, tell_without_effect
from studies.trial_runs import Callback, WorkerEvents, counted, give_back, run_one
from studies.workers import Budget, run_workers

_logger = logging.getLogger("automl.studies")

_MAKING_SECONDS = 1.0  # what a process takes at most between making a study and saying what it is

CUSTOM = "custom"
"""Stands in a definition for a sampler or pruner that the user passed as an object instead of a name."""


@storage_failures_told()
def create_study(
    name: str,
    *,
    task: Task,
    space: Space | None = None,
    sampler: str | BaseSampler = "nasbot",
    storage: str | BaseStorage | None = DEFAULT_STORAGE,
    transfer_from: Sequence[str] = (),
    seed: int = 0,
    settings: TrainerSettings | None = None,
    pruner: str | BasePruner = "quartile",
    models_dir: str | Path | None = None,
    load_if_exists: bool = False,
) -> Study:
    """Makes a study: a search for the best network of a task.

    Args:
        name: The study's name, unique in its storage.
        task: What is learnt, on which data, judged by which metric.
        space: What is searched; multilayer perceptrons and their hyperparameters by default.
        sampler: "nasbot", "nao", "combined" (both), "evolution", "local-search", "random", "tpe", "gp", "cmaes",
            "nsgaii", or an Optuna sampler.
        storage: URL of the database, an Optuna storage, or None for a study in memory.
        transfer_from: Names of studies of the same storage to learn from, globs such as "mnist-*", or "all"; a single
            one may be given as a plain text.
        seed: Seed of proposals and of initial weights.
        settings: How every candidate is trained.
        pruner: "quartile" (stops the worst quarter), "median", "none", or an Optuna pruner.
        models_dir: Where the best trial's model is kept; beside the storage by default.
        load_if_exists: Whether to go on with a study of that name, if it has the same task, space, settings and seed.

    Raises:
        InputError: If a name is unknown, the space does not fit the task, the storage cannot be opened, or a study of
            that name exists (with `load_if_exists`: one that is defined otherwise).

    Examples:
        >>> from automl.task import load_task
        >>> short = TrainerSettings(max_epochs=2)
        >>> study = create_study("iris", task=load_task("iris"), sampler="random", storage=None, settings=short)
        >>> study.optimize(n_trials=2, show_progress=False)
        >>> study.n_finished, study.best_value == min(trial.value for trial in study.trials)
        (2, True)
    """
    check_types(name=name, task=task, space=space, sampler=sampler, settings=settings, pruner=pruner, seed=seed)
    check_types(storage=storage, models_dir=models_dir)
    sources = _several(transfer_from)
    for source in sources:
        check_types(transfer_from=source)
    if not name:
        raise InputError("got an empty name for the study, expected one that people will know it by; name it.")
    sampler_name = sampler if isinstance(sampler, str) else None
    pruner_name = pruner if isinstance(pruner, str) else None
    check_names(sampler_name, pruner_name)
    space = fitted_to_task(space or MLPSpace(), task)
    check_trainable(space, task)
    tell_without_effect(space)
    definition = StudyDefinition(
        task=dict(task.reference),
        task_name=task.name,
        task_digest=task.digest,
        metric=task.metric,
        direction=task.direction,
        space=space.to_dict(),
        settings=(settings or TrainerSettings()).to_dict(),
        sampler=sampler_name or CUSTOM,
        seed=int(seed),  # a NumPy integer is none that JSON could hold
        pruner=pruner_name or CUSTOM,
        transfer_from=sources,
        models_dir=None if models_dir is None else str(Path(models_dir).absolute()),
    )
    raw, definition = _made_or_joined(name, _opened(storage), definition, task, load_if_exists)
    return Study(
        raw,
        definition,
        task=task,
        space=space,
        sampler=sampler if isinstance(sampler, BaseSampler) else None,
        pruner=pruner if isinstance(pruner, BasePruner) else None,
    )


@storage_failures_told()
def load_study(
    name: str,
    storage: str | BaseStorage = DEFAULT_STORAGE,
    *,
    task: Task | None = None,
    space: Space | None = None,
    sampler: BaseSampler | None = None,
    pruner: BasePruner | None = None,
    stream: int = 0,
) -> Study:
    """Opens a study that `create_study` made; its name and storage are enough to go on with it.

    Args:
        name: The study's name.
        storage: URL of the database, or an Optuna storage.
        task: The task, where its data are in memory only.
        space: The space, where it is the user's own class.
        sampler: An Optuna sampler to go on with; the study's own by default.
        pruner: An Optuna pruner to go on with; the study's own by default.
        stream: Number of this process among those that work on the study at once: Optuna's own samplers draw from a
            random stream for each.

    Raises:
        InputError: If the storage cannot be opened, or there is no study of that name.
    """
    if isinstance(storage, str):
        check_exists(storage)
    opened = _opened(storage)
    definition = _stored_definition(name, opened)
    with quiet_optuna():
        raw = optuna.load_study(study_name=name, storage=opened)
    return Study(raw, definition, task=task, space=space, sampler=sampler, pruner=pruner, stream=stream)


class Study:
    """A search for the best network of a task; made by `create_study` or `load_study`.

    Args:
        raw: The Optuna study.
        definition: What the storage says of it.
        task: The task; made again from the definition where None.
        space: The space; made again from the definition where None.
        sampler: A sampler object in place of the definition's.
        pruner: A pruner object in place of the definition's.
        stream: Number of this process among those that work on the study at once.
    """

    def __init__(
        self,
        raw: optuna.Study,
        definition: StudyDefinition,
        *,
        task: Task | None = None,
        space: Space | None = None,
        sampler: BaseSampler | None = None,
        pruner: BasePruner | None = None,
        stream: int = 0,
    ) -> None:
        self.definition = definition
        self._raw = raw
        self._task = task
        self._space = space
        self._sampler = sampler
        self._pruner = pruner
        self._stream = stream

    @property
    def name(self) -> str:
        """The study's name."""
        return self._raw.study_name

    @cached_property
    def task(self) -> Task:
        """What is learnt."""
        return self._task or task_from_reference(self.definition.task)

    @cached_property
    def space(self) -> Space:
        """What is searched."""
        return self._space or space_from_dict(self.definition.space)

    @cached_property
    def settings(self) -> TrainerSettings:
        """How every candidate is trained."""
        return TrainerSettings.from_dict(self.definition.settings)

    @property
    def stored(self) -> optuna.Study:
        """The Optuna study beneath, for reading its trials: without the sampler and the pruner that new ones need."""
        return self._raw

    @cached_property
    def optuna(self) -> optuna.Study:
        """The Optuna study beneath, with the study's sampler and pruner.

        Raises:
            InputError: If the sampler or pruner is an object that only its maker has.
        """
        definition = self.definition
        for sort, name, given in (
            ("sampler", definition.sampler, self._sampler),
            ("pruner", definition.pruner, self._pruner),
        ):
            if name == CUSTOM and given is None:
                raise InputError(
                    f"study {self.name!r} was made with a {sort} object, which its storage cannot hold; "
                    f"pass one as load_study(..., {sort}=...)."
                )
        n_trials = len(self._raw.get_trials(deepcopy=False))
        plain = self._sampler or make_sampler(definition.sampler, self.space, definition.seed, n_trials, self._stream)
        self._raw.sampler = self._informed(plain)
        self._raw.pruner = self._pruner or make_pruner(definition.pruner)
        return self._raw

    def _informed(self, sampler: BaseSampler) -> BaseSampler:
        """The sampler, led by past studies where the definition names some."""
        if not self.definition.transfer_from:
            return sampler
        from studies.transfer import TransferSampler  # brings BoTorch, which few studies need

        return TransferSampler(
            self.definition.transfer_from, space=self.space, base_sampler=sampler, seed=self.definition.seed
        )

    @property
    def trials(self) -> list[FrozenTrial]:
        """All trials, by number."""
        return self._raw.trials

    def running(self) -> list[FrozenTrial]:
        """The trials that some process trains now, or died of, by number."""
        return self._raw.get_trials(deepcopy=False, states=(TrialState.RUNNING,))

    @property
    def n_finished(self) -> int:
        """Number of trials that count towards a budget: finished, and not interrupted."""
        return len(counted(self._raw.get_trials(deepcopy=False)))

    def n_started(self, first: int = 0) -> int:
        """Number of trials that count towards a budget: finished ones, and those that run somewhere now.

        Args:
            first: Number of the first trial that counts as running; older ones may be those of dead processes.
        """
        trials = self._raw.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING and trial.number >= first for trial in trials)
        return len(counted(trials)) + running

    @property
    def best_trial(self) -> FrozenTrial:
        """The completed trial with the best value.

        Raises:
            ValueError: If no trial is complete yet.
        """
        try:
            return self._raw.best_trial
        except ValueError as error:
            failed = sum(trial.state == TrialState.FAIL for trial in self._raw.get_trials(deepcopy=False))
            raise ValueError(
                f"study {self.name!r} has no completed trial ({failed} failed), expected at least one; "
                "run trials (automl run, or optimize(n_trials=...) in Python), or see why they failed on the dashboard."
            ) from error

    @property
    def best_value(self) -> float:
        """The best value of the task's metric on the validation part."""
        value = self.best_trial.value
        assert value is not None, "a completed trial has a value"
        return value

    @property
    def best_candidate(self) -> Candidate:
        """The network and hyperparameters of the best trial."""
        return self.space.decode(self.best_trial.params)

    def best_model(self) -> Model:
        """The trained network of the best trial, with its preprocessing.

        Its weights were kept when the trial ended; where they are gone, it is trained again with the trial's seed.

        Raises:
            ValueError: If no trial is complete yet.
        """
        trial = self.best_trial
        kept = None if self._models_dir is None else kept_model(self._models_dir, trial, self.definition.task_digest)
        return kept or self._trained_again(trial)

    def test_metrics(self) -> dict[str, float]:
        """Every metric of the best model on the task's test part, by name.

        The best trial looks better on the validation part, by which it was chosen, than it is; the test part took no
        part in the search.

        Raises:
            ValueError: If no trial is complete yet, or the task has no test part.
        """
        if self.task.test is None:
            raise ValueError("got a task without a test part, expected one; make the task with test_fraction=0.2.")
        return self.task.scores(self.best_model().outputs(self.task.test.inputs), self.task.test)

    def _trained_again(self, trial: FrozenTrial) -> Model:
        _logger.warning("the weights of trial %d were not kept; it is trained again with the same seed", trial.number)
        candidate = self.space.decode(trial.params)
        result = self._objective().train(candidate, trial.number)
        if result.evaluation.status != "complete":
            raise RuntimeError(f"trial {trial.number} failed when it was trained again: {result.evaluation.reason}.")
        if result.evaluation.value != trial.value:
            _logger.warning("its value is %g now, it was %g", result.evaluation.value, trial.value)
        return Model.from_training(self.task, candidate, result)

    @storage_failures_told()
    def optimize(
        self,
        n_trials: int | None = None,
        timeout: float | None = None,
        n_workers: int = 1,
        callbacks: Sequence[Callback] = (),
        show_progress: bool | None = None,
        n_total: int | None = None,
    ) -> None:
        """Runs trials: `n_trials` more, for `timeout` seconds, whichever ends first; else until Ctrl-C.

        Args:
            n_trials: Number of trials to run in all workers together.
            timeout: Seconds after which no new trial is started.
            n_workers: Number of processes that run trials at once; 1 runs them in this process.
            callbacks: Called in this process with the Optuna study and every finished trial.
            show_progress: Whether to show a progress bar; by default on a terminal alone.
            n_total: Trials that the study is to have in all: fewer are run here where other processes run some of them.

        Raises:
            InputError: If a number is out of range, workers cannot join the study, or its storage fails.
            KeyboardInterrupt: After Ctrl-C; the running trials have been queued and are run first next time.
        """
        check_budget(n_trials, timeout, n_workers, n_total)
        first = len(self._raw.get_trials(deepcopy=False))
        self._raw._stop_flag = False
        budget = Budget(n_trials, timeout, lambda: self._is_over(n_total, first))
        if n_trials is not None:
            self._raw.set_user_attr(BUDGET, {"n_trials": self.n_finished + n_trials})
        with quiet_optuna(), trial_bar(n_trials, show_progress) as bar:
            listeners = [*callbacks, bar]
            if n_workers == 1:
                self._run_here(budget, listeners, n_total, first)
            else:
                self._run_in_workers(n_workers, budget, listeners, n_total, first)
                if timeout is not None and len(self._raw.get_trials(deepcopy=False)) == first:
                    _logger.warning("no trial was started: the workers had not started within %g seconds", timeout)

    @storage_failures_told()
    def run_trial(
        self,
        on_start: Callable[[int], None] | None = None,
        callbacks: Sequence[Callback] = (),
        n_total: int | None = None,
        first: int = 0,
    ) -> int | None:
        """Runs one trial in this process.

        Args:
            on_start: Called with the trial's number before its training.
            callbacks: Called with the Optuna study and the finished trial.
            n_total: Trials that the study is to have in all. Where several processes start the last trials at the same
                moment, those whose trials come too late, by their numbers in the storage, withdraw them.
            first: Number of the first trial that counts as running; older ones may be those of dead processes.

        Returns:
            The trial's number; None if another worker had taken it over meanwhile, or it was withdrawn.

        Raises:
            KeyboardInterrupt: After Ctrl-C; the trial has been queued and is run first next time.
            InputError: If the storage fails: its disk is full, its server gone.
        """
        number = run_one(
            self.optuna, self._objective(), on_start=on_start, callbacks=callbacks, n_total=n_total, first=first
        )
        if number is not None and self._models_dir is not None:
            remove_beaten_models(self._models_dir, self._raw)
        return number

    @storage_failures_told()
    def requeue_abandoned(self) -> None:
        """Queues the trials of processes that died, once they have given no sign of life for the grace period."""
        with quiet_optuna():
            optuna.storages.fail_stale_trials(self._raw)

    def give_back(self, number: int) -> None:
        """Queues a trial that was interrupted, unless it has a result or has been queued already."""
        give_back(self._raw, number)

    def _run_here(self, budget: Budget, listeners: Sequence[Callback], n_total: int | None, first: int) -> None:
        while budget.take():
            if self.run_trial(callbacks=listeners, n_total=n_total, first=first) is None:
                budget.give_back()

    def _run_in_workers(
        self, n_workers: int, budget: Budget, listeners: Sequence[Callback], n_total: int | None, first: int
    ) -> None:
        total = "" if n_total is None else str(n_total)
        command = [sys.executable, "-m", "studies.worker_process", self.name, total, str(first)]
        variables = {STORAGE_VARIABLE: self._url_for_workers()}
        run_workers(command, n_workers, budget, WorkerEvents(self._raw, listeners), variables)

    def _is_over(self, n_total: int | None, first: int) -> bool:
        """Whether a callback has called `optuna.Study.stop`, or the study has all the trials that it is to have."""
        return self._raw._stop_flag or (n_total is not None and self.n_started(first) >= n_total)

    def _objective(self) -> Objective:
        return Objective(self.task, self.space, self.settings, self.definition.seed, self._models_dir)

    @cached_property
    def _models_dir(self) -> Path | None:
        return models_folder(self.name, self.definition, self._raw._storage)

    def _url_for_workers(self) -> str:
        url = storage_url(self._raw._storage)
        if url is None:
            raise InputError(
                f"study {self.name!r} lives in this process's memory, where worker processes cannot join it; "
                "use n_workers=1, or a storage such as 'sqlite:///automl.db'."
            )
        if self._sampler is not None or self._pruner is not None:
            raise InputError(
                f"study {self.name!r} has a sampler or pruner object, which worker processes cannot be given; "
                "name one instead, or use n_workers=1."
            )
        if is_in_memory(self.definition.task):
            raise InputError(
                f"the task of study {self.name!r} is held in memory; save it with Task.save(folder) and use the "
                "task that it returns."
            )
        return url


def _several(names: Sequence[str] | str) -> tuple[str, ...]:
    """The names as a tuple; what is none stands alone, for `check_types` to refuse."""
    return tuple(names) if isinstance(names, Iterable) and not isinstance(names, str) else (names,)


def _made_or_joined(
    name: str, storage: BaseStorage, definition: StudyDefinition, task: Task, load_if_exists: bool
) -> tuple[optuna.Study, StudyDefinition]:
    """The Optuna study with what defines it: a new one, or the one of that name, if it may be gone on with."""
    if name not in optuna.study.get_all_study_names(storage):
        if is_in_memory(task.reference):
            definition = replace(definition, task=dict(_saved_beside(task, storage).reference))
        try:
            with quiet_optuna():
                raw = optuna.create_study(study_name=name, storage=storage, direction=task.direction)
                raw.set_metric_names([task.metric])
            return _recorded(raw, definition, task), definition
        except optuna.exceptions.DuplicatedStudyError:
            _logger.info("another process made the study %r at the same moment", name)
    definition = agreed(name, _stored_definition(name, storage), definition, load_if_exists)
    with quiet_optuna():
        raw = optuna.load_study(study_name=name, storage=storage)
    return _recorded(raw, definition, task), definition


def _recorded(raw: optuna.Study, definition: StudyDefinition, task: Task) -> optuna.Study:
    """Writes into the Optuna study what other processes need to join it or to learn from it."""
    raw.set_user_attr(DEFINITION, definition.to_dict())
    if META_FEATURES not in raw.user_attrs:
        raw.set_user_attr(META_FEATURES, meta_features(task))
    return raw


def _opened(storage: str | BaseStorage | None) -> BaseStorage:
    return open_storage(storage) if isinstance(storage, str) else optuna.storages.get_storage(storage)


def _stored_definition(name: str, storage: BaseStorage) -> StudyDefinition:
    names = optuna.study.get_all_study_names(storage)
    if name not in names:
        known = f"it has {nearest(name, names)}" if names else "it has none"
        raise InputError(f"got the study {name!r}, which this storage lacks; {known}. Check the name and the URL.")
    return read_definition(name, _attributes(storage, storage.get_study_id_from_name(name)))


def _attributes(storage: BaseStorage, study_id: int) -> dict[str, Any]:
    """A study's attributes; one that another process is just making is given a moment to be defined."""
    until = time.monotonic() + _MAKING_SECONDS
    while True:
        attributes: dict[str, Any] = storage.get_study_user_attrs(study_id)
        if DEFINITION in attributes or storage.get_n_trials(study_id) or time.monotonic() > until:
            return attributes
        time.sleep(0.05)


def _saved_beside(task: Task, storage: BaseStorage) -> Task:
    """The task, saved where later sessions and workers can load it; unchanged where the storage is in memory too."""
    folder = beside(storage, ".tasks")
    return task if folder is None else task.save(folder / task.digest)
