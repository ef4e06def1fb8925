"""Figures of a whole study that the dashboard shows beside its own.

A map of the architectures, the best value over time, and for NAO's studies a map of the latent space.

They are stored with the study, so plain `optuna-dashboard` shows them as well; each stays below 100 kB.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from automl.pictures.layer_texts import layer_detail, layer_name
from automl.pictures.multidimensional_scaling import classical_scaling
from kernels.architecture import Architecture
from kernels.otmann import otmann_distances
from studies.attributes import TrialFacts
from studies.dashboard.latent_space import StudyMap, is_searched_by_nao, study_map
from studies.study import Study

if TYPE_CHECKING:
    import plotly.graph_objects as go

MAP_ID = "architecture-map"
BEST_ID = "best-over-time"
LATENT_ID = "latent-space"
# Distances are computed for every pair: 150 networks take about a second and fill half of the figure's 100 kB.
MAX_MAPPED = 150
_MAX_POINTS = 1000
_LONGEST_HOVER = 160
_WIDE = 30.0  # the ratio of two values from which a logarithmic scale is used


def publish_figures(study: Study) -> None:
    """Stores the figures with the study, in the place of older ones; studies of fewer than three networks get none.

    NAO's model is at hand where this process has made the study's last proposals; elsewhere it is trained again, which
    takes some seconds.

    Raises:
        ImportError: If plotly or optuna-dashboard is not installed.
    """
    from optuna_dashboard import save_plotly_graph_object  # type: ignore[import-untyped]  # it ships no types

    trials = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    metric, maximise = study.definition.metric, study.definition.maximises
    figures = {MAP_ID: architecture_map(trials, metric, maximise), BEST_ID: best_over_time(trials, metric, maximise)}
    if is_searched_by_nao(study) and (found := study_map(study)) is not None:
        figures[LATENT_ID] = latent_figure(found, metric, maximise)
    for figure_id, figure in figures.items():
        if figure is not None:
            save_plotly_graph_object(study.optuna, figure, graph_object_id=figure_id)


def architecture_map(trials: Sequence[FrozenTrial], metric: str, maximise: bool) -> go.Figure | None:
    """The trials' architectures as points whose distances resemble their OTMANN distances, coloured by value.

    Args:
        trials: Completed trials; of more than `MAX_MAPPED`, the best ones are shown.
        metric: Name of the objective.
        maximise: Whether larger values are better.

    Returns:
        The figure; None for fewer than three architectures.
    """
    sign = -1.0 if maximise else 1.0
    known = [(trial, graph) for trial in trials if (graph := _architecture(trial)) is not None]
    shown = sorted(known, key=lambda pair: (sign * pair[0].values[0], pair[0].number))[:MAX_MAPPED]
    if len(shown) < 3:
        return None
    _, d_bar = otmann_distances([graph for _, graph in shown])
    points = classical_scaling(d_bar.mean(axis=2)).round(4)
    values = np.array([trial.values[0] for trial, _ in shown])
    return _figure(
        title="Architectures by OTMANN distance",
        data=[
            {
                "type": "scatter",
                "mode": "markers",
                "x": points[:, 0].tolist(),
                "y": points[:, 1].tolist(),
                "text": [_hover(trial, graph, metric) for trial, graph in shown],
                "hoverinfo": "text",
                "marker": _coloured(values, metric, maximise),
            }
        ],
        axes={"visible": False},
    )


def latent_figure(found: StudyMap, metric: str, maximise: bool) -> go.Figure:
    """The latent space of NAO's model: a point for each trial, coloured by value, and the paths of latent steps.

    Args:
        found: The map and its trials; of more than `_MAX_POINTS`, the best ones are shown.
        metric: Name of the objective.
        maximise: Whether larger values are better.
    """
    shown, order = found.shown, np.argsort(-found.shown.values, kind="stable")[-_MAX_POINTS:]
    values = (-shown.values if maximise else shown.values)[order]
    steps = {"mode": "lines+markers", "line": {"color": "#e11d48", "width": 1.5}, "marker": {"size": 4}}
    paths = [
        {
            "type": "scatter",
            **steps,
            "x": path[:, 0].round(4).tolist(),
            "y": path[:, 1].round(4).tolist(),
            "name": f"latent steps from trial {found.numbers[seed]}",
            "hoverinfo": "name",
            "hoverlabel": {"namelength": -1},
        }
        for seed, path in zip(shown.seeds, shown.paths, strict=True)
    ]
    points = {
        "type": "scatter",
        "mode": "markers",
        "x": shown.points[order, 0].round(4).tolist(),
        "y": shown.points[order, 1].round(4).tolist(),
        "text": [f"trial {found.numbers[i]}: {metric} {value:.5g}" for i, value in zip(order, values, strict=True)],
        "hoverinfo": "text",
        "marker": _coloured(values, metric, maximise),
    }
    labels = (f"component 1, {shown.explained[0]:.0%} of variance", f"component 2, {shown.explained[1]:.0%}")
    axes = {"gridcolor": "#e2e8f0", "zeroline": False}
    figure = _figure("NAO's latent space, latent steps from the best", [*paths, points], axes, labels)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(scaleanchor="x")  # distances in the figure are distances in the plane
    return figure


def best_over_time(trials: Sequence[FrozenTrial], metric: str, maximise: bool) -> go.Figure | None:
    """The best value so far against the minutes since the first trial began.

    Args:
        trials: Completed trials.
        metric: Name of the objective.
        maximise: Whether larger values are better.

    Returns:
        The figure; None for fewer than three trials.
    """
    dated = [(t.datetime_complete, t) for t in trials if t.datetime_complete is not None]
    begins = [trial.datetime_start for trial in trials if trial.datetime_start is not None]
    if len(dated) < 3 or not begins:
        return None
    finished = sorted(dated, key=lambda pair: (pair[0], pair[1].number))
    minutes = np.array([(end - min(begins)).total_seconds() / 60 for end, _ in finished])
    values = np.array([trial.values[0] for _, trial in finished])
    best = np.maximum.accumulate(values) if maximise else np.minimum.accumulate(values)
    steps = np.flatnonzero(np.append(True, best[1:] != best[:-1]))
    steps = np.append(steps, len(best) - 1)[-_MAX_POINTS:]
    return _figure(
        title=f"Best {metric} over time",
        data=[
            {
                "type": "scatter",
                "mode": "lines+markers",
                "line": {"shape": "hv", "color": "#2563eb"},
                "x": minutes[steps].round(3).tolist(),
                "y": best[steps].tolist(),
                "text": [f"trial {finished[step][1].number}" for step in steps],
            }
        ],
        axes={"gridcolor": "#cbd5e1", "zeroline": False},
        labels=("minutes", metric),
        logarithmic=_spans_magnitudes(best),
    )


def _figure(
    title: str,
    data: list[dict[str, Any]],
    axes: dict[str, Any],
    labels: tuple[str, str] = ("", ""),
    logarithmic: bool = False,
) -> go.Figure:
    """A figure on a white ground, without plotly's template, which alone would take 6 kB."""
    import plotly.graph_objects as go

    x_axis, y_axis = ({**axes, "title": {"text": label}} for label in labels)
    ground = dict.fromkeys(("paper_bgcolor", "plot_bgcolor"), "#ffffff")
    scale = {"type": "log" if logarithmic else "linear"}
    layout = {"template": None, "title": {"text": title}, "hovermode": "closest", **ground}
    return go.Figure(data=data, layout={**layout, "xaxis": x_axis, "yaxis": {**y_axis, **scale}})


def _coloured(values: NDArray[np.float64], metric: str, maximise: bool) -> dict[str, Any]:
    """Markers whose colours tell the values, the best ones the brightest."""
    logarithmic = _spans_magnitudes(values)
    return {
        "size": 11,
        "color": (np.log10(values) if logarithmic else values).round(6).tolist(),
        "colorscale": "Viridis",
        "reversescale": not maximise,
        "colorbar": {"title": {"text": f"log10 {metric}" if logarithmic else metric}},
        "line": {"width": 0.5, "color": "#334155"},
    }


def _architecture(trial: FrozenTrial) -> Architecture | None:
    fields = TrialFacts.from_user_attrs(trial.user_attrs).architecture
    return None if fields is None else Architecture.from_dict(fields)


def _hover(trial: FrozenTrial, architecture: Architecture, metric: str) -> str:
    """What is shown under the pointer: the trial, its value and its layers."""
    inner = [layer for layer in architecture.topological_order if architecture.units[layer] is not None]
    names = (f"{layer_name(architecture.labels[layer])} {layer_detail(architecture, layer)}" for layer in inner)
    layers = ", ".join(names)
    if len(layers) > _LONGEST_HOVER:
        layers = layers[:_LONGEST_HOVER] + " ..."
    return f"trial {trial.number}: {metric} {trial.values[0]:.5g}<br>depth {architecture.depth}<br>{layers}"


def _spans_magnitudes(values: NDArray[np.float64]) -> bool:
    """Whether values are told apart better on a logarithmic scale."""
    return bool(values.min() > 0 and values.max() > _WIDE * values.min())
