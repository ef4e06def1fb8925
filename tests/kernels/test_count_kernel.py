"""Laplacian kernels of counts: distances and sums by their definition, and positive semi-definiteness."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.count_kernel import CountKernel, CountVectors, Distances, elements_of

COUNTS = st.lists(st.lists(st.integers(0, 5), max_size=8).map(Counter), min_size=1, max_size=6)


def distances_between(known: list[Counter[int]], others: list[Counter[int]]) -> Distances:
    return CountVectors([elements_of(counts) for counts in known]).distances([elements_of(counts) for counts in others])


def plain_distance(a: Counter[int], b: Counter[int]) -> int:
    return sum(abs(a[key] - b[key]) for key in {*a, *b})


@settings(max_examples=50, deadline=None)
@given(known=COUNTS, others=COUNTS)
def test_distances_are_those_of_the_definition_also_for_keys_that_only_others_have(
    known: list[Counter[int]], others: list[Counter[int]]
) -> None:
    expected = [[plain_distance(a, b) for b in known] for a in others]
    np.testing.assert_array_equal(distances_between(known, others), expected)


def test_large_distances_do_not_overflow_a_byte() -> None:
    assert distances_between([Counter({0: 300})], [Counter({1: 7})])[0, 0] == 307


@settings(max_examples=20, deadline=None)
@given(counts=COUNTS)
def test_the_kernel_is_positive_semi_definite(counts: list[Counter[int]]) -> None:
    distances = torch.from_numpy(distances_between(counts, counts))[None]
    kernel = CountKernel(torch.ones(1, dtype=torch.float64))
    kernel.set_table(distances)
    rows = torch.arange(len(counts))[:, None].double()
    assert torch.linalg.eigvalsh(kernel.forward(rows, rows)).min() > -1e-9


def test_the_kernel_is_the_weighted_sum_of_exponentials() -> None:
    kernel = CountKernel(torch.tensor([2.0, 4.0], dtype=torch.float64))
    kernel.set_table(torch.tensor([[[1.0, 2.0]], [[0.0, 4.0]]]))
    kernel.initialize(raw_beta=torch.tensor([0.0, 0.0]), raw_outputscale=torch.tensor([0.0, np.log(3.0)]))
    row, columns = torch.zeros(1, 1), torch.arange(2.0)[:, None]
    expected = [np.exp(-0.5) + 3, np.exp(-1.0) + 3 * np.exp(-1.0)]
    np.testing.assert_allclose(kernel.forward(row, columns).detach()[0], expected)
    np.testing.assert_allclose(kernel.forward(row, row, diag=True).detach(), [4.0])


@pytest.mark.parametrize("rows", [[2, 0], [1, 2, 0], [0, 2]])
def test_rows_out_of_order_are_looked_up(rows: list[int]) -> None:
    kernel = CountKernel(torch.ones(1, dtype=torch.float64))
    kernel.set_table(torch.arange(9.0).reshape(1, 3, 3))
    some = torch.tensor(rows)[:, None].double()
    everything = kernel.forward(torch.arange(3.0)[:, None], torch.arange(3.0)[:, None])
    torch.testing.assert_close(kernel.forward(some, some), everything[rows][:, rows])


def test_decays_and_the_variance_of_all_sorts_together_start_at_what_is_typical_where_their_priors_peak() -> None:
    kernel = CountKernel(torch.ones(4, dtype=torch.float64), typical=2.0)
    torch.testing.assert_close(kernel.beta, torch.full((4,), 2.0, dtype=torch.float64))
    assert kernel.outputscale.sum().item() == pytest.approx(2.0)
    for name, _, prior, value, _ in kernel.named_priors():
        start = value(kernel).detach()
        for factor in (0.95, 1.05):
            assert (prior.log_prob(start) > prior.log_prob(factor * start)).all(), name


def test_the_index_is_read_from_the_column_that_it_is_said_to_be_in() -> None:
    kernel = CountKernel(torch.ones(1, dtype=torch.float64), active_dims=(1,))
    kernel.set_table(torch.arange(9.0).reshape(1, 3, 3))
    inputs = torch.tensor([[7.0, 0.0], [7.0, 1.0], [7.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(kernel(inputs).to_dense(), kernel.forward(inputs[:, 1:], inputs[:, 1:]))
