"""Past evaluations of other tasks of a family, drawn anew for every seed: what a transfer benchmark learns from.

One task, the target, is left out; the others of its family are the past, those of them that have the target's search
space.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from automl.errors import InputError
from automl.observations import Observations
from studies.benchmark.samplers import make_searcher
from studies.benchmark.tables import BenchmarkTask

PastKind = Literal["random", "shared", "tuned", "flipped"]
"""Random evaluations, of candidates of each task's own or the same for all; those of a search by TPE; or random ones
with the sign of their losses turned, to mislead."""

KINDS: Final[tuple[PastKind, ...]] = get_args(PastKind)
_STREAM: Final = 2  # Marks the stream of random past evaluations, apart from the target's own.


@dataclass(frozen=True)
class Past:
    """How past evaluations are made.

    Args:
        kind: See `PastKind`.
        n_trials: Evaluations of each other task.

    Raises:
        InputError: If there are fewer than two evaluations.
    """

    kind: PastKind = "random"
    n_trials: int = 100

    @classmethod
    def of(cls, kind: str, n_trials: int) -> Past:
        """Checks that a text is a kind, and raises InputError where it is none; otherwise like the constructor."""
        for known in KINDS:
            if known == kind:
                return cls(known, n_trials)
        raise InputError(f"got past evaluations of the kind {kind!r}, expected one of {', '.join(KINDS)}; choose one.")

    def __post_init__(self) -> None:
        if self.n_trials < 2:
            raise InputError(f"got {self.n_trials} past trials a task, expected at least 2; raise the number.")


def past_evaluations(
    past: Past, target: BenchmarkTask, others: Sequence[BenchmarkTask], seed: int
) -> dict[str, Observations]:
    """Evaluations of each other task that has the target's space, by the task's name.

    Args:
        past: How they are made.
        target: The task that is to be learnt for.
        others: Tasks of the same family; the target itself and tasks with another space are left out.
        seed: Seed of the evaluations, those of each task their own unless they are shared.

    Raises:
        InputError: If no task is left.
    """
    usable = [task for task in others if task.name != target.name and task.space == target.space]
    if not usable:
        raise InputError(f"got {target.name!r} and no other task of its space to learn from; name another family.")
    places = [0] * len(usable) if past.kind == "shared" else range(len(usable))
    return {
        task.name: _evaluations(past, task, [seed, place, _STREAM]) for place, task in zip(places, usable, strict=True)
    }


def _evaluations(past: Past, task: BenchmarkTask, seed: list[int]) -> Observations:
    generator = np.random.default_rng(seed)
    searcher = make_searcher("tpe" if past.kind == "tuned" else "uniform", task.space, int(generator.integers(2**31)))
    candidates, losses = [], []
    for _ in range(past.n_trials):
        candidate = searcher.ask()
        loss = task.loss(task.evaluate(candidate, generator))
        searcher.tell(candidate, loss)
        candidates.append(candidate)
        losses.append(-loss if past.kind == "flipped" else loss)
    return Observations(tuple(candidates), np.array(losses).reshape(-1, 1))
