"""What two aims on tables leave room for: `python -m tests.benchmarks.limits nb201` and `... limits hpolib`.

`nb201`: the mean regret where every cell of NAS-Bench-201 cifar10 is evaluated once, each by a random one of its seeds,
and the best observed one is chosen.

`hpolib`: ten evaluations of a process that knows all rows of the three other tables, how their losses combine best to
foretell those of the table at hand, the mean and spread of these, and the lengthscales of what is left over. It is one
well-informed search and no bound: another may do better. Before it, for each table: how many of its rows reach the
regret that is aimed at, and at which place the first of these stands where all rows are ordered by the mean regret, the
mean rank or the largest regret on the three other tables, or by the linear combination of these regrets and their
logarithms that foretells the table's own regrets best.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import norm, rankdata
from torch import Tensor

from automl.spaces.table import TableSpace
from studies.benchmark.tables import Table, load_table

HPOLIB = ("naval_propulsion", "parkinsons_telemonitoring", "protein_structure", "slice_localization")
N_DRAWS = 20_000
N_BEST = 3_000  # Cells; a worse one is never the best observed.
N_FITTED = 400
N_COMPARED = 20_000
CHECKPOINTS = (5, 10, 25)
AIM = 0.018  # Mean regret of GPSampler, cold, after fifty evaluations.


def chosen_by_single_values(table: Table, generator: np.random.Generator) -> float:
    """Mean regret of the best of all cells by one value of each."""
    rows = np.array([table.row(candidate) for candidate in table.space.candidates or ()])
    regrets = np.array([table.regret(mean) for mean in table.means[rows]])
    best = np.argsort(regrets)[:N_BEST]
    values, regrets = table.observed[rows][best], regrets[best]
    counts = (~np.isnan(values)).sum(axis=1)
    chosen = [values[np.arange(N_BEST), generator.integers(0, counts)].argmax() for _ in range(N_DRAWS)]
    return float(regrets[chosen].mean())


def places_of_the_aim(tables: list[Table], target: int) -> tuple[int, list[int]]:
    """How many rows of a table reach the aim, and the place of the first of them in each of four orders."""
    regrets = [np.array([table.regret(float(mean)) for mean in table.means]) for table in tables]
    own = regrets.pop(target)
    foretold = np.stack([np.ones_like(own), *regrets, *(np.log(others + 0.01) for others in regrets)], axis=1)
    orders = (
        np.mean(regrets, axis=0),
        np.mean([rankdata(others) for others in regrets], axis=0),
        np.max(regrets, axis=0),
        foretold @ np.linalg.lstsq(foretold, own, rcond=None)[0],
    )
    reached = own <= AIM
    return int(reached.sum()), [1 + int(reached[np.argsort(order, kind="stable")].argmax()) for order in orders]


def informed_search(tables: list[Table], target: int, generator: np.random.Generator) -> list[float]:
    """Regret after each evaluation of the search of this module's text, by expected improvement."""
    table = tables[target]
    scaled = [(t.means - t.means.mean()) / t.means.std() for t in tables]
    values = scaled.pop(target)
    foretold = np.stack([np.ones_like(values), *scaled, *(np.minimum(others, -1) for others in scaled)], axis=1)
    prior = foretold @ np.linalg.lstsq(foretold, values, rcond=None)[0]
    left_over = torch.from_numpy(values - prior)
    inputs = torch.from_numpy(unit_cube(table))
    some = generator.choice(len(values), N_FITTED, replace=False)
    lengthscales, variance, noise = fitted(inputs[some], left_over[some])
    compared = np.argsort(prior)[:N_COMPARED]
    tried = [int(compared[0])]
    while len(tried) < max(CHECKPOINTS):
        known = inputs[tried]
        covariance = variance * matern(known, known, lengthscales) + noise * torch.eye(len(tried), dtype=torch.float64)
        shared = variance * matern(inputs[compared], known, lengthscales)
        weights = torch.linalg.solve(covariance, shared.mT).mT
        mean = prior[compared] + (weights @ left_over[tried]).numpy()
        spread = (variance + noise - (weights * shared).sum(1)).clamp_min(1e-9).sqrt().numpy()
        gain = (values[tried].min() - mean) / spread
        improvement = spread * (gain * norm.cdf(gain) + norm.pdf(gain))
        improvement[np.isin(compared, tried)] = -1
        tried.append(int(compared[improvement.argmax()]))
    regrets = [table.regret(float(table.means[row])) for row in tried]
    return list(np.minimum.accumulate(regrets))


def unit_cube(table: Table) -> NDArray[np.float64]:
    """The rows of a grid as points between 0 and 1."""
    assert isinstance(table.space, TableSpace)
    sizes = [len(column.values) for column in table.space.columns]
    places = np.stack(np.unravel_index(np.arange(len(table.means)), sizes), axis=1)
    points: NDArray[np.float64] = places / (np.array(sizes) - 1)
    return points


def matern(a: Tensor, b: Tensor, lengthscales: Tensor) -> Tensor:
    """The Matern-5/2 kernel of unit variance."""
    distance = np.sqrt(5) * torch.cdist(a / lengthscales, b / lengthscales)
    covariance: Tensor = (1 + distance + distance.square() / 3) * (-distance).exp()
    return covariance


def fitted(x: Tensor, y: Tensor) -> tuple[Tensor, float, float]:
    """Lengthscales, variance and noise by maximum likelihood under a wide prior of the lengthscales."""
    start = [*[0.0] * x.shape[1], float(y.var().log()), float((0.1 * y.var()).log())]
    raw = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.05)
    for _ in range(150):
        kernel = raw[-2].exp() * matern(x, x, raw[:-2].exp())
        factor = torch.linalg.cholesky(kernel + (raw[-1].exp() + 1e-6) * torch.eye(len(x), dtype=torch.float64))
        quadratic = y @ torch.cholesky_solve(y[:, None], factor)[:, 0]
        loss = 0.5 * quadratic + factor.diagonal().log().sum() + 0.5 * (raw[:-2] / 1.5).square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    found = raw.detach().exp()
    return found[:-2], float(found[-2]), float(found[-1])


def main() -> None:
    """Prints the figures of one family."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("family", choices=["nb201", "hpolib"])
    parser.add_argument("--seeds", type=int, default=3, help="draws of the rows that lengthscales are fitted to")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.family == "nb201":
        print(f"{chosen_by_single_values(load_table('nb201/cifar10', noisy=True), np.random.default_rng(0)):.4f}")
        return
    tables = [load_table(f"hpolib/{name}", noisy=False) for name in HPOLIB]
    print(f"rows of regret {AIM} or less, and the place of the first by the others' mean, rank, maximum, and combined")
    for target, name in enumerate(HPOLIB):
        n_rows, places = places_of_the_aim(tables, target)
        print(f"{name:30s}{n_rows:8d}" + "".join(f"{place:8d}" for place in places), flush=True)
    print(f"{'regret at':30s}" + "".join(f"{n:>8d}" for n in CHECKPOINTS))
    means = np.zeros(len(CHECKPOINTS))
    for target, name in enumerate(HPOLIB):
        seeds = [[seed, target] for seed in range(arguments.seeds)]
        runs = [informed_search(tables, target, np.random.default_rng(seed)) for seed in seeds]
        regrets = np.mean([[run[n - 1] for n in CHECKPOINTS] for run in runs], axis=0)
        means += regrets / len(HPOLIB)
        print(f"{name:30s}" + "".join(f"{regret:8.3f}" for regret in regrets), flush=True)
    print(f"{'mean':30s}" + "".join(f"{regret:8.3f}" for regret in means))


if __name__ == "__main__":
    main()
