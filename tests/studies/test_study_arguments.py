"""What `create_study`, `load_study` and `Study.optimize` refuse: one sentence each, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import optuna
import pytest

from automl.errors import InputError
from automl.parameters import Categorical, Float, Int, Parameter
from automl.spaces.cell import CellSpace
from automl.spaces.flat import FlatSpace
from automl.spaces.mlp import MLPSpace
from automl.task import load_task
from automl.trainer import TrainerSettings
from studies.study import create_study, load_study
from tests.studies.small_studies import make

REFUSALS: list[tuple[Callable[[str], object], str]] = [
    (lambda url: make(url), "a study named 'iris' exists already in this storage; pass load_if_exists=True"),
    (
        lambda url: make(url, task=load_task("wine"), load_if_exists=True),
        "study 'iris' was made with the task iris, got the task wine;",
    ),
    (lambda url: make(url, ""), "got an empty name for the study"),
    (
        lambda url: make(url, space=MLPSpace(max_layers=4), load_if_exists=True),
        "made with max_layers 2, got max_layers 4",
    ),
    (
        lambda url: make(url, settings=TrainerSettings(max_epochs=9), load_if_exists=True),
        "made with max_epochs 2, got max_epochs 9",
    ),
    (lambda url: make(url, seed=1, load_if_exists=True), "made with the seed 0, got the seed 1"),
    (
        lambda url: make(url, "new", sampler="nasbt"),
        "got the sampler 'nasbt', expected one of .* did you mean 'nasbot'",
    ),
    (lambda url: make(url, "new", pruner="medan"), "got the pruner 'medan', expected one of"),
    (lambda url: make(url, "new", space=CellSpace.nas_bench_201()), "rows are no images; choose MLPSpace"),
    (
        lambda url: make(url, "new", space=FlatSpace({"learning_rate": Float(1e-3, 1e-1)})),
        "got the FlatSpace for task 'iris', whose candidates are no networks; choose MLPSpace",
    ),
    (
        lambda url: make(url, "new", task=load_task("digits"), space=CellSpace.nas_bench_201()),
        "networks that cannot be trained on task 'digits': got a network that ends in",
    ),
    (lambda url: make("nonsense"), "got the storage URL 'nonsense', expected one such as"),
    (lambda url: make("sqlite:////nowhere/at/all.db"), "which cannot be opened .*check the path"),
    (lambda url: load_study("iris", url.replace("studies", "others")), "whose file .*others.db' does not exist"),
    (lambda url: load_study("irs", url), "got the study 'irs', which this storage lacks; it has 'iris'"),
    (lambda url: load_study("iris", url).optimize(n_trials=-1), "got n_trials = -1, expected 0 or more"),
    (lambda url: load_study("iris", url).optimize(n_trials=2.5), "got n_trials = 2.5, expected a whole number"),  # type: ignore[arg-type]  # the mistake under test
    (lambda url: load_study("iris", url).optimize(timeout="x"), "got timeout = 'x', expected a number of seconds"),  # type: ignore[arg-type]  # the same
    (lambda url: load_study("iris", url).optimize(timeout=-1.0), r"got a timeout of -1.0 seconds"),
    (lambda url: load_study("iris", url).optimize(1, n_workers=0), "got n_workers = 0, expected at least 1"),
    (lambda url: make(None, "new").optimize(1, n_workers=2), "lives in this process's memory"),
    (
        lambda url: load_study("iris", url, sampler=optuna.samplers.RandomSampler()).optimize(1, n_workers=2),
        "has a sampler or pruner object, which worker processes cannot be given",
    ),
    (lambda url: load_study("iris", url).best_value, r"study 'iris' has no completed trial \(0 failed\)"),
]


@pytest.fixture(scope="module")
def shared_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A storage with one study, which no test changes."""
    url = f"sqlite:///{tmp_path_factory.mktemp('shared') / 'studies.db'}"
    make(url)
    return url


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("task", "iris"),
        ("space", "mlp"),
        ("sampler", None),
        ("pruner", None),
        ("settings", {"max_epochs": 3}),
        ("seed", None),
        ("seed", 1.5),
        ("transfer_from", (optuna.create_study,)),
        ("transfer_from", 3),
        ("models_dir", 3),
    ],
)
def test_arguments_of_another_type_are_refused_before_a_study_is_written(
    url: str, argument: str, value: object
) -> None:
    given: dict[str, Any] = {"task": load_task("iris"), "storage": url, argument: value}
    with pytest.raises(InputError, match=f"got {argument} = .*, expected "):
        create_study("new", **given)
    assert not optuna.get_all_study_names(url)


def test_what_is_no_storage_is_refused() -> None:
    with pytest.raises(InputError, match="got storage = 3, expected a URL"):
        create_study("new", task=load_task("iris"), storage=cast(Any, 3))


def test_a_seed_may_be_one_of_numpys_integers(url: str) -> None:
    make(url, seed=np.int64(3))
    assert load_study("iris", url).definition.seed == 3


def test_one_past_study_may_be_named_by_itself() -> None:
    study = create_study("new", task=load_task("iris"), storage=None, transfer_from="wine")
    assert study.definition.transfer_from == ("wine",)


@pytest.mark.parametrize(("use", "sentence"), REFUSALS)
def test_what_cannot_be_done_is_said_in_one_sentence(
    shared_url: str, use: Callable[[str], object], sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        use(shared_url)


def test_hyperparameters_that_the_trainer_does_not_know_are_told(caplog: pytest.LogCaptureFixture) -> None:
    make(None)
    assert not caplog.records
    make(None, "unknown", space=MLPSpace(hyperparameters={"lr": Float(1e-3, 1e-1, log=True)}))
    assert "no effect on it ('lr'), expected some of 'learning_rate', " in caplog.text


@pytest.mark.parametrize(
    ("name", "parameter", "sentence"),
    [
        ("learning_rate", Float(-3, -1), r"got learning_rate = -3.0 in the range .*, expected a number of at least 0"),
        ("weight_decay", Float(-1, 1), "got weight_decay = -1.0 in the range .* narrow the range"),
        ("batch_size", Int(0, 64), "got batch_size = 0 in the range .* at least 1"),
        ("dropout", Float(0, 1), "got dropout = 1.0 in the range .*, expected a share from 0 to below 1"),
        (
            "optimizer",
            Categorical(("adamw", "lion")),
            "got optimizer = 'lion' .*, expected one of 'adamw'",
        ),
        ("learning_rate", Categorical((0.1, "fast")), "got learning_rate = 'fast' in the range"),
    ],
)
def test_ranges_that_the_trainer_would_refuse_are_refused_before_the_study_is_made(
    name: str, parameter: Parameter, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        make(None, space=MLPSpace(hyperparameters={name: parameter}))


def test_narrow_and_fixed_ranges_are_taken() -> None:
    ranges: dict[str, Parameter] = {
        "learning_rate": Float(0, 0.1),
        "dropout": Categorical((0.0, 0.9)),
        "batch_size": Int(1, 8),
    }
    assert make(None, space=MLPSpace(hyperparameters=ranges)).space.hyperparameters == ranges
