"""Kernels over tables of distances: the formula, positive semi-definite in every block, gradients, models on top."""

from __future__ import annotations

import gpytorch
import numpy as np
import pytest
import torch
from botorch.acquisition.analytic import LogExpectedImprovement
from botorch.acquisition.logei import qLogExpectedImprovement
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from gpytorch.constraints import GreaterThan, Interval
from gpytorch.kernels import MaternKernel, ScaleKernel
from gpytorch.mlls import ExactMarginalLogLikelihood
from gpytorch.priors import GammaPrior
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_operator.utils.errors import NanError  # type: ignore[import-untyped]  # it publishes no types
from torch import Tensor

from kernels.distance_kernel import DistanceTableKernel
from kernels.otmann import otmann_distances
from tests.kernels.networks import reference_networks

N, A = 24, 15  # rows of the table, anchors in front
GROUPS = [range(4), range(4, 8)]
INDICES = torch.arange(N, dtype=torch.float64)[:, None]


@pytest.fixture(scope="module")
def distances() -> Tensor:
    """d and d_bar of the reference's convolutional networks, `24 x 24 x 8`."""
    return torch.from_numpy(np.concatenate(otmann_distances(reference_networks("cnn")), axis=2))


def make_kernel(
    distances: Tensor,
    *,
    powers: tuple[float, float] = (1.0, 1.0),
    anchors: Tensor | None = None,
    beta: float = 0.2,
    batch_shape: torch.Size | None = None,
) -> DistanceTableKernel:
    kernel = DistanceTableKernel(distances, groups=GROUPS, powers=powers, anchors=anchors, batch_shape=batch_shape)
    kernel.beta = torch.linspace(beta, 2 * beta, 8).expand(kernel.beta.shape)
    kernel.outputscale = torch.tensor([0.7, 0.4]).expand(kernel.outputscale.shape)
    return kernel


def dense(kernel: DistanceTableKernel, rows: Tensor, columns: Tensor | None = None) -> Tensor:
    covariance: Tensor = kernel(rows, rows if columns is None else columns).to_dense().detach()
    return covariance


def smallest_eigenvalue(matrix: Tensor) -> float:
    return float(torch.linalg.eigvalsh(matrix.detach()).min())


def raw_covariance(kernel: DistanceTableKernel, distances: Tensor) -> Tensor:
    scaled = distances / kernel.scales
    total = torch.zeros(N, N, dtype=torch.float64)
    for g, group in enumerate(GROUPS):
        exponent = (kernel.beta[list(group)] * scaled[..., list(group)] ** kernel.powers[g]).sum(-1)
        total = total + kernel.outputscale[g] * torch.exp(-exponent)
    return total.detach()


@pytest.mark.parametrize("anchors", [None, torch.arange(A)])
def test_covariances_are_the_sum_of_exponentials_where_that_is_positive(
    distances: Tensor, anchors: Tensor | None
) -> None:
    kernel = make_kernel(distances, anchors=anchors)
    expected = raw_covariance(kernel, distances)
    covariance = dense(kernel, INDICES)
    kept = N if anchors is None else A
    torch.testing.assert_close(covariance[:kept], expected[:kept])
    torch.testing.assert_close(covariance.diagonal(), expected.diagonal())


def test_scales_are_the_median_positive_distances_of_the_anchors(distances: Tensor) -> None:
    among = distances[:A, :A, 3]
    assert make_kernel(distances, anchors=torch.arange(A)).scales[3] == among[among > 0].median()
    torch.testing.assert_close(DistanceTableKernel(torch.zeros(2, 2, 3)).scales, torch.ones(3))


def test_the_raw_covariance_used_below_is_indefinite(distances: Tensor) -> None:
    kernel = make_kernel(distances, powers=(2.0, 2.0), beta=0.15)
    assert smallest_eigenvalue(raw_covariance(kernel, distances)) < -1e-4


@pytest.mark.parametrize("anchors", [None, torch.arange(A), torch.tensor([20, 3, 7])])
def test_an_indefinite_covariance_is_made_positive_semi_definite(distances: Tensor, anchors: Tensor | None) -> None:
    kernel = make_kernel(distances, powers=(2.0, 2.0), beta=0.15, anchors=anchors)
    assert smallest_eigenvalue(dense(kernel, INDICES)) > -1e-8


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_any_symmetric_table_gives_a_positive_semi_definite_covariance(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(12, 12, 2, generator=generator, dtype=torch.float64)
    table = (table + table.transpose(0, 1)) * (1 - torch.eye(12, dtype=torch.float64))[..., None]
    kernel = DistanceTableKernel(table, powers=(2.0,), anchors=torch.arange(7))
    assert smallest_eigenvalue(dense(kernel, INDICES[:12])) > -1e-8


def test_among_anchors_negative_eigenvalues_are_cut_off(distances: Tensor) -> None:
    kernel = make_kernel(distances, powers=(2.0, 2.0), beta=0.15)
    values, vectors = torch.linalg.eigh(raw_covariance(kernel, distances))
    torch.testing.assert_close(dense(kernel, INDICES), (vectors * values.clamp_min(0)) @ vectors.T)


@pytest.mark.parametrize("beta", [0.15, 1.0])
@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.0, 2.0)])
def test_every_block_is_cut_from_one_matrix(distances: Tensor, powers: tuple[float, float], beta: float) -> None:
    kernel = make_kernel(distances, powers=powers, beta=beta, anchors=torch.arange(A))
    joint = dense(kernel, INDICES)
    rows, columns = torch.tensor([3, 20, 5, 22, 15]), torch.tensor([2, 20, 15, 7])
    torch.testing.assert_close(dense(kernel, INDICES[rows], INDICES[columns]), joint[rows[:, None], columns])
    torch.testing.assert_close(dense(kernel, INDICES[:A]), joint[:A, :A])
    torch.testing.assert_close(kernel(INDICES, diag=True), joint.diagonal())


@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.0, 2.0)])
def test_the_training_covariance_does_not_depend_on_the_other_rows(
    distances: Tensor, powers: tuple[float, float]
) -> None:
    kernel = make_kernel(distances, powers=powers, beta=0.15, anchors=torch.arange(A))
    before = dense(kernel, INDICES[:A])
    kernel.set_table(distances[: A + 3, : A + 3], torch.arange(A))
    torch.testing.assert_close(dense(kernel, INDICES[:A]), before)


@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.0, 2.0)])
@pytest.mark.parametrize("anchors", [torch.arange(A), torch.tensor([20, 3, 7])])
def test_the_rows_of_the_anchors_are_all_that_is_needed_of_the_table(
    distances: Tensor, anchors: Tensor, powers: tuple[float, float]
) -> None:
    whole = make_kernel(distances, powers=powers, beta=0.15, anchors=anchors)
    rows = make_kernel(distances[anchors], powers=powers, beta=0.15, anchors=anchors)
    torch.testing.assert_close(dense(rows, INDICES), dense(whole, INDICES))
    torch.testing.assert_close(rows(INDICES, diag=True), whole(INDICES, diag=True))
    whole.set_table(distances[anchors], anchors)
    torch.testing.assert_close(dense(whole, INDICES[:5], INDICES), dense(rows, INDICES[:5], INDICES))


@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.0, 2.0)])
@pytest.mark.parametrize("batch_shape", [torch.Size(), torch.Size([3])])
def test_batches_of_indices_equal_a_loop(
    distances: Tensor, powers: tuple[float, float], batch_shape: torch.Size
) -> None:
    kernel = make_kernel(distances, powers=powers, beta=0.15, anchors=torch.arange(A), batch_shape=batch_shape)
    pairs = torch.tensor([[0, 18], [20, 21], [4, 4]], dtype=torch.float64)[..., None]
    if batch_shape:
        pairs = pairs[:, None]  # t-batches in front of the batch of parameters
    batched = dense(kernel, pairs, INDICES[:A])
    assert batched.shape == (3, *batch_shape, 2, A)
    looped = torch.stack([dense(kernel, pair, INDICES[:A]) for pair in pairs])
    torch.testing.assert_close(batched, looped)


def test_parameters_in_a_batch_give_the_covariances_of_each(distances: Tensor) -> None:
    kernel = make_kernel(distances, powers=(2.0, 2.0), beta=0.15, batch_shape=torch.Size([2]))
    kernel.beta = torch.stack([torch.full((8,), 0.05), torch.full((8,), 5.0)])
    covariances = dense(kernel, INDICES)
    for i, beta in enumerate((0.05, 5.0)):
        single = make_kernel(distances, powers=(2.0, 2.0))
        single.beta = beta
        torch.testing.assert_close(covariances[i], dense(single, INDICES))


@pytest.mark.parametrize("powers", [(1.0, 1.0), (2.0, 2.0)])
def test_gradients_equal_finite_differences(distances: Tensor, powers: tuple[float, float]) -> None:
    kernel = make_kernel(distances, powers=powers, beta=0.15)
    weights = torch.randn(N, N, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def value(raw_beta: Tensor, raw_outputscale: Tensor) -> Tensor:
        parameters = {"raw_beta": raw_beta, "raw_outputscale": raw_outputscale}
        covariance: Tensor = torch.func.functional_call(kernel, parameters, (INDICES, INDICES)).to_dense()
        return (weights * covariance).sum()

    inputs = tuple(p.detach().clone().requires_grad_() for p in (kernel.raw_beta, kernel.raw_outputscale))
    with gpytorch.settings.lazily_evaluate_kernels(False):
        assert torch.autograd.gradcheck(value, inputs, atol=1e-6)


def test_the_gradient_is_finite_where_eigenvalues_coincide() -> None:
    table = 1.0 - torch.eye(6, dtype=torch.float64)[..., None]  # five equal eigenvalues
    table[0, 1] = table[1, 0] = 40.0
    kernel = DistanceTableKernel(-table, scales=torch.ones(1), powers=(1.0,))  # covariances above the variance
    x = INDICES[:6]
    kernel(x, x).to_dense().sum().backward()
    assert kernel.raw_beta.grad is not None
    assert kernel.raw_beta.grad.isfinite().all()


def test_a_gaussian_process_on_it_has_the_textbook_posterior(distances: Tensor) -> None:
    kernel = make_kernel(distances, powers=(2.0, 2.0), beta=0.15, anchors=torch.arange(A))
    y = torch.sin(torch.arange(A, dtype=torch.float64))[:, None]
    model = SingleTaskGP(INDICES[:A], y, covar_module=kernel, outcome_transform=None)
    model.likelihood.noise = 0.01
    model.mean_module.constant = 0.0
    posterior = model.posterior(INDICES[A:])
    joint = dense(kernel, INDICES)
    gain = joint[A:, :A] @ torch.linalg.inv(joint[:A, :A] + 0.01 * torch.eye(A, dtype=torch.float64))
    torch.testing.assert_close(posterior.mean, gain @ y)
    torch.testing.assert_close(posterior.variance[:, 0], (joint[A:, A:] - gain @ joint[:A, A:]).diagonal())
    assert (posterior.variance > 0).all()


@pytest.mark.slow
def test_botorch_fits_it_and_its_acquisition_functions_take_it(distances: Tensor) -> None:
    prior = GammaPrior(2.0, 2.0)
    kernel = DistanceTableKernel(
        distances, groups=GROUPS, anchors=torch.arange(A), beta_prior=prior, outputscale_prior=prior
    )
    y = distances[:A, 0, 4:5]
    model = SingleTaskGP(INDICES[:A], y, covar_module=kernel)
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    before = mll(model(*model.train_inputs), model.train_targets).item()
    fit_gpytorch_mll(mll)
    mll.train()
    assert mll(model(*model.train_inputs), model.train_targets).item() > before
    model.eval()
    single = LogExpectedImprovement(model, best_f=y.max())(INDICES[A:, None])
    assert single.shape == (N - A,)
    assert single.isfinite().all()
    joint = qLogExpectedImprovement(model, best_f=y.max())(INDICES[A : A + 8].reshape(4, 2, 1))
    assert joint.isfinite().all()


def test_it_multiplies_with_kernels_over_other_columns(distances: Tensor) -> None:
    kernel = DistanceTableKernel(distances, groups=GROUPS, active_dims=(0,))
    product = kernel * ScaleKernel(MaternKernel(active_dims=(1,)).double()).double()
    x = torch.cat([INDICES, torch.linspace(0, 1, N, dtype=torch.float64)[:, None]], dim=1)
    assert smallest_eigenvalue(product(x).to_dense()) > -1e-8


def test_state_travels_between_kernels(distances: Tensor) -> None:
    kernel = DistanceTableKernel(distances, active_dims=(0,))
    other = DistanceTableKernel(distances, active_dims=(0,))
    kernel.beta = 0.7
    other.load_state_dict(kernel.state_dict())
    torch.testing.assert_close(dense(other, INDICES), dense(kernel, INDICES))


def test_parameters_keep_to_the_constraints_that_they_are_given(distances: Tensor) -> None:
    kernel = DistanceTableKernel(
        distances, beta_constraint=Interval(0.01, 0.5), outputscale_constraint=GreaterThan(0.9)
    )
    with torch.no_grad():
        kernel.raw_beta.fill_(30.0)
        kernel.raw_outputscale.fill_(-30.0)
    torch.testing.assert_close(kernel.beta, torch.full_like(kernel.beta, 0.5))
    torch.testing.assert_close(kernel.outputscale, torch.full_like(kernel.outputscale, 0.9))


def test_parameters_that_are_not_finite_are_reported_as_a_numerical_error(distances: Tensor) -> None:
    kernel = make_kernel(distances)
    with torch.no_grad():
        kernel.raw_outputscale.fill_(float("nan"))
    with pytest.raises(NanError, match="got a covariance that is not finite"):
        dense(kernel, INDICES)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"groups": [[0, 1], [1, 2]]}, "expected each column in exactly one group"),
        ({"powers": (1.0, 1.0)}, "expected one a group"),
        ({"powers": (3.0,)}, "above 0 and at most 2"),
        ({"powers": (0.0,)}, "above 0 and at most 2"),
        ({"anchors": torch.tensor([0, 30])}, "expected rows of the table, from 0 to 4"),
    ],
)
def test_arguments_that_disagree_with_the_table_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DistanceTableKernel(torch.rand(5, 5, 3), **arguments)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("anchors", [None, torch.arange(4)])
def test_a_table_that_is_neither_square_nor_of_the_anchors_is_refused(anchors: Tensor | None) -> None:
    with pytest.raises(ValueError, match=r"got distances of shape \(5, 6, 3\), expected N x N x 3, or a x N x 3"):
        DistanceTableKernel(torch.rand(5, 6, 3), anchors=anchors)
    with pytest.raises(ValueError, match=r"got distances of shape \(5, 5\), expected N x N x "):
        DistanceTableKernel(torch.rand(5, 5), anchors=anchors)


def test_a_row_that_the_anchors_explain_more_than_fully_has_what_they_explain_as_its_variance() -> None:
    distances = torch.full((3, 3, 1), 50.0, dtype=torch.float64)  # the two anchors have nothing in common ...
    distances[range(3), range(3)] = 0.0
    distances[2, :2] = distances[:2, 2] = 0.0  # ... and yet the third row equals both
    kernel = DistanceTableKernel(distances, anchors=torch.arange(2))
    kernel.beta = 50.0
    row = torch.tensor([[2.0]], dtype=torch.float64)
    assert kernel.forward(row, row).item() == pytest.approx(2.0)
    assert kernel.forward(row, row, diag=True).item() == pytest.approx(2.0)


@pytest.mark.parametrize(
    "table", [torch.rand(5, 5, 3).numpy(), torch.zeros(5, 5, 3, dtype=torch.int64), torch.rand(5, 5, 3).half()]
)
def test_a_table_of_another_type_is_refused(table: object) -> None:
    with pytest.raises(ValueError, match=r"expected a tensor of float32 or float64; .* torch.as_tensor"):
        DistanceTableKernel(table)  # type: ignore[arg-type]  # wrong on purpose
