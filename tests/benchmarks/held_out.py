"""What the networks that searches choose are worth on rows that took no part: validation and test loss side by side.

`python -m tests.benchmarks.held_out diabetes breast_cancer [FILE.csv ...] --seeds 8` searches multilayer perceptrons in
30 trainings of 12 epochs, for scikit-learn's tables and for 600 rows of each file, whose last column is predicted. Each
seed splits the rows anew: 30 % test, a fifth of the others validate. Printed are means over seeds of the best network's
validation loss and of its test loss, with the latter's standard error.

`linear`, `linear-noisy` and `linear-wide` are made-up tables whose target is a weighted sum of the columns and noise,
for which the test loss of ridge regression on the same rows is printed too; `--min-layers 1` leaves linear networks out
of the space.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import sklearn.datasets
import torch
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV

from automl.data.table_files import read_table
from automl.data.targets import Kind
from automl.network import build_network
from automl.observations import Candidate
from automl.spaces.mlp import MLPSpace
from automl.task import Task
from automl.trainer import TrainerSettings, TrainingResult, evaluate_candidate
from studies.benchmark.regret import summary
from studies.benchmark.samplers import make_searcher

_SAMPLERS = ("nasbot", "gp", "tpe", "random")
_TEST_FRACTION = 0.3
_ROWS_OF_FILES = 600
# Rows, columns, and the noise's standard deviation where that of the weighted sum is about 1.
_LINEAR = {"linear": (240, 10, 0.01), "linear-noisy": (240, 10, 1.0), "linear-wide": (300, 60, 0.3)}
_RIDGE_PENALTIES = np.logspace(-4, 3, 15)


def task_of(name: str, seed: int) -> Task:
    """A table of scikit-learn, a linear one, or some rows of a file of numbers, split by the seed."""
    if name in _LINEAR:
        return _linear_task(name, seed)
    if hasattr(sklearn.datasets, f"load_{name}"):
        data = getattr(sklearn.datasets, f"load_{name}")()
        kind: Kind = "regression" if np.issubdtype(data.target.dtype, np.floating) else "classification"
        return Task.from_arrays(data.data, data.target, name=name, kind=kind, seed=seed, test_fraction=_TEST_FRACTION)
    table = np.column_stack([np.asarray(column, np.float64) for column in read_table(Path(name)).columns.values()])
    rows = np.random.default_rng(0).permutation(len(table))[:_ROWS_OF_FILES]
    inputs, targets = table[rows, :-1], table[rows, -1]
    return Task.from_arrays(
        inputs, targets, name=Path(name).stem, kind="regression", seed=seed, test_fraction=_TEST_FRACTION
    )


def _linear_task(name: str, seed: int) -> Task:
    n, p, noise = _LINEAR[name]
    generator = np.random.default_rng(1000 + seed)
    inputs = generator.normal(size=(n, p)) * 10 ** generator.uniform(-2, 2, p)
    weights = generator.normal(size=p) / inputs.std(axis=0) / np.sqrt(p)
    targets = 7 + 100 * (inputs @ weights + noise * generator.normal(size=n))
    return Task.from_arrays(inputs, targets, name=name, kind="regression", seed=seed, test_fraction=_TEST_FRACTION)


def ridge_loss(task: Task) -> float:
    """Root mean square error on the test part of ridge regression on the others, its penalty by cross-validation."""
    assert task.test is not None, "rows are kept apart"
    parts = (task.train, task.validation)
    known, targets = (np.concatenate([getattr(part, name) for part in parts]) for name in ("inputs", "targets"))
    fitted = RidgeCV(_RIDGE_PENALTIES).fit(known, targets.ravel())
    errors = fitted.predict(task.test.inputs) - task.test.targets.ravel()
    return float(np.sqrt(np.mean(errors**2))) * task.target.scale


def best_network(
    sampler: str, space: MLPSpace, task: Task, seed: int, n_trials: int, settings: TrainerSettings
) -> tuple[float, float]:
    """Validation and test loss of the network with the least validation loss of a search."""
    search = make_searcher(sampler, space.for_task(task.kind), seed)
    generator = np.random.default_rng(seed)
    best = (np.inf, np.inf)
    for _ in range(n_trials):
        candidate = search.ask()
        result = evaluate_candidate(candidate, task, settings=settings, seed=int(generator.integers(2**31)))
        learnt = result.evaluation.status == "complete" and np.isfinite(result.evaluation.value)
        loss = result.evaluation.value if learnt else loss_of_knowing_nothing(task)
        search.tell(candidate, loss)
        if learnt and loss < best[0]:
            best = loss, test_loss(candidate, result, task)
    return best


def test_loss(candidate: Candidate, result: TrainingResult, task: Task) -> float:
    """The task's metric on its test part."""
    assert candidate.architecture is not None and task.test is not None, "networks are searched, rows kept apart"
    module = build_network(
        candidate.architecture, n_inputs=task.n_features, n_outputs=task.n_outputs, image_shape=None, dropout=0.0
    )
    module.load_state_dict(dict(result.state))
    with torch.no_grad():
        outputs: NDArray[np.float32] = module.eval()(torch.from_numpy(task.test.inputs).clone()).numpy()
    return task.scores(outputs, task.test)[task.metric]


def loss_of_knowing_nothing(task: Task) -> float:
    """The loss of a prediction that does not look at the inputs."""
    return task.target.scale if task.kind == "regression" else float(np.log(task.n_outputs))


def main() -> None:
    """Reads the arguments and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="+", help="tables of scikit-learn, or CSV files of numbers")
    parser.add_argument("--sampler", action="append", choices=_SAMPLERS, help="whom to run, all by default; repeatable")
    parser.add_argument("--seeds", type=int, default=8, help="searches of each kind")
    parser.add_argument("--trials", type=int, default=30, help="trainings of a search")
    parser.add_argument("--epochs", type=int, default=12, help="most epochs of a training")
    parser.add_argument("--min-layers", type=int, default=0, help="fewest layers of a network")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    space, settings = MLPSpace(min_layers=arguments.min_layers), TrainerSettings(max_epochs=arguments.epochs)
    for name in arguments.tasks:
        tasks = [task_of(name, seed) for seed in range(arguments.seeds)]
        if name in _LINEAR:
            print(f"{name:14} ridge   test {summary(np.array([ridge_loss(task) for task in tasks]))}")
        for sampler in arguments.sampler or _SAMPLERS:
            losses = np.array(
                [
                    best_network(sampler, space, task, seed, arguments.trials, settings)
                    for seed, task in enumerate(tasks)
                ]
            )
            print(
                f"{name:14} {sampler:7} validation {losses[:, 0].mean():.4g}  test {summary(losses[:, 1])}", flush=True
            )


if __name__ == "__main__":
    main()
