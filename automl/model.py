"""Model: what the user takes home. Preprocessing, network and weights in one; predicts, scores, saves and loads.

A saved model is a folder of two files, `model.safetensors` and `model.json`: no pickle, so that loading one runs no
code of others. Loading and predicting need torch and NumPy alone (pandas only to read a file).
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from automl.data.metrics import find_metric
from automl.data.preprocessing import Preprocessor
from automl.data.table_files import read_table
from automl.data.tables import Table, as_array, as_column, as_table
from automl.data.targets import TargetCoding
from automl.errors import InputError
from automl.folders import MODEL, file_digest, read_described, write_described, written_whole
from automl.network import assemble, predict_outputs
from automl.observations import Candidate, Evaluation
from automl.torch_threads import limited_threads

if TYPE_CHECKING:
    from automl.data.recipe import ImageShape
    from automl.task import Task
    from automl.trainer import TrainingResult

_DESCRIPTION, _WEIGHTS = MODEL.files


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network with the preprocessing of its task.

    Args:
        candidate: Its architecture and the hyperparameters it was trained with.
        preprocessor: How tables become inputs.
        target: How outputs become predictions.
        state: The network's weights by name.
        task_name: Name of the task it was trained on.
        task_digest: Digest of that task.
        metric: Name of the metric it was chosen by.
        image_shape: Channels, height, width where rows are images; else None.
        evaluation: What its training was worth.
    """

    candidate: Candidate
    preprocessor: Preprocessor
    target: TargetCoding
    state: Mapping[str, Tensor]
    task_name: str
    task_digest: str
    metric: str
    image_shape: ImageShape | None
    evaluation: Evaluation

    @classmethod
    def from_training(cls, task: Task, candidate: Candidate, result: TrainingResult) -> Model:
        """The model that a training of a candidate on a task made.

        Raises:
            ValueError: If the training failed.
        """
        if not result.state:
            raise ValueError(f"got a training that failed ({result.evaluation.reason}), expected weights; train again.")
        return cls(
            candidate=candidate,
            preprocessor=task.preprocessor,
            target=task.target,
            state=dict(result.state),
            task_name=task.name,
            task_digest=task.digest,
            metric=task.metric,
            image_shape=task.image_shape,
            evaluation=result.evaluation,
        )

    def __repr__(self) -> str:
        return f"Model({self.task_name!r}, {self.target.kind}, {self.metric}={self.evaluation.value:.6g})"

    @cached_property
    def module(self) -> nn.Module:
        """The network, in evaluation mode: rows [n, n_inputs] -> outputs [n, n_outputs]."""
        if self.candidate.architecture is None:
            raise ValueError("got a model without an architecture, expected a layer graph; train a network.")
        with torch.device("meta"):  # no memory and no random numbers for weights that are replaced at once
            module = assemble(
                self.candidate.architecture,
                n_inputs=self.preprocessor.n_features,
                n_outputs=self.target.n_outputs,
                image_shape=self.image_shape,
            )
        # Clones, since matrix products may round otherwise where memory is aligned otherwise, as in a mapped file.
        module.load_state_dict({name: tensor.clone() for name, tensor in self.state.items()}, assign=True)
        return module.eval()

    def predict(self, data: object, *, notes: list[str] | None = None) -> NDArray[Any]:
        """Predictions [n]: class labels, or values in the target's units.

        Args:
            data: A data frame, a mapping of columns, a list of rows as mappings, an array of rows x columns or of
                images, a `Table`, or the path of a CSV or Parquet file. Columns that were not trained on are ignored.
            notes: Takes what is told of columns unlike those of training, such as unseen levels and numbers far away;
                without it they are warnings.

        Raises:
            InputError: If the data lack a column, or hold values that cannot be read.
        """
        predictions = self._predictions(self._table(data), notes)
        return predictions if self.target.kind == "regression" else self.target.labels(predictions)

    def predict_proba(self, data: object, *, notes: list[str] | None = None) -> NDArray[np.float64]:
        """Probabilities [n, classes], in the order of `target.classes`; arguments and errors as in `predict`.

        Raises:
            InputError: As `predict`, and if the model is a regression.
        """
        if self.target.kind == "regression":
            raise InputError(
                "got a regression model, which has no probabilities, expected a classifier; use predict, on "
                "the command line without --proba."
            )
        return self._predictions(self._table(data), notes)

    def score(
        self, data: object, y: object = None, *, metric: str | None = None, notes: list[str] | None = None
    ) -> float:
        """A metric of the predictions, in its own units and direction.

        Args:
            data: As in `predict`.
            y: True targets [n]; the column of the target's name in `data` where None.
            metric: Name of the metric; the one that the model was chosen by where None.
            notes: As in `predict`.

        Raises:
            InputError: As `predict`, and if the targets are missing or the metric does not apply.
        """
        judge = find_metric(metric or self.metric, self.target.kind, len(self.target.classes))
        table = self._table(data)
        if y is None and self.target.name not in table.columns:
            raise InputError(f"the data lack the target {self.target.name!r}, expected it beside the inputs; add it.")
        column = table.columns[self.target.name] if y is None else as_column(y)
        if not len(table):
            raise InputError("got no rows, expected at least one to judge by; add rows.")
        if len(column) != len(table):
            raise InputError(f"got {len(table)} rows and {len(column)} targets, expected as many; cut or fill.")
        targets: NDArray[Any] = self.target.encode(column)
        if self.target.kind == "regression":
            targets = self.target.decode(targets.astype(np.float64)[:, None])
        return judge.function(targets, self._predictions(table, notes))

    def _table(self, data: object) -> Table:
        if isinstance(data, str | Path):
            return read_table(data, text_columns=[levels.name for levels in self.preprocessor.texts])
        if self.image_shape is not None:
            _check_images(data, self.image_shape)
        return as_table(data, self.preprocessor.columns)

    def _predictions(self, table: Table, notes: list[str] | None) -> NDArray[np.float64]:
        inputs, remarks = self.preprocessor.transform(table)
        if notes is None:
            for remark in remarks:
                warnings.warn(remark, stacklevel=3)
        else:
            notes.extend(remarks)
        return self.target.decode(self.outputs(inputs))

    def outputs(self, inputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's outputs [n, n_outputs] for rows of a task's part, preprocessed already [n, n_features]."""
        rows = torch.from_numpy(inputs).clone()  # aligned as torch does it, see `module`
        with limited_threads(1):  # so that a number of cores never changes a bit of a prediction
            return predict_outputs(self.module, rows)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Writes the model as a folder, whole or not at all; a model that is there already is replaced.

        Returns:
            The folder.

        Raises:
            InputError: If `folder` exists and is no model's, or cannot be written.
        """
        with written_whole(folder, MODEL) as fresh:
            weights = save({name: tensor.contiguous() for name, tensor in self.state.items()})
            (fresh / _WEIGHTS).write_bytes(weights)  # whose errors, unlike those of save_file, are the system's
            write_described(fresh, MODEL, {**self._facts(), "sha256": file_digest(fresh / _WEIGHTS)})
        return Path(folder)

    def _facts(self) -> dict[str, Any]:
        return {
            "task": {"name": self.task_name, "digest": self.task_digest},
            "metric": self.metric,
            "evaluation": {**asdict(self.evaluation), "metrics": dict(self.evaluation.metrics)},
            "candidate": self.candidate.to_dict(),
            "image_shape": self.image_shape,
            "target": self.target.to_dict(),
            "preprocessor": self.preprocessor.to_dict(),
        }

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Model:
        """The model that `save` wrote, predicting the same to the bit.

        Raises:
            InputError: If the folder is missing, truncated, damaged, or from a newer version.
        """
        path = Path(folder)
        facts = read_described(path, MODEL)
        weights = path / _WEIGHTS
        try:
            if file_digest(weights) != facts["sha256"]:
                raise ValueError("its checksum differs from the one in model.json")
            model = cls._from_facts(facts, load_file(weights))
            _ = model.module  # here, so that a description which does not fit the weights is told here too
            return model
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
            reason = " ".join(str(error).split())
            raise InputError(
                f"the model in {str(folder)!r} is damaged or truncated ({type(error).__name__}: {reason}), expected "
                f"{_DESCRIPTION} and {_WEIGHTS} as they were saved; save or copy it again."
            ) from error

    @classmethod
    def _from_facts(cls, facts: Mapping[str, Any], state: Mapping[str, Tensor]) -> Model:
        shape, evaluation = facts["image_shape"], Evaluation(**facts["evaluation"])
        return cls(
            candidate=Candidate.from_dict(facts["candidate"]),
            preprocessor=Preprocessor.from_dict(facts["preprocessor"]),
            target=TargetCoding.from_dict(facts["target"]),
            state=state,
            task_name=facts["task"]["name"],
            task_digest=facts["task"]["digest"],
            metric=facts["metric"],
            image_shape=None if shape is None else (shape[0], shape[1], shape[2]),
            evaluation=replace(evaluation, curve=tuple(evaluation.curve)),
        )


def _check_images(data: object, shape: ImageShape) -> None:
    """Refuses arrays that are neither images of that shape nor rows of as many pixels, such as channels last."""
    sizes = as_array(data).shape[1:] if isinstance(data, list | tuple) else tuple(getattr(data, "shape", ()))[1:]
    expected = [shape, (math.prod(shape),), *([shape[1:]] if shape[0] == 1 else [])]
    if sizes and not hasattr(data, "columns") and sizes not in expected:
        got, trained = (" x ".join(map(str, sides)) for sides in (sizes, shape))
        raise InputError(
            f"got images of the shape {got}, expected {trained} (channels, height, width) as trained on; put the "
            "channels first, resize them, or pass a single image as [image]."
        )
