"""What searches gain by beginning with the simple networks of a space: NASBOT, GPSampler and TPE with and without.

`python -m tests.benchmarks.beginnings --seeds 10 [FILE.csv ...]` searches small multilayer perceptrons for 700 of the
digits and for 1,200 rows of each file, whose last column is predicted, in 30 trainings of 8 epochs; it prints the mean
validation loss of the best after 5, 10, 15, 20 and 30, and its standard error. `--trials` makes searches longer, and
`--sampler` names those to be run.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

from automl.data.table_files import read_table
from automl.observations import Candidate
from automl.spaces.mlp import MLPSpace
from automl.task import Task
from automl.trainer import TrainerSettings, evaluate_candidate
from studies.benchmark.regret import summary
from studies.benchmark.samplers import OptunaSearcher, ProposerSearcher, make_searcher

_ROWS_OF_DIGITS, _ROWS_OF_FILES = 700, 1200
_SAMPLERS = ("nasbot", "gp", "tpe", "random")
_SHOWN = (5, 10, 15, 20, 30, 60, 100)
_SETTINGS = TrainerSettings(max_epochs=8)
_FAILED = 1e3  # what a training that diverged is worth


class RandomBeginnings(MLPSpace):
    """The same space, in which searches begin at random."""

    _simple = ()


def digits() -> Task:
    """Some of scikit-learn's digits."""
    data = load_digits()
    rows = np.random.default_rng(0).permutation(len(data.target))[:_ROWS_OF_DIGITS]
    return Task.from_arrays(data.data[rows], data.target[rows], name="digits")


def of_file(path: Path) -> Task:
    """Some rows of a file of numbers without a header, its last column to be predicted."""
    table = np.column_stack([np.asarray(column, dtype=np.float64) for column in read_table(path).columns.values()])
    rows = np.random.default_rng(0).permutation(len(table))[:_ROWS_OF_FILES]
    return Task.from_arrays(table[rows, :-1], table[rows, -1], name=path.name, kind="regression")


def searcher(name: str, task: Task, seed: int, *, simple: bool) -> ProposerSearcher | OptunaSearcher:
    """A search of small networks; those of Optuna are handed the simple networks, ours have them by themselves."""
    limits = (task.kind, 1, 6, (8, 128))
    space = MLPSpace(*limits) if simple else RandomBeginnings(*limits)
    made = make_searcher(name, space, seed)
    assert isinstance(made, ProposerSearcher | OptunaSearcher), "no head start was asked for"
    for candidate in space.initial if isinstance(made, OptunaSearcher) else ():
        made.expect(candidate)
    return made


def curve(search: ProposerSearcher | OptunaSearcher, task: Task, n_trials: int) -> NDArray[np.float64]:
    """The least validation loss after each training, `n_trials`; every candidate is trained with the same seed."""
    losses = []
    for _ in range(n_trials):
        candidate = search.ask()
        losses.append(_loss(candidate, task))
        search.tell(candidate, losses[-1])
    return np.minimum.accumulate(losses)


def _loss(candidate: Candidate, task: Task) -> float:
    evaluation = evaluate_candidate(candidate, task, settings=_SETTINGS).evaluation
    return evaluation.value if evaluation.status == "complete" else _FAILED


def compare(task: Task, samplers: Sequence[str], seeds: Sequence[int], n_trials: int) -> None:
    """Prints a line for each sampler, with simple networks first and without."""
    for name in samplers:
        for simple in (False, True):
            curves = np.array([curve(searcher(name, task, seed, simple=simple), task, n_trials) for seed in seeds])
            cells = "  ".join(str(summary(curves[:, shown - 1])) for shown in _SHOWN if shown <= n_trials)
            print(f"{task.name:12} {name:7} {'simple first' if simple else '':12} {cells}", flush=True)


def main() -> None:
    """Reads the arguments and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="CSV files of numbers; the last column is predicted")
    parser.add_argument("--sampler", action="append", choices=_SAMPLERS, help="whom to run, all by default; repeatable")
    parser.add_argument("--seeds", type=int, default=10, help="searches of each kind")
    parser.add_argument("--trials", type=int, default=30, help="trainings of a search")
    arguments = parser.parse_args()
    for task in (digits(), *map(of_file, arguments.files)):
        compare(task, arguments.sampler or _SAMPLERS, range(arguments.seeds), arguments.trials)


if __name__ == "__main__":
    main()
