"""LCBench's surrogate as benchmark tasks, with a small surrogate in its place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from automl.errors import InputError
from studies.benchmark import lcbench
from studies.benchmark.lcbench import LCBenchTask, lcbench_names, load_lcbench

# A part of YAHPO Gym's lcbench/config_space.json.
RANGES = [
    {"name": "OpenML_task_id", "type": "categorical", "choices": ["3945", "7593"]},
    {"name": "batch_size", "type": "uniform_int", "log": True, "lower": 16, "upper": 512},
    {"name": "learning_rate", "type": "uniform_float", "log": True, "lower": 1e-4, "upper": 1e-1},
    {"name": "max_dropout", "type": "uniform_float", "log": False, "lower": 0.0, "upper": 1.0},
    {"name": "max_units", "type": "uniform_int", "log": True, "lower": 64, "upper": 1024},
    {"name": "momentum", "type": "uniform_float", "log": False, "lower": 0.1, "upper": 0.99},
    {"name": "num_layers", "type": "uniform_int", "log": False, "lower": 1, "upper": 5},
    {"name": "weight_decay", "type": "uniform_float", "log": False, "lower": 1e-5, "upper": 0.1},
]


class Session:
    """Stands for the ONNX surrogate: accuracy falls with the dropout and the task's code."""

    def run(self, names: None, inputs: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        """Six outputs a row."""
        del names
        assert (inputs["x_cont"][:, 0] == 52).all()
        outputs = np.zeros((len(inputs["x_cont"]), 6), dtype=np.float32)
        outputs[:, 1] = 90 - 40 * inputs["x_cont"][:, 7] - inputs["x_cat"][:, 0]
        return [outputs]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config_space.json").write_text(json.dumps({"hyperparameters": RANGES}))
    (tmp_path / "encoding.json").write_text(json.dumps({"OpenML_task_id": {"3945": 34, "7593": 35}}))
    monkeypatch.setattr(lcbench, "_session", lambda _: Session())
    monkeypatch.setattr(lcbench, "_SAMPLE", 500)
    return tmp_path


def at_dropout(task: LCBenchTask, dropout: float) -> float:
    """The value of a configuration with that dropout."""
    assignment = task.space.encode(task.space.sample(np.random.default_rng(0)))
    return task.mean(task.space.decode({**assignment, "max_dropout": dropout}))


def test_tasks_are_named_in_the_order_of_the_folder(folder: Path) -> None:
    assert lcbench_names(folder) == ("lcbench/3945", "lcbench/7593")


def test_a_configuration_is_valued_by_the_surrogate_at_its_last_epoch(folder: Path) -> None:
    assert at_dropout(load_lcbench("lcbench/3945", folder), 0.25) == pytest.approx(90 - 10 - 34)
    assert at_dropout(load_lcbench("lcbench/7593", folder), 0.0) == pytest.approx(90 - 35)


def test_regret_is_zero_at_best_and_one_at_the_median(folder: Path) -> None:
    task = load_lcbench("lcbench/3945", folder)
    assert task.regret(at_dropout(task, 0.0)) == pytest.approx(0, abs=0.01)
    assert task.regret(at_dropout(task, 0.5)) == pytest.approx(1, abs=0.1)
    assert task.regret(1000.0) == 0


def test_an_unknown_task_is_answered_with_near_ones(folder: Path) -> None:
    with pytest.raises(InputError, match="got the task 'lcbench/39', expected one such as 'lcbench/3945'"):
        load_lcbench("lcbench/39", folder)


def test_a_folder_without_the_surrogate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"without config_space.json, expected a folder with model.onnx"):
        lcbench_names(tmp_path)
