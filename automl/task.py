"""Task: data with a fixed split, a target and a metric, on which networks are trained and by which they are judged.

A task is made of a built-in data set, a CSV or Parquet file, a data frame or arrays; its `reference` is enough to make
the same task again elsewhere, which `digest` proves. The validation and test parts never reach the preprocessing.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from numpy.typing import NDArray

from automl.data.built_in_data import BUILT_IN, BUILT_IN_TARGET, built_in_table
from automl.data.metrics import Direction, Metric, find_metric, metrics_for
from automl.data.preprocessing import Preprocessor, fit_preprocessor
from automl.data.recipe import ImageShape, Options, Recipe
from automl.data.splits import split, strata_of
from automl.data.table_files import read_table
from automl.data.tables import (
    Table,
    as_array,
    as_column,
    as_table,
    is_numeric,
    missing,
    table_from_frame,
    without_row_numbers,
)
from automl.data.targets import Kind, Label, TargetCoding, fit_target
from automl.errors import InputError, did_you_mean, listed, nearest
from automl.folders import TASK, file_digest, read_described, write_described, written_whole

_DESCRIPTION, _ARRAYS = TASK.files
_MIN_ROWS = 5
_TOLD_IF_REPEATED = 0.1  # A share of the validation rows; a few are often chance.


@dataclass(frozen=True, eq=False)
class Part:
    """Rows of a task: inputs [n, n_features]; targets [n], class indices or standardised values."""

    inputs: NDArray[np.float32]
    targets: NDArray[np.int64] | NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.targets)


@dataclass(frozen=True, eq=False)
class Task:
    """Data with a fixed split, a target and a metric; tasks are equal where their digests are.

    Args:
        name: What people call it.
        metric: Name of the metric that candidates are judged by.
        train: Rows to train on; the preprocessing is fitted on them alone.
        validation: Rows that judge candidates.
        test: Rows that take no part in the search, or None.
        preprocessor: How a table became inputs.
        target: How the target was coded.
        digest: Hexadecimal digest of the data and of every choice that makes the task.
        reference: JSON-ready fields from which `task_from_reference` makes the same task again.
        image_shape: Channels, height, width where each row's inputs are an image; else None.
        notes: What was decided about the data and the user should know, one sentence each.
    """

    name: str
    metric: str
    train: Part
    validation: Part
    test: Part | None
    preprocessor: Preprocessor
    target: TargetCoding
    digest: str
    reference: Mapping[str, Any]
    image_shape: ImageShape | None = None
    notes: tuple[str, ...] = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Task) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return (
            f"Task({self.name!r}, {self.kind}, metric={self.metric!r}, rows={len(self.train)}+{len(self.validation)}"
            f"+{len(self.test or ())}, n_features={self.n_features}, n_outputs={self.n_outputs})"
        )

    @property
    def kind(self) -> Kind:
        """ "classification" or "regression"."""
        return self.target.kind

    @property
    def direction(self) -> Direction:
        """Whether the metric is to be minimised or maximised."""
        return self.judge.direction

    @property
    def judge(self) -> Metric:
        """The metric that candidates are judged by."""
        return find_metric(self.metric, self.kind, len(self.classes))

    @property
    def classes(self) -> tuple[Label, ...]:
        """The class labels in the order of the outputs; empty for a regression."""
        return self.target.classes

    @property
    def n_features(self) -> int:
        """Inputs of a network."""
        return int(self.train.inputs.shape[1])

    @property
    def n_outputs(self) -> int:
        """Outputs of a network."""
        return self.target.n_outputs

    def score(self, outputs: NDArray[np.floating[Any]], part: Part) -> float:
        """The task's metric of a network's outputs [n, n_outputs] on a part, in the metric's own units."""
        return self.judge.function(*self._judged(outputs, part))

    def scores(self, outputs: NDArray[np.floating[Any]], part: Part) -> dict[str, float]:
        """Every metric that applies, by name."""
        targets, predictions = self._judged(outputs, part)
        return {m.name: m.function(targets, predictions) for m in metrics_for(self.kind, len(self.classes))}

    def _judged(self, outputs: NDArray[np.floating[Any]], part: Part) -> tuple[NDArray[Any], NDArray[np.float64]]:
        predictions = self.target.decode(outputs)
        if self.kind == "classification":
            return part.targets, predictions
        return self.target.decode(part.targets.astype(np.float64)[:, None]), predictions

    @classmethod
    def from_csv(
        cls, path: str | Path, *, target: str | None, name: str | None = None, **options: Unpack[Options]
    ) -> Task:
        """A task of a CSV file (also gzipped) with a header, or without one if its first line is all numbers.

        Args:
            path: The file.
            target: The column to predict; a number counts columns from 0, or from the end if negative.
            name: What people call the task; the file's name where None.
            **options: As in `Recipe`.

        Raises:
            InputError: If the file or its data cannot be used; the sentence says why and how to mend it.
        """
        return _from_file(Path(path), target, name, Recipe(**options))

    @classmethod
    def from_parquet(
        cls, path: str | Path, *, target: str | None, name: str | None = None, **options: Unpack[Options]
    ) -> Task:
        """A task of a Parquet file; arguments and errors as in `from_csv`."""
        return _from_file(Path(path), target, name, Recipe(**options))

    @classmethod
    def from_frame(cls, frame: Any, *, target: str, name: str = "frame", **options: Unpack[Options]) -> Task:
        """A task of a data frame; arguments and errors as in `from_csv`."""
        recipe = Recipe(**options)
        task = _from_table(table_from_frame(frame), target, name, recipe, {"source": "arrays", "path": None})
        place = [str(column) for column in frame.columns].index(task.target.name)
        return _with_truth_values(task, frame[frame.columns[place]])

    @classmethod
    def from_arrays(cls, X: Any, y: Any, *, name: str = "arrays", **options: Unpack[Options]) -> Task:
        """A task of inputs and targets held in memory.

        Args:
            X: Rows x columns (an array, a data frame, a mapping of columns or a list of rows), or images n x height x
                width or n x channels x height x width (channels first).
            y: Targets [n].
            name: What people call the task.
            **options: As in `Recipe`; images need no `image_shape`.

        Raises:
            InputError: If the data cannot be used, or X and y differ in length.
        """
        recipe = Recipe(**options)
        if isinstance(X, list | tuple) and not any(isinstance(row, Mapping) for row in X):
            X = as_array(X)
        shape = getattr(X, "shape", ())
        if len(shape) > 4:
            raise InputError(
                f"got an array of {len(shape)} dimensions, expected rows x columns, or images as n x height x width or "
                "n x channels x height x width; reshape it."
            )
        if len(shape) in (3, 4) and recipe.image_shape is None:
            _check_channels_first(shape)
            recipe = replace(recipe, image_shape=tuple(shape[1:]) if len(shape) == 4 else (1, *shape[1:]))
        table, column = as_table(X), as_column(y)
        if len(table) != len(column):
            raise InputError(f"got {len(table)} rows of X and {len(column)} targets, expected as many; cut or fill.")
        target = "target" if "target" not in table.columns else "y"
        whole = Table({**table.columns, target: column})
        task = _from_table(whole, target, name, recipe, {"source": "arrays", "path": None})
        return _with_truth_values(task, y)

    def save(self, folder: str | os.PathLike[str]) -> Task:
        """Writes the task as a folder (JSON and NumPy arrays, no pickle), whole or not at all.

        Returns:
            The same task, its reference naming the folder.

        Raises:
            InputError: If `folder` exists and is no task's.
        """
        saved = replace(self, reference=_folder_reference(Path(folder), self.name, self.digest))
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        arrays: dict[str, NDArray[Any]] = {}
        for part_name, part in parts.items():
            if part is not None:
                arrays |= {f"{part_name}_inputs": part.inputs, f"{part_name}_targets": part.targets}
        with written_whole(folder, TASK) as fresh:
            np.savez(fresh / _ARRAYS, allow_pickle=False, **arrays)
            write_described(fresh, TASK, {**saved._facts(), "sha256": file_digest(fresh / _ARRAYS)})
        return saved

    def _facts(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "metric": self.metric,
            "digest": self.digest,
            "image_shape": self.image_shape,
            "notes": list(self.notes),
            "preprocessor": self.preprocessor.to_dict(),
            "target": self.target.to_dict(),
        }

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Task:
        """The task that `save` wrote.

        Raises:
            InputError: If the folder is missing, damaged, or from a newer version.
        """
        path = Path(folder)
        facts = read_described(path, TASK)
        try:
            if file_digest(path / _ARRAYS) != facts["sha256"]:
                raise ValueError(f"the checksum of {_ARRAYS} differs")
            with np.load(path / _ARRAYS, allow_pickle=False) as arrays:
                parts = {name: arrays[name] for name in arrays.files}
            return cls._from_facts(facts, parts, _folder_reference(path, facts["name"], facts["digest"]))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, zipfile.BadZipFile) as error:
            raise InputError(
                f"the task in {str(folder)!r} is damaged or truncated ({type(error).__name__}: {error}), expected "
                f"{_DESCRIPTION} and {_ARRAYS} as they were saved; save the task again."
            ) from error

    @classmethod
    def _from_facts(
        cls, facts: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], reference: Mapping[str, Any]
    ) -> Task:
        shape = facts["image_shape"]
        return cls(
            name=facts["name"],
            metric=facts["metric"],
            train=Part(arrays["train_inputs"], arrays["train_targets"]),
            validation=Part(arrays["validation_inputs"], arrays["validation_targets"]),
            test=Part(arrays["test_inputs"], arrays["test_targets"]) if "test_inputs" in arrays else None,
            preprocessor=Preprocessor.from_dict(facts["preprocessor"]),
            target=TargetCoding.from_dict(facts["target"]),
            digest=facts["digest"],
            reference=reference,
            image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
            notes=tuple(facts["notes"]),
        )


def _folder_reference(folder: Path, name: str, digest: str) -> dict[str, Any]:
    return {"source": "folder", "name": name, "path": str(folder.absolute()), "digest": digest}


def load_task(
    name_or_path: str | Path, target: str | None = None, *, name: str | None = None, **options: Unpack[Options]
) -> Task:
    """The task of a built-in name, of a CSV or Parquet file, or of a folder that `Task.save` wrote.

    Args:
        name_or_path: A name of `BUILT_IN` or a path.
        target: The column to predict, for a file.
        name: What people call the task; the built-in's or the file's name where None.
        **options: As in `Recipe`.

    Raises:
        InputError: If there is no such name or file, or its data cannot be used.

    Examples:
        >>> load_task("iris")
        Task('iris', classification, metric='log_loss', rows=120+30+0, n_features=4, n_outputs=3)
    """
    text = str(name_or_path)
    recipe = Recipe(**options)
    if text in BUILT_IN and not (target and Path(text).exists()):
        return _built_in(text, name or text, target, recipe)
    if (Path(text) / _DESCRIPTION).is_file():
        return Task.load(text)
    if not Path(text).exists() and not Path(text).suffix and os.sep not in text:
        raise InputError(
            f"got the task {text!r}, expected a built-in name ({', '.join(BUILT_IN)}) or the path of a CSV or Parquet "
            f"file; {did_you_mean(text, BUILT_IN)}"
        )
    return _from_file(Path(text), target, name, recipe)


def task_from_reference(reference: Mapping[str, Any]) -> Task:
    """Makes the task again that has this reference.

    Raises:
        InputError: If its file or folder is not there, or holds other data than when the reference was written.
    """
    source, options = reference.get("source"), dict(reference.get("options", {}))
    if source == "folder":
        task = Task.load(reference["path"])
    elif source == "built-in":
        task = load_task(reference["data"], name=reference["name"], **options)
    elif source == "file":
        task = _from_file(Path(reference["path"]), reference["target"], reference["name"], Recipe(**options))
    else:
        raise InputError(
            f"got a task whose data are held in memory only (source {source!r}), expected one that others can read; "
            "write it with Task.save(folder) and use the task that it returns."
        )
    if task.digest != reference["digest"]:
        where = reference.get("path", reference.get("data"))
        raise InputError(
            f"the data of {where!r} are not those that the task {reference['name']!r} was made of (digest "
            f"{task.digest}, expected {reference['digest']}); put the old data back, or start a new study."
        )
    return task


def _from_file(path: Path, target: str | None, name: str | None, recipe: Recipe) -> Task:
    table = read_table(path)
    target = _find_target(table, target, str(path))
    name = name or path.name.split(".")[0]
    reference = {"source": "file", "path": str(path.absolute()), "target": target}
    return _from_table(table, target, name, recipe, reference)


def _find_target(table: Table, target: str | None, where: str) -> str:
    names = list(table.columns)
    if target is not None and target in table.columns:
        return target
    if target is None:
        raise InputError(
            f"got no target for {where!r}, expected one of its columns ({listed(names)}); name it (--target, or "
            "target= in Python)."
        )
    try:
        return names[int(target)]
    except (ValueError, IndexError):
        raise InputError(
            f"{where!r} has no column {target!r}, expected the target to be one of its columns; "
            f"the nearest names are {nearest(target, names)}."
        ) from None


def _from_table(table: Table, target: str, name: str, recipe: Recipe, reference: Mapping[str, Any]) -> Task:
    """The task of a table: its rows split, and its columns coded by what the training part holds."""
    target = _find_target(table, target, name)
    _check_ignored(recipe.ignore, table, name)
    table = without_row_numbers(table, (*recipe.ignore, target))
    features, column = table.without((*recipe.ignore, target)), table.columns[target]
    _check_size(len(table), name, recipe, features)
    coding, reading = fit_target(target, column, recipe.kind)
    strata = strata_of(column, coding, needed=3 if recipe.test_fraction else 2)
    rows = split(strata, recipe.seed, recipe.validation_fraction, recipe.test_fraction)
    coding = coding.standardised(column, rows[0]).doubted(len(rows[1]))
    preprocessor, decisions = fit_preprocessor(
        features, rows[0], max_levels=recipe.max_levels, shared_scale=recipe.image_shape is not None
    )
    inputs, _ = preprocessor.transform(features)
    targets = coding.encode(column)
    train, validation, test = (Part(inputs[part], targets[part]) for part in rows)
    metric = find_metric(recipe.metric, coding.kind, len(coding.classes)).name
    digest = _digest(table.digest, target, replace(recipe, kind=coding.kind, metric=metric))
    return Task(
        name=name,
        metric=metric,
        train=train,
        validation=validation,
        test=test if len(test) else None,
        preprocessor=preprocessor,
        target=coding,
        digest=digest,
        reference={**reference, "name": name, "options": recipe.to_dict(), "digest": digest},
        image_shape=recipe.image_shape,
        notes=(*table.notes, reading, *decisions, *_repetition(train, validation)),
    )


def _repetition(train: Part, validation: Part) -> list[str]:
    """A note where many validation rows were trained on, as copies: learning by heart looks like understanding then."""
    known = set(_rows_as_bytes(train))
    repeated = sum(row in known for row in _rows_as_bytes(validation))
    if repeated < _TOLD_IF_REPEATED * len(validation):
        return []
    return [
        f"{repeated} of the {len(validation)} validation rows are trained on too, as copies: values look better than "
        "they are on new rows; drop repeated rows."
    ]


def _rows_as_bytes(part: Part) -> Iterator[bytes]:
    return (row.tobytes() + target.tobytes() for row, target in zip(part.inputs, part.targets, strict=True))


def _with_truth_values(task: Task, targets: Iterable[object]) -> Task:
    """The task, its classes False and True where the targets are truth values: a table holds these as texts."""
    if task.classes != ("False", "True") or not all(isinstance(value, bool | np.bool_) for value in targets):
        return task
    return replace(task, target=replace(task.target, classes=(False, True)))


def _digest(table: str, target: str, recipe: Recipe) -> str:
    text = json.dumps([table, target, asdict(recipe)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _check_ignored(ignored: Sequence[str], table: Table, name: str) -> None:
    unknown = [column for column in ignored if column not in table.columns]
    if unknown:
        raise InputError(
            f"got the column {unknown[0]!r} to ignore, which {name!r} lacks; expected one of "
            f"{listed(list(table.columns))}: mend or drop it (--ignore, or ignore= in Python)."
        )


def _check_size(n_rows: int, name: str, recipe: Recipe, features: Table) -> None:
    if n_rows < _MIN_ROWS:
        raise InputError(f"{name!r} has {n_rows} rows, expected at least {_MIN_ROWS}; add rows.")
    if recipe.image_shape is not None and len(features.columns) != np.prod(recipe.image_shape):
        raise InputError(
            f"got images of the shape {recipe.image_shape}, which have {np.prod(recipe.image_shape)} pixels, and "
            f"{len(features.columns)} columns; expected a column a pixel: mend the shape (--image-shape, or "
            "image_shape= in Python)."
        )
    texts = [column for column, values in features.columns.items() if not is_numeric(values)]
    if recipe.image_shape is not None and texts:
        raise InputError(
            f"got images whose pixels {listed(texts)} are texts or truth values, expected numbers; write them as "
            "numbers, or leave the shape out."
        )
    empty = [column for column, values in features.columns.items() if missing(values).all()]
    if recipe.image_shape is not None and empty:
        raise InputError(
            f"got images whose pixels {listed(empty)} are missing in all of them, expected a value at least in one; "
            "fill them, with 0 for example."
        )


def _check_channels_first(shape: Sequence[int]) -> None:
    """Refuses images n x height x width x channels, which would be learnt as if their rows were channels."""
    if len(shape) == 4 and shape[3] in (1, 3, 4) and min(shape[1:3]) > 4:
        sizes = tuple(map(int, shape[1:]))
        raise InputError(
            f"got images of the shape {sizes}, which seem to be height x width x channels, expected channels x height "
            f"x width; pass X.transpose(0, 3, 1, 2), or image_shape={sizes} if the first are the channels."
        )


def _built_in(data: str, name: str, target: str | None, recipe: Recipe) -> Task:
    if target not in (None, BUILT_IN_TARGET):
        raise InputError(
            f"got the target {target!r} for the built-in task {data!r}, whose target is fixed; leave it out."
        )
    table, image_shape = built_in_table(data)
    if recipe.image_shape is None:
        recipe = replace(recipe, image_shape=image_shape)
    return _from_table(table, BUILT_IN_TARGET, name, recipe, {"source": "built-in", "data": data})
