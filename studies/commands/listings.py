"""What `automl studies`, `automl show` and `automl best` print: studies and trials, for people or as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from automl.errors import InputError
from automl.pictures.text_drawing import architecture_text
from kernels.architecture import Architecture
from studies.attributes import DEFINITION, TrialFacts, read_definition, retried_numbers
from studies.console import cell_text, fate_text, number_text, print_json, print_table, trial_cells, trial_columns
from studies.storage import check_exists, open_storage

if TYPE_CHECKING:
    from studies.study import Study


def list_studies(storage: str, *, as_json: bool) -> None:
    """Prints every study of a storage: its task, sampler, trials and best value.

    Raises:
        InputError: If there is no such storage.
    """
    check_exists(storage)
    summaries = optuna.study.get_all_study_summaries(open_storage(storage))
    facts = [_study_facts(summary) for summary in summaries]
    if as_json:
        print_json(facts)
        return
    names = ("study", "task", "space", "sampler", "trials", "metric", "best")
    print_table(names, [[cell_text(fact[name]) for name in names] for fact in facts])


def study_names(storage: str) -> list[str]:
    """Names of this project's studies in a storage."""
    summaries = optuna.study.get_all_study_summaries(open_storage(storage), include_best_trial=False)
    return [summary.study_name for summary in summaries if DEFINITION in summary.user_attrs]


def _study_facts(summary: optuna.study.StudySummary) -> dict[str, Any]:
    facts: dict[str, Any] = {"study": summary.study_name, "trials": summary.n_trials}
    facts["best"] = summary.best_trial.value if summary.best_trial else None
    if DEFINITION not in summary.user_attrs:  # a study of somebody else's in the same storage
        return {**facts, "task": None, "space": None, "sampler": None, "metric": None}
    definition = read_definition(summary.study_name, summary.user_attrs)
    return {
        **facts,
        "task": definition.task_name,
        "space": definition.space.get("type"),
        "sampler": definition.sampler,
        "metric": definition.metric,
    }


def show(name: str, storage: str, *, n_trials: int, as_json: bool) -> None:
    """Prints a study: what it searches, its best trials, and a picture of the best network.

    Raises:
        InputError: If there is no such storage or study.
    """
    study = _loaded(name, storage)
    trials = ranked_trials(study)
    if as_json:
        print_json({**_study_summary(study), "trials": [_trial_facts(trial) for trial in study.trials]})
        return
    definition = study.definition
    print(f"study {study.name}: {definition.direction} {definition.metric} of task {definition.task_name}")
    print(f"space {definition.space.get('type')}, sampler {definition.sampler}, seed {definition.seed}")
    print(f"trials: {_counts(study)}\n")
    if not trials:
        return
    print_table(trial_columns(definition.metric), [trial_cells(trial, trial.value) for trial in trials[:n_trials]])
    print(f"\nnetwork of trial {trials[0].number}:\n")
    _print_architecture(trials[0])


def _loaded(name: str, storage: str) -> Study:
    from studies.study import load_study  # brings torch, which the list of studies has no use for

    return load_study(name, storage)


def ranked_trials(study: Study) -> list[FrozenTrial]:
    """Completed trials, the best first."""
    sign = -1.0 if study.definition.maximises else 1.0
    valued = [
        (sign * t.value, t.number, t) for t in study.trials if t.state == TrialState.COMPLETE and t.value is not None
    ]
    return [trial for _, _, trial in sorted(valued)]


_FATES = ("running", "complete", "pruned", "failed", "waiting", "interrupted", "not run")


def _counts(study: Study) -> str:
    """How many trials there are of each fate: "28 complete, 2 failed, 1 interrupted"."""
    trials = study.trials
    retried = retried_numbers(trials)
    fates = [fate_text(trial, retried) for trial in trials]
    return ", ".join(f"{fates.count(word)} {word}" for word in _FATES if word in fates) or "none yet"


def best(name: str, storage: str, *, as_json: bool) -> None:
    """Prints the best trial of a study: value, hyperparameters, and a picture of its network.

    Raises:
        InputError: If there is no such storage or study, or no completed trial.
    """
    study = _loaded(name, storage)
    trial = best_trial(study)
    if as_json:
        print_json(summary(study, trial))
        return
    print(f"{study.definition.metric} {number_text(trial.value)} in trial {trial.number} of study {study.name}\n")
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    shown = {**study.space.decode(trial.params).hyperparameters, **facts.metrics}
    sizes = {"parameters": facts.parameters, "epochs": facts.epochs, "seconds": facts.seconds}
    for key, value in {**shown, **sizes}.items():
        print(f"{key:18} {cell_text(value)}")
    print()
    _print_architecture(trial)


def best_trial(study: Study) -> FrozenTrial:
    """The best trial of a study.

    Raises:
        InputError: If no trial is complete yet.
    """
    try:
        return study.best_trial
    except ValueError as error:
        raise InputError(str(error)) from error


def _print_architecture(trial: FrozenTrial) -> None:
    architecture = TrialFacts.from_user_attrs(trial.user_attrs).architecture
    if architecture is not None:
        print(architecture_text(Architecture.from_dict(architecture)))


def _study_summary(study: Study) -> dict[str, Any]:
    definition = study.definition
    return {
        "study": study.name,
        "task": definition.task_name,
        "metric": definition.metric,
        "direction": definition.direction,
        "space": definition.space.get("type"),
        "sampler": definition.sampler,
        "seed": definition.seed,
        "n_trials": study.n_finished,
    }


def summary(study: Study, trial: FrozenTrial) -> dict[str, Any]:
    """A study and its best trial, JSON-ready."""
    return {**_study_summary(study), "best_value": trial.value, "best_trial": _trial_facts(trial)}


def _trial_facts(trial: FrozenTrial) -> dict[str, Any]:
    """A trial, JSON-ready."""
    facts = TrialFacts.from_user_attrs(trial.user_attrs)
    return {
        "number": trial.number,
        "state": trial.state.name.lower(),
        "value": trial.value if trial.values else None,
        "params": trial.params,
        "architecture": facts.architecture,
        "depth": facts.depth,
        "parameters": facts.parameters,
        "epochs": facts.epochs,
        "best_epoch": facts.best_epoch,
        "seconds": facts.seconds,
        "proposal_seconds": facts.proposal_seconds,
        "metrics": facts.metrics,
        "curve": facts.curve,
        "reason": facts.reason,
    }
