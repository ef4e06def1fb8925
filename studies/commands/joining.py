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
        InputError: If there is no such storage or study, or it has no budget and none is given.
    """
    check_exists(storage)
    names = [study] if study is not None else _defined_studies(storage)
    here = Budget(trials, timeout)
    for name in names:
        joined = load_study(name, storage, stream=secrets.randbelow(2**31))
        budget = joined.optuna.user_attrs.get(BUDGET, {}).get("n_trials")
        if budget is None and trials is None and timeout is None:
            raise InputError(f"study {name!r} has no budget of trials; give this worker --trials or --timeout.")
        _work_on(joined, None if study and trials else budget, here)


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
