"""Tasks: built-in data, files, frames and arrays; splits, references, and the sentences that bad input gets."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automl.data.built_in_data import BUILT_IN
from automl.data.preprocessing import fit_preprocessor
from automl.data.tables import Table, as_column, as_table
from automl.errors import InputError
from automl.task import Task, load_task, task_from_reference


def write_csv(folder: Path, n: int = 60, name: str = "data.csv", **columns: Any) -> Path:
    """A CSV file with a number, a text column and a target, and whatever columns are given beside or instead."""
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "size": generator.normal(5.0, 2.0, n),
            "colour": generator.choice(["red", "green", "blue"], n),
            "label": np.where(np.arange(n) % 2 == 0, "yes", "no"),
        }
        | columns
    )
    path = folder / name
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("name", "kind", "n_rows", "n_features", "n_outputs"),
    [
        ("digits", "classification", 1797, 64, 10),
        ("wine", "classification", 178, 13, 3),
        ("iris", "classification", 150, 4, 3),
        ("breast_cancer", "classification", 569, 30, 2),
        ("diabetes", "regression", 442, 10, 1),
    ],
)
def test_built_in_data_become_tasks_of_their_kind(
    name: str, kind: str, n_rows: int, n_features: int, n_outputs: int
) -> None:
    task = load_task(name)
    assert set(BUILT_IN) == {"digits", "wine", "iris", "breast_cancer", "diabetes"}
    assert (task.kind, task.n_features, task.n_outputs) == (kind, n_features, n_outputs)
    assert len(task.train) + len(task.validation) == n_rows and task.test is None
    assert (task.metric, task.direction) == (("rmse" if kind == "regression" else "log_loss"), "minimize")
    assert task.image_shape == ((1, 8, 8) if name == "digits" else None)
    assert task.train.inputs.dtype == np.float32 and np.isfinite(task.train.inputs).all()


def test_the_preprocessing_is_fitted_on_the_training_part_alone() -> None:
    task = load_task("wine")
    np.testing.assert_allclose(task.train.inputs.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(task.train.inputs.std(axis=0), 1.0, atol=1e-5)
    assert np.abs(task.validation.inputs.mean(axis=0)).max() > 1e-3


def test_regression_targets_are_standardised_and_judged_in_their_own_units() -> None:
    task = load_task("diabetes")
    np.testing.assert_allclose([task.train.targets.mean(), task.train.targets.std()], [0.0, 1.0], atol=1e-5)
    zeros = np.zeros((len(task.validation), 1), np.float32)
    in_units = task.target.decode(task.validation.targets.astype(np.float64)[:, None])
    assert task.score(zeros, task.validation) == pytest.approx(np.sqrt(np.mean((in_units - task.target.mean) ** 2)))
    assert set(task.scores(zeros, task.validation)) == {"rmse", "mae", "r2"}


def test_values_with_a_large_mean_are_stratified_and_standardised_as_others_are() -> None:
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(100, 2))
    values = generator.permutation(100).astype(np.float64)
    plain, shifted = (Task.from_arrays(inputs, values * scale + mean) for scale, mean in ((0.5, 0.0), (0.5, 1e9)))
    np.testing.assert_array_equal(shifted.validation.inputs, plain.validation.inputs)
    np.testing.assert_allclose(shifted.validation.targets, plain.validation.targets, atol=1e-5)


@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e40])
def test_the_unit_of_a_column_or_target_makes_no_difference(scale: float) -> None:
    generator = np.random.default_rng(0)
    inputs, values = generator.normal(size=(60, 2)), generator.normal(size=60)
    plain, scaled = Task.from_arrays(inputs, values), Task.from_arrays(inputs * scale, values * scale)
    np.testing.assert_allclose(scaled.train.inputs, plain.train.inputs, atol=1e-5)
    np.testing.assert_allclose(scaled.train.targets, plain.train.targets, atol=1e-5)


@pytest.mark.parametrize("as_list", [False, True])
def test_truth_values_are_predicted_as_such(as_list: bool, tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(40, 2))
    answers = inputs[:, 0] > 0
    of_arrays = Task.from_arrays(inputs, answers.tolist() if as_list else answers)
    of_frame = Task.from_frame(pd.DataFrame({"x": inputs[:, 0], "answer": answers}), target="answer")
    for task in (of_arrays, of_frame, of_arrays.save(tmp_path / "task")):
        assert task.classes == (False, True)
        labels = task.target.labels(np.array([[0.9, 0.1], [0.2, 0.8]]))
        assert labels.dtype == np.bool_ and labels.tolist() == [False, True]
        assert set(task.target.encode(as_column(answers)).tolist()) == {0, 1}
    saved = task_from_reference(of_arrays.save(tmp_path / "task").reference)
    assert saved.target == of_arrays.target
    words = np.where(answers, "True", "False")
    texts = Task.from_arrays(inputs, words)
    assert texts.classes == ("False", "True") and texts.digest == of_arrays.digest
    for column, classes in ((answers, (False, True)), (words, ("False", "True"))):
        assert Task.from_frame(pd.DataFrame({0: inputs[:, 0], 1: column}), target="-1").classes == classes


def test_the_seed_alone_changes_the_split_and_the_digest() -> None:
    first, again, other = load_task("iris"), load_task("iris"), load_task("iris", seed=1)
    assert first == again and hash(first) == hash(again) and first != other
    assert not np.array_equal(first.validation.inputs, other.validation.inputs)


def test_a_test_part_is_kept_apart() -> None:
    task = load_task("iris", test_fraction=0.2)
    assert task.test is not None and [len(part) for part in (task.train, task.validation, task.test)] == [90, 30, 30]


def test_mixed_columns_become_numbers_indicators_and_levels(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    size = generator.normal(5.0, 2.0, 60)
    size[::7] = np.nan
    colour = np.array(["red", "green", "blue"] * 20, dtype=object)
    colour[::9] = None
    task = Task.from_csv(write_csv(tmp_path, size=size, colour=colour), target="label")
    assert task.preprocessor.numbers.indicated == ("size",)
    assert task.preprocessor.texts[0].levels == ("blue", "green", "red", None)
    assert task.n_features == 2 + 4 and task.classes == ("no", "yes")
    np.testing.assert_array_equal(task.train.inputs[:, 2:].sum(axis=1), 1.0)


def test_levels_seen_once_are_pooled_and_shared_by_unseen_ones(tmp_path: Path) -> None:
    colour = ["red", "green"] * 29 + ["rare-a", "rare-b"]
    task = Task.from_csv(write_csv(tmp_path, colour=colour), target="label", validation_fraction=0.02)
    levels = task.preprocessor.texts[0]
    assert levels.levels == ("green", "red") and set(levels.rare) <= {"rare-a", "rare-b"} and levels.n_inputs == 3
    one_hot, unseen = levels.transform(np.array(["green", "violet", None], dtype=object))
    np.testing.assert_array_equal(one_hot, [[1, 0, 0], [0, 0, 1], [0, 0, 0]])
    assert unseen == {"violet": 1}


def test_a_level_seen_twice_has_an_input_of_its_own() -> None:
    table = Table({"colour": as_column(["red", "green", "red", "green", "blue"])})
    levels = fit_preprocessor(table, np.arange(5))[0].texts[0]
    assert levels.levels == ("green", "red") and levels.rare == ("blue",)


def test_outliers_are_held_at_ten_standard_deviations() -> None:
    numbers = np.random.default_rng(0).normal(size=50)
    preprocessor = fit_preprocessor(Table({"x": numbers}), np.arange(50))[0]
    inputs, _ = preprocessor.transform(Table({"x": np.array([1e6, -1e6, numbers.mean() + 9 * numbers.std()])}))
    np.testing.assert_allclose(inputs[:, 0], [10.0, -10.0, 9.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(200) % 5, "classification"),
        (np.arange(20) % 2, "classification"),
        (np.arange(200) % 25, "regression"),
        (np.arange(69) % 7, "regression"),
        (np.arange(70) % 7, "classification"),
        (np.arange(300) % 20, "classification"),
        (np.arange(300) % 21, "regression"),
        (np.arange(200) % 5 + 0.5, "regression"),
        (np.arange(200) % 2 == 0, "classification"),
        (np.array([f"group {i % 3}" for i in range(60)]), "classification"),
    ],
)
def test_the_kind_follows_from_the_target_by_the_stated_rule(values: np.ndarray[Any, Any], kind: str) -> None:
    inputs = np.random.default_rng(0).normal(size=(len(values), 3))
    assert Task.from_arrays(inputs, values).kind == kind


def test_the_kind_can_be_overridden_both_ways() -> None:
    inputs = np.random.default_rng(0).normal(size=(90, 3))
    assert Task.from_arrays(inputs, np.arange(90) % 3, kind="regression").n_outputs == 1
    task = Task.from_arrays(inputs, np.arange(90) % 3 + 0.5, kind="classification")
    assert task.classes == ("0.5", "1.5", "2.5")


def test_csv_parquet_frame_and_gzip_hold_the_same_task(tmp_path: Path) -> None:
    path = write_csv(tmp_path)
    frame = pd.read_csv(path)
    frame.to_parquet(tmp_path / "data.parquet")
    frame.to_csv(tmp_path / "data2.csv.gz", index=False)
    (tmp_path / "data3.csv").write_text(path.read_text().replace(",", ";"))
    tasks = [
        Task.from_csv(path, target="label"),
        Task.from_parquet(tmp_path / "data.parquet", target="label"),
        Task.from_csv(tmp_path / "data2.csv.gz", target="label"),
        Task.from_csv(tmp_path / "data3.csv", target="label"),
        Task.from_frame(frame, target="label"),
        load_task(path, "label"),
    ]
    assert len({task.digest for task in tasks}) == 1


@pytest.mark.parametrize(("copies", "told"), [(2, True), (1, False)])
def test_copies_of_rows_in_both_parts_are_told(copies: int, told: bool) -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(60, 3)), copies, axis=0)
    task = Task.from_arrays(rows, rows.sum(1))
    repeated = {row.tobytes() for row in task.train.inputs} & {row.tobytes() for row in task.validation.inputs}
    assert bool(repeated) is told
    assert any("validation rows are trained on too, as copies" in note for note in task.notes) is told


def test_equal_inputs_with_other_targets_are_no_copies() -> None:
    task = Task.from_arrays(np.repeat(np.arange(30.0), 2)[:, None], np.arange(60.0))
    assert not any("copies" in note for note in task.notes)


def test_a_file_without_a_header_gets_names_and_a_note(tmp_path: Path) -> None:
    path = tmp_path / "bare.csv"
    np.savetxt(path, np.random.default_rng(0).normal(size=(40, 4)), delimiter=",")
    task = load_task(path, "-1")
    assert task.target.name == "column_4" and task.n_features == 3 and len(task.train) == 32
    assert any("no header" in note for note in task.notes)


def test_nameless_columns_that_number_the_rows_are_left_out(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.arange(40) % 7, "y": np.arange(40) / 7})
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "data.csv")
    task = load_task(tmp_path / "data.csv", "y")
    assert task.preprocessor.names == ("a",)
    assert any("no name" in note and "'Unnamed: 0'" in note for note in task.notes)
    frame.rename(columns={"a": "", "y": "b"}).assign(y=frame.y).to_csv(tmp_path / "data.csv", index=False)
    assert load_task(tmp_path / "data.csv", "y").preprocessor.names == ("Unnamed: 0", "b")


def test_columns_of_many_texts_are_told_with_an_example() -> None:
    shares = [f"{value % 50} %" for value in range(200)]
    task = Task.from_frame(pd.DataFrame({"share": shares, "y": np.arange(200) / 7}), target="y")
    assert "column 'share' is read as texts such as '0 %': 50 inputs." in task.notes
    with pytest.raises(InputError, match="holds texts such as '0 %', expected numbers"):
        Task.from_frame(pd.DataFrame({"a": np.arange(200), "y": shares}), target="y", kind="regression")


def test_columns_that_are_left_out_are_told_with_the_reason() -> None:
    names = [f"name {i}" for i in range(60)]
    task = Task.from_arrays({"x": range(60), "same": ["a"] * 60, "names": names}, ["p", "q"] * 30)
    assert task.notes[1:] == (
        "column 'same' is left out: all its values are the same in the training part.",
        "column 'names' is left out: no two of its levels repeat in the training part.",
    )


def test_models_of_dates_take_them_in_every_form() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2024-01-01", periods=40), "y": ["p", "q"] * 20})
    prepare = Task.from_frame(frame, target="y").preprocessor
    expected, _ = prepare.transform(as_table(frame))
    for values in (frame["when"].astype(str), list(frame["when"]), [day.date() for day in frame["when"]]):
        np.testing.assert_array_equal(prepare.transform(as_table({"when": values}))[0], expected)
    with pytest.raises(InputError, match="holds the text '2024-01-01', expected numbers"):
        prepare.transform(as_table({"when": ["2024-01-01", "7"]}))


def test_separators_within_quoted_names_separate_nothing(tmp_path: Path) -> None:
    path = _text(tmp_path, '"rooms, baths, toilets";kind\n' + "1;a\n2;b\n" * 9)
    assert load_task(path, "kind").preprocessor.names == ("rooms, baths, toilets",)


def test_images_keep_their_shape_and_share_one_scale() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 6, 5))
    task = Task.from_arrays(images, np.arange(40) % 2)
    assert task.image_shape == (3, 6, 5) and task.n_features == 90
    assert len(set(task.preprocessor.numbers.scale)) == 1


@pytest.mark.parametrize("pixels", ["missing", "truth values"])
def test_images_with_missing_or_binary_pixels_keep_their_shape(pixels: str) -> None:
    images = np.random.default_rng(0).normal(size=(40, 4, 4))
    if pixels == "missing":
        images[::7, 1, 1] = np.nan
    task = Task.from_arrays(images if pixels == "missing" else images > 0, np.arange(40) % 2)
    assert (task.image_shape, task.n_features) == ((1, 4, 4), 16)


def test_a_list_of_images_is_as_good_as_an_array() -> None:
    images = np.random.default_rng(0).normal(size=(40, 3, 6, 5))
    for listed in (list(images), images.tolist()):
        assert Task.from_arrays(listed, np.arange(40) % 2) == Task.from_arrays(images, np.arange(40) % 2)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([np.zeros((4, 4)), np.zeros((4, 5))] * 20, "whose entries differ in shape"),
        (np.zeros((40, 2, 2, 2, 2)), "an array of 5 dimensions, expected rows x columns, or images"),
        (np.where(np.eye(4) > 0, np.nan, np.ones((40, 4, 4))), r"pixels 'x0', 'x5', 'x10', 'x15' are missing in all"),
    ],
)
def test_images_that_cannot_be_learnt_from_are_refused(images: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Task.from_arrays(images, np.arange(40) % 2)


def test_images_of_texts_are_refused() -> None:
    with pytest.raises(InputError, match=r"pixels 'x0', 'x1', .* are texts or truth values"):
        Task.from_arrays(np.eye(40, 4) > 0, np.arange(40) % 2, image_shape=(1, 2, 2))


@pytest.mark.parametrize(
    ("choices", "expected"),
    [
        ({"image_shape": "1x2x2"}, "channels, height and width, each 1 or more"),
        ({"image_shape": (2, 2)}, "channels, height and width, each 1 or more"),
        ({"image_shape": (1, -2, -2)}, "channels, height and width, each 1 or more"),
        ({"image_shape": (1, 2.5, 2)}, "channels, height and width, each 1 or more"),
        ({"seed": -1}, "a whole number of at least 0"),
        ({"seed": "0"}, "a whole number of at least 0"),
        ({"validation_fraction": "0.2"}, "a share between 0 and 1"),
        ({"test_fraction": None}, "a share between 0 and 1"),
        ({"max_levels": 2.5}, "a whole number of at least 1"),
        ({"max_levels": 0}, "a whole number of at least 1"),
        ({"metric": 3}, "the name of a metric"),
        ({"ignore": 3}, "names of columns"),
    ],
)
def test_choices_that_make_no_task_are_refused_by_name(choices: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=f"got {next(iter(choices))}=.*, expected {expected}"):
        Task.from_arrays(np.random.default_rng(0).normal(size=(40, 4)), np.arange(40) % 2, **choices)


def test_references_make_the_same_task_again(tmp_path: Path) -> None:
    arrays = Task.from_arrays(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2, test_fraction=0.2)
    tasks = [
        load_task("digits", seed=3, metric="accuracy", test_fraction=0.1),
        Task.from_csv(write_csv(tmp_path), target="label", ignore=("colour",), seed=2),
        arrays.save(tmp_path / "kept"),
    ]
    for task in tasks:
        again = task_from_reference(json.loads(json.dumps(task.reference)))
        assert again == task and again.metric == task.metric and again.name == task.name
        np.testing.assert_array_equal(again.train.inputs, task.train.inputs)
        np.testing.assert_array_equal(again.validation.targets, task.validation.targets)
    loaded = Task.load(tmp_path / "kept")
    assert loaded.test is not None and loaded.preprocessor == arrays.preprocessor and loaded.target == arrays.target


def test_a_reference_to_changed_data_is_refused(tmp_path: Path) -> None:
    task = Task.from_csv(write_csv(tmp_path), target="label")
    write_csv(tmp_path, n=61)
    with pytest.raises(InputError, match="are not those that the task 'data' was made of"):
        task_from_reference(task.reference)
    (tmp_path / "data.csv").unlink()
    with pytest.raises(InputError, match="no file"):
        task_from_reference(task.reference)
    unsaved = Task.from_arrays(np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 2)
    with pytest.raises(InputError, match=r"Task\.save"):
        task_from_reference(unsaved.reference)


@pytest.mark.parametrize("lost", ["name", "digest", "target", "image_shape", "sha256"])
def test_a_saved_task_whose_description_lacks_a_field_is_refused_as_damaged(tmp_path: Path, lost: str) -> None:
    load_task("iris").save(tmp_path / "task")
    facts = json.loads((tmp_path / "task" / "task.json").read_text())
    del facts[lost], facts["checksum"]  # which older releases did not write
    (tmp_path / "task" / "task.json").write_text(json.dumps(facts | {"version": 2}))
    with pytest.raises(InputError, match=f"damaged or truncated .KeyError: '{lost}'"):
        Task.load(tmp_path / "task")


def test_saved_tasks_refuse_damage_newer_versions_and_foreign_folders(tmp_path: Path) -> None:
    task = load_task("iris").save(tmp_path / "task")
    with (tmp_path / "task" / "arrays.npz").open("r+b") as file:
        file.truncate(100)
    with pytest.raises(InputError, match="damaged or truncated"):
        Task.load(tmp_path / "task")
    facts = json.loads((tmp_path / "task" / "task.json").read_text())
    (tmp_path / "task" / "task.json").write_text(json.dumps(facts | {"version": 99}))
    with pytest.raises(InputError, match="version 99"):
        Task.load(tmp_path / "task")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("precious")
    with pytest.raises(InputError, match="choose another name"):
        task.save(tmp_path / "other")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.txt"]


BAD_FILES: dict[str, tuple[Callable[[Path], Path], str | None, str]] = {
    "missing file": (lambda folder: folder / "nothing.csv", "label", "is no file"),
    "empty file": (lambda folder: _text(folder, ""), "label", "is empty"),
    "header alone": (lambda folder: _text(folder, "size,label\n"), "label", "has no rows"),
    "ragged lines": (lambda folder: _text(folder, "a,label\n1,x\n1,2,3,4\n"), "label", "cannot be read as CSV"),
    "no text": (lambda folder: _bytes(folder, b"\xff\xfe\x00\x81"), "label", "cannot be read as CSV"),
    "Latin-1": (
        lambda folder: _bytes(folder, "größe,label\n1,x\n".encode("latin-1")),
        "label",
        "0xf6.*save it as UTF-8",
    ),
    "a class called None": (
        lambda folder: write_csv(folder, label=["None", "some"] * 30),
        "label",
        "such as NA or None",
    ),
    "unknown ending": (lambda folder: _text(folder, "x", "data.xlsx"), "label", "file ending in"),
    "a gzipped file cut short": (
        lambda folder: _bytes(folder, gzip.compress(b"size,label\n" + b"1,a\n2,b\n" * 9)[:-12], "data.csv.gz"),
        "label",
        "cannot be read .*expected a whole file",
    ),
    "a gzipped file with wrong bytes": (
        lambda folder: _bytes(folder, gzip.compress(b"size,label\n")[:10] + b"\xff" * 20, "data.csv.gz"),
        "label",
        "cannot be read .*expected a whole file",
    ),
    "damaged Parquet": (lambda folder: _text(folder, "x", "data.parquet"), "label", "cannot be read as Parquet"),
    "two columns of one name": (
        lambda folder: _text(folder, "size;label; label\n" + "1;a;a\n2;b;b\n" * 9),
        "label",
        "several columns named 'label'",
    ),
    "no target named": (write_csv, None, "no target"),
    "misspelt target": (write_csv, "lable", "nearest names are 'label'"),
    "one class": (lambda folder: write_csv(folder, label="yes"), "label", "one value only"),
    "a class of one row": (
        lambda folder: write_csv(folder, label=["rare", *["a", "b"] * 29, "a"]),
        "label",
        "'rare' .1.",
    ),
    "too few rows": (lambda folder: write_csv(folder, n=4), "label", "4 rows"),
    "a gap in the target": (
        lambda folder: write_csv(folder, label=["a", None, "b"] * 20),
        "label",
        "missing in 20 of 60",
    ),
    "an empty column": (lambda folder: write_csv(folder, size=np.nan), "label", "'size' holds no value at all"),
    "an empty column of two words": (
        lambda folder: _text(folder, "a b,label\n" + ",x\n,y\n" * 9),
        "label",
        "--ignore 'a b', or ignore=",
    ),
    "an infinite value": (lambda folder: write_csv(folder, size=[*range(59), np.inf]), "label", "1 infinite values or"),
    "an infinite target": (lambda folder: write_csv(folder, label=[*range(59), np.inf]), "label", "infinite"),
    "a thousand levels": (
        lambda folder: write_csv(folder, n=1000, colour=[f"level {i}" for i in range(1000)]),
        "label",
        "1000 different texts",
    ),
    "nothing but the target": (
        lambda folder: _text(folder, "label\n" + "a\nb\n" * 9),
        "label",
        "no column to learn from",
    ),
}


def _text(folder: Path, text: str, name: str = "data.csv") -> Path:
    return _bytes(folder, text.encode(), name)


def _bytes(folder: Path, content: bytes, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", BAD_FILES)
def test_bad_files_get_one_sentence_that_says_what_is_wrong(case: str, tmp_path: Path) -> None:
    make, target, expected = BAD_FILES[case]
    path = make(tmp_path)
    with pytest.raises(InputError, match=expected) as raised:
        load_task(path, target)
    assert "\n" not in str(raised.value)


IMAGES = np.zeros((10, 12, 9, 3))
PIXELS = np.zeros((10, 6))
ANSWERS = [0, 1] * 5
REFUSALS: list[tuple[Callable[[], Task], str]] = [
    (lambda: load_task("digist"), "did you mean 'digits'"),
    (lambda: load_task("iris", metric="roc_auc"), "choose one of 'log_loss'"),
    (lambda: load_task("iris", validation_fraction=0.7, test_fraction=0.5), "leave rows for training"),
    (lambda: load_task("iris", kind="ranking"), "expected 'classification' or 'regression'"),  # type: ignore[arg-type]  # what a user may type
    (lambda: load_task("iris", kind="regression"), "for a regression"),
    (
        lambda: Task.from_arrays(IMAGES, ANSWERS),
        r"\(12, 9, 3\), which seem to be height x width x channels",
    ),
    (
        lambda: Task.from_arrays(PIXELS, ANSWERS, image_shape=(6,)),  # type: ignore[arg-type]  # the mistake
        "expected channels, height and width",
    ),
    (lambda: Task.from_arrays(PIXELS, ANSWERS, image_shape=(1, -2, -3)), "expected channels, height and width"),
    (
        lambda: Task.from_arrays(PIXELS, ANSWERS, image_shape=(1, 1, 2, 3)),  # type: ignore[arg-type]  # the mistake
        "expected channels, height and width",
    ),
    (
        lambda: Task.from_arrays({"a": np.arange(10), "b": ["x", "y"] * 5}, ANSWERS, image_shape=(1, 1, 2)),
        "pixels 'b' are texts or truth values, expected numbers",
    ),
    (lambda: Task.from_arrays(np.zeros((10, 2)), np.zeros(9)), "10 rows of X and 9 targets"),
    (lambda: Task.from_arrays(np.eye(10), ANSWERS, ignore="x99"), "got the column 'x99' to ignore, which .* lacks"),
]


@pytest.mark.parametrize(("make", "sentence"), REFUSALS)
def test_unknown_names_options_and_metrics_are_refused(make: Callable[[], Task], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make()
