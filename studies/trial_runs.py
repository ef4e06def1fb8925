"""Running one trial of a study, and what becomes of it where it is interrupted, withdrawn, or given to another worker.

Several processes may work on a study at once, and any of them may be stopped at any moment. Whatever happens, a trial
ends with its result, or goes back into the queue, or counts as never run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import NoReturn

import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState

from studies.attributes import REASON, retried_numbers
from studies.history import is_queued
from studies.interrupts import HeldInterrupts, came_of
from studies.objective import Objective, TrainingFailed
from studies.quiet_optuna import quiet_optuna
from studies.storage import requeue, storage_failed

_logger = logging.getLogger("automl.studies")

Callback = Callable[[optuna.Study, FrozenTrial], None]
"""Told of every finished trial, as Optuna's callbacks are."""


class _Withdrawn(Exception):
    """A trial is not run, since others have started all that the study is to have."""


def run_one(
    study: optuna.Study,
    objective: Objective,
    *,
    on_start: Callable[[int], None] | None,
    callbacks: Sequence[Callback],
    n_total: int | None,
    first: int,
) -> int | None:
    """Runs one trial in this process; arguments, result and errors as those of `studies.study.Study.run_trial`."""
    started: list[int] = []
    held = HeldInterrupts()

    def run(trial: optuna.Trial) -> float:
        _withdraw_if_beyond(study, trial.number, n_total, first)
        started.append(trial.number)
        with held.let_through():
            if on_start is not None:
                on_start(trial.number)
            return objective(trial)

    with quiet_optuna():
        try:
            with held:
                study.optimize(run, n_trials=1, catch=(TrainingFailed,), callbacks=list(callbacks))
        # Optuna stumbles over a result that it could not write, by an error or an assertion of its own.
        except (KeyboardInterrupt, UnboundLocalError, AssertionError, StorageInternalError) as error:
            _raise_what_stopped(study, started, error)
        except _Withdrawn:
            return None
        except (ValueError, optuna.exceptions.UpdateFinishedTrialError):
            if not retried_numbers(study.get_trials(deepcopy=False)).intersection(started):
                raise
            # Optuna refuses the result of a trial that was taken for abandoned: the computer slept, for example.
            _logger.warning("trial %d had been given to another worker; its result is dropped", started[0])
            return None
    return started[0]


def _withdraw_if_beyond(study: optuna.Study, number: int, n_total: int | None, first: int) -> None:
    """Withdraws a trial that has just been made, if older ones are all that the study is to have.

    It is marked as failed, before it has asked for a parameter, and counts as none. Queued trials are run always.
    """
    if n_total is None:
        return
    trials = study.get_trials(deepcopy=False)
    older = [t for t in trials[first:number] if t.state == TrialState.RUNNING]
    older += [t for t in counted(trials) if t.number < number]
    if len(older) >= n_total and not is_queued(trials[number]):
        reason = "not run: other workers had started the study's last trials"
        study._storage.set_trial_user_attr(trials[number]._trial_id, REASON, reason)
        raise _Withdrawn(reason)


def _raise_what_stopped(study: optuna.Study, started: Sequence[int], error: BaseException) -> NoReturn:
    """Queues the trial that was started, if one was, and raises Ctrl-C, or one sentence on a storage that failed."""
    if came_of(error, KeyboardInterrupt):
        _give_all_back(study, started)
        raise KeyboardInterrupt from error
    if not came_of(error, StorageInternalError):
        raise error
    with suppress(StorageInternalError):  # the trial's heartbeats end, so that others queue it later
        _give_all_back(study, started)
    raise storage_failed(error) from error


def give_back(study: optuna.Study, number: int) -> None:
    """Queues a trial that was interrupted, unless it has a result or has been queued already."""
    trials = study.get_trials(deepcopy=False)
    if number in retried_numbers(trials):
        return
    trial = trials[number]
    if trial.state == TrialState.RUNNING:
        study._storage.set_trial_state_values(trial._trial_id, TrialState.FAIL)
    if trial.state in (TrialState.RUNNING, TrialState.FAIL):
        requeue(study, trial)


def _give_all_back(study: optuna.Study, numbers: Sequence[int]) -> None:
    for number in numbers:
        give_back(study, number)


def counted(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trials that count towards a budget: finished, and neither interrupted nor withdrawn."""
    retried = retried_numbers(trials)
    return [
        trial
        for trial in trials
        if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)
        or (trial.state == TrialState.FAIL and bool(trial.params) and trial.number not in retried)
    ]


class WorkerEvents:
    """What a study does when one of its worker processes has news; see `studies.workers.Events`.

    Args:
        study: The study that the workers have joined.
        callbacks: Told of every finished trial; they may call `optuna.Study.stop`.
    """

    def __init__(self, study: optuna.Study, callbacks: Sequence[Callback]) -> None:
        self._study = study
        self._callbacks = callbacks

    def finished(self, trial_number: int) -> None:
        """Calls the callbacks with the finished trial."""
        trial = self._study.get_trials(deepcopy=False)[trial_number]
        with _stoppable(self._study):
            for callback in self._callbacks:
                callback(self._study, trial)

    def abandoned(self, trial_number: int) -> None:
        """Queues the trial of a worker that died."""
        give_back(self._study, trial_number)


@contextmanager
def _stoppable(study: optuna.Study) -> Iterator[None]:
    """Lets callbacks call `optuna.Study.stop`, which Optuna allows in its own loop alone."""
    study._thread_local.in_optimize_loop = True
    try:
        yield
    finally:
        study._thread_local.in_optimize_loop = False
