"""What past studies are worth where networks are trained: searches that learn from other tables, and those that do not.

`python -m tests.benchmarks.past_studies diabetes digits --past FILE.csv --past FILE.csv --seeds 5` searches multilayer
perceptrons in 30 trainings of 12 epochs for scikit-learn's tables and for 600 rows of each file, whose last column is
predicted. The past of every search is one of 30 trainings by NASBOT for each table named by `--past`, of either kind;
the target itself is left out of it. Each seed splits the rows anew and has a past of its own.

Printed are means over seeds of the least validation loss after 1, 5, 10, 20 and 30 trainings, with the standard error,
and at the end the mean logarithm of each loss over that of `nasbot` on the same seed, in percent, over all tables.
"nasbot+enq" is handed the best candidate of each past search first, wherever the space has it.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from automl.observations import Candidate, Observations
from automl.proposers.transfer_pool import translated
from automl.spaces.mlp import MLPSpace
from automl.task import Task
from automl.trainer import TrainerSettings, evaluate_candidate
from studies.benchmark.regret import summary
from studies.benchmark.samplers import HeadStart, ProposerSearcher, Searcher, make_searcher
from tests.benchmarks.held_out import loss_of_knowing_nothing, task_of

_SAMPLERS = ("transfer", "nasbot", "nasbot+enq")
_SHOWN = (1, 5, 10, 20, 30)
_PAST_SEEDS = 1000  # what the seeds of past searches are apart from those of the searches that learn from them

Floats = NDArray[np.float64]


def searched(search: Searcher, task: Task, seed: int, n_trials: int, settings: TrainerSettings) -> Observations:
    """What a search evaluates in `n_trials` trainings; one that fails is worth what knowing nothing is."""
    generator = np.random.default_rng(seed)
    candidates: list[Candidate] = []
    losses: list[float] = []
    for _ in range(n_trials):
        candidate = search.ask()
        result = evaluate_candidate(candidate, task, settings=settings, seed=int(generator.integers(2**31))).evaluation
        learnt = result.status == "complete" and np.isfinite(result.value)
        candidates.append(candidate)
        losses.append(result.value if learnt else loss_of_knowing_nothing(task))
        search.tell(candidate, losses[-1])
    return Observations(tuple(candidates), np.array(losses).reshape(-1, 1))


def searcher(name: str, space: MLPSpace, seed: int, past: Mapping[str, Observations]) -> Searcher:
    """A search of the space that knows the past, or begins with its winners, or has nothing of it."""
    if not name.endswith("+enq"):
        return make_searcher(name, space, seed, past if name == "transfer" else None)
    plain = make_searcher(name.removesuffix("+enq"), space, seed)
    assert isinstance(plain, ProposerSearcher), "one of our own samplers"
    best = (task.candidates[int(task.values[:, 0].argmin())] for task in past.values())
    inside = (translated(space, candidate, np.random.default_rng(seed)) for candidate in best)
    return HeadStart(plain, [candidate for candidate in inside if candidate is not None])


def curves(
    targets: Sequence[str], past: Sequence[str], samplers: Sequence[str], seed: int, n_trials: int, epochs: int
) -> dict[tuple[str, str], Floats]:
    """The least validation loss after each training by table and sampler, all with the past of one seed."""
    settings = TrainerSettings(max_epochs=epochs)
    known = {}
    for name in past:
        task, place = task_of(name, seed), _PAST_SEEDS + seed
        known[name] = searched(make_searcher("nasbot", _space(task), place), task, place, n_trials, settings)
    found = {}
    for name in targets:
        task, others = task_of(name, seed), {other: known[other] for other in past if other != name}
        for sampler in samplers:
            search = searcher(sampler, _space(task), seed, others)
            losses = searched(search, task, seed, n_trials, settings).values[:, 0]
            found[name, sampler] = np.minimum.accumulate(losses)
            print(f"seed {seed}  {name:40} {sampler:10}  {found[name, sampler][-1]:.4g}", flush=True)
    return found


def _space(task: Task) -> MLPSpace:
    return MLPSpace().for_task(task.kind)


def main() -> None:
    """Reads the arguments and compares."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="+", help="tables of scikit-learn, or CSV files of numbers, to search for")
    parser.add_argument("--past", action="append", required=True, help="such a table to learn from; repeatable")
    parser.add_argument("--sampler", action="append", choices=_SAMPLERS, help="whom to run, all by default; repeatable")
    parser.add_argument("--seeds", type=int, default=5, help="searches of each kind")
    parser.add_argument("--first-seed", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--trials", type=int, default=30, help="trainings of a search, a past one too")
    parser.add_argument("--epochs", type=int, default=12, help="most epochs of a training")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    samplers = arguments.sampler or _SAMPLERS
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    runs = [curves(arguments.targets, arguments.past, samplers, s, arguments.trials, arguments.epochs) for s in seeds]
    shown = [n for n in _SHOWN if n <= arguments.trials]
    for name in arguments.targets:
        for sampler in samplers:
            cells = [str(summary(np.array([run[name, sampler][n - 1] for run in runs]))) for n in shown]
            print(f"{name:40} {sampler:10}  {'  '.join(cells)}")
    for sampler in samplers if "nasbot" in samplers else ():
        ratios = [
            [np.log(run[t, sampler] / run[t, "nasbot"])[n - 1] for n in shown]
            for run in runs
            for t in arguments.targets
        ]
        cells = [str(summary(100 * column)) for column in np.array(ratios).T]
        print(f"{'all, % of the loss':40} {sampler:10}  {'  '.join(cells)}")


if __name__ == "__main__":
    main()
