"""Times OTMANN beside the plain way, POT's `ot.emd` for each pair and weight, in one run and on the same networks.

Run as `python -m tests.benchmarks.otmann`. All on one thread, processor time, medians over repeats; the first call,
which compiles or loads machine code, is timed apart. The plain way is that of the reference implementation: a cost
matrix with a row and a column for what stays unmatched, one `ot.emd` a weight.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np
import numpy.typing as npt
import ot

from automl.spaces.base import Space
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace
from kernels.architecture import Architecture
from kernels.layer_costs import label_costs_for, layer_masses
from kernels.otmann import NU_STR, otmann_distances
from kernels.path_lengths import path_lengths

Floats = npt.NDArray[np.float64]
LAYERS = (17, 23)  # "about 20"
UNMATCHED = 1.0
FORBIDDEN = 765432.0  # what the reference implementation writes for an infinite cost


def main() -> None:
    """Prints the table of times, ratios and differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plain-pairs", type=int, default=400, help="pairs that the plain way solves")
    arguments = parser.parse_args()
    sets = {
        "CNN": _networks(CNNSpace(min_layers=15, max_layers=20), 200),
        "MLP": _networks(MLPSpace(min_layers=15, max_layers=20), 100),
    }
    first = _seconds(lambda: otmann_distances(sets["CNN"][:2]))
    print(f"first call (loads or compiles machine code): {first:.2f} s")
    for name, networks in sets.items():
        _report(name, networks, arguments.repeats, arguments.plain_pairs)


def _report(name: str, networks: Sequence[Architecture], repeats: int, n_plain: int) -> None:
    n = len(networks)
    layers = statistics.mean(len(network) for network in networks)
    print(f"\n{name}: {n} networks of {layers:.1f} layers on average, nu_str {NU_STR}")
    generator = np.random.default_rng(1)
    every = list(combinations_with_replacement(range(n), 2))
    pairs = [every[int(k)] for k in generator.choice(len(every), size=n_plain, replace=False)]
    ours = _median(lambda: otmann_distances(networks), repeats) * 1e3
    plain = _median(lambda: _plain_distances(networks, pairs), repeats) * 1e3 / n_plain
    print(f"  table {n} x {n}, path lengths and masses included: {ours:9.1f} ms")
    print(f"  ours,  for each of the {n * n} entries:         {ours / n**2:9.4f} ms")
    print(f"  ours,  for each of the {len(every)} distinct pairs:  {ours / len(every):9.4f} ms")
    print(f"  plain, for each of {n_plain} pairs:                {plain:9.4f} ms")
    print(f"  ratio for each entry {plain * n**2 / ours:.0f}, for each distinct pair {plain * len(every) / ours:.0f}")
    copies = [[network.permuted(range(len(network))) for network in networks] for _ in range(repeats)]
    fresh = iter(copies)  # without the properties that an Architecture keeps once asked for
    features = _median(lambda: [(path_lengths(network), layer_masses(network)) for network in next(fresh)], repeats)
    print(f"  path lengths and masses of one network:      {features * 1e3 / n:9.4f} ms")
    print(f"  largest difference in d, relative to the largest d: {_difference(networks, pairs):.1e}")


def _networks(space: Space, count: int) -> list[Architecture]:
    """Distinct random networks of about 20 layers."""
    generator = np.random.default_rng(0)
    found: dict[str, Architecture] = {}
    while len(found) < count:
        architecture = space.sample(generator).architecture
        if architecture is not None and LAYERS[0] <= len(architecture) <= LAYERS[1]:
            found[architecture.digest] = architecture
    return list(found.values())


def _difference(networks: Sequence[Architecture], pairs: Sequence[tuple[int, int]]) -> float:
    d, _ = otmann_distances(networks)
    rows, columns = np.array(pairs).T
    return float(np.abs(d[rows, columns] - _plain_distances(networks, pairs)).max() / d.max())


def _plain_distances(networks: Sequence[Architecture], pairs: Sequence[tuple[int, int]]) -> Floats:
    """Distances (P, G), one transport a pair and weight."""
    features = {i: _features(networks[i]) for pair in pairs for i in pair}
    costs = label_costs_for(networks[0].family).array
    mismatch = np.where(np.isinf(costs), FORBIDDEN, costs)
    return np.array([_plain_pair(features[i], features[j], mismatch) for i, j in pairs])


def _features(network: Architecture) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    lengths = path_lengths(network)
    rows = label_costs_for(network.family).indices(network)
    return np.hstack([lengths.from_input, lengths.to_output]), layer_masses(network), rows


def _plain_pair(
    x: tuple[Floats, Floats, npt.NDArray[np.int64]], y: tuple[Floats, Floats, npt.NDArray[np.int64]], mismatch: Floats
) -> list[float]:
    (x_lengths, x_masses, x_rows), (y_lengths, y_masses, y_rows) = x, y
    structure = np.abs(x_lengths[:, None] - y_lengths).mean(axis=2)
    supply, demand = np.append(x_masses, y_masses.sum()), np.append(y_masses, x_masses.sum())
    scale = supply.sum()
    cost = np.zeros((len(supply), len(demand)))
    cost[-1, :-1] = cost[:-1, -1] = UNMATCHED
    distances = []
    for nu_str in NU_STR:
        cost[:-1, :-1] = mismatch[np.ix_(x_rows, y_rows)] + nu_str * structure
        plan = ot.emd(supply / scale, demand / scale, cost)
        distances.append(float((plan * cost).sum() * scale))
    return distances


def _median(job: Callable[[], object], repeats: int) -> float:
    return statistics.median(_seconds(job) for _ in range(repeats))


def _seconds(job: Callable[[], object]) -> float:
    """Processor time of a job."""
    started = time.process_time()
    job()
    return time.process_time() - started


if __name__ == "__main__":
    main()
