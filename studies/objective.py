"""What a trial does: suggest a candidate, train it, report every epoch, write what people want to know, give its value.

A training that fails (it diverged, ran out of memory, or anything else went wrong) is a failed trial with its reason;
the study goes on. The weights of a trial that is better than all before are kept as a `Model` beside the storage.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
import optuna
from optuna.study import StudyDirection
from optuna.trial import BaseTrial, Trial

from automl.costs import flops
from automl.model import Model
from automl.observations import Candidate, Evaluation
from automl.parameters import Categorical, Float, Int, Parameter, Value
from automl.spaces.base import Space
from automl.task import Task
from automl.trainer import Report, TrainerSettings, TrainingResult, evaluate_candidate
from studies.attributes import PROPOSAL, REASON, TrialFacts
from studies.kept_models import keep_model

_logger = logging.getLogger("automl.studies")


class TrainingFailed(Exception):
    """A trial's training failed; the message is the reason, one sentence."""


def suggest(trial: BaseTrial, space: Space) -> Candidate:
    """The candidate of a trial: every decision of the space's walk is asked of `trial.suggest_*`.

    Args:
        trial: Optuna's trial, running or fixed.
        space: The space to walk.

    Examples:
        >>> from automl.spaces.mlp import MLPSpace
        >>> space = MLPSpace(max_layers=3)
        >>> assignment = space.encode(space.sample(np.random.default_rng(0)))
        >>> suggest(optuna.trial.FixedTrial(assignment), space) == space.decode(assignment)
        True
    """
    return space.build(lambda name, parameter: _suggest(trial, name, parameter))


def _suggest(trial: BaseTrial, name: str, parameter: Parameter) -> Value:
    match parameter:
        case Float(low, high, log):
            return trial.suggest_float(name, low, high, log=log)
        case Int(low, high, log):
            return trial.suggest_int(name, low, high, log=log)
        case Categorical(choices):
            return cast(Value, trial.suggest_categorical(name, choices))  # no choice is None: Value has none


@dataclass(frozen=True)
class Objective:
    """The objective function of a study, as Optuna calls it.

    Args:
        task: What is learnt.
        space: What is searched.
        settings: How every candidate is trained.
        seed: Seed of the study.
        models_dir: Where the best trial's model is kept; None for nowhere.
    """

    task: Task
    space: Space
    settings: TrainerSettings
    seed: int
    models_dir: Path | None = None

    def __call__(self, trial: Trial) -> float:
        """Trains the trial's candidate and returns its value.

        Raises:
            TrainingFailed: If the training failed.
            optuna.TrialPruned: If the study's pruner stopped it.
        """
        try:
            return self._evaluate(trial)
        except (TrainingFailed, optuna.exceptions.OptunaError):
            raise
        except Exception as error:  # One candidate's fault, whatever it is, must not end a study of hours.
            reason = f"{type(error).__name__}: {error}"
            _logger.warning("trial %d failed: %s", trial.number, reason)
            _logger.debug("trial %d failed here:", trial.number, exc_info=True)
            trial.set_user_attr(REASON, reason)
            raise TrainingFailed(reason) from error

    def _evaluate(self, trial: Trial) -> float:
        candidate = suggest(trial, self.space)
        _write(trial, _facts_of_proposal(trial, candidate))
        result = self.train(candidate, trial.number, _reporter(trial))
        evaluation = result.evaluation
        if evaluation.status == "failed":
            _write(trial, _facts_of_training(evaluation))
            _logger.warning("trial %d failed: %s", trial.number, evaluation.reason)
            raise TrainingFailed(evaluation.reason)
        model = Model.from_training(self.task, candidate, result)
        _write(trial, replace(_facts_of_training(evaluation), flops=flops(model.module, self.task.n_features)))
        if evaluation.status == "pruned":
            raise optuna.TrialPruned(evaluation.reason)
        if self.models_dir is not None and _is_best(trial, evaluation.value):
            keep_model(model, self.models_dir, trial.number)
        return evaluation.value

    def train(self, candidate: Candidate, trial_number: int, report: Report | None = None) -> TrainingResult:
        """Trains a candidate as the trial of that number does: the seed of its weights and batches follows from it."""
        seed = int(np.random.SeedSequence([self.seed % 2**63, trial_number]).generate_state(1)[0])
        return evaluate_candidate(candidate, self.task, settings=self.settings, seed=seed, report=report)


def _reporter(trial: Trial) -> Report:
    """Reports the metric after every epoch and asks the pruner whether to stop."""

    def report(epoch: int, value: float) -> bool:
        trial.report(value, epoch)
        return trial.should_prune()

    return report


def _is_best(trial: Trial, value: float) -> bool:
    """Whether no completed trial is better so far."""
    try:
        best = trial.study.best_value
    except ValueError:  # what Optuna raises where no trial is complete yet
        return True
    return value >= best if trial.study.direction == StudyDirection.MAXIMIZE else value <= best


def _facts_of_proposal(trial: Trial, candidate: Candidate) -> TrialFacts:
    proposal = trial.storage.get_trial_system_attrs(trial._trial_id).get(PROPOSAL, {})
    graph = candidate.architecture
    return TrialFacts(
        architecture=None if graph is None else graph.to_dict(),
        depth=None if graph is None else graph.depth,
        notes=proposal.get("notes", {}),
        proposal_seconds=proposal.get("seconds"),
    )


def _facts_of_training(evaluation: Evaluation) -> TrialFacts:
    return TrialFacts(
        parameters=evaluation.n_parameters,
        epochs=evaluation.epochs,
        best_epoch=evaluation.best_epoch,
        seconds=round(evaluation.seconds, 4),
        curve=evaluation.curve,
        metrics=evaluation.metrics,
        reason=evaluation.reason,
    )


def _write(trial: Trial, facts: TrialFacts) -> None:
    for key, value in facts.to_user_attrs().items():
        trial.set_user_attr(key, value)
