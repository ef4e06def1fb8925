"""Runs samplers against tables: many seeds in parallel processes, every run kept as soon as it is finished.

A run is one (task, sampler, seed), with past evaluations of other tasks to learn from or without. A file of runs is an
array of JSON objects, one a run; runs that it already holds are not repeated, so an interrupted benchmark goes on where
it stopped.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from automl.data.metrics import Direction
from automl.errors import InputError
from automl.observations import Candidate
from studies.benchmark.lcbench import load_lcbench
from studies.benchmark.past_tasks import Past, past_evaluations
from studies.benchmark.regret import incumbents
from studies.benchmark.samplers import Searcher, check_sampler, make_searcher, needs_sources
from studies.benchmark.tables import BenchmarkTask, load_table, table_from_file
from studies.benchmark.trainings import FAMILY, Trainings, load_trainings
from studies.output_files import written_whole
from studies.workers import THREAD_VARIABLES, cores

_EVALUATION = 1  # Marks the stream of evaluation noise, apart from the sampler's own randomness.


@dataclass(frozen=True)
class TableSource:
    """Where a worker finds a table: a published one by name, a file with its target, or trainings to perform.

    Args:
        name: A name of `studies.benchmark.tables.table_names`, the path of a file, or "train/" and the name or path of
            a task.
        target: The file's column to optimise, or the task's to predict; empty for a published table.
        direction: Whether the target is minimised or maximised.
        noisy: As `studies.benchmark.tables.load_table` takes it.
        epochs: Most epochs of a training; None for the trainer's default.
        folder: Where LCBench's surrogate lies; empty for every other table.
    """

    name: str
    target: str = ""
    direction: Direction = "minimize"
    noisy: bool | None = None
    epochs: int | None = None
    folder: str = ""

    @property
    def is_trained(self) -> bool:
        """Whether candidates are trained instead of looked up."""
        return self.name.startswith(f"{FAMILY}/")

    @property
    def variant(self) -> str:
        """What tells its runs from those of others of the same name; empty for a published table."""
        direction = self.direction if self.target and not self.is_trained else ""
        epochs = "" if self.epochs is None else f"{self.epochs} epochs"
        return ", ".join(part for part in (self.target, direction, epochs, self.load().digest) if part)

    def load(self) -> BenchmarkTask:
        """The table; raises InputError as the function that loads its sort does."""
        file = Path(self.name.removeprefix(f"{FAMILY}/"))
        return _loaded(self, file.stat().st_mtime_ns if self.target and file.is_file() else 0)


@lru_cache(maxsize=64)
def _loaded(source: TableSource, modified: int) -> BenchmarkTask:
    """The table, read anew where the file behind it has been modified."""
    del modified
    if source.folder:
        return load_lcbench(source.name, Path(source.folder))
    if source.is_trained:
        return load_trainings(source.name, source.target or None, source.epochs)
    if source.target:
        return table_from_file(source.name, source.target, source.direction, noisy=source.noisy)
    return load_table(source.name, noisy=source.noisy)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What identifies a run.

    Args:
        task: Name of the table.
        sampler: Name of the sampler.
        seed: Seed of the sampler and of the evaluation noise.
        n_trials: Number of evaluations.
        pending: Number of evaluations that run at a time; 1 for one after another.
        noisy: Whether evaluations are noisy.
        variant: Which of the tables of that name, see `TableSource.variant`.
        past_kind: How the past evaluations that the sampler knew were made, see `studies.benchmark.past_tasks`; empty
            if it knew none.
        past_trials: Number of past evaluations of each other task.
    """

    task: str
    sampler: str
    seed: int
    n_trials: int
    pending: int
    noisy: bool
    variant: str = ""
    past_kind: str = ""
    past_trials: int = 0


@dataclass(frozen=True, kw_only=True)
class Run(Plan):
    """A finished run: the fields of its plan, and what came out, in the order in which the evaluations finished.

    Args:
        observed: What the trial's evaluation gave.
        value: The incumbent's observed value; the incumbent is the best trial so far by observed value.
        regret: The incumbent's noise-free regret, in `regret_unit`.
        model_regret: The noise-free regret of the candidate that the sampler's model thinks best; empty where it has
            no opinion.
        seconds: Wall time that the proposal took.
        test: The last incumbent's value on the test data; None where the table stores none.
        regret_unit: What a regret of 1 is.
    """

    observed: tuple[float, ...]
    value: tuple[float, ...]
    regret: tuple[float, ...]
    model_regret: tuple[float, ...]
    seconds: tuple[float, ...]
    test: float | None
    regret_unit: str

    @property
    def plan(self) -> Plan:
        """The part that identifies it."""
        return Plan(**{field.name: getattr(self, field.name) for field in fields(Plan)})


def run(plan: Plan, table: BenchmarkTask, others: Sequence[BenchmarkTask] = ()) -> Run:
    """Performs a run: asks the sampler until `pending` evaluations run, finishes the oldest, and so on.

    Args:
        plan: What to run.
        table: The task.
        others: Tasks of its family, whose past evaluations the sampler knows if the plan says so.
    """
    past = Past.of(plan.past_kind, plan.past_trials) if plan.past_kind else None
    sources = past_evaluations(past, table, others, plan.seed) if past else {}
    searcher = make_searcher(plan.sampler, table.space, plan.seed, sources)
    waiting: list[Candidate] = []
    finished: list[Candidate] = []
    observed, seconds, thought_best = [], [], []
    for number in range(plan.n_trials):
        while len(waiting) < min(plan.pending, plan.n_trials - number):
            started = time.perf_counter()
            waiting.append(searcher.ask())
            seconds.append(time.perf_counter() - started)
        candidate = waiting.pop(0)
        value = table.evaluate(candidate, np.random.default_rng([plan.seed, number, _EVALUATION]))
        searcher.tell(candidate, table.loss(value))
        finished.append(candidate)
        observed.append(value)
        thought_best += _opinion(searcher, table)
    best = incumbents([table.loss(value) for value in observed])
    return Run(
        **asdict(plan),
        observed=tuple(observed),
        value=tuple(observed[i] for i in best),
        regret=tuple(table.regret(table.mean(finished[i])) for i in best),
        model_regret=tuple(thought_best),
        seconds=tuple(round(s, 5) for s in seconds),
        test=table.test_value(finished[best[-1]]),
        regret_unit=table.unit,
    )


def _opinion(searcher: Searcher, table: BenchmarkTask) -> list[float]:
    """The regret of the candidate that the sampler's model thinks best, if it says."""
    candidate = None if isinstance(table, Trainings) else searcher.incumbent()
    return [] if candidate is None else [table.regret(table.mean(candidate))]


def run_all(
    sources: Sequence[TableSource],
    samplers: Sequence[str],
    seeds: Iterable[int],
    *,
    n_trials: int = 100,
    pending: int = 1,
    n_workers: int | None = None,
    past: Past | None = None,
    family: Sequence[TableSource] = (),
    file: Path | None = None,
    progress: Callable[[int, int, Plan], None] = lambda done, total, plan: None,
) -> list[Run]:
    """Runs every sampler on every table with every seed, in parallel processes of one thread each.

    Args:
        sources: The tables.
        samplers: Names of samplers, see `studies.benchmark.samplers`.
        seeds: One run each.
        n_trials: Evaluations of a run.
        pending: Evaluations that run at a time within a run.
        n_workers: Processes; None for one a core that this process may use. With 1 the runs take place in this process.
        past: How past evaluations of other tasks are made; None for samplers that know none.
        family: The tables whose past evaluations are known, the target of each run left out.
        file: Where runs are kept; runs that it holds already are not repeated, other runs in it are left alone.
        progress: Told after each run how many of how many are finished, and which was the last.

    Returns:
        The runs asked for, in the order of tables, samplers and seeds.

    Raises:
        InputError: If a table or sampler is unknown, or the file holds something else or cannot be written.
    """
    plans = _plans(sources, samplers, seeds, n_trials, pending, past)
    kept = {found.plan: found for found in read_runs(file)} if file is not None and file.exists() else {}
    missing = {plan: source for plan, source in plans.items() if plan not in kept}
    done = len(plans) - len(missing)
    for finished in _performed(missing, family, n_workers or cores()):
        kept[finished.plan] = finished
        done += 1
        if file is not None:
            write_runs(file, kept.values())
        progress(done, len(plans), finished.plan)
    return [kept[plan] for plan in plans]


def _plans(
    sources: Sequence[TableSource],
    samplers: Sequence[str],
    seeds: Iterable[int],
    n_trials: int,
    pending: int,
    past: Past | None,
) -> dict[Plan, TableSource]:
    for name, number in (("trials", n_trials), ("pending evaluations", pending)):
        if number < 1:
            raise InputError(f"got {number} {name}, expected at least 1; raise the number.")
    tables = {source: source.load() for source in sources}
    names = [table.name for table in tables.values()]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"got two tasks of the name {name!r}; compare them one by one, or rename a file.")
    for table, sampler in product(tables.values(), samplers):
        check_sampler(sampler, table.space, has_sources=past is not None)
    return {
        Plan(
            task=table.name,
            sampler=sampler,
            seed=seed,
            n_trials=n_trials,
            pending=pending,
            noisy=table.noisy,
            variant=source.variant,
            past_kind=past.kind if past and needs_sources(sampler) else "",
            past_trials=past.n_trials if past and needs_sources(sampler) else 0,
        ): source
        for (source, table), sampler, seed in product(tables.items(), samplers, list(seeds))
    }


def _performed(plans: Mapping[Plan, TableSource], family: Sequence[TableSource], n_workers: int) -> Iterator[Run]:
    """The runs as they finish."""
    if n_workers == 1 or len(plans) < 2:
        for plan, source in plans.items():
            yield _in_worker(plan, source, family)
        return
    with (
        _single_threads(),
        ProcessPoolExecutor(n_workers, mp_context=get_context("spawn"), initializer=_quiet) as pool,
    ):
        futures = [pool.submit(_in_worker, plan, source, family) for plan, source in plans.items()]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _in_worker(plan: Plan, source: TableSource, family: Sequence[TableSource]) -> Run:
    _quiet()
    return run(plan, source.load(), [other.load() for other in family] if plan.past_kind else ())


def _quiet() -> None:
    """Silences what Optuna reports of each of thousands of trials and studies."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)


@contextmanager
def _single_threads() -> Iterator[None]:
    """Numerical libraries of processes that start within use one thread: runs are parallel already."""
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def write_runs(file: Path, runs: Iterable[Run]) -> None:
    """Writes runs as an array of JSON objects, one a line; the file is never half written.

    Raises:
        InputError: If it cannot be written.
    """
    lines = ",\n".join(json.dumps(asdict(finished)) for finished in runs)
    with written_whole(file) as text:
        text.write(f"[\n{lines}\n]\n")


def read_runs(file: Path) -> list[Run]:
    """The runs that `write_runs` wrote.

    Raises:
        InputError: If the file holds anything else.
    """
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise TypeError(f"its JSON is of type {type(entries).__name__}")
        return [_run_from(entry) for entry in entries]
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"got {str(file)!r}, which holds no runs of a benchmark ({error}); expected a new file or one that "
            "'automl benchmark --json' wrote: choose another name."
        ) from error


def _run_from(entry: object) -> Run:
    if not isinstance(entry, dict):
        raise TypeError(f"an entry is of type {type(entry).__name__}")
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in entry.items()}
    return Run(**values)
