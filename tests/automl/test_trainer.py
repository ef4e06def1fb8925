"""The shared trainer: learning, reproducibility, pruning, failures, and its flat weights against torch's own ways."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from automl.network import build_network, predict_outputs
from automl.observations import Candidate
from automl.parameters import Value
from automl.task import Part, Task, load_task
from automl.trainer import TrainerSettings, evaluate_candidate, train
from kernels.architecture import Architecture

MLP = Architecture(
    ("ip", "relu", "tanh", "softmax", "op"), (None, 32, 16, None, None), ((0, 1), (1, 2), (2, 3), (3, 4))
)
CNN = Architecture(
    ("ip", "conv3", "res3", "max-pool", "fc", "softmax", "op"),
    (None, 8, 8, None, 16, None, None),
    tuple((i, i + 1) for i in range(6)),
)
VALUES: dict[str, Value] = {
    "learning_rate": 5e-3,
    "weight_decay": 1e-4,
    "batch_size": 32,
    "dropout": 0.1,
    "optimizer": "adamw",
}
SHORT = TrainerSettings(max_epochs=5)


@pytest.fixture(scope="module")
def wine() -> Task:
    return load_task("wine")


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "rmsprop"])
def test_every_optimiser_learns_wine(wine: Task, optimizer: str) -> None:
    result = evaluate_candidate(Candidate(MLP, VALUES | {"optimizer": optimizer}), wine)
    evaluation = result.evaluation
    assert evaluation.status == "complete" and evaluation.value < 0.2 and evaluation.metrics["accuracy"] > 0.9
    assert evaluation.value == min(evaluation.curve) == evaluation.curve[evaluation.best_epoch - 1]
    assert evaluation.n_parameters == 13 * 32 + 32 + 32 * 16 + 16 + 16 * 3 + 3 and evaluation.seconds > 0


def test_a_regression_beats_the_mean_in_the_units_of_its_target() -> None:
    task = load_task("diabetes")
    result = evaluate_candidate(Candidate(MLP, VALUES), task).evaluation
    assert result.value == result.metrics["rmse"] and 40 < result.value < 65 and result.metrics["r2"] > 0.25


@pytest.mark.slow
def test_a_convolutional_network_learns_digits() -> None:
    task = load_task("digits")
    result = evaluate_candidate(Candidate(CNN, VALUES), task, settings=SHORT)
    assert result.evaluation.metrics["accuracy"] > 0.9


def test_a_metric_to_maximise_is_maximised() -> None:
    task = load_task("breast_cancer", metric="roc_auc")
    evaluation = evaluate_candidate(Candidate(MLP, VALUES), task, settings=SHORT).evaluation
    assert evaluation.value == max(evaluation.curve) > 0.95


def test_the_seed_fixes_the_result_to_the_bit(wine: Task) -> None:
    runs = [evaluate_candidate(Candidate(MLP, VALUES), wine, settings=SHORT, seed=seed) for seed in (3, 3, 4)]
    assert runs[0].evaluation.curve == runs[1].evaluation.curve != runs[2].evaluation.curve
    assert all(torch.equal(runs[0].state[name], tensor) for name, tensor in runs[1].state.items())


def test_the_weights_are_those_of_the_best_epoch_and_in_the_module(wine: Task) -> None:
    module = build_network(MLP, n_inputs=wine.n_features, n_outputs=3)
    result = train(module, wine, VALUES)
    outputs = predict_outputs(module, torch.tensor(wine.validation.inputs))
    assert wine.score(outputs, wine.validation) == pytest.approx(result.evaluation.value, rel=1e-5)
    assert all(torch.equal(result.state[name], tensor) for name, tensor in module.state_dict().items())
    pointers = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    assert len(pointers) == len(list(module.parameters()))


def test_the_buffers_of_batch_normalisation_are_those_of_the_best_epoch_too() -> None:
    images = np.random.default_rng(0).normal(size=(60, 4, 4))
    task = Task.from_arrays(images, np.arange(60) % 2)  # noise, so that an early epoch is the best
    module = build_network(CNN, n_inputs=16, n_outputs=2, image_shape=(1, 4, 4))
    settings = TrainerSettings(max_epochs=8, patience=8, schedule="constant")
    evaluation = train(module, task, VALUES | {"learning_rate": 0.03}, settings=settings).evaluation
    assert evaluation.best_epoch < evaluation.epochs
    outputs = predict_outputs(module, torch.tensor(task.validation.inputs))
    assert task.score(outputs, task.validation) == pytest.approx(evaluation.value, rel=1e-4)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "log_loss": F.cross_entropy,
    "rmse": lambda outputs, targets: F.mse_loss(outputs[:, 0], targets),
    "mae": lambda outputs, targets: F.l1_loss(outputs[:, 0], targets),
}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "metric"), [("wine", "log_loss"), ("diabetes", "rmse"), ("diabetes", "mae")])
def test_the_learning_curve_is_that_of_torchs_own_adamw_with_schedule_warmup_decay_and_clipping(
    data: str, metric: str
) -> None:
    task = load_task(data, metric=metric)
    settings = TrainerSettings(max_epochs=4, patience=4, warmup=0.4, gradient_clip=0.2)
    values: dict[str, Value] = {"learning_rate": 0.03, "weight_decay": 0.5, "batch_size": 64}
    networks = [build_network(MLP, n_inputs=task.n_features, n_outputs=task.n_outputs) for _ in range(2)]
    evaluation = train(networks[0], task, values, settings=settings, seed=3).evaluation
    assert evaluation.curve == pytest.approx(_curve_by_torch(networks[1], task, settings, seed=3), rel=1e-3)


def _curve_by_torch(network: nn.Module, task: Task, settings: TrainerSettings, seed: int) -> list[float]:
    """Learning rate 0.03, decay 0.5 of matrices alone, and as many rows a batch as leave eight batches."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": 0.5},
        {"params": [p for p in parameters if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups)
    inputs, targets = torch.tensor(task.train.inputs), torch.tensor(task.train.targets)
    generator, curve = torch.Generator().manual_seed(seed), []
    for epoch in range(settings.max_epochs):
        batches = torch.randperm(len(targets), generator=generator).split(min(64, len(targets) // 8))
        for step, rows in enumerate(batches):
            progress = (epoch + step / len(batches)) / settings.max_epochs
            for group in optimizer.param_groups:
                group["lr"] = 0.03 * 0.5 * (1 + math.cos(math.pi * progress)) * min(1, (progress + 0.01) / 0.41)
            optimizer.zero_grad()
            LOSSES[task.metric](network(inputs[rows]), targets[rows]).backward()
            nn.utils.clip_grad_norm_(parameters, 0.2)
            optimizer.step()
        curve.append(task.score(predict_outputs(network, torch.tensor(task.validation.inputs)), task.validation))
        network.train()
    return curve


def test_training_stops_early_without_progress(wine: Task) -> None:
    settings = TrainerSettings(max_epochs=200, patience=3, schedule="constant")
    evaluation = evaluate_candidate(Candidate(MLP, VALUES), wine, settings=settings).evaluation
    assert evaluation.epochs == evaluation.best_epoch + 3 < 200 and len(evaluation.curve) == evaluation.epochs


def test_the_report_sees_every_epoch_and_may_prune(wine: Task) -> None:
    seen: list[tuple[int, float]] = []

    def report(epoch: int, value: float) -> bool:
        seen.append((epoch, value))
        return epoch == 3

    result = evaluate_candidate(Candidate(MLP, VALUES), wine, report=report)
    assert result.evaluation.status == "pruned" and "epoch 3" in result.evaluation.reason
    assert tuple(value for _, value in seen) == result.evaluation.curve and [epoch for epoch, _ in seen] == [1, 2, 3]
    assert math.isfinite(result.evaluation.value) and result.state


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_divergence_is_a_failure_with_a_reason(wine: Task, optimizer: str) -> None:
    values = VALUES | {"learning_rate": 1e38, "optimizer": optimizer}
    result = evaluate_candidate(Candidate(MLP, values), wine)
    assert result.evaluation.status == "failed" and "diverged in epoch" in result.evaluation.reason
    assert math.isnan(result.evaluation.value) and not result.state and result.evaluation.n_parameters > 0


def test_a_loss_beyond_all_numbers_is_a_divergence_though_outputs_are_finite() -> None:
    task = load_task("diabetes")
    module = nn.Linear(task.n_features, 1)
    nn.init.constant_(module.bias, 1e25)  # its square is infinite in 32 bits
    evaluation = train(module, task, {"learning_rate": 0.0}, settings=SHORT).evaluation
    assert evaluation.status == "failed" and "diverged in epoch 1" in evaluation.reason


def test_a_metric_that_the_validation_part_leaves_undefined_is_a_failure_with_a_reason() -> None:
    task = load_task("diabetes", metric="r2")
    constant = Part(task.validation.inputs, np.zeros_like(task.validation.targets))
    evaluation = evaluate_candidate(Candidate(MLP, VALUES), dataclasses.replace(task, validation=constant)).evaluation
    assert evaluation.status == "failed" and "r2 is undefined on the validation part" in evaluation.reason


class _Greedy(nn.Module):
    """Fails as torch does where memory runs out."""

    def __init__(self, message: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3, 13))
        self.message = message

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError(self.message)


def test_lack_of_memory_is_a_failure_and_other_errors_are_not_hidden(wine: Task) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        message = (
            "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        )
        result = train(_Greedy(message), wine, VALUES)
        assert result.evaluation.status == "failed" and "out of memory" in result.evaluation.reason
        with pytest.raises(RuntimeError, match="mat1 and mat2"):
            train(_Greedy("mat1 and mat2 shapes cannot be multiplied"), wine, VALUES)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_network_beyond_all_memory_is_a_failure(wine: Task) -> None:
    huge = Architecture(MLP.labels, (None, 2, 2**46, None, None), MLP.edges)
    evaluation = evaluate_candidate(Candidate(huge, VALUES), wine).evaluation
    assert evaluation.status == "failed" and "out of memory" in evaluation.reason


def test_the_global_random_state_is_left_alone(wine: Task) -> None:
    state = torch.get_rng_state()
    evaluate_candidate(Candidate(MLP, VALUES), wine, settings=TrainerSettings(max_epochs=1))
    assert torch.equal(torch.get_rng_state(), state)


def test_a_last_batch_of_one_row_does_not_break_batch_normalisation() -> None:
    images = np.random.default_rng(0).normal(size=(51, 4, 4))
    task = Task.from_arrays(images, np.arange(51) % 2)
    assert len(task.train) % 8 == 1
    evaluation = evaluate_candidate(Candidate(CNN, VALUES | {"batch_size": 8}), task, settings=SHORT).evaluation
    assert evaluation.status == "complete"


def test_settings_go_through_json_and_refuse_nonsense() -> None:
    settings = TrainerSettings(max_epochs=7, gradient_clip=None, schedule="constant")
    assert TrainerSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    bad: list[dict[str, Any]] = [
        {"max_epochs": 0},
        {"patience": 0},
        {"schedule": "step"},
        {"warmup": 1.0},
        {"warmup": None},
        {"gradient_clip": "1"},
        {"gradient_clip": 0.0},
        {"n_threads": 0},
        {"max_batches": 7},
    ]
    for fields in bad:
        with pytest.raises(ValueError, match=f"got {next(iter(fields))}="):
            dataclasses.replace(settings, **fields)
    with pytest.raises(ValueError, match="epochs_max"):
        TrainerSettings.from_dict({"epochs_max": 3})


def test_large_tables_are_learnt_in_a_bounded_number_of_batches(wine: Task) -> None:
    few = dataclasses.replace(SHORT, min_batches=4, max_batches=5)
    small = evaluate_candidate(Candidate(MLP, VALUES | {"batch_size": 2}), wine, settings=few)
    asked = math.ceil(len(wine.train.inputs) / 5)
    large = evaluate_candidate(
        Candidate(MLP, VALUES | {"batch_size": asked}), wine, settings=dataclasses.replace(SHORT, min_batches=4)
    )
    assert small.evaluation.curve == large.evaluation.curve
    unbounded = evaluate_candidate(Candidate(MLP, VALUES | {"batch_size": 2}), wine, settings=SHORT)
    assert unbounded.evaluation.curve != large.evaluation.curve


def test_unknown_optimisers_and_bare_candidates_are_refused(wine: Task) -> None:
    with pytest.raises(ValueError, match="optimizer='adam'"):
        evaluate_candidate(Candidate(MLP, VALUES | {"optimizer": "adam"}), wine)
    with pytest.raises(ValueError, match="batch_size=0"):
        evaluate_candidate(Candidate(MLP, VALUES | {"batch_size": 0}), wine)
    with pytest.raises(ValueError, match="without an architecture"):
        evaluate_candidate(Candidate(None, VALUES), wine)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_epochs": 2.5}, "got max_epochs=2.5, expected a whole number"),
        ({"n_threads": "2"}, "got n_threads='2', expected a whole number"),
        ({"patience": True}, "got patience=True, expected a whole number"),
        ({"device": "foo"}, "got device='foo', expected 'auto' or a device that torch knows"),
        ({"device": 0}, "got device=0, expected 'auto' or a device that torch knows"),
    ],
)
def test_settings_that_would_fail_every_training_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainerSettings(**fields)


def test_settings_take_the_whole_numbers_of_numpy_as_plain_ones() -> None:
    settings = TrainerSettings(max_epochs=np.int64(3))  # type: ignore[arg-type]  # as NumPy's users write
    assert json.loads(json.dumps(settings.to_dict()))["max_epochs"] == 3


@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
def test_negative_rates_are_refused(wine: Task, name: str) -> None:
    with pytest.raises(ValueError, match=f"got {name}=-0.1, expected 0 or more"):
        train(nn.Linear(wine.n_features, wine.n_outputs), wine, {name: -0.1})


@pytest.mark.parametrize("n_outputs", [1, 2, 4])
def test_a_module_with_other_outputs_than_the_task_is_refused(wine: Task, n_outputs: int) -> None:
    with pytest.raises(ValueError, match=rf"of shape \(2, {n_outputs}\), expected \(2, 3\)"):
        train(nn.Linear(wine.n_features, n_outputs), wine, {})


def test_a_module_that_gives_no_tensor_or_a_row_of_values_is_refused(wine: Task) -> None:
    with pytest.raises(ValueError, match="are of shape tuple"):
        train(nn.LSTM(wine.n_features, 3), wine, {})
    with pytest.raises(ValueError, match=r"are of shape \(6,\)"):
        train(nn.Sequential(nn.Linear(wine.n_features, 3), nn.Flatten(0)), wine, {})


def test_a_module_without_weights_to_train_is_refused(wine: Task) -> None:
    for module in (nn.Identity(), nn.Linear(wine.n_features, 3).requires_grad_(False)):
        with pytest.raises(ValueError, match="got a module without weights to train"):
            train(module, wine, {})
