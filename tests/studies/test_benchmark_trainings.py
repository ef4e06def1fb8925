"""Real trainings with the face of a table: what a benchmark asks of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from automl.errors import InputError
from studies.benchmark.runs import TableSource
from studies.benchmark.trainings import Trainings, load_trainings


@pytest.fixture(scope="module")
def iris() -> Trainings:
    return load_trainings("train/iris", epochs=2)


def test_an_evaluation_is_the_metric_of_a_training_and_is_remembered(iris: Trainings) -> None:
    candidate = iris.space.sample(np.random.default_rng(0))
    value = iris.evaluate(candidate, np.random.default_rng(1))
    assert 0.0 < value < 10.0
    assert iris.mean(candidate) == value
    assert iris.evaluate(candidate, np.random.default_rng(1)) == value


def test_a_loss_is_its_own_regret_and_an_accuracy_what_is_missing_to_one(iris: Trainings) -> None:
    assert iris.regret(0.25) == iris.loss(0.25) == 0.25
    assert iris.unit == "log_loss on the validation part"


def test_files_of_one_name_are_told_apart_and_built_in_data_need_not_be(iris: Trainings, tmp_path: Path) -> None:
    digests = set()
    for folder, factor in (("a", 1), ("b", 3)):
        (tmp_path / folder).mkdir()
        file = tmp_path / folder / "t.csv"
        file.write_text("x,y\n" + "\n".join(f"{x},{factor * x}" for x in range(40)))
        digests.add(load_trainings(f"train/{file}", "y").digest)
    assert len(digests) == 2
    assert iris.digest == ""


def test_a_failed_training_counts_as_knowing_nothing(iris: Trainings) -> None:
    candidate = iris.space.sample(np.random.default_rng(0))
    hopeless = type(candidate)(candidate.architecture, {**candidate.hyperparameters, "learning_rate": float("nan")})
    assert iris.evaluate(hopeless, np.random.default_rng(0)) == pytest.approx(np.log(3))


def test_names_that_begin_with_train_are_trained_and_unknown_ones_refused() -> None:
    assert TableSource("train/iris").is_trained
    assert not TableSource("nb201/cifar10").is_trained
    with pytest.raises(InputError, match="'nosuch'"):
        TableSource("train/nosuch").load()
