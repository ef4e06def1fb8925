"""Steps per second of the trainer against a plain PyTorch loop: `python -m tests.benchmarks.trainer`.

The plain loop is the one of the tutorials: a shuffling DataLoader over a TensorDataset, torch.optim.Adam as it comes,
validation in one batch after every epoch. Both train the same networks from the same weights, with the same batch
size, learning rate and epochs, on one thread, and take turns so that other load meets both alike. Ratios are given by
the clock and by the CPU time of the process, which a loaded machine distorts less. Three networks are given, of small,
middle and large size, and the last line is of networks drawn from `MLPSpace()`, which is what studies train.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from automl.network import build_network
from automl.parameters import Value
from automl.spaces.mlp import MLPSpace
from automl.task import Task, load_task
from automl.torch_threads import limited_threads
from automl.trainer import TrainerSettings, train
from kernels.architecture import Architecture

BATCH_SIZE = 64
LEARNING_RATE = 3e-3
NETWORKS = {
    "2 x 64": Architecture(
        ("ip", "relu", "relu", "softmax", "op"), (None, 64, 64, None, None), ((0, 1), (1, 2), (2, 3), (3, 4))
    ),
    "4 x 128, skip": Architecture(
        ("ip", "relu", "tanh", "elu", "relu", "softmax", "op"),
        (None, 128, 128, 128, 128, None, None),
        ((0, 1), (1, 2), (2, 3), (3, 4), (1, 4), (4, 5), (5, 6)),
    ),
    "2 x 512": Architecture(
        ("ip", "relu", "relu", "softmax", "op"), (None, 512, 512, None, None), ((0, 1), (1, 2), (2, 3), (3, 4))
    ),
}


@dataclass(frozen=True)
class Outcome:
    """Seconds by the clock and of the CPU that a training took, and the accuracy of its best epoch by log loss."""

    seconds: float
    cpu_seconds: float
    accuracy: float


def timed(
    run: Callable[[nn.Module, Task, int, int], float], network: nn.Module, task: Task, epochs: int, seed: int
) -> Outcome:
    """One training and what it took."""
    clock, cpu = time.perf_counter(), time.process_time()
    accuracy = run(network, task, epochs, seed)
    return Outcome(time.perf_counter() - clock, time.process_time() - cpu, accuracy)


def ours(network: nn.Module, task: Task, epochs: int, seed: int) -> float:
    """The shared trainer, every epoch of it, with its schedule and gradient clipping."""
    settings = TrainerSettings(max_epochs=epochs, patience=epochs)
    values: dict[str, Value] = {
        "learning_rate": LEARNING_RATE,
        "batch_size": BATCH_SIZE,
        "weight_decay": 0.0,
        "optimizer": "adamw",
    }
    return train(network, task, values, settings=settings, seed=seed).evaluation.metrics["accuracy"]


def plain(network: nn.Module, task: Task, epochs: int, seed: int) -> float:
    """The loop of the tutorials."""
    torch.manual_seed(seed)
    with limited_threads(1):
        rows = TensorDataset(torch.tensor(task.train.inputs), torch.tensor(task.train.targets))
        loader = DataLoader(rows, batch_size=BATCH_SIZE, shuffle=True)
        inputs, targets = torch.tensor(task.validation.inputs), torch.tensor(task.validation.targets)
        optimizer = torch.optim.Adam(network.parameters(), lr=LEARNING_RATE)
        best_loss, best_accuracy = float("inf"), 0.0
        for _ in range(epochs):
            network.train()
            for batch, labels in loader:
                optimizer.zero_grad()
                F.cross_entropy(network(batch), labels).backward()
                optimizer.step()
            network.eval()
            with torch.no_grad():
                outputs = network(inputs)
                loss = F.cross_entropy(outputs, targets).item()
                accuracy = (outputs.argmax(1) == targets).float().mean().item()
            if loss < best_loss:
                best_loss, best_accuracy = loss, accuracy
        return best_accuracy


def _row(name: str, pairs: Sequence[tuple[Outcome, Outcome]], steps: int) -> str:
    """A line of the table: medians over the pairs of (plain, ours)."""
    median = statistics.median
    return (
        f"{name:<16}{median(steps / plain.seconds for plain, _ in pairs):>15.0f}"
        f"{median(steps / ours.seconds for _, ours in pairs):>17.0f}"
        f"{median(plain.seconds / ours.seconds for plain, ours in pairs):>8.2f}"
        f"{median(plain.cpu_seconds / ours.cpu_seconds for plain, ours in pairs):>11.2f}"
        f"{median(plain.accuracy for plain, _ in pairs):>12.4f}{median(ours.accuracy for _, ours in pairs):>14.4f}"
    )


def _drawn(n: int) -> list[Architecture]:
    """Architectures of `n` random candidates of the default space."""
    generator = np.random.default_rng(0)
    drawn = (MLPSpace().sample(generator).architecture for _ in range(n))
    return [architecture for architecture in drawn if architecture is not None]


def _compare(name: str, networks: Iterable[tuple[int, Architecture]], task: Task, epochs: int) -> None:
    """Trains every (seed, architecture) both ways and prints the line of their medians."""
    pairs = []
    for seed, architecture in networks:
        a, b = (
            build_network(architecture, n_inputs=task.n_features, n_outputs=task.n_outputs, seed=seed) for _ in "ab"
        )
        pairs.append((timed(plain, a, task, epochs, seed), timed(ours, b, task, epochs, seed)))
    print(_row(name, pairs, epochs * -(-len(task.train) // BATCH_SIZE)), flush=True)


def main() -> None:
    """Prints one line a network: medians over the seeds, and the ratio of the times of each pair of runs."""
    parser = argparse.ArgumentParser(description="Steps per second of the trainer against a plain PyTorch loop.")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--drawn", type=int, default=20)
    arguments = parser.parse_args()
    task, epochs = load_task("digits"), arguments.epochs
    print(f"digits, batch size {BATCH_SIZE}, {epochs} epochs, medians over {arguments.seeds} seeds, one thread")
    heads = ("plain steps/s", "trainer steps/s", "ratio", "CPU ratio", "plain acc.", "trainer acc.")
    print(f"{'network':<16}{heads[0]:>15}{heads[1]:>17}{heads[2]:>8}{heads[3]:>11}{heads[4]:>12}{heads[5]:>14}")
    for name, architecture in NETWORKS.items():
        _compare(name, ((seed, architecture) for seed in range(arguments.seeds)), task, epochs)
    _compare(f"{arguments.drawn} of MLPSpace", enumerate(_drawn(arguments.drawn)), task, epochs)


if __name__ == "__main__":
    main()
