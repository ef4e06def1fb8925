"""Models: predictions from every sort of data, saving and loading to the bit, and what broken folders get."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray
from scipy.special import softmax

from automl.data.tables import as_table
from automl.errors import InputError
from automl.model import Model
from automl.observations import Candidate
from automl.task import Task, load_task
from automl.trainer import TrainerSettings, evaluate_candidate
from kernels.architecture import Architecture


def trained(task: Task, epochs: int = 8) -> Model:
    """A small network trained on a task."""
    decision = "softmax" if task.kind == "classification" else "linear"
    labels, edges = ("ip", "relu", "tanh", decision, "op"), ((0, 1), (0, 2), (1, 3), (2, 3), (3, 4))
    candidate = Candidate(Architecture(labels, (None, 24, 16, None, None), edges), {"learning_rate": 0.01})
    result = evaluate_candidate(candidate, task, settings=TrainerSettings(max_epochs=epochs))
    return Model.from_training(task, candidate, result)


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    size = generator.normal(5.0, 2.0, 80)
    colour = generator.choice(["red", "green", "blue"], 80)
    label = np.where((size > 5) ^ (colour == "red"), "yes", "no")
    size[::11] = np.nan
    return pd.DataFrame(
        {"colour": colour, "size": size, "code": generator.integers(0, 3, 80).astype(str), "label": label}
    )


@pytest.fixture(scope="module")
def model(frame: pd.DataFrame) -> Model:
    return trained(Task.from_frame(frame, target="label"))


def test_predictions_are_made_on_one_thread_and_the_number_of_threads_is_put_back(
    model: Model, frame: pd.DataFrame
) -> None:
    before, seen = torch.get_num_threads(), list[int]()
    hook = model.module.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    torch.set_num_threads(2)
    try:
        model.predict(frame)
        assert seen == [1] and torch.get_num_threads() == 2
    finally:
        hook.remove()
        torch.set_num_threads(before)


@pytest.mark.parametrize("name", ["iris", "diabetes", "digits"])
def test_a_loaded_model_predicts_the_same_to_the_bit(name: str, tmp_path: Path) -> None:
    task = load_task(name)
    model = trained(task, epochs=3)
    loaded = Model.load(model.save(tmp_path / "model"))
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "model.safetensors"]
    rows = np.random.default_rng(0).normal(size=(257, len(task.preprocessor.columns))) * 3
    np.testing.assert_array_equal(model.predict(rows, notes=[]), loaded.predict(rows, notes=[]))
    if task.kind == "classification":
        np.testing.assert_array_equal(model.predict_proba(rows, notes=[]), loaded.predict_proba(rows, notes=[]))
    assert loaded.candidate == model.candidate and loaded.preprocessor == model.preprocessor
    assert loaded.evaluation == model.evaluation and loaded.image_shape == model.image_shape
    assert (loaded.metric, loaded.target, loaded.task_digest) == (model.metric, model.target, task.digest)


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_no_rows_have_no_predictions(name: str) -> None:
    model = trained(load_task(name), epochs=1)
    names = model.preprocessor.columns
    empty: list[object] = [np.zeros((0, len(names))), pd.DataFrame(columns=list(names)), {name: [] for name in names}]
    for nothing in empty:
        assert model.predict(nothing).shape == (0,)


def test_the_score_on_the_validation_rows_is_the_value_of_the_training() -> None:
    from sklearn.datasets import load_diabetes

    inputs, targets = load_diabetes(return_X_y=True)
    task = Task.from_arrays(inputs, targets)
    model = trained(task)
    everything, _ = task.preprocessor.transform(_table(inputs))
    rows = [int(np.flatnonzero((everything == row).all(axis=1))[0]) for row in task.validation.inputs]
    assert model.score(inputs[rows], targets[rows]) == pytest.approx(model.evaluation.value, rel=1e-5)
    assert model.score(inputs[rows], targets[rows], metric="r2") == pytest.approx(
        model.evaluation.metrics["r2"], rel=1e-4
    )


def _table(inputs: Any) -> Any:
    from automl.data.tables import as_table

    return as_table(inputs)


def test_frames_mappings_arrays_and_files_give_the_same_predictions(
    model: Model, frame: pd.DataFrame, tmp_path: Path
) -> None:
    expected = model.predict_proba(frame)
    assert model.score(frame, metric="accuracy") > 0.8
    assert set(model.predict(frame)) <= {"yes", "no"} and expected.shape == (80, 2)
    np.testing.assert_allclose(expected.sum(axis=1), 1.0)
    frame.to_csv(tmp_path / "data.csv", index=False)
    frame[["label", "size", "code", "colour"]].to_parquet(tmp_path / "data.parquet")
    inputs = frame.drop(columns="label")
    rows = inputs.to_dict("records")
    for data in (tmp_path / "data.csv", tmp_path / "data.parquet", dict(inputs), rows, inputs.to_numpy(dtype=object)):
        np.testing.assert_array_equal(model.predict_proba(data), expected)


def test_images_are_predicted_in_the_shape_that_was_trained_on_alone() -> None:
    images = np.random.default_rng(0).normal(size=(40, 3, 6, 5))
    model = trained(Task.from_arrays(images, np.arange(40) % 2), epochs=1)
    expected = model.predict_proba(images)
    for same in (list(images), images.reshape(40, -1)):
        np.testing.assert_array_equal(model.predict_proba(same), expected)
    assert model.predict([images[0]]).shape == model.predict(images[:1]).shape == (1,)
    wrong: list[tuple[NDArray[np.float64], str]] = [
        (images.transpose(0, 2, 3, 1), "6 x 5 x 3"),
        (images[:, :, :, :4], "3 x 6 x 4"),
        (images[0], "6 x 5"),
        (np.zeros((4, 7)), "7"),
    ]
    for others, shape in wrong:
        with pytest.raises(InputError, match=f"got images of the shape {shape}, expected 3 x 6 x 5"):
            model.predict(others)


def test_grey_images_may_leave_their_channel_out() -> None:
    images = np.random.default_rng(0).normal(size=(40, 6, 5))
    model = trained(Task.from_arrays(images, np.arange(40) % 2), epochs=1)
    np.testing.assert_array_equal(model.predict(images), model.predict(images[:, None]))
    with pytest.raises(InputError, match="got images of the shape 5, expected 1 x 6 x 5"):
        model.predict(images[0])


def test_unseen_levels_are_counted_and_told_and_missing_ones_are_taken(model: Model, frame: pd.DataFrame) -> None:
    strange = frame.assign(colour=["violet", "ochre", *frame["colour"][2:]])
    notes: list[str] = []
    model.predict(strange, notes=notes)
    assert len(notes) == 1 and "'colour': 2 of 80 rows hold 2 levels unseen" in notes[0] and "'violet'" in notes[0]
    with pytest.warns(UserWarning, match="2 of 80 rows"):
        model.predict(strange)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(model.predict_proba(frame.assign(colour=None))).all()


def test_prediction_data_that_do_not_fit_get_one_sentence(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [
        (frame.drop(columns=["size", "code"]), "lack the columns 'size', 'code'"),
        (frame.rename(columns={"colour": "color"}), "lack the column 'colour'.* nearest names there are 'color'"),
        (frame.assign(size=np.inf), "80 infinite values or"),
        (frame.assign(size=["large", *frame["size"][1:].astype(str)]), "the text 'large', expected numbers"),
        (np.zeros((4, 7)), "7 columns, expected 3"),
        (np.zeros(4), "reshape"),
        ({"size": 1.0, "code": 2, "colour": "red"}, "got 1.0 as a column, expected a value for each row; write a list"),
        (tmp_path / "absent.csv", "is no file"),
    ]
    for data, expected in cases:
        with pytest.raises(InputError, match=expected):
            model.predict(data)
    with pytest.raises(InputError, match=r"lack the columns .* that was trained on, and there is none: add"):
        model.predict({})
    with pytest.raises(InputError, match="got no rows, expected at least one to judge by"):
        model.score(frame[:0])
    with pytest.raises(InputError, match="lack the target 'label'"):
        model.score(frame.drop(columns="label"))
    with pytest.raises(InputError, match="'maybe', expected one of the classes"):
        model.score(frame.assign(label=["maybe", *frame["label"][1:]]))
    with pytest.raises(InputError, match="80 rows and 3 targets"):
        model.score(frame, ["yes", "no", "no"])
    with pytest.raises(InputError, match="use predict, on the command line without --proba"):
        trained(load_task("diabetes"), epochs=1).predict_proba(np.zeros((1, 10)))


Damage = Callable[[Path], object]


def changed(**fields: Any) -> Damage:
    """Changes fields of a saved model's description; of a field that is given as a dict, those within it.

    The description is one of an older release, without a checksum, which would tell any change by itself.
    """

    def damage(folder: Path) -> None:
        facts = described(folder)
        others = {name: facts[name] | value if isinstance(value, dict) else value for name, value in fields.items()}
        (folder / "model.json").write_text(json.dumps(facts | others))

    return damage


def cut(name: str, n: int) -> Damage:
    """Leaves the first `n` bytes of a file, or all but the last `-n`."""
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:n])


def described(folder: Path) -> dict[str, Any]:
    """A saved model's description as an older release would have written it."""
    facts: dict[str, Any] = json.loads((folder / "model.json").read_text())
    del facts["checksum"]
    return facts | {"version": 2}


def without_preprocessor(folder: Path) -> None:
    facts = described(folder)
    del facts["preprocessor"]
    (folder / "model.json").write_text(json.dumps(facts))


def without_doubt(folder: Path) -> None:
    """Makes a model of version 1 of the format, which knew of no doubt."""
    facts = described(folder)
    del facts["target"]["doubt"]
    (folder / "model.json").write_text(json.dumps(facts | {"version": 1}))


def test_models_of_before_predict_the_probabilities_they_did(model: Model, frame: pd.DataFrame, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    without_doubt(folder)
    inputs, _ = model.preprocessor.transform(as_table(frame, model.preprocessor.columns))
    np.testing.assert_allclose(
        Model.load(folder).predict_proba(frame), softmax(model.outputs(inputs).astype(np.float64), axis=1)
    )
    assert model.target.doubt == 1 / (16 + 2)


DAMAGES: dict[str, tuple[Damage, str]] = {
    "weights cut short": (cut("model.safetensors", -8), "damaged or truncated"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "damaged or truncated"),
    "a newer version": (changed(version=4), "format version 4, expected at most 3"),
    "another sort": (changed(format="song"), "no description of the sort 'automl-model'"),
    "no numbers": (changed(preprocessor={"numbers": None}), "damaged or truncated"),
    "a class too many": (changed(target={"classes": ["yes", "no", "perhaps"]}), "damaged or truncated"),
    "no architecture": (changed(candidate={"architecture": None}), "damaged or truncated"),
    "a field lost": (without_preprocessor, "damaged or truncated"),
    "a description cut short": (cut("model.json", 50), "damaged or truncated"),
    "no description": (lambda folder: (folder / "model.json").unlink(), r"holds no model\.json"),
}


@pytest.mark.parametrize("case", DAMAGES)
def test_folders_that_are_no_whole_model_get_one_sentence(model: Model, tmp_path: Path, case: str) -> None:
    damage, expected = DAMAGES[case]
    folder = model.save(tmp_path / "model")
    damage(folder)
    with pytest.raises(InputError, match=expected) as raised:
        Model.load(folder)
    assert "\n" not in str(raised.value)


def test_any_change_of_a_description_is_told_by_its_checksum(model: Model, tmp_path: Path) -> None:
    description = model.save(tmp_path / "model") / "model.json"
    facts = json.loads(description.read_text())
    facts["preprocessor"]["numbers"]["mean"][0] += 1e-9
    description.write_text(json.dumps(facts))
    with pytest.raises(InputError, match=r"model\.json is damaged or truncated, or was changed by hand"):
        Model.load(tmp_path / "model")
    facts["preprocessor"]["numbers"]["mean"][0] = model.preprocessor.numbers.mean[0]
    description.write_text(json.dumps(facts))  # laid out otherwise
    assert Model.load(tmp_path / "model").preprocessor == model.preprocessor


def test_saving_replaces_models_and_nothing_else(model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    model.save(folder)
    Model.load(folder)
    (tmp_path / "papers").mkdir()
    (tmp_path / "papers" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="choose another name"):
        model.save(tmp_path / "papers")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "papers"]


def test_failed_trainings_make_no_model() -> None:
    task = load_task("iris")
    labels, edges = ("ip", "relu", "softmax", "op"), ((0, 1), (1, 2), (2, 3))
    candidate = Candidate(Architecture(labels, (None, 4, None, None), edges), {"learning_rate": 1e38})
    with pytest.raises(ValueError, match="that failed"):
        Model.from_training(task, candidate, evaluate_candidate(candidate, task))


@pytest.mark.slow
def test_loading_and_predicting_import_no_search_and_no_tables(model: Model, tmp_path: Path) -> None:
    folder = model.save(tmp_path / "model")
    heavy = ["optuna", "botorch", "gpytorch", "ot", "sklearn", "pandas"]
    program = (
        "import sys; from automl.model import Model;"
        f"Model.load({str(folder)!r}).predict({{'colour': ['red'], 'size': [1.0], 'code': ['1']}});"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
