"""LCBench's surrogate in YAHPO Gym as benchmark tasks (Zimmer et al. 2021; Pfisterer et al. 2022): 34 OpenML tasks.

Seven hyperparameters of a multilayer perceptron; the value is the validation accuracy after 52 epochs as the surrogate
predicts it, without noise. The folder holds YAHPO's `model.onnx`, `encoding.json` and `config_space.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from automl.data.metrics import Direction
from automl.errors import InputError, nearest
from automl.observations import Candidate
from automl.parameters import Float, Int, Parameter
from automl.spaces.flat import FlatSpace

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_INPUTS: Final = (
    "batch_size",
    "learning_rate",
    "momentum",
    "weight_decay",
    "num_layers",
    "max_units",
    "max_dropout",
)
_TASK: Final = "OpenML_task_id"
_VALIDATION_ACCURACY: Final = 1  # Column of the surrogate's outputs.
_EPOCHS: Final = 52
_SAMPLE, _ROUNDS, _PARENTS = 10_000, 4, 100


@dataclass(frozen=True, eq=False)
class LCBenchTask:
    """One OpenML task of the surrogate, with the methods of `studies.benchmark.tables.Table` that a benchmark asks for.

    Args:
        name: "lcbench/" and the OpenML task's number.
        space: The seven hyperparameters.
        session: The surrogate.
        code: The task as the surrogate encodes it.
    """

    name: str
    space: FlatSpace
    session: InferenceSession
    code: int
    direction: Direction = "maximize"
    unit: str = "the distance from the best to the median validation accuracy"
    noisy: bool = False
    notes: tuple[str, ...] = ()
    digest: str = ""

    def evaluate(self, candidate: Candidate, generator: np.random.Generator) -> float:
        """The candidate's validation accuracy in percent."""
        del generator
        return self.mean(candidate)

    def mean(self, candidate: Candidate) -> float:
        """The candidate's validation accuracy in percent."""
        return float(self._values([candidate])[0])

    def test_value(self, candidate: Candidate) -> float | None:
        """None: the surrogate predicts no test accuracy."""
        del candidate
        return None

    def loss(self, value: float) -> float:
        """The value as a loss."""
        return -value

    def regret(self, value: float) -> float:
        """Distance to the best known value over that of the median random configuration."""
        best, median = self._landmarks
        return max(best - value, 0.0) / (best - median)

    def _values(self, candidates: Sequence[Candidate]) -> NDArray[np.float64]:
        rows = [[_EPOCHS, *(c.hyperparameters[name] for name in _INPUTS)] for c in candidates]
        inputs = {
            "x_cat": np.full((len(rows), 1), self.code, dtype=np.int32),
            "x_cont": np.array(rows, dtype=np.float32),
        }
        outputs = np.asarray(self.session.run(None, inputs)[0], dtype=np.float64)
        return outputs[:, _VALIDATION_ACCURACY]

    @cached_property
    def _landmarks(self) -> tuple[float, float]:
        """The best value that a long search finds, and the median of a random sample: both the same on every run."""
        generator = np.random.default_rng(0)
        candidates = [self.space.sample(generator) for _ in range(_SAMPLE)]
        values = self._values(candidates)
        median, best = float(np.median(values)), values
        for _ in range(_ROUNDS):
            parents = [candidates[i] for i in np.argsort(-best)[:_PARENTS]]
            candidates = [*parents, *(self.space.mutate(p, generator) for p in parents for _ in range(20))]
            best = self._values(candidates)
        return float(best.max()), median


def lcbench_names(folder: Path) -> tuple[str, ...]:
    """Names of the tasks in the order of the folder's list; raises InputError as `load_lcbench` does."""
    return tuple(f"lcbench/{task}" for task in _ranges(folder)[_TASK]["choices"])


@lru_cache(maxsize=64)
def load_lcbench(name: str, folder: Path) -> LCBenchTask:
    """Loads a task of the surrogate.

    Args:
        name: A name of `lcbench_names`.
        folder: Holds YAHPO's `model.onnx`, `encoding.json` and `config_space.json`.

    Raises:
        InputError: If a file or the package onnxruntime is missing, or the task is unknown.
    """
    names = lcbench_names(folder)
    if name not in names:
        raise InputError(f"got the task {name!r}, expected one such as {nearest(name, names)}.")
    codes = _read(folder, "encoding.json")[_TASK]
    ranges = _ranges(folder)
    space = FlatSpace({parameter: _parameter(ranges[parameter]) for parameter in _INPUTS})
    return LCBenchTask(name, space, _session(folder), int(codes[name.partition("/")[2]]))


@lru_cache(maxsize=2)
def _session(folder: Path) -> InferenceSession:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        raise InputError(
            "got an LCBench task, for which the package 'onnxruntime' is missing; "
            "run pip install 'automl-studies[benchmarks]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(folder / "model.onnx"), options)


def _ranges(folder: Path) -> dict[str, dict[str, Any]]:
    return {entry["name"]: entry for entry in _read(folder, "config_space.json")["hyperparameters"]}


def _read(folder: Path, file: str) -> Any:
    path = folder / file
    if not path.is_file():
        raise InputError(
            f"got {str(folder)!r} without {file}, expected a folder with model.onnx, encoding.json and "
            "config_space.json of YAHPO Gym's lcbench; pass it with --lcbench."
        )
    return json.loads(path.read_text(encoding="utf-8"))


def _parameter(entry: dict[str, Any]) -> Parameter:
    if entry["type"] == "uniform_int":
        return Int(entry["lower"], entry["upper"], entry["log"])
    return Float(entry["lower"], entry["upper"], entry["log"])
