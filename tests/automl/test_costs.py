"""Costs of networks against counts by hand."""

from __future__ import annotations

import pytest
import torch

from automl.costs import costs, flops, latency, n_parameters
from automl.network import build_network
from kernels.architecture import Architecture

MLP = Architecture(("ip", "relu", "softmax", "op"), (None, 16, None, None), ((0, 1), (1, 2), (2, 3)))
CNN = Architecture(("ip", "conv3", "softmax", "op"), (None, 4, None, None), ((0, 1), (1, 2), (2, 3)))


def test_an_mlp_costs_its_weights_and_two_operations_for_each() -> None:
    module = build_network(MLP, n_inputs=10, n_outputs=3)
    assert n_parameters(module) == 10 * 16 + 16 + 16 * 3 + 3
    assert flops(module, 10) == 2 * (10 * 16 + 16 * 3)


def test_a_convolution_costs_its_kernel_at_every_pixel() -> None:
    module = build_network(CNN, n_inputs=64, n_outputs=3, image_shape=(1, 8, 8))
    assert flops(module, 64) == 2 * (9 * 4 * 64 + 4 * 2 * 2 * 3)
    assert n_parameters(module) == 9 * 4 + 2 * 4 + 16 * 3 + 3


def test_frozen_weights_are_not_counted() -> None:
    module = build_network(MLP, n_inputs=10, n_outputs=3)
    next(module.parameters()).requires_grad_(False)
    assert n_parameters(module) == 16 + 16 * 3 + 3


def test_latency_is_measured_on_one_thread_which_is_given_back() -> None:
    before = torch.get_num_threads()
    found = costs(build_network(MLP, n_inputs=10, n_outputs=3), 10)
    assert 0 < found.latency < 1 and torch.get_num_threads() == before
    assert found.to_dict() == {"n_parameters": 227, "flops": 416, "latency": found.latency}
    with pytest.raises(ValueError, match="repetitions=0"):
        latency(torch.nn.Linear(10, 3), 10, repetitions=0)
