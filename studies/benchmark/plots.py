"""Plots of a benchmark: regret curves with confidence bands, and what a proposal costs, as PNG or HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from automl.errors import InputError
from studies.benchmark.regret import confidence_band
from studies.benchmark.runs import Run

_COLOURS = (
    "#2563eb",
    "#dc2626",
    "#059669",
    "#d97706",
    "#7c3aed",
    "#0891b2",
    "#be185d",
    "#4d7c0f",
    "#475569",
    "#000000",
)
_LEAST_SHOWN = 1e-4  # Of a regret on the logarithmic axis: searches that reach the optimum have none.


@dataclass(frozen=True)
class Curve:
    """One sampler on one task: mean regret with a 95 % band, and median seconds of a proposal, each [trials]."""

    task: str
    unit: str
    sampler: str
    colour: str
    n_seeds: int
    low: NDArray[np.float64]
    mean: NDArray[np.float64]
    high: NDArray[np.float64]
    seconds: NDArray[np.float64]

    @property
    def trials(self) -> NDArray[np.int64]:
        """Numbers of trials, from 1."""
        return np.arange(1, len(self.mean) + 1)


def curves(runs: Sequence[Run]) -> list[Curve]:
    """A curve for every task and sampler, in the order of their first run; a sampler has one colour on all tasks."""
    samplers = list(dict.fromkeys(run.sampler for run in runs))
    found = []
    for task, sampler in dict.fromkeys((run.task, run.sampler) for run in runs):
        own = [run for run in runs if (run.task, run.sampler) == (task, sampler)]
        n = min(run.n_trials for run in own)
        low, mean, high = confidence_band([run.regret[:n] for run in own])
        seconds = np.median([run.seconds[:n] for run in own], axis=0)
        colour = _COLOURS[samplers.index(sampler) % len(_COLOURS)]
        found.append(Curve(task, own[0].regret_unit, sampler, colour, len(own), low, mean, high, seconds))
    return found


def check_plot(path: Path) -> None:
    """Refuses endings that `write_plot` cannot write, folders that do not exist, and what is a folder itself.

    Raises:
        InputError: If the plot could not be written.
    """
    if path.suffix not in (".png", ".html"):
        raise InputError(f"got the plot {str(path)!r}, expected a name that ends in .png or .html; rename it.")
    if not path.parent.is_dir():
        raise InputError(f"got the plot {str(path)!r}, whose folder does not exist; create the folder first.")
    if path.is_dir():
        raise InputError(f"got the plot {str(path)!r}, which is a folder; expected a file's name: choose another.")


def write_plot(path: Path, runs: Sequence[Run]) -> None:
    """Plots regret and seconds of a proposal against trials, a row a task; PNG or HTML by the path's ending.

    Raises:
        InputError: As `check_plot` does, or if the plotting package is not installed.
    """
    check_plot(path)
    draft = path.with_name(f".{path.stem}.part{path.suffix}")
    try:
        (_write_png if path.suffix == ".png" else _write_html)(draft, curves(runs))
        draft.replace(path)
    except ModuleNotFoundError as error:
        raise InputError(
            f"got the plot {str(path)!r}, for which the package {error.name!r} is missing; "
            "run pip install 'automl-studies[benchmarks]'."
        ) from error
    except OSError as error:
        raise InputError(
            f"got the plot {str(path)!r}, which cannot be written ({error.strerror}); choose another place."
        ) from error
    finally:
        draft.unlink(missing_ok=True)


def _write_png(path: Path, found: Sequence[Curve]) -> None:
    from matplotlib.figure import Figure

    tasks = list(dict.fromkeys(curve.task for curve in found))
    figure = Figure(figsize=(11, 4 * len(tasks)), layout="constrained")
    axes = figure.subplots(len(tasks), 2, squeeze=False)
    for curve in found:
        regret, cost = axes[tasks.index(curve.task)]
        shown = [np.maximum(y, _LEAST_SHOWN) for y in (curve.low, curve.mean, curve.high)]
        regret.plot(curve.trials, shown[1], color=curve.colour, label=f"{curve.sampler} ({curve.n_seeds} seeds)")
        regret.fill_between(curve.trials, shown[0], shown[2], color=curve.colour, alpha=0.15, linewidth=0)
        cost.plot(curve.trials, curve.seconds, color=curve.colour, label=curve.sampler)
        regret.set(yscale="log", title=curve.task, xlabel="trials", ylabel=f"regret\n({curve.unit})")
        cost.set(yscale="log", title="cost of a proposal", xlabel="trials", ylabel="seconds (median)")
    for row in axes:
        row[0].legend(frameon=False, fontsize="small")
        for axis in row:
            axis.grid(alpha=0.25)
    figure.savefig(path, dpi=130)


def _write_html(path: Path, found: Sequence[Curve]) -> None:
    from plotly.graph_objects import Figure
    from plotly.subplots import make_subplots

    tasks = list(dict.fromkeys(curve.task for curve in found))
    titles = [title for task in tasks for title in (task, "seconds of a proposal (median)")]
    figure: Figure = make_subplots(len(tasks), 2, subplot_titles=titles)
    for curve in found:
        for column, trace in _traces(curve, first=curve.task == tasks[0]):
            figure.add_trace(trace, row=tasks.index(curve.task) + 1, col=column)
        figure.update_yaxes(type="log", title=curve.unit, row=tasks.index(curve.task) + 1, col=1)
        figure.update_yaxes(type="log", row=tasks.index(curve.task) + 1, col=2)
    figure.update_xaxes(title="trials").update_layout(height=420 * len(tasks), template="plotly_white")
    figure.write_html(path, include_plotlyjs=True)  # in the file itself, so that it opens without a network


def _traces(curve: Curve, *, first: bool) -> list[tuple[int, object]]:
    """Plotly's traces of a curve, each with its column of the figure."""
    from plotly.graph_objects import Scatter

    x = curve.trials.tolist()
    red, green, blue = (int(curve.colour[i : i + 2], 16) for i in (1, 3, 5))
    shown = {name: np.maximum(getattr(curve, name), _LEAST_SHOWN).tolist() for name in ("low", "mean", "high")}
    common = {"name": f"{curve.sampler} ({curve.n_seeds} seeds)", "legendgroup": curve.sampler}
    line = {"color": curve.colour}
    band = Scatter(
        x=[*x, *x[::-1]],
        y=[*shown["high"], *shown["low"][::-1]],
        fill="toself",
        fillcolor=f"rgba({red}, {green}, {blue}, 0.15)",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
        legendgroup=curve.sampler,
    )
    mean = Scatter(x=x, y=shown["mean"], mode="lines", line=line, showlegend=first, **common)
    cost = Scatter(x=x, y=curve.seconds.tolist(), mode="lines", line=line, showlegend=False, **common)
    return [(1, band), (1, mean), (2, cost)]
