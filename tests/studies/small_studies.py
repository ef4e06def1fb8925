"""A study of small networks on iris with trainings of two epochs: what tests of studies run."""

from __future__ import annotations

from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies.study import Study, create_study

IRIS = load_task("iris")
SPACE = MLPSpace(max_layers=2)
SETTINGS = TrainerSettings(max_epochs=2)


def make(url: str | None, name: str = "iris", **changes: object) -> Study:
    """The study, in the storage of that URL or in memory, with any arguments of `create_study` changed."""
    arguments = {"task": IRIS, "space": SPACE, "settings": SETTINGS, "sampler": "evolution", **changes}
    return create_study(name, storage=url, **arguments)  # type: ignore[arg-type]  # tests name the arguments themselves


def values(study: Study) -> list[float | None]:
    """The values of its trials, by number."""
    return [trial.value for trial in study.trials]
