"""Draws the picture of the README: regret of several samplers, a mean over tables, from files of runs.

`python -m tests.benchmarks.regret tests/benchmarks/regret.png FILE.json ...`, the files written by `automl benchmark
... --json FILE`. A seed counts where the sampler has run it on every table; bands are 95 % over seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from studies.benchmark.regret import confidence_band
from studies.benchmark.runs import Run, read_runs

_TICKS = (0.2, 0.3, 0.5, 1.0, 2.0)
_SHOWN_FROM = 5  # trials; before, all samplers draw at random


def mean_curves(runs: Sequence[Run], sampler: str, tasks: Sequence[str]) -> NDArray[np.float64]:
    """Mean regret over the tasks after each trial, for every seed that all of them have, `seeds x trials`.

    Raises:
        ValueError: If no seed is complete.
    """
    own = {(run.task, run.seed): run.regret for run in runs if run.sampler == sampler}
    seeds = [seed for seed in sorted({seed for _, seed in own}) if all((task, seed) in own for task in tasks)]
    if not seeds:
        raise ValueError(f"got no seed of {sampler} with runs on all of {', '.join(tasks)}, expected one; run it.")
    n = min(len(own[task, seed]) for task in tasks for seed in seeds)
    return np.array([np.mean([own[task, seed][:n] for task in tasks], axis=0) for seed in seeds])


def draw(runs: Sequence[Run], path: Path) -> None:
    """Writes the picture, PNG or SVG by the path's ending."""
    tasks = sorted({run.task for run in runs})
    figure = Figure(figsize=(8, 4), layout="constrained")
    axis = figure.subplots()
    for sampler in dict.fromkeys(run.sampler for run in runs):
        curves = mean_curves(runs, sampler, tasks)
        low, mean, high = (part[_SHOWN_FROM - 1 :] for part in confidence_band(curves))
        trials = np.arange(_SHOWN_FROM, _SHOWN_FROM + len(mean))
        (line,) = axis.plot(trials, mean, label=f"{sampler} ({len(curves)} seeds)")
        axis.fill_between(trials, low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set(
        title=f"NAS-Bench-Graph, mean of {', '.join(task.partition('/')[2] for task in tasks)}",
        xlabel="networks trained",
        ylabel="regret (points of accuracy)",
        yscale="log",
        yticks=_TICKS,
        yticklabels=[f"{tick:g}" for tick in _TICKS],
    )
    axis.minorticks_off()
    axis.grid(alpha=0.25)
    axis.legend(frameon=False)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    arguments = parser.parse_args()
    draw([run for file in arguments.files for run in read_runs(file)], arguments.picture)
