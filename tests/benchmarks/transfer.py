"""What a proposal from past studies costs against the number of their trials: `python -m tests.benchmarks.transfer`.

For each size, as many source studies as each has trials (10 x 100 up to 100 x 1,000) are written into an SQLite file; a
fresh process then opens it, and asks a new study with a `TransferSampler` for trials and tells their values. "first" is
the first proposal, with reading the database and fitting the networks; "later" the median of those that follow, up to
the last number of trials at which single sources are put to the test; "slowest" the longest of these. Seconds are of
processor time on one thread; the clock's are shown beside the first. The slopes are those of straight lines through the
points on logarithmic axes.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import optuna
import torch
from numpy.typing import NDArray
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
)
from optuna.storages import RDBStorage
from optuna.storages._rdb import models
from optuna.trial import TrialState

from studies.transfer import TransferSampler

SIZES = (1_000, 3_162, 10_000)
LARGE_SIZES = (31_623, 100_000)

SEARCH_SPACE: Mapping[str, BaseDistribution] = {
    "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "momentum": FloatDistribution(0.0, 0.99),
    "dropout": FloatDistribution(0.0, 0.8),
    "layers": IntDistribution(1, 6),
    "units": IntDistribution(8, 1024, log=True),
    "batch_size": IntDistribution(16, 512, log=True),
    "optimizer": CategoricalDistribution(("adam", "sgd")),
}


@dataclass(frozen=True)
class Cost:
    """What proposals cost with `n_trials` finished trials in all sources together."""

    n_trials: int
    n_studies: int
    first: float
    first_clock: float
    later: float
    slowest: float
    megabytes: float


def units(params: Mapping[str, float]) -> NDArray[np.float64]:
    """Internal values of parameters, one at a time between 0 and 1."""
    found = []
    for name, distribution in SEARCH_SPACE.items():
        if isinstance(distribution, CategoricalDistribution):
            found.append(params[name])
            continue
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        scale = math.log if distribution.log else float
        low, high = scale(distribution.low), scale(distribution.high)
        found.append((scale(params[name]) - low) / (high - low))
    return np.array(found)


def loss(params: Mapping[str, float], generator: np.random.Generator, optimum: NDArray[np.float64]) -> float:
    """A made-up loss, with noise, of parameters in Optuna's internal form."""
    return float(np.square(units(params) - optimum).sum() + 0.02 * generator.standard_normal())


def write_studies(url: str, n_studies: int, n_each: int) -> None:
    """Fills a database with studies of random trials, all rows of a study at a time: Optuna's own way takes an hour.

    The tasks' optima lie around a common one. Rows are as `RDBStorage` writes them.
    """
    storage = RDBStorage(url)
    generator = np.random.default_rng(0)
    for place in range(n_studies):
        study = optuna.create_study(storage=storage, study_name=f"past-{place}")
        optimum = 0.5 + 0.15 * generator.standard_normal(len(SEARCH_SPACE))
        first = place * n_each + 1
        rows = _rows(study._study_id, range(first, first + n_each), generator, optimum)
        with storage.engine.begin() as connection:
            for model, entries in rows.items():
                connection.execute(model.__table__.insert(), entries)
    storage.remove_session()


def _rows(
    study_id: int, trial_ids: Sequence[int], generator: np.random.Generator, optimum: NDArray[np.float64]
) -> dict[type[models.BaseModel], list[dict[str, object]]]:
    now = datetime.now()
    texts = {name: distribution_to_json(distribution) for name, distribution in SEARCH_SPACE.items()}
    trials: list[dict[str, object]] = []
    values: list[dict[str, object]] = []
    params: list[dict[str, object]] = []
    for number, trial_id in enumerate(trial_ids):
        drawn = {name: _drawn(distribution, generator) for name, distribution in SEARCH_SPACE.items()}
        trials.append(
            {
                "trial_id": trial_id,
                "number": number,
                "study_id": study_id,
                "state": TrialState.COMPLETE,
                "datetime_start": now,
                "datetime_complete": now,
            }
        )
        value = loss(drawn, generator, optimum)
        values.append({"trial_id": trial_id, "objective": 0, "value": value, "value_type": "FINITE"})
        params += [
            {"trial_id": trial_id, "param_name": name, "param_value": value, "distribution_json": texts[name]}
            for name, value in drawn.items()
        ]
    return {models.TrialModel: trials, models.TrialValueModel: values, models.TrialParamModel: params}


def _drawn(distribution: BaseDistribution, generator: np.random.Generator) -> float:
    """A random value in Optuna's internal form."""
    if isinstance(distribution, CategoricalDistribution):
        return float(generator.integers(len(distribution.choices)))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    value = (
        math.exp(generator.uniform(math.log(low), math.log(high))) if distribution.log else generator.uniform(low, high)
    )
    value = min(max(value, low), high)
    return float(round(value)) if isinstance(distribution, IntDistribution) else value


def measure(url: str, n_proposals: int) -> tuple[list[float], float, float]:
    """Processor seconds of each proposal, the clock's of the first, and the most megabytes that this process took."""
    torch.set_num_threads(1)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = TransferSampler(["past-*"], search_space=SEARCH_SPACE, seed=0)
    generator = np.random.default_rng(1)
    optimum = np.full(len(SEARCH_SPACE), 0.5)
    started = time.perf_counter(), time.process_time()
    study = optuna.create_study(storage=url, study_name="target", sampler=sampler)
    seconds, first_clock = [], 0.0
    for _ in range(n_proposals):
        trial = study.ask(dict(SEARCH_SPACE))
        seconds.append(time.process_time() - started[1])
        first_clock = first_clock or time.perf_counter() - started[0]
        internal = {name: SEARCH_SPACE[name].to_internal_repr(value) for name, value in trial.params.items()}
        study.tell(trial, loss(internal, generator, optimum))
        started = time.perf_counter(), time.process_time()
    return seconds, first_clock, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def cost(n_trials: int, n_proposals: int) -> Cost:
    """Writes the studies, and measures in a fresh process, so that neither time nor memory of writing them counts."""
    n_studies = round(math.sqrt(n_trials / 10))
    n_each = round(n_trials / n_studies)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'past.db'}"
        write_studies(url, n_studies, n_each)
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            seconds, first_clock, megabytes = pool.submit(measure, url, n_proposals).result()
    figures = (seconds[0], first_clock, statistics.median(seconds[1:]), max(seconds[1:]), megabytes)
    return Cost(n_studies * n_each, n_studies, *(round(figure, 3) for figure in figures))


def slope(costs: Sequence[Cost], figure: str) -> float:
    """Of the straight line through a figure against the number of trials, both as logarithms."""
    logs = np.log([[one.n_trials, getattr(one, figure)] for one in costs])
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def plot(costs: Sequence[Cost], path: str) -> None:
    """Draws seconds and memory against the number of trials."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    seconds, memory = figure.subplots(1, 2)
    n = [one.n_trials for one in costs]
    for name in ("first", "later", "slowest"):
        label = f"{name} (slope {slope(costs, name):.2f})"
        seconds.loglog(n, [getattr(one, name) for one in costs], marker="o", label=label)
    seconds.set(xlabel="trials of all past studies", ylabel="processor seconds of a proposal")
    seconds.legend()
    memory.loglog(n, [one.megabytes for one in costs], marker="o")
    memory.set(xlabel="trials of all past studies", ylabel="megabytes of the process")
    figure.savefig(path, dpi=120)


def main() -> None:
    """Prints the table and the slopes; draws and writes them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="trials of all sources together")
    parser.add_argument("--large", action="store_true", help=f"also {LARGE_SIZES}")
    parser.add_argument("--proposals", type=int, default=25)
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    columns = ("trials", "studies", "first", "by clock", "later", "slowest", "MB")
    print(" ".join(f"{column:>9}" for column in columns))
    costs = []
    for size in (*arguments.sizes, *(LARGE_SIZES if arguments.large else ())):
        costs.append(cost(size, arguments.proposals))
        print(" ".join(f"{figure:9g}" for figure in asdict(costs[-1]).values()), flush=True)
    if len(costs) > 1:
        print(", ".join(f"slope of {name} {slope(costs, name):.2f}" for name in ("first", "later", "megabytes")))
    if arguments.plot:
        plot(costs, arguments.plot)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([asdict(one) for one in costs], indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
