"""What `automl worker` does once its arguments are read: join studies that run elsewhere, and run trials for them."""

from __future__ import annotations

import secrets
import sys

from automl.errors import InputError
from studies.attributes import BUDGET
from studies.commands.listings import study_names
from studies.console import without_passwords
from studies.progress import Best, progress
from studies.storage import check_exists
from studies.study import Study, load_study
from studies.workers import Budget


def work(storage: str, *, study: str | None, trials: int | None, timeout: float | None) -> None:
    """Joins the studies of a storage, or one of them, and runs trials as long as their budgets last.

    Args:
        storage: URL of the storage.
        study: Name of the study; None for all that have trials left.
        trials: Trials to run here at most, in all studies together; a study that is named may thereby exceed its
            budget.
        timeout: Seconds after which no trial is started in any of them.

    Raises:
        InputError: If there is no such storage or study, or the one that is named cannot be joined, or none can: it has
            no budget and none is given, or a sampler that its maker alone has.
    """
    check_exists(storage)
    names = [study] if study is not None else _defined_studies(storage)
    here = Budget(trials, timeout)
    refused: list[InputError] = []
    for name in names:
        try:
            joined, budget = _joined(name, storage, has_limit=trials is not None or timeout is not None)
        except InputError as error:  # one study that cannot be joined is no reason to leave the others alone
            refused.append(error)
            continue
        _work_on(joined, None if study and trials else budget, here)
    if len(refused) == len(names):
        raise refused[0]
    for refusal in refused:
        print(f"automl: {without_passwords(str(refusal))}", file=sys.stderr)


def _joined(name: str, storage: str, *, has_limit: bool) -> tuple[Study, int | None]:
    """A study that this worker can run trials for, and its budget.

    Raises:
        InputError: If it has a sampler or pruner that its maker alone has, or no budget where this worker has no limit,
            or its data cannot be read here.
    """
    joined = load_study(name, storage, stream=secrets.randbelow(2**31))
    budget: int | None = joined.optuna.user_attrs.get(BUDGET, {}).get("n_trials")
    if budget is None and not has_limit:
        raise InputError(f"study {name!r} has no budget of trials; give this worker --trials or --timeout.")
    if budget is None or joined.n_started() < budget:
        _ = joined.task  # read now, so that data that are not on this machine are found missing here
    return joined, budget


def _defined_studies(storage: str) -> list[str]:
    names = study_names(storage)
    if not names:
        raise InputError(
            f"the storage {without_passwords(storage)!r} holds no study of automl; start one there with 'automl run'."
        )
    return names


def _work_on(study: Study, budget: int | None, here: Budget) -> None:
    """Runs trials of a study until it has as many as its budget says, or this worker has run all of its own."""
    study.requeue_abandoned()
    best = Best(study.definition.maximises, study.trials)
    print(f"study {study.name}: {study.n_finished} trials finished" + (f" of {budget}" if budget else ""), flush=True)
    done = study.n_finished
    with progress(study.definition.metric, budget, done, best, sys.stdout, study.running) as listener:
        while (budget is None or study.n_started() < budget) and here.take():
            if study.run_trial(callbacks=[listener], n_total=budget) is None:
                here.give_back()
