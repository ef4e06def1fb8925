"""The covariance of candidates against its factors: counts and distances of graphs, numbers, and choices."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.gaussian_process.kernels import Matern

from automl.surrogates.candidate_kernel import CandidateKernel, MismatchKernel, Tables
from kernels.count_kernel import CountKernel
from kernels.distance_kernel import DistanceTableKernel

N = 6
LENGTHSCALES, DECAY, OUTPUTSCALE = (0.4, 1.5), 0.7, 1.3


def symmetric(n: int, seed: int) -> torch.Tensor:
    """Distances between n candidates, `n x n`."""
    points = torch.rand(n, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return (points[:, None] - points).abs().sum(-1)


def make_kernel(with_graphs: bool) -> CandidateKernel:
    """Two numbers and one choice, with counts and distances of graphs or without."""
    transport = DistanceTableKernel(symmetric(N, 1)[..., None]) if with_graphs else None
    counts = CountKernel(torch.ones(1, dtype=torch.float64)) if with_graphs else None
    kernel = CandidateKernel(2, 1, counts=counts, transport=transport)
    kernel.set_tables(Tables(symmetric(N, 0)[None], symmetric(N, 1)[..., None], torch.arange(N)))
    assert kernel.of_hyperparameters.numeric is not None and kernel.of_hyperparameters.categorical is not None
    kernel.of_hyperparameters.numeric.lengthscale, kernel.of_hyperparameters.categorical.lengthscale = (
        torch.tensor([LENGTHSCALES]),
        DECAY,
    )
    kernel.initialize(raw_outputscale=torch.tensor(math.log(OUTPUTSCALE)))
    return kernel


@pytest.mark.parametrize("with_graphs", [True, False])
def test_it_is_the_product_of_graphs_numbers_and_choices(with_graphs: bool) -> None:
    kernel, generator = make_kernel(with_graphs), np.random.default_rng(2)
    numbers, choices = generator.random((N, 2)), generator.integers(0, 3, N)
    places = torch.arange(N, dtype=torch.float64)[:, None]
    x = torch.cat([places, places, torch.from_numpy(np.column_stack([numbers, choices]))], dim=1)
    mismatch = np.not_equal.outer(choices, choices).astype(np.float64)
    expected = OUTPUTSCALE * Matern(LENGTHSCALES, nu=2.5)(numbers) * np.exp(-mismatch / DECAY)
    if kernel.counts is not None and kernel.transport is not None:
        graphs = kernel.counts.forward(places, places) + kernel.transport.forward(places, places)
        expected = expected * graphs.detach().numpy()
    np.testing.assert_allclose(kernel(x).to_dense().detach(), expected, rtol=1e-6)
    np.testing.assert_allclose(kernel(x, diag=True).detach(), expected.diagonal(), rtol=1e-6)


def test_the_trend_comes_before_the_graphs() -> None:
    counts = CountKernel(torch.ones(1, dtype=torch.float64))
    kernel, generator = CandidateKernel(1, 1, n_summary=2, counts=counts), np.random.default_rng(3)
    kernel.set_tables(Tables(symmetric(N, 0)[None], None, torch.arange(N)))
    assert kernel.trend is not None and kernel.trend.numeric is not None and kernel.trend.categorical is not None
    assert kernel.of_hyperparameters.numeric is not None and kernel.of_hyperparameters.categorical is not None
    kernel.trend.numeric.lengthscale, kernel.trend.categorical.lengthscale = torch.tensor([[0.3, 2.0, 0.8]]), 1.1
    kernel.of_hyperparameters.numeric.lengthscale, kernel.of_hyperparameters.categorical.lengthscale = 0.5, 0.9
    kernel.initialize(raw_weight_of_graphs=torch.tensor(math.log(0.25)))
    summaries, rates, choices = generator.random((N, 2)), generator.random((N, 1)), generator.integers(0, 3, N)
    places = torch.arange(N, dtype=torch.float64)[:, None]
    x = torch.cat([places, places, torch.from_numpy(np.column_stack([summaries, rates, choices]))], dim=1)
    mismatch = np.not_equal.outer(choices, choices).astype(np.float64)
    trend = Matern((0.3, 2.0, 0.8), nu=2.5)(np.column_stack([summaries, rates])) * np.exp(-mismatch / 1.1)
    graphs = counts.forward(places, places).detach().numpy()
    rest = graphs * Matern(0.5, nu=2.5)(rates) * np.exp(-mismatch / 0.9)
    np.testing.assert_allclose(kernel(x).to_dense().detach(), trend + 0.25 * rest, rtol=1e-6)


def test_mismatches_of_several_choices_add_up_each_with_its_own_decay() -> None:
    kernel = MismatchKernel(ard_num_dims=2).double()
    kernel.lengthscale = torch.tensor([[0.5, 2.0]])
    x = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    exponents = torch.tensor([[0, 2, 0.5, 2.5], [2, 0, 2.5, 0.5], [0.5, 2.5, 0, 2], [2.5, 0.5, 2, 0]])
    torch.testing.assert_close(kernel.forward(x, x), torch.exp(-exponents.double()))


def test_a_diagonal_costs_no_square_matrix() -> None:
    counts = CountKernel(torch.ones(1, dtype=torch.float64))
    kernel = CandidateKernel(1, 1, n_summary=2, counts=counts)
    kernel.set_tables(Tables(symmetric(N, 0)[None], None, torch.arange(N)))
    x = torch.cat([torch.arange(N)[:, None].expand(N, 2), torch.rand(N, 3), torch.zeros(N, 1)], dim=1).double()
    parts = (kernel, kernel.trend, kernel.of_hyperparameters, kernel.of_hyperparameters.categorical)
    assert [
        part.forward(x[:, -width:], x[:, -width:], diag=True).shape
        for part, width in zip(parts, (6, 4, 2, 1), strict=True)
        if part is not None
    ] == [(N,)] * 4


def test_counts_and_distances_have_places_of_their_own() -> None:
    kernel = make_kernel(True)
    assert kernel.counts is not None and kernel.transport is not None
    places, others = (
        torch.tensor(order, dtype=torch.float64)[:, None] for order in ((0, 1, 2, 3, 4, 5), (5, 3, 1, 0, 2, 4))
    )
    x = torch.cat([places, others, torch.zeros(N, 3, dtype=torch.float64)], dim=1)
    graphs = kernel.counts.forward(places, places) + kernel.transport.forward(others, others)
    torch.testing.assert_close(kernel.forward(x, x), OUTPUTSCALE * graphs)


def test_candidates_that_nothing_tells_apart_are_all_alike() -> None:
    x = torch.zeros(N, 2, dtype=torch.float64)
    torch.testing.assert_close(CandidateKernel(0, 0).forward(x, x), torch.ones(N, N, dtype=torch.float64))


def test_no_lengthscale_is_so_short_that_distances_lose_their_digits() -> None:
    kernel = CandidateKernel(2, 1)
    numeric = kernel.of_hyperparameters.numeric
    assert numeric is not None
    numeric.initialize(raw_lengthscale=torch.full((1, 2), -24.0, dtype=torch.float64))
    places = torch.arange(N, dtype=torch.float64)[:, None]
    numbers = torch.rand(N, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    covariance = kernel(torch.cat([places, places, numbers, torch.zeros(N, 1, dtype=torch.float64)], dim=1))
    assert torch.linalg.eigvalsh(covariance.to_dense()).min() > 0.9


def test_every_hyperparameter_has_its_prior() -> None:
    priors = {
        name: (prior, value(module).detach()) for name, module, prior, value, _ in make_kernel(False).named_priors()
    }
    for name in (
        "of_hyperparameters.numeric.lengthscale_prior",
        "of_hyperparameters.categorical.lengthscale_prior",
    ):  # Hvarfner et al. 2024, equation 7
        assert float(priors[name][0].loc) == pytest.approx(math.sqrt(2) + 0.5 * math.log(3))
        assert float(priors[name][0].scale) == pytest.approx(math.sqrt(3))
    prior, outputscale = priors["outputscale_prior"]
    assert float(outputscale) == pytest.approx(OUTPUTSCALE)
    assert prior.log_prob(torch.tensor([0.9, 1.0, 1.1])).argmax() == 1


def test_fits_begin_where_the_priors_of_the_weights_are_largest_and_in_double_precision() -> None:
    kernel = CandidateKernel(1, 1, n_summary=2)
    assert {parameter.dtype for parameter in kernel.parameters()} == {torch.float64}
    priors = {name: (prior, value(module).detach()) for name, module, prior, value, _ in kernel.named_priors()}
    for name in ("outputscale_prior", "weight_of_graphs_prior"):
        prior, start = priors[name]
        assert prior.log_prob(start * torch.tensor([0.9, 1.0, 1.1])).argmax() == 1
