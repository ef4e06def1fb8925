"""Maps of a study's latent space: which trials they show, and where they are seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

from automl.errors import InputError
from automl.proposers.nao import NAOProposer
from automl.spaces.mlp import MLPSpace
from automl.surrogates.nao import NAOSettings
from automl.task import load_task
from studies.commands.exports import draw_latent_map
from studies.commands.report import report_html
from studies.dashboard.latent_space import is_searched_by_nao, study_map, study_map_svg
from studies.dashboard.plots import LATENT_ID, latent_figure, publish_figures
from studies.distributions import to_distributions
from studies.samplers import CombinedSampler, NAOSampler
from studies.study import Study, create_study, load_study

SPACE = MLPSpace(max_layers=3)


def searched(
    n_trials: int, metric: str = "log_loss", sampler: type[NAOSampler] | type[CombinedSampler] = NAOSampler
) -> Study:
    """A study of NAO's whose network is small and not pre-trained, with trials of random candidates."""
    chosen = sampler(SPACE, seed=0)
    chosen.nao = NAOProposer(SPACE, n_startup=4, settings=NAOSettings(width=12, n_heads=2, pretraining_steps=0))
    task = load_task("iris", metric=metric)
    study = create_study("iris", task=task, space=SPACE, sampler=chosen, storage=None)
    add_trials(study, n_trials)
    return study


def add_trials(study: Study, n_trials: int) -> None:
    generator = np.random.default_rng(0)
    for i in range(n_trials):
        add_trial(study, generator, value=0.9 - 0.1 * i)


def add_trial(study: Study, generator: np.random.Generator, value: float | None = None) -> None:
    """A trial that completed with a value, or failed."""
    params = SPACE.encode(SPACE.sample(generator))
    distributions = {name: known for name, known in to_distributions(SPACE.parameters).items() if name in params}
    state = TrialState.FAIL if value is None else TrialState.COMPLETE
    study.optuna.add_trial(
        optuna.trial.create_trial(state=state, params=dict(params), distributions=distributions, value=value)
    )


@pytest.mark.parametrize("sampler", [NAOSampler, CombinedSampler])
def test_each_trial_with_a_value_is_a_point_of_the_samplers_own_model(
    sampler: type[NAOSampler] | type[CombinedSampler],
) -> None:
    study = searched(3, sampler=sampler)
    add_trial(study, np.random.default_rng(1))  # fails
    add_trial(study, np.random.default_rng(2), value=0.05)
    found = study_map(study)
    assert found is not None
    assert found.numbers == (0, 1, 2, 4)
    assert found.shown.values.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.05])
    assert found.shown.seeds[0] == 3
    assert is_searched_by_nao(study)


def test_of_a_metric_to_be_maximised_the_largest_values_are_the_best() -> None:
    study = searched(4, metric="accuracy")
    found = study_map(study)
    assert found is not None
    assert found.numbers[found.shown.seeds[0]] == 0
    assert ">trial 0: accuracy 0.9<" in (study_map_svg(study) or "")
    assert list(latent_figure(found, "accuracy", True).data[-1].marker.color) == pytest.approx([0.6, 0.7, 0.8, 0.9])


def test_two_trials_make_no_map() -> None:
    study = searched(2)
    assert study_map(study) is None and study_map_svg(study) is None
    assert "Latent space" not in report_html(study)


def test_the_figure_has_a_point_for_each_trial_and_a_line_for_each_path() -> None:
    found = study_map(searched(6))
    assert found is not None
    *paths, points = latent_figure(found, "log_loss", False).data
    assert len(points.x) == 6 and points.text[-1] == "trial 5: log_loss 0.4"
    assert [path.name for path in paths] == [f"latent steps from trial {number}" for number in (5, 4, 3, 2, 1)]


def test_dashboard_and_report_show_the_map_of_a_study_of_naos() -> None:
    study = searched(4)
    publish_figures(study)
    attributes = study.optuna._storage.get_study_system_attrs(study.optuna._study_id)
    assert any(key.startswith(f"dashboard:plot_data:{LATENT_ID}:") for key in attributes)
    assert "<h2>Latent space</h2>" in report_html(study)


def test_dashboard_and_report_show_no_map_of_other_studies() -> None:
    study = create_study("iris", task=load_task("iris"), space=SPACE, sampler="random", storage=None)
    add_trials(study, 3)
    publish_figures(study)
    attributes = study.optuna._storage.get_study_system_attrs(study.optuna._study_id)
    assert not any(key.startswith(f"dashboard:plot_data:{LATENT_ID}:") for key in attributes)
    assert not is_searched_by_nao(study) and "Latent space" not in report_html(study)


def test_a_sampler_object_that_only_its_maker_has_is_not_asked(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'automl.db'}"
    create_study("iris", task=load_task("iris"), space=SPACE, sampler=NAOSampler(SPACE), storage=url)
    assert not is_searched_by_nao(load_study("iris", url))


def test_what_is_no_picture_or_too_few_trials_is_refused_and_nothing_written(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path / 'automl.db'}", tmp_path / "map.svg"
    create_study("iris", task=load_task("iris"), space=SPACE, sampler="nao", storage=url)
    with pytest.raises(InputError, match=r"expected a file name that ends in \.svg; rename it"):
        draw_latent_map("iris", url, tmp_path / "map.png")
    with pytest.raises(InputError, match="fewer than 3 trials whose values are known"):
        draw_latent_map("iris", url, path)
    assert not path.exists()
