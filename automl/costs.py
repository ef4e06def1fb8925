"""What a network costs: its weights, floating point operations and measured latency."""

from __future__ import annotations

import statistics
import time
from dataclasses import asdict, dataclass

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automl.torch_threads import limited_threads


@dataclass(frozen=True)
class Costs:
    """The costs of a network.

    Args:
        n_parameters: Trained weights.
        flops: Floating point operations that one row's prediction takes; a multiplication and an addition count two.
        latency: Median seconds of one row's prediction on one thread of the CPU.
    """

    n_parameters: int
    flops: int
    latency: float

    def to_dict(self) -> dict[str, float]:
        """The costs as JSON-ready fields."""
        return asdict(self)


def n_parameters(module: nn.Module) -> int:
    """Number of trained weights of a module."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def flops(module: nn.Module, n_inputs: int) -> int:
    """Floating point operations of one row's prediction: those of matrix products and convolutions.

    Args:
        module: Takes rows [n, n_inputs]; left in evaluation mode.
        n_inputs: Numbers in a row.
    """
    module.eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(_row(module, n_inputs))
    return int(counter.get_total_flops())


def latency(module: nn.Module, n_inputs: int, repetitions: int = 30) -> float:
    """Median seconds of one row's prediction on one thread, after a fifth as many runs to warm up.

    Raises:
        ValueError: If `repetitions` is below 1.
    """
    if repetitions < 1:
        raise ValueError(f"got repetitions={repetitions}, expected 1 or more; raise it.")
    module.eval()
    row = _row(module, n_inputs)
    seconds = []
    with limited_threads(1), torch.inference_mode():
        for _ in range(repetitions // 5 + 1):
            module(row)
        for _ in range(repetitions):
            started = time.perf_counter()
            module(row)
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def costs(module: nn.Module, n_inputs: int) -> Costs:
    """All costs of a module that takes rows [n, n_inputs]; it is left in evaluation mode."""
    return Costs(n_parameters(module), flops(module, n_inputs), latency(module, n_inputs))


def _row(module: nn.Module, n_inputs: int) -> torch.Tensor:
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return torch.zeros(1, n_inputs, device=device)
