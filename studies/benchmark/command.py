"""The command `automl benchmark`: samplers against tables, with a table of regrets, JSON, and plots.

`studies.cli` mounts `benchmark`; everything heavy is imported when it runs.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from automl.errors import InputError

if TYPE_CHECKING:
    from automl.data.metrics import Direction
    from studies.benchmark.past_tasks import Past
    from studies.benchmark.runs import Plan, Run, TableSource

_OWN, _LCBENCH = "table", "lcbench"
_USAGE = "automl benchmark TABLE/NAME ... or automl benchmark table FILE.csv --target COLUMN --direction minimize"


def benchmark(
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            help="Tables such as nb201/cifar10, or nbgraph for all of a family; real trainings such as train/digits or "
            "train/FILE.csv; or the word 'table' and a CSV file of evaluations."
        ),
    ] = None,
    sampler: Annotated[
        list[str] | None,
        typer.Option(
            help="nasbot, nasbot-otmann (the paper's kernel alone), nao, nao-mutation (no latent steps), nao-single "
            "(one predictor), nao-supervised (no pre-training), nao-pseudo-labels, combined, evolution, local-search, "
            "uniform, random, tpe, gp, nsgaii, cmaes; NAME+initial for any with the space's simple networks first; "
            "with --transfer also transfer, wscmaes, and NAME+enq for any; your own by the import path "
            "package.module:callable of a function of the space (and of past evaluations by task, with --transfer; of "
            "seed, if it has such a parameter) that returns a proposer or an Optuna sampler; repeatable."
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Evaluations of a run.")] = 100,
    seeds: Annotated[int, typer.Option(help="Runs of each sampler on each table.")] = 10,
    first_seed: Annotated[int, typer.Option(help="Seed of the first run; the others count up from it.")] = 0,
    pending: Annotated[int, typer.Option(help="Evaluations that run at a time within a run.")] = 1,
    workers: Annotated[int | None, typer.Option(help="Processes; one a core by default.")] = None,
    json: Annotated[
        Path | None, typer.Option(help="File that keeps the runs; those it holds are not repeated.")
    ] = None,
    plot: Annotated[list[Path] | None, typer.Option(help="Plot of regret curves, .png or .html; repeatable.")] = None,
    target: Annotated[str | None, typer.Option(help="For a file: the column to optimise, or to predict.")] = None,
    direction: Annotated[
        str | None, typer.Option(help="For a file: minimize or maximize the target; minimize by default.")
    ] = None,
    noisy: Annotated[
        bool | None,
        typer.Option("--noisy/--exact", help="Evaluations give one stored seed, or the mean; by the table's custom."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="For trainings: most epochs of each.")] = None,
    transfer: Annotated[
        bool, typer.Option("--transfer", help="Samplers may learn from past evaluations of the family's other tasks.")
    ] = False,
    past: Annotated[
        str | None,
        typer.Option(help="With --transfer: random (the default), shared, tuned or flipped past evaluations."),
    ] = None,
    past_trials: Annotated[
        int | None, typer.Option(help="With --transfer: past evaluations of each other task; 100 by default.")
    ] = None,
    lcbench: Annotated[Path | None, typer.Option(help="Folder with YAHPO Gym's surrogate, for lcbench tasks.")] = None,
    list_tables: Annotated[bool, typer.Option("--list", help="Print the names of all tables and exit.")] = False,
) -> None:
    """Compare samplers on tables of evaluations."""
    from studies.benchmark.plots import check_plot, write_plot
    from studies.benchmark.runs import run_all

    if list_tables:
        print("\n".join(_known_names(lcbench)))
        return
    names = _expanded(tables or [], lcbench)
    sources = _trainings(names, target, direction, noisy, epochs)
    sources = sources or _sources(names, target, direction, noisy, lcbench)
    known_past = _past(transfer, past, past_trials)
    _check_numbers(seeds=seeds, first_seed=first_seed, workers=workers)
    for path in plot or []:
        check_plot(path)
    if json is not None:
        _check_file(json)
    with _progress() as tell:
        runs = run_all(
            sources,
            sampler or ["random", "tpe", "nasbot"],
            range(first_seed, first_seed + seeds),
            n_trials=trials,
            pending=pending,
            n_workers=workers,
            past=known_past,
            family=_family(sources, lcbench) if transfer else (),
            file=json,
            progress=tell,
        )
    for source in sources:
        for note in source.load().notes:
            print(note, file=sys.stderr)
    print(report(runs))
    for path in plot or []:
        write_plot(path, runs)


def _known_names(lcbench: Path | None) -> tuple[str, ...]:
    """Names of all published tables, those of LCBench where its folder is given."""
    from studies.benchmark.lcbench import lcbench_names
    from studies.benchmark.tables import table_names

    return table_names() if lcbench is None else (*table_names(), *lcbench_names(lcbench))


def _expanded(names: Sequence[str], lcbench: Path | None) -> list[str]:
    """The names, with a family's name replaced by the names of all its tables."""
    expanded: list[str] = []
    for name in names:
        expanded += [known for known in _known_names(lcbench) if known.partition("/")[0] == name] or [name]
    return list(dict.fromkeys(expanded))


def _sources(
    names: Sequence[str], target: str | None, direction: str | None, noisy: bool | None, lcbench: Path | None
) -> list[TableSource]:
    """The tables that the arguments name; raises InputError where they name none."""
    from studies.benchmark.runs import TableSource

    if not names:
        raise InputError(f"got no table, expected {_USAGE}; 'automl benchmark --list' names the tables.")
    if names[0] != _OWN:
        if target is not None or direction is not None:
            option = "--direction" if target is None else "--target"
            raise InputError(f"got {option} for published tables, which know their own; expected {_USAGE}.")
        return [_published(name, noisy, lcbench) for name in names]
    if len(names) != 2 or target is None:
        raise InputError(
            f"got {' '.join(names)!r} {'without' if target is None else 'with'} --target; expected {_USAGE}."
        )
    return [TableSource(names[1], target, _direction(direction or "minimize"), noisy)]


def _published(name: str, noisy: bool | None, lcbench: Path | None) -> TableSource:
    from studies.benchmark.runs import TableSource
    from studies.benchmark.tables import load_table

    if name.partition("/")[0] != _LCBENCH:
        return TableSource(load_table(name, noisy=noisy).name, noisy=noisy)
    if lcbench is None:
        raise InputError(f"got {name!r} without --lcbench, expected the folder with YAHPO Gym's surrogate; name it.")
    if noisy:
        raise InputError(f"got --noisy for {name}, whose surrogate has one value for each candidate; leave it away.")
    return TableSource(name, folder=str(lcbench))


def _family(sources: Sequence[TableSource], lcbench: Path | None) -> list[TableSource]:
    """All tables of the family that the tables belong to; raises InputError where there are several families."""
    families = {source.name.partition("/")[0] for source in sources}
    if len(families) > 1 or any(source.target or source.is_trained for source in sources):
        raise InputError(
            f"got --transfer for {', '.join(source.name for source in sources)}, expected published tables of one "
            "family; compare families one by one."
        )
    return [_published(name, sources[0].noisy, lcbench) for name in _expanded(sorted(families), lcbench)]


def _past(transfer: bool, kind: str | None, n_trials: int | None) -> Past | None:
    """What samplers know of other tasks; raises InputError where it is described and not asked for."""
    from studies.benchmark.past_tasks import Past

    if transfer:
        return Past.of(kind or "random", 100 if n_trials is None else n_trials)
    if kind is not None or n_trials is not None:
        raise InputError(f"got {'--past-trials' if kind is None else '--past'} without --transfer; add --transfer.")
    return None


def _trainings(
    names: Sequence[str], target: str | None, direction: str | None, noisy: bool | None, epochs: int | None
) -> list[TableSource]:
    """The trainings that the arguments name; none where they name tables."""
    from studies.benchmark.runs import TableSource

    sources = [TableSource(name, target or "", epochs=epochs) for name in dict.fromkeys(names)]
    trained = [source for source in sources if source.is_trained]
    if trained and len(trained) < len(sources):
        raise InputError(f"got {' '.join(names)!r}, expected tables or trainings, not both; compare them one by one.")
    if epochs is not None and not trained:
        raise InputError("got --epochs for tables, whose values are stored; leave it away.")
    if epochs is not None and epochs < 1:
        raise InputError(f"got --epochs {epochs}, expected 1 or more; raise it.")
    for option, value in (("--direction", direction), ("--noisy/--exact", noisy)):
        if trained and value is not None:
            raise InputError(f"got {option} for trainings, whose metric and randomness are their own; leave it away.")
    return trained


def _direction(name: str) -> Direction:
    known: dict[str, Direction] = {"minimize": "minimize", "maximize": "maximize"}
    if name in known:
        return known[name]
    raise InputError(f"got --direction {name}, expected minimize or maximize; choose one of these.")


def _check_numbers(*, seeds: int, first_seed: int, workers: int | None) -> None:
    for option, number, least in (("--seeds", seeds, 1), ("--first-seed", first_seed, 0), ("--workers", workers, 1)):
        if number is not None and number < least:
            raise InputError(f"got {option} {number}, expected {least} or more; raise it.")


def _check_file(path: Path) -> None:
    if not path.parent.is_dir():
        raise InputError(f"got --json {str(path)!r}, whose folder does not exist; create the folder first.")
    if path.is_dir():
        raise InputError(f"got --json {str(path)!r}, which is a folder; expected a file's name: choose another.")


@contextmanager
def _progress() -> Iterator[Callable[[int, int, Plan], None]]:
    """A progress bar on a terminal, a line a run elsewhere; both on standard error."""
    if not sys.stderr.isatty():
        yield lambda done, total, plan: print(
            f"[{done}/{total}] {plan.task} {plan.sampler} seed {plan.seed}", file=sys.stderr, flush=True
        )
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        shown = bar.add_task("runs", total=None)
        yield lambda done, total, plan: bar.update(
            shown, completed=done, total=total, description=f"{plan.task} {plan.sampler}"
        )


def report(runs: Sequence[Run]) -> str:
    """A table for each task: the mean regret of every sampler at some numbers of trials, and how sure its rank is.

    The last column is the two-sided p-value of the Wilcoxon signed-rank test between the sampler and the first one,
    over their common seeds, at the last of those numbers. Of several tasks the mean regrets over all come last.
    """
    tasks = [_task_report([run for run in runs if run.task == task]) for task in _distinct(runs, "task")]
    return "\n\n".join(tasks if len(tasks) == 1 else [*tasks, _mean_report(runs)])


def _mean_report(runs: Sequence[Run]) -> str:
    """The mean over tasks of each sampler's regret, its standard error that of the mean over seeds."""
    from studies.benchmark.regret import summary

    tasks, points = _distinct(runs, "task"), _points(runs)
    lines = [["sampler", "seeds", *(f"@{point}" for point in points)]]
    for name in _distinct(runs, "sampler"):
        by_task = [{run.seed: run for run in runs if (run.task, run.sampler) == (task, name)} for task in tasks]
        common = sorted(set.intersection(*(set(own) for own in by_task)))
        means = [
            summary([sum(own[seed].regret[point - 1] for own in by_task) / len(tasks) for seed in common])
            for point in points
            if common
        ]
        lines.append([name, str(len(common)), *(map(str, means) if common else ["-"] * len(points))])
    return "\n".join([f"Mean over {len(tasks)} tasks, of the seeds that all tasks have", *_aligned(lines)])


def _points(runs: Sequence[Run]) -> list[int]:
    """The numbers of trials at which regrets are reported."""
    from studies.benchmark.regret import CHECKPOINTS

    n_trials = min(run.n_trials for run in runs)
    return sorted({point for point in CHECKPOINTS if point < n_trials} | {n_trials})


def _task_report(runs: Sequence[Run]) -> str:
    points = _points(runs)
    samplers = _distinct(runs, "sampler")
    by_sampler = {name: {run.seed: run for run in runs if run.sampler == name} for name in samplers}
    head = ["sampler", "seeds", *(f"@{point}" for point in points), "s/proposal", f"p vs {samplers[0]} @{points[-1]}"]
    lines = [head]
    for name, own in by_sampler.items():
        p_value = _p_value(by_sampler[samplers[0]], own, points[-1])
        lines.append([name, str(len(own)), *_cells(list(own.values()), points), p_value])
    opinions = {name: own for name, own in by_sampler.items() if all(run.model_regret for run in own.values())}
    for name, own in opinions.items():
        lines.append([f"{name}, by its model", str(len(own)), *_cells(list(own.values()), points, by_model=True), ""])
    title = f"{runs[0].task}: regret of the incumbent in {runs[0].regret_unit}, mean +- standard error"
    return "\n".join([title, *_aligned(lines)])


def _cells(runs: Sequence[Run], points: Sequence[int], *, by_model: bool = False) -> list[str]:
    import numpy as np

    from studies.benchmark.regret import summary

    curves = [run.model_regret if by_model else run.regret for run in runs]
    seconds = float(np.mean([np.mean(run.seconds) for run in runs]))
    return [*(str(summary([curve[point - 1] for curve in curves])) for point in points), f"{seconds:.3g}"]


def _p_value(first: dict[int, Run], own: dict[int, Run], trials: int) -> str:
    from studies.benchmark.regret import paired_p_value

    common = sorted(first.keys() & own.keys())
    if own is first or len(common) < 2:
        return "-"
    ours, theirs = ([runs[seed].regret[trials - 1] for seed in common] for runs in (first, own))
    return f"{paired_p_value(ours, theirs):.2g}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]


def _distinct(runs: Sequence[Run], field: str) -> list[str]:
    return list(dict.fromkeys(getattr(run, field) for run in runs))
