"""The shared trainer: (module, task, hyperparameters, report) -> Evaluation and the weights of the best epoch.

Small networks spend their time between operations rather than in them. So the data live on the device as tensors and
are shuffled once an epoch, all weights lie in one flat buffer that a fused optimiser updates at once, gradients of
dense networks are written out, and nothing waits for the device within an epoch. On a CPU a seed fixes the result to
the bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from numbers import Real
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from automl.costs import n_parameters
from automl.dense_gradients import DenseGradients, LossName, loss_and_gradient
from automl.flat_weights import FlatWeights, optimizer_step
from automl.network import LayerGraph, build_network, predict_outputs
from automl.observations import Candidate, Evaluation
from automl.parameters import Value
from automl.task import Part, Task
from automl.torch_threads import limited_threads

Report = Callable[[int, float], bool]
"""Told the epoch, from 1, and the task's metric on the validation part after it; answers whether to stop (prune)."""

Schedule = Literal["cosine", "constant"]

_MIN_BATCH_SIZE = 8
_DEFAULTS: Mapping[str, Value] = {
    "learning_rate": 1e-3,
    "weight_decay": 1e-4,
    "batch_size": 64,
    "optimizer": "adamw",
    "dropout": 0.0,
}


@dataclass(frozen=True)
class TrainerSettings:
    """What is the same for every candidate of a study.

    Args:
        max_epochs: Most epochs to train.
        patience: Epochs without a better validation metric after which to stop.
        schedule: "cosine" decay of the learning rate to zero over `max_epochs`, or "constant".
        warmup: Share of all steps in which the learning rate rises linearly to its value.
        gradient_clip: Largest Euclidean norm of a step's gradient; None not to clip.
        min_batches: Batches that every epoch has at least: in small tables they are smaller than `batch_size` asks.
        max_batches: Batches that every epoch has at most: in large tables they are larger than `batch_size` asks, so
            that the time of a training grows less with the table.
        device: "auto" (a GPU that CUDA sees, else the CPU), or any name that torch knows.
        n_threads: Threads of the CPU; more than one may change the last bits of a result.

    Raises:
        ValueError: If a field is out of range.
    """

    max_epochs: int = 40
    patience: int = 12
    schedule: Schedule = "cosine"
    warmup: float = 0.05
    gradient_clip: float | None = 1.0
    min_batches: int = 8
    max_batches: int = 1000
    device: str = "auto"
    n_threads: int = 1

    def __post_init__(self) -> None:
        for name in ("max_epochs", "patience", "min_batches", "max_batches", "n_threads"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool):
                raise ValueError(f"got {name}={value!r}, expected a whole number; round it.")
            if value < 1:
                raise ValueError(f"got {name}={value}, expected 1 or more; raise it.")
            object.__setattr__(self, name, int(value))
        for name in ("warmup", "gradient_clip"):
            value = getattr(self, name)
            if not isinstance(value, Real) and not (name == "gradient_clip" and value is None):
                raise ValueError(f"got {name}={value!r}, expected a number; write one.")
        if self.max_batches < self.min_batches:
            raise ValueError(
                f"got max_batches={self.max_batches} below min_batches={self.min_batches}, expected as many at least; "
                "raise it."
            )
        if self.schedule not in ("cosine", "constant"):
            raise ValueError(f"got schedule={self.schedule!r}, expected 'cosine' or 'constant'; choose one of these.")
        if not 0.0 <= self.warmup < 1.0:
            raise ValueError(f"got warmup={self.warmup}, expected a share from 0 to below 1; lower it.")
        if self.gradient_clip is not None and not self.gradient_clip > 0.0:
            raise ValueError(f"got gradient_clip={self.gradient_clip}, expected a positive norm or None; raise it.")
        if not _is_device(self.device):
            raise ValueError(
                f"got device={self.device!r}, expected 'auto' or a device that torch knows; "
                "'cpu', 'cuda' and 'cuda:1' are such names."
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-ready fields."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainerSettings:
        """The inverse of `to_dict`; fields that are absent take their defaults.

        Raises:
            ValueError: If a field is unknown or out of range.
        """
        known = {setting.name for setting in fields(cls)}
        unknown = set(values) - known
        if unknown:
            raise ValueError(f"got the settings {sorted(unknown)}, expected some of {sorted(known)}; remove or rename.")
        return cls(**values)


@dataclass(frozen=True, eq=False)
class TrainingResult:
    """What a training was worth, and the weights of its best epoch on the CPU, by name (empty where it failed)."""

    evaluation: Evaluation
    state: Mapping[str, Tensor] = field(default_factory=dict)


def evaluate_candidate(
    candidate: Candidate,
    task: Task,
    *,
    settings: TrainerSettings | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> TrainingResult:
    """Builds and trains the network of a candidate: `build_network`, then `train`.

    Args:
        candidate: With an architecture.
        task: What to train on.
        settings: The trainer's settings; the defaults where None.
        seed: Seed of the weights, batches and dropout; see `train` on threads.
        report: Told of every epoch; may stop the training.

    Raises:
        ValueError: If the candidate has no architecture or its network does not fit the task.
    """
    if candidate.architecture is None:
        raise ValueError("got a candidate without an architecture, expected one to train; use a space of networks.")
    started = time.perf_counter()
    try:
        module = build_network(
            candidate.architecture,
            n_inputs=task.n_features,
            n_outputs=task.n_outputs,
            image_shape=task.image_shape,
            dropout=float(candidate.hyperparameters.get("dropout", _DEFAULTS["dropout"])),
            seed=seed,
        )
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        return TrainingResult(_failure("out of memory while building the network", started))
    return train(module, task, candidate.hyperparameters, settings=settings, seed=seed, report=report)


def train(
    module: nn.Module,
    task: Task,
    hyperparameters: Mapping[str, Value],
    *,
    settings: TrainerSettings | None = None,
    seed: int = 0,
    report: Report | None = None,
) -> TrainingResult:
    """Trains a module on a task's training part and judges it on the validation part after every epoch.

    Args:
        module: Takes rows `[n, n_features]`, gives `[n, n_outputs]`; afterwards it holds the best epoch's weights.
        task: What to train on.
        hyperparameters: `learning_rate`, `weight_decay`, `batch_size` and `optimizer` ("adamw", "sgd", "rmsprop"), each
            with a default; others are left to whoever built the module.
        settings: The trainer's settings; the defaults where None.
        seed: Seed of the batches and of dropout; the global random state is left as it was. That state is the
            process's: trainings in several of its threads at once draw from each other's, and do not repeat.
        report: Told of every epoch; may stop the training.

    Returns:
        The evaluation and the weights. Divergence and lack of memory are evaluations with the status "failed", no
        exceptions.

    Raises:
        ValueError: If the optimiser is unknown, a hyperparameter out of range, or the module has nothing to train or
            other outputs than the task.
    """
    settings = settings or TrainerSettings()
    device = _device(settings.device)
    started = time.perf_counter()
    devices = [device] if device.type == "cuda" else []
    with limited_threads(settings.n_threads), torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        try:
            run = _Run(module, task, {**_DEFAULTS, **hyperparameters}, settings, device, seed)
            status, reason = run.epochs(report)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
            return TrainingResult(_failure("out of memory while training", started, n_parameters(module)))
        if status == "failed":
            return TrainingResult(_failure(reason, started, n_parameters(module), tuple(run.curve)))
        return run.result(status, reason, started)


class _Run:
    """One training: the data on the device, the flat weights and their optimiser, and the best epoch so far."""

    def __init__(
        self,
        module: nn.Module,
        task: Task,
        hyperparameters: Mapping[str, Value],
        settings: TrainerSettings,
        device: torch.device,
        seed: int,
    ) -> None:
        self.module = module.to(device)
        self.task = task
        self.settings = settings
        self.inputs, self.targets = _tensors(task.train, device)
        self.validation_inputs, _ = _tensors(task.validation, device)
        _check_module(self.module, self.inputs, task.n_outputs)
        self.weights = FlatWeights(self.module)
        self.loss_gradients = _loss_gradients(self.module, self.weights, _loss(task))
        self.learning_rate = _rate("learning_rate", hyperparameters)
        self.weight_decay = _rate("weight_decay", hyperparameters)
        self.step = optimizer_step(self.weights, str(hyperparameters["optimizer"]))
        self.batch_size = _batch_size(int(hyperparameters["batch_size"]), len(self.targets), settings)
        self.generator = torch.Generator().manual_seed(seed)
        self.curve: list[float] = []
        self.best_epoch = 0
        self.best_value = math.nan
        self.best_outputs: NDArray[np.float32] = np.empty((0, task.n_outputs), np.float32)
        self.best_state: list[Tensor] = []

    def epochs(self, report: Report | None) -> tuple[Literal["complete", "pruned", "failed"], str]:
        """Trains until the settings, a lack of progress, the report or a divergence ends it."""
        for epoch in range(1, self.settings.max_epochs + 1):
            mean_loss = self._epoch(epoch)
            outputs = predict_outputs(self.module, self.validation_inputs)
            if not (math.isfinite(mean_loss) and np.isfinite(outputs).all()):
                return "failed", f"diverged in epoch {epoch}: its loss or outputs were not finite"
            value = self.task.score(outputs, self.task.validation)
            if math.isnan(value):
                return "failed", f"{self.task.metric} is undefined on the validation part: its targets are all the same"
            self.curve.append(value)
            if self.task.judge.better(value, self.best_value):
                self.best_epoch, self.best_value, self.best_outputs = epoch, value, outputs
                self.best_state = [tensor.clone() for tensor in self._tensors()]
            if report is not None and report(epoch, value):
                return "pruned", f"stopped by the pruner after epoch {epoch}"
            if epoch - self.best_epoch >= self.settings.patience:
                break
        return "complete", ""

    def _epoch(self, epoch: int) -> float:
        """One pass over the training part in a new order; the mean loss of its batches."""
        order = torch.randperm(len(self.targets), generator=self.generator).to(self.inputs.device)
        inputs, targets = self.inputs[order].split(self.batch_size), self.targets[order].split(self.batch_size)
        n_batches = len(targets) - (len(targets) > 1 and len(targets[-1]) == 1)  # batch normalisation needs two rows
        total = torch.zeros((), device=self.inputs.device)
        self.module.train()
        for step in range(n_batches):
            rate = self._learning_rate((epoch - 1 + step / n_batches) / self.settings.max_epochs)
            total += self.loss_gradients(inputs[step], targets[step])
            if self.weight_decay:
                self.weights.decay(rate * self.weight_decay)
            self.step(rate, self.weights.excess(self.settings.gradient_clip))
        return float(total) / n_batches

    def _learning_rate(self, progress: float) -> float:
        """The learning rate after a share of the whole training, in [0, 1)."""
        rate = self.learning_rate
        if progress < self.settings.warmup:
            rate *= (progress + 0.01) / (self.settings.warmup + 0.01)
        if self.settings.schedule == "cosine":
            rate *= 0.5 * (1.0 + math.cos(math.pi * progress))
        return rate

    def _tensors(self) -> list[Tensor]:
        """All that a network is made of once trained: its flat weights and its buffers."""
        return [self.weights.flat, *self.module.buffers()]

    def result(self, status: Literal["complete", "pruned"], reason: str, started: float) -> TrainingResult:
        """Puts the best epoch's weights back, and tells what they were worth."""
        with torch.no_grad():
            for tensor, best in zip(self._tensors(), self.best_state, strict=True):
                tensor.copy_(best)
        self.weights.release()
        evaluation = Evaluation(
            status=status,
            value=self.best_value,
            metrics=self.task.scores(self.best_outputs, self.task.validation),
            curve=tuple(self.curve),
            best_epoch=self.best_epoch,
            epochs=len(self.curve),
            seconds=time.perf_counter() - started,
            n_parameters=n_parameters(self.module),
            reason=reason,
        )
        state = {name: tensor.detach().cpu().clone() for name, tensor in self.module.state_dict().items()}
        return TrainingResult(evaluation, state)


def _is_device(name: object) -> bool:
    """Whether torch knows the name; another machine may have the device where this one has not."""
    if not isinstance(name, str):
        return False
    try:
        _device(name)
    except RuntimeError:
        return False
    return True


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _tensors(part: Part, device: torch.device) -> tuple[Tensor, Tensor]:
    # Copies, since NumPy aligns memory by chance and the last bits of a matrix product depend on it.
    return torch.tensor(part.inputs, device=device), torch.tensor(part.targets, device=device)


def _loss(task: Task) -> LossName:
    """The loss that stands for the task's metric."""
    if task.kind == "classification":
        return "cross_entropy"
    return "l1" if task.metric == "mae" else "mse"


def _loss_gradients(module: nn.Module, weights: FlatWeights, loss: LossName) -> Callable[[Tensor, Tensor], Tensor]:
    """What gives the mean loss of a batch and leaves its gradient in the weights: written out where it can be."""
    if isinstance(module, LayerGraph) and DenseGradients.applies(module):
        return torch.no_grad()(DenseGradients(module, loss))

    def recorded(inputs: Tensor, targets: Tensor) -> Tensor:
        outputs = module(inputs)
        value, gradient = loss_and_gradient(loss, outputs.detach(), targets)
        weights.gradient.zero_()
        outputs.backward(gradient)
        return value

    return recorded


def _batch_size(wanted: int, n_rows: int, settings: TrainerSettings) -> int:
    if wanted < 1:
        raise ValueError(f"got batch_size={wanted}, expected 1 or more; raise it.")
    smallest = max(wanted, math.ceil(n_rows / settings.max_batches))
    return min(smallest, max(_MIN_BATCH_SIZE, n_rows // settings.min_batches))


def _rate(name: str, hyperparameters: Mapping[str, Value]) -> float:
    rate = float(hyperparameters[name])
    if rate < 0.0:
        raise ValueError(f"got {name}={rate}, expected 0 or more; raise it.")
    return rate


def _check_module(module: nn.Module, inputs: Tensor, n_outputs: int) -> None:
    """Refuses what would train on something else than the task's targets: outputs too many are no error to torch."""
    if not any(parameter.requires_grad for parameter in module.parameters()):
        raise ValueError("got a module without weights to train, expected some; set requires_grad where it is not.")
    rows = inputs[:2]
    module.eval()
    with torch.no_grad():
        outputs = module(rows)
    if not isinstance(outputs, Tensor) or outputs.shape != (len(rows), n_outputs):
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(
            f"got a module whose outputs for {len(rows)} rows are of shape {shape}, "
            f"expected {(len(rows), n_outputs)}; end it in the task's n_outputs."
        )


def _is_out_of_memory(error: Exception) -> bool:
    text = str(error).lower()
    return (
        isinstance(error, MemoryError | torch.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text
    )


def _failure(reason: str, started: float, n_parameters: int = 0, curve: tuple[float, ...] = ()) -> Evaluation:
    return Evaluation(
        status="failed",
        value=math.nan,
        metrics={},
        curve=curve,
        best_epoch=0,
        epochs=len(curve),
        seconds=time.perf_counter() - started,
        n_parameters=n_parameters,
        reason=reason,
    )
