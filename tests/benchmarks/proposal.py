"""What a proposal of NASBOT costs against the number of observations: `python -m tests.benchmarks.proposal`.

Each row is the median CPU time of one proposal at n finished and a few running trials of `CNNSpace`, one thread, with
the same number of acquisition evaluations throughout: once by a proposer that has answered at n - 1 ("next", as in a
running study) and once by a fresh one ("fresh", as in a worker that has just joined), which has met none of the
observed networks: what is remembered of networks for the whole process is of no help to it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from automl.observations import Candidate, Observations
from automl.proposers.nasbot import NASBOTProposer, PoolSettings
from automl.spaces.base import Space
from automl.spaces.cnn import CNNSpace
from automl.spaces.mlp import MLPSpace

_SPACES = {"cnn": CNNSpace, "mlp": MLPSpace}


@dataclass(frozen=True)
class Cost:
    """Median CPU seconds of a proposal at `n` observations."""

    n: int
    next: float
    fresh: float


def loss(candidate: Candidate, generator: np.random.Generator) -> float:
    """A made-up loss that depends on the graph and on noise, so that the fit has something to find."""
    graph = candidate.architecture
    assert graph is not None
    width = sum(np.log2(units) for units in graph.units if units) / len(graph)
    return float(abs(width - 5) + 0.1 * graph.depth + 0.3 * generator.standard_normal())


def observe(space: Space, n: int, n_pending: int, generator: np.random.Generator) -> Observations:
    """`n` random candidates with their losses, others pending."""
    found: dict[str, Candidate] = {}
    while len(found) < n + n_pending:
        candidate = space.sample(generator)
        found[candidate.digest] = candidate
    candidates = tuple(found.values())
    values = np.array([[loss(candidate, generator)] for candidate in candidates[:n]])
    return Observations(candidates[:n], values, pending=candidates[n:])


def as_read(observations: Observations) -> Observations:
    """The same as a worker reads them: nothing has been computed of their networks yet."""
    finished, pending = (
        tuple(Candidate.from_dict(candidate.to_dict()) for candidate in candidates)
        for candidates in (observations.candidates, observations.pending)
    )
    return Observations(finished, observations.values, pending=pending)


def seconds(proposer: NASBOTProposer, observations: Observations, generator: np.random.Generator) -> float:
    """CPU time of one proposal."""
    started = time.process_time()
    proposer.propose(observations, 1, generator)
    return time.process_time() - started


def measure(space: Space, sizes: Sequence[int], *, n_pending: int, evaluations: int, repeats: int) -> list[Cost]:
    """The costs at each size, as medians over repeats with other observations."""

    def make() -> NASBOTProposer:
        return NASBOTProposer(space, pool=PoolSettings(n_evaluations=evaluations))

    # Compiles what is compiled on demand.
    seconds(make(), observe(space, 12, n_pending, np.random.default_rng(0)), np.random.default_rng(1))
    costs = []
    for n in sizes:
        times: list[tuple[float, float]] = []
        for repeat in range(repeats):
            # Every draw has a stream of its own: pools that draw what was observed or proposed before are not those of
            # a study.
            streams = (np.random.default_rng([repeat, n, stream]) for stream in count())
            unmet = observe(space, n, n_pending, next(streams))
            fresh = seconds(make(), as_read(unmet), next(streams))
            everything = observe(space, n, n_pending, next(streams))
            before = Observations(everything.candidates[:-1], everything.values[:-1], pending=everything.pending)
            used = make()
            seconds(used, before, next(streams))
            times.append((seconds(used, everything, next(streams)), fresh))
        costs.append(Cost(n, *(round(statistics.median(column), 3) for column in zip(*times, strict=True))))
        print(f"{costs[-1].n:6d} {costs[-1].next:8.3f} {costs[-1].fresh:8.3f}", flush=True)
    return costs


def plot(costs: Sequence[Cost], path: str) -> None:
    """Draws the seconds of a proposal against the number of finished trials."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    n = [cost.n for cost in costs]
    axes.plot(n, [cost.next for cost in costs], marker="o", label="a proposer that has answered before")
    axes.plot(n, [cost.fresh for cost in costs], marker="o", label="a worker that has just joined")
    axes.set(xlabel="finished trials", ylabel="processor seconds of a proposal", ylim=(0, None))
    axes.legend()
    figure.savefig(path, dpi=120)


def main() -> None:
    """Prints the table; draws it and writes it as JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--space", choices=sorted(_SPACES), default="cnn")
    parser.add_argument("--sizes", type=int, nargs="+", default=[20, 50, 100, 200, 500, 1000])
    parser.add_argument("--pending", type=int, default=3)
    parser.add_argument("--evaluations", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", metavar="FILE.png")
    parser.add_argument("--json", metavar="FILE")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    threadpool_limits(1, "blas")
    print(f"{arguments.space}, {arguments.evaluations} evaluations, {arguments.pending} pending: CPU seconds")
    print(f"{'n':>6} {'next':>8} {'fresh':>8}")
    costs = measure(
        _SPACES[arguments.space](),
        arguments.sizes,
        n_pending=arguments.pending,
        evaluations=arguments.evaluations,
        repeats=arguments.repeats,
    )
    if arguments.plot:
        plot(costs, arguments.plot)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump([asdict(cost) for cost in costs], file, indent=1)


if __name__ == "__main__":
    main()
