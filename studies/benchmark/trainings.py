"""Real trainings as a benchmark: a task whose candidates are trained when they are asked for instead of looked up.

It is used like a `studies.benchmark.tables.Table`. The best value is not known, so the "regret" of a candidate is its
loss itself (the metric, or 1 minus a metric that is maximised at 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from automl.data.metrics import Direction
from automl.observations import Candidate
from automl.spaces.base import Space
from automl.spaces.mlp import MLPSpace
from automl.task import Task, load_task
from automl.trainer import TrainerSettings, evaluate_candidate

FAMILY = "train"


@dataclass(frozen=True, eq=False)
class Trainings:
    """A task on which candidates are trained, seen as a benchmark.

    Args:
        task: What is learnt.
        space: The candidates.
        settings: How every candidate is trained.
    """

    task: Task
    space: Space
    settings: TrainerSettings
    noisy: bool = True
    notes: tuple[str, ...] = ()
    _values: dict[str, float] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> str:
        """ "train/" and the task's name."""
        return f"{FAMILY}/{self.task.name}"

    @property
    def digest(self) -> str:
        """The task's, which tells files of one name apart; empty for a built-in data set."""
        return "" if self.task.reference["source"] == "built-in" else self.task.digest[:16]

    @property
    def direction(self) -> Direction:
        """Whether small or large values of the metric are good."""
        return self.task.direction

    @property
    def unit(self) -> str:
        """What `regret` counts in."""
        return f"{'1 - ' if self.direction == 'maximize' else ''}{self.task.metric} on the validation part"

    def evaluate(self, candidate: Candidate, generator: np.random.Generator) -> float:
        """Trains the candidate, its weights and batches seeded by the generator, and returns the metric.

        A training that failed counts as knowing nothing: as the class frequencies, or the mean, would fare.
        """
        seed = int(generator.integers(2**31))
        evaluation = evaluate_candidate(candidate, self.task, settings=self.settings, seed=seed).evaluation
        value = evaluation.value if np.isfinite(evaluation.value) else self._of_knowing_nothing()
        self._values[candidate.digest] = value
        return value

    def mean(self, candidate: Candidate) -> float:
        """The value that the candidate's training gave; a training is not repeated."""
        return self._values[candidate.digest]

    def test_value(self, candidate: Candidate) -> float | None:
        """None: no test part is kept apart."""
        return None

    def regret(self, value: float) -> float:
        """The value as a loss that is 0 at best."""
        return value if self.direction == "minimize" else 1.0 - value

    def loss(self, value: float) -> float:
        """The value as a loss: smaller is better."""
        return -value if self.direction == "maximize" else value

    def _of_knowing_nothing(self) -> float:
        if self.direction == "maximize":
            return 0.0
        return math.log(self.task.n_outputs) if self.task.kind == "classification" else self.task.target.scale


def load_trainings(name: str, target: str | None = None, epochs: int | None = None) -> Trainings:
    """The trainings of "train/NAME", a built-in task, or of "train/PATH", a file with its target, over MLPSpace.

    Raises:
        InputError: If there is no such task or file, or its data cannot be used.
    """
    task = load_task(name.removeprefix(f"{FAMILY}/"), target)
    settings = TrainerSettings() if epochs is None else TrainerSettings(max_epochs=epochs)
    return Trainings(task, MLPSpace().for_task(task.kind), settings)
