"""Study: neural networks searched on a task, kept in an Optuna storage; the Python face of the project.

A study's definition (task, space, trainer settings, sampler, seed) lives in the storage beside its trials, so
`load_study(name, storage)` alone can go on with it, in another process or on another day.
"""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from numbers import Integral, Real
from pathlib import Path
from types import NoneType

import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from automl.errors import InputError, listed, nearest
from automl.meta_features import meta_features
from automl.model import Model
from automl.observations import Candidate
from automl.spaces.base import Space
from automl.spaces.cell import CellSpace
from automl.spaces.cnn import CNNSpace
from automl.spaces.hyperparameters import DEFAULT_HYPERPARAMETERS
from automl.spaces.mlp import MLPSpace
from automl.spaces.registry import space_from_dict
from automl.task import Task, task_from_reference
from automl.trainer import TrainerSettings
from studies.attributes import (
    BUDGET,
    DEFINITION,
    META_FEATURES,
    REASON,
    StudyDefinition,
    read_definition,
    retried_numbers,
)
from studies.console import without_passwords
from studies.history import is_queued
from studies.interrupts import HeldInterrupts, came_of
from studies.objective import Objective, TrainingFailed, model_folder, remove_beaten_models
from studies.resumption import agreed, is_in_memory
from studies.sampler_names import check_names, make_pruner, make_sampler
from studies.storage import (
    DEFAULT_STORAGE,
    STORAGE_VARIABLE,
    beside,
    check_exists,
    file_name,
    open_storage,
    requeue,
    storage_url,
)
from studies.workers import Budget, run_workers

_logger = logging.getLogger("automl.studies")

Callback = Callable[[optuna.Study, FrozenTrial], None]
"""Told of every finished trial, as Optuna's callbacks are."""

CUSTOM = "custom"
"""What a definition says of a sampler or pruner that is no name but an object of the user's."""


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
        transfer_from: Names of studies of the same storage to learn from, globs such as "mnist-*", or "all"; one alone
            may be a plain text.
        seed: Seed of proposals and of initial weights.
        settings: How every candidate is trained.
        pruner: "quartile" (stops the worst quarter), "median", "none", or an Optuna pruner.
        models_dir: Where the best trial's model is kept; beside the storage by default.
        load_if_exists: Go on with a study of that name and the same task, space, settings and seed.

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
    sources = (transfer_from,) if isinstance(transfer_from, str) else tuple(transfer_from)
    _check_types(name=name, task=task, space=space, sampler=sampler, settings=settings, pruner=pruner, seed=seed)
    for source in sources:
        _check_types(transfer_from=source)
    if not name:
        raise InputError("got an empty name for the study, expected one that people will know it by; name it.")
    sampler_name = sampler if isinstance(sampler, str) else None
    pruner_name = pruner if isinstance(pruner, str) else None
    check_names(sampler_name, pruner_name)
    space = _fitted(space or MLPSpace(), task)
    _tell_without_effect(space)
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
    opened = _opened(storage)
    if name in optuna.study.get_all_study_names(opened):
        definition = agreed(name, _stored_definition(name, opened), definition, load_if_exists)
    elif is_in_memory(task.reference):
        definition = replace(definition, task=dict(_saved_beside(task, opened).reference))
    return Study(
        _recorded(name, opened, definition, task, load_if_exists),
        definition,
        task=task,
        space=space,
        sampler=sampler if isinstance(sampler, BaseSampler) else None,
        pruner=pruner if isinstance(pruner, BasePruner) else None,
    )


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
    with _quiet_optuna():
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
        return len(_finished(self._raw.get_trials(deepcopy=False)))

    def n_started(self, first: int = 0) -> int:
        """Number of trials that count towards a budget: finished ones, and those that run somewhere now.

        Args:
            first: Number of the first trial that counts as running; older ones may be those of dead processes.
        """
        trials = self._raw.get_trials(deepcopy=False)
        running = sum(trial.state == TrialState.RUNNING and trial.number >= first for trial in trials)
        return len(_finished(trials)) + running

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
        return self._kept_model(trial) or self._trained_again(trial)

    def _kept_model(self, trial: FrozenTrial) -> Model | None:
        """The model that was kept when the trial ended; None where it is gone, or that of another study lies there.

        Studies of one name share a folder where their storages do: all servers', and files that differ in their ending.
        """
        folder = None if self._models_dir is None else model_folder(self._models_dir, trial.number)
        if folder is None or not folder.is_dir():
            return None
        model = Model.load(folder)
        is_own = (model.task_digest, model.evaluation.value) == (self.definition.task_digest, trial.value)
        return model if is_own else None

    def _trained_again(self, trial: FrozenTrial) -> Model:
        _logger.warning("the weights of trial %d were not kept; it is trained again with the same seed", trial.number)
        candidate = self.space.decode(trial.params)
        result = self._objective().train(candidate, trial.number)
        if result.evaluation.status != "complete":
            raise RuntimeError(f"trial {trial.number} failed when it was trained again: {result.evaluation.reason}.")
        if result.evaluation.value != trial.value:
            _logger.warning("its value is %g now, it was %g", result.evaluation.value, trial.value)
        return Model.from_training(self.task, candidate, result)

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
            InputError: If a number is out of range, or workers cannot join the study.
            KeyboardInterrupt: After Ctrl-C; the running trials have been queued and are run first next time.
        """
        check_budget(n_trials, timeout, n_workers)
        first = len(self._raw.get_trials(deepcopy=False))
        self._raw._stop_flag = False
        budget = Budget(n_trials, timeout, lambda: self._is_over(n_total, first))
        if n_trials is not None:
            self._raw.set_user_attr(BUDGET, {"n_trials": self.n_finished + n_trials})
        with _quiet_optuna(), _progress(n_trials, show_progress) as progress:
            listeners = [*callbacks, progress]
            if n_workers == 1:
                self._run_here(budget, listeners, n_total, first)
            else:
                total = "" if n_total is None else str(n_total)
                command = [sys.executable, "-m", "studies.worker_process", self.name, total, str(first)]
                variables = {STORAGE_VARIABLE: self._url_for_workers()}
                run_workers(command, n_workers, budget, _Events(self, listeners), variables)
                if timeout is not None and len(self._raw.get_trials(deepcopy=False)) == first:
                    _logger.warning("no trial was started: the workers had not started within %g seconds", timeout)

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
            n_total: Trials that the study is to have in all. The storage numbers trials one by one, so of processes
                that start their trials at the same moment, those with the numbers beyond withdraw theirs.
            first: Number of the first trial that counts as running; older ones may be those of dead processes.

        Returns:
            The trial's number; None if another worker had taken it over meanwhile, or it was withdrawn.

        Raises:
            KeyboardInterrupt: After Ctrl-C; the trial has been queued and is run first next time.
            InputError: If the storage fails: its disk is full, its server gone.
        """
        started: list[int] = []
        study, held, objective = self.optuna, HeldInterrupts(), self._objective()

        def run(trial: optuna.Trial) -> float:
            self._check_total(trial.number, n_total, first)
            started.append(trial.number)
            with held.let_through():
                if on_start is not None:
                    on_start(trial.number)
                return objective(trial)

        with _quiet_optuna():
            try:
                with held:
                    study.optimize(run, n_trials=1, catch=(TrainingFailed,), callbacks=list(callbacks))
            # Optuna stumbles over a result that it could not write, by an error or an assertion of its own.
            except (KeyboardInterrupt, UnboundLocalError, AssertionError, StorageInternalError) as error:
                if came_of(error, KeyboardInterrupt):
                    self._give_all_back(started)
                    raise KeyboardInterrupt from error
                if not came_of(error, StorageInternalError):
                    raise
                with suppress(StorageInternalError):  # its heartbeats end, so that others queue the trial later
                    self._give_all_back(started)
                raise InputError(_storage_failed(error)) from error
            except _Withdrawn:
                return None
            except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
                if not retried_numbers(self._raw.get_trials(deepcopy=False)).intersection(started):
                    raise
                # Optuna refuses the result of a trial that was taken for abandoned: the computer slept, for example.
                _logger.warning("trial %d had been given to another worker; its result is dropped", started[0])
                return None
        self._tidy()
        return started[0]

    def _check_total(self, number: int, n_total: int | None, first: int) -> None:
        """Withdraws a trial that has just been made, if older ones are all that the study is to have.

        It is marked as failed, before it has asked for a parameter, and counts as none. Queued trials are run always.
        """
        if n_total is None:
            return
        trials = self._raw.get_trials(deepcopy=False)
        older = [t for t in trials[first:number] if t.state == TrialState.RUNNING]
        older += [t for t in _finished(trials) if t.number < number]
        if len(older) >= n_total and not is_queued(trials[number]):
            reason = "not run: other workers had started the study's last trials"
            self._raw._storage.set_trial_user_attr(trials[number]._trial_id, REASON, reason)
            raise _Withdrawn(reason)

    def requeue_abandoned(self) -> None:
        """Queues the trials of processes that died, once they have given no sign of life for the grace period."""
        with _quiet_optuna():
            optuna.storages.fail_stale_trials(self._raw)

    def give_back(self, number: int) -> None:
        """Queues a trial that was interrupted, unless it has a result or has been queued already."""
        trials = self._raw.get_trials(deepcopy=False)
        if number in retried_numbers(trials):
            return
        trial = trials[number]
        if trial.state == TrialState.RUNNING:
            self._raw._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
        if trial.state in (TrialState.RUNNING, TrialState.FAIL):
            requeue(self._raw, trial)

    def _give_all_back(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self.give_back(number)

    def _run_here(self, budget: Budget, listeners: Sequence[Callback], n_total: int | None, first: int) -> None:
        while budget.take():
            if self.run_trial(callbacks=listeners, n_total=n_total, first=first) is None:
                budget.give_back()

    def _is_over(self, n_total: int | None, first: int) -> bool:
        """Whether a callback has called `optuna.Study.stop`, or the study has all the trials that it is to have."""
        return self._raw._stop_flag or (n_total is not None and self.n_started(first) >= n_total)

    def _objective(self) -> Objective:
        return Objective(self.task, self.space, self.settings, self.definition.seed, self._models_dir)

    @cached_property
    def _models_dir(self) -> Path | None:
        if self.definition.models_dir is not None:
            return Path(self.definition.models_dir) / file_name(self.name)
        folder = beside(self._raw._storage, ".models")
        return None if folder is None else folder / file_name(self.name)

    def _tidy(self) -> None:
        """Keeps the best trial's model alone."""
        if self._models_dir is not None and self._models_dir.is_dir():
            trials = self._raw.get_trials(deepcopy=False)
            if any(trial.state == TrialState.COMPLETE for trial in trials):
                remove_beaten_models(self._models_dir, trials, self._raw.best_trial.number)

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


def _storage_failed(error: BaseException) -> str:
    """One sentence for whatever Optuna raises where a database failed; the deepest cause is the database's own."""
    reason = error
    while reason.__context__ is not None:
        reason = reason.__context__
    line = (str(reason).splitlines() or [type(reason).__name__])[0]
    return (
        f"the study's storage failed ({without_passwords(line)}), expected one that can be written; mend it and run "
        "the study again: finished trials are kept."
    )


class _Withdrawn(Exception):
    """A trial is not run, since others have started all that the study is to have."""


def _finished(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count towards a budget: finished, and neither interrupted nor withdrawn."""
    retried = retried_numbers(trials)
    return [
        trial
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and bool(trial.params) and trial.number not in retried)
    ]


@contextmanager
def _stoppable(study: optuna.Study) -> Iterator[None]:
    """Lets callbacks call `optuna.Study.stop`, which Optuna allows in its own loop alone."""
    study._thread_local.in_optimize_loop = True
    try:
        yield
    finally:
        study._thread_local.in_optimize_loop = False


class _Events:
    """What the parent of several workers does when one has news."""

    def __init__(self, study: Study, listeners: Sequence[Callback]) -> None:
        self._study = study
        self._listeners = listeners

    def finished(self, trial_number: int) -> None:
        """Calls the callbacks with the finished trial."""
        trial = self._study._raw.get_trials(deepcopy=False)[trial_number]
        with _stoppable(self._study._raw):
            for listener in self._listeners:
                listener(self._study._raw, trial)

    def abandoned(self, trial_number: int) -> None:
        """Queues the trial of a worker that died."""
        self._study.give_back(trial_number)


def check_budget(n_trials: int | None, timeout: float | None, n_workers: int) -> None:
    """Refuses a budget that makes no sense.

    Raises:
        InputError: If what should be a number is none, one is negative, or there is no worker.
    """
    kinds: Mapping[str, tuple[object, type]] = {
        "n_trials": (n_trials, Integral),
        "timeout": (timeout, Real),
        "n_workers": (n_workers, Integral),
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


_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "name": ((str,), "a text"),
    "task": ((Task,), "a Task, such as load_task('digits') or Task.from_csv('FILE.csv', target=...) makes"),
    "space": ((Space, NoneType), "a space, such as MLPSpace()"),
    "sampler": ((str, BaseSampler), "a name, such as 'nasbot', or an Optuna sampler"),
    "settings": ((TrainerSettings, NoneType), "TrainerSettings(...)"),
    "pruner": ((str, BasePruner), "a name, such as 'none', or an Optuna pruner"),
    "seed": ((Integral,), "a whole number"),
    "transfer_from": ((str,), "names of studies of the same storage, such as those that study.name tells"),
}


def _check_types(**given: object) -> None:
    """Refuses what would otherwise fail after the study has been written."""
    for argument, value in given.items():
        types, expected = _TYPES[argument]
        if not isinstance(value, types):
            raise InputError(f"got {argument} = {value!r}, expected {expected}; pass one.")


def _fitted(space: Space, task: Task) -> Space:
    if task.image_shape is None and isinstance(space, CNNSpace | CellSpace):
        raise InputError(
            f"got the {type(space).__name__} for task {task.name!r}, whose rows are no images; choose MLPSpace "
            "(--space mlp), or say what images the rows are (--image-shape, or image_shape= in Python)."
        )
    size = None if task.image_shape is None else min(task.image_shape[1:])
    return space.for_task(task.kind, size)


def _tell_without_effect(space: Space) -> None:
    """Warns of hyperparameters that would be searched in vain, such as those of a wrong name."""
    unknown = [name for name in space.hyperparameters if name not in DEFAULT_HYPERPARAMETERS]
    if unknown:
        _logger.warning(
            "the space has hyperparameters that the trainer does not know and that have no effect on it (%s), expected "
            "some of %s; rename or remove them.",
            listed(unknown),
            listed(list(DEFAULT_HYPERPARAMETERS)),
        )


def _recorded(
    name: str, storage: BaseStorage, definition: StudyDefinition, task: Task, load_if_exists: bool
) -> optuna.Study:
    """The Optuna study of that name, with all in it that other processes need to go on with it or to learn from it."""
    with _quiet_optuna():
        raw = optuna.create_study(
            study_name=name, storage=storage, direction=task.direction, load_if_exists=load_if_exists
        )
        raw.set_metric_names([task.metric])
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
    return read_definition(name, storage.get_study_user_attrs(storage.get_study_id_from_name(name)))


def _saved_beside(task: Task, storage: BaseStorage) -> Task:
    """The task, saved so that later sessions and workers can load it; as it is where the storage is in memory too."""
    folder = beside(storage, ".tasks")
    return task if folder is None else task.save(folder / task.digest)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """Silences Optuna's log below errors, and its remarks on experimental features that are used knowingly here."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(verbosity, optuna.logging.ERROR))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(verbosity)


@contextmanager
def _progress(n_trials: int | None, show: bool | None) -> Iterator[Callback]:
    """A progress bar on standard error, as a callback."""
    console = Console(stderr=True)
    columns = ("trial", MofNCompleteColumn(), BarColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, disable=not (console.is_terminal if show is None else show)) as bar:
        row = bar.add_task("", total=n_trials)

        def advance(study: optuna.Study, trial: FrozenTrial) -> None:
            best = f"best {study.best_value:.5g}" if trial.state == TrialState.COMPLETE else None
            bar.update(row, advance=1, description=best)

        yield advance
