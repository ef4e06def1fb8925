"""The figures of a study on the dashboard."""

from __future__ import annotations

import datetime
import json

import numpy as np
import optuna
import pytest

from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from kernels.architecture import Architecture
from studies.attributes import TrialFacts
from studies.dashboard.plots import BEST_ID, MAP_ID, architecture_map, best_over_time, publish_figures
from studies.study import create_study

START = datetime.datetime(2026, 1, 1)


def finished(number: int, value: float, architecture: Architecture | None) -> optuna.trial.FrozenTrial:
    """A trial that completed `number` + 1 minutes after the first one began."""
    facts = TrialFacts(architecture=None if architecture is None else architecture.to_dict())
    trial = optuna.trial.create_trial(value=value, user_attrs=facts.to_user_attrs())
    trial.number = number
    trial.datetime_start = START
    trial.datetime_complete = START + datetime.timedelta(minutes=number + 1)
    return trial


def networks(n: int) -> list[Architecture]:
    generator = np.random.default_rng(0)
    graphs = [MLPSpace(min_layers=1, max_layers=6).sample(generator).architecture for _ in range(n)]
    return [graph for graph in graphs if graph is not None]


@pytest.mark.slow
def test_every_architecture_is_a_point_with_its_value_and_layers() -> None:
    graphs = networks(6)
    figure = architecture_map([finished(i, 0.5 + 0.1 * i, graph) for i, graph in enumerate(graphs)], "log_loss", False)
    assert figure is not None
    points = figure.data[0]
    assert len(points.x) == len(points.y) == 6
    assert points.marker.color == pytest.approx([0.5, 0.6, 0.7, 0.8, 0.9, 1.0])
    assert points.text[0].startswith("trial 0: log_loss 0.5")


def test_equal_networks_fall_on_one_point_and_others_do_not() -> None:
    first, second, third = networks(3)
    trials = [finished(i, 1.0 + i, graph) for i, graph in enumerate((first, second, third, first))]
    figure = architecture_map(trials, "log_loss", False)
    assert figure is not None
    points = list(zip(figure.data[0].x, figure.data[0].y, strict=True))
    assert points[0] == pytest.approx(points[3], abs=1e-3)
    assert len({(round(x, 3), round(y, 3)) for x, y in points}) == 3


def test_values_of_several_magnitudes_are_coloured_by_their_logarithm() -> None:
    trials = [finished(i, 10.0**-i, graph) for i, graph in enumerate(networks(4))]
    figure = architecture_map(trials, "log_loss", False)
    assert figure is not None
    assert sorted(figure.data[0].marker.color) == pytest.approx([-3, -2, -1, 0])
    assert figure.data[0].marker.colorbar.title.text == "log10 log_loss"


def test_two_networks_make_no_map() -> None:
    assert architecture_map([finished(i, 1.0, graph) for i, graph in enumerate(networks(2))], "m", False) is None
    assert architecture_map([finished(i, 1.0, None) for i in range(5)], "m", False) is None


@pytest.mark.parametrize(("maximise", "expected"), [(False, [3.0, 1.0, 1.0]), (True, [3.0, 4.0, 4.0])])
def test_the_best_value_only_improves(maximise: bool, expected: list[float]) -> None:
    trials = [finished(i, value, None) for i, value in enumerate((3.0, 1.0, 4.0, 1.5))]
    figure = best_over_time(trials, "log_loss", maximise)
    assert figure is not None
    line = figure.data[0]
    assert list(line.y) == expected
    assert line.x[0] == 1.0 and line.x[-1] == 4.0


def test_figures_of_a_hundred_networks_stay_small() -> None:
    trials = [finished(i, 1.0 + i, graph) for i, graph in enumerate(networks(100))]
    for figure in (architecture_map(trials, "log_loss", False), best_over_time(trials, "log_loss", False)):
        assert figure is not None
        assert len(figure.to_json()) < 100_000


@pytest.mark.slow
def test_figures_are_stored_with_the_study_and_replaced() -> None:
    study = create_study("iris", task=load_task("iris"), sampler="random", storage=None)
    for n in (3, 4):
        for trial in [finished(i, 1.0 + i, graph) for i, graph in enumerate(networks(n))]:
            study.optuna.add_trial(trial)
        publish_figures(study)
    attributes = study.optuna._storage.get_study_system_attrs(study.optuna._study_id)
    for figure_id, n_points in ((MAP_ID, 7), (BEST_ID, 2)):
        parts = {key: text for key, text in attributes.items() if key.startswith(f"dashboard:plot_data:{figure_id}:")}
        stored = json.loads("".join(parts[f"dashboard:plot_data:{figure_id}:{i}"] for i in range(len(parts))))
        assert len(stored["data"][0]["x"]) == n_points
